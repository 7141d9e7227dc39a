//! Broadcasts and their repair as a hostile or broken peer spoils them: no more than a bounded part, and not for ever.

mod support;

use std::time::Duration;

use bytes::Bytes;
use gossip_core::{Config, DropReason, Instant, MessageKind, Node};
use support::forge::{COPY, Copy, PULL, RECENT, at, deliveries, drain, join, known, lane, packet, ping, run};
use support::messages::{PLAIN, broadcast, kind, received};
use support::{Net, secs};

/// The arc that is the whole circle.
const WHOLE: &[u8] = &[0, 0, 0, 7, 0, 0, 0, 7];

fn small(config: &mut Config) {
    config.max_message = 64 << 10;
    config.max_metadata = 0;
    config.chunk = 1 << 10;
}

fn handle_copy(node: &mut Node<usize>, now: Instant, from: u128, copy: &Copy<'_>) {
    let address = usize::try_from(from).expect("small");
    node.handle_message(now, address, &mut packet(from, 1_000, &[copy.wire()]));
}

/// How often `asked` was asked for a broadcast until then.
fn questions(node: &mut Node<usize>, now: Instant, asked: usize) -> usize {
    node.handle_timeout(now);
    drain(node, now).iter().filter(|(transmit, bytes)| transmit.to.contains(&asked) && bytes[40] == PULL).count()
}

#[test]
fn a_forged_number_mutes_its_origin_nowhere() {
    // In a member's name it costs the three messages after which the origin is believed to be where it says.
    for (sender, epoch_of_sender, cost) in [(77, 1_000, 0), (4, 0, 3)] {
        let mut net = Net::acquainted(20, &Config::lan("test"));
        net.run(secs(2));
        let first = broadcast(&mut net, 2, Bytes::from_static(b"first"), PLAIN);
        net.run(secs(1));
        let epoch = first.epoch.as_u64();
        let sender_epoch = if epoch_of_sender == 0 { epoch } else { epoch_of_sender };
        for sequence in [1 << 62, 1 << 40, 60_000, 1_000] {
            let forged = Copy { hop: 5, epoch, flags: Copy::ORDERED, arcs: WHOLE, ..Copy::of(3, sequence) };
            let now = net.now;
            // A stranger, or somebody in a member's name, sends it to one node.
            net.node(7).handle_datagram(now, 999, &mut packet(sender, sender_epoch, &[forged.wire()]));
            net.settle(7);
        }
        net.run(secs(15));
        let ordered = PLAIN.ordered();
        let later: Vec<_> = (0..20)
            .map(|_| {
                let message = broadcast(&mut net, 2, Bytes::from_static(b"later"), ordered);
                net.run(Duration::from_millis(500));
                message
            })
            .collect();
        net.run(secs(8));
        for who in (0..20).filter(|&who| who != 2) {
            let got = received(&net, who);
            let lacking = later.iter().filter(|message| !got.contains(message)).count();
            assert!(lacking <= cost, "node {who} lacks {lacking}, forged by {sender}");
            assert!(later[cost..].iter().all(|message| got.contains(message)), "node {who}, forged by {sender}");
        }
    }
}

#[test]
fn a_strangers_copy_of_a_members_broadcast_counts_for_nothing() {
    let mut node = known(4, |_| {});
    handle_copy(&mut node, at(2), 77, &Copy { hop: 9, ..Copy::of(3, 1) });
    node.handle_timeout(at(3));
    drain(&mut node, at(3));
    assert_eq!((node.stats().dropped(DropReason::UnknownMember), node.stats().sent(MessageKind::CopyAck)), (1, 0));
    // One of the stranger's own is heard, as that of a member would be whose claim is still on its way.
    handle_copy(&mut node, at(3), 77, &Copy { hop: 9, ..Copy::of(77, 1) });
    handle_copy(&mut node, at(3), 3, &Copy::of(3, 1));
    assert_eq!(deliveries(&mut node).len(), 2);
}

#[test]
fn digests_of_strangers_do_not_stop_repair() {
    let mut node = known(4, |_| {});
    let mut now = at(2);
    let mut asked = 0;
    let real = run(lane(3, 1_000, ""), 1, 1);
    for step in 0..500_u64 {
        for flood in 0..8 {
            let runs = run(step * 8 + flood, 1, 1_024);
            node.handle_datagram(now, 77, &mut packet(77, 1_000, &[(RECENT, runs)]));
        }
        node.handle_datagram(now, 77, &mut packet(77, 1_000, &[(RECENT, real.clone())]));
        node.handle_datagram(now, 3, &mut packet(3, 1_000, &[(RECENT, real.clone())]));
        now = now + Duration::from_millis(10);
        asked += questions(&mut node, now, 3);
    }
    assert!((1..=60).contains(&asked), "asked {asked} times");
    assert_eq!(node.stats().dropped(DropReason::UnknownMember), 500 * 9);
}

#[test]
fn a_member_that_invents_broadcasts_does_not_stop_repair_by_others() {
    let mut node = known(4, |_| {});
    for lane in 0..100 {
        node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &[(RECENT, run(lane, 1, 1_024))]));
    }
    let real = run(lane(3, 1_000, ""), 1, 1);
    node.handle_datagram(at(2), 2, &mut packet(2, 1_000, &[(RECENT, real.clone())]));
    node.handle_datagram(at(2), 3, &mut packet(3, 1_000, &[(RECENT, real)]));
    let now = at(2) + Duration::from_millis(500);
    assert_eq!(questions(&mut node, now, 3), 1, "who has it is asked");
}

#[test]
fn one_question_is_answered_once_and_does_not_fill_the_queue() {
    let mut node = known(4, |_| {});
    let payload = Bytes::from(vec![1; 1 << 20]);
    node.broadcast(at(2), kind(), payload.clone(), PLAIN).expect("accepted");
    drain(&mut node, at(2));
    let runs: Vec<u8> = (0..64).flat_map(|_| run(lane(1, 1_000, ""), 1, 1)).collect();
    for _ in 0..50 {
        node.handle_datagram(at(2), 666, &mut packet(3, 1_000, &[(PULL, runs.clone())]));
    }
    node.broadcast(at(2), kind(), payload, PLAIN).expect("there is room for the node's own");
    let sent = drain(&mut node, at(2));
    let answers = sent.iter().filter(|(transmit, bytes)| transmit.to.to_vec() == [3] && bytes[40] == COPY).count();
    assert_eq!(answers, 1, "nothing more until that can have arrived");
    node.handle_datagram(at(4), 3, &mut packet(3, 1_000, &[(PULL, runs)]));
    assert_eq!(drain(&mut node, at(4)).len(), 1, "later it may have got lost");
}

#[test]
fn lanes_of_strangers_give_way_when_they_are_old() {
    let mut node = known(4, |config| config.max_origins = 40);
    for stranger in 0..100_u128 {
        handle_copy(&mut node, at(2), 2, &Copy::of(1 << 64 | stranger, 1));
    }
    assert_eq!(deliveries(&mut node).len(), 10);
    // A newcomer broadcasts before its claim has come here.
    handle_copy(&mut node, at(3_600), 2, &Copy::of(9, 1));
    assert_eq!(deliveries(&mut node).len(), 1);
    // Its lane counts as a member's from then on that it is one.
    node.handle_datagram(at(3_600), 2, &mut packet(2, 1_000, &[support::forge::row(9)]));
    handle_copy(&mut node, at(3_600), 2, &Copy::of(9, 2));
    for stranger in 0..100_u128 {
        handle_copy(&mut node, at(3_700), 2, &Copy::of(2 << 64 | stranger, 1));
    }
    assert_eq!(deliveries(&mut node).len(), 1 + 10);
}

#[test]
fn invented_starts_of_a_member_do_not_crowd_out_others() {
    let mut node = known(4, |config| config.max_origins = 40);
    for epoch in 5_000..5_100 {
        handle_copy(&mut node, at(2), 4, &Copy { epoch, ..Copy::of(3, 1) });
    }
    assert_eq!(deliveries(&mut node).len(), 10);
    handle_copy(&mut node, at(2), 4, &Copy::of(4, 1));
    assert_eq!(deliveries(&mut node).len(), 1, "a real one");
}

#[test]
fn a_lane_that_gave_way_is_not_heard_twice() {
    let mut node = known(30, |config| config.max_origins = 16);
    for sequence in 1..=3 {
        handle_copy(&mut node, at(2), 3, &Copy { flags: Copy::ORDERED, ..Copy::of(3, sequence) });
    }
    for origin in 4..30 {
        handle_copy(&mut node, at(10), 2, &Copy::of(origin, 1));
    }
    deliveries(&mut node);
    // A copy that was long on its way, or is replayed.
    handle_copy(&mut node, at(20), 3, &Copy { flags: Copy::ORDERED, ..Copy::of(3, 3) });
    for second in 21..26 {
        node.handle_timeout(at(second));
        drain(&mut node, at(second));
    }
    assert_eq!(deliveries(&mut node), []);
    handle_copy(&mut node, at(26), 3, &Copy { flags: Copy::ORDERED, ..Copy::of(3, 4) });
    assert_eq!(deliveries(&mut node).len(), 1, "and goes on where it was");
}

#[test]
fn messages_held_back_are_bounded_in_bytes() {
    let mut node = known(4, |config| {
        config.max_message = 1 << 20;
        config.repair_bytes = 1 << 20;
        config.max_metadata = 0;
    });
    let body = vec![7; 60_000];
    let mut held = 0;
    for sequence in 2..1_000 {
        handle_copy(&mut node, at(2), 3, &Copy { flags: Copy::ORDERED, body: &body, ..Copy::of(3, sequence) });
        held += body.len();
        for delivery in deliveries(&mut node) {
            if let gossip_core::Delivery::Broadcast { payload, .. } = delivery {
                held -= payload.len();
            }
        }
        assert!(held <= 2 << 20, "{held} bytes");
    }
}

#[test]
fn a_strangers_ping_is_answered_with_little_more_than_it_is() {
    let mut node = known(200, |_| {});
    for second in 2..30 {
        node.handle_timeout(at(second));
        drain(&mut node, at(second));
    }
    for origin in 2..200 {
        handle_copy(&mut node, at(30), 2, &Copy::of(origin, 1));
    }
    drain(&mut node, at(30));
    let mut answer = |sender: u128, address: usize| {
        let mut question = packet(sender, 1_000, &[ping(1)]);
        let asked = question.len();
        node.handle_datagram(at(30), address, &mut question);
        let sent = drain(&mut node, at(30));
        let sent = sent.iter().filter(|(transmit, _)| transmit.to.contains(&address)).map(|(_, bytes)| bytes.len());
        (asked, sent.sum::<usize>())
    };
    for (sender, address) in [(77, 666), (3, 666)] {
        let (asked, sent) = answer(sender, address);
        assert!(sent <= 3 * asked, "asked {asked}, answered {sent}");
    }
    assert!(answer(3, 3).1 > 1_000, "a member at its own address is told what came");
}

#[test]
fn long_digests_are_looked_at_in_part() {
    let mut node = known(4, |_| {});
    for sequence in 1..=1_100 {
        handle_copy(&mut node, at(2), 3, &Copy::of(3, sequence));
    }
    deliveries(&mut node);
    // The first 256 runs hold what was heard; what is behind them is not looked at.
    let mut runs: Vec<u8> = (0..256).flat_map(|_| run(lane(3, 1_000, ""), 1, 1_024)).collect();
    runs.extend(run(lane(3, 1_000, ""), 2_000, 1));
    node.handle_message(at(3), 2, &mut packet(2, 1_000, &[(RECENT, runs)]));
    assert_eq!(questions(&mut node, at(4), 2), 0);
    node.handle_datagram(at(4), 2, &mut packet(2, 1_000, &[(RECENT, run(lane(3, 1_000, ""), 2_000, 1))]));
    assert_eq!(questions(&mut node, at(5), 2), 1);
}

#[test]
fn the_baseline_leaves_room_for_what_ends_the_table() {
    let mut node = known(4, |config| {
        small(config);
        config.max_origins = 100_000;
    });
    for number in 0..4_096 {
        let copy = Copy { epoch: 5_000 + number, ..Copy::of(3, 1 << 61) };
        handle_copy(&mut node, at(2), 3, &copy);
        deliveries(&mut node);
    }
    drain(&mut node, at(2));
    node.handle_message(at(3), 500, &mut packet(50, 1_000, &[join("test")]));
    let sent = drain(&mut node, at(3));
    let largest = sent.iter().map(|(_, bytes)| bytes.len()).max().expect("an answer");
    assert_eq!(node.stats().sent(MessageKind::Accept), 1);
    assert!((512..4 << 10).contains(&largest), "{largest} bytes: with a baseline, but not more than a chunk of it");
}

#[test]
fn an_arc_is_served_although_the_payload_gave_way() {
    let mut node = known(60, |config| {
        small(config);
        config.repair_bytes = 64 << 10;
        config.max_datagram = 65_507;
    });
    handle_copy(&mut node, at(2), 2, &Copy::of(3, 1));
    for sequence in 1..3 {
        handle_copy(&mut node, at(2), 4, &Copy { body: &vec![1; 50_000], ..Copy::of(4, sequence) });
    }
    drain(&mut node, at(2));
    let before = node.stats().sent(MessageKind::Copy);
    // Somebody else's arc is handed to this node.
    handle_copy(&mut node, at(2), 5, &Copy { hop: 8, arcs: WHOLE, ..Copy::of(3, 1) });
    drain(&mut node, at(2));
    assert!(node.stats().sent(MessageKind::Copy) > before);
}

#[test]
fn the_numbers_of_copies_say_nothing_of_those_to_come() {
    let mut node = known(4, |_| {});
    let mut hops = Vec::new();
    for _ in 0..3 {
        node.broadcast(at(2), kind(), Bytes::new(), PLAIN.reliable()).expect("accepted");
        let copies = drain(&mut node, at(2)).into_iter().filter(|(_, bytes)| bytes[40] == COPY);
        hops.extend(copies.map(|(_, bytes)| postcard::take_from_bytes::<u32>(&bytes[42..]).expect("a hop").0).take(1));
    }
    assert!(hops.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 1_000), "{hops:?}");
}
