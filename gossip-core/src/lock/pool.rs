//! One pool of locks at one node: what it remembers, what it asks for, and what it decides while it leads.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::context::Context;
use crate::election::{Contest, MOST_VOTERS, Term, Version, Voter};
use crate::identity::Address;
use crate::lock::client::Client;
use crate::lock::office::Office;
use crate::lock::settings::Clock;
use crate::lock::shelf::{Hold, Placed, Record, Shelf};
use crate::lock::{LockConfig, LockError, LockNews};
use crate::membership::MemberState;
use crate::outbox::{Pending, Recipients, one};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::transmit::Channel;
use crate::wire::{Answer, HEADER, Parcel, Say};

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: Arc<str>,
    pub(super) mark: u64,
    pub(super) config: LockConfig,
    pub(super) clock: Clock,
    /// This life of the node.
    pub(super) me: Voter,
    pub(super) shelf: Shelf,
    /// The latest leader that was listened to.
    pub(super) fence: Term,
    /// The last record written as a leader.
    pub(super) count: (Term, u64),
    pub(super) client: Client,
    pub(super) office: Option<Office>,
    /// Who has a vote, and who had one until lately.
    voters: Vec<Voter>,
    pub(super) former: Vec<(Voter, Instant)>,
    /// The leader seen last, the electorate, and the table.
    leader: Option<Term>,
    pub(super) settlement: Option<(Version, bool)>,
    /// And whose starts were heard of.
    table_version: (u64, u64),
    /// Answers of this node to itself.
    pub(super) own_answers: VecDeque<(u64, u64, Answer)>,
    pub(super) news: VecDeque<LockNews>,
    /// When there is something to do, or to look whether time leapt.
    pub(super) due: Instant,
}

impl Pool {
    pub(super) fn new<A: Address>(
        cx: &mut Context<A>,
        contest: &Contest,
        name: Arc<str>,
        mark: u64,
        config: LockConfig,
    ) -> Self {
        let mut pool = Self {
            name,
            mark,
            config,
            clock: Clock { drift_ppm: contest.settings().max_drift_ppm },
            me: Voter { id: cx.id(), epoch: cx.incarnation().epoch },
            shelf: Shelf::default(),
            fence: Term::ZERO,
            count: (Term::ZERO, 0),
            client: Client::new(&mut cx.rng),
            office: None,
            voters: Vec::new(),
            former: Vec::new(),
            leader: None,
            settlement: None,
            table_version: (0, 0),
            own_answers: VecDeque::new(),
            news: VecDeque::new(),
            due: Instant::MAX,
        };
        pool.look(cx, contest);
        pool.finish(cx, contest);
        pool
    }

    /// For how long it is remembered that a lock is free: longer than any grant before that may be.
    pub(super) fn remembers_free(&self) -> Duration {
        self.clock.full(self.config.max_ttl) * 2
    }

    pub(super) fn check_key(&self, key: &str) -> Result<(), LockError> {
        let (length, limit) = (key.len(), self.config.max_key);
        if (1..=limit).contains(&length) { Ok(()) } else { Err(LockError::Key { length, limit }) }
    }

    /// The time to live in microseconds.
    pub(super) fn check_ttl(&self, ttl: Duration) -> Result<u64, LockError> {
        let (min, max) = (self.config.min_ttl, self.config.max_ttl);
        let micros = u64::try_from(ttl.as_micros()).ok().filter(|_| (min..=max).contains(&ttl));
        micros.ok_or(LockError::Ttl { ttl, min, max })
    }

    /// Takes note of who leads and who is there; whether anything changed.
    pub(super) fn look<A: Address>(&mut self, cx: &mut Context<A>, contest: &Contest) -> bool {
        self.excuse_stall(cx);
        let mut has_changed = self.look_at_myself(cx);
        let leads = contest.leads(cx.now).filter(|_| cx.is_active());
        if self.office.as_ref().map(|office| office.term) != leads {
            self.office = leads.and_then(|term| self.enter_office(cx, contest, term));
            has_changed = true;
        }
        let leader = contest.leader(cx.now);
        if self.leader != leader {
            self.leader = leader;
            self.client.ask_again(cx.now);
            has_changed = true;
        }
        let (settlement, table_version) = (contest.settlement(), (cx.table.version(), cx.starts_heard));
        if self.settlement == Some(settlement) && self.table_version == table_version {
            return has_changed;
        }
        self.note_voters(cx.now, contest);
        (self.settlement, self.table_version) = (Some(settlement), table_version);
        if self.office.is_some() {
            self.note_replicas(cx, contest);
            self.free_departed(cx);
            self.go_on_recovering(cx, contest);
        }
        has_changed || self.office.is_some()
    }

    /// A life that is over holds nothing: others see that it ended, and free what it held.
    fn look_at_myself<A: Address>(&mut self, cx: &Context<A>) -> bool {
        let epoch = cx.incarnation().epoch;
        let is_another = self.me.epoch != epoch;
        if is_another {
            // The node went beyond its own past.
            self.me.epoch = epoch;
            self.office = None;
        }
        if is_another || !cx.is_active() && self.client.holds_any() {
            self.lose_all(cx.now);
            return true;
        }
        false
    }

    /// Whoever loses its vote still knows what it remembered.
    fn note_voters(&mut self, now: Instant, contest: &Contest) {
        if self.voters == contest.voters() {
            return;
        }
        let former = core::mem::replace(&mut self.voters, contest.voters().to_vec());
        let long = self.clock.full(self.config.max_ttl);
        self.former.retain(|&(voter, since)| now.saturating_since(since) < long && !self.voters.contains(&voter));
        let gone = former.into_iter().filter(|voter| !self.voters.contains(voter)).map(|voter| (voter, now));
        self.former.extend(gone);
        let surplus = self.former.len().saturating_sub(MOST_VOTERS);
        self.former.drain(..surplus);
    }

    /// A step that comes late: the node did not run, or its clock leapt. What others hold counts for longer by as much.
    fn excuse_stall<A: Address>(&mut self, cx: &Context<A>) {
        let late = cx.now.saturating_since(self.due);
        if late <= self.config.min_ttl / 32 {
            return;
        }
        self.shelf.postpone(late);
        if let Some(office) = &mut self.office {
            office.postpone(late);
        }
        self.due = cx.now;
    }

    pub(super) fn step<A: Address>(&mut self, cx: &mut Context<A>, contest: &Contest) {
        self.look(cx, contest);
        self.expire_records(cx);
        self.go_on_recovering(cx, contest);
        self.store_again(cx);
        self.finish(cx, contest);
    }

    pub(super) fn handle<A: Address>(&mut self, cx: &mut Context<A>, contest: &Contest, from: Voter, say: Say<'_>) {
        self.look(cx, contest);
        if !cx.is_active() {
            return cx.drop(DropReason::Quiet);
        }
        match say {
            Say::Ask { term, op, floor, stamp, wish, key } => {
                if self.office.as_ref().is_some_and(|office| office.term == term) && self.check_key(key).is_ok() {
                    self.take_question(cx, (from, floor), (op, stamp), wish, key);
                }
            }
            Say::Answer { op, stamp, answer } => self.take_answer(cx, from, (op, stamp), answer),
            Say::Store { term, records } => {
                if self.obeys(from, term) {
                    self.remember(cx, term, records);
                }
            }
            Say::Stored { term, counts } => self.note_stored(cx, from, term, counts),
            Say::Fetch { term, after } => {
                if self.obeys(from, term) {
                    self.tell_known(cx, term, after);
                }
            }
            Say::Known { term, after, more, records } => {
                self.take_known(cx, from, term, (after, more), records);
                self.go_on_recovering(cx, contest);
            }
        }
        self.finish(cx, contest);
    }

    /// Whether to do what the leader of a term says; no earlier one is listened to any more.
    fn obeys(&mut self, from: Voter, term: Term) -> bool {
        let leads_itself = self.office.as_ref().is_some_and(|office| office.term < term);
        if term.candidate != from || term < self.fence || !term.is_possible() || leads_itself {
            return false;
        }
        self.fence = term;
        true
    }

    /// Lets this node's own operations go on, and plans what is next.
    pub(super) fn finish<A: Address>(&mut self, cx: &mut Context<A>, contest: &Contest) {
        /// What a node asks itself is answered at once, and may make it ask on.
        const ROUNDS: usize = 64;
        for _ in 0..ROUNDS {
            self.see_to_held(cx.now);
            let is_asked = self.see_to_ops(cx, contest);
            self.send_fresh(cx);
            let is_answered = !self.own_answers.is_empty();
            while let Some((op, stamp, answer)) = self.own_answers.pop_front() {
                self.take_answer(cx, self.me, (op, stamp), answer);
            }
            if !is_asked && !is_answered {
                break;
            }
        }
        self.arm(cx.now);
    }

    fn arm(&mut self, now: Instant) {
        let office = self.office.as_ref();
        let mut due = self.client.due().unwrap_or(Instant::MAX);
        for at in [self.shelf.due(), office.and_then(|office| office.due(now))].into_iter().flatten() {
            due = due.min(at);
        }
        let is_watched = !self.shelf.is_empty() || office.is_some_and(|office| office.gathering.is_some());
        if is_watched {
            due = due.min(now + self.config.min_ttl / 16);
        }
        // What is overdue had its turn just now.
        self.due = due.max(now + Duration::from_micros(1));
    }

    fn expire_records<A: Address>(&mut self, cx: &mut Context<A>) {
        while let Some((key, record)) = self.shelf.expire(cx.now) {
            if let Hold::Held { owner, .. } = record.hold {
                // Others may remember a grant before this one for longer.
                let ended = Record { hold: Hold::Free { by: owner }, until: cx.now + self.remembers_free(), ..record };
                let placed = self.shelf.put(&key, ended, self.config.most_records());
                if let Placed::Instead(former) = placed {
                    self.note_ended(cx, &former);
                }
            }
            self.note_ended(cx, &key);
        }
    }

    /// Sends to those of these lives that are there, by datagram if it fits.
    pub(super) fn send<A: Address>(&self, cx: &mut Context<A>, to: &[Voter], say: Say<'_>) {
        /// Bytes of the kind and the length of a message.
        const PREFIX: usize = 6;
        let address = |life: &Voter| {
            let member = cx.table.member(cx.table.find(life.id)?);
            (member.incarnation.epoch == life.epoch && *life != self.me).then(|| member.address.clone())
        };
        let to: Recipients<A> = to.iter().filter_map(address).collect();
        if to.is_empty() {
            return;
        }
        let payload = Parcel { mark: self.mark, say }.encode();
        let surroundings = HEADER + cx.config.trailer() + PREFIX;
        if payload.len() + surroundings <= cx.config.max_datagram {
            cx.outbox.push(Pending::Lock { to, channel: Channel::Datagram, payload });
        } else {
            for to in to {
                let (to, payload) = (one(to), payload.clone());
                cx.outbox.push(Pending::Lock { to, channel: Channel::Stream, payload });
            }
        }
    }
}

/// How this life of a node is, if it is known and not followed by another.
fn state<A: Address>(cx: &Context<A>, life: Voter) -> Option<MemberState> {
    let member = cx.table.member(cx.table.find(life.id)?);
    (member.incarnation.epoch == life.epoch).then_some(member.state)
}

/// Whether this life of a node goes on, as far as known.
pub(super) fn is_live<A: Address>(cx: &Context<A>, life: Voter) -> bool {
    state(cx, life).is_some_and(MemberState::is_live)
}

/// The same, without a doubt.
pub(super) fn is_alive<A: Address>(cx: &Context<A>, life: Voter) -> bool {
    state(cx, life) == Some(MemberState::Alive)
}

/// Whether this life of a node thinks of nothing any more, or only as long as it is cut off, where that is enough.
pub(super) fn is_over<A: Address>(cx: &Context<A>, life: Voter, death_is_enough: bool) -> bool {
    match state(cx, life) {
        Some(MemberState::Leaving | MemberState::Removed) => true,
        Some(MemberState::Dead) => death_is_enough,
        Some(_) => false,
        // A node whose clock was set back lives in an earlier epoch than it did, and others may tell of the later one.
        None => cx.table.find(life.id).is_some_and(|slot| cx.table.heard(slot) > life.epoch),
    }
}
