//! Key-value stores in the small network.

use std::time::Duration;

use bytes::Bytes;
use gossip_core::{Config, StoreConfig};

use super::{Net, secs};

pub(crate) const NAME: &str = "shared";

/// What the wall clock shows at the beginning.
pub(crate) const START: u64 = 1_800_000_000_000_000;

/// Tells a node a time of day that is ahead by so much.
pub(crate) fn tell(net: &mut Net, who: usize, ahead: Duration) {
    let now = net.now;
    let ahead = u64::try_from(ahead.as_micros()).expect("some hours");
    net.node(who).set_wall_clock(now, START + now.as_micros() + ahead);
    net.settle(who);
}

pub(crate) fn open(net: &mut Net, who: usize, config: &StoreConfig) {
    tell(net, who, Duration::ZERO);
    let now = net.now;
    net.node(who).open_store(now, NAME, config.clone()).expect("it is not open yet");
    net.settle(who);
}

pub(crate) fn storing(count: usize, config: &StoreConfig) -> Net {
    let mut net = Net::cluster(count, &Config::lan("test"));
    for who in 0..count {
        open(&mut net, who, config);
    }
    net
}

/// Deletions are soon forgotten.
pub(crate) fn forgetful() -> StoreConfig {
    StoreConfig { keep: secs(60), max_ahead: secs(1), ..StoreConfig::default() }
}

pub(crate) fn set(net: &mut Net, who: usize, key: &str, value: &str, ttl: Option<Duration>) {
    let now = net.now;
    let value = Bytes::copy_from_slice(value.as_bytes());
    net.node(who).store_mut(now, NAME).expect("it is open").set(key, value, ttl).expect("within the limits");
    net.settle(who);
}

pub(crate) fn delete(net: &mut Net, who: usize, key: &str) {
    let now = net.now;
    let version = net.node(who).store_mut(now, NAME).expect("it is open").delete(key).expect("it can be deleted");
    assert!(version.is_some(), "there is something to delete");
    net.settle(who);
}
