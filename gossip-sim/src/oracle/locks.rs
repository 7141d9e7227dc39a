//! No two nodes hold one lock at one moment, each by its own clock; tokens of later grants are greater; no grant is lost that a
//! node could count on; what nodes were told can be explained; and in the end whoever waits for a lock gets it.

mod counts;
mod held;
mod model;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use gossip_core::{Epoch, Instant, LockDone, LockError, LockOp, LockToken, MemberChange, MemberState, NodeId};

use crate::clock::Clock;
use crate::facts::{Facts, Subject};
use crate::oracle::{Finding, Oracle};
use crate::world::Addr;

pub use counts::Counts;
use held::{Grants, Held, Told};
use story::Story;

/// By how much the end of an operation may be late, in microseconds.
const GRACE: u64 = 2_000_000;

/// A token as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mark(pub(crate) LockToken);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let term = self.0.term();
        let leader = Subject::of(term.leader()).map_or(u32::MAX, |subject| subject.host);
        write!(f, "{}@{leader}/{}", term.number(), self.0.count())
    }
}

/// What is asked of a pool of locks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// So many lives have to end until a grant that was told may be forgotten.
    pub(crate) failures: usize,
    /// So many have to end until terms may be smaller than before, if wall clocks are wrong.
    pub(crate) floor: usize,
    /// Locks of members that are believed dead are free.
    pub(crate) free_dead: bool,
}

/// What an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Acquire { waits: bool },
    Extend(Mark),
    Release(Mark),
    Query,
}

/// An operation that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub(crate) key: u32,
    pub(crate) wish: Wish,
    pub(crate) invoked: u64,
    /// When it has to end, by the clock of its node.
    pub(crate) due: Instant,
    /// It has to succeed.
    pub(crate) is_probe: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Locks {
    pub(crate) findings: Vec<Finding>,
    pub(crate) rules: Rules,
    pub(crate) counts: Counts,
    open: BTreeMap<(u32, LockOp), Open>,
    grants: Grants,
    stories: BTreeMap<u32, Story>,
    /// All tokens, and to which machine they were granted.
    tokens: BTreeMap<Mark, u32>,
    /// When there were new leaders.
    recoveries: Vec<u64>,
    /// Starts may lie before what they follow.
    pub(crate) clocks_were_wrong: bool,
    /// When somebody came to believe a machine's node dead last.
    dead: BTreeMap<u32, u64>,
    /// The present lives.
    epochs: BTreeMap<u32, Epoch>,
    /// Machines whose node has begun to leave, or has stopped.
    ended: BTreeSet<u32>,
}

impl Locks {
    pub(crate) fn started(&mut self, host: u32, epoch: Epoch) {
        self.ended.remove(&host);
        self.dead.remove(&host);
        self.epochs.insert(host, epoch);
    }

    /// A life is over: it stopped, or it takes its leave. What it held is not held any more, and what it remembered is forgotten.
    pub(crate) fn life_ended(&mut self, now: u64, host: u32) {
        if self.ended.insert(host) {
            self.grants.life_ended(now, host, &mut self.stories);
        }
    }

    /// A node lost its id to another one, and holds nothing.
    pub(crate) fn contested(&mut self, now: u64, host: u32) {
        self.grants.dropped(now, host, &mut self.stories);
    }

    /// A node goes on as another life, because it has met word of a later one.
    pub(crate) fn lives_as(&mut self, now: u64, host: u32, epoch: Epoch) {
        if self.epochs.insert(host, epoch).is_some_and(|known| known != epoch) {
            self.grants.life_ended(now, host, &mut self.stories);
        }
    }

    /// A node stopped: nobody hears of its operations any more.
    pub(crate) fn stopped(&mut self, host: u32) {
        let ops: Vec<(u32, LockOp)> = self.open.keys().copied().filter(|&(of, _)| of == host).collect();
        for key in ops {
            if let Some(open) = self.open.remove(&key) {
                self.doubt(host, &open);
            }
        }
    }

    /// Somebody came to believe something of somebody.
    pub(crate) fn believed(&mut self, facts: &Facts, change: &MemberChange<Addr>) {
        let member = &change.member;
        if !self.rules.free_dead || member.state != MemberState::Dead {
            return;
        }
        let Some(subject) = Subject::of(member.id).filter(|&subject| facts.holder(subject).is_some()) else { return };
        if self.epochs.get(&subject.host) == Some(&member.incarnation.epoch) {
            self.dead.insert(subject.host, facts.now);
            self.grants.holder_died(facts.now, subject.host, &mut self.stories);
        }
    }

    /// There is a new leader, which gathers what was granted before.
    pub(crate) fn led(&mut self, now: u64) {
        self.recoveries.push(now);
    }

    /// Somebody takes a machine's node for dead at this moment.
    pub(crate) fn is_believed_dead(&mut self, now: u64, host: u32) {
        if self.rules.free_dead {
            self.dead.insert(host, now);
        }
    }

    /// A clock goes wrong: what ends by it ends earlier or later.
    pub(crate) fn clock_changed(&mut self, now: u64, host: u32, clock: &Clock) {
        self.grants.clock_changed(now, host, clock, &mut self.stories);
    }

    /// An operation is under way.
    pub(crate) fn begun(&mut self, now: u64, host: u32, op: LockOp, open: Open) {
        if let Wish::Release(token) = open.wish {
            self.grants.given_up(now, host, token, &mut self.stories);
        }
        self.counts.probes += u64::from(open.is_probe);
        self.open.insert((host, op), open);
    }

    /// An operation could not begin.
    pub(crate) fn refused(&mut self, facts: &Facts, host: u32, wish: Wish, error: &LockError, clock: &Clock) {
        let (Wish::Extend(token) | Wish::Release(token)) = wish else { return };
        if matches!(error, LockError::NotHeld) {
            self.missed(facts, host, token, clock, "cannot use");
        }
    }

    /// A node gave an operation up.
    pub(crate) fn cancelled(&mut self, host: u32, op: LockOp) {
        if let Some(open) = self.open.remove(&(host, op)) {
            self.counts.cancelled += 1;
            self.doubt(host, &open);
        }
    }

    /// The operations of a node on a lock that are under way, the latest last.
    pub(crate) fn open(&self, host: u32, key: u32) -> Vec<LockOp> {
        let is_one = |((of, _), open): &(&(u32, LockOp), &Open)| *of == host && open.key == key;
        self.open.iter().filter(is_one).map(|((_, op), _)| *op).collect()
    }

    /// Whether somebody who has to get a lock waits for it still.
    pub(crate) fn has_probes(&self) -> bool {
        self.open.values().any(|open| open.is_probe)
    }

    /// An operation ended; a grant that this brought.
    pub(crate) fn ended(
        &mut self,
        facts: &Facts,
        host: u32,
        op: LockOp,
        result: &Result<LockDone, LockError>,
        clock: &Clock,
    ) -> Option<(Open, Mark)> {
        let Some(open) = self.open.remove(&(host, op)) else {
            let message = format!("is told of {op:?}, which is not under way: {result:?}");
            self.findings.push((Oracle::Served, Some(host), message));
            return None;
        };
        if open.is_probe && !matches!(result, Ok(LockDone::Acquired(_))) {
            let message = format!("does not get lock {} in the end: {result:?}", open.key);
            self.findings.push((Oracle::Served, Some(host), message));
        }
        let (now, story) = (facts.now, self.stories.entry(open.key).or_default());
        match (result, open.wish) {
            (Ok(LockDone::Acquired(grant)), Wish::Acquire { .. }) => {
                let token = Mark(grant.token);
                self.counts.granted(now - open.invoked);
                self.note_token(now, host, &open, token);
                self.granted(facts, host, &open, token, grant.until, clock);
                return Some((open, token));
            }
            (Ok(LockDone::Extended(grant)), Wish::Extend(token)) => {
                self.counts.extended += 1;
                self.check_extended(now, host, &open, token);
                let told = Told { now, host, token, until: grant.until, clock };
                self.grants.extended(&told, open.invoked, &mut self.stories);
                return Some((open, token));
            }
            (Ok(LockDone::Released), Wish::Release(token)) => {
                self.counts.released += 1;
                story.released(now, host, open.invoked, token);
            }
            (Ok(LockDone::Status(status)), Wish::Query) => {
                self.counts.queried += 1;
                let machine = |id: NodeId| Subject::of(id).map_or(u32::MAX, |subject| subject.host);
                let holder = status.holder.map(|holder| (machine(holder.node), Mark(holder.token)));
                story.status(now, host, open.invoked, holder);
            }
            (Err(LockError::Busy), Wish::Acquire { .. }) => {
                self.counts.busy += 1;
                story.busy(now, host, open.invoked);
            }
            (Err(LockError::NotHeld), Wish::Extend(token) | Wish::Release(token)) => {
                self.counts.not_held += 1;
                // A node says so by itself when the time is over by its own clock.
                let is_early = self.grants.find(host, token).is_some_and(|held| clock.read(now) < held.until());
                if is_early {
                    story.not_held(now, host, open.invoked, token);
                }
            }
            (Err(LockError::Full { .. } | LockError::TooManyWaiters), _) => self.counts.failed += 1,
            (Err(LockError::Timeout { .. }), _) => {
                self.counts.timeouts += 1;
                self.doubt(host, &open);
            }
            (Err(_), _) => {
                self.counts.failed += 1;
                self.doubt(host, &open);
            }
            (Ok(done), wish) => {
                let message = format!("is told {done:?} of {wish:?}");
                self.findings.push((Oracle::LockHistory, Some(host), message));
            }
        }
        None
    }

    fn granted(&mut self, facts: &Facts, host: u32, open: &Open, token: Mark, until: Instant, clock: &Clock) {
        let (now, until_world) = (facts.now, clock.when(until));
        let story = self.stories.entry(open.key).or_default();
        let statement = story.granted(now, host, open.invoked, token, until_world);
        let died = self.dead.get(&host).is_some_and(|&at| at >= open.invoked);
        if died {
            // It may have been taken back before it was told.
            story.ends(statement, open.invoked);
        }
        let told = Told { now, host, token, until, clock };
        self.grants.add(Held::new(&told, open.key, statement, open.invoked));
    }

    /// Others than this node that act as holders of the lock, each by its own clock.
    pub(crate) fn exclude(&mut self, now: u64, host: u32, token: Mark, others: &[(u32, Mark)]) {
        for &(other, theirs) in others {
            let is_excused = [(host, token), (other, theirs)]
                .iter()
                .any(|&(of, mark)| self.grants.is_excused(now, of, mark, self.rules.failures, &self.stories));
            if !is_excused {
                let message = format!("holds a lock as {token} while node {other} holds it as {theirs}");
                self.findings.push((Oracle::Exclusion, Some(host), message));
            }
        }
    }

    /// A node says that it has lost a grant.
    pub(crate) fn lost(&mut self, facts: &Facts, host: u32, token: Mark, clock: &Clock) {
        self.counts.lost += 1;
        self.missed(facts, host, token, clock, "loses");
        self.grants.given_up(facts.now, host, token, &mut self.stories);
    }

    /// Compares what a node holds with what it was granted.
    pub(crate) fn look(
        &mut self,
        facts: &Facts,
        host: u32,
        clock: &Clock,
        holds: impl Fn(u32) -> Option<(Mark, Instant)>,
    ) {
        for (key, token) in self.grants.of(host) {
            match holds(key) {
                Some((shown, until)) if shown == token => {
                    self.grants.renewed(&Told { now: facts.now, host, token, until, clock }, &mut self.stories);
                }
                // The latest of several is shown.
                Some((shown, _)) if shown > token => {}
                _ => {
                    self.missed(facts, host, token, clock, "does not hold");
                    self.grants.given_up(facts.now, host, token, &mut self.stories);
                }
            }
        }
    }

    /// A grant is gone: its time has to be over, or there has to be a reason.
    fn missed(&mut self, facts: &Facts, host: u32, token: Mark, clock: &Clock, verb: &str) {
        let Some(held) = self.grants.find(host, token) else { return };
        let (until, key) = (held.until(), held.key);
        if clock.read(facts.now) < until
            && !self.grants.is_excused(facts.now, host, token, self.rules.failures, &self.stories)
        {
            let early = until.saturating_since(clock.read(facts.now));
            let message = format!("{verb} lock {key}, granted as {token}, {early:?} before its time is over");
            self.findings.push((Oracle::LostGrant, Some(host), message));
        }
    }

    /// Tokens are granted once, and in order.
    fn note_token(&mut self, now: u64, host: u32, open: &Open, token: Mark) {
        if let Some(other) = self.tokens.insert(token, host) {
            let message = format!("is granted lock {} as {token}, as node {other} was before", open.key);
            self.findings.push((Oracle::Tokens, Some(host), message));
        }
        let later = self.stories.get(&open.key).and_then(|story| story.greater(token, open.invoked));
        let Some((greater, since)) = later else { return };
        let may_go_back = self.clocks_were_wrong && self.grants.endings_since(since, now) >= self.rules.floor;
        if !may_go_back {
            let message = format!("is granted lock {} as {token}, after it was granted as {greater}", open.key);
            self.findings.push((Oracle::Tokens, Some(host), message));
        }
    }

    /// What was granted before somebody else got it cannot be extended after that.
    fn check_extended(&mut self, now: u64, host: u32, open: &Open, token: Mark) {
        let later = self.stories.get(&open.key).and_then(|story| story.greater(token, open.invoked));
        let Some((greater, since)) = later else { return };
        if self.grants.endings_since(since, now) < self.rules.failures {
            let message = format!("extends lock {} as {token}, after it was granted as {greater}", open.key);
            self.findings.push((Oracle::Tokens, Some(host), message));
        }
    }

    fn doubt(&mut self, host: u32, open: &Open) {
        if let Wish::Acquire { .. } = open.wish {
            self.stories.entry(open.key).or_default().doubt(host, open.invoked);
        }
    }

    /// Operations that should have ended; `local` is the time at nodes that are prompt.
    pub(crate) fn check_ends(&mut self, local: impl Fn(u32) -> Option<Instant>) {
        let is_late = |&(&(host, _), open): &(&(u32, LockOp), &Open)| {
            local(host).is_some_and(|now| now.saturating_since(open.due).as_micros() > u128::from(GRACE))
        };
        let late: Vec<(u32, LockOp)> = self.open.iter().filter(is_late).map(|(&key, _)| key).collect();
        for key in late {
            let Some(open) = self.open.remove(&key) else { continue };
            let message = format!("is not told how an operation on lock {} ended: {:?}", open.key, open.wish);
            self.findings.push((Oracle::Served, Some(key.0), message));
            self.doubt(key.0, &open);
        }
    }

    /// Whether all that was said can be explained.
    pub(crate) fn judge(&mut self) {
        let open = std::mem::take(&mut self.open);
        for ((host, _), open) in open {
            self.doubt(host, &open);
        }
        for (key, story) in &self.stories {
            self.counts.statements += story.len() as u64;
            match story.judge(&self.grants, self.rules.failures, &self.recoveries, !self.clocks_were_wrong) {
                model::Verdict::Explained => {}
                model::Verdict::Open => self.counts.unjudged += 1,
                model::Verdict::Contradiction(why) => {
                    self.findings.push((Oracle::LockHistory, None, format!("lock {key}: {why}")));
                }
            }
        }
    }
}
