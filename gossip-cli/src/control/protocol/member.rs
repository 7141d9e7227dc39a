//! Rows about members, the agent's node and the ways into a cluster.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use gossip_tokio::NodeAddress;
use serde::{Deserialize, Serialize};

use super::MetaValue;

/// A member.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MemberRow {
    pub(crate) id: String,
    /// The metadata key `name`, if it is set.
    pub(crate) name: Option<String>,
    pub(crate) address: NodeAddress,
    pub(crate) state: String,
    /// For how long it has been in this state.
    pub(crate) since_ms: u64,
    pub(crate) incarnation: String,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: BTreeMap<String, MetaValue>,
    /// Whether it is the agent's own node.
    pub(crate) myself: bool,
}

/// The agent's node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InfoRow {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) cluster: String,
    pub(crate) address: NodeAddress,
    pub(crate) bind: Option<SocketAddr>,
    pub(crate) incarnation: Option<String>,
    pub(crate) phase: String,
    /// Local health; zero is healthy.
    pub(crate) health_score: u32,
    pub(crate) uptime_ms: u64,
    /// Members by state.
    pub(crate) members: BTreeMap<String, usize>,
    /// Everything that is counted once: datagrams, bytes, probes, refutations.
    pub(crate) counters: BTreeMap<String, u64>,
    /// Messages sent by kind.
    pub(crate) sent: BTreeMap<String, u64>,
    /// Messages received by kind.
    pub(crate) received: BTreeMap<String, u64>,
    /// Input dropped by reason.
    pub(crate) dropped: BTreeMap<String, u64>,
}

/// What came of joining through one address.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct JoinRow {
    /// The address as it was given.
    pub(crate) given: String,
    /// What it resolved to, if it did.
    pub(crate) address: Option<NodeAddress>,
    /// Who let the agent in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) accepted_by: Option<String>,
    /// Why it did not work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) failed: Option<String>,
}
