//! A node that decodes whatever comes and does nothing with it: one that has left.

use std::cell::RefCell;

use bytes::BytesMut;
use gossip_core::{Channel, Config, DropReason, Epoch, Identity, Instant, Node, NodeId, Phase};
use gossip_driver::NodeAddress;

use crate::wire::{CLUSTER, Place};

thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new());
}

/// The node. It keeps no state but counters, so one serves for all inputs.
pub(crate) struct Decoder(Node<NodeAddress>);

impl Decoder {
    fn new() -> Self {
        let identity = Identity::new(NodeId::from_u128(1), Place::of(1).0, Epoch::from_u64(crate::wire::Epoch::FIRST));
        let mut config = Config::lan(CLUSTER);
        // What is asked here is what packets say, not how long they may be.
        config.max_datagram = 65_507;
        let mut node = Node::new(identity, config, [1; 32], Instant::ZERO).expect("a valid configuration");
        node.leave(Instant::ZERO).expect("it is active");
        node.handle_timeout(Instant::from_micros(60_000_000));
        assert_eq!(node.phase(), Phase::Left);
        Self(node)
    }

    pub(crate) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        DECODER.with_borrow_mut(work)
    }

    /// Whether a packet is whole and decodes.
    pub(crate) fn accepts(&mut self, packet: &[u8]) -> bool {
        let [one, other] = [Channel::Datagram, Channel::Stream].map(|channel| self.receive(channel, packet));
        assert_eq!(one, other, "the channel does not matter to what a packet is");
        let is_quiet = one == DropReason::Quiet;
        assert!(is_quiet || one == DropReason::Malformed, "{one:?}");
        is_quiet
    }

    /// Why the node does not act on a packet; it never does.
    pub(crate) fn receive(&mut self, channel: Channel, packet: &[u8]) -> DropReason {
        let before = self.0.stats();
        let (now, from) = (Instant::ZERO, Place::of(2).0);
        let mut bytes = packet.to_vec();
        match channel {
            Channel::Datagram => self.0.handle_datagram(now, from, &mut bytes),
            Channel::Stream => self.0.handle_message(now, from, &mut bytes),
        }
        let after = self.0.stats();
        let mut changed = DropReason::ALL.iter().filter(|&&reason| after.dropped(reason) != before.dropped(reason));
        let reason = *changed.next().expect("the packet is dropped");
        assert_eq!(after.dropped_total(), before.dropped_total() + 1, "for one reason");
        reason
    }

    /// What the node has to send.
    pub(crate) fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut buffer = BytesMut::new();
        let mut sent = Vec::new();
        while self.0.poll_transmit(Instant::ZERO, &mut buffer).is_some() {
            sent.push(buffer.split().to_vec());
        }
        sent
    }
}
