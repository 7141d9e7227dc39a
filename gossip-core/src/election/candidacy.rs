//! Standing for election: whom a node asks, and what it makes of the answers.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::context::Context;
use crate::election::contest::{Contest, Promise};
use crate::election::reign::Reign;
use crate::election::round::Round;
use crate::election::{ElectionChange, MOST_VOTERS, Term, Version};
use crate::identity::Address;
use crate::time::Instant;
use crate::wire::Act;

impl Contest {
    /// Time until the next attempt: different for all, so that they do not get in each other's way.
    pub(super) fn patience<A: Address>(&self, cx: &mut Context<A>) -> Duration {
        let micros = u64::try_from(self.settings.lease.as_micros() / 8).unwrap_or(u64::MAX);
        self.settings.lease / 32 + Duration::from_micros(cx.rng.below_u64(micros))
    }

    /// Nobody leads: asks whether the others would have this node, unless it has promised something.
    pub(super) fn stand<A: Address>(&mut self, cx: &mut Context<A>) {
        let promised = self.promise.map_or(Instant::ZERO, |promise| promise.until);
        let free = promised.max(self.quiet_until);
        if cx.now < free {
            self.next = free + self.patience(cx);
            return;
        }
        if self.is_eligible(cx) {
            self.ask(cx, false);
        } else {
            self.next = cx.now + self.settings.lease / 4 + self.patience(cx);
        }
    }

    /// Asks all for their votes, or whether they would give them.
    pub(super) fn ask<A: Address>(&mut self, cx: &mut Context<A>, is_vote: bool) {
        // Lives that ended may have voted in terms that nobody remembers; the starts that followed lie beyond these.
        let starts = cx.table.shown().map(|member| member.incarnation.epoch.as_u64()).max().unwrap_or(0);
        let number = self.highest.max(self.voted.number).max(starts).saturating_add(1);
        let term = Term { number, candidate: self.me };
        if is_vote {
            self.highest = number;
            self.voted = term;
            self.promise = Some(Promise { term, to: self.me, until: cx.now + self.settings.promise() });
        }
        self.electorate.note_answer(cx, self.me);
        let ends = cx.now + self.settings.lease / 8;
        self.round = Some(Round { term, asked: cx.now, ends, is_vote, votes: Vec::from([self.me]) });
        self.next = cx.now + self.settings.lease / 32;
        self.send_to_all(cx, if is_vote { Act::Ask } else { Act::Canvass }, term);
        self.count(cx);
    }

    /// Asks again while there is time: questions get lost, and some come before the word that frees who is asked.
    pub(super) fn go_on_asking<A: Address>(&mut self, cx: &mut Context<A>) {
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
    pub(super) fn count<A: Address>(&mut self, cx: &mut Context<A>) {
        let Some(round) = &self.round else { return };
        if !self.is_quorum(cx, &round.votes, |voter| round.votes.contains(&voter)) {
            return;
        }
        if !round.is_vote {
            self.ask(cx, true);
        } else if cx.now < round.asked + self.settings.own_lease() {
            self.win(cx);
        } else {
            // The votes waited while this node stood still, and with them the whole lease went by.
            self.end_round(cx);
        }
    }

    /// There were too few votes; those given are given back.
    pub(super) fn end_round<A: Address>(&mut self, cx: &mut Context<A>) {
        let Some(round) = self.round.take() else { return };
        if round.is_vote {
            self.release(cx, round.term, None, false);
        }
        self.last_votes = round.votes;
        // Those without a vote of their own ask less often: they are needed only where all who had one started again.
        let wait = if self.electorate.voters.contains(&self.me) { Duration::ZERO } else { self.settings.lease / 4 };
        self.next = cx.now + wait + self.patience(cx);
    }

    pub(super) fn win<A: Address>(&mut self, cx: &mut Context<A>) {
        let Some(round) = self.round.take() else { return };
        let term = round.term;
        let wait = self.settings.full_lease();
        let is_first = self.electorate.effective(cx.now, wait).next().is_none();
        let before = self.electorate.voters.clone();
        let mut voters = before.clone();
        if is_first {
            voters = round.votes;
            voters.truncate(MOST_VOTERS);
        }
        self.electorate.adopt(Version { term, step: 0 }, voters.into_iter());
        let until = round.asked + self.settings.own_lease();
        let (followers, previous) = (BTreeMap::new(), Vec::new());
        let beat = Instant::ZERO;
        self.reign = Some(Reign { term, until, beat, followers, before, previous, is_agreed: false });
        self.leader = None;
        self.tell(cx, ElectionChange::BecameLeader { term });
        self.rule(cx);
    }
}
