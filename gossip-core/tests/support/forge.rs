//! Packets as anybody on the network can make them.
#![allow(dead_code, reason = "each test uses its own part of it")]

use std::hash::Hasher;

use bytes::BytesMut;
use gossip_core::{Config, Epoch, Identity, Instant, Node, Transmit};
use serde::Serialize;
use siphasher::sip::SipHasher24;

use super::id;

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
