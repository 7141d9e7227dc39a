//! What becomes of a lock whose holder goes, stands still or keeps it.

mod support;

use std::time::Duration;

use gossip_core::{Config, ForgetScope, LockConfig, LockDone, LockError, LockRequest, MemberState};
use support::locking::{
    CHIEF, KEY, POOL, acquire, cut, end, end_of, extend, get, granted, holders, holds, locking, lost, open, release,
    remembered_by, status, trying, waiting,
};
use support::{Net, secs};

fn keeping() -> LockRequest {
    LockRequest { ttl: secs(3), keeps: true, ..waiting() }
}

#[test]
fn a_lock_that_is_not_extended_is_lost_in_time_and_then_anothers() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let grant = get(&mut net, one, LockRequest { ttl: secs(2), ..waiting() });
    let op = acquire(&mut net, other, waiting());
    net.run_until(secs(10), |net| !lost(net, one).is_empty()).expect("its time runs out");
    assert_eq!((net.now, holds(&net, one)), (grant.until, None));
    assert_eq!(end_of(&net, other, op), None, "the leader waits longer than the holder");
    let later = granted(&mut net, other, op);
    assert!(later.token > grant.token && net.now.saturating_since(grant.until) < secs(1));
    assert_eq!(lost(&net, one), [grant.token]);
}

#[test]
fn a_lock_of_a_node_that_leaves_is_free_at_once() {
    for free_dead in [true, false] {
        let (mut net, leader) = locking(4, &LockConfig { free_dead, ..remembered_by(2) });
        let (one, other) = ((leader + 1) % 4, (leader + 2) % 4);
        let grant = get(&mut net, one, keeping());
        let op = acquire(&mut net, other, waiting());
        let now = net.now;
        net.node(one).leave(now).expect("it has not left yet");
        net.settle(one);
        assert_eq!((holds(&net, one), lost(&net, one)), (None, vec![grant.token]));
        granted(&mut net, other, op);
        assert!(net.now.saturating_since(now) < Duration::from_millis(50));
    }
}

#[test]
fn a_lock_of_a_node_that_started_again_is_free() {
    let (mut net, leader) = locking(3, &LockConfig { free_dead: false, ..remembered_by(2) });
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    get(&mut net, one, waiting());
    net.kill(one);
    net.run(Duration::from_millis(5));
    net.start_at(one, one as u128 + 1, Config::lan("test"));
    net.join(one, leader);
    let asked = net.now;
    get(&mut net, other, waiting());
    assert!(net.now.saturating_since(asked) < secs(1));
}

#[test]
fn a_lock_of_a_dead_node_is_free_at_once_or_when_its_time_has_run_out() {
    for (free_dead, span) in [(true, secs(2)..secs(8)), (false, secs(11)..secs(13))] {
        let (mut net, leader) = locking(3, &LockConfig { free_dead, ..remembered_by(2) });
        let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
        get(&mut net, one, waiting());
        let asked = net.now;
        net.kill(one);
        get(&mut net, other, LockRequest { patience: secs(60), ..waiting() });
        let took = net.now.saturating_since(asked);
        assert!(span.contains(&took), "{free_dead}: {took:?}");
    }
}

/// Whom one member alone forgets may be there for others.
#[test]
fn a_lock_of_a_dead_node_that_is_forgotten_everywhere_is_free_at_once() {
    let (mut net, leader) = locking(4, &LockConfig { free_dead: false, ..remembered_by(2) });
    let (one, other) = ((leader + 1) % 4, (leader + 2) % 4);
    let grant = get(&mut net, one, LockRequest { ttl: secs(10), ..waiting() });
    let dead = support::id(one as u128 + 1);
    net.kill(one);
    let is_dead = |net: &Net, who| net.state(who, one as u128 + 1) == Some(MemberState::Dead);
    net.run_until(secs(9), |net| is_dead(net, leader) && is_dead(net, other)).expect("it is missed");
    let now = net.now;
    net.node(leader).forget(now, dead, ForgetScope::Here).expect("it is dead");
    net.settle(leader);
    let op = acquire(&mut net, other, trying());
    assert_eq!(end(&mut net, other, op), Err(LockError::Busy));
    let now = net.now;
    net.node(other).forget(now, dead, ForgetScope::Everywhere).expect("it is dead");
    net.settle(other);
    assert!(get(&mut net, other, waiting()).token > grant.token);
    assert!(net.now < grant.until);
}

#[test]
fn without_trust_in_deaths_nobody_else_holds_what_a_node_that_is_cut_off_holds() {
    let (mut net, leader) = locking(5, &LockConfig { free_dead: false, ..remembered_by(3) });
    let (one, other) = ((leader + 1) % 5, (leader + 2) % 5);
    get(&mut net, one, keeping());
    net.run(secs(5));
    cut(&mut net, Some(one));
    let op = acquire(&mut net, other, LockRequest { patience: secs(60), ..waiting() });
    net.run_until(secs(60), |net| {
        assert!(holders(net).len() < 2, "at {:?}: {:?}", net.now, holders(net));
        end_of(net, other, op).is_some()
    });
    assert_eq!(holders(&net), [other]);
    assert_eq!(lost(&net, one).len(), 1);
}

#[test]
fn a_node_that_stood_still_finds_that_it_holds_nothing() {
    let (mut net, leader) = locking(3, &LockConfig { free_dead: false, ..remembered_by(2) });
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let grant = get(&mut net, one, keeping());
    net.pause(one);
    get(&mut net, other, LockRequest { patience: secs(60), ..waiting() });
    assert_eq!(holds(&net, one), None, "asked at this time, before anything was handed in");
    net.resume(one);
    net.run(secs(1));
    assert_eq!(lost(&net, one), [grant.token]);
    assert_eq!(holders(&net), [other]);
}

/// Time that runs backwards is taken for the latest that was seen.
#[test]
fn a_node_that_is_told_an_earlier_time_neither_holds_nor_leads_any_more() {
    let (mut net, leader) = locking(1, &remembered_by(1));
    let grant = get(&mut net, leader, LockRequest { ttl: secs(1), ..waiting() });
    let before = net.now;
    let node = net.node(leader);
    let until = node.leads_until(CHIEF).expect("it leads");
    assert!(node.holds_lock(before, POOL, KEY).is_some() && node.leads(before, CHIEF).is_some());
    node.poll_transmit(grant.until.max(until), &mut bytes::BytesMut::new());
    assert_eq!((node.holds_lock(before, POOL, KEY), node.leads(before, CHIEF)), (None, None));
}

#[test]
fn what_is_kept_is_kept_until_it_is_released() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    net.loss = 10;
    let grant = get(&mut net, one, keeping());
    for _ in 0..100 {
        net.run(secs(1));
        assert_eq!(holds(&net, one).map(|it| it.token), Some(grant.token));
    }
    let op = release(&mut net, one, grant.token);
    assert_eq!(end(&mut net, one, op), Ok(LockDone::Released));
    get(&mut net, other, waiting());
    net.run(secs(2));
    assert_eq!(holders(&net), [other]);
    assert!(lost(&net, one).is_empty());
}

#[test]
fn what_was_taken_away_while_a_node_was_thought_dead_is_lost_when_it_asks() {
    let (mut net, leader) = locking(5, &remembered_by(2));
    let (one, other) = ((leader + 1) % 5, (leader + 2) % 5);
    let grant = get(&mut net, one, waiting());
    cut(&mut net, Some(one));
    let stolen = get(&mut net, other, LockRequest { patience: secs(60), ..waiting() });
    assert!(stolen.token > grant.token);
    cut(&mut net, None);
    net.run(Duration::from_millis(500));
    assert_eq!(holders(&net).len(), 2, "only tokens tell them apart");
    let op = extend(&mut net, one, grant.token, secs(10));
    assert_eq!(end(&mut net, one, op), Err(LockError::NotHeld));
    assert_eq!((holders(&net), lost(&net, one)), (vec![other], vec![grant.token]));
}

/// A release whose first packets get lost is told again, after the application has given it up.
#[test]
fn a_release_arrives_though_nobody_waits_for_it() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let grant = get(&mut net, one, LockRequest { ttl: secs(10), ..waiting() });
    cut(&mut net, Some(one));
    let now = net.now;
    let op = net.node(one).release_lock(now, POOL, KEY, grant.token, Duration::from_millis(100)).expect("it is held");
    net.settle(one);
    assert!(matches!(end(&mut net, one, op), Err(LockError::Timeout { .. })));
    cut(&mut net, None);
    let asked = net.now;
    get(&mut net, other, waiting());
    assert!(net.now.saturating_since(asked) < secs(1));
}

#[test]
fn one_node_holds_many_locks_and_keeps_all() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let one = (leader + 1) % 3;
    let hold = |net: &mut Net, number: usize| {
        let now = net.now;
        net.node(one).acquire_lock(now, POOL, &format!("{number}"), keeping()).expect("there is room");
        net.settle(one);
    };
    (0..500).for_each(|number| hold(&mut net, number));
    net.run(secs(30));
    let now = net.now;
    assert!((0..500).all(|number| net.node(one).holds_lock(now, POOL, &format!("{number}")).is_some()));
    assert_eq!(status(&mut net, one).holder, None, "that one is free");
    open_late(&mut net, one);
}

/// A node without a vote acquires too.
fn open_late(net: &mut Net, through: usize) {
    let late = net.start(9, Config::lan("test"));
    net.join(late, through);
    net.run(secs(1));
    open(net, late, &remembered_by(2));
    get(net, late, trying());
}
