//! Packets as anybody on the network can make them.
#![allow(dead_code, reason = "each test uses its own part of it")]

use std::hash::Hasher;

use bytes::BytesMut;
use gossip_core::{Config, Delivery, Epoch, Identity, Instant, Node, Transmit};
use serde::Serialize;
use siphasher::sip::SipHasher24;

use super::id;

/// Kinds of message on the wire.
pub(crate) const DIRECT: u8 = 16;
pub(crate) const REQUEST: u8 = 17;
pub(crate) const REPLY: u8 = 18;
pub(crate) const COPY: u8 = 19;
pub(crate) const COPY_ACK: u8 = 20;
pub(crate) const RECENT: u8 = 21;
pub(crate) const PULL: u8 = 22;
pub(crate) const BASELINE: u8 = 23;

/// A packet of the cluster "test".
pub(crate) fn packet(sender: u128, epoch: u64, messages: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut hasher = SipHasher24::new();
    hasher.write(b"test");
    let cluster = hasher.finish();
    let mut packet = vec![1, 0];
    packet.extend(&cluster.to_be_bytes()[4..]);
    packet.extend([0, 0]);
    packet.extend(sender.to_be_bytes());
    packet.extend(epoch.to_be_bytes());
    packet.extend(1_u64.to_be_bytes());
    for (kind, payload) in messages {
        packet.push(*kind);
        packet.extend(wire(&payload.len()));
        packet.extend(payload);
    }
    let mut hasher = SipHasher24::new_with_keys(0, cluster);
    hasher.write(&packet);
    packet.extend(&hasher.finish().to_be_bytes()[4..]);
    packet
}

pub(crate) fn wire(value: &impl Serialize) -> Vec<u8> {
    let mut buffer = vec![0; postcard::experimental::serialized_size(value).expect("it has a size")];
    let used = postcard::to_slice(value, &mut buffer).expect("it fits").len();
    buffer.truncate(used);
    buffer
}

/// A claim without accusers. States: 0 alive, 1 suspect, 2 dead, 3 leaving, 4 removed.
pub(crate) fn claim(
    subject: u128,
    (epoch, refutations): (u64, u32),
    state: u8,
    address: usize,
    metadata: u64,
    age: u32,
) -> (u8, Vec<u8>) {
    let mut payload = subject.to_be_bytes().to_vec();
    payload.extend(epoch.to_be_bytes());
    payload.extend(wire(&refutations));
    payload.push(state);
    payload.extend(wire(&address));
    payload.extend([1, 1]);
    payload.extend(wire(&metadata));
    payload.extend(wire(&age));
    payload.push(0);
    (5, payload)
}

/// A request to join this cluster.
pub(crate) fn join(cluster: &str) -> (u8, Vec<u8>) {
    let mut payload = vec![1, 1];
    payload.extend(wire(&cluster));
    payload.extend(wire(&""));
    (8, payload)
}

/// A probe of the node with this id.
pub(crate) fn ping(target: u128) -> (u8, Vec<u8>) {
    let mut payload = wire(&1_u32);
    payload.extend(&id(target).as_bytes()[12..]);
    payload.extend([0; 8]);
    (1, payload)
}

pub(crate) fn node(number: u8, config: Config) -> Node<usize> {
    let identity = Identity::new(id(number.into()), number.into(), Epoch::from_u64(1_000));
    Node::new(identity, config, [number; 32], Instant::ZERO).expect("a valid configuration")
}

/// All that the node has to send.
pub(crate) fn drain(node: &mut Node<usize>, now: Instant) -> Vec<(Transmit<usize>, Vec<u8>)> {
    let mut sent = Vec::new();
    let mut buffer = BytesMut::new();
    while let Some(transmit) = node.poll_transmit(now, &mut buffer) {
        sent.push((transmit, buffer.split().to_vec()));
    }
    sent
}

pub(crate) fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

/// A node with id 1 that knows the members 2 to `members`, at addresses like their ids.
pub(crate) fn known(members: u128, change: fn(&mut Config)) -> Node<usize> {
    let mut config = Config::lan("test");
    change(&mut config);
    let mut node = node(1, config);
    let claims: Vec<_> = (2..=members).map(row).collect();
    for claims in claims.chunks(20) {
        node.handle_datagram(at(1), 2, &mut packet(2, 1_000, claims));
    }
    drain(&mut node, at(1));
    node
}

/// The claim about a live member at an address like its id.
pub(crate) fn row(member: u128) -> (u8, Vec<u8>) {
    claim(member, (1_000, 0), 0, usize::try_from(member).expect("small"), 0, 0)
}

pub(crate) fn deliveries(node: &mut Node<usize>) -> Vec<Delivery> {
    std::iter::from_fn(|| node.poll_delivery()).collect()
}

/// A copy of a broadcast.
#[derive(Clone)]
pub(crate) struct Copy<'a> {
    pub(crate) hop: u32,
    pub(crate) origin: u128,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) flags: u8,
    pub(crate) recent: u32,
    pub(crate) age_ms: u32,
    pub(crate) tag: &'a str,
    pub(crate) arcs: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Copy<'_> {
    pub(crate) const ORDERED: u8 = 2;

    /// Of a small message to everybody, that nobody has to pass on.
    pub(crate) const fn of(origin: u128, sequence: u64) -> Self {
        Self {
            hop: 0,
            origin,
            epoch: 1_000,
            sequence,
            flags: 0,
            recent: 0,
            age_ms: 0,
            tag: "",
            arcs: &[],
            path: &[],
            body: b"ten bytes.",
        }
    }

    pub(crate) fn wire(&self) -> (u8, Vec<u8>) {
        let mut payload = wire(&self.hop);
        payload.extend(self.origin.to_be_bytes());
        payload.extend(self.epoch.to_be_bytes());
        payload.extend(wire(&self.sequence));
        payload.extend([self.flags, 1]);
        payload.extend(wire(&self.recent));
        payload.extend(wire(&self.age_ms));
        payload.extend(wire(&500_u16));
        payload.extend(wire(&self.tag));
        payload.extend(wire(&self.arcs));
        payload.extend(wire(&self.path));
        payload.extend(self.body);
        (COPY, payload)
    }
}

/// The name of a lane.
pub(crate) fn lane(origin: u128, epoch: u64, tag: &str) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(&origin.to_be_bytes());
    hasher.write(&epoch.to_be_bytes());
    hasher.write(tag.as_bytes());
    hasher.finish()
}

/// A run of broadcasts.
pub(crate) fn run(lane: u64, first: u64, count: u64) -> Vec<u8> {
    let mut entry = lane.to_be_bytes().to_vec();
    entry.extend(wire(&first));
    entry.extend(wire(&count));
    entry
}

/// A request to node 1 with this id.
pub(crate) fn request(number: u64, patience_ms: u32) -> (u8, Vec<u8>) {
    let mut payload = 1_u128.to_be_bytes().to_vec();
    payload.extend(wire(&number));
    payload.extend(wire(&500_u16));
    payload.extend(wire(&patience_ms));
    payload.extend([0, 0]);
    (REQUEST, payload)
}
