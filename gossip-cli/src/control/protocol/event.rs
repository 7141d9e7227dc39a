//! Rows of a monitor: what happened in the cluster.

use std::collections::BTreeMap;

use gossip_tokio::NodeAddress;
use serde::{Deserialize, Serialize};

use super::{LeaderChangeRow, MetaValue};

/// An event, in the field `event`, with the wall-clock time at which the agent handed it out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EventRow {
    /// RFC 3339, UTC, milliseconds.
    pub(crate) time: String,
    #[serde(flatten)]
    pub(crate) what: EventKind,
}

/// What happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// The monitor is in place; what happens from now on will be told.
    Watching {
        id: String,
        address: NodeAddress,
        live: usize,
    },
    /// A member appeared, or its state changed.
    Member {
        id: String,
        name: Option<String>,
        address: NodeAddress,
        state: String,
        previous: Option<String>,
        cause: String,
        /// Who accused it or declared it dead, where the cause has somebody.
        by: Vec<String>,
        incarnation: String,
    },
    /// A member's metadata changed; keys that were removed have no value.
    Metadata {
        id: String,
        name: Option<String>,
        changed: BTreeMap<String, Option<MetaValue>>,
    },
    JoinAccepted {
        address: NodeAddress,
        by: String,
        members: usize,
    },
    JoinFailed {
        address: NodeAddress,
        reason: String,
    },
    IdConflict {
        rival: NodeAddress,
        quiet: bool,
    },
    IdRegained,
    Left {
        acknowledged: usize,
    },
    /// Messages to the node were dropped because more came than it can take.
    MessagesMissed {
        /// Of which type, if it was one.
        #[serde(rename = "type")]
        kind: Option<u16>,
        count: u64,
    },
    /// Broadcasts of a node are lost for good.
    BroadcastsLost {
        origin: String,
        /// To which tag, if it was to one.
        tag: Option<String>,
        count: u64,
    },
    /// A leader came or went.
    Election(LeaderChangeRow),
    /// Events were dropped because they were not read in time.
    Missed {
        count: u64,
    },
    /// Something that this version has no words for.
    Other {
        text: String,
    },
}
