//! What a node answers to those who want to lead, or do.

use core::time::Duration;

use crate::context::Context;
use crate::election::contest::{BEATS, Contest, Promise};
use crate::election::electorate::Ended;
use crate::election::reign::Reign;
use crate::election::round::Round;
use crate::election::{ElectionChange, StepDown, Term, Voter};
use crate::identity::{Address, NodeId};
use crate::outbox::one;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::{Act, Ballot};

impl Contest {
    /// Something came from a member in this life of it.
    pub(super) fn handle<A: Address>(&mut self, cx: &mut Context<A>, from: Voter, to: A, ballot: &Ballot<'_>) {
        self.excuse_stall(cx);
        self.notice_own_past(cx);
        self.take(cx, from, to, ballot);
        self.arm(cx);
    }

    pub(super) fn take<A: Address>(&mut self, cx: &mut Context<A>, from: Voter, to: A, ballot: &Ballot<'_>) {
        if !ballot.term.is_possible() {
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
                // Whoever is refused has to know what it must go beyond.
                let term = if answer == Act::Refuse { term.max(self.voted) } else { term };
                self.send(cx, one(to), answer, term, ballot.stamp);
            }
            Act::Would | Act::Grant => {
                let is_vote = ballot.act == Act::Grant;
                let fits = |round: &&mut Round| {
                    (round.term, round.is_vote, round.asked.as_micros()) == (term, is_vote, ballot.stamp)
                };
                if let Some(round) = self.round.as_mut().filter(fits) {
                    round.count(from);
                    self.electorate.note_answer(cx, from);
                    self.count(cx);
                }
            }
            Act::Heard => self.handle_heard(cx, from, term, ballot.stamp, version),
            Act::Refuse => {
                let is_asked = self.round.as_ref().is_some_and(|round| round.asked.as_micros() == ballot.stamp);
                if is_asked || self.reign.as_ref().is_some_and(|reign| reign.beat.as_micros() == ballot.stamp) {
                    self.electorate.note_answer(cx, from);
                }
                let is_beyond = |reign: &Reign| {
                    reign.beat.as_micros() == ballot.stamp && (term > reign.term || version > self.electorate.version)
                };
                if self.reign.as_ref().is_some_and(is_beyond) {
                    // It could never follow this leader; it can follow one elected in a later term.
                    self.abandon(cx, StepDown::Superseded, None, false);
                }
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
    pub(super) fn answer<A: Address>(&mut self, cx: &mut Context<A>, from: Voter, ballot: &Ballot<'_>) -> Act {
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

    pub(super) fn note_leader<A: Address>(&mut self, cx: &mut Context<A>, term: Term) {
        if self.reign.is_some() || self.leader.is_some_and(|(known, _)| known > term) {
            return;
        }
        if self.leader.is_none_or(|(known, _)| known != term) {
            self.lose_leader(cx);
            self.tell(cx, ElectionChange::Elected { term });
        }
        self.leader = Some((term, cx.now + self.settings.lease));
    }

    pub(super) fn lose_leader<A: Address>(&mut self, cx: &mut Context<A>) {
        if let Some((term, _)) = self.leader.take() {
            self.tell(cx, ElectionChange::Lost { term });
        }
    }

    pub(super) fn handle_release<A: Address>(
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
            let ended = Ended { since: Instant::ZERO, for_good: true };
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
}
