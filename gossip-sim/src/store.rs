//! The key-value store that the nodes share, as the scenario says, and what is written to it.

use gossip_core::StoreConfig;
use serde::{Deserialize, Serialize};

use crate::scenario::{Share, Span};

/// The name of it.
pub(crate) const NAME: &str = "simulated";

/// A key-value store that all nodes open, and writes to it at even intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Time between two writes in the whole cluster, each at a random node that runs.
    pub every: Span,
    /// Different keys that are written.
    pub keys: u32,
    /// Size of the values in bytes. 0 to 16,384.
    pub value_bytes: u32,
    /// Share of the writes that delete.
    pub deletes: Share,
    /// Share of the writes with a time to live.
    pub ends: Share,
    /// The longest time to live.
    pub ttl: Span,
    /// When the writes end, since the start. Left out: with the last fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
    /// How often each machine keeps a snapshot, which it loads when its node starts again. Left out: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Span>,
    /// As in [`StoreConfig`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Span>,
    /// As in [`StoreConfig`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ahead: Option<Span>,
}

impl Default for Store {
    fn default() -> Self {
        let share = |value| Share::new(value).unwrap_or_default();
        Self {
            every: Span::millis(200),
            keys: 20,
            value_bytes: 16,
            deletes: share(0.25),
            ends: share(0.25),
            ttl: Span::secs(30),
            until: None,
            snapshots: None,
            keep: None,
            max_ahead: None,
        }
    }
}

impl Store {
    /// The settings of the nodes.
    pub(crate) fn config(&self) -> StoreConfig {
        let usual = StoreConfig::default();
        StoreConfig {
            keep: self.keep.map_or(usual.keep, Span::duration),
            max_ahead: self.max_ahead.map_or(usual.max_ahead, Span::duration),
            ..usual
        }
    }
}
