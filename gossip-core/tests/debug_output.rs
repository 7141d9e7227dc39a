//! What the `Debug` output of a node shows, for logs and crash reports: nothing that applications told each other, and nothing by
//! which the node hides its tables.

mod support;

use bytes::{Bytes, BytesMut};
use gossip_core::{BroadcastOptions, Config, Instant, MessageType, Node, Reliability, StoreConfig};
use support::forge::{self, Copy, at, known, packet};
use support::{id, recorded};

const SECRET: &[u8] = b"ONLYFORYOU";

/// Fails if a node shows the secret, as text, hexadecimal or numbers, or does not show `lengths` of it.
fn assert_hidden(node: &Node<usize>, lengths: usize) {
    for shown in [format!("{node:?}"), format!("{node:#?}"), format!("{node:x?}")] {
        let shown: String = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for form in ["ONLYFORYOU", "79, 78, 76, 89", "4f, 4e, 4c, 59", "4f4e4c59"] {
            if let Some(at) = shown.find(form) {
                panic!("{}", &shown[at.saturating_sub(200)..at + form.len()]);
            }
        }
        assert!(shown.matches("10 bytes").count() >= lengths, "{shown}");
    }
}

/// Has the node say the secret in every way that there is.
fn tell(node: &mut Node<usize>, now: Instant) {
    let secret = || Bytes::from_static(SECRET);
    for reliability in [Reliability::BestEffort, Reliability::Reliable] {
        node.send(now, id(3), MessageType::KEYS, secret(), reliability).expect("there is room");
    }
    node.request(now, id(3), MessageType::KEYS, secret(), at(9)).expect("there is room");
    let reliable = BroadcastOptions { reliable: true, ..BroadcastOptions::default() };
    for options in [BroadcastOptions::default(), reliable] {
        node.broadcast(now, MessageType::KEYS, secret(), options).expect("there is room");
    }
}

#[test]
fn a_node_shows_the_lengths_of_what_it_has_to_send_and_not_the_content() {
    let mut node = known(9, |_| {});
    tell(&mut node, at(2));
    assert_hidden(&node, 6);
    // A message that is to be confirmed, and broadcasts, are kept after they were sent.
    forge::drain(&mut node, at(2));
    assert_hidden(&node, 3);
}

#[test]
fn a_node_shows_the_lengths_of_what_came_and_not_the_content() {
    let mut node = known(9, |_| {});
    let mut question = forge::request(1, 500);
    question.1.extend(SECRET);
    node.handle_message(at(2), 2, &mut packet(2, 1_000, &[question]));
    let copy = Copy { body: SECRET, ..Copy::of(2, 1) };
    node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &[copy.wire()]));
    assert_hidden(&node, 2);
}

#[test]
fn what_is_sealed_for_one_receiver_after_the_other_is_not_shown_either() {
    let mut wire = recorded::Wire::cluster(9);
    let (now, node) = (wire.now, &mut wire.nodes[0]);
    tell(node, now);
    let (mut buffer, mut most) = (BytesMut::new(), 0);
    while node.poll_transmit(now, &mut buffer).is_some() {
        assert_hidden(node, 1);
        most = most.max(format!("{node:?}").matches(" bytes").count());
    }
    assert!(most > 6, "{most}");
}

#[test]
fn a_node_does_not_show_the_keys_of_its_hash_tables() {
    let node = forge::node(1, Config::lan("test"));
    let shown = format!("{node:?}");
    assert!(shown.contains("hash: KeyedHash,") && !shown.contains("KeyedHash {"), "{shown}");
}

#[test]
fn a_node_shows_the_lengths_of_what_is_in_its_stores_and_not_the_content() {
    let mut node = known(9, |_| {});
    node.set_wall_clock(at(2), 1_735_689_600_000_000);
    node.open_store(at(2), "secrets", StoreConfig::default()).expect("it is not open yet");
    let mut store = node.store_mut(at(2), "secrets").expect("it is open");
    store.watch("");
    let entry = store.set("key", Bytes::from_static(SECRET), None).map(|_| ());
    assert_eq!(entry, Ok(()));
    // In the store, and besides, with its key, in what is told to others.
    assert_hidden(&node, 1);
}
