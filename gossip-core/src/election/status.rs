//! What an application can see of an election.

use crate::election::Term;
use crate::identity::NodeId;

/// Something changed in an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElectionChange {
    /// There is a leader, which is not this node.
    Elected {
        /// Who, and in which term.
        term: Term,
    },
    /// The leader was not heard of for the length of the lease, or gave its office up.
    Lost {
        /// Which it was.
        term: Term,
    },
    /// This node leads.
    BecameLeader {
        /// In which term.
        term: Term,
    },
    /// This node leads no more.
    SteppedDown {
        /// In which term it did.
        term: Term,
        /// Why.
        reason: StepDown,
    },
}

/// Why a leader stepped down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepDown {
    /// Too few voters answered within the lease.
    LeaseEnded,
    /// Another one leads in a later term.
    Superseded,
    /// The node leaves.
    Leaves,
    /// The node's metadata does not fit any more, or it lost its id to a rival.
    NotEligible,
}

/// Why there is no leader, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoLeader {
    /// This node started a short time ago, and has to wait until everything is over that it may have promised in an earlier life.
    Waiting,
    /// This node may not vote, and has not heard of a leader.
    NotEligible,
    /// The last leader's lease has not ended, or the vote is under way.
    Undecided,
    /// Too few members would vote for this node.
    NoQuorum {
        /// How many would, this node included.
        votes: usize,
        /// How many are needed.
        quorum: usize,
    },
    /// Too few of those who had a vote are there. When the others are gone for good, [`forget`](crate::Node::forget) them.
    ElectorateLost {
        /// How many of them would vote for this node.
        votes: usize,
        /// How many are needed.
        quorum: usize,
    },
}

/// How an election stands, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElectionStatus {
    /// The leader's term, if there is a leader; this node's own only while its lease lasts.
    pub leader: Option<Term>,
    /// Why there is none.
    pub reason: Option<NoLeader>,
    /// The settled size: voters that are not known to have left for good.
    pub settled: usize,
    /// Live members that fit the criteria, this node included.
    pub seen: usize,
    /// Votes that a leader needs.
    pub quorum: usize,
    /// Whether this node has a vote.
    pub votes: bool,
    /// Who would be ready to lead next, if this node led and left.
    pub heir: Option<NodeId>,
}
