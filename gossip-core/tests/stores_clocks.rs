//! Key-value stores of nodes whose wall clocks are wrong for a while.

mod support;

use std::time::Duration;

use bytes::Bytes;
use gossip_core::{Config, StoreConfig};
use support::{Net, secs};

const NAME: &str = "shared";

/// What the wall clock shows at the beginning.
const START: u64 = 1_800_000_000_000_000;

fn open(net: &mut Net, who: usize, config: &StoreConfig) {
    tell(net, who, Duration::ZERO);
    let now = net.now;
    net.node(who).open_store(now, NAME, config.clone()).expect("it is not open yet");
    net.settle(who);
}

fn storing(count: usize, config: &StoreConfig) -> Net {
    let mut net = Net::cluster(count, &Config::lan("test"));
    for who in 0..count {
        open(&mut net, who, config);
    }
    net
}

/// Deletions are soon forgotten.
fn forgetful() -> StoreConfig {
    StoreConfig { keep: secs(60), max_ahead: secs(1), ..StoreConfig::default() }
}

/// Tells a node a time of day that is ahead by so much.
fn tell(net: &mut Net, who: usize, ahead: Duration) {
    let now = net.now;
    let ahead = u64::try_from(ahead.as_micros()).expect("some hours");
    net.node(who).set_wall_clock(now, START + now.as_micros() + ahead);
    net.settle(who);
}

fn leap(net: &mut Net, who: usize, ahead: Duration, span: Duration) {
    tell(net, who, ahead);
    net.run(span);
    tell(net, who, Duration::ZERO);
}

fn set(net: &mut Net, who: usize, key: &str, ttl: Option<Duration>) {
    let now = net.now;
    let mut store = net.node(who).store_mut(now, NAME).expect("it is open");
    store.set(key, Bytes::from_static(b"x"), ttl).expect("within the limits");
    net.settle(who);
}

fn delete(net: &mut Net, who: usize, key: &str) {
    let now = net.now;
    let version = net.node(who).store_mut(now, NAME).expect("it is open").delete(key).expect("it can be deleted");
    assert!(version.is_some(), "there is something to delete");
    net.settle(who);
}

fn has(net: &Net, who: usize, key: &str) -> bool {
    let node = net.hosts[who].node.as_ref().expect("it runs");
    node.store(net.now, NAME).expect("it is open").entry(key).is_some()
}

/// Much later, it is away for longer than deletions are kept.
#[test]
fn a_clock_that_was_wrong_once_does_not_bring_back_what_was_deleted() {
    let mut net = storing(3, &forgetful());
    set(&mut net, 0, "gone", None);
    net.run(secs(30));
    leap(&mut net, 2, Duration::from_hours(24), secs(10));
    net.run(secs(30));
    net.reaches = |a, b| (a < 2) == (b < 2);
    net.run(secs(5));
    delete(&mut net, 0, "gone");
    net.run(secs(200));
    net.reaches = |_, _| true;
    net.join(2, 0);
    net.run(secs(30));
    assert_eq!([0, 1, 2].map(|who| has(&net, who, "gone")), [false; 3]);
}

fn fingerprint(net: &Net, who: usize) -> u64 {
    net.hosts[who].node.as_ref().expect("it runs").store(net.now, NAME).expect("it is open").fingerprint()
}

#[test]
fn a_value_that_a_wrong_clock_ended_comes_back_when_the_clock_is_right() {
    let mut net = storing(2, &StoreConfig::default());
    set(&mut net, 0, "session", Some(Duration::from_hours(1)));
    net.run(secs(5));
    assert!(has(&net, 1, "session"));
    leap(&mut net, 1, Duration::from_hours(2), secs(2));
    net.run(secs(120));
    assert_eq!(fingerprint(&net, 0), fingerprint(&net, 1));
    assert_eq!([0, 1].map(|who| has(&net, who, "session")), [true; 2]);
}

#[test]
fn a_newcomer_does_not_take_what_a_wrong_clock_left_of_a_value() {
    let mut net = storing(2, &StoreConfig::default());
    set(&mut net, 0, "session", Some(Duration::from_hours(1)));
    net.run(secs(5));
    tell(&mut net, 1, Duration::from_hours(2));
    net.run(secs(2));
    assert!(!has(&net, 1, "session"));
    for number in 0..4 {
        let late = net.start(10 + number, Config::lan("test"));
        net.join(late, 0);
        net.run(secs(3));
        open(&mut net, late, &StoreConfig::default());
        net.run_until(secs(60), |net| has(net, late, "session")).expect("it is given the value");
    }
}
