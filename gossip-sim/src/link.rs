//! What happens to a packet between two nodes.

mod latency;
mod path;

use serde::{Deserialize, Serialize};

pub use latency::Latency;
use path::HELD_UP;
pub(crate) use path::{Fate, Path};

use crate::scenario::{Share, Span};

/// Properties of the way between nodes; what is left out does no harm.
///
/// As the `link` of a scenario it holds between all nodes. As the `link` of an impairment it comes on top: its latency
/// is added, and a packet has to survive both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// How long a packet takes in one direction. Left out in a scenario: what suits the preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Datagrams lost, each by itself. Streams send again and become slow.
    #[serde(skip_serializing_if = "Share::is_zero")]
    pub loss: Share,
    /// Datagrams lost in bursts (Gilbert-Elliott).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// Datagrams that arrive twice.
    #[serde(skip_serializing_if = "Share::is_zero")]
    pub duplicate: Share,
    /// Datagrams that are held up, so that later ones overtake them.
    #[serde(skip_serializing_if = "Share::is_zero")]
    pub reorder: Share,
    /// How long they are held up at most. Left out: 50 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder_by: Option<Span>,
    /// Bytes a second that a node can send; what waits longer than 200 ms is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Largest IP packet in bytes: datagrams of more than this less 28 bytes are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Datagrams that arrive with up to four bytes changed.
    #[serde(skip_serializing_if = "Share::is_zero")]
    pub corrupt: Share,
    /// Datagrams that arrive cut off.
    #[serde(skip_serializing_if = "Share::is_zero")]
    pub truncate: Share,
    /// Datagrams after which one of the last 256 is sent to its receiver again, up to half a minute later.
    #[serde(skip_serializing_if = "Share::is_zero")]
    pub replay: Share,
}

/// Loss in bursts: a link is good or bad, and may change with each datagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// Probability that a good link turns bad.
    pub enter: Share,
    /// Probability that a bad link turns good.
    pub leave: Share,
    /// Datagrams lost while the link is bad.
    pub loss: Share,
}

impl Link {
    /// Share of packets lost, or as good as lost, at the worst.
    pub(crate) fn worst_loss(&self) -> f64 {
        const ALL: f64 = 1.0;
        let burst = self.burst.map_or(0.0, |burst| burst.loss.value());
        let narrow = if self.rate.is_some() || self.mtu.is_some() { ALL } else { 0.0 };
        self.loss.value() + self.corrupt.value() + self.truncate.value() + burst + narrow
    }

    /// How long a packet may take at most, in microseconds, unless it waits for its turn.
    pub(crate) fn worst_delay(&self) -> u64 {
        let latency = self.latency.as_ref().map_or(0, Latency::worst);
        let held_up = if self.reorder.is_zero() { 0 } else { self.reorder_by.map_or(HELD_UP, Span::as_micros) };
        latency + held_up
    }

    /// Whether datagrams or time may be lost on it, beyond its latency.
    pub(crate) fn is_harmful(&self) -> bool {
        self.burst.is_some()
            || self.rate.is_some()
            || self.mtu.is_some()
            || [self.loss, self.duplicate, self.reorder, self.corrupt, self.truncate, self.replay]
                .iter()
                .any(|share| !share.is_zero())
    }
}
