//! Messages, requests and broadcasts as a hostile or broken peer makes them: counted, bounded, and without effect on others.

mod support;

use bytes::Bytes;
use gossip_core::{BroadcastOptions, Channel, DropReason, MessageKind, MessageType, Node, Reliability};
use proptest::prelude::*;
use support::forge::{
    BASELINE, COPY_ACK, Copy, DIRECT, PULL, RECENT, REPLY, REQUEST, at, deliveries, drain, join, known, packet,
    request, run, wire,
};

fn copies_sent(node: &mut Node<usize>, seconds: u64) -> u64 {
    drain(node, at(seconds));
    node.stats().sent(MessageKind::Copy)
}

#[test]
fn origins_that_nobody_knows_do_not_crowd_out_those_that_are_known() {
    let mut node = known(4, |config| config.max_origins = 40);
    for stranger in 0..10_000_u128 {
        node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &[Copy::of(1 << 64 | stranger, 1).wire()]));
    }
    assert_eq!(node.stats().dropped(DropReason::OriginsFull), 10_000 - 10);
    for origin in [3, 4] {
        node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &[Copy::of(origin, 1).wire()]));
    }
    assert_eq!(deliveries(&mut node).len(), 12);
    // What was heard of strangers gives way when it is old.
    for stranger in 0..100_u128 {
        node.handle_datagram(at(60), 2, &mut packet(2, 1_000, &[Copy::of(2 << 64 | stranger, 1).wire()]));
    }
    assert!(deliveries(&mut node).len() <= 40);
}

#[test]
fn a_copy_with_all_the_circle_to_serve_costs_one_round_of_copies_and_no_more() {
    let mut node = known(200, |_| {});
    let whole = [7_u32.to_be_bytes(), 7_u32.to_be_bytes()].concat();
    node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &[Copy { hop: 5, arcs: &whole, ..Copy::of(3, 1) }.wire()]));
    let first = copies_sent(&mut node, 2);
    assert!((3..=12).contains(&first), "{first} copies");
    for _ in 0..1_000 {
        node.handle_datagram(
            at(2),
            2,
            &mut packet(2, 1_000, &[Copy { hop: 5, arcs: &whole, ..Copy::of(3, 1) }.wire()]),
        );
    }
    assert_eq!(copies_sent(&mut node, 2), first, "a repeated copy is not served again");
    assert_eq!(node.stats().dropped(DropReason::Duplicate), 1_000);
    // Another number may mean that the arc was handed over: it is served once for each.
    for _ in 0..1_000 {
        node.handle_datagram(
            at(2),
            2,
            &mut packet(2, 1_000, &[Copy { hop: 6, arcs: &whole, ..Copy::of(3, 1) }.wire()]),
        );
    }
    assert!(copies_sent(&mut node, 2) <= 2 * first + 2);
    assert_eq!(deliveries(&mut node).len(), 1);
}

#[test]
fn arcs_and_paths_that_make_no_sense_are_dropped_with_their_packet() {
    let mut node = known(50, |_| {});
    let points = |points: &[u32]| points.iter().flat_map(|point| point.to_be_bytes()).collect::<Vec<_>>();
    let bad = [
        Copy { hop: 1, arcs: &[1], ..Copy::of(3, 1) }.wire(),
        Copy { hop: 1, arcs: &points(&[5]), ..Copy::of(3, 1) }.wire(),
        Copy { hop: 1, arcs: &points(&[5, 9, 7]), ..Copy::of(3, 1) }.wire(),
        Copy { hop: 1, arcs: &[0; 4 * 34], ..Copy::of(3, 1) }.wire(),
        Copy { hop: 1, path: &[1, 2, 3], ..Copy::of(3, 1) }.wire(),
        Copy { hop: 1, path: &[0; 68], ..Copy::of(3, 1) }.wire(),
        Copy { hop: 1, ..Copy::of(3, 0) }.wire(),
        Copy { hop: 1, ..Copy::of(3, u64::MAX) }.wire(),
        Copy { hop: 1, tag: &"t".repeat(65), ..Copy::of(3, 1) }.wire(),
        (RECENT, vec![1; 5]),
        (PULL, vec![0xff; 9]),
        (COPY_ACK, vec![0xff; 7]),
        (REQUEST, vec![]),
        (DIRECT, vec![0xff, 0xff, 0xff, 0xff]),
    ];
    for (number, message) in bad.iter().enumerate() {
        node.handle_datagram(at(2), 2, &mut packet(2, 1_000, std::slice::from_ref(message)));
        assert_eq!(node.stats().dropped(DropReason::Malformed), number as u64 + 1, "{message:?}");
    }
    assert_eq!(deliveries(&mut node), []);
}

#[test]
fn an_arc_elsewhere_is_not_served() {
    let mut node = known(50, |_| {});
    // Two arcs of one point each: whoever stands there, it is not this node.
    let arcs = [1_u32, 2, 3].map(u32::to_be_bytes).concat();
    node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &[Copy { hop: 1, arcs: &arcs, ..Copy::of(3, 1) }.wire()]));
    assert_eq!(copies_sent(&mut node, 2), 0);
    assert_eq!(node.stats().dropped(DropReason::WrongTarget), 1);
    assert_eq!(deliveries(&mut node).len(), 1, "the message itself counts");
}

#[test]
fn what_is_not_for_this_node_is_not_delivered() {
    let mut node = known(4, |_| {});
    let messages = [
        Copy { hop: 1, ..Copy::of(1, 1) }.wire(),
        Copy { hop: 1, tag: "blue", ..Copy::of(3, 1) }.wire(),
        (DIRECT, [&[0, 0, 0, 1], &*wire(&63_u16)].concat()),
    ];
    node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &messages));
    let dropped = [DropReason::Myself, DropReason::NotTagged, DropReason::ReservedType];
    assert_eq!(dropped.map(|reason| node.stats().dropped(reason)), [1; 3]);
    assert_eq!(deliveries(&mut node), []);
}

#[test]
fn floods_of_acknowledgements_answers_and_digests_cost_no_memory_and_no_packets() {
    let mut node = known(4, |_| {});
    let acks: Vec<u8> = (0..400_u32).flat_map(|hop| wire(&hop)).collect();
    let runs: Vec<u8> = (0..60_u64).flat_map(|lane| run(lane, 1, u64::MAX >> 1)).collect();
    let reply = [wire(&7_u64), vec![0]].concat();
    for _ in 0..200 {
        node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &[(COPY_ACK, acks.clone())]));
        node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &[(RECENT, runs.clone())]));
        node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &[(PULL, runs.clone())]));
        node.handle_message(at(2), 2, &mut packet(2, 1_000, &[(REPLY, reply.clone())]));
        node.handle_message(at(2), 2, &mut packet(2, 1_000, &[(BASELINE, runs.clone())]));
    }
    assert_eq!(node.stats().dropped(DropReason::Unexpected), 200 * 400);
    assert_eq!(node.stats().dropped(DropReason::LateAnswer), 200);
    assert_eq!(drain(&mut node, at(2)).len(), 0, "nothing of it is answered at once");
    // What was said to exist is asked for a few times, within one packet each, and then forgotten.
    let mut asked = 0;
    for step in 0..3_000 {
        let now = gossip_core::Instant::from_micros(2_000_000 + step * 10_000);
        node.handle_timeout(now);
        asked += drain(&mut node, now).iter().filter(|(_, bytes)| bytes[40] == PULL).count();
    }
    assert!((1..=1_000).contains(&asked), "asked {asked} times");
    // Somebody's own messages still arrive: no lane was spoiled.
    node.handle_datagram(at(40), 2, &mut packet(2, 1_000, &[Copy::of(3, 1).wire()]));
    assert_eq!(deliveries(&mut node).len(), 1);
}

#[test]
fn only_members_are_served_what_they_ask_for() {
    let mut node = known(4, |_| {});
    let kind = MessageType::user(500).expect("a user type");
    let id = node.broadcast(at(2), kind, Bytes::from(vec![1; 1_000]), BroadcastOptions::new()).expect("accepted");
    drain(&mut node, at(2));
    let before = node.stats().sent(MessageKind::Copy);
    let lane = u64::from_str_radix(id.to_string().split('/').nth(1).expect("a lane"), 16).expect("a number");
    node.handle_datagram(at(2), 77, &mut packet(77, 1_000, &[(PULL, run(lane, 1, 1))]));
    assert_eq!(copies_sent(&mut node, 2), before, "nothing goes to a stranger");
    assert_eq!(node.stats().dropped(DropReason::UnknownMember), 1);
    // The answer goes to the member, wherever the question came from.
    node.handle_datagram(at(2), 77, &mut packet(3, 1_000, &[(PULL, run(lane, 1, u64::MAX >> 1))]));
    let sent = drain(&mut node, at(2));
    assert_eq!(sent.iter().map(|(transmit, _)| transmit.to.to_vec()).collect::<Vec<_>>(), [vec![3]]);
}

#[test]
fn requests_and_answers_are_only_taken_from_connections() {
    let mut node = known(4, |_| {});
    let request = request(7, 1_000);
    node.handle_datagram(at(2), 2, &mut packet(2, 1_000, std::slice::from_ref(&request)));
    node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &[(REPLY, vec![7, 0])]));
    assert_eq!(node.stats().dropped(DropReason::Channel), 2);
    for _ in 0..10 {
        node.handle_message(at(2), 2, &mut packet(2, 1_000, std::slice::from_ref(&request)));
    }
    assert_eq!(node.stats().dropped(DropReason::Duplicate), 9);
    assert_eq!(deliveries(&mut node).len(), 1);
}

#[test]
fn an_answer_by_somebody_else_does_not_end_a_request() {
    let mut node = known(4, |_| {});
    let kind = MessageType::user(500).expect("a user type");
    let (target, deadline) = (support::id(2), at(60));
    node.request(at(2), target, kind, Bytes::new(), deadline).expect("accepted");
    let sent = drain(&mut node, at(2));
    let (_, number) = sent
        .iter()
        .find(|(transmit, _)| transmit.channel == Channel::Stream)
        .map(|(_, bytes)| {
            postcard::take_from_bytes::<u64>(&bytes[42 + 16..]).map(|(id, rest)| (rest.len(), id)).expect("an id")
        })
        .expect("it was sent");
    let mut reply = wire(&number);
    reply.push(0);
    node.handle_message(at(2), 3, &mut packet(3, 1_000, &[(REPLY, reply.clone())]));
    assert_eq!((node.stats().dropped(DropReason::Unexpected), deliveries(&mut node).len()), (1, 0));
    node.handle_message(at(2), 2, &mut packet(2, 1_000, &[(REPLY, reply)]));
    assert_eq!(deliveries(&mut node).len(), 1);
}

#[test]
fn a_join_in_the_packet_does_not_make_history_of_what_is_to_come() {
    let mut node = known(4, |_| {});
    // This node is no newcomer: nobody tells it what is past.
    let baseline = run(1, 1_000_000, 0);
    node.handle_message(at(2), 2, &mut packet(2, 1_000, &[join("test"), (BASELINE, baseline)]));
    node.handle_datagram(at(3), 2, &mut packet(2, 1_000, &[Copy::of(3, 1).wire()]));
    assert_eq!(deliveries(&mut node).len(), 1);
}

proptest! {
    #[test]
    fn no_bytes_break_a_node(
        messages in proptest::collection::vec((16_u8..25, proptest::collection::vec(any::<u8>(), 0..120)), 1..4),
        stream in any::<bool>(),
    ) {
        let mut node = known(40, |_| {});
        let kind = MessageType::user(500).expect("a user type");
        node.broadcast(at(2), kind, Bytes::new(), BroadcastOptions::new()).expect("accepted");
        node.send(at(2), support::id(2), kind, Bytes::new(), Reliability::Reliable).expect("accepted");
        let mut packet = packet(2, 1_000, &messages);
        if stream {
            node.handle_message(at(2), 2, &mut packet);
        } else {
            node.handle_datagram(at(2), 2, &mut packet);
        }
        drain(&mut node, at(2));
        for second in 3..20 {
            node.handle_timeout(at(second));
            drain(&mut node, at(second));
        }
    }
}
