//! How metadata and tags reach everybody.

mod support;

use gossip_core::{Config, Epoch, Event, Identity, MessageKind, Value};
use support::forge::{at, node};
use support::{Net, id, secs};

fn value(net: &Net, who: usize, of: u128, key: &str) -> Option<Value> {
    net.hosts[who].node.as_ref()?.member(id(of))?.metadata.get(key).cloned()
}

fn set(net: &mut Net, who: usize, key: &str, value: impl Into<Value>) {
    let now = net.now;
    net.node(who).set_metadata(now, key, value).expect("a valid change");
    net.settle(who);
}

#[test]
fn every_type_of_value_reaches_everybody_within_a_second_and_a_half() {
    let mut net = Net::cluster(32, &Config::lan("test"));
    net.clear_events();
    let values: [(&str, Value); 6] = [
        ("bool", true.into()),
        ("int", (-5_i64).into()),
        ("float", 1.5.into()),
        ("text", "grüße".into()),
        ("time", Value::Time(1_700_000_000_000_000)),
        ("bytes", vec![0_u8, 255].into()),
    ];
    for (key, value) in &values {
        set(&mut net, 4, key, value.clone());
    }
    let everybody = |net: &Net| {
        (0..32).all(|who| values.iter().all(|(key, expected)| value(net, who, 5, key).as_ref() == Some(expected)))
    };
    assert!(net.run_until(secs(3) / 2, everybody).is_some());
    let heard = net.hosts[9]
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Metadata { member, .. } if member.id == id(5)));
    assert!(heard.count() >= 1);
}

#[test]
fn a_removed_key_is_gone_everywhere() {
    let mut net = Net::cluster(8, &Config::lan("test"));
    set(&mut net, 0, "k", 1_i64);
    net.run(secs(2));
    let now = net.now;
    assert_eq!(net.node(0).remove_metadata(now, "k"), Ok(true));
    assert_eq!(net.node(0).remove_metadata(now, "k"), Ok(false));
    net.settle(0);
    assert!(net.run_until(secs(2), |net| (0..8).all(|who| value(net, who, 1, "k").is_none())).is_some());
}

#[test]
fn a_value_that_outgrows_a_datagram_is_fetched_over_a_stream() {
    let mut net = Net::cluster(16, &Config::lan("test"));
    let large = vec![7_u8; 60_000];
    set(&mut net, 3, "large", large.clone());
    let everybody =
        |net: &Net| (0..16).all(|who| value(net, who, 4, "large").is_some_and(|value| value == large.clone().into()));
    assert!(net.run_until(secs(3), everybody).is_some());
}

#[test]
fn nothing_is_sent_again_when_nothing_changed() {
    let mut net = Net::cluster(8, &Config::lan("test"));
    set(&mut net, 0, "k", 1_i64);
    net.run(secs(10));
    let sent = |net: &Net| (0..8).map(|who| net.stats(who).sent(MessageKind::Metadata)).sum::<u64>();
    let before = sent(&net);
    set(&mut net, 0, "k", 1_i64);
    net.run(secs(60));
    assert_eq!(sent(&net), before);
}

#[test]
fn only_changed_keys_travel() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    set(&mut net, 0, "large", vec![1_u8; 1_000]);
    net.run(secs(5));
    let bytes = |net: &Net| {
        (0..4).map(|who| net.stats(who).datagram_bytes_sent + net.stats(who).stream_bytes_sent).sum::<u64>()
    };
    let idle = {
        let before = bytes(&net);
        net.run(secs(5));
        bytes(&net) - before
    };
    let before = bytes(&net);
    set(&mut net, 0, "small", true);
    net.run(secs(5));
    let spent = bytes(&net) - before - idle.min(bytes(&net) - before);
    assert!(spent < 2_500, "{spent} bytes for one small key, told to three members a few times");
}

#[test]
fn lost_news_is_made_up_for() {
    let mut net = Net::cluster(16, &Config::lan("test"));
    net.loss = 30;
    for round in 0..20_u32 {
        set(&mut net, round as usize % 16, "round", round);
        net.run(secs(1) / 4);
    }
    let everybody = |net: &Net| {
        (4..20_u32)
            .all(|round| (0..16).all(|who| value(net, who, u128::from(round % 16) + 1, "round") == Some(round.into())))
    };
    assert!(net.run_until(secs(10), everybody).is_some());
}

#[test]
fn tags_and_first_metadata_come_with_the_member() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    let address = net.hosts.len();
    net.hosts.push(support::Host::down());
    let identity = Identity::new(id(5), address, Epoch::from_u64(u64::MAX / 2)).with_tags(["blue", "canary"]);
    net.start_as(address, identity, Config::lan("test"));
    set(&mut net, address, "zone", "b");
    net.join(address, 0);
    let known = |net: &Net| {
        (0..4).all(|who| {
            let member = net.hosts[who].node.as_ref().and_then(|node| node.member(id(5)));
            member.is_some_and(|member| *member.tags == ["blue", "canary"] && member.metadata.str("zone") == Some("b"))
        })
    };
    assert!(net.run_until(secs(2), known).is_some());
}

#[test]
fn what_a_member_said_in_an_earlier_life_is_void() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    set(&mut net, 3, "k", 1_i64);
    net.run(secs(3));
    net.start_at(3, 4, Config::lan("test"));
    net.join(3, 0);
    net.run(secs(3));
    assert!((0..4).all(|who| value(&net, who, 4, "k").is_none()));
    let fingerprint = net.node(0).fingerprint();
    assert!((1..4).all(|who| net.node(who).fingerprint() == fingerprint));
}

#[test]
fn a_restart_without_tags_and_metadata_shows_none_of_the_earlier_life() {
    let mut net = Net::cluster(3, &Config::lan("test"));
    let address = net.hosts.len();
    net.hosts.push(support::Host::down());
    let first = Identity::new(id(9), address, Epoch::new(net.now.as_micros() / 1_000, 0)).with_tags(["leader"]);
    net.start_as(address, first, Config::lan("test"));
    let now = net.now;
    net.node(address).set_metadata(now, "role", "primary").unwrap();
    net.join(address, 0);
    net.run(secs(3));
    net.kill(address);
    net.run(secs(1));
    net.start_at(address, 9, Config::lan("test"));
    net.join(address, 0);
    net.run(secs(60));
    let member = net.node(0).member(id(9)).unwrap().clone();
    assert!(member.tags.is_empty() && member.metadata.is_empty(), "{:?} {:?}", member.tags, member.metadata);
}

#[test]
fn an_empty_map_takes_a_small_value() {
    let mut config = Config::lan("test");
    config.max_metadata = 1_024;
    let mut a = node(1, config);
    for round in 0..100 {
        let key = format!("session-{round}");
        a.set_metadata(at(1), &key, true).unwrap_or_else(|error| panic!("round {round}: {error}, with no key set"));
        a.remove_metadata(at(1), &key).unwrap();
    }
}
