//! Whoever holds back a packet that nobody received can send it once, from whatever address. That address gets no more than was sent.

mod support;

use gossip_core::{Channel, Node, Value};
use support::forge::drain;
use support::recorded::{Sent, Wire, config, deliver, start};
use support::{id, secs};

/// An address where nobody is.
const VICTIM: usize = 77;

/// What `node` sends to the victim for each of these packets, as if they came from there: received, and drawn.
fn drawn(wire: &Wire, node: &mut Node<usize>, packets: &[Sent]) -> Vec<(usize, usize)> {
    let mut drawn = Vec::new();
    for packet in packets {
        deliver(node, wire.now, VICTIM, packet.channel, packet.bytes.clone());
        let answers = drain(node, wire.now);
        let size = answers.iter().filter(|(transmit, _)| transmit.to.contains(&VICTIM)).map(|(_, bytes)| bytes.len());
        drawn.push((packet.bytes.len(), size.sum()));
    }
    drawn
}

/// What node 1 sends to node 0 by datagram within a minute in which none of its datagrams arrives anywhere.
fn held_back(wire: &mut Wire) -> Vec<Sent> {
    wire.sent.clear();
    wire.hold = |packet| packet.from == 1 && packet.channel == Channel::Datagram;
    wire.run(secs(60));
    wire.hold = |_| false;
    let held = wire.sent.iter().filter(|packet| packet.from == 1 && packet.to == 0);
    held.filter(|packet| packet.channel == Channel::Datagram).cloned().collect()
}

#[test]
fn a_packet_that_is_sent_from_elsewhere_draws_no_more_than_it_brings() {
    let mut wire = Wire::cluster(3);
    let held = held_back(&mut wire);
    // There is much news, which would fill every answer.
    let mut node = std::mem::replace(&mut wire.nodes[0], start(9, 9, 1 << 30, config()));
    for key in 0..8 {
        node.set_metadata(wire.now, &format!("key {key}"), Value::from("v".repeat(100))).unwrap();
    }
    let drawn = drawn(&wire, &mut node, &held);
    assert!(drawn.iter().any(|&(_, answered)| answered > 0), "some of them are questions");
    for (received, answered) in drawn {
        assert!(answered <= received, "{answered} bytes for {received}");
    }
    // What takes longer, as a probe for somebody else does, is answered to the member where it is known to be.
    wire.nodes[0] = node;
    wire.sent.clear();
    wire.hold = |packet| packet.from == 2;
    wire.run(secs(5));
    assert!(wire.sent.iter().all(|packet| packet.to != VICTIM));
}

#[test]
fn a_datagram_of_an_earlier_life_draws_nothing() {
    let mut wire = Wire::cluster(3);
    let held = held_back(&mut wire);
    wire.nodes[1] = start(1, 2, 2 << 30, config());
    // Only others tell of the new life: nothing that it sends itself arrives yet.
    wire.hold = |packet| packet.from == 1 && packet.to == 0;
    let now = wire.now;
    wire.nodes[1].join(now, 2).unwrap();
    wire.settle();
    wire.run(secs(2));
    assert_eq!(wire.nodes[0].member(id(2)).unwrap().incarnation, wire.nodes[1].incarnation());
    let mut node = std::mem::replace(&mut wire.nodes[0], start(9, 9, 1 << 30, config()));
    drain(&mut node, now);
    assert!(!held.is_empty());
    assert!(drawn(&wire, &mut node, &held).iter().all(|&(_, answered)| answered == 0));
}
