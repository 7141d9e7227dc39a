//! Sealed packets: what opens, what does not, and that everything is taken once.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use gossip_core::{
    Channel, Config, Delivery, DropReason, Epoch, KeyRing, KeyRingError, MemberState, MessageType, Node, Plaintext,
    Reliability,
};
use proptest::prelude::*;
use support::forge::{self, at, drain};
use support::recorded::{Sent, Wire, assert_without_effect, config, deliver, is_bound, key, start, state};
use support::{Net, id, secs};

const KIND: MessageType = match MessageType::user(200) {
    Ok(kind) => kind,
    Err(_) => panic!("200 is free"),
};

#[test]
fn sealed_nodes_form_a_cluster_and_nothing_readable_is_on_the_wire() {
    let mut wire = Wire::cluster(4);
    assert!(wire.all_see_all());
    wire.nodes[1].set_metadata(wire.now, "secret-key", "secret-value").unwrap();
    wire.run(secs(5));
    assert_eq!(wire.nodes[3].member(id(2)).unwrap().metadata.str("secret-key"), Some("secret-value"));
    for packet in &wire.sent {
        assert_eq!(packet.bytes[1] & 1, 1, "sealed");
        assert_eq!(packet.bytes[6..8], key(1).id().as_u16().to_be_bytes());
        assert!(!packet.bytes.windows(6).any(|window| window == b"secret"));
    }
    for node in &wire.nodes {
        let stats = node.stats();
        // The requests to join that came before the greeting.
        assert!(stats.dropped_total() - stats.dropped(DropReason::Unbound) <= 3, "{stats:?}");
    }
}

#[test]
fn no_two_packets_have_one_number() {
    let mut wire = Wire::cluster(5);
    wire.nodes[0].set_metadata(wire.now, "news", 1_i64).unwrap();
    wire.run(secs(10));
    let numbers: BTreeSet<_> = wire.sent.iter().map(|packet| packet.bytes[8..40].to_vec()).collect();
    assert_eq!(numbers.len(), wire.sent.len(), "sender, epoch and counter");
    assert!(wire.sent.iter().any(|packet| packet.channel == Channel::Stream));
}

#[test]
fn the_seal_takes_56_bytes() {
    let wire = Wire::cluster(2);
    // A greeting says nothing, so it is what the seal takes.
    let shortest = wire.sent.iter().map(|packet| packet.bytes.len()).min();
    assert_eq!(shortest, Some(56));
}

#[test]
fn every_flipped_bit_and_every_truncation_is_noticed() {
    let mut wire = Wire::cluster(3);
    let sent: Vec<_> = wire.sent.iter().filter(|packet| packet.to == 0).cloned().collect();
    for channel in [Channel::Datagram, Channel::Stream] {
        let packet = sent.iter().find(|packet| packet.channel == channel && is_bound(packet)).unwrap();
        let flipped = (0..packet.bytes.len() * 8).map(|bit| {
            let mut bytes = packet.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            Sent { bytes, ..packet.clone() }
        });
        let cut =
            (0..packet.bytes.len()).map(|length| Sent { bytes: packet.bytes[..length].to_vec(), ..packet.clone() });
        let spoiled: Vec<_> = flipped.chain(cut).collect();
        // A node to which the packet would be news: the same one, with its memory of packets gone.
        let mut fresh = start(0, 1, 1 << 30, config());
        assert_without_effect(&mut fresh, at(1), &spoiled, |_| 0);
        let refused = |node: &Node<usize>| {
            [DropReason::Replayed, DropReason::StaleEpoch, DropReason::BadSeal]
                .map(|reason| node.stats().dropped(reason))
        };
        let before = refused(&fresh);
        deliver(&mut fresh, at(1), 1, packet.channel, packet.bytes.clone());
        assert_eq!(refused(&fresh), before, "no window moved, so the whole packet is taken");
    }
    let now = wire.now;
    assert_without_effect(&mut wire.nodes[0], now, &sent, |packet| if is_bound(packet) { 0 } else { 56 });
}

#[test]
fn a_replayed_packet_has_no_effect_at_its_receiver_nor_at_another_node() {
    let mut wire = Wire::cluster(3);
    let (now, kind) = (wire.now, KIND);
    wire.nodes[1].send(now, id(1), kind, "once".into(), Reliability::BestEffort).unwrap();
    let big = vec![7; 5_000];
    wire.nodes[1].send(now, id(1), kind, big.into(), Reliability::BestEffort).unwrap();
    wire.settle();
    let got = std::iter::from_fn(|| wire.nodes[0].poll_delivery()).count();
    assert_eq!(got, 2, "a datagram and a stream message");
    let sent = wire.sent.clone();
    for who in 0..3 {
        // What is for whom it may concern is answered by a greeting, which is no longer than the shortest packet.
        assert_without_effect(&mut wire.nodes[who], now, &sent, |packet| if is_bound(packet) { 0 } else { 56 });
    }
}

#[test]
fn what_was_recorded_before_the_receiver_started_again_has_no_effect() {
    let mut wire = Wire::cluster(3);
    let (now, kind) = (wire.now, KIND);
    wire.nodes[1].send(now, id(1), kind, "once".into(), Reliability::BestEffort).unwrap();
    wire.settle();
    let past = wire.sent.clone();
    wire.nodes[0] = start(0, 1, 2 << 30, config());
    assert_without_effect(&mut wire.nodes[0], now, &past, |packet| if is_bound(packet) { 0 } else { 56 });
    wire.nodes[0].join(now, 1).unwrap();
    wire.settle();
    wire.run(secs(5));
    assert!(wire.all_see_all());
    let now = wire.now;
    assert_without_effect(&mut wire.nodes[0], now, &past, |packet| if is_bound(packet) { 0 } else { 56 });
}

/// What node 1 sends by datagram within a second in which none of its datagrams arrives, a message to each among it.
fn held_back(wire: &mut Wire) -> Vec<Sent> {
    let (before, now) = (wire.sent.len(), wire.now);
    wire.hold = |packet| packet.from == 1 && packet.channel == Channel::Datagram;
    for to in [1, 3] {
        let message = vec![7; MESSAGE].into();
        wire.nodes[1].send(now, id(to), KIND, message, Reliability::BestEffort).expect("it is accepted");
    }
    wire.settle();
    wire.run(secs(1));
    wire.hold = |_| false;
    let held = wire.sent[before..].iter().filter(|packet| packet.from == 1 && packet.channel == Channel::Datagram);
    held.cloned().collect()
}

/// Length of a message that makes its packet longer than those without.
const MESSAGE: usize = 700;

fn holds_message(packet: &Sent) -> bool {
    packet.bytes.len() > MESSAGE
}

#[test]
fn what_does_not_open_moves_no_window() {
    /// Where a packet has its counter.
    const COUNTER: usize = 32;
    let mut wire = Wire::cluster(3);
    let held = held_back(&mut wire);
    let held: Vec<_> = held.into_iter().filter(|packet| packet.to == 0).collect();
    for packet in &held {
        let mut far = packet.bytes.clone();
        far[COUNTER] ^= 0x80;
        deliver(&mut wire.nodes[0], wire.now, 1, packet.channel, far);
    }
    let before = wire.nodes[0].stats();
    assert_eq!(before.dropped(DropReason::BadSeal), u64::try_from(held.len()).unwrap());
    for packet in &held {
        deliver(&mut wire.nodes[0], wire.now, 1, packet.channel, packet.bytes.clone());
    }
    let after = wire.nodes[0].stats();
    assert_eq!(after.dropped(DropReason::Replayed), before.dropped(DropReason::Replayed));
    assert!(
        std::iter::from_fn(|| wire.nodes[0].poll_delivery())
            .any(|delivery| matches!(delivery, Delivery::Message { .. }))
    );
}

#[test]
fn what_a_sender_sent_before_it_started_again_has_no_effect() {
    let mut wire = Wire::cluster(3);
    let past: Vec<_> = wire.sent.iter().filter(|packet| packet.from == 1).cloned().collect();
    let held = held_back(&mut wire);
    wire.nodes[1] = start(1, 2, 2 << 30, config());
    wire.nodes[1].join(wire.now, 0).unwrap();
    wire.settle();
    wire.run(secs(60));
    assert!(wire.all_see_all());
    let now = wire.now;
    for who in [0, 2] {
        // What never arrived was not taken before: nothing but its epoch tells that it is old.
        let held: Vec<_> = held.iter().filter(|packet| packet.to == who).cloned().collect();
        let late = u64::try_from(held.len()).unwrap();
        let stale = wire.nodes[who].stats().dropped(DropReason::StaleEpoch);
        for packet in &held {
            deliver(&mut wire.nodes[who], now, packet.from, packet.channel, packet.bytes.clone());
        }
        assert_eq!(wire.nodes[who].stats().dropped(DropReason::StaleEpoch) - stale, late);
        assert!(held.iter().any(holds_message), "a message is among it");
        assert_without_effect(&mut wire.nodes[who], now, &held, |_| 0);
        // Over a connection, an earlier life of a member is told that there is a later one.
        let longest = 56 + 80;
        assert_without_effect(&mut wire.nodes[who], now, &past, |packet| if is_bound(packet) { longest } else { 56 });
        let datagrams: Vec<_> = past.iter().filter(|packet| packet.channel == Channel::Datagram).cloned().collect();
        assert_without_effect(&mut wire.nodes[who], now, &datagrams, |_| 0);
    }
}

#[test]
fn a_joiner_cannot_be_fed_the_past_by_whoever_is_at_the_address() {
    let wire = Wire::cluster(3);
    let past = wire.sent.clone();
    let mut joiner = start(9, 9, 2 << 30, config());
    joiner.join(wire.now, 77).unwrap();
    let now = wire.now;
    assert_without_effect(&mut joiner, now, &past, |packet| if is_bound(packet) { 0 } else { 56 });
    assert_eq!(joiner.live_count(), 1);
}

#[test]
fn a_member_whose_clock_went_back_comes_back() {
    let mut wire = Wire::cluster(3);
    wire.nodes[1] = start(1, 2, 1 << 20, config());
    wire.nodes[1].join(wire.now, 0).unwrap();
    wire.settle();
    wire.run(secs(5));
    assert!(wire.all_see_all());
    assert!(wire.nodes[1].incarnation().epoch > Epoch::from_u64(1 << 30));
    for who in [0, 2] {
        assert_eq!(wire.nodes[who].member(id(2)).unwrap().incarnation, wire.nodes[1].incarnation());
    }
}

#[test]
fn a_rival_with_the_same_id_is_noticed_under_a_seal() {
    let mut wire = Wire::cluster(3);
    wire.nodes.push(start(3, 2, 2 << 30, config()));
    wire.nodes[3].join(wire.now, 0).unwrap();
    wire.settle();
    wire.run(secs(5));
    assert_eq!(wire.nodes[1].phase(), gossip_core::Phase::Contested);
    assert_eq!(wire.nodes[3].live_count(), 3);
    let events: Vec<_> = std::iter::from_fn(|| wire.nodes[3].poll_event()).collect();
    assert!(
        events.iter().any(|event| matches!(event, gossip_core::Event::IdConflict { quiet: false, .. })),
        "{events:?}"
    );
}

#[test]
fn joining_through_the_own_address_is_noticed() {
    let mut node = start(5, 5, 1 << 30, config());
    node.join(at(1), 6).unwrap();
    for _ in 0..8 {
        for (transmit, bytes) in drain(&mut node, at(1)) {
            deliver(&mut node, at(1), 6, transmit.channel, bytes);
        }
    }
    let events: Vec<_> = std::iter::from_fn(|| node.poll_event()).collect();
    let failed = format!("{events:?}");
    assert!(failed.contains("Rejected(Myself)"), "{failed}");
}

#[test]
fn plaintext_is_refused_counted_and_not_answered() {
    let mut node = start(1, 1, 1_000, config());
    let ping = forge::packet(2, 1_000, &[forge::ping(1)]);
    let join = forge::packet(2, 1_000, &[forge::join("test"), forge::claim(2, (1_000, 0), 0, 2, 0, 0)]);
    let mut foreign = join.clone();
    foreign[0] = 9;
    let mut other = join.clone();
    other[2] ^= 1;
    let packets = [ping, join, foreign, other].map(|bytes| Sent { from: 2, to: 1, channel: Channel::Stream, bytes });
    assert_without_effect(&mut node, at(1), &packets, |_| 0);
    assert_eq!(node.stats().dropped(DropReason::Plaintext), 6);
    assert_eq!(node.stats().plaintext_received, 0);
}

#[test]
fn a_key_that_is_not_in_the_ring_opens_nothing_and_a_removed_one_neither() {
    let mut other = config();
    other.keys = Some(KeyRing::new(key(2)));
    let mut wire = Wire::with(vec![config(), other]);
    assert!(!wire.all_see_all());
    assert!(wire.nodes[0].stats().dropped(DropReason::UnknownKey) > 0);

    let now = wire.now;
    assert_eq!(wire.nodes[0].add_key(key(2)), Ok(true));
    wire.nodes[1].join(now, 0).unwrap();
    wire.settle();
    assert!(wire.all_see_all(), "the newcomer is spoken to in its own key");
    assert_eq!(wire.nodes[0].members_speaking(key(2).id()), 1);

    wire.nodes[0].remove_key(key(2).id()).unwrap();
    let dropped = wire.nodes[0].stats().dropped(DropReason::UnknownKey);
    wire.run(secs(30));
    assert!(wire.nodes[0].stats().dropped(DropReason::UnknownKey) > dropped);
    assert_eq!(wire.nodes[0].live_count(), 1, "it is shut out");
    assert_eq!(wire.nodes[0].remove_key(key(1).id()), Err(KeyRingError::Primary(key(1).id())));
}

#[test]
fn another_cluster_with_the_same_key_is_another_cluster() {
    let mut other = config();
    other.cluster = "other".into();
    let mut wire = Wire::with(vec![config(), other]);
    wire.nodes[1].join(wire.now, 0).unwrap();
    wire.settle();
    assert_eq!(wire.nodes[0].live_count(), 1);
    let stats = wire.nodes[0].stats();
    assert_eq!((stats.dropped(DropReason::Cluster), stats.dropped_total()), (2, 2));
}

#[test]
fn a_node_without_keys_says_so() {
    let mut node = forge::node(1, Config::lan("test"));
    assert_eq!(node.add_key(key(1)), Err(KeyRingError::NotSealed));
    assert_eq!(node.set_plaintext(Plaintext::Accept), Err(KeyRingError::NotSealed));
    assert_eq!(node.key_ids().count(), 0);
}

/// Every step to keys and back, one node at a time; everybody must be seen alive by everybody throughout.
#[test]
fn a_running_cluster_is_moved_to_keys_and_back_without_a_suspicion() {
    let mut first = config();
    first.plaintext = Plaintext::Send;
    // Restarted one by one with keys, beside nodes without.
    let mut wire = Wire::with(vec![first.clone(), Config::local("test"), first.clone(), Config::local("test")]);
    assert!(wire.all_see_all());
    for who in [1, 3] {
        wire.nodes[who] = start(who, u8::try_from(who).unwrap() + 1, 2 << 30, first.clone());
        wire.nodes[who].join(wire.now, 0).unwrap();
        wire.settle();
    }
    wire.run(secs(3));
    assert!(wire.all_see_all());
    let steps = [Plaintext::Accept, Plaintext::Refuse, Plaintext::Accept, Plaintext::Send];
    for plaintext in steps {
        for who in 0..4 {
            wire.nodes[who].set_plaintext(plaintext).unwrap();
            wire.run(secs(3));
        }
        wire.nodes.push(start(4, 5, (3 << 30) + wire.now.as_micros(), {
            let mut config = config();
            config.plaintext = plaintext;
            config
        }));
        wire.nodes[4].join(wire.now, 0).unwrap();
        wire.settle();
        wire.run(secs(3));
        assert!(wire.all_see_all(), "{plaintext:?}: a newcomer is let in");
        wire.nodes[4].leave(wire.now).unwrap();
        wire.run(secs(3));
        wire.nodes.pop();
        for who in 0..4 {
            let suspected = wire.nodes[who].stats().refutations;
            assert_eq!((wire.nodes[who].live_count(), suspected), (4, 0), "{plaintext:?}");
        }
        wire.sent.clear();
        let received = |wire: &Wire| wire.nodes.iter().map(|node| node.stats().plaintext_received).sum::<u64>();
        let before = received(&wire);
        wire.run(secs(3));
        assert_eq!(received(&wire) > before, plaintext == Plaintext::Send, "{plaintext:?}");
        assert!(wire.sent.iter().all(|packet| (packet.bytes[1] & 1 == 0) == (plaintext == Plaintext::Send)));
    }
}

fn each(net: &mut Net, who: impl Iterator<Item = usize>, change: impl Fn(&mut Node<usize>)) {
    for who in who {
        change(net.node(who));
        net.run(Duration::from_millis(300));
    }
}

/// The whole rotation at 5% loss, and a node that slept through it.
#[test]
fn keys_rotate_under_loss_without_a_suspicion_and_who_was_away_comes_back() {
    const COUNT: usize = 8;
    let mut net = Net::cluster(COUNT, &config());
    net.loss = 5;
    let (old, new) = (key(1).id(), key(2).id());
    let away = COUNT - 1;
    each(&mut net, 0..away, |node| assert_eq!(node.add_key(key(2)), Ok(true)));
    each(&mut net, 0..away, |node| node.use_key(new).unwrap());
    // One does not know the new key; the others still speak to it in the one it has.
    net.run(secs(20));
    assert!(net.sees_alive(0..COUNT));
    for who in 0..COUNT {
        assert_eq!((net.stats(who).dropped(DropReason::UnknownKey), net.stats(who).refutations), (0, 0), "{who}");
    }
    assert_eq!(net.node(0).members_speaking(old), 1, "it alone holds the old key back");
    assert_eq!(net.node(away).members_speaking(old), 0, "the others use it for its sake");

    // Dead for long, and started again with the old key alone.
    net.kill(away);
    net.run(secs(60));
    assert_ne!(net.state(0, COUNT as u128), Some(MemberState::Alive));
    net.start_at(away, COUNT as u128, config());
    net.join(away, 0);
    net.run(secs(10));
    assert!(net.sees_alive(0..COUNT), "it is back within the grace period");

    each(&mut net, away..COUNT, |node| assert_eq!(node.add_key(key(2)), Ok(true)));
    each(&mut net, away..COUNT, |node| node.use_key(new).unwrap());
    net.run(secs(20));
    assert!((0..COUNT).all(|who| net.node(who).members_speaking(old) == 0));
    each(&mut net, 0..COUNT, |node| node.remove_key(old).unwrap());
    net.run(secs(20));
    assert!(net.sees_alive(0..COUNT));
    for who in 0..COUNT {
        assert_eq!(net.stats(who).refutations, 0, "{who} was never suspected");
        assert_eq!(net.node(who).key_ids().collect::<Vec<_>>(), [new]);
    }
}

#[test]
fn a_dead_member_that_started_again_elsewhere_in_time_is_found_by_its_peers() {
    let mut net = Net::cluster(3, &config());
    net.kill(2);
    assert!(net.run_until(secs(60), |net| net.state(0, 3) == Some(MemberState::Dead)).is_some());
    // It knows nobody and asks nobody.
    net.start_at(2, 3, config());
    assert!(net.run_until(secs(60), |net| net.sees_alive(0..3)).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_make_a_sealed_node_fail_or_answer(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300), stream: bool, flags in 0_u8..16, shaped: bool,
    ) {
        let mut node = start(1, 1, 1_000, config());
        if shaped && bytes.len() > 8 {
            let genuine = forge::packet(1, 1, &[]);
            bytes[0] = 1;
            bytes[1] = flags | 1;
            bytes[2..6].copy_from_slice(&genuine[2..6]);
            bytes[6..8].copy_from_slice(&key(1).id().as_u16().to_be_bytes());
        }
        let channel = if stream { Channel::Stream } else { Channel::Datagram };
        let before = state(&mut node);
        deliver(&mut node, at(1), 2, channel, bytes);
        prop_assert_eq!(state(&mut node), before);
        prop_assert_eq!(node.stats().dropped_total(), 1);
        prop_assert!(drain(&mut node, at(1)).is_empty());
    }
}
