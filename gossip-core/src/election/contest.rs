//! One election at one node: its promise, its candidacies and its time in office.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::context::Context;
use crate::election::electorate::{Electorate, is_carried, majority};
use crate::election::reign::{Follower, Reign};
use crate::election::round::Round;
use crate::election::{
    ElectionChange, ElectionConfig, ElectionStatus, MOST_VOTERS, NoLeader, StepDown, Term, Version, Voter,
};
use crate::event::Event;
use crate::identity::{Address, NodeId};
use crate::membership::{MemberState, Slot};
use crate::outbox::{Pending, Recipients, one};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::transmit::Channel;
use crate::wire::{Act, Ballot, Draft};

/// A leader says that it leads this often within a lease.
const BEATS: u32 = 6;

/// Numbers of terms beyond this are nobody's: none could follow them.
const LAST_TERM: u64 = u64::MAX - (1 << 32);

/// A node looks this often within a lease whether time leapt.
const TICKS: u32 = 16;

/// To vote for no other for a while.
#[derive(Clone, Copy, Debug)]
struct Promise {
    term: Term,
    /// The life of the candidate.
    to: Voter,
    until: Instant,
}

#[derive(Debug)]
pub(crate) struct Contest {
    pub(crate) name: Arc<str>,
    pub(crate) mark: u64,
    /// When there is something to do, or to look whether time leapt.
    pub(crate) due: Instant,
    /// When there is something to do.
    next: Instant,
    settings: ElectionConfig,
    /// This life of the node; another one after it went beyond its own past.
    me: Voter,
    /// It does not vote before.
    quiet_until: Instant,
    /// The latest term that it voted in.
    voted: Term,
    /// The greatest number of a term heard of.
    highest: u64,
    promise: Option<Promise>,
    electorate: Electorate,
    round: Option<Round>,
    reign: Option<Reign>,
    /// The leader heard of, and until when it counts.
    leader: Option<(Term, Instant)>,
    /// How many would have voted for this node when it asked last.
    last_votes: Vec<Voter>,
}

impl Contest {
    pub(crate) fn new<A: Address>(cx: &mut Context<A>, name: Arc<str>, mark: u64, settings: ElectionConfig) -> Self {
        let me = Voter { id: cx.id(), epoch: cx.incarnation().epoch };
        let quiet_until = cx.now + settings.full_lease();
        let mut contest = Self {
            name,
            mark,
            due: cx.now,
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

    fn arm<A: Address>(&mut self, cx: &Context<A>) {
        self.due = self.next.min(cx.now + self.settings.lease / TICKS);
    }

    /// A step that comes late: the node did not run, or its clock leapt. Promises are kept longer by as much.
    fn excuse_stall<A: Address>(&mut self, cx: &Context<A>) {
        let late = cx.now.saturating_since(self.due);
        if late <= self.settings.lease / 32 {
            return;
        }
        let due = self.due;
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
        self.due = cx.now;
    }

    /// A node that went beyond its own past is another voter, which remembers all the same.
    fn notice_own_past<A: Address>(&mut self, cx: &mut Context<A>) {
        let epoch = cx.incarnation().epoch;
        if self.me.epoch != epoch {
            self.me.epoch = epoch;
            self.abandon(cx, StepDown::NotEligible, None, false);
        }
    }

    fn is_eligible<A: Address>(&self, cx: &Context<A>) -> bool {
        cx.is_active() && self.settings.criteria.matches(&cx.table.myself().metadata)
    }

    /// Live members that fit, this node not included.
    fn others<'a, A: Address>(&'a self, cx: &'a Context<A>) -> impl Iterator<Item = Slot> + 'a {
        cx.view.live().iter().copied().filter(|&slot| self.settings.criteria.matches(&cx.table.member(slot).metadata))
    }

    fn seen<A: Address>(&self, cx: &Context<A>) -> usize {
        self.others(cx).count() + usize::from(self.is_eligible(cx))
    }

    fn quorum<A: Address>(&self, cx: &Context<A>) -> usize {
        let settled = self.electorate.settled(cx.now, self.settings.full_lease());
        let seen = self.seen(cx).min(MOST_VOTERS);
        self.settings.floor.max(majority(settled)).max(majority(seen))
    }

    /// Whether those for whom `has` holds can make this node the leader, or keep it.
    fn is_quorum<A: Address>(&self, cx: &Context<A>, among: &[Voter], has: impl Fn(Voter) -> bool) -> bool {
        let wait = self.settings.full_lease();
        let votes = among.iter().filter(|&&voter| has(voter)).count();
        votes >= self.quorum(cx) && is_carried(self.electorate.effective(cx.now, wait), &has)
    }

    /// Time until the next attempt: different for all, so that they do not get in each other's way.
    fn patience<A: Address>(&self, cx: &mut Context<A>) -> Duration {
        let micros = u64::try_from(self.settings.lease.as_micros() / 8).unwrap_or(u64::MAX);
        self.settings.lease / 32 + Duration::from_micros(cx.rng.below_u64(micros))
    }

    fn tell<A: Address>(&self, cx: &mut Context<A>, change: ElectionChange) {
        cx.events.push(Event::Election { name: Arc::clone(&self.name), change });
    }

    fn send<A: Address>(&self, cx: &mut Context<A>, to: Recipients<A>, act: Act, term: Term, stamp: u64) {
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

    fn send_to_all<A: Address>(&self, cx: &mut Context<A>, act: Act, term: Term) {
        let to: Recipients<A> = self.others(cx).map(|slot| cx.table.member(slot).address.clone()).collect();
        let stamp = cx.now.as_micros();
        self.send(cx, to, act, term, stamp);
    }

    /// Nobody leads: asks whether the others would have this node, unless it has promised something.
    fn stand<A: Address>(&mut self, cx: &mut Context<A>) {
        let promised = self.promise.map_or(Instant::ZERO, |promise| promise.until);
        let free = promised.max(self.quiet_until);
        if cx.now < free {
            self.next = free + self.patience(cx);
            return;
        }
        let wait = self.settings.full_lease();
        let effective: Vec<Voter> = self.electorate.effective(cx.now, wait).collect();
        let may_stand = effective.is_empty() || effective.contains(&self.me);
        if self.is_eligible(cx) && may_stand {
            self.ask(cx, false);
        } else {
            self.next = cx.now + self.settings.lease / 4 + self.patience(cx);
        }
    }

    /// Asks all for their votes, or whether they would give them.
    fn ask<A: Address>(&mut self, cx: &mut Context<A>, is_vote: bool) {
        // Lives that ended may have voted in terms that nobody remembers; the starts that followed lie beyond these.
        let starts = cx.table.shown().map(|member| member.incarnation.epoch.as_u64()).max().unwrap_or(0);
        let number = self.highest.max(self.voted.number).max(starts).saturating_add(1);
        let term = Term { number, candidate: self.me };
        if is_vote {
            self.highest = number;
            self.voted = term;
            self.promise = Some(Promise { term, to: self.me, until: cx.now + self.settings.promise() });
        }
        let ends = cx.now + self.settings.lease / 8;
        self.round = Some(Round { term, asked: cx.now, ends, is_vote, votes: Vec::from([self.me]) });
        self.next = cx.now + self.settings.lease / 32;
        self.send_to_all(cx, if is_vote { Act::Ask } else { Act::Canvass }, term);
        self.count(cx);
    }

    /// Asks again while there is time: questions get lost, and some come before the word that frees who is asked.
    fn go_on_asking<A: Address>(&mut self, cx: &mut Context<A>) {
        let Some(round) = &self.round else { return };
        let (term, asked, is_vote) = (round.term, round.asked, round.is_vote);
        if cx.now >= round.ends {
            self.end_round(cx);
            return;
        }
        self.next = (cx.now + self.settings.lease / 32).min(round.ends);
        let to = self.others(cx).map(|slot| cx.table.member(slot).address.clone()).collect();
        self.send(cx, to, if is_vote { Act::Ask } else { Act::Canvass }, term, asked.as_micros());
        self.count(cx);
    }

    /// Goes on as soon as there are enough votes.
    fn count<A: Address>(&mut self, cx: &mut Context<A>) {
        let Some(round) = &self.round else { return };
        if !self.is_quorum(cx, &round.votes, |voter| round.votes.contains(&voter)) {
            return;
        }
        if round.is_vote {
            self.win(cx);
        } else {
            self.ask(cx, true);
        }
    }

    /// There were too few votes; those given are given back.
    fn end_round<A: Address>(&mut self, cx: &mut Context<A>) {
        let Some(round) = self.round.take() else { return };
        if round.is_vote {
            self.release(cx, round.term, None, false);
        }
        self.last_votes = round.votes;
        self.next = cx.now + self.patience(cx);
    }

    fn win<A: Address>(&mut self, cx: &mut Context<A>) {
        let Some(round) = self.round.take() else { return };
        let term = round.term;
        let wait = self.settings.full_lease();
        let is_first = self.electorate.effective(cx.now, wait).next().is_none();
        let mut voters = self.electorate.voters.clone();
        if is_first {
            voters = round.votes;
            voters.truncate(MOST_VOTERS);
        }
        self.electorate.adopt(Version { term, step: 0 }, voters.into_iter());
        let until = round.asked + self.settings.own_lease();
        let (followers, previous) = (alloc::collections::BTreeMap::new(), Vec::new());
        self.reign = Some(Reign { term, until, beat: Instant::ZERO, followers, previous, is_agreed: false });
        self.leader = None;
        self.tell(cx, ElectionChange::BecameLeader { term });
        self.rule(cx);
    }

    /// The leader's step: says that it leads, and sees to who has a vote.
    fn rule<A: Address>(&mut self, cx: &mut Context<A>) {
        if !self.is_eligible(cx) {
            let heir = self.heir(cx);
            self.abandon(cx, StepDown::NotEligible, heir, false);
            return;
        }
        let Some(reign) = &mut self.reign else { return };
        if cx.now >= reign.until {
            self.abandon(cx, StepDown::LeaseEnded, None, false);
            return;
        }
        let (term, now) = (reign.term, cx.now);
        reign.beat = now;
        self.promise = Some(Promise { term, to: self.me, until: now + self.settings.promise() });
        if self.reign.as_ref().is_some_and(|reign| reign.is_agreed) {
            self.change_electorate(cx);
        }
        self.send_to_all(cx, Act::Beat, term);
        self.renew(cx);
    }

    /// Counts who follows: the lease lasts from the latest beat that enough have answered.
    fn renew<A: Address>(&mut self, cx: &Context<A>) {
        let Some(reign) = &self.reign else { return };
        let mut among: Vec<Voter> = reign.followers.keys().copied().collect();
        among.push(self.me);
        let heard = |voter: Voter| {
            if voter == self.me { Some(reign.beat) } else { reign.followers.get(&voter).map(|it| it.heard) }
        };
        let carries = |has: &dyn Fn(Voter) -> bool| {
            let wait = self.settings.full_lease();
            let previous = reign.previous.iter().copied().filter(|&it| !self.electorate.is_over(it, cx.now, wait));
            self.is_quorum(cx, &among, has) && is_carried(previous, has)
        };
        let mut times: Vec<Instant> = among.iter().filter_map(|&voter| heard(voter)).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let enough = times.into_iter().find(|&time| carries(&|voter| heard(voter) >= Some(time)));
        let version = self.electorate.version;
        let holds = |voter: Voter| {
            voter == self.me || reign.followers.get(&voter).is_some_and(|follower| follower.version == version)
        };
        let is_agreed = reign.is_agreed || carries(&holds);
        let lease = self.settings.own_lease();
        let Some(reign) = &mut self.reign else { return };
        if let Some(time) = enough {
            reign.until = reign.until.max(time + lease);
        }
        if is_agreed && !core::mem::replace(&mut reign.is_agreed, true) {
            reign.previous.clear();
            let voters = &self.electorate.voters;
            self.electorate.ended.retain(|voter, _| voters.contains(voter));
        }
        self.next = (reign.beat + self.settings.lease / BEATS).min(reign.until);
    }

    /// Gives one member a vote, or takes one away.
    fn change_electorate<A: Address>(&mut self, cx: &Context<A>) {
        let Some(reign) = &self.reign else { return };
        let (wait, now) = (self.settings.full_lease(), cx.now);
        let is_gone = |voter: Voter| {
            let Some(slot) = cx.table.find(voter.id) else { return true };
            let member = cx.table.member(slot);
            let is_buried =
                member.state == MemberState::Dead && now.saturating_since(member.since) >= self.settings.bury;
            let is_out = member.state.is_live() && !self.settings.criteria.matches(&member.metadata);
            is_buried || is_out
        };
        let goes = |&voter: &Voter| voter != self.me && (self.electorate.is_over(voter, now, wait) || is_gone(voter));
        let comes = |slot: Slot| {
            let member = cx.table.member(slot);
            let voter = Voter { id: member.id, epoch: member.incarnation.epoch };
            let follower = reign.followers.get(&voter)?;
            let is_steady = now.saturating_since(follower.since) >= self.settings.steady
                && now.saturating_since(follower.heard) < self.settings.lease;
            (is_steady && !self.electorate.voters.contains(&voter)).then_some(voter)
        };
        let mut voters = self.electorate.voters.clone();
        if !voters.contains(&self.me) && voters.len() < MOST_VOTERS {
            voters.push(self.me);
        } else if let Some(position) = voters.iter().position(goes) {
            voters.remove(position);
        } else if voters.len() < MOST_VOTERS
            && let Some(voter) = self.others(cx).find_map(comes)
        {
            voters.push(voter);
        } else {
            return;
        }
        let version = Version { step: self.electorate.version.step + 1, ..self.electorate.version };
        let previous = core::mem::take(&mut self.electorate.voters);
        // Lives that ended go on counting as such in the previous electorate.
        let ended = core::mem::take(&mut self.electorate.ended);
        self.electorate.adopt(version, voters.into_iter());
        self.electorate.ended = ended;
        if let Some(reign) = &mut self.reign {
            reign.previous = previous;
            reign.is_agreed = false;
        }
    }

    /// A follower that could lead at once: one with a vote that answered last.
    fn heir<A: Address>(&self, cx: &Context<A>) -> Option<NodeId> {
        let reign = self.reign.as_ref()?;
        let is_fit = |voter: &Voter| {
            let slot = cx.table.find(voter.id)?;
            let member = cx.table.member(slot);
            (member.state == MemberState::Alive && self.settings.criteria.matches(&member.metadata)).then_some(())
        };
        let fit = reign.followers.iter().filter(|(voter, _)| is_fit(voter).is_some());
        let voters = &self.electorate.voters;
        let best = fit.max_by_key(|(voter, follower)| (voters.contains(voter), follower.heard, voter.id))?;
        Some(best.0.id)
    }

    fn release<A: Address>(&mut self, cx: &mut Context<A>, term: Term, heir: Option<NodeId>, farewell: bool) {
        if let Some(promise) = self.promise.as_mut().filter(|promise| promise.term == term) {
            promise.until = cx.now;
        }
        self.send_to_all(cx, Act::Release { heir, farewell }, term);
    }

    /// Gives up what this node holds or wants.
    fn abandon<A: Address>(&mut self, cx: &mut Context<A>, reason: StepDown, heir: Option<NodeId>, farewell: bool) {
        if let Some(round) = self.round.take().filter(|round| round.is_vote) {
            self.release(cx, round.term, None, farewell);
        }
        if let Some(reign) = self.reign.take() {
            self.release(cx, reign.term, heir, farewell);
            self.tell(cx, ElectionChange::SteppedDown { term: reign.term, reason });
        }
        self.next = cx.now + self.settings.lease / BEATS + self.patience(cx);
    }

    pub(super) fn leave<A: Address>(&mut self, cx: &mut Context<A>) {
        let heir = self.heir(cx);
        self.abandon(cx, StepDown::Leaves, heir, true);
        self.lose_leader(cx);
    }

    pub(super) fn forget(&mut self, now: Instant, id: NodeId) {
        self.electorate.forget(now, id);
    }

    fn lose_leader<A: Address>(&mut self, cx: &mut Context<A>) {
        if let Some((term, _)) = self.leader.take() {
            self.tell(cx, ElectionChange::Lost { term });
        }
    }

    /// Something came from a member in this life of it.
    pub(super) fn handle<A: Address>(&mut self, cx: &mut Context<A>, from: Voter, to: A, ballot: &Ballot<'_>) {
        self.excuse_stall(cx);
        self.notice_own_past(cx);
        self.take(cx, from, to, ballot);
        self.arm(cx);
    }

    fn take<A: Address>(&mut self, cx: &mut Context<A>, from: Voter, to: A, ballot: &Ballot<'_>) {
        if ballot.term.number > LAST_TERM {
            return cx.drop(DropReason::Contradiction);
        }
        self.highest = self.highest.max(ballot.term.number);
        let (term, version) = (ballot.term, ballot.version);
        match ballot.act {
            Act::Canvass | Act::Ask | Act::Beat => {
                if term.candidate != from {
                    return;
                }
                let answer = self.answer(cx, from, ballot);
                self.send(cx, one(to), answer, term, ballot.stamp);
            }
            Act::Would | Act::Grant => {
                let is_vote = ballot.act == Act::Grant;
                let fits = |round: &&mut Round| {
                    (round.term, round.is_vote, round.asked.as_micros()) == (term, is_vote, ballot.stamp)
                };
                if let Some(round) = self.round.as_mut().filter(fits) {
                    round.count(from);
                    self.count(cx);
                }
            }
            Act::Heard => self.handle_heard(cx, from, term, ballot.stamp, version),
            Act::Refuse => {
                if version > self.electorate.version && self.reign.is_none() {
                    self.electorate.adopt(version, ballot.voters());
                    self.electorate.look(cx);
                    // Votes were asked for under another electorate.
                    self.end_round(cx);
                }
            }
            Act::Release { heir, farewell } => self.handle_release(cx, from, term, heir, farewell),
        }
    }

    /// What to say to somebody who wants to lead, or does.
    fn answer<A: Address>(&mut self, cx: &mut Context<A>, from: Voter, ballot: &Ballot<'_>) -> Act {
        let (term, version) = (ballot.term, ballot.version);
        let is_beat = ballot.act == Act::Beat;
        if version > self.electorate.version && is_beat && term >= self.voted && self.reign.is_none() {
            self.electorate.adopt(version, ballot.voters());
            self.electorate.look(cx);
        }
        if is_beat && term >= self.voted {
            self.note_leader(cx, term);
        }
        let is_bound = self.promise.is_some_and(|promise| promise.until > cx.now && promise.to != from);
        // A question that comes again is answered again.
        let is_given = self.promise.is_some_and(|promise| promise.term == term && promise.to == from);
        let is_late = term < self.voted || term == self.voted && !is_given;
        let is_behind = version < self.electorate.version;
        if !self.is_eligible(cx) || cx.now < self.quiet_until || is_bound || is_late || is_behind {
            return Act::Refuse;
        }
        if ballot.act == Act::Canvass {
            return Act::Would;
        }
        if self.reign.is_some() || self.round.is_some() {
            self.abandon(cx, StepDown::Superseded, None, false);
        }
        self.voted = term;
        let until = cx.now + self.settings.promise();
        self.promise = Some(Promise { term, to: from, until });
        self.next = until + self.patience(cx);
        if is_beat { Act::Heard } else { Act::Grant }
    }

    fn note_leader<A: Address>(&mut self, cx: &mut Context<A>, term: Term) {
        if self.reign.is_some() || self.leader.is_some_and(|(known, _)| known > term) {
            return;
        }
        if self.leader.is_none_or(|(known, _)| known != term) {
            self.lose_leader(cx);
            self.tell(cx, ElectionChange::Elected { term });
        }
        self.leader = Some((term, cx.now + self.settings.lease));
    }

    fn handle_heard<A: Address>(&mut self, cx: &Context<A>, from: Voter, term: Term, stamp: u64, version: Version) {
        let lease = self.settings.lease;
        let Some(reign) = self.reign.as_mut().filter(|reign| reign.term == term) else { return };
        let sent = Instant::from_micros(stamp);
        if sent > reign.beat {
            return;
        }
        let fresh = Follower { heard: sent, since: cx.now, version };
        let follower = reign.followers.entry(from).or_insert(fresh);
        if sent.saturating_since(follower.heard) >= lease {
            follower.since = cx.now;
        }
        follower.heard = follower.heard.max(sent);
        follower.version = follower.version.max(version);
        self.renew(cx);
    }

    fn handle_release<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        from: Voter,
        term: Term,
        heir: Option<NodeId>,
        farewell: bool,
    ) {
        if term.candidate != from {
            return;
        }
        if farewell && self.electorate.voters.contains(&from) {
            let ended = super::electorate::Ended { since: Instant::ZERO, for_good: true };
            self.electorate.ended.insert(from, ended);
        }
        if let Some(promise) = self.promise.as_mut().filter(|promise| promise.to == from && promise.term <= term) {
            promise.until = promise.until.min(cx.now);
        }
        if self.leader.is_some_and(|(known, _)| known == term) {
            self.lose_leader(cx);
        }
        if self.reign.is_some() || self.round.is_some() {
            return;
        }
        let is_free = self.promise.is_none_or(|promise| promise.until <= cx.now) && cx.now >= self.quiet_until;
        if heir == Some(self.me.id) && is_free && self.is_eligible(cx) {
            self.ask(cx, true);
        } else if is_free {
            let wait = if heir.is_some() { self.settings.lease / BEATS } else { Duration::ZERO };
            self.next = cx.now + wait + self.patience(cx);
        }
    }

    /// The term in which this node leads, as long as its lease lasts.
    pub(crate) fn leads(&self, now: Instant) -> Option<Term> {
        self.reign.as_ref().filter(|reign| now < reign.until).map(|reign| reign.term)
    }

    /// Until when this node leads, if it does.
    pub(crate) fn leads_until(&self) -> Option<Instant> {
        self.reign.as_ref().map(|reign| reign.until)
    }

    /// The leader heard of, and until when it counts.
    pub(crate) fn follows(&self, now: Instant) -> Option<(Term, Instant)> {
        self.leader.filter(|&(_, until)| now < until)
    }

    pub(crate) fn status<A: Address>(&self, cx: &Context<A>, now: Instant) -> ElectionStatus {
        let wait = self.settings.full_lease();
        let heard = self.follows(now).map(|(term, _)| term);
        let leader = self.leads(now).or(heard);
        let quorum = self.quorum(cx);
        let votes = self.last_votes.len();
        let is_willing = |voter: &Voter| self.last_votes.contains(voter);
        let effective: Vec<Voter> = self.electorate.effective(now, wait).collect();
        let willing = effective.iter().filter(|voter| is_willing(voter)).count();
        let reason = if leader.is_some() {
            None
        } else if !self.is_eligible(cx) {
            Some(NoLeader::NotEligible)
        } else if now < self.quiet_until {
            Some(NoLeader::Waiting)
        } else if votes == 0 {
            Some(NoLeader::Undecided)
        } else if !effective.is_empty() && willing < majority(effective.len()) {
            Some(NoLeader::ElectorateLost { votes: willing, quorum: majority(effective.len()) })
        } else if votes < quorum {
            Some(NoLeader::NoQuorum { votes, quorum })
        } else {
            Some(NoLeader::Undecided)
        };
        ElectionStatus {
            leader,
            reason,
            settled: self.electorate.settled(now, wait),
            seen: self.seen(cx),
            quorum,
            votes: self.electorate.voters.contains(&self.me),
            heir: self.heir(cx),
        }
    }
}
