//! Broadcasts and those who just joined: all that is sent afterwards, nothing of what was before.

mod support;

use bytes::{Bytes, BytesMut};
use gossip_core::{Config, Delivery, DropReason, Epoch, Identity, Instant, Node};
use std::time::Duration;
use support::forge::{BASELINE, Copy, PULL, RECENT, at, deliveries, drain, lane, packet, ping, row, run};
use support::messages::{PLAIN, broadcast, received};
use support::{Net, id, secs};

/// The packet with which member `by` lets somebody in, after the members 2 to 4 and these messages.
fn welcome(by: u128, messages: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut all: Vec<_> = (2..=4).map(row).collect();
    all.extend_from_slice(messages);
    all.push((9, vec![0]));
    packet(by, 1_000, &all)
}

/// A node with id 1 and the tag `blue` that asked these addresses to be let in.
fn joining(addresses: &[usize]) -> Node<usize> {
    let identity = Identity::new(id(1), 1, Epoch::from_u64(1_000)).with_tags(["blue"]);
    let mut node = Node::new(identity, Config::lan("test"), [1; 32], Instant::ZERO).expect("valid");
    for &address in addresses {
        node.join(at(1), address).expect("it begins");
    }
    drain(&mut node, at(1));
    node
}

/// The same, let in by member 2.
fn joined(addresses: &[usize]) -> Node<usize> {
    let mut node = joining(addresses);
    node.handle_message(at(1), 2, &mut welcome(2, &[]));
    drain(&mut node, at(1));
    node
}

fn has_pulled(node: &mut Node<usize>, until: u64) -> bool {
    let mut pulled = false;
    while let Some(due) = node.poll_timeout().filter(|&due| due <= at(until)) {
        node.handle_timeout(due);
        pulled |= drain(node, due).iter().any(|(_, bytes)| bytes[40] == PULL);
    }
    pulled
}

#[test]
fn a_digest_that_overtakes_a_copy_makes_no_history_of_it() {
    let mut node = joined(&[2]);
    let tells = [ping(1), (RECENT, run(lane(3, 1_000, "blue"), 1, 1))];
    node.handle_datagram(at(4), 4, &mut packet(4, 1_000, &tells));
    node.handle_datagram(at(4), 3, &mut packet(3, 1_000, &[Copy { hop: 9, tag: "blue", ..Copy::of(3, 1) }.wire()]));
    assert_eq!(deliveries(&mut node).len(), 1);
}

#[test]
fn a_stranger_makes_no_history_of_what_is_to_come() {
    let mut node = joined(&[2]);
    for first in [1 << 61, 1 << 40] {
        let runs = run(lane(3, 1_000, ""), first, 1);
        node.handle_datagram(at(2), 77, &mut packet(77, 1_000, &[(RECENT, runs.clone())]));
        node.handle_message(at(2), 77, &mut packet(77, 1_000, &[(BASELINE, runs)]));
    }
    for sequence in 1..100 {
        node.handle_datagram(at(60), 3, &mut packet(3, 1_000, &[Copy::of(3, sequence).wire()]));
    }
    assert_eq!(deliveries(&mut node).len(), 99);
}

#[test]
fn a_second_seed_that_does_not_answer_does_not_stop_repair() {
    let mut node = joined(&[2, 50]);
    node.handle_datagram(at(2), 4, &mut packet(4, 1_000, &[(RECENT, run(lane(3, 1_000, ""), 1, 1))]));
    assert!(has_pulled(&mut node, 4));
}

#[test]
fn the_late_answer_of_a_second_seed_makes_no_history_of_what_is_on_its_way() {
    let mut node = joined(&[2, 3]);
    node.handle_message(at(2), 3, &mut welcome(3, &[(BASELINE, run(lane(4, 1_000, ""), 1, 0))]));
    node.handle_datagram(at(2), 4, &mut packet(4, 1_000, &[Copy { hop: 9, ..Copy::of(4, 1) }.wire()]));
    assert_eq!(deliveries(&mut node).len(), 1);
}

#[test]
fn what_the_baseline_names_is_history() {
    let mut node = joining(&[2]);
    node.handle_message(at(1), 2, &mut welcome(2, &[(BASELINE, run(lane(4, 1_000, ""), 7, 0))]));
    for sequence in 6..9 {
        let copy = Copy { flags: Copy::ORDERED, ..Copy::of(4, sequence) };
        node.handle_datagram(at(2), 4, &mut packet(4, 1_000, &[copy.wire()]));
    }
    assert_eq!((deliveries(&mut node).len(), node.stats().dropped(DropReason::TooOld)), (1, 2));
    node.handle_datagram(at(2), 4, &mut packet(4, 1_000, &[(RECENT, run(lane(4, 1_000, ""), 1, 8))]));
    assert!(!has_pulled(&mut node, 4), "nothing of it is asked for");
}

#[test]
fn an_ordered_message_that_comes_before_the_baseline_is_not_held_up() {
    let mut node = joining(&[2]);
    // Member 4 knows of the newcomer before the newcomer has its table.
    let copy = Copy { hop: 9, flags: Copy::ORDERED, recent: 2, ..Copy::of(4, 5) };
    node.handle_datagram(at(1), 4, &mut packet(4, 1_000, &[copy.wire()]));
    assert_eq!(deliveries(&mut node), []);
    node.handle_message(at(1), 2, &mut welcome(2, &[(BASELINE, run(lane(4, 1_000, ""), 5, 0))]));
    assert_eq!(deliveries(&mut node).len(), 1);
    has_pulled(&mut node, 8);
    assert_eq!(deliveries(&mut node), []);
}

#[test]
fn what_was_asked_for_and_turns_out_to_be_history_holds_nothing_up() {
    let mut node = joined(&[2]);
    // Of the lane of a tag the host knew nothing; two of its messages were sent before the join.
    let blue = |sequence, recent, age_ms| {
        let copy = Copy { flags: Copy::ORDERED, tag: "blue", recent, age_ms, ..Copy::of(3, sequence) };
        packet(3, 1_000, &[copy.wire()])
    };
    node.handle_datagram(at(2), 3, &mut blue(3, 2, 0));
    assert_eq!(deliveries(&mut node), [], "they could have been sent just now");
    assert!(has_pulled(&mut node, 2) || has_pulled(&mut node, 3));
    for sequence in [1, 2] {
        node.handle_datagram(at(3), 3, &mut blue(sequence, 0, 2_500));
    }
    let got = deliveries(&mut node);
    assert!(matches!(&got[..], [Delivery::Broadcast { id, .. }] if id.sequence == 3), "{got:?}");
}

#[test]
fn whoever_broadcast_alone_is_heard_in_order_at_once() {
    let mut net = Net::new(3);
    let (first, second) = (net.start(1, Config::lan("test")), net.start(2, Config::lan("test")));
    for _ in 0..3 {
        broadcast(&mut net, first, Bytes::from_static(b"to nobody"), PLAIN.ordered());
    }
    net.join(first, second);
    net.run_until(secs(5), |net| net.sees_alive(0..2)).expect("they meet");
    let message = broadcast(&mut net, first, Bytes::from_static(b"hello"), PLAIN.ordered());
    net.run(Duration::from_millis(10));
    assert_eq!(received(&net, second), [message]);
    assert_eq!(net.hosts[second].deliveries.len(), 1, "and nothing is said to be lost");
}

#[test]
fn a_newcomer_is_heard_by_those_who_do_not_know_it_yet() {
    let mut net = Net::acquainted(10, &Config::lan("test"));
    net.run(secs(1));
    let newcomer = net.start(11, Config::lan("test"));
    // It is let in by the first, and nobody else has heard of it.
    let now = net.now;
    net.node(newcomer).join(now, 0).expect("it begins");
    let mut buffer = BytesMut::new();
    while net.node(newcomer).poll_transmit(now, &mut buffer).is_some() {
        net.node(0).handle_message(now, newcomer, &mut buffer.split());
    }
    while let Some(transmit) = net.node(0).poll_transmit(now, &mut buffer) {
        if transmit.to.contains(&newcomer) {
            net.node(newcomer).handle_message(now, 0, &mut buffer.split());
        }
        buffer.clear();
    }
    let message = broadcast(&mut net, newcomer, Bytes::from_static(b"hello"), PLAIN);
    net.run(secs(5));
    for who in 0..10 {
        assert_eq!(received(&net, who), [message], "node {who}");
    }
}
