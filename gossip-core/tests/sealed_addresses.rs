//! Sealed packets find their receiver by its address, whoever was there before.

mod support;

use std::time::Duration;

use gossip_core::{Channel, DropReason, Epoch, Identity, MemberState, Node, Plaintext};
use support::forge::{self, at, claim, drain};
use support::recorded::{Wire, config, deliver, start};
use support::{Net, id, secs};

/// A process that starts again without remembering its id is the usual case: nothing but the address stays.
#[test]
fn who_starts_again_under_another_id_at_the_same_address_is_not_suspected() {
    let mut net = Net::cluster(5, &config());
    net.kill(4);
    net.run(secs(1));
    net.start_at(4, 9, config());
    net.join(4, 0);
    net.run(secs(40));
    for who in 0..4 {
        assert_eq!(net.state(who, 9), Some(MemberState::Alive), "{who}");
        assert_eq!(net.state(who, 5), Some(MemberState::Dead), "{who}");
    }
    assert_eq!(net.stats(4).refutations, 0);
}

/// The same with a clock that went back: the one that is gone had the later start.
#[test]
fn an_earlier_start_under_another_id_at_the_same_address_is_not_suspected() {
    let mut net = Net::cluster(5, &config());
    net.kill(4);
    net.run(secs(1));
    net.start_as(4, Identity::new(id(9), 4, Epoch::from_u64(1 << 20)), config());
    net.join(4, 0);
    net.run(secs(40));
    for who in 0..4 {
        assert_eq!(net.state(who, 9), Some(MemberState::Alive), "{who}");
        assert_eq!(net.state(who, 5), Some(MemberState::Dead), "{who}");
    }
    assert_eq!(net.stats(4).refutations, 0);
}

/// A node that was told of two members at address 9, of which the one with id 9 is there, and does not know of anybody.
fn told_of(epochs: [(u128, u64); 2], probe_interval: Duration) -> [Node<usize>; 2] {
    let mut accepting = config();
    accepting.plaintext = Plaintext::Accept;
    accepting.probe_interval = probe_interval;
    let mut node = start(1, 1, 1_000, accepting);
    for (member, epoch) in epochs {
        node.handle_datagram(at(1), 2, &mut forge::packet(2, 1_000, &[claim(member, (epoch, 0), 0, 9, 0, 0)]));
    }
    let there = epochs.into_iter().find(|&(member, _)| member == 9).expect("one is there");
    let peer = start(9, 9, there.1, config());
    // What is refused needs no plaintext.
    node.set_plaintext(Plaintext::Refuse).expect("it has keys");
    [node, peer]
}

/// Runs both for a while; the peer only answers.
fn run(nodes: &mut [Node<usize>; 2], span: Duration) {
    let end = at(1) + span;
    while let Some(now) = nodes.iter().filter_map(Node::poll_timeout).min().filter(|&due| due <= end) {
        nodes[0].handle_timeout(now);
        for (transmit, bytes) in drain(&mut nodes[0], now) {
            if transmit.to.contains(&9) && transmit.channel == Channel::Datagram {
                deliver(&mut nodes[1], now, 1, transmit.channel, bytes);
            }
        }
        let answers = drain(&mut nodes[1], now);
        nodes[1].handle_timeout(now);
        drain(&mut nodes[1], now);
        for (transmit, bytes) in answers {
            deliver(&mut nodes[0], now, 9, transmit.channel, bytes);
        }
    }
}

#[test]
fn of_two_members_at_an_address_the_later_is_spoken_to_in_whatever_order_they_were_told_of() {
    for epochs in [[(9, 2_000), (5, 1_000)], [(5, 1_000), (9, 2_000)]] {
        let mut nodes = told_of(epochs, secs(3_600));
        nodes[0].set_metadata(at(1), "news", 1_i64).expect("there is room");
        run(&mut nodes, Duration::from_millis(300));
        let stats = nodes[1].stats();
        assert!(stats.datagrams_received > 0);
        assert_eq!(stats.dropped(DropReason::BadSeal), 0, "{epochs:?}");
    }
}

#[test]
fn a_probe_is_sealed_for_the_member_that_it_is_of() {
    for epochs in [[(9, 1_000), (5, 2_000)], [(5, 2_000), (9, 1_000)]] {
        let mut nodes = told_of(epochs, secs(1));
        run(&mut nodes, secs(30));
        assert_eq!(nodes[0].member(id(9)).map(|member| member.state), Some(MemberState::Alive), "{epochs:?}");
        assert_eq!(nodes[0].member(id(5)).map(|member| member.state), Some(MemberState::Dead), "{epochs:?}");
    }
}

/// A packet that was kept from arriving opens wherever it comes from. That does not make its sender be there.
#[test]
fn nobody_takes_the_address_of_a_member_by_sending_its_packets_from_there() {
    let mut wire = Wire::cluster(3);
    wire.sent.clear();
    wire.hold = |packet| packet.from == 1 && packet.to == 0;
    wire.run(secs(2));
    wire.hold = |_| false;
    let held: Vec<_> = wire.sent.iter().filter(|packet| packet.from == 1 && packet.to == 0).cloned().collect();
    assert!(!held.is_empty());
    let now = wire.now;
    for packet in held {
        deliver(&mut wire.nodes[0], now, 2, packet.channel, packet.bytes);
    }
    wire.nodes[0].set_metadata(now, "news", 1_i64).expect("there is room");
    let received = wire.nodes[2].stats().datagrams_received;
    for (transmit, bytes) in drain(&mut wire.nodes[0], now) {
        // Answers go to who sent them; they are not for node 2.
        assert!(transmit.to.contains(&2) && !bytes.is_empty());
    }
    wire.run(Duration::from_millis(400));
    assert!(wire.nodes[2].stats().datagrams_received > received);
    assert_eq!(wire.nodes[2].stats().dropped(DropReason::BadSeal), 0);
}
