//! What a single packet from an outsider takes in memory, while it is acted on and afterwards.

mod support;

use gossip_core::{Channel, Key, Node};
use proptest::prelude::*;
use support::forge::{self, Copy, at, claim, packet, run, wire};
use support::recorded::{Wire, config, key, start};

/// Most bytes that a packet may take.
const LIMIT: u64 = 64 << 10;

/// Lengths of datagrams: as nodes send them, the longest that is taken from anybody, and the longest that there is.
const LENGTHS: [usize; 3] = [1_400, 2 << 10, 65_507];

/// A kind of message, and what is in it.
type Part = (u8, Vec<u8>);

/// Most bytes in use while the packet was acted on, beyond those before.
fn cost(node: &mut Node<usize>, channel: Channel, bytes: &mut [u8]) -> u64 {
    let cost = allocation_counter::measure(|| match channel {
        Channel::Datagram => node.handle_datagram(at(2), 2, bytes),
        Channel::Stream => node.handle_message(at(2), 2, bytes),
    });
    cost.bytes_max
}

/// A packet of this length filled with messages, in the name of member 2.
fn filled(length: usize, mut next: impl FnMut(u64) -> Part) -> Vec<u8> {
    let mut messages: Vec<Part> = Vec::new();
    for number in 1.. {
        messages.push(next(number));
        if packet(2, 1_000, &messages).len() > length {
            messages.pop();
            break;
        }
    }
    packet(2, 1_000, &messages)
}

fn copy(number: u64) -> Copy<'static> {
    Copy::of(2, number)
}

fn direct(length: usize) -> Part {
    let mut payload = support::id(1).as_bytes()[12..].to_vec();
    payload.extend(wire(&500_u16));
    payload.resize(payload.len() + length, 1);
    (forge::DIRECT, payload)
}

/// Metadata of member 2 with as many keys as fit.
fn metadata() -> Vec<u8> {
    let keys: u8 = 180;
    let mut payload = support::id(2).as_bytes().to_vec();
    payload.extend(1_000_u64.to_be_bytes());
    payload.extend([wire(&0_u64), wire(&u64::from(keys)), vec![1, 0]].concat());
    for number in 0..keys {
        payload.extend([wire(&format!("{number:03}")), wire(&u64::from(number + 1)), vec![0]].concat());
    }
    packet(2, 1_000, &[forge::row(2), (6, payload)])
}

/// Packets that claim as much as they can, and how they travel.
fn greedy(length: usize) -> Vec<(&'static str, Channel, Vec<u8>)> {
    use Channel::{Datagram, Stream};
    let lane = forge::lane(2, 1_000, "");
    let alone = |part: Part| packet(2, 1_000, &[part]);
    let ordered = |number| Copy { flags: Copy::ORDERED, ..copy(number + 1) }.wire();
    let far = |number| Copy { recent: 60, ..copy(64 * number) }.wire();
    let stranger = |number: u64| claim(100 + u128::from(number), (1_000, 0), 0, 9, 5, 0);
    let dead = |number: u64| claim(100 + u128::from(number), (1_000, 0), 2, 9, 0, 0);
    let row = |number| if number == 1 { (12, vec![0]) } else { dead(number) };
    vec![
        ("members", Datagram, filled(length, stranger)),
        ("rows", Stream, filled(length, row)),
        ("metadata", Datagram, metadata()),
        ("a payload", Datagram, alone(direct(length - 100))),
        ("payloads", Datagram, filled(length, |_| direct(0))),
        ("requests", Stream, filled(length, |number| forge::request(number, 1_000))),
        ("a broadcast", Datagram, alone(Copy { body: &vec![1; length - 200], ..copy(1) }.wire())),
        ("broadcasts", Datagram, filled(length, |number| copy(number).wire())),
        ("broadcasts to wait", Datagram, filled(length, ordered)),
        ("broadcasts with gaps", Datagram, filled(length, far)),
        ("origins", Datagram, filled(length, |number| Copy::of(100 + u128::from(number), 1).wire())),
        ("what is missing", Datagram, alone((forge::RECENT, run(lane, 1, 5_000)))),
        ("what may be missing", Datagram, alone((24, [wire(&0_u32), run(lane, 1, 5_000)].concat()))),
        ("what is asked for", Datagram, alone((forge::PULL, run(lane, 1, 5_000)))),
    ]
}

#[test]
fn no_plain_packet_takes_more_than_64_kib() {
    let cases = LENGTHS.map(greedy).into_iter().flatten();
    for (name, channel, bytes) in
        cases.filter(|(_, channel, bytes)| *channel == Channel::Datagram || bytes.len() <= LENGTHS[1])
    {
        for members in [1, 3] {
            let mut bytes = bytes.clone();
            let mut node = forge::known(members, |config| config.max_members = 100_000);
            let cost = cost(&mut node, channel, &mut bytes);
            assert_eq!(node.stats().dropped(gossip_core::DropReason::Malformed), 0, "{name}");
            let is_too_long = u64::from(bytes.len() > LENGTHS[1]);
            assert_eq!(node.stats().dropped(gossip_core::DropReason::Oversized), is_too_long, "{name}");
            assert!(cost <= LIMIT, "{name}: {cost} bytes for {}", bytes.len());
        }
    }
}

proptest! {
    /// With keys it is nothing at all, however long the packet is: nothing happens before it opens.
    #[test]
    fn a_packet_of_an_outsider_takes_no_memory_of_a_sealed_node(
        sender in 0_u128..4, length in 0_usize..100_000, flags in 0_u8..16, is_known: bool, stream: bool,
    ) {
        let mut node = start(1, 1, 1_000, config());
        let mut bytes = packet(sender, 1_000, &[(200, vec![7; length])]);
        let id = if is_known { key(1).id() } else { Key::new(&[8; 32]).id() };
        bytes[1] = flags;
        bytes[6..8].copy_from_slice(&id.as_u16().to_be_bytes());
        let channel = if stream { Channel::Stream } else { Channel::Datagram };
        prop_assert_eq!(cost(&mut node, channel, &mut bytes), 0);
        prop_assert_eq!(node.stats().dropped_total(), 1);
    }
}

#[test]
fn a_large_broadcast_leaves_no_buffer_behind() {
    let mut wire = Wire::cluster(5);
    let (now, node) = (wire.now, &mut wire.nodes[0]);
    let kind = gossip_core::MessageType::user(200).expect("200 is free");
    let payload = bytes::Bytes::from(vec![7; 2 << 20]);
    let mut sent = 0;
    let cost = allocation_counter::measure(|| {
        node.broadcast(now, kind, payload, gossip_core::BroadcastOptions::default()).expect("there is room");
        sent = forge::drain(node, now).iter().filter(|(transmit, _)| transmit.size > 2 << 20).count();
    });
    assert!(sent > 1, "one body is sealed for several");
    assert!(cost.bytes_current < 1 << 20, "{} bytes stay", cost.bytes_current);
}
