//! Who has a vote, and how many votes are enough.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::context::Context;
use crate::election::{Version, Voter};
use crate::identity::{Address, NodeId};
use crate::membership::MemberState;
use crate::time::Instant;

/// How a voter's life ended, as was proved to this node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// By then at the latest.
    pub(super) since: Instant,
    /// It will not come back: it left, or an operator says so.
    pub(super) for_good: bool,
}

/// Those who have a vote, by agreement, and which of them will not use it any more.
#[derive(Clone, Debug)]
pub(super) struct Electorate {
    pub(super) version: Version,
    pub(super) voters: Vec<Voter>,
    pub(super) ended: BTreeMap<Voter, Ended>,
}

/// How many there must be.
pub(super) const fn majority(of: usize) -> usize {
    of / 2 + 1
}

impl Electorate {
    pub(super) const fn new() -> Self {
        Self { version: Version::NONE, voters: Vec::new(), ended: BTreeMap::new() }
    }

    /// Takes over what a leader says, or a voter that knows more.
    pub(super) fn adopt(&mut self, version: Version, voters: impl Iterator<Item = Voter>) {
        self.version = version;
        self.voters = voters.collect();
        let voters = &self.voters;
        self.ended.retain(|voter, _| voters.contains(voter));
    }

    /// Looks for lives that have ended: a later one was seen, or the voter itself said that it leaves.
    pub(super) fn look<A: Address>(&mut self, cx: &Context<A>) {
        for &voter in &self.voters {
            let Some(slot) = cx.table.find(voter.id) else { continue };
            let member = cx.table.member(slot);
            let for_good = member.incarnation.epoch == voter.epoch
                && matches!(member.state, MemberState::Leaving | MemberState::Removed);
            if for_good || member.incarnation.epoch > voter.epoch {
                self.ended.entry(voter).or_insert(Ended { since: cx.now, for_good });
            }
        }
    }

    /// Somebody who was asked at its address answers: the life of whoever had this address before has ended.
    pub(super) fn note_answer<A: Address>(&mut self, cx: &Context<A>, by: Voter) {
        let Some(successor) = cx.table.find(by.id).map(|slot| cx.table.member(slot)) else { return };
        for &voter in self.voters.iter().filter(|voter| voter.id != by.id) {
            let Some(member) = cx.table.find(voter.id).map(|slot| cx.table.member(slot)) else { continue };
            let is_of_this_life = member.incarnation.epoch == voter.epoch && !member.state.is_live();
            if is_of_this_life && member.address == successor.address {
                self.ended.entry(voter).or_insert(Ended { since: cx.now, for_good: false });
            }
        }
    }

    /// An operator says that a member is gone for good.
    pub(super) fn forget(&mut self, now: Instant, id: NodeId) {
        for &voter in self.voters.iter().filter(|voter| voter.id == id) {
            let ended = self.ended.entry(voter).or_insert(Ended { since: now, for_good: true });
            ended.for_good = true;
        }
    }

    /// Whether a voter votes no more, and all that it promised is over.
    pub(super) fn is_over(&self, voter: Voter, now: Instant, wait: Duration) -> bool {
        self.ended.get(&voter).is_some_and(|ended| now.saturating_since(ended.since) >= wait)
    }

    /// Voters that may still vote.
    pub(super) fn effective(&self, now: Instant, wait: Duration) -> impl Iterator<Item = Voter> {
        self.voters.iter().copied().filter(move |&voter| !self.is_over(voter, now, wait))
    }

    /// The settled size: voters that did not leave for good.
    pub(super) fn settled(&self, now: Instant, wait: Duration) -> usize {
        let is_gone = |&voter: &Voter| {
            self.is_over(voter, now, wait) && self.ended.get(&voter).is_some_and(|ended| ended.for_good)
        };
        self.voters.iter().filter(|voter| !is_gone(voter)).count()
    }
}

/// Whether those for whom `has` holds are a majority of these; of nobody, nobody is enough.
pub(super) fn is_carried(voters: impl Iterator<Item = Voter>, has: impl Fn(Voter) -> bool) -> bool {
    let (mut all, mut those) = (0, 0);
    for voter in voters {
        all += 1;
        those += usize::from(has(voter));
    }
    all == 0 || those >= majority(all)
}
