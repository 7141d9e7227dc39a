//! Key-value stores of nodes whose wall clocks are wrong for a while.

mod support;

use std::time::Duration;

use gossip_core::{Config, StoreConfig};
use support::storing::{NAME, delete, forgetful, open, set, storing, tell};
use support::{Net, secs};

fn leap(net: &mut Net, who: usize, ahead: Duration, span: Duration) {
    tell(net, who, ahead);
    net.run(span);
    tell(net, who, Duration::ZERO);
}

fn has(net: &Net, who: usize, key: &str) -> bool {
    let node = net.hosts[who].node.as_ref().expect("it runs");
    node.store(net.now, NAME).expect("it is open").entry(key).is_some()
}

/// Much later, it is away for longer than deletions are kept.
#[test]
fn a_clock_that_was_wrong_once_does_not_bring_back_what_was_deleted() {
    let mut net = storing(3, &forgetful());
    set(&mut net, 0, "gone", "x", None);
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
    set(&mut net, 0, "session", "x", Some(Duration::from_hours(1)));
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
    set(&mut net, 0, "session", "x", Some(Duration::from_hours(1)));
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
