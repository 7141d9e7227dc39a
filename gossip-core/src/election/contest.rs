//! One election at one node: its promise, its candidacies and its time in office.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::context::Context;
use crate::election::electorate::{Electorate, is_carried, majority};
use crate::election::reign::Reign;
use crate::election::round::Round;
use crate::election::{ElectionChange, ElectionConfig, MOST_VOTERS, StepDown, Term, Voter};
use crate::event::Event;
use crate::identity::{Address, NodeId};
use crate::membership::Slot;
use crate::outbox::{Pending, Recipients, one};
use crate::time::Instant;
use crate::transmit::Channel;
use crate::wire::{Act, Draft};
/// A leader says that it leads this often within a lease.
pub(super) const BEATS: u32 = 6;

/// A node looks this often within a lease whether time leapt.
const TICKS: u32 = 16;

/// To vote for no other for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promise {
    pub(super) term: Term,
    /// The life of the candidate.
    pub(super) to: Voter,
    pub(super) until: Instant,
}

#[derive(Debug)]
pub(crate) struct Contest {
    pub(crate) name: Arc<str>,
    pub(crate) mark: u64,
    /// When there is something to do, or to look whether time leapt.
    pub(crate) due: Instant,
    /// When it is called next at the latest, unless something holds the node up.
    pub(super) expected: Instant,
    /// When there is something to do.
    pub(super) next: Instant,
    pub(super) settings: ElectionConfig,
    /// This life of the node; another one after it went beyond its own past.
    pub(super) me: Voter,
    /// It does not vote before.
    pub(super) quiet_until: Instant,
    /// The latest term that it voted in.
    pub(super) voted: Term,
    /// The greatest number of a term heard of.
    pub(super) highest: u64,
    pub(super) promise: Option<Promise>,
    pub(super) electorate: Electorate,
    pub(super) round: Option<Round>,
    pub(super) reign: Option<Reign>,
    /// The leader heard of, and until when it counts.
    pub(super) leader: Option<(Term, Instant)>,
    /// How many would have voted for this node when it asked last.
    pub(super) last_votes: Vec<Voter>,
}

impl Contest {
    pub(crate) fn new<A: Address>(cx: &mut Context<A>, name: Arc<str>, mark: u64, settings: ElectionConfig) -> Self {
        let me = Voter { id: cx.id(), epoch: cx.incarnation().epoch };
        let quiet_until = cx.now + settings.full_lease();
        let mut contest = Self {
            name,
            mark,
            due: cx.now,
            expected: cx.now,
            next: quiet_until,
            settings,
            me,
            quiet_until,
            voted: Term::ZERO,
            highest: 0,
            promise: None,
            electorate: Electorate::new(),
            round: None,
            reign: None,
            leader: None,
            last_votes: Vec::new(),
        };
        contest.next = quiet_until + contest.patience(cx);
        contest.arm(cx);
        contest
    }

    /// Does what is due.
    pub(super) fn step<A: Address>(&mut self, cx: &mut Context<A>) {
        self.excuse_stall(cx);
        self.electorate.look(cx);
        self.notice_own_past(cx);
        if self.leader.is_some_and(|(_, until)| cx.now >= until) {
            self.lose_leader(cx);
        }
        if cx.now >= self.next {
            if self.reign.is_some() {
                self.rule(cx);
            } else if self.round.is_some() {
                self.go_on_asking(cx);
            } else {
                self.stand(cx);
            }
        }
        self.arm(cx);
    }

    pub(super) fn arm<A: Address>(&mut self, cx: &Context<A>) {
        self.due = self.next.min(cx.now + self.settings.lease / TICKS);
        // What is overdue by now, as while packets that waited are handed in one after the other, makes no later call late.
        self.expected = self.due.max(cx.now);
    }

    /// A step that comes late: the node did not run, or its clock leapt. Promises are kept longer by as much.
    pub(super) fn excuse_stall<A: Address>(&mut self, cx: &Context<A>) {
        let late = cx.now.saturating_since(self.expected);
        if late <= self.settings.lease / 32 {
            return;
        }
        let due = self.expected;
        if let Some(promise) = self.promise.as_mut().filter(|promise| promise.until >= due) {
            promise.until = promise.until + late;
        }
        if self.quiet_until >= due {
            self.quiet_until = self.quiet_until + late;
        }
        for ended in self.electorate.ended.values_mut() {
            if ended.since > Instant::ZERO {
                ended.since = ended.since + late;
            }
        }
        self.expected = cx.now;
    }

    /// A node that went beyond its own past is another voter, which remembers all the same.
    pub(super) fn notice_own_past<A: Address>(&mut self, cx: &mut Context<A>) {
        let epoch = cx.incarnation().epoch;
        if self.me.epoch != epoch {
            self.me.epoch = epoch;
            self.abandon(cx, StepDown::NotEligible, None, false);
        }
    }

    pub(super) fn is_eligible<A: Address>(&self, cx: &Context<A>) -> bool {
        cx.is_active() && self.settings.criteria.matches(&cx.table.myself().metadata)
    }

    /// Live members that fit, this node not included.
    pub(super) fn others<'a, A: Address>(&'a self, cx: &'a Context<A>) -> impl Iterator<Item = Slot> + 'a {
        cx.view.live().iter().copied().filter(|&slot| self.settings.criteria.matches(&cx.table.member(slot).metadata))
    }

    pub(super) fn seen<A: Address>(&self, cx: &Context<A>) -> usize {
        self.others(cx).count() + usize::from(self.is_eligible(cx))
    }

    pub(super) fn quorum<A: Address>(&self, cx: &Context<A>) -> usize {
        let settled = self.electorate.settled(cx.now, self.settings.full_lease());
        let seen = self.seen(cx).min(MOST_VOTERS);
        self.settings.floor.max(majority(settled)).max(majority(seen))
    }

    /// Whether those for whom `has` holds can make this node the leader, or keep it.
    pub(super) fn is_quorum<A: Address>(&self, cx: &Context<A>, among: &[Voter], has: impl Fn(Voter) -> bool) -> bool {
        let wait = self.settings.full_lease();
        let votes = among.iter().filter(|&&voter| has(voter)).count();
        votes >= self.quorum(cx) && is_carried(self.electorate.effective(cx.now, wait), &has)
    }

    pub(super) fn tell<A: Address>(&self, cx: &mut Context<A>, change: ElectionChange) {
        cx.events.push(Event::Election { name: Arc::clone(&self.name), change });
    }

    pub(super) fn send<A: Address>(&self, cx: &mut Context<A>, to: Recipients<A>, act: Act, term: Term, stamp: u64) {
        if to.is_empty() {
            return;
        }
        // Who is asked has to know the electorate, and so has who asks somebody who knows a later one.
        let is_told = matches!(act, Act::Canvass | Act::Ask | Act::Beat | Act::Refuse);
        let voters = if is_told { self.electorate.voters.clone() } else { Vec::new() };
        let draft = Draft { mark: self.mark, act, term, stamp, version: self.electorate.version, voters };
        if matches!(act, Act::Release { .. }) {
            // A datagram is there before a node that leaves is gone; a stream is sure, where there is time for one.
            for to in &to {
                let (to, draft) = (one(to.clone()), draft.clone());
                cx.outbox.push(Pending::Ballot { to, channel: Channel::Stream, draft });
            }
        }
        cx.outbox.push(Pending::Ballot { to, channel: Channel::Datagram, draft });
    }

    pub(super) fn send_to_all<A: Address>(&self, cx: &mut Context<A>, act: Act, term: Term) {
        let to: Recipients<A> = self.others(cx).map(|slot| cx.table.member(slot).address.clone()).collect();
        let stamp = cx.now.as_micros();
        self.send(cx, to, act, term, stamp);
    }

    pub(super) fn forget(&mut self, now: Instant, id: NodeId) {
        self.electorate.forget(now, id);
    }
}
