//! What a broadcast costs and how long it takes, against the targets. Run with `--nocapture` to see the figures.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use gossip_core::{BroadcastOptions, Config, Delivery, Instant, MessageId, MessageKind, MessageType, Stats};
use support::{Net, secs};

/// Bytes of each message.
const SIZE: usize = 1_024;

/// What keeps broadcasts reliable.
const KINDS: [MessageKind; 5] =
    [MessageKind::Copy, MessageKind::CopyAck, MessageKind::Recent, MessageKind::Compare, MessageKind::Pull];

/// What was measured over all messages and nodes.
#[derive(Debug)]
struct Measures {
    delivered: f64,
    twice: usize,
    copies: f64,
    last_hop: u8,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Control bytes for each byte of payload delivered.
    control: f64,
    /// Largest share of one node in the payload bytes sent, as a multiple of the mean.
    share: f64,
}

struct Links {
    latency: Duration,
    jitter: Duration,
    loss: u32,
}

const fn lan(loss: u32) -> Links {
    Links { latency: Duration::from_micros(100), jitter: Duration::from_micros(900), loss }
}

const fn wan(loss: u32) -> Links {
    Links { latency: Duration::from_millis(10), jitter: Duration::from_millis(40), loss }
}

/// A counter summed over all nodes that run.
fn total(net: &Net, value: impl Fn(&Stats) -> u64) -> u64 {
    (0..net.hosts.len()).filter(|&who| net.hosts[who].node.is_some()).map(|who| value(&net.stats(who))).sum()
}

/// Ten messages a second from random nodes.
fn measure(nodes: usize, links: &Links, messages: usize, crashed: usize) -> Measures {
    let mut net = Net::acquainted(nodes, &Config::lan("test"));
    (net.latency, net.jitter) = (links.latency, links.jitter);
    net.run(secs(5));
    for victim in 0..crashed {
        net.kill(nodes - 1 - victim);
    }
    net.run(secs(1));
    net.loss = links.loss;
    let payload_before: Vec<u64> = (0..nodes - crashed).map(|who| net.stats(who).payload_bytes_sent).collect();
    let control_before = total(&net, |stats| stats.broadcast_control_bytes_sent);
    let kinds_before = KINDS.map(|kind| total(&net, |stats| stats.sent(kind)));
    let mut sent: BTreeMap<MessageId, Instant> = BTreeMap::new();
    for _ in 0..messages {
        let origin = usize::try_from(net.next_random() % (nodes - crashed) as u64).expect("small");
        let now = net.now;
        let kind = MessageType::user(1_000).expect("a user type");
        let payload = Bytes::from(vec![7; SIZE]);
        let message = net.node(origin).broadcast(now, kind, payload, BroadcastOptions::new()).expect("it is accepted");
        net.settle(origin);
        sent.insert(message, now);
        net.run(Duration::from_millis(100));
    }
    net.run(secs(5));

    let mut took: Vec<Duration> = Vec::new();
    let (mut last_hop, mut twice) = (0, 0);
    for host in &net.hosts {
        let mut seen = BTreeSet::new();
        for (at, delivery) in &host.deliveries {
            let Delivery::Broadcast { id, hops, .. } = delivery else { continue };
            took.push(at.saturating_since(sent[id]));
            last_hop = last_hop.max(*hops);
            twice += usize::from(!seen.insert(*id));
        }
    }
    took.sort();
    let millis = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let shares: Vec<u64> =
        payload_before.iter().enumerate().map(|(who, before)| net.stats(who).payload_bytes_sent - before).collect();
    let control = total(&net, |stats| stats.broadcast_control_bytes_sent) - control_before;
    let wanted = (nodes - crashed - 1) * messages;
    let largest = shares.iter().copied().max().unwrap_or(0) as f64;
    let each = |count: u64| count as f64 / messages as f64;
    let kinds = KINDS.map(|kind| total(&net, |stats| stats.sent(kind)));
    let kinds: Vec<_> = (0..KINDS.len())
        .map(|index| format!("{} {:.0}", KINDS[index].name(), each(kinds[index] - kinds_before[index])))
        .collect();
    let again = each(total(&net, |stats| stats.copies_repeated));
    let pulled = each(total(&net, |stats| stats.broadcasts_pulled));
    println!("for each message: {}; sent again {again:.1}, pulled {pulled:.1}", kinds.join(", "));
    Measures {
        delivered: took.len() as f64 / wanted as f64,
        twice,
        copies: shares.iter().sum::<u64>() as f64 / (wanted * SIZE) as f64,
        last_hop,
        p50_ms: millis(50),
        p99_ms: millis(99),
        max_ms: millis(100),
        control: control as f64 / (took.len() * SIZE) as f64,
        share: largest / (shares.iter().sum::<u64>() as f64 / shares.len() as f64),
    }
}

fn check(name: &str, nodes: usize, links: &Links, messages: usize, crashed: usize) -> Measures {
    let measures = measure(nodes, links, messages, crashed);
    println!("{name}, N={nodes}, {}% loss, {crashed} crashed: {measures:.3?}", links.loss);
    assert!((measures.delivered - 1.0).abs() < 1e-12, "{name}: all live nodes get all: {measures:?}");
    assert_eq!(measures.twice, 0, "{name}");
    assert!(measures.p50_ms <= measures.p99_ms);
    measures
}

#[test]
fn a_hundred_nodes() {
    let quiet = check("lan", 100, &lan(0), 50, 0);
    assert!(quiet.copies <= 1.10 && quiet.last_hop <= 4 && quiet.max_ms <= 10.0 && quiet.control <= 0.10, "{quiet:?}");
    let lossy = check("lan", 100, &lan(5), 50, 0);
    assert!(lossy.copies <= 1.25 && lossy.p99_ms <= 150.0, "{lossy:?}");
    check("lan", 100, &lan(25), 50, 0);
    check("lan", 100, &lan(0), 50, 5);
    let far = check("10-50 ms", 100, &wan(0), 50, 0);
    assert!(far.copies <= 1.10 && far.max_ms <= 170.0 && far.control <= 0.10, "{far:?}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimization")]
fn a_thousand_nodes() {
    let quiet = check("lan", 1_000, &lan(0), 100, 0);
    assert!(quiet.copies <= 1.10 && quiet.last_hop <= 5 && quiet.max_ms <= 10.0 && quiet.control <= 0.10, "{quiet:?}");
    let lossy = check("lan", 1_000, &lan(5), 100, 0);
    assert!(lossy.copies <= 1.25 && lossy.p99_ms <= 150.0, "{lossy:?}");
    assert!(lossy.control <= 0.10, "{lossy:?}");
    check("lan", 1_000, &lan(25), 50, 0);
    check("lan", 1_000, &lan(0), 50, 50);
    let far = check("10-50 ms", 1_000, &wan(0), 100, 0);
    assert!(far.copies <= 1.10 && far.max_ms <= 170.0 && far.control <= 0.10, "{far:?}");
    check("10-50 ms", 1_000, &wan(5), 100, 0);
    check("10-50 ms", 1_000, &wan(25), 100, 0);
    let busy = check("lan", 1_000, &lan(0), 1_000, 0);
    assert!(busy.share <= 3.0, "{busy:?}");
}

#[test]
fn twenty_five_nodes_on_slow_links_need_few_messages() {
    let links = Links { latency: Duration::from_millis(100), jitter: Duration::ZERO, loss: 0 };
    let mut net = Net::acquainted(25, &Config::lan("test"));
    (net.latency, net.jitter) = (links.latency, links.jitter);
    net.run(secs(10));
    let kinds = [MessageKind::Copy, MessageKind::CopyAck, MessageKind::Recent, MessageKind::Pull, MessageKind::Compare];
    let sent = |net: &Net| kinds.map(|kind| total(net, |stats| stats.sent(kind)));
    let before = sent(&net);
    let mut messages = BTreeMap::new();
    // Half of 100 operations a second are broadcasts; the other half are reads, which cost nothing.
    for number in 0..500 {
        let now = net.now;
        let kind = MessageType::user(1_000).expect("a user type");
        let origin = number * 7 % 25;
        let message = net.node(origin).broadcast(now, kind, Bytes::from_static(b"8 bytes."), BroadcastOptions::new());
        net.settle(origin);
        messages.insert(message.expect("it is accepted"), now);
        net.run(Duration::from_millis(20));
    }
    net.run(secs(5));
    let mut last: BTreeMap<MessageId, Duration> = BTreeMap::new();
    let mut count = 0;
    for (at, delivery) in net.hosts.iter().flat_map(|host| &host.deliveries) {
        let Delivery::Broadcast { id, .. } = delivery else { continue };
        let took = last.entry(*id).or_default();
        *took = (*took).max(at.saturating_since(messages[id]));
        count += 1;
    }
    assert_eq!(count, 500 * 24);
    let after = sent(&net);
    let cost: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let mut times: Vec<_> = last.into_values().collect();
    times.sort();
    // What rides on probes is no message of its own.
    let riding = cost[2];
    let each = (cost.iter().sum::<u64>() - riding) as f64 / 1_000.0;
    println!(
        "25 nodes: {each:.2} messages for each operation, {cost:?}, median {:?}, maximum {:?}",
        times[250], times[499]
    );
    assert!(each <= 14.0 && times[250] <= Duration::from_millis(200) && times[499] <= Duration::from_millis(300));
}
