//! Without keys anybody can send from whatever address. Whoever is there gets no more than was sent.

mod support;

use gossip_core::{Channel, Instant, Node, Value};
use support::forge::{self, Copy, at, drain, known, packet, ping, run, wire};
use support::id;

/// An address where no member is.
const VICTIM: usize = 77;

/// A member that has much to tell.
fn talkative() -> Node<usize> {
    let mut node = known(3, |_| {});
    for key in 0..8 {
        node.set_metadata(at(1), &format!("key {key}"), Value::from("v".repeat(100))).expect("there is room");
    }
    drain(&mut node, at(1));
    node
}

/// Bytes that go to an address for this datagram.
fn drawn(from: usize, sender: u128, messages: &[(u8, Vec<u8>)]) -> (usize, usize) {
    let mut node = talkative();
    let mut bytes = packet(sender, 1_000, messages);
    node.handle_datagram(at(2), from, &mut bytes);
    let mut answered = 0;
    // What is sent a little later counts too: acknowledgements wait for company.
    for tenths in 20..30 {
        let now = Instant::from_micros(tenths * 100_000);
        node.handle_timeout(now);
        let sent = drain(&mut node, now);
        let there = sent.iter().filter(|(transmit, _)| transmit.to.contains(&from));
        let there = there.filter(|(transmit, _)| transmit.channel == Channel::Datagram);
        answered += there.map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    (bytes.len(), answered)
}

fn ping_request(target: u128) -> (u8, Vec<u8>) {
    let mut payload = wire(&1_u32);
    payload.extend(id(target).as_bytes());
    payload.extend(wire(&500_u32));
    (3, payload)
}

#[test]
fn an_address_where_no_member_is_gets_no_more_than_came_from_there() {
    let lane = || forge::lane(2, 1_000, "");
    let questions = [
        ("ping", vec![ping(1)]),
        ("request to ping a member", vec![ping_request(3)]),
        ("request to ping nobody", vec![ping_request(9)]),
        ("request to ping the receiver", vec![ping_request(1)]),
        ("copy", vec![Copy::of(2, 1).wire()]),
        ("pull", vec![(forge::PULL, run(lane(), 1, 100))]),
        ("recent", vec![(forge::RECENT, run(lane(), 1, 100))]),
    ];
    for (name, messages) in questions {
        for sender in [2, 9] {
            let (received, answered) = drawn(VICTIM, sender, &messages);
            assert!(answered <= received, "{name} of {sender}: {answered} bytes for {received}");
        }
    }
    // Members hear the news where they are.
    let (received, answered) = drawn(2, 2, &[ping(1)]);
    assert!(answered > received, "{answered} bytes for {received}");
    assert!(drawn(VICTIM, 2, &[ping(1)]).1 > 0, "a question is answered");
}
