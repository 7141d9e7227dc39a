//! Locks: what is done with them, and what nodes are told.

use std::time::Duration;

use gossip_core::{
    Instant, LockDone, LockError, LockNews, LockOp, LockRequest, LockStatus, LockToken, MemberState, Node, Phase,
};

use crate::lock::{Locks, NAME};
use crate::oracle::locks::{Mark, Open, Rules, Wish};
use crate::queue::Class;
use crate::random::{Odds, Purpose, Random};
use crate::sabotage::Bug;
use crate::scenario::Span;
use crate::trace;
use crate::world::{Addr, What, World};

/// Operations of one node on one lock that are under way at once.
const MOST_OPEN: usize = 3;

/// For how long whoever asks for a lock in the end tries to get it.
const PROBE: Duration = Duration::from_secs(30);

/// What is needed to draw operations, and what a planted bug has done so far.
#[derive(Debug)]
pub(super) struct Doings {
    random: Random,
    /// When the last faults ended after which everybody asked for a lock.
    probed: Option<u64>,
    /// The token that a planted bug repeats.
    repeated: Option<LockToken>,
    /// What a planted bug goes on to hold.
    kept: Vec<(String, Mark)>,
}

impl Doings {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed, Purpose::Locks), probed: None, repeated: None, kept: Vec::new() }
    }
}

/// An operation that was drawn.
#[derive(Clone, Copy)]
struct Drawn {
    key: u32,
    /// Out of a hundred: which operation.
    what: u64,
    ttl: Duration,
    patience: Duration,
    waits: bool,
    keeps: bool,
}

/// An operation that is to begin.
#[derive(Clone, Copy)]
enum Deed {
    Acquire { waits: bool, keeps: bool },
    Extend(LockToken),
    Release(LockToken),
    Query,
}

impl Deed {
    fn wish(self) -> Wish {
        match self {
            Self::Acquire { waits, .. } => Wish::Acquire { waits },
            Self::Extend(token) => Wish::Extend(Mark(token)),
            Self::Release(token) => Wish::Release(Mark(token)),
            Self::Query => Wish::Query,
        }
    }
}

fn name_of(key: u32) -> String {
    format!("lock{key}")
}

impl World {
    /// A node that has started opens the pool.
    pub(super) fn open_locks(&mut self, host: u32) {
        let Some(locks) = &self.scenario.locks else { return };
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        let Some(node) = &mut state.node else { return };
        node.open_locks(local, NAME, locks.config()).expect("the scenario was checked, and the node is new");
        self.oracles.locks.started(host, node.incarnation().epoch);
    }

    pub(super) fn begin_doings(&mut self) {
        let (Some(locks), Some(election)) = (&self.scenario.locks, &self.scenario.election) else { return };
        let (config, floor) = (locks.config(), election.config(self.scenario.nodes).floor);
        let failures = config.replicas.min(floor);
        self.oracles.locks.rules = Rules { failures, floor, free_dead: config.free_dead };
        self.queue.push(locks.every.as_micros(), Class::Watch, What::Grasp);
    }

    /// When the last operation is drawn.
    pub(crate) fn doings_end(&self) -> u64 {
        let Some(locks) = &self.scenario.locks else { return 0 };
        let faults = self.faults_end();
        let natural = if faults == 0 { self.scenario.duration.as_micros() } else { faults };
        locks.until.map_or(natural, Span::as_micros)
    }

    /// Does something with a lock at some node.
    pub(super) fn grasp_next(&mut self) {
        let Some(locks) = self.scenario.locks.clone() else { return };
        if self.facts.now >= self.doings_end() {
            return;
        }
        self.queue.push(self.facts.now + locks.every.as_micros(), Class::Watch, What::Grasp);
        let host = self.doings.random.below(self.hosts.len() as u64) as u32;
        let drawn = self.draw_deed(&locks);
        let person = self.facts.person(host);
        if !person.runs() || person.pauses > 0 {
            return;
        }
        if let Some(deed) = self.choose(host, drawn) {
            self.begin_deed(host, drawn, deed, false);
        } else if let Some(op) = self.oracles.locks.open(host, drawn.key).pop() {
            self.cancel(host, op);
        }
        self.settle(host);
    }

    fn draw_deed(&mut self, locks: &Locks) -> Drawn {
        let random = &mut self.doings.random;
        Drawn {
            key: random.below(locks.keys.into()) as u32,
            what: random.below(100),
            ttl: Duration::from_micros(random.between(locks.min_ttl.as_micros(), locks.max_ttl.as_micros())),
            patience: Duration::from_micros(random.between(1_000, locks.patience.as_micros())),
            waits: random.hits(Odds::of(locks.waits.value())),
            keeps: random.hits(Odds::of(locks.keeps.value())),
        }
    }

    /// What suits the node, which has the lock or not; `None`: to give up what it does.
    fn choose(&self, host: u32, drawn: Drawn) -> Option<Deed> {
        let state = &self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        let holds = state.node.as_ref().and_then(|node| node.holds_lock(local, NAME, &name_of(drawn.key)));
        let is_busy = self.oracles.locks.open(host, drawn.key).len() >= MOST_OPEN;
        let Drawn { waits, keeps, what, .. } = drawn;
        match (holds, what) {
            (_, 95..) => None,
            _ if is_busy => None,
            (Some(grant), 0..45) => Some(Deed::Release(grant.token)),
            (Some(grant), 45..75) => Some(Deed::Extend(grant.token)),
            (None, 0..75) => Some(Deed::Acquire { waits, keeps }),
            (_, 75..90) => Some(Deed::Query),
            _ => Some(Deed::Acquire { waits: false, keeps: false }),
        }
    }

    fn begin_deed(&mut self, host: u32, drawn: Drawn, deed: Deed, is_probe: bool) {
        let Drawn { key, ttl, patience, .. } = drawn;
        let now = self.facts.now;
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(now);
        let Some(node) = &mut state.node else { return };
        let name = name_of(key);
        let begun = match deed {
            Deed::Acquire { waits, keeps } => {
                node.acquire_lock(local, NAME, &name, LockRequest { ttl, patience, waits, keeps })
            }
            Deed::Extend(token) => node.extend_lock(local, NAME, &name, token, ttl, patience),
            Deed::Release(token) => node.release_lock(local, NAME, &name, token, patience),
            Deed::Query => node.query_lock(local, NAME, &name, patience),
        };
        let wish = deed.wish();
        match &begun {
            Ok(op) => {
                let open = Open { key, wish, invoked: now, due: local + patience, is_probe };
                self.oracles.locks.begun(now, host, *op, open);
            }
            Err(error) => self.oracles.locks.refused(&self.facts, host, wish, error, &self.hosts[host as usize].clock),
        }
        self.trace.note(now, host, trace::LOCK, u64::from(key) << 1 | u64::from(begun.is_ok()));
        if self.trace.is_told() {
            self.trace.tell(now, format_args!("node {host} asks of {name}: {wish:?} for {ttl:?}: {begun:?}"));
        }
    }

    fn cancel(&mut self, host: u32, op: LockOp) {
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        let Some(node) = &mut state.node else { return };
        let was_open = node.cancel_lock(local, op);
        if self.trace.is_told() {
            self.trace.tell(self.facts.now, format_args!("node {host} gives up {op:?}: {was_open}"));
        }
        // Whether or not it was: nobody waits for it any more, unless there is word of it already.
        if was_open {
            self.oracles.locks.cancelled(host, op);
        }
    }

    /// Hears what became of the operations of a node, and of what it holds.
    pub(super) fn read_lock_news(&mut self, host: u32) {
        if self.scenario.locks.is_none() {
            return;
        }
        self.note_life(host);
        while let Some(news) = self.hosts[host as usize].node.as_mut().and_then(Node::poll_lock) {
            if self.trace.is_told() {
                self.trace.tell(self.facts.now, format_args!("node {host}: {news:?}"));
            }
            self.trace.note(self.facts.now, host, trace::LOCK, mark_of(&news));
            match self.spoil_news(host, news) {
                Some(LockNews::Done { op, result }) => self.take_end(host, op, &result),
                Some(LockNews::Lost { token, .. }) => {
                    let clock = self.hosts[host as usize].clock;
                    self.oracles.locks.lost(&self.facts, host, Mark(token), &clock);
                }
                _ => {}
            }
        }
        self.look_at_grants(host);
    }

    fn note_life(&mut self, host: u32) {
        let Some(node) = &self.hosts[host as usize].node else { return };
        if node.phase() == Phase::Contested {
            self.oracles.locks.contested(self.facts.now, host);
        }
        self.oracles.locks.lives_as(self.facts.now, host, node.incarnation().epoch);
    }

    fn take_end(&mut self, host: u32, op: LockOp, result: &Result<LockDone, LockError>) {
        let clock = self.hosts[host as usize].clock;
        if result.is_ok() && self.is_believed_dead(host) {
            self.oracles.locks.is_believed_dead(self.facts.now, host);
        }
        let Some((open, token)) = self.oracles.locks.ended(&self.facts, host, op, result, &clock) else { return };
        let others = self.holders(host, open.key);
        self.oracles.locks.exclude(self.facts.now, host, token, &others);
        if self.has_bug(host, Bug::KeepsLocks) {
            self.doings.kept.push((name_of(open.key), token));
        }
        let is_new = matches!(open.wish, Wish::Acquire { .. });
        if is_new && (open.is_probe || self.has_bug(host, Bug::DropsLocks)) {
            self.give_back(host, open.key, token, open.is_probe);
        }
    }

    /// Whether a node takes another one for dead.
    fn is_believed_dead(&self, host: u32) -> bool {
        let id = self.facts.subject(host).id();
        let Some(epoch) = self.node(host).map(|node| node.incarnation().epoch) else { return false };
        let believes = |node: &Node<Addr>| {
            node.member(id).is_some_and(|it| it.state == MemberState::Dead && it.incarnation.epoch == epoch)
        };
        self.hosts.iter().filter_map(|state| state.node.as_ref()).any(believes)
    }

    fn give_back(&mut self, host: u32, key: u32, token: Mark, is_told: bool) {
        if is_told {
            let drawn = Drawn { key, what: 0, ttl: PROBE, patience: PROBE, waits: false, keeps: false };
            self.begin_deed(host, drawn, Deed::Release(token.0), false);
            return;
        }
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        if let Some(node) = &mut state.node {
            // A planted bug: neither the application nor the oracles know.
            let begun = node.release_lock(local, NAME, &name_of(key), token.0, PROBE);
            debug_assert!(begun.is_ok(), "it was granted right now: {begun:?}");
        }
    }

    /// Others that act as holders of a lock at this moment, each by its own clock.
    fn holders(&self, but: u32, key: u32) -> Vec<(u32, Mark)> {
        let name = name_of(key);
        let holds = |host: u32| {
            let state = &self.hosts[host as usize];
            let node = state.node.as_ref()?;
            let kept = self.doings.kept.iter().rev().find(|(of, _)| *of == name && self.has_bug(host, Bug::KeepsLocks));
            if let Some(&(_, token)) = kept {
                return Some((host, token));
            }
            let grant = node.holds_lock(state.clock.read(self.facts.now), NAME, &name)?;
            Some((host, Mark(grant.token)))
        };
        (0..self.len()).filter(|&host| host != but).filter_map(holds).collect()
    }

    fn look_at_grants(&mut self, host: u32) {
        let state = &self.hosts[host as usize];
        let (Some(node), clock) = (&state.node, &state.clock) else { return };
        let local = clock.read(self.facts.now);
        let holds = |key: u32| -> Option<(Mark, Instant)> {
            let grant = node.holds_lock(local, NAME, &name_of(key))?;
            Some((Mark(grant.token), grant.until))
        };
        self.oracles.locks.look(&self.facts, host, clock, holds);
    }

    /// What a planted bug makes of news of locks.
    fn spoil_news(&mut self, host: u32, news: LockNews) -> Option<LockNews> {
        let LockNews::Done { op, result: Ok(done) } = news else { return Some(news) };
        let done = match done {
            LockDone::Acquired(_) if self.has_bug(host, Bug::SwallowsGrants) => return None,
            LockDone::Acquired(mut grant) if self.has_bug(host, Bug::RepeatsTokens) => {
                grant.token = *self.doings.repeated.get_or_insert(grant.token);
                LockDone::Acquired(grant)
            }
            LockDone::Status(status) if self.has_bug(host, Bug::HidesHolders) => {
                LockDone::Status(LockStatus { holder: None, ..status })
            }
            done => done,
        };
        Some(LockNews::Done { op, result: Ok(done) })
    }

    /// Sees to it that operations end, and in the end that everybody gets a lock who asks for one.
    pub(super) fn look_at_locks(&mut self) {
        if self.scenario.locks.is_none() {
            return;
        }
        let now = self.facts.now;
        self.oracles.locks.clocks_were_wrong = self.oracles.leaders.clocks_were_wrong;
        let prompt = |host: u32| {
            let person = self.facts.person(host);
            let is_prompt = person.is_prompt() && person.held_up_until + 2_000_000 < now;
            is_prompt.then(|| self.hosts[host as usize].clock.read(now))
        };
        self.oracles.locks.check_ends(prompt);
        let calm = self.calm_of_locks();
        if self.facts.faults_active > 0 || now < calm + self.patience_of_locks() || self.facts.link_is_harmful {
            return;
        }
        if self.doings.probed != Some(calm) {
            self.doings.probed = Some(calm);
            if self.is_enough() {
                self.probe();
            }
        }
    }

    /// All give back what they have, and ask for a lock.
    fn probe(&mut self) {
        let Some(locks) = self.scenario.locks.clone() else { return };
        let idle = Drawn { key: 0, what: 0, ttl: locks.max_ttl.duration(), patience: PROBE, waits: true, keeps: false };
        for host in 0..self.len() {
            for key in 0..locks.keys {
                let state = &self.hosts[host as usize];
                let local = state.clock.read(self.facts.now);
                let grant = state.node.as_ref().and_then(|node| node.holds_lock(local, NAME, &name_of(key)));
                if let Some(grant) = grant {
                    self.begin_deed(host, Drawn { key, ..idle }, Deed::Release(grant.token), false);
                }
            }
            if self.facts.person(host).runs() {
                let deed = Deed::Acquire { waits: true, keeps: false };
                self.begin_deed(host, Drawn { key: host % locks.keys, ..idle }, deed, true);
                self.settle(host);
            }
        }
    }

    /// Whether all run that are needed for a leader, and for locks.
    fn is_enough(&self) -> bool {
        let (Some(locks), Some(election)) = (&self.scenario.locks, &self.scenario.election) else { return false };
        let needed = election.config(self.scenario.nodes).floor.max(locks.config().replicas);
        let all_run = self.facts.people.iter().all(|person| person.runs() || person.twin_of.is_some());
        all_run && self.facts.running as usize >= needed && !self.facts.has_strangers()
    }

    /// When faults and operations ended.
    fn calm_of_locks(&self) -> u64 {
        self.doings_end().max(self.facts.disturbed.unwrap_or(0))
    }

    /// How long it may take from then on until locks are granted, in microseconds: there has to be a leader, and it may have to wait
    /// until every earlier grant has run out.
    fn patience_of_locks(&self) -> u64 {
        let (Some(locks), Some(election)) = (&self.scenario.locks, &self.scenario.election) else { return 0 };
        let config = election.config(self.scenario.nodes);
        let wait = locks.longest(config.max_drift_ppm) * 2;
        self.facts.settle_time() + super::lead::patience(&config) + wait.as_micros() as u64
    }

    /// Whether it is still to be seen that locks are granted.
    pub(crate) fn awaits_locks(&self) -> bool {
        let is_calm = self.facts.faults_active == 0 && !self.facts.link_is_harmful;
        let is_before = || self.facts.now <= self.calm_of_locks() + self.patience_of_locks();
        self.scenario.locks.is_some() && is_calm && (is_before() || self.oracles.locks.has_probes())
    }

    /// Whether what was said of locks can be explained.
    pub(crate) fn judge_locks(&mut self) {
        if self.scenario.locks.is_some() {
            self.oracles.locks.judge();
            self.oracles.drain(&self.facts);
        }
    }
}

/// What stands for news in the fingerprint of a run.
fn mark_of(news: &LockNews) -> u64 {
    match news {
        LockNews::Done { result: Ok(LockDone::Acquired(grant) | LockDone::Extended(grant)), .. } => {
            grant.token.count() << 8 ^ grant.until.as_micros() << 16 ^ 1
        }
        LockNews::Done { result, .. } => 2 | u64::from(result.is_ok()) << 8,
        LockNews::Lost { token, .. } => token.count() << 8 ^ 3,
        _ => 4,
    }
}
