//! Messages to one node: what arrives, what is refused at once, and what is reported.

mod support;

use std::time::Duration;

use bytes::Bytes;
use gossip_core::{
    Config, Delivery, DropReason, MessageKind, MessageType, PhaseError, Reliability, RequestError, SendError,
};
use support::{Net, id, secs};

fn with(change: fn(&mut Config)) -> Config {
    let mut config = Config::lan("test");
    change(&mut config);
    config
}

fn kind() -> MessageType {
    MessageType::user(200).expect("a user type")
}

fn payload(size: usize) -> Bytes {
    (0..size).map(|position| position.to_le_bytes()[0]).collect()
}

fn send(net: &mut Net, from: usize, to: u128, payload: Bytes, reliability: Reliability) -> Result<(), SendError> {
    let now = net.now;
    net.node(from).send(now, id(to), kind(), payload, reliability)?;
    net.settle(from);
    Ok(())
}

fn received(net: &Net, who: usize) -> Vec<(gossip_core::NodeId, Bytes)> {
    let messages = net.hosts[who].deliveries.iter().filter_map(|(_, delivery)| match delivery {
        Delivery::Message { from, payload, .. } => Some((*from, payload.clone())),
        _ => None,
    });
    messages.collect()
}

#[test]
fn every_size_arrives_whole_with_its_sender_and_one_more_byte_is_refused() {
    let config = Config::lan("test");
    let limit = config.max_payload();
    let mut net = Net::cluster(2, &config);
    let sizes: Vec<usize> = [0, 1].into_iter().chain(1_300..1_401).chain([1 << 20, limit]).collect();
    for reliability in [Reliability::BestEffort, Reliability::Reliable] {
        for &size in &sizes {
            net.hosts[1].deliveries.clear();
            send(&mut net, 0, 2, payload(size), reliability).unwrap();
            net.run(Duration::from_millis(10));
            assert_eq!(received(&net, 1), [(id(1), payload(size))], "{size} bytes, {reliability:?}");
        }
        let size = limit + 1;
        let refused = send(&mut net, 0, 2, payload(size), reliability);
        assert_eq!(refused, Err(SendError::TooLarge { size, limit }));
    }
    assert_eq!(net.stats(1).dropped_total(), 0);
}

#[test]
fn what_fits_a_datagram_goes_by_one_and_the_rest_by_stream() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let before = net.stats(0);
    send(&mut net, 0, 2, payload(1_343), Reliability::BestEffort).unwrap();
    assert_eq!(net.stats(0).stream_messages_sent, before.stream_messages_sent);
    send(&mut net, 0, 2, payload(1_344), Reliability::BestEffort).unwrap();
    send(&mut net, 0, 2, payload(1), Reliability::Reliable).unwrap();
    assert_eq!(net.stats(0).stream_messages_sent, before.stream_messages_sent + 2);
    assert_eq!(net.stats(0).sent(MessageKind::Direct), 2);
    assert_eq!(net.stats(0).payload_bytes_sent, 1_343 + 1_344 + 1);
}

#[test]
fn small_messages_to_the_same_member_share_a_packet() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let before = net.stats(0).datagrams_sent;
    let now = net.now;
    for _ in 0..100 {
        net.node(0).send(now, id(2), kind(), payload(100), Reliability::BestEffort).unwrap();
    }
    net.settle(0);
    net.run(Duration::from_millis(1));
    assert_eq!(received(&net, 1).len(), 100);
    let packets = net.stats(0).datagrams_sent - before;
    assert!((8..=9).contains(&packets), "{packets} packets");
}

#[test]
fn a_message_to_the_node_itself_is_delivered_at_once() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let now = net.now;
    net.node(0).send(now, id(1), kind(), payload(3), Reliability::Reliable).unwrap();
    let deliveries: Vec<_> = std::iter::from_fn(|| net.node(0).poll_delivery()).collect();
    let [Delivery::Message { from, payload: got, .. }, Delivery::Delivered { by, .. }] = &deliveries[..] else {
        panic!("{deliveries:?}")
    };
    assert_eq!((*from, got, *by), (id(1), &payload(3), id(1)));
}

#[test]
fn an_unknown_a_dead_and_a_departed_member_are_told_apart_from_a_live_one() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    let now = net.now;
    net.kill(2);
    net.node(3).leave(now).unwrap();
    net.settle(3);
    net.run(secs(60));
    for (to, error) in [(9, SendError::UnknownMember), (3, SendError::NotLive), (4, SendError::NotLive)] {
        assert_eq!(send(&mut net, 0, to, payload(1), Reliability::BestEffort), Err(error));
    }
    let left = send(&mut net, 3, 1, payload(1), Reliability::BestEffort);
    assert_eq!(left, Err(SendError::Phase(PhaseError::Leaving)));
}

#[test]
fn bytes_for_one_member_and_for_all_are_bounded_and_a_refusal_changes_nothing() {
    let config = with(|config| {
        config.max_peer_bytes = 5 << 20;
        config.max_queued_bytes = 7 << 20;
    });
    let mut net = Net::cluster(3, &config);
    let now = net.now;
    let fill = |net: &mut Net, to| {
        let results = (0..20).map(|_| net.node(0).send(now, id(to), kind(), payload(1 << 20), Reliability::BestEffort));
        let results: Vec<_> = results.collect();
        let accepted = results.iter().filter(|result| result.is_ok()).count();
        (accepted, results.last().copied().unwrap().unwrap_err())
    };
    assert_eq!(fill(&mut net, 2), (4, SendError::PeerFull { limit: 5 << 20 }));
    assert_eq!(fill(&mut net, 3), (2, SendError::QueueFull { limit: 7 << 20 }));
    net.settle(0);
    net.run(secs(1));
    assert_eq!((received(&net, 1).len(), received(&net, 2).len()), (4, 2), "what was accepted arrives");
    assert_eq!(fill(&mut net, 2).0, 4, "there is room again");
}

#[test]
fn what_waits_for_its_confirmation_counts_as_on_its_way() {
    let config = with(|config| {
        config.max_peer_bytes = 5 << 20;
        config.max_queued_bytes = 5 << 20;
    });
    let mut net = Net::cluster(2, &config);
    net.pause(1);
    for _ in 0..4 {
        send(&mut net, 0, 2, payload(1 << 20), Reliability::Reliable).unwrap();
    }
    let full = send(&mut net, 0, 2, payload(1 << 20), Reliability::Reliable);
    assert_eq!(full, Err(SendError::PeerFull { limit: 5 << 20 }));
    net.run(Duration::from_millis(500));
    net.resume(1);
    net.run(Duration::from_millis(500));
    assert_eq!(received(&net, 1).len(), 4);
    send(&mut net, 0, 2, payload(1 << 20), Reliability::Reliable).unwrap();
}

#[test]
fn a_reliable_message_over_a_broken_connection_is_tried_again_and_then_reported_once() {
    let mut net = Net::cluster(3, &Config::lan("test"));
    net.kill(1);
    let now = net.now;
    let lost = net.node(0).send(now, id(2), kind(), payload(10), Reliability::Reliable).unwrap().expect("an id");
    net.settle(0);
    net.run(Duration::from_millis(100));
    let reports: Vec<_> = net.hosts[0].deliveries.iter().map(|(_, delivery)| delivery.clone()).collect();
    let error = RequestError::Unreachable;
    assert_eq!(reports, [Delivery::Undelivered { message: lost, to: id(2), error }]);
    assert_eq!(net.stats(0).sent(MessageKind::Request), 2, "it was tried twice");
}

#[test]
fn a_confirmed_message_is_reported_once_to_its_sender() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let now = net.now;
    let sent = net.node(0).send(now, id(2), kind(), payload(10), Reliability::Reliable).unwrap().expect("an id");
    net.settle(0);
    net.run(Duration::from_millis(100));
    let reports: Vec<_> = net.hosts[0].deliveries.iter().map(|(_, delivery)| delivery.clone()).collect();
    assert_eq!(reports, [Delivery::Delivered { message: sent, by: id(2) }]);
}

#[test]
fn a_message_that_is_sent_again_is_delivered_once() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    // The connection breaks after the message arrived: the sender cannot know.
    send(&mut net, 0, 2, payload(10), Reliability::Reliable).unwrap();
    let now = net.now;
    net.node(0).handle_unreachable(now, &1);
    net.settle(0);
    net.run(Duration::from_millis(100));
    assert_eq!(received(&net, 1).len(), 1);
    assert_eq!(net.stats(1).dropped(DropReason::Duplicate), 1);
    let ends: Vec<_> = net.hosts[0].deliveries.iter().map(|(_, delivery)| delivery).collect();
    assert!(matches!(&ends[..], [Delivery::Delivered { .. }]), "{ends:?}");
    assert_eq!(net.stats(0).dropped(DropReason::LateAnswer), 1, "the second confirmation");
}

#[test]
fn a_reader_that_is_slow_is_told_how_much_it_missed_and_senders_are_told_too() {
    let config = with(|config| {
        config.max_deliveries = 10;
    });
    let mut net = Net::cluster(2, &config);
    net.hosts[1].reads = false;
    for _ in 0..25 {
        send(&mut net, 0, 2, payload(1), Reliability::BestEffort).unwrap();
    }
    let now = net.now;
    let refused = net.node(0).send(now, id(2), kind(), payload(1), Reliability::Reliable).unwrap().expect("an id");
    net.settle(0);
    net.run(secs(1));
    net.hosts[1].reads = true;
    net.settle(1);
    assert_eq!(received(&net, 1).len(), 10);
    assert_eq!(net.hosts[1].deliveries.last().map(|entry| &entry.1), Some(&Delivery::Missed { count: 15 }));
    assert_eq!(net.stats(1).dropped(DropReason::DeliveriesFull), 16);
    let error = RequestError::Overloaded;
    let report = Delivery::Undelivered { message: refused, to: id(2), error };
    assert_eq!(net.hosts[0].deliveries.last().map(|entry| &entry.1), Some(&report));
}

#[test]
fn under_loss_reliable_messages_arrive_once_each() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    net.loss = 25;
    net.duplicates = 20;
    for _ in 0..200 {
        send(&mut net, 0, 2, payload(50), Reliability::Reliable).unwrap();
    }
    net.run(secs(2));
    assert_eq!(received(&net, 1).len(), 200);
}

#[test]
fn what_is_for_another_node_than_the_one_at_the_address_is_not_delivered_and_its_sender_knows_at_once() {
    // Node 1 still takes address 1 for member 2's; node 9 runs there now.
    let mut net = Net::cluster(4, &Config::lan("test"));
    net.kill(1);
    net.start_at(1, 9, Config::lan("test"));
    let now = net.now;
    send(&mut net, 0, 2, payload(3), Reliability::BestEffort).unwrap();
    send(&mut net, 0, 2, payload(3), Reliability::Reliable).unwrap();
    net.node(0).request(now, id(2), kind(), payload(3), now + secs(5)).unwrap();
    net.settle(0);
    net.run(Duration::from_millis(10));
    assert_eq!(net.hosts[1].deliveries, []);
    assert_eq!(net.stats(1).dropped(DropReason::WrongTarget), 3);
    let ends: Vec<_> = net.hosts[0].deliveries.iter().map(|(_, delivery)| delivery).collect();
    assert!(
        matches!(
            &ends[..],
            [
                Delivery::Undelivered { error: RequestError::Unreachable, .. },
                Delivery::Answer { result: Err(RequestError::Unreachable), .. }
            ]
        ),
        "{ends:?}"
    );
}

#[test]
fn thousands_of_messages_over_a_connection_that_breaks_are_delivered_once_each() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let now = net.now;
    for number in 0..5_000_u32 {
        let payload = Bytes::from(number.to_be_bytes().to_vec());
        net.node(0).send(now, id(2), kind(), payload, Reliability::Reliable).unwrap();
    }
    net.settle(0);
    // It breaks after they were written, and before they are confirmed.
    net.node(0).handle_unreachable(now, &1);
    net.settle(0);
    net.run(secs(1));
    assert_eq!(received(&net, 1).len(), 5_000);
    assert_eq!(net.stats(1).dropped(DropReason::Duplicate), 5_000);
    let confirmed = net.hosts[0].deliveries.iter().filter(|(_, end)| matches!(end, Delivery::Delivered { .. })).count();
    assert_eq!(confirmed, 5_000);
}
