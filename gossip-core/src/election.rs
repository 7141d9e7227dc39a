//! Elections: at most one leader for each name, by votes and leases. `docs/COORDINATION.md` says why it is right.

mod candidacy;
mod contest;
mod diagnosis;
mod electorate;
mod face;
mod office;
mod reign;
mod round;
mod settings;
mod status;
mod voting;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use crate::context::{Context, Phase};
use crate::identity::{Address, Epoch, NodeId};
use crate::stats::DropReason;
use crate::timer::Timer;
use crate::wire::Ballot;

pub(crate) use contest::Contest;
pub use settings::{ElectionConfig, ElectionError};
pub use status::{ElectionChange, ElectionStatus, NoLeader, StepDown};

/// Most voters of an election; further members follow without a vote.
pub(crate) const MOST_VOTERS: usize = 32;

/// Most elections that a node takes part in.
const MOST_ELECTIONS: usize = 64;

/// A term of office. Of two, the later one is greater. Each is one candidate's own, in one start of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Term {
    pub(crate) number: u64,
    pub(crate) candidate: Voter,
}

impl Term {
    pub(crate) const ZERO: Self =
        Self { number: 0, candidate: Voter { id: NodeId::from_bytes([0; 16]), epoch: Epoch::from_u64(0) } };

    /// Whether a term can have this number: beyond, none could follow.
    pub(crate) const fn is_possible(self) -> bool {
        self.number <= u64::MAX - (1 << 32)
    }

    /// The number by which terms are ordered; who leads decides among equal ones.
    pub const fn number(self) -> u64 {
        self.number
    }

    /// Whose term it is.
    pub const fn leader(self) -> NodeId {
        self.candidate.id
    }
}

/// Which electorate: the later one is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Version {
    /// The leader's that made it.
    pub(crate) term: Term,
    pub(crate) step: u32,
}

impl Version {
    pub(crate) const NONE: Self = Self { term: Term::ZERO, step: 0 };
}

/// One life of a node. Its next life is another voter, because it has forgotten how this one voted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Voter {
    pub(crate) id: NodeId,
    pub(crate) epoch: Epoch,
}

/// The elections that a node takes part in.
#[derive(Debug, Default)]
pub(crate) struct Elections {
    contests: Vec<Contest>,
}

impl Elections {
    pub(crate) fn enter<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        name: &str,
        settings: ElectionConfig,
    ) -> Result<(), ElectionError> {
        settings.validate()?;
        if name.is_empty() || name.len() > 255 {
            return Err(ElectionError::Name { length: name.len() });
        }
        if self.contest(name).is_some() {
            return Err(ElectionError::Entered);
        }
        if self.contests.len() >= MOST_ELECTIONS {
            return Err(ElectionError::TooMany { limit: MOST_ELECTIONS });
        }
        let mark = mark_of(name, &settings);
        self.contests.push(Contest::new(cx, Arc::from(name), mark, settings));
        self.arm(cx);
        Ok(())
    }

    pub(crate) fn contest(&self, name: &str) -> Option<&Contest> {
        self.contests.iter().find(|contest| *contest.name == *name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.contests.is_empty()
    }

    /// Does what is due.
    pub(crate) fn step<A: Address>(&mut self, cx: &mut Context<A>) {
        for contest in &mut self.contests {
            contest.step(cx);
        }
        self.arm(cx);
    }

    pub(crate) fn handle<A: Address>(&mut self, cx: &mut Context<A>, from: Voter, ballot: &Ballot<'_>) {
        // Answers can be long, so they are for members alone, and go to where these are known to be.
        let Some(slot) = cx.table.find(from.id).filter(|&slot| cx.table.member(slot).incarnation.epoch == from.epoch)
        else {
            return cx.drop(DropReason::UnknownMember);
        };
        let Some(contest) = self.contests.iter_mut().find(|contest| contest.mark == ballot.mark) else {
            return cx.drop(DropReason::Unexpected);
        };
        let to = cx.table.member(slot).address.clone();
        contest.handle(cx, from, to, ballot);
        self.arm(cx);
    }

    /// The node leaves: its offices go to others, at once.
    pub(crate) fn leave<A: Address>(&mut self, cx: &mut Context<A>) {
        for contest in &mut self.contests {
            contest.leave(cx);
        }
    }

    /// An operator vouches that a member is gone for good.
    pub(crate) fn forget<A: Address>(&mut self, cx: &mut Context<A>, id: NodeId) {
        for contest in &mut self.contests {
            contest.forget(cx.now, id);
        }
    }

    fn arm<A: Address>(&mut self, cx: &mut Context<A>) {
        let next = self.contests.iter().map(|contest| contest.due).min();
        let is_over = matches!(cx.phase, Phase::Leaving | Phase::Left);
        cx.timers.follow(Timer::Election, next.filter(|_| !is_over));
    }
}

/// Elections with other settings are other elections, whatever they are called: promises of different length do not go together.
fn mark_of(name: &str, settings: &ElectionConfig) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(0, 0);
    hasher.write(name.as_bytes());
    hasher.write(&[0]);
    let lease = u64::try_from(settings.lease.as_micros()).unwrap_or(u64::MAX);
    hasher.write(&lease.to_le_bytes());
    hasher.write(&settings.max_drift_ppm.to_le_bytes());
    hasher.write(&(settings.floor as u64).to_le_bytes());
    let criteria: String = alloc::format!("{}", settings.criteria);
    hasher.write(criteria.as_bytes());
    hasher.finish()
}
