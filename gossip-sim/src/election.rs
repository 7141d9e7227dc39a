//! The election that the nodes hold, as the scenario says.

use gossip_core::ElectionConfig;
use serde::{Deserialize, Serialize};

use crate::scenario::Span;

/// The name of it.
pub(crate) const NAME: &str = "simulated";

/// An election in which all nodes take part. What is left out is as in [`ElectionConfig::new`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Election {
    /// Votes that a leader needs at the least. Left out: a majority of the nodes at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<usize>,
    /// For how long a member votes for no other than its leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Span>,
    /// By how much clocks may be wrong, in millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_drift_ppm: Option<u32>,
    /// How long a member has to follow until it gets a vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steady: Option<Span>,
    /// How long a member has to be dead until it loses its vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bury: Option<Span>,
}

impl Election {
    /// The settings of the nodes in a cluster that begins with so many.
    pub(crate) fn config(&self, nodes: u32) -> ElectionConfig {
        let usual = ElectionConfig::new(self.floor.unwrap_or(nodes as usize / 2 + 1));
        ElectionConfig {
            lease: self.lease.map_or(usual.lease, Span::duration),
            max_drift_ppm: self.max_drift_ppm.unwrap_or(usual.max_drift_ppm),
            steady: self.steady.map_or(usual.steady, Span::duration),
            bury: self.bury.map_or(usual.bury, Span::duration),
            ..usual
        }
    }
}
