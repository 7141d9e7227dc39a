//! Messages of applications under a seal: none is readable, none is taken twice, and none is lost without a word.

mod support;

use bytes::Bytes;
use gossip_core::{BroadcastOptions, Channel, Delivery, MessageType, Node, Reliability};
use support::recorded::{Wire, assert_without_effect, config, is_bound};
use support::{Net, id, secs};

fn kind() -> MessageType {
    MessageType::user(200).expect("200 is free")
}

/// A text that fits into a datagram, and one that does not.
fn texts() -> [Bytes; 2] {
    [40, 500].map(|times| Bytes::from("secret ".repeat(times)))
}

fn deliveries(node: &mut Node<usize>) -> Vec<Delivery> {
    std::iter::from_fn(|| node.poll_delivery()).collect()
}

#[test]
fn messages_of_every_kind_are_unreadable_and_taken_once() {
    let mut wire = Wire::cluster(3);
    let now = wire.now;
    wire.sent.clear();
    for text in texts() {
        let node = &mut wire.nodes[1];
        for reliability in [Reliability::BestEffort, Reliability::Reliable] {
            node.send(now, id(1), kind(), text.clone(), reliability).expect("there is room");
        }
        node.request(now, id(1), kind(), text.clone(), now + secs(10)).expect("there is room");
        for options in [BroadcastOptions::default(), BroadcastOptions { reliable: true, ..BroadcastOptions::default() }]
        {
            node.broadcast(now, kind(), text.clone(), options).expect("there is room");
        }
    }
    wire.settle();
    let got = deliveries(&mut wire.nodes[0]);
    assert_eq!(got.len(), 10, "{got:?}");
    for delivery in got {
        if let Delivery::Request { token, payload, .. } = delivery {
            wire.nodes[0].reply(now, token, payload).expect("it is waited for");
        }
    }
    wire.settle();
    wire.run(secs(2));
    let ends = deliveries(&mut wire.nodes[1]);
    let is_good = |end: &Delivery| matches!(end, Delivery::Answer { result: Ok(_), .. } | Delivery::Delivered { .. });
    assert_eq!((ends.len(), ends.iter().filter(|end| is_good(end)).count()), (4, 4), "{ends:?}");

    let sent = wire.sent.clone();
    for channel in [Channel::Datagram, Channel::Stream] {
        assert!(sent.iter().any(|packet| packet.channel == channel && packet.bytes.len() > 200));
    }
    assert!(sent.iter().all(|packet| is_bound(packet) && !packet.bytes.windows(6).any(|part| part == b"secret")));
    let now = wire.now;
    for node in &mut wire.nodes {
        assert_without_effect(node, now, &sent, |_| 0);
    }
}

/// What was sealed for the start that ended does not open: the sender hears so, one way or the other.
#[test]
fn a_message_to_a_member_that_starts_again_is_told_of() {
    let mut net = Net::cluster(4, &config());
    net.kill(3);
    net.run(secs(1));
    net.start_at(3, 4, config());
    let now = net.now;
    let [small, large] = texts();
    for text in [small, large] {
        net.node(0).send(now, id(4), kind(), text, Reliability::Reliable).expect("it is not known that it is gone");
    }
    net.node(0).request(now, id(4), kind(), "who?".into(), now + secs(5)).expect("the same");
    net.settle(0);
    net.run(secs(1));
    net.join(3, 1);
    net.run(secs(60));
    assert!(net.sees_alive(0..4));
    let ends = net.hosts[0].deliveries.iter().filter(|(_, delivery)| {
        matches!(delivery, Delivery::Answer { .. } | Delivery::Delivered { .. } | Delivery::Undelivered { .. })
    });
    assert_eq!(ends.count(), 3, "{:?}", net.hosts[0].deliveries);

    let now = net.now;
    net.node(0).send(now, id(4), kind(), "again".into(), Reliability::Reliable).expect("it is back");
    net.settle(0);
    net.run(secs(1));
    assert!(matches!(net.hosts[0].deliveries.last(), Some((_, Delivery::Delivered { .. }))));
}
