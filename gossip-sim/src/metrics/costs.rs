//! What messages cost, by the nodes' own counters.

use gossip_core::{MessageKind, Stats};

/// Kinds of message that travel for the sake of broadcasts alone.
const KINDS: [MessageKind; 4] = [MessageKind::Copy, MessageKind::CopyAck, MessageKind::Pull, MessageKind::Compare];

/// Sums over nodes and their lives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Costs {
    /// Bytes of payload in copies, by host.
    payload: Vec<u64>,
    pub(crate) headers: u64,
    pub(crate) control: u64,
    /// Messages of the protocol that broadcasts caused.
    pub(crate) messages: u64,
}

impl Costs {
    /// Adds what a node has counted in its life.
    pub(crate) fn add(&mut self, host: u32, stats: &Stats) {
        let index = host as usize;
        if self.payload.len() <= index {
            self.payload.resize(index + 1, 0);
        }
        self.payload[index] += stats.copy_payload_bytes_sent;
        self.headers += stats.copy_header_bytes_sent;
        self.control += stats.broadcast_control_bytes_sent;
        self.messages += KINDS.iter().map(|&kind| stats.sent(kind)).sum::<u64>();
    }

    pub(crate) fn payload(&self) -> u64 {
        self.payload.iter().sum()
    }

    /// The largest share of one host in the payload sent, as a multiple of the mean.
    pub(crate) fn largest_share(&self) -> Option<f64> {
        let largest = self.payload.iter().copied().max()?;
        let mean = self.payload() as f64 / self.payload.len() as f64;
        (mean > 0.0).then(|| largest as f64 / mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_share_is_a_multiple_of_the_mean() {
        let costs = Costs { payload: vec![0, 100, 200], ..Costs::default() };
        assert_eq!((costs.payload(), costs.largest_share()), (300, Some(2.0)));
        assert_eq!(Costs::default().largest_share(), None);
    }
}
