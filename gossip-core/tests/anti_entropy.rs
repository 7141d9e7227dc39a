//! Tables that differ become equal; those that cannot are not fought over.

mod support;

use std::time::Duration;

use gossip_core::{Config, DropReason, MemberState};
use support::{Net, secs};

#[test]
fn in_sync_nothing_is_exchanged() {
    let mut net = Net::cluster(16, &Config::lan("test"));
    net.run(secs(5));
    let exchanges = |net: &Net| (0..16).map(|who| net.stats(who).exchanges).sum::<u64>();
    let before = exchanges(&net);
    net.run(secs(600));
    assert_eq!(exchanges(&net), before);
}

#[test]
fn a_difference_that_cannot_be_settled_is_asked_about_less_and_less_often() {
    let mut small = Config::lan("test");
    small.max_metadata = 100;
    let mut net = Net::cluster(2, &Config::lan("test"));
    let picky = net.start(3, small);
    net.join(picky, 0);
    net.run(secs(5));
    let now = net.now;
    net.node(0).set_metadata(now, "large", vec![0_u8; 1_000]).expect("within the limit here");
    net.settle(0);
    net.run(secs(600));
    assert!(net.stats(picky).dropped(DropReason::MetadataTooLarge) > 0);
    let exchanges = (0..3).map(|who| net.stats(who).exchanges).sum::<u64>();
    assert!(exchanges < 80, "{exchanges} in ten minutes");
    assert!(net.sees_alive(0..3));
}

#[test]
fn a_dead_member_with_metadata_does_not_make_tables_differ() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    let now = net.now;
    net.node(3).set_metadata(now, "k", 1_i64).unwrap();
    net.settle(3);
    net.run(secs(3));
    net.kill(3);
    net.run(secs(60));
    assert_eq!(net.state(0, 4), Some(MemberState::Dead));
    let newcomer = net.start(5, Config::lan("test"));
    net.join(newcomer, 0);
    net.run(secs(30));
    let prints: Vec<_> = [0, 1, 2, newcomer].iter().map(|&who| net.node(who).fingerprint()).collect();
    assert!(prints.iter().all(|print| *print == prints[0]), "{prints:?}");
}

#[test]
fn a_node_with_changing_metadata_everywhere_does_not_exchange_all_the_time() {
    let mut net = Net::cluster(16, &Config::lan("test"));
    let before: u64 = (0..16).map(|who| net.stats(who).exchanges).sum();
    for round in 0..600_i64 {
        let now = net.now;
        net.node(0).set_metadata(now, "k", round).unwrap();
        net.settle(0);
        net.run(Duration::from_millis(100));
    }
    let after: u64 = (0..16).map(|who| net.stats(who).exchanges).sum();
    assert!(after - before < 16 * 20);
}

#[test]
fn several_tables_that_cannot_become_equal_do_not_cost_much() {
    let mut net = Net::cluster(6, &Config::lan("test"));
    let mut small = Config::lan("test");
    small.max_metadata = 1_000;
    for number in [7_u128, 8, 9] {
        let mut config = small.clone();
        config.max_metadata = 1_000 * (number as usize - 6);
        let who = net.start(number, config);
        net.join(who, 0);
    }
    net.run(secs(5));
    for (who, size) in [(0, 1_500), (1, 2_500), (2, 60_000)] {
        let now = net.now;
        net.node(who).set_metadata(now, "k", vec![1_u8; size]).unwrap();
        net.settle(who);
    }
    net.run(secs(300));
    let sum = |net: &Net| (0..9).map(|who| net.stats(who).exchanges).sum::<u64>();
    let before = sum(&net);
    net.run(secs(60));
    assert!(sum(&net) - before < 40);
}
