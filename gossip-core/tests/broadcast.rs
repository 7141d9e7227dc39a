//! Broadcasts: once at every live node that they are for, whatever the network does.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use gossip_core::{BroadcastOptions, Config, Delivery, DropReason, Epoch, Identity, MessageKind, SendError};
use support::messages::{PLAIN, broadcast, faults, kind, received, told_lost};
use support::{Net, id, secs};

fn payload(size: usize) -> Bytes {
    (0..size).map(|position| position.to_le_bytes()[0]).collect()
}

fn at_rest(net: &Net) -> bool {
    net.hosts.iter().filter_map(|host| host.node.as_ref()).all(|node| node.stats().dropped(DropReason::Busy) == 0)
}

#[test]
fn every_live_node_gets_every_message_once_under_loss_duplicates_and_reordering() {
    for (loss, duplicates) in [(0, 0), (5, 5), (25, 20)] {
        let mut net = Net::acquainted(60, &Config::lan("test"));
        net.run(secs(3));
        (net.loss, net.duplicates) = (loss, duplicates);
        (net.latency, net.jitter) = (Duration::from_millis(1), Duration::from_millis(20));
        let mut messages = BTreeMap::new();
        for number in 0..60 {
            let origin = number * 7 % 60;
            messages.insert(broadcast(&mut net, origin, payload(100 + number), PLAIN), origin);
            net.run(Duration::from_millis(30));
        }
        let took = net.run_until(secs(5), |net| faults(net, &messages) == 0);
        assert!(took.is_some(), "{loss}% loss: {} faults", faults(&net, &messages));
        net.run(secs(10));
        assert_eq!(faults(&net, &messages), 0, "{loss}% loss: nothing comes twice later");
        assert!(at_rest(&net));
    }
}

#[test]
fn every_size_arrives_and_one_more_byte_is_refused() {
    let config = Config::lan("test");
    let limit = config.max_payload();
    let mut net = Net::acquainted(12, &config);
    net.run(secs(1));
    for reliable in [false, true] {
        let mut messages = BTreeMap::new();
        for size in [0, 1].into_iter().chain(1_270..1_290).chain([1_400, 1 << 20, limit]) {
            let options = BroadcastOptions { reliable, ..PLAIN };
            let message = broadcast(&mut net, 3, payload(size), options);
            messages.insert(message, 3);
            net.run(Duration::from_millis(20));
            let last = net.hosts[9].deliveries.last().map(|(_, delivery)| delivery.clone());
            assert!(
                matches!(&last, Some(Delivery::Broadcast { id, payload: got, .. }) if *id == message && *got == payload(size)),
                "{size} bytes, reliable: {reliable}",
            );
        }
        assert_eq!(faults(&net, &messages), 0);
        net.hosts.iter_mut().for_each(|host| host.deliveries.clear());
    }
    let (now, size) = (net.now, limit + 1);
    let refused = net.node(0).broadcast(now, kind(), payload(size), PLAIN);
    assert_eq!(refused, Err(SendError::TooLarge { size, limit }));
}

#[test]
fn crashed_inner_nodes_cost_nobody_a_message() {
    let mut net = Net::acquainted(100, &Config::lan("test"));
    net.run(secs(3));
    for who in [7, 23, 41, 66, 90] {
        net.kill(who);
    }
    net.run(secs(1));
    let mut messages = BTreeMap::new();
    for origin in 0..40 {
        if net.hosts[origin].node.is_some() {
            let reliable = origin % 2 == 0;
            messages.insert(broadcast(&mut net, origin, payload(500), BroadcastOptions { reliable, ..PLAIN }), origin);
            net.run(Duration::from_millis(20));
        }
    }
    assert!(net.run_until(secs(5), |net| faults(net, &messages) == 0).is_some(), "{} faults", faults(&net, &messages));
}

#[test]
fn an_origin_that_dies_at_once_leaves_nobody_behind_who_could_know() {
    let mut net = Net::acquainted(40, &Config::lan("test"));
    net.run(secs(3));
    // Only a part of what it sends gets out.
    net.datagrams_reach = |_, to| to % 2 == 0;
    let message = broadcast(&mut net, 0, payload(10), PLAIN);
    net.kill(0);
    net.datagrams_reach = |_, _| true;
    let all = BTreeMap::from([(message, 0)]);
    assert!(net.run_until(secs(5), |net| faults(net, &all) == 0).is_some(), "{} faults", faults(&net, &all));
}

#[test]
fn each_half_of_a_cut_gets_its_own_and_all_get_what_comes_after_it() {
    let mut net = Net::acquainted(20, &Config::lan("test"));
    net.run(secs(3));
    net.reaches = |from, to| (from < 10) == (to < 10);
    let (left, right) = (broadcast(&mut net, 0, payload(10), PLAIN), broadcast(&mut net, 15, payload(10), PLAIN));
    net.run(secs(60));
    for who in 1..10 {
        assert_eq!(received(&net, who), [left], "node {who}");
    }
    for who in (10..20).filter(|&who| who != 15) {
        assert_eq!(received(&net, who), [right], "node {who}");
    }
    net.reaches = |_, _| true;
    net.run_until(secs(60), |net| net.sees_alive(0..20)).expect("they merge");
    net.hosts.iter_mut().for_each(|host| host.deliveries.clear());
    let after = BTreeMap::from([(broadcast(&mut net, 0, payload(10), PLAIN), 0)]);
    net.run(secs(5));
    assert_eq!(faults(&net, &after), 0);
}

#[test]
fn a_cut_that_is_shorter_than_the_repair_time_loses_nothing() {
    let mut net = Net::acquainted(20, &Config::lan("test"));
    net.run(secs(3));
    net.reaches = |from, to| (from < 10) == (to < 10);
    let messages = BTreeMap::from([(broadcast(&mut net, 0, payload(10), PLAIN), 0)]);
    net.run(Duration::from_millis(1_500));
    net.reaches = |_, _| true;
    net.run(secs(5));
    assert_eq!(faults(&net, &messages), 0);
}

#[test]
fn a_newcomer_gets_what_is_sent_after_it_joined_and_no_history() {
    let mut net = Net::cluster(8, &Config::lan("test"));
    net.loss = 20;
    for origin in 0..8 {
        for _ in 0..3 {
            broadcast(&mut net, origin, payload(10), PLAIN);
        }
    }
    // What is still on its way belongs to nobody's past; a second later all of it has settled.
    net.run(secs(1));
    let newcomer = net.start(9, Config::lan("test"));
    net.join(newcomer, 3);
    net.run_until(secs(5), |net| net.sees_alive(0..9)).expect("it is let in");
    net.run(secs(1));
    assert_eq!(received(&net, newcomer), [], "history is not told");
    let mut expected: Vec<_> = (0..8).map(|origin| broadcast(&mut net, origin, payload(10), PLAIN)).collect();
    net.run(secs(5));
    let mut got = received(&net, newcomer);
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}

#[test]
fn ordered_messages_arrive_in_order_and_what_is_lost_for_good_is_reported() {
    let mut net = Net::acquainted(30, &Config::lan("test"));
    net.run(secs(3));
    (net.loss, net.jitter) = (10, Duration::from_millis(30));
    let ordered = BroadcastOptions { ordered: true, ..PLAIN };
    let sent: Vec<_> = (0..50)
        .map(|_| {
            let message = broadcast(&mut net, 4, payload(10), ordered);
            net.run(Duration::from_millis(5));
            message
        })
        .collect();
    net.run(secs(5));
    for who in (0..30).filter(|&who| who != 4) {
        let got: Vec<_> = received(&net, who).iter().map(|message| message.sequence).collect();
        let wanted: Vec<_> = sent.iter().map(|message| message.sequence).collect();
        assert_eq!(got, wanted, "node {who}");
    }
    // One node is cut off for longer than anything is kept.
    (net.loss, net.jitter) = (0, Duration::ZERO);
    net.reaches = |from, to| from != 9 && to != 9;
    broadcast(&mut net, 4, payload(10), ordered);
    broadcast(&mut net, 4, payload(10), ordered);
    net.run(secs(8));
    net.reaches = |_, _| true;
    net.run_until(secs(60), |net| net.sees_alive(0..30)).expect("it comes back");
    let later = broadcast(&mut net, 4, payload(10), ordered);
    net.run(secs(8));
    let deliveries = &net.hosts[9].deliveries;
    let tail: Vec<_> = deliveries.iter().skip(50).map(|(_, delivery)| delivery.clone()).collect();
    assert!(
        matches!(&tail[..], [Delivery::Gap { origin, count: 2, .. }, Delivery::Broadcast { id: last, .. }] if *origin == id(5) && *last == later),
        "{tail:?}",
    );
    assert_eq!(net.stats(9).broadcasts_given_up, 2);
}

fn tagged_cluster() -> Net {
    let mut net = Net::new(5);
    for number in 0..24_usize {
        let address = net.hosts.len();
        net.hosts.push(support::Host::down());
        let tags: &[&str] = if number % 3 == 0 { &["blue"] } else { &["red", "green"] };
        let identity = Identity::new(id(number as u128 + 1), address, Epoch::new(1_000, 0)).with_tags(tags.to_vec());
        net.start_as(address, identity, Config::lan("test"));
    }
    for who in 1..24 {
        net.join(who, 0);
    }
    net.run(secs(8));
    net
}

#[test]
fn a_tagged_message_reaches_those_with_the_tag_and_passes_through_nobody_else() {
    let mut net = tagged_cluster();
    let blue: Vec<_> = net.node(1).tagged("blue").map(|member| member.id).collect();
    assert_eq!(blue.len(), 8);
    assert_eq!(net.node(0).tagged("blue").count(), 8, "the node itself counts");
    (net.loss, net.jitter) = (20, Duration::from_millis(3));
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.push(broadcast(&mut net, 0, payload(10), PLAIN.tag("blue")));
        // From a node without the tag as well.
        sent.push(broadcast(&mut net, 1, payload(10), PLAIN.tag("blue")));
        net.run(Duration::from_millis(50));
    }
    net.run(secs(5));
    for who in 2..24 {
        let stats = net.stats(who);
        if who % 3 == 0 {
            let mut got = received(&net, who);
            got.sort();
            let mut expected = sent.clone();
            expected.sort();
            assert_eq!(got, expected, "node {who}");
        } else {
            let touched =
                // A compare only says that there is trouble: it tells nothing of the tag.
                [MessageKind::Copy, MessageKind::CopyAck, MessageKind::Recent, MessageKind::Pull];
            let counts = touched.map(|kind| stats.sent(kind) + stats.received(kind));
            assert_eq!(counts, [0; 4], "node {who} has no part in it");
        }
    }
    let now = net.now;
    for tag in ["", "no such tag"] {
        assert_eq!(net.node(0).broadcast(now, kind(), payload(1), PLAIN.tag(tag)), Err(SendError::NoSuchTag));
    }
}

#[test]
fn a_restarted_origin_counts_anew_and_is_heard() {
    let mut net = Net::cluster(5, &Config::lan("test"));
    for _ in 0..3 {
        broadcast(&mut net, 2, payload(1), PLAIN);
    }
    net.run(secs(1));
    net.kill(2);
    net.run(Duration::from_millis(100));
    net.start_at(2, 3, Config::lan("test"));
    net.join(2, 0);
    net.run(secs(2));
    let message = broadcast(&mut net, 2, payload(1), PLAIN);
    assert_eq!(message.sequence, 1);
    net.run(secs(1));
    for who in [0, 1, 3, 4] {
        assert_eq!(received(&net, who).len(), 4, "node {who}");
    }
}

#[test]
fn a_reader_that_is_slow_loses_broadcasts_and_nobody_else_does() {
    let mut config = Config::lan("test");
    config.max_deliveries = 5;
    let mut net = Net::acquainted(20, &config);
    net.run(secs(1));
    net.hosts[3].reads = false;
    let messages: BTreeMap<_, _> = (0..12).map(|_| (broadcast(&mut net, 0, payload(10), PLAIN), 0)).collect();
    net.run(secs(5));
    net.hosts[3].reads = true;
    net.settle(3);
    assert_eq!(received(&net, 3).len(), 5);
    assert_eq!(net.hosts[3].deliveries.last().map(|entry| &entry.1), Some(&Delivery::Missed { count: 7 }));
    assert_eq!(faults(&net, &messages), 7, "at node 3 alone");
}

#[test]
fn alone_a_node_may_broadcast_to_nobody() {
    let mut net = Net::cluster(1, &Config::lan("test"));
    broadcast(&mut net, 0, payload(10), PLAIN);
    net.run(secs(10));
    assert!(net.hosts[0].deliveries.is_empty());
}

#[test]
fn a_burst_of_one_origin_survives_some_loss() {
    for options in [PLAIN, PLAIN.ordered()] {
        let mut net = Net::acquainted(3, &Config::lan("test"));
        net.run(secs(2));
        net.loss = 5;
        let messages: BTreeMap<_, _> = (0..3_000).map(|_| (broadcast(&mut net, 0, payload(100), options), 0)).collect();
        net.run(secs(6));
        assert_eq!(faults(&net, &messages), 0);
        for who in 1..3 {
            assert_eq!(told_lost(&net, who), 0);
            assert!(!options.ordered || received(&net, who).is_sorted_by_key(|message| message.sequence));
        }
    }
}

#[test]
fn what_is_lost_for_good_is_reported_with_or_without_order() {
    let mut net = Net::acquainted(10, &Config::lan("test"));
    net.run(secs(3));
    let first = broadcast(&mut net, 4, payload(10), PLAIN);
    net.run(secs(1));
    net.reaches = |from, to| from != 9 && to != 9;
    for _ in 0..3 {
        broadcast(&mut net, 4, payload(10), PLAIN);
    }
    net.run(secs(8));
    net.reaches = |_, _| true;
    net.run_until(secs(60), |net| net.sees_alive(0..10)).expect("it comes back");
    let later: Vec<_> = (0..4)
        .map(|_| {
            let message = broadcast(&mut net, 4, payload(10), PLAIN);
            net.run(secs(6));
            message
        })
        .collect();
    let expected: Vec<_> = [first].into_iter().chain(later).collect();
    assert_eq!(received(&net, 9), expected);
    assert_eq!((told_lost(&net, 9), net.stats(9).broadcasts_given_up), (3, 3));
    assert_eq!((0..9).map(|who| told_lost(&net, who)).sum::<u64>(), 0);
}

#[test]
fn an_origin_that_leaves_at_once_is_heard() {
    for seed in 0..5 {
        let mut net = Net::acquainted_from(seed, 30, &Config::lan("test"));
        net.run(secs(2));
        (net.loss, net.jitter) = (10, Duration::from_millis(20));
        let message = broadcast(&mut net, 0, payload(3), PLAIN);
        let now = net.now;
        net.node(0).leave(now).expect("it may");
        net.settle(0);
        net.run(secs(5));
        let lacking = (1..30).filter(|&who| !received(&net, who).contains(&message)).count();
        assert_eq!(lacking, 0, "seed {seed}");
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without optimization")]
fn many_origins_at_once_are_heard_on_slow_links() {
    let mut net = Net::acquainted(300, &Config::lan("test"));
    (net.loss, net.latency, net.jitter) = (2, Duration::from_millis(40), Duration::from_millis(60));
    net.run(secs(20));
    let messages = (0..300).map(|origin| (broadcast(&mut net, origin, payload(200), PLAIN), origin)).collect();
    net.run(secs(5));
    assert_eq!(faults(&net, &messages), 0);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow without optimization")]
fn large_broadcasts_get_past_members_that_hang() {
    let hung = [7, 23, 41];
    for seed in 0..5 {
        let mut net = Net::acquainted_from(seed, 60, &Config::lan("test"));
        net.run(secs(2));
        for who in hung {
            net.pause(who);
        }
        let message = broadcast(&mut net, 0, payload(Config::lan("test").max_payload()), PLAIN);
        net.run(secs(5));
        let lacking = (1..60).filter(|who| !hung.contains(who)).filter(|&who| !received(&net, who).contains(&message));
        assert_eq!(lacking.count(), 0, "seed {seed}");
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimization")]
fn nothing_is_lost_or_comes_twice_whatever_the_seed() {
    let mut slowest = Duration::ZERO;
    for seed in 0..20 {
        for (nodes, latency, jitter) in [(60, 1, 1), (60, 10, 40), (250, 10, 40)] {
            let mut net = Net::acquainted_from(seed, nodes, &Config::lan("test"));
            (net.latency, net.jitter) = (Duration::from_millis(latency), Duration::from_millis(jitter));
            net.run(secs(3));
            (net.loss, net.duplicates) = (25, 10);
            let mut messages = BTreeMap::new();
            // One alone, with nobody warned; then more of them.
            for burst in [1, 10, 1] {
                for _ in 0..burst {
                    let origin = usize::try_from(net.next_random()).expect("64 bits") % nodes;
                    let ordered = burst > 1;
                    messages.insert(
                        broadcast(&mut net, origin, payload(500), BroadcastOptions { ordered, ..PLAIN }),
                        origin,
                    );
                }
                let took = net.run_until(secs(5), |net| faults(net, &messages) == 0);
                let faults = faults(&net, &messages);
                slowest = slowest
                    .max(took.unwrap_or_else(|| panic!("seed {seed}, {nodes} nodes, {latency} ms: {faults} faults")));
                net.run(secs(8));
            }
            assert_eq!(faults(&net, &messages), 0, "seed {seed}, {nodes} nodes: nothing comes twice later");
        }
    }
    println!("the slowest took {slowest:?}");
}
