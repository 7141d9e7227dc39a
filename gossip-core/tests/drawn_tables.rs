//! Without keys everybody with a connection is told the member table. He cannot have it sent again and again.

mod support;

use std::time::Duration;

use gossip_core::{Config, DropReason, Instant, Node};
use support::forge::{self, at, drain, known, packet, wire};
use support::{Net, id, secs};

const CONNECTION: usize = 77;

/// Kinds of message on the wire.
const METADATA_REQUEST: u8 = 7;
const DIGEST: u8 = 11;
const DIFFERENCE: u8 = 12;

/// A node with a large table, and much to say of itself.
fn talkative() -> Node<usize> {
    let mut node = known(3_000, |config| config.max_members = 5_000);
    node.set_metadata(at(1), "large", vec![1_u8; 50_000]).expect("within the limit");
    drain(&mut node, at(1));
    node
}

/// Bytes that a message draws over a connection by which it comes so many times within a second.
fn drawn(node: &mut Node<usize>, since: Instant, times: u32, message: &(u8, Vec<u8>)) -> usize {
    let mut drawn = 0;
    for time in 0..times {
        let now = since + Duration::from_secs(1) * time / times;
        node.handle_message(now, CONNECTION, &mut packet(9, 1_000, std::slice::from_ref(message)));
        let sent = drain(node, now).into_iter().filter(|(transmit, _)| transmit.to.contains(&CONNECTION));
        drawn += sent.map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    drawn
}

/// Fingerprints of 256 buckets that are all wrong.
fn digest() -> (u8, Vec<u8>) {
    let mut payload = wire(&(256_usize * 8));
    payload.extend([7; 256 * 8]);
    (DIGEST, payload)
}

/// No rows, and a wish for those of all 256 buckets.
fn difference() -> (u8, Vec<u8>) {
    let mut payload = wire(&32_usize);
    payload.extend([0xff; 32]);
    (DIFFERENCE, payload)
}

/// A wish for all metadata of the receiver.
fn metadata_request() -> (u8, Vec<u8>) {
    (METADATA_REQUEST, [id(1).as_bytes().to_vec(), vec![0; 8], wire(&0_u64)].concat())
}

#[test]
fn a_connection_draws_a_few_tables_and_then_what_a_slow_link_carries() {
    let questions = [
        ("join", forge::join("test")),
        ("digest", digest()),
        ("difference", difference()),
        ("metadata request", metadata_request()),
    ];
    for (name, question) in questions {
        let mut node = talkative();
        let once = drawn(&mut node, at(2), 1, &question);
        assert!(once > 40_000, "{name} draws {once} bytes");
        let often = drawn(&mut node, at(3), 200, &question);
        // What it may be ahead, what is carried in the second that this takes, and the table that goes beyond.
        assert!((3 * once..3 << 20).contains(&often), "{name} draws {often} bytes");
        assert!(node.stats().dropped(DropReason::Busy) > 100, "{name}");
        assert_eq!(drawn(&mut node, at(20), 1, &question), once, "{name}: it is answered again later");
    }
}

#[test]
fn what_one_connection_draws_is_not_held_against_another() {
    let mut node = talkative();
    drawn(&mut node, at(2), 200, &forge::join("test"));
    node.handle_message(at(3), CONNECTION + 1, &mut packet(8, 1_000, &[forge::join("test")]));
    let sent = drain(&mut node, at(3));
    assert!(sent.iter().any(|(transmit, _)| transmit.to.contains(&(CONNECTION + 1))));
}

#[test]
fn nodes_with_much_metadata_that_join_at_once_draw_all_that_they_need() {
    const NODES: usize = 32;
    let mut net = Net::new(1);
    for number in 1..=NODES as u128 {
        let who = net.start(number, Config::lan("test"));
        let now = net.now;
        net.node(who).set_metadata(now, "large", vec![1_u8; 50_000]).expect("within the limit");
    }
    for who in 1..NODES {
        net.join(who, 0);
    }
    let is_whole = |net: &Net| {
        let first = net.hosts[0].node.as_ref().map(Node::fingerprint);
        net.sees_alive(0..NODES) && net.hosts.iter().all(|host| host.node.as_ref().map(Node::fingerprint) == first)
    };
    assert!(net.run_until(secs(10), is_whole).is_some());
    let refused: u64 = (0..NODES).map(|who| net.stats(who).dropped(DropReason::Busy)).sum();
    assert_eq!(refused, 0);
}
