//! Key-value stores: writes reach all, nodes that were away catch up, and what was deleted stays so.

mod support;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gossip_core::{Config, MessageKind, SnapshotError, StoreChange, StoreConfig, StoreError, StoreView};
use support::storing::{NAME, START, delete, forgetful, open, set, storing};
use support::{Net, secs};

fn value(net: &Net, who: usize, key: &str) -> Option<Bytes> {
    let node = net.hosts[who].node.as_ref().expect("it runs");
    Some(node.store(net.now, NAME).expect("it is open").entry(key)?.value)
}

fn fingerprint(net: &Net, who: usize) -> u64 {
    net.hosts[who].node.as_ref().expect("it runs").store(net.now, NAME).expect("it is open").fingerprint()
}

fn are_same(net: &Net) -> bool {
    (1..net.hosts.len()).all(|who| fingerprint(net, who) == fingerprint(net, 0))
}

#[test]
fn writes_deletions_and_ends_reach_all() {
    let mut net = storing(5, &StoreConfig::default());
    set(&mut net, 0, "a/1", "one", None);
    set(&mut net, 1, "a/2", "two", Some(secs(20)));
    set(&mut net, 2, "b", "three", None);
    net.run_until(secs(5), are_same).expect("all have all");
    set(&mut net, 3, "a/1", "newer", None);
    delete(&mut net, 4, "b");
    net.run(secs(5));
    for who in 0..5 {
        assert_eq!(value(&net, who, "a/1").as_deref(), Some(&b"newer"[..]));
        assert_eq!(value(&net, who, "a/2").as_deref(), Some(&b"two"[..]));
        assert_eq!(value(&net, who, "b"), None);
    }
    net.run(secs(20));
    assert!((0..5).all(|who| value(&net, who, "a/2").is_none()));
}

#[test]
fn a_node_that_missed_everything_catches_up_by_comparison() {
    let mut net = storing(3, &StoreConfig::default());
    let late = net.start(4, Config::lan("test"));
    net.join(late, 0);
    for number in 0..3_000 {
        set(&mut net, number % 3, &format!("key {number}"), "some value", None);
    }
    net.run(secs(10));
    open(&mut net, late, &StoreConfig::default());
    net.run_until(secs(60), are_same).expect("it catches up");
    assert_eq!(value(&net, late, "key 2999").as_deref(), Some(&b"some value"[..]));
}

/// Stops a node, which keeps a snapshot, until all forgot what was deleted `meanwhile`. How many rows it then loaded.
fn pass_over(net: &mut Net, who: usize, meanwhile: impl FnOnce(&mut Net)) -> usize {
    let now = net.now;
    let snapshot = net.node(who).store(now, NAME).expect("it is open").snapshot();
    net.kill(who);
    meanwhile(net);
    net.run(secs(200));
    net.start_at(who, 9, Config::lan("test"));
    open(net, who, &forgetful());
    let now = net.now;
    let loaded = net.node(who).store_mut(now, NAME).expect("it is open").load(&snapshot).expect("it is whole");
    net.settle(who);
    net.join(who, 0);
    net.run_until(secs(60), are_same).expect("they agree");
    loaded.taken
}

#[test]
fn what_was_deleted_and_forgotten_while_a_node_was_down_does_not_come_back() {
    // It stopped long after the write, or soon.
    for before in [30, 3] {
        let mut net = storing(3, &forgetful());
        set(&mut net, 0, "gone", "x", None);
        set(&mut net, 0, "kept", "x", None);
        net.run(secs(before));
        assert_eq!(pass_over(&mut net, 2, |net| delete(net, 0, "gone")), 2);
        for who in 0..3 {
            assert_eq!((value(&net, who, "gone"), value(&net, who, "kept").is_some()), (None, true), "node {who}");
        }
    }
}

#[test]
fn what_no_other_node_has_survives_however_long_its_writer_was_down() {
    let mut net = storing(3, &forgetful());
    set(&mut net, 0, "old", "x", None);
    net.run(secs(30));
    let now = net.now;
    // It is stopped before it can tell.
    net.node(2).store_mut(now, NAME).expect("it is open").set("new", Bytes::from_static(b"x"), None).expect("it fits");
    assert_eq!(pass_over(&mut net, 2, |_| ()), 2);
    for who in 0..3 {
        assert!(value(&net, who, "new").is_some() && value(&net, who, "old").is_some(), "node {who}");
    }
}

#[test]
fn bad_input_is_refused_by_name_and_changes_nothing() {
    let config = StoreConfig { max_key: 4, max_value: 4, max_entries: 2, ..StoreConfig::default() };
    let mut net = storing(1, &config);
    set(&mut net, 0, "a", "1", None);
    set(&mut net, 0, "b", "2", None);
    let before = fingerprint(&net, 0);
    let now = net.now;
    let mut store = net.node(0).store_mut(now, NAME).expect("it is open");
    let short = Bytes::from_static(b"1");
    assert_eq!(store.set("", short.clone(), None), Err(StoreError::Key { length: 0, limit: 4 }));
    assert_eq!(store.set("12345", short.clone(), None), Err(StoreError::Key { length: 5, limit: 4 }));
    let long = Bytes::from_static(b"12345");
    assert_eq!(store.set("a", long, None), Err(StoreError::Value { size: 5, limit: 4 }));
    assert_eq!(store.set("c", short.clone(), None), Err(StoreError::Entries { limit: 2 }));
    assert_eq!(store.set("a", short, Some(Duration::ZERO)), Err(StoreError::Ttl { ttl: Duration::ZERO }));
    let node = net.node(0);
    let snapshot = node.store(now, NAME).expect("it is open").snapshot();
    let mut store = node.store_mut(now, NAME).expect("it is open");
    for length in 0..snapshot.len() {
        store.load(&snapshot[..length]).expect_err("it was cut");
    }
    let mut damaged = snapshot.to_vec();
    damaged[40] ^= 1;
    assert_eq!(store.load(&damaged), Err(SnapshotError::Checksum));
    damaged[8] = 2;
    assert_eq!(store.load(&damaged), Err(SnapshotError::Format { found: 2, reads: 1 }));
    assert_eq!(store.load(&snapshot).expect("it is whole").known, 2);
    let view = net.node(0).store(now, NAME).expect("it is open");
    let head = &snapshot[..StoreView::SNAPSHOT_HEAD];
    assert_eq!(view.check_snapshot_head(head), Ok(()));
    assert_eq!(view.check_snapshot_head(b"something else"), Err(SnapshotError::NotOne));
    view.check_snapshot_head(&head[..head.len() - 1]).expect_err("it does not say of which store it is");
    let mut other = head.to_vec();
    other[StoreView::SNAPSHOT_HEAD - 1] ^= 1;
    assert_eq!(view.check_snapshot_head(&other), Err(SnapshotError::OtherStore));
    assert_eq!(fingerprint(&net, 0), before);
}

#[test]
fn a_scan_goes_on_after_any_key() {
    let mut net = storing(1, &StoreConfig::default());
    for key in ["a", "b/1", "b/2", "b/3", "c"] {
        set(&mut net, 0, key, "x", None);
    }
    let now = net.now;
    let view = net.node(0).store(now, NAME).expect("it is open");
    let after = |after| view.scan_after("b/", after).map(|entry| entry.key.to_string()).collect::<Vec<_>>();
    assert_eq!(after("a"), ["b/1", "b/2", "b/3"]);
    assert_eq!(after("b/1"), ["b/2", "b/3"]);
    assert_eq!(after("b/11"), ["b/2", "b/3"]);
    assert!(after("b/3").is_empty() && after("c").is_empty());
    assert_eq!(view.scan("b/").count(), 3);
}

#[test]
fn who_watches_a_prefix_hears_of_its_keys_alone() {
    let mut net = storing(2, &StoreConfig::default());
    let now = net.now;
    net.node(1).store_mut(now, NAME).expect("it is open").watch("a/");
    set(&mut net, 0, "a/1", "x", None);
    set(&mut net, 0, "b/1", "x", None);
    net.run(secs(5));
    delete(&mut net, 0, "a/1");
    net.run(secs(5));
    let changes: Vec<_> = std::iter::from_fn(|| net.node(1).poll_store_change()).collect();
    let [StoreChange::Set { key, .. }, StoreChange::Deleted { key: deleted, .. }] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!((&**key, &**deleted), ("a/1", "a/1"));
}

/// Where UDP is blocked, questions come over connections that the other side opened, not from the member's address.
#[test]
fn answers_over_a_connection_compare_stores_and_answers_to_addresses_that_are_not_the_members_do_not() {
    const ELSEWHERE: usize = 99;
    for is_connected in [true, false] {
        let mut net = storing(2, &StoreConfig::default());
        net.run(secs(5));
        let now = net.now;
        net.node(1).handle_timeout(now + secs(1));
        let mut ping = BytesMut::new();
        while !net.node(1).poll_transmit(now, &mut ping).is_some_and(|it| it.to.contains(&0)) {
            ping.clear();
        }
        let told = |net: &Net| net.stats(0).sent(MessageKind::StoreRoot);
        let before = told(&net);
        let node = net.node(0);
        if is_connected {
            node.handle_framed_datagram(now, ELSEWHERE, &mut ping);
        } else {
            node.handle_datagram(now, ELSEWHERE, &mut ping);
        }
        let mut answer = BytesMut::new();
        let transmit = node.poll_transmit(now, &mut answer).expect("a ping is answered");
        assert_eq!(&*transmit.to, [ELSEWHERE]);
        assert_eq!(told(&net) - before, u64::from(is_connected));
    }
}

/// Its clock is 20 s ahead, others refuse what it writes; it stops soon, and comes back with its snapshot.
#[test]
fn what_others_refused_is_not_taken_for_what_they_deleted() {
    let mut net = storing(3, &forgetful());
    net.run(secs(5));
    let now = net.now;
    net.node(2).set_wall_clock(now, START + now.as_micros() + 20_000_000);
    set(&mut net, 2, "ahead", "x", None);
    net.run(secs(10));
    assert_eq!([0, 1, 2].map(|who| value(&net, who, "ahead").is_some()), [false, false, true]);
    assert_eq!(pass_over(&mut net, 2, |_| ()), 1);
    assert_eq!([0, 1, 2].map(|who| value(&net, who, "ahead").is_some()), [true; 3]);
}

#[test]
fn what_found_no_room_elsewhere_is_not_taken_for_what_was_deleted() {
    let mut net = Net::cluster(3, &Config::lan("test"));
    let small = StoreConfig { max_value: 4, ..forgetful() };
    open(&mut net, 0, &small);
    open(&mut net, 1, &small);
    open(&mut net, 2, &forgetful());
    net.run(secs(5));
    set(&mut net, 2, "long", "more than four", None);
    net.run(secs(30));
    net.reaches = |a, b| (a == 2) == (b == 2);
    net.run(secs(100));
    net.reaches = |_, _| true;
    net.join(2, 0);
    net.run(secs(30));
    assert_eq!([0, 1, 2].map(|who| value(&net, who, "long").is_some()), [false, false, true]);
}
