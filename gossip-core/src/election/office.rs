//! What a leader does while it is in office.

use alloc::vec::Vec;

use crate::context::Context;
use crate::election::contest::{BEATS, Contest, Promise};
use crate::election::electorate::is_carried;
use crate::election::reign::Follower;
use crate::election::{ElectionChange, MOST_VOTERS, StepDown, Term, Version, Voter};
use crate::identity::{Address, NodeId};
use crate::membership::{MemberState, Slot};
use crate::time::Instant;
use crate::wire::Act;

impl Contest {
    /// The leader's step: says that it leads, and sees to who has a vote.
    pub(super) fn rule<A: Address>(&mut self, cx: &mut Context<A>) {
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
        self.forget_silent(now);
        if self.reign.as_ref().is_some_and(|reign| reign.is_agreed) {
            self.change_electorate(cx);
        }
        self.send_to_all(cx, Act::Beat, term);
        self.renew(cx);
    }

    /// Whoever has no vote and answered nothing for so long begins anew when it answers again.
    fn forget_silent(&mut self, now: Instant) {
        let (lease, voters) = (self.settings.lease, &self.electorate.voters);
        if let Some(reign) = &mut self.reign {
            let is_there = |follower: &Follower| now.saturating_since(follower.heard) < lease * 2;
            reign.followers.retain(|voter, follower| is_there(follower) || voters.contains(voter));
        }
    }

    /// Counts who follows: the lease lasts from the latest beat that enough have answered.
    pub(super) fn renew<A: Address>(&mut self, cx: &Context<A>) {
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
        // Each costs a look at all who follow: many answered the same beat, and few beats can make the lease longer.
        times.dedup();
        let lease = self.settings.own_lease();
        let mut longer = times.into_iter().take_while(|&time| time + lease > reign.until);
        let enough = longer.find(|&time| carries(&|voter| heard(voter) >= Some(time)));
        let version = self.electorate.version;
        let holds = |voter: Voter| {
            voter == self.me || reign.followers.get(&voter).is_some_and(|follower| follower.version == version)
        };
        let is_agreed = reign.is_agreed || carries(&holds);
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
    pub(super) fn change_electorate<A: Address>(&mut self, cx: &Context<A>) {
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
    pub(super) fn heir<A: Address>(&self, cx: &Context<A>) -> Option<NodeId> {
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

    pub(super) fn release<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        term: Term,
        heir: Option<NodeId>,
        farewell: bool,
    ) {
        if let Some(promise) = self.promise.as_mut().filter(|promise| promise.term == term) {
            promise.until = cx.now;
        }
        self.send_to_all(cx, Act::Release { heir, farewell }, term);
    }

    /// Gives up what this node holds or wants.
    pub(super) fn abandon<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        reason: StepDown,
        heir: Option<NodeId>,
        farewell: bool,
    ) {
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

    pub(super) fn handle_heard<A: Address>(
        &mut self,
        cx: &Context<A>,
        from: Voter,
        term: Term,
        stamp: u64,
        version: Version,
    ) {
        let lease = self.settings.lease;
        let Some(reign) = self.reign.as_mut().filter(|reign| reign.term == term) else { return };
        let sent = Instant::from_micros(stamp);
        if sent > reign.beat {
            return;
        }
        self.electorate.note_answer(cx, from);
        let fresh = Follower { heard: sent, since: cx.now, version };
        let follower = reign.followers.entry(from).or_insert(fresh);
        if sent.saturating_since(follower.heard) >= lease {
            follower.since = cx.now;
        }
        follower.heard = follower.heard.max(sent);
        follower.version = follower.version.max(version);
        self.renew(cx);
    }
}
