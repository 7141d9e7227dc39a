//! What travels over a control connection about elections.

use serde::{Deserialize, Serialize};

use super::Who;

/// How an election stands, as the agent's node sees it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeaderRow {
    pub(crate) election: String,
    pub(crate) leader: Option<Who>,
    /// The number of the leader's term.
    pub(crate) term: Option<String>,
    /// Until when it counts at this node if nothing more is heard: RFC 3339, UTC, milliseconds.
    pub(crate) until: Option<String>,
    pub(crate) left_ms: Option<u64>,
    /// Why nobody leads.
    pub(crate) none: Option<NoneRow>,
    /// Voters that have not left for good.
    pub(crate) settled: usize,
    /// Live members that may vote.
    pub(crate) seen: usize,
    /// Votes that a leader needs.
    pub(crate) needed: usize,
    /// Whether the agent's node has a vote.
    pub(crate) votes: bool,
    /// Who could lead at once if this node led and left.
    pub(crate) heir: Option<Who>,
}

/// Why nobody leads.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub(crate) enum NoneRow {
    Waiting,
    NotEligible,
    Undecided,
    NoQuorum {
        votes: usize,
        needed: usize,
    },
    ElectorateLost {
        votes: usize,
        needed: usize,
    },
    /// Something that this version has no words for.
    Other {
        text: String,
    },
}

/// What who follows an election is told, with the wall-clock time at which the agent handed it out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeaderEventRow {
    /// RFC 3339, UTC, milliseconds.
    pub(crate) time: String,
    #[serde(flatten)]
    pub(crate) what: LeaderEvent,
}

/// What happened in the election that is followed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum LeaderEvent {
    /// The watcher is in place; what changes from now on will be told.
    Watching(LeaderRow),
    /// A leader came or went.
    Election(LeaderChangeRow),
    /// Changes were dropped because they were not read in time.
    Missed { count: u64 },
}

/// A leader came or went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeaderChangeRow {
    pub(crate) election: String,
    pub(crate) leader: Who,
    pub(crate) term: String,
    #[serde(flatten)]
    pub(crate) change: LeaderChange,
}

/// How.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum LeaderChange {
    /// Another node leads.
    Elected,
    /// It is followed no more.
    Lost,
    /// The agent's node leads.
    BecameLeader,
    /// The agent's node leads no more.
    SteppedDown {
        /// `lease_ended`, `superseded`, `leaves`, `not_eligible` or `other`.
        reason: String,
    },
}
