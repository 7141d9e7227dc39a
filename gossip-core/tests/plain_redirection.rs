//! Without keys anybody can send from whatever address. Whoever is there gets no more than was sent.

mod support;

use gossip_core::{Channel, Instant, Node, Transmit, Value};
use support::forge::{self, Copy, at, drain, known, packet, ping, run, wire};
use support::id;

/// An address where no member is.
const VICTIM: usize = 77;

/// Bytes before the first message of a packet.
const HEADER: usize = 40;

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
fn drawn(from: usize, (sender, epoch): (u128, u64), messages: &[(u8, Vec<u8>)]) -> (usize, usize) {
    let mut node = talkative();
    let mut bytes = packet(sender, epoch, messages);
    node.handle_datagram(at(2), from, &mut bytes);
    let mut answered = 0;
    // What is sent a little later counts too: acknowledgements wait for company.
    for tenths in 20..30 {
        let now = Instant::from_micros(tenths * 100_000);
        node.handle_timeout(now);
        let sent = drain(&mut node, now);
        answered += datagrams(&sent, from).map(<[u8]>::len).sum::<usize>();
    }
    (bytes.len(), answered)
}

/// The datagrams to an address.
fn datagrams(sent: &[(Transmit<usize>, Vec<u8>)], to: usize) -> impl Iterator<Item = &[u8]> {
    let is_there = move |transmit: &Transmit<usize>| transmit.to.contains(&to) && transmit.channel == Channel::Datagram;
    sent.iter().filter(move |(transmit, _)| is_there(transmit)).map(|(_, bytes)| bytes.as_slice())
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
    // A member, an earlier start of it, and nobody.
    for sender in [(2, 1_000), (2, 999), (9, 1_000)] {
        for (name, messages) in &questions {
            let (received, answered) = drawn(VICTIM, sender, messages);
            assert!(answered <= received, "{name} of {sender:?}: {answered} bytes for {received}");
        }
        for several in 1_usize..1 << questions.len() {
            let asked = || (0..).zip(&questions).filter(|(index, _)| several & 1 << index != 0);
            let messages: Vec<_> = asked().flat_map(|(_, (_, messages))| messages.clone()).collect();
            let (received, answered) = drawn(VICTIM, sender, &messages);
            let names: Vec<_> = asked().map(|(_, (name, _))| name).collect();
            assert!(answered <= received, "{names:?} of {sender:?}: {answered} bytes for {received}");
        }
    }
    // Members hear the news where they are.
    let (received, answered) = drawn(2, (2, 1_000), &[ping(1)]);
    assert!(answered > received, "{answered} bytes for {received}");
    assert!(drawn(VICTIM, (2, 1_000), &[ping(1)]).1 > 0, "a question is answered");
    assert!(drawn(2, (2, 999), &[ping(1)]).1 > 0, "whose clock went back hears of its later start");
}

/// What comes of one request for a ping whose target answers after the nack: the request's length, and the answers.
fn relayed(from: usize) -> (usize, Vec<Vec<u8>>) {
    let mut node = talkative();
    let mut request = packet(2, 1_000, &[ping_request(3)]);
    node.handle_datagram(at(2), from, &mut request);
    let mut sent = drain(&mut node, at(2));
    let asked = datagrams(&sent, 3).find(|bytes| bytes[HEADER] == 1).expect("the target is pinged");
    let sequence = asked[HEADER + 2..].split_inclusive(|byte| byte & 0x80 == 0).next().expect("a number").to_vec();
    // The nack is due after 80% of 500 ms, and the end after all of them.
    let late = Instant::from_micros(2_450_000);
    node.handle_timeout(late);
    sent.extend(drain(&mut node, late));
    let ack = [sequence, vec![0; 8]].concat();
    node.handle_datagram(late, 3, &mut packet(3, 1_000, &[(2, ack)]));
    sent.extend(drain(&mut node, late));
    (request.len(), datagrams(&sent, from).map(<[u8]>::to_vec).collect())
}

#[test]
fn a_request_for_a_ping_is_answered_once_where_no_member_is_and_twice_where_its_sender_is() {
    let kinds = |answers: &[Vec<u8>]| answers.iter().map(|answer| answer[HEADER]).collect::<Vec<_>>();
    let (received, answers) = relayed(VICTIM);
    assert_eq!(kinds(&answers), [4], "a nack alone");
    assert!(answers.concat().len() <= received, "{} bytes for {received}", answers.concat().len());
    let (_, mut answers) = relayed(2);
    answers.retain(|answer| matches!(answer[HEADER], 2 | 4));
    assert_eq!(kinds(&answers), [4, 2], "a nack, and the ack that came late");
}
