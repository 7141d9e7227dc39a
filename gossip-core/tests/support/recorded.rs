//! Nodes with keys whose packets are all recorded.
#![allow(dead_code, reason = "each test uses its own part of it")]

use std::time::Duration;

use gossip_core::{Channel, Config, Epoch, Identity, Instant, Key, KeyRing, Node};

use super::forge::{at, drain};
use super::{id, secs};

pub(crate) fn key(byte: u8) -> Key {
    Key::new(&[byte; 32])
}

pub(crate) fn config() -> Config {
    let mut config = Config::local("test");
    config.keys = Some(KeyRing::new(key(1)));
    config
}

/// A packet on its way.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) channel: Channel,
    pub(crate) bytes: Vec<u8>,
}

/// Nodes whose packets are all recorded.
pub(crate) struct Wire {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node<usize>>,
    pub(crate) sent: Vec<Sent>,
    /// What is recorded and does not arrive.
    pub(crate) hold: fn(&Sent) -> bool,
}

pub(crate) fn start(address: usize, number: u8, epoch: u64, config: Config) -> Node<usize> {
    let identity = Identity::new(id(number.into()), address, Epoch::from_u64(epoch));
    let mut seed = [number; 32];
    seed[..8].copy_from_slice(&epoch.to_be_bytes());
    Node::new(identity, config, seed, at(1)).expect("a valid configuration")
}

impl Wire {
    /// `count` nodes with ids from 1 that joined through the first.
    pub(crate) fn cluster(count: u8) -> Self {
        Self::with(vec![config(); count.into()])
    }

    pub(crate) fn with(configs: Vec<Config>) -> Self {
        let nodes =
            (0..).zip(configs).map(|(number, config)| start(number.into(), number + 1, 1 << 30, config)).collect();
        let mut wire = Self { now: at(1), nodes, sent: Vec::new(), hold: |_| false };
        for who in 1..wire.nodes.len() {
            wire.nodes[who].join(wire.now, 0).expect("joining can begin");
            wire.settle();
        }
        wire.run(secs(5));
        wire
    }

    pub(crate) fn settle(&mut self) {
        loop {
            let mut packets = Vec::new();
            for from in 0..self.nodes.len() {
                for (transmit, bytes) in drain(&mut self.nodes[from], self.now) {
                    let channel = transmit.channel;
                    packets.extend(transmit.to.iter().map(|&to| Sent { from, to, channel, bytes: bytes.clone() }));
                }
            }
            if packets.is_empty() {
                return;
            }
            for packet in packets {
                if !(self.hold)(&packet) {
                    self.hand_over(&packet);
                }
                self.sent.push(packet);
            }
        }
    }

    pub(crate) fn hand_over(&mut self, packet: &Sent) {
        if let Some(node) = self.nodes.get_mut(packet.to) {
            deliver(node, self.now, packet.from, packet.channel, packet.bytes.clone());
        }
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.nodes.iter().filter_map(Node::poll_timeout).min().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            let now = self.now;
            self.nodes.iter_mut().for_each(|node| node.handle_timeout(now));
            self.settle();
        }
        self.now = end;
    }

    pub(crate) fn all_see_all(&self) -> bool {
        self.nodes.iter().all(|node| node.live_count() == self.nodes.len())
    }
}

pub(crate) fn deliver(node: &mut Node<usize>, now: Instant, from: usize, channel: Channel, mut bytes: Vec<u8>) {
    match channel {
        Channel::Datagram => node.handle_datagram(now, from, &mut bytes),
        Channel::Stream => node.handle_message(now, from, &mut bytes),
    }
}

/// Everything about a node that a packet could change, but counters.
pub(crate) fn state(node: &mut Node<usize>) -> String {
    let events: Vec<_> = std::iter::from_fn(|| node.poll_event()).collect();
    let deliveries: Vec<_> = std::iter::from_fn(|| node.poll_delivery()).collect();
    let members: Vec<_> = node.members().map(|member| (member.id, member.incarnation, member.state)).collect();
    format!("{:?} {} {members:?} {events:?} {deliveries:?}", node.incarnation(), node.fingerprint())
}

/// Hands `packets` to a node; it must neither change nor answer with more than `answer` bytes for each.
pub(crate) fn assert_without_effect(
    node: &mut Node<usize>,
    now: Instant,
    packets: &[Sent],
    answer: impl Fn(&Sent) -> usize,
) {
    drain(node, now);
    state(node);
    let before = state(node);
    for packet in packets {
        // Over the other channel as well: a datagram can be put into a stream.
        for channel in [packet.channel, Channel::Datagram, Channel::Stream] {
            deliver(node, now, 77, channel, packet.bytes.clone());
            assert_eq!(state(node), before);
            let answered: usize = drain(node, now).iter().map(|(_, bytes)| bytes.len()).sum();
            assert!(answered <= answer(packet), "{answered} bytes for {}", packet.bytes.len());
        }
    }
}

pub(crate) fn is_bound(packet: &Sent) -> bool {
    packet.bytes[1] & 2 != 0
}
