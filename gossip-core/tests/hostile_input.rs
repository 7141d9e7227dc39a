//! What anybody on the network can send, and what it must not do.

mod support;

use gossip_core::{Channel, Config, DropReason, ForgetScope, MemberState, MessageKind};
use support::forge::{at, claim, drain, join, node, packet, ping, wire};
use support::{Net, id, secs};

#[test]
fn a_rejected_join_leaves_no_slot_behind() {
    let mut config = Config::lan("test");
    config.retention = secs(1);
    let mut a = node(1, config);
    let mut hostile = packet(2, 5, &[claim(2, (5, 0), 0, 2, 7, 0), join("other")]);
    a.handle_message(at(1), 2, &mut hostile);
    // Its sender falls silent, dies and is forgotten.
    for second in 2..120 {
        a.handle_timeout(at(second));
        drain(&mut a, at(second));
        if a.members().count() == 1 {
            break;
        }
    }
    assert_eq!(a.members().count(), 1, "forgotten");
    let mut again = packet(3, 5, &[(4, wire(&1_u32))]);
    a.handle_message(at(130), 3, &mut again);
}

#[test]
fn a_live_node_can_refute_whatever_was_claimed_of_it() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    let incarnation = net.node(3).incarnation();
    let teller = net.node(1).incarnation().epoch.as_u64();
    let garbled = packet(2, teller, &[claim(4, (incarnation.epoch.as_u64(), u32::MAX), 2, 3, 0, 0)]);
    net.send(1, 0, Channel::Datagram, garbled);
    net.run(secs(60));
    assert!(net.sees_alive(0..4), "{:?}", (0..4).map(|who| net.state(who, 4)).collect::<Vec<_>>());
}

#[test]
fn a_restart_supersedes_whatever_was_claimed_of_its_past() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    let teller = net.node(1).incarnation().epoch.as_u64();
    let garbled = packet(2, teller, &[claim(4, (u64::MAX, u32::MAX), 2, 3, 0, 0)]);
    net.send(1, 0, Channel::Datagram, garbled);
    net.run(secs(60));
    net.kill(3);
    net.run(secs(1));
    net.start_at(3, 4, Config::lan("test"));
    net.join(3, 0);
    net.run(secs(60));
    assert!(net.sees_alive(0..4), "{:?}", (0..4).map(|who| net.state(who, 4)).collect::<Vec<_>>());
}

#[test]
fn a_datagram_opens_no_connection_to_where_it_says_it_came_from() {
    let mut a = node(1, Config::lan("test"));
    let mut digest = vec![0x80, 1];
    digest.extend([9; 128]);
    let mut spoofed = packet(2, 5, &[(11, digest)]);
    a.handle_datagram(at(1), 666, &mut spoofed);
    let mut spoofed = packet(2, 5, &[join("test")]);
    a.handle_datagram(at(1), 667, &mut spoofed);
    let sent = drain(&mut a, at(1));
    assert!(
        sent.iter().all(|(transmit, _)| transmit.channel == Channel::Datagram),
        "{:?}",
        sent.iter().map(|(t, _)| t).collect::<Vec<_>>()
    );
}

#[test]
fn one_packet_gets_one_answer() {
    let mut a = node(1, Config::lan("test"));
    let pings: Vec<_> = (0..1_000).map(|_| ping(1)).collect();
    let mut datagram = packet(2, 5, &pings);
    let size = datagram.len();
    a.handle_datagram(at(1), 2, &mut datagram);
    let sent = drain(&mut a, at(1));
    let bytes: usize = sent.iter().map(|(transmit, _)| transmit.size).sum();
    assert!(sent.len() <= 1, "{} packets of {bytes} bytes for one of {size}", sent.len());
}

#[test]
fn repeated_wishes_are_answered_once() {
    let mut a = node(1, Config::lan("test"));
    a.set_metadata(at(1), "large", vec![7_u8; 60_000]).unwrap();
    let mut want = id(1).as_bytes().to_vec();
    want.extend(1_000_u64.to_be_bytes());
    want.push(0);
    let wants = want.repeat(4_096);
    let mut request = packet(2, 5, &[(7, wants)]);
    let size = request.len();
    a.handle_message(at(1), 2, &mut request);
    let bytes: usize = drain(&mut a, at(1)).iter().map(|(transmit, _)| transmit.size).sum();
    assert!(bytes < 200_000, "{bytes} bytes for {size}");
}

#[test]
fn tags_of_others_are_limited_like_own_ones() {
    let mut a = node(1, Config::lan("test"));
    let mut metadata = id(2).as_bytes().to_vec();
    metadata.extend(5_u64.to_be_bytes());
    metadata.extend([0, 1, 1, 255]);
    for _ in 0..255 {
        metadata.extend(wire(&"x".repeat(16_000)));
    }
    let mut hostile = packet(2, 5, &[claim(2, (5, 0), 0, 2, 1, 0), (6, metadata)]);
    a.handle_message(at(1), 2, &mut hostile);
    let kept: usize = a.member(id(2)).map_or(0, |member| member.tags.iter().map(String::len).sum());
    assert!(kept <= 64 * 64, "{kept} bytes of tags kept");
}

#[test]
fn a_table_does_not_hold_up_an_ack() {
    let mut a = node(1, Config::lan("test"));
    for number in 10..2_010 {
        let mut metadata = id(number).as_bytes().to_vec();
        metadata.extend(5_u64.to_be_bytes());
        metadata.extend([0, 1, 1, 0]);
        metadata.extend(wire(&"k"));
        metadata.push(1);
        metadata.extend([1, 5]);
        metadata.extend(wire(&vec![1_u8; 10_000].as_slice().to_vec()));
        let mut told = packet(number, 5, &[claim(number, (5, 0), 0, number as usize, 1, 0), (6, metadata)]);
        a.handle_message(at(1), number as usize, &mut told);
    }
    drain(&mut a, at(1));
    let mut joiner = packet(2, 5, &[join("test"), claim(2, (5, 0), 0, 2, 0, 0)]);
    a.handle_message(at(1), 2, &mut joiner);
    let mut ping = packet(11, 5, &[ping(1)]);
    a.handle_datagram(at(1), 11, &mut ping);
    let sent = drain(&mut a, at(1));
    let position =
        sent.iter().position(|(transmit, _)| transmit.to[0] == 11 && transmit.channel == Channel::Datagram).unwrap();
    let bytes: usize = sent[..position].iter().map(|(transmit, _)| transmit.size).sum();
    assert!(position <= 2, "{position} packets of {bytes} bytes before the ack");
}

#[test]
fn a_forgotten_member_that_lived_and_died_again_is_not_tried() {
    let mut a = node(1, Config::lan("test"));
    let mut told =
        packet(2, 5, &[claim(2, (5, 0), 0, 2, 0, 0), claim(3, (5, 0), 0, 3, 0, 0), claim(3, (5, 0), 2, 3, 0, 0)]);
    a.handle_message(at(1), 2, &mut told);
    a.forget(at(1), id(3), ForgetScope::Here).unwrap();
    let mut told = packet(2, 5, &[claim(3, (6, 0), 2, 3, 0, 0)]);
    a.handle_message(at(1), 2, &mut told);
}

#[test]
fn a_member_that_left_is_no_failed_probe() {
    let mut config = Config::lan("test");
    config.indirect_probes = 0;
    let mut a = node(1, config);
    let mut told = packet(2, 5, &[claim(2, (5, 0), 0, 2, 0, 0)]);
    a.handle_message(at(1), 2, &mut told);
    let mut now = at(1);
    while a.stats().sent(MessageKind::Ping) == 0 {
        now = a.poll_timeout().unwrap().max(now);
        a.handle_timeout(now);
        drain(&mut a, now);
    }
    let mut told = packet(2, 5, &[claim(2, (5, 0), 3, 2, 0, 0)]);
    a.handle_datagram(now, 2, &mut told);
    for _ in 0..30 {
        now = a.poll_timeout().unwrap().max(now);
        if now > at(8) {
            break;
        }
        a.handle_timeout(now);
        drain(&mut a, now);
    }
    assert_eq!((a.stats().probes_failed, a.health_score()), (0, 0));
}

#[test]
fn a_late_word_of_a_departure_keeps_its_age() {
    let mut config = Config::lan("test");
    config.retention = secs(400);
    let mut a = node(1, config);
    let mut told = packet(2, 5, &[claim(2, (5, 0), 0, 2, 0, 0), claim(3, (5, 0), 0, 3, 0, 0)]);
    a.handle_message(at(1), 2, &mut told);
    let mut told = packet(2, 5, &[claim(3, (5, 0), 3, 3, 0, 200), (12, vec![0])]);
    a.handle_message(at(250), 2, &mut told);
    assert_eq!(a.member(id(3)).unwrap().state, MemberState::Leaving);
    assert_eq!(a.member(id(3)).unwrap().since, at(50));
}

#[test]
fn an_entry_newer_than_its_delta_spoils_the_whole_packet() {
    let mut a = node(1, Config::lan("test"));
    let mut metadata = id(2).as_bytes().to_vec();
    metadata.extend(5_u64.to_be_bytes());
    metadata.extend([0, 1, 1, 0]);
    metadata.extend(wire(&"k"));
    metadata.extend(wire(&u64::MAX));
    metadata.extend([1, 1, 2]);
    let mut told = packet(2, 5, &[claim(2, (5, 0), 0, 2, 1, 0), (6, metadata)]);
    a.handle_message(at(1), 2, &mut told);
    assert_eq!(a.stats().dropped(DropReason::Malformed), 1);
    assert_eq!(a.members().count(), 1);
}

#[test]
fn a_rejected_join_by_datagram_opens_no_stream() {
    let mut a = node(1, Config::lan("test"));
    let mut spoofed = packet(2, 5, &[join("other")]);
    a.handle_datagram(at(1), 666, &mut spoofed);
    let sent = drain(&mut a, at(1));
    assert!(sent.is_empty(), "{:?}", sent.iter().map(|(t, _)| t).collect::<Vec<_>>());
    let mut spoofed = packet(1, 5, &[join("test")]);
    a.handle_datagram(at(1), 666, &mut spoofed);
    let sent = drain(&mut a, at(1));
    assert!(sent.is_empty(), "same id: {:?}", sent.iter().map(|(t, _)| t).collect::<Vec<_>>());
}

#[test]
fn the_last_plausible_epoch_does_not_silence_a_node() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    let teller = net.node(1).incarnation().epoch.as_u64();
    let last = u64::MAX - (1 << 32) - 1;
    let garbled = packet(2, teller, &[claim(4, (last, 0), 2, 3, 0, 0)]);
    net.send(1, 0, Channel::Datagram, garbled);
    net.run(secs(60));
    assert!(
        net.sees_alive(0..4),
        "{:?} malformed {:?}",
        (0..4).map(|who| net.state(who, 4)).collect::<Vec<_>>(),
        net.stats(0)
    );
}

#[test]
fn a_claim_of_great_age_leaves_a_tombstone() {
    let mut a = node(1, Config::lan("test"));
    let mut told = packet(2, 5, &[claim(2, (5, 0), 0, 2, 0, 0), claim(3, (5, 0), 0, 3, 0, 0)]);
    a.handle_message(at(10_000), 2, &mut told);
    let mut told = packet(2, 5, &[claim(3, (5, 0), 3, 3, 0, 5_000)]);
    a.handle_datagram(at(10_001), 2, &mut told);
    a.handle_timeout(at(10_001));
    // An old row of somebody who has not heard of it yet.
    let mut told = packet(2, 5, &[claim(3, (5, 0), 0, 3, 0, 0)]);
    a.handle_message(at(10_002), 2, &mut told);
    assert_eq!(
        a.member(id(3)).map(|m| m.state),
        Some(MemberState::Leaving),
        "one that left is back without having spoken"
    );
}

#[test]
fn a_later_death_counts_from_itself() {
    let mut a = node(1, Config::lan("test"));
    let mut told = packet(2, 5, &[claim(2, (5, 0), 0, 2, 0, 0), claim(3, (5, 0), 0, 3, 0, 0)]);
    a.handle_message(at(1), 2, &mut told);
    let mut told = packet(2, 5, &[claim(3, (5, 0), 2, 3, 0, 0)]);
    a.handle_datagram(at(10), 2, &mut told);
    let mut told = packet(2, 5, &[claim(3, (6, 0), 2, 3, 0, 0)]);
    a.handle_datagram(at(2_000), 2, &mut told);
    assert_eq!(a.member(id(3)).unwrap().since, at(2_000));
}

#[test]
fn an_ack_by_stream_does_not_wait_for_a_table() {
    let mut a = node(1, Config::lan("test"));
    for number in 10..20_010 {
        let mut told = packet(number, 5, &[claim(number, (5, 0), 0, number as usize, 0, 0)]);
        a.handle_message(at(1), number as usize, &mut told);
    }
    drain(&mut a, at(1));
    let mut joiner = packet(2, 5, &[join("test"), claim(2, (5, 0), 0, 2, 0, 0)]);
    a.handle_message(at(1), 2, &mut joiner);
    let mut ping = packet(11, 5, &[ping(1)]);
    a.handle_message(at(1), 11, &mut ping);
    let sent = drain(&mut a, at(1));
    let position = sent.iter().position(|(transmit, _)| transmit.to[0] == 11).unwrap();
    assert!(position <= 1, "{position} packets before the ack");
}

#[test]
fn a_flood_of_deletions_is_forgotten_in_one_pass() {
    let mut config = Config::lan("test");
    config.max_metadata = 1 << 20;
    let mut a = node(1, config);
    let mut metadata = id(2).as_bytes().to_vec();
    metadata.extend(5_u64.to_be_bytes());
    metadata.extend([0, 1, 1, 0]);
    for number in 0..52_000_u32 {
        metadata.extend(wire(&format!("{number:x}")));
        metadata.extend([1, 0]);
    }
    let mut told = packet(2, 5, &[claim(2, (5, 0), 0, 2, 1, 0), (6, metadata)]);
    // Were it quadratic, this test would take minutes.
    a.handle_message(at(1), 2, &mut told);
    assert!(a.member(id(2)).is_some_and(|member| member.metadata.is_empty()));
}
