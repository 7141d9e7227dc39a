//! Tables that differ become equal; those that cannot are not fought over.

mod support;

use gossip_core::{Config, DropReason};
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
