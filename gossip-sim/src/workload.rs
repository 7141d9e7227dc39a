//! What the applications do: they change their nodes' metadata.

use serde::{Deserialize, Serialize};

use crate::scenario::Span;

/// Changes of metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// Time between two changes in the whole cluster, each at a random node.
    pub every: Span,
    /// Different keys that a node uses; one change in eight removes its key.
    pub keys: u32,
    /// Size of the values in bytes. 0 to 16,384.
    pub value_bytes: u32,
    /// When the changes end, since the start. Left out: with the last fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
}

impl Default for Workload {
    fn default() -> Self {
        Self { every: Span::millis(500), keys: 4, value_bytes: 16, until: None }
    }
}
