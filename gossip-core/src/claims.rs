//! What follows from a claim about a member: the rules of SWIM §4.2, in one place.
//!
//! A claim is `(incarnation, state)`; the larger one wins. That makes merging commutative, associative and idempotent,
//! whatever the order in which claims arrive.

use core::time::Duration;

use smallvec::SmallVec;

use crate::context::{Context, Phase};
use crate::event::{Cause, Event, MemberChange};
use crate::identity::{Address, Incarnation, NodeId, Tags};
use crate::membership::{Member, MemberState, RoundTrip, Slot};
use crate::metadata::Metadata;
use crate::outbox::Pending;
use crate::seal::{Addressee, Life};
use crate::stats::DropReason;
use crate::timer::Timer;
use crate::tombstone::telling_age;
use crate::wire::Claim;

/// How a claim came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearsay {
    /// As news, on its way through the cluster.
    News,
    /// As a row of somebody's table, which may be old.
    Row,
    /// As a row of the table that a newcomer is given; everybody there knows it already.
    Welcome,
}

impl<A: Address> Context<A> {
    /// Takes in what `teller` claims of a member.
    pub(crate) fn hear(&mut self, claim: &Claim<'_, A>, teller: NodeId, hearsay: Hearsay) {
        if claim.subject == self.id() {
            self.hear_of_myself(claim);
            return;
        }
        if self.phase == Phase::Contested {
            self.drop(DropReason::Quiet);
            return;
        }
        let known = self.table.find(claim.subject);
        let before = known.map(|slot| self.table.member(slot).incarnation);
        let slot = match known {
            Some(slot) => {
                self.hear_of_known(slot, claim, teller, hearsay);
                slot
            }
            None => match self.hear_of_stranger(claim, teller, hearsay) {
                Some(slot) => slot,
                None => return,
            },
        };
        let member = self.table.member(slot);
        if before != Some(member.incarnation) && member.state.is_live() {
            self.note_member(slot);
        }
        let row = self.table.row(slot);
        let is_same_start = row.member.incarnation.epoch == claim.incarnation.epoch;
        if is_same_start && row.metadata_version() < claim.metadata && row.member.state.is_live() {
            self.behind.push((slot, claim.metadata));
        }
    }

    fn hear_of_stranger(&mut self, claim: &Claim<'_, A>, teller: NodeId, hearsay: Hearsay) -> Option<Slot> {
        let age = Duration::from_secs(u64::from(claim.age));
        let is_live = claim.state.is_live();
        if !is_live && (hearsay == Hearsay::News || age >= telling_age(self.config.retention)) {
            self.drop(DropReason::UnknownMember);
            return None;
        }
        if self.table.len() >= self.config.max_members {
            self.drop(DropReason::MembersFull);
            return None;
        }
        let member = Member {
            id: claim.subject,
            address: claim.address.clone(),
            incarnation: claim.incarnation,
            state: if is_live { MemberState::Alive } else { claim.state },
            since: if is_live { self.now } else { self.now - age },
            speaks: claim.speaks,
            tags: Tags::default(),
            metadata: Metadata::default(),
        };
        let slot = self.table.insert(member, self.now);
        if !is_live {
            if claim.state == MemberState::Dead {
                self.table.declare(slot, claim.accusers.iter().next().unwrap_or(teller));
                self.put_dead(slot);
            }
            self.bury(slot);
            return Some(slot);
        }
        self.put_live(slot);
        if hearsay != Hearsay::Welcome {
            self.tell_claim(slot);
        }
        self.report(slot, None, Cause::Joined);
        if claim.state == MemberState::Suspect {
            self.accuse_by(slot, claim, teller);
        }
        Some(slot)
    }

    fn hear_of_known(&mut self, slot: Slot, claim: &Claim<'_, A>, teller: NodeId, hearsay: Hearsay) {
        let member = self.table.member(slot);
        if claim.incarnation < member.incarnation {
            return;
        }
        if claim.incarnation > member.incarnation {
            self.hear_newer(slot, claim, teller);
        } else if claim.address != member.address {
            self.drop(DropReason::Contradiction);
            return;
        }
        let known = self.table.member(slot).state;
        if claim.state == MemberState::Suspect && known.is_live() {
            self.accuse_by(slot, claim, teller);
            return;
        }
        if claim.state <= known {
            return;
        }
        // A row may be old, and "forgotten" is second-hand by nature: the member is given time to speak for itself.
        let is_doubtful = hearsay != Hearsay::News || claim.state == MemberState::Removed;
        if known.is_live() && is_doubtful && claim.state != MemberState::Leaving {
            self.accuse(slot, teller, false);
        } else {
            self.conclude_as(slot, claim, teller);
        }
    }

    /// The member spoke for itself since: it started again, moved, or refuted.
    fn hear_newer(&mut self, slot: Slot, claim: &Claim<'_, A>, teller: NodeId) {
        let before = self.table.member(slot);
        let was = before.state;
        let moved = before.address != claim.address;
        let restarted = before.incarnation.epoch != claim.incarnation.epoch;
        if restarted {
            self.set_tags(slot, Tags::default());
        }
        self.table.change(slot, self.now, |row| {
            row.member.address = claim.address.clone();
            row.member.speaks = claim.speaks;
            if restarted || moved {
                row.round_trip = RoundTrip::default();
            }
            if restarted {
                // What it said in its earlier life is void; nobody would ever take it back.
                row.member.metadata = Metadata::default();
            }
        });
        if !was.is_live() && !claim.state.is_live() {
            // A later life, which ended before it was heard of.
            self.table.set_claim(slot, claim.incarnation, was, self.now);
            self.conclude_as(slot, claim, teller);
            return;
        }
        let is_back = self.table.row(slot).hidden || was == MemberState::Removed;
        self.end_suspicion(slot);
        self.unbury(slot);
        self.table.set_claim(slot, claim.incarnation, MemberState::Alive, self.now);
        self.put_live(slot);
        self.tell_claim(slot);
        let cause = match (restarted, moved) {
            (true, _) => Cause::Restarted,
            (false, true) => Cause::Moved,
            (false, false) => Cause::Refuted,
        };
        if restarted || moved || was != MemberState::Alive {
            self.report(slot, (!is_back).then_some(was), cause);
        }
    }

    /// Takes over a suspicion with its accusers.
    fn accuse_by(&mut self, slot: Slot, claim: &Claim<'_, A>, teller: NodeId) {
        let accusers: SmallVec<[NodeId; 4]> = claim.accusers.iter().collect();
        if accusers.is_empty() {
            self.accuse(slot, teller, false);
        }
        for accuser in accusers {
            self.accuse(slot, accuser, false);
        }
    }

    /// `accuser` says that a live member does not answer.
    pub(crate) fn accuse(&mut self, slot: Slot, accuser: NodeId, first_hand: bool) {
        let member = self.table.member(slot);
        let (incarnation, state) = (member.incarnation, member.state);
        if !state.is_live() {
            return;
        }
        let is_new = state == MemberState::Alive;
        if is_new {
            self.suspicions.begin(slot, self.now, self.patience());
            self.table.set_claim(slot, incarnation, MemberState::Suspect, self.now);
        }
        if self.suspicions.accuse(slot, accuser, self.now) {
            self.tell_claim(slot);
        }
        self.timers.follow(Timer::Suspicion, self.suspicions.next_deadline());
        if is_new {
            let cause = if first_hand { Cause::ProbeFailed } else { Cause::Accused { by: accuser } };
            self.report(slot, Some(MemberState::Alive), cause);
            if !first_hand {
                self.accused.push(slot);
            }
        }
    }

    /// The suspicions whose time is over become deaths.
    pub(crate) fn expire_suspicions(&mut self) {
        if self.phase == Phase::Contested {
            return;
        }
        while let Some(slot) = self.suspicions.expire(self.now) {
            let accusers = self.suspicions.end(slot).unwrap_or_default();
            let by = self.id();
            self.conclude(slot, MemberState::Dead, Cause::SuspicionExpired { accusers }, Some(by));
        }
        self.timers.follow(Timer::Suspicion, self.suspicions.next_deadline());
    }

    /// Takes over that a member's life in its incarnation has ended.
    fn conclude_as(&mut self, slot: Slot, claim: &Claim<'_, A>, teller: NodeId) {
        let by = claim.accusers.iter().next().unwrap_or(teller);
        match claim.state {
            MemberState::Alive | MemberState::Suspect => {}
            MemberState::Dead => self.conclude(slot, MemberState::Dead, Cause::DeclaredDead { by }, Some(by)),
            MemberState::Leaving => self.conclude(slot, MemberState::Leaving, Cause::Left, None),
            MemberState::Removed => self.conclude(slot, MemberState::Removed, Cause::Forgotten, None),
        }
        if !claim.state.is_live() {
            // However old, it is remembered for a while: others may still tell of it as alive.
            let age = Duration::from_secs(u64::from(claim.age)).min(telling_age(self.config.retention));
            let since = self.now - age;
            self.table.change(slot, self.now, |row| row.member.since = since);
            self.bury(slot);
        }
    }

    /// Ends a member's life in its incarnation; `by` whom, if it is declared dead.
    fn conclude(&mut self, slot: Slot, state: MemberState, cause: Cause, by: Option<NodeId>) {
        let row = self.table.row(slot);
        let (previous, hidden) = (row.member.state, row.hidden);
        let incarnation = row.member.incarnation;
        self.end_suspicion(slot);
        self.table.set_claim(slot, incarnation, state, self.now);
        self.table.change(slot, self.now, |row| row.retired = false);
        if let Some(by) = by {
            self.table.declare(slot, by);
        }
        if by.is_some() && !hidden {
            self.put_dead(slot);
        } else {
            self.take_out(slot);
        }
        self.bury(slot);
        self.tell_claim(slot);
        if !hidden && previous != state {
            // Who was forgotten is unknown to the application.
            let known = (previous != MemberState::Removed).then_some(previous);
            self.report(slot, known, cause);
        }
    }

    fn end_suspicion(&mut self, slot: Slot) {
        self.suspicions.end(slot);
        self.timers.follow(Timer::Suspicion, self.suspicions.next_deadline());
    }

    /// Drops a dead or departed member from every table, this one included.
    pub(crate) fn forget_everywhere(&mut self, slot: Slot) {
        self.conclude(slot, MemberState::Removed, Cause::Forgotten, None);
    }

    /// Hides a dead or departed member here.
    pub(crate) fn forget_here(&mut self, slot: Slot) {
        let previous = self.table.member(slot).state;
        self.table.change(slot, self.now, |row| row.hidden = true);
        self.take_out(slot);
        let mut member = self.table.member(slot).clone();
        member.state = MemberState::Removed;
        self.events.push(Event::Member(MemberChange { member, previous: Some(previous), cause: Cause::Forgotten }));
    }

    fn report(&mut self, slot: Slot, previous: Option<MemberState>, cause: Cause) {
        let member = self.table.member(slot).clone();
        self.events.push(Event::Member(MemberChange { member, previous, cause }));
    }

    /// Somebody claims something of this very node.
    fn hear_of_myself(&mut self, claim: &Claim<'_, A>) {
        let myself = self.table.myself();
        let (mine, address) = (myself.incarnation, myself.address.clone());
        let theirs = claim.incarnation;
        let is_other_life = theirs.epoch == mine.epoch && claim.metadata > myself.metadata.version();
        let is_elsewhere = claim.address != address && claim.state.is_live();
        if matches!(self.phase, Phase::Leaving | Phase::Left) || theirs < mine {
            return;
        }
        if is_other_life && claim.address == address {
            // Two starts fell into one epoch, and this is not the first of them.
            let beyond = self.supersede(theirs);
            self.renew(beyond);
        } else if theirs.epoch > mine.epoch {
            if is_elsewhere {
                self.yield_to(claim.address.clone(), theirs);
            } else {
                // The node's own past, by a clock that ran ahead; or a rival that is gone.
                let beyond = self.supersede(theirs);
                self.renew(beyond);
            }
        } else if is_elsewhere && claim.address > address {
            // Two nodes in one epoch: nothing but the address tells them apart.
            self.yield_to(claim.address.clone(), theirs);
        } else if is_elsewhere {
            self.renew(theirs.refuted());
        } else if theirs > mine || claim.state != MemberState::Alive {
            self.stats.refutations += 1;
            if !self.is_active() {
                return;
            }
            self.awareness.worsen(1);
            self.renew(theirs.refuted());
        }
    }

    /// Speaks up with a new incarnation.
    pub(crate) fn renew(&mut self, incarnation: Incarnation) {
        let before = self.incarnation().epoch;
        if before != incarnation.epoch {
            self.outgrow(before);
            let mut metadata = self.table.myself().metadata.clone();
            if !metadata.is_empty() || metadata.version() > 0 {
                metadata.renew(incarnation.epoch);
            } else {
                metadata = Metadata::new(incarnation.epoch);
            }
            self.table.set_metadata(Slot::MYSELF, metadata, self.now);
            self.tell_metadata(Slot::MYSELF, 0);
        }
        self.table.set_claim(Slot::MYSELF, incarnation, MemberState::Alive, self.now);
        if self.phase == Phase::Contested {
            self.phase = Phase::Active;
            self.rival = None;
            self.suspicions.restart(self.now);
            self.timers.follow(Timer::Suspicion, self.suspicions.next_deadline());
            self.events.push(Event::IdRegained);
        }
        self.tell_claim(Slot::MYSELF);
    }

    /// Another live node has this node's id and a later start: this one goes quiet.
    fn yield_to(&mut self, rival: A, theirs: Incarnation) {
        self.rival_heard = self.now;
        self.rival_epoch = theirs.epoch;
        if self.rival.as_ref() == Some(&rival) {
            return;
        }
        self.phase = Phase::Contested;
        self.rival = Some(rival.clone());
        self.outbox.clear();
        self.timers.stop(Timer::Suspicion);
        self.tell_rival();
        self.events.push(Event::IdConflict { rival, incarnation: theirs, quiet: true });
    }

    /// Makes the rival aware of this node.
    pub(crate) fn tell_rival(&mut self) {
        let Some(to) = self.rival.clone() else { return };
        let myself = self.table.myself();
        let (incarnation, address) = (myself.incarnation, myself.address.clone());
        let life = Life { id: myself.id, epoch: self.rival_epoch };
        self.outbox.push_for(Addressee { life, key: None }, Pending::Conflict { to, incarnation, address });
    }
}

#[cfg(test)]
mod tests;
