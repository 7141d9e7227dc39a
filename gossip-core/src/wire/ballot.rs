//! What nodes say to each other to elect a leader.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::election::{MOST_VOTERS, Term, Version, Voter};
use crate::identity::NodeId;

/// Bytes of a voter: its id, and the start that it is in.
const VOTER: usize = 24;

/// What the sender wants, or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// "Would you vote for me?"
    Canvass,
    /// "Vote for me."
    Ask,
    /// "I lead."
    Beat,
    /// "I would."
    Would,
    /// "You have my vote."
    Grant,
    /// "I follow you."
    Heard,
    /// "I do not", to any of the first three.
    Refuse,
    /// "I ask for nothing in this term any more", perhaps with whom to make the leader instead, perhaps because the sender leaves and
    /// never votes again.
    Release { heir: Option<NodeId>, farewell: bool },
}

/// One message of an election.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ballot<'a> {
    /// Which election: a fingerprint of its name and of the settings that all must share.
    #[serde(with = "postcard::fixint::be")]
    pub(crate) mark: u64,
    pub(crate) act: Act,
    pub(crate) term: Term,
    /// What an answer repeats.
    pub(crate) stamp: u64,
    /// Which electorate the sender holds to.
    pub(crate) version: Version,
    /// The voters of it.
    #[serde(borrow)]
    voters: &'a [u8],
}

impl Ballot<'_> {
    pub(crate) fn is_valid(&self) -> bool {
        self.voters.len().is_multiple_of(VOTER) && self.voters.len() / VOTER <= MOST_VOTERS
    }

    pub(crate) fn voters(&self) -> impl Iterator<Item = Voter> {
        self.voters.chunks_exact(VOTER).filter_map(|bytes| postcard::from_bytes(bytes).ok())
    }
}

/// A message of an election that waits to be written.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) mark: u64,
    pub(crate) act: Act,
    pub(crate) term: Term,
    pub(crate) stamp: u64,
    pub(crate) version: Version,
    pub(crate) voters: Vec<Voter>,
}

impl Draft {
    /// Hands out the message as it travels.
    pub(crate) fn with_ballot<R>(&self, write: impl FnOnce(&Ballot<'_>) -> R) -> R {
        let mut voters = Vec::with_capacity(self.voters.len() * VOTER);
        for voter in &self.voters {
            voters.extend_from_slice(voter.id.as_bytes());
            voters.extend_from_slice(&voter.epoch.as_u64().to_be_bytes());
        }
        let Self { mark, act, term, stamp, version, .. } = *self;
        write(&Ballot { mark, act, term, stamp, version, voters: &voters })
    }
}
