//! Those who wait for a lock get it in the order in which they asked; who gave up is skipped.

mod support;

use std::time::Duration;

use gossip_core::{Delay, LockConfig, LockDone, LockError, LockRequest, MemberState, PhaseError};
use support::locking::{
    acquire, ask, cut, end, end_of, get, granted, holders, holds, late, locking, release, remembered_by, status,
    waiting,
};
use support::secs;

fn patient() -> LockRequest {
    LockRequest { patience: secs(60), ..waiting() }
}

#[test]
fn first_come_first_served() {
    let (mut net, leader) = locking(5, &remembered_by(2));
    let order: Vec<usize> = (0..5).map(|step| (leader + 3 * step + 2) % 5).collect();
    let mut ops = Vec::new();
    for &who in &order {
        ops.push(acquire(&mut net, who, patient()));
        net.run(Duration::from_millis(100));
    }
    let mut former = None;
    for (&who, &op) in order.iter().zip(&ops) {
        let grant = granted(&mut net, who, op);
        assert_eq!(holders(&net), [who]);
        assert!(former < Some(grant.token));
        former = Some(grant.token);
        net.run(secs(1));
        release(&mut net, who, grant.token);
    }
}

#[test]
fn the_next_gets_it_as_soon_as_it_is_released() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let grant = get(&mut net, one, waiting());
    let op = acquire(&mut net, other, patient());
    net.run(secs(2));
    let asked = net.now;
    release(&mut net, one, grant.token);
    granted(&mut net, other, op);
    assert_eq!(net.now.saturating_since(asked), net.latency * 4);
}

#[test]
fn who_gave_up_is_skipped() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let grant = get(&mut net, leader, waiting());
    let given_up = acquire(&mut net, one, patient());
    let short = LockRequest { patience: secs(2), ..waiting() };
    let impatient = acquire(&mut net, one, short);
    let waits = acquire(&mut net, other, patient());
    assert_eq!(end(&mut net, one, impatient), late(Delay::Held));
    let now = net.now;
    assert!(net.node(one).cancel_lock(now, given_up));
    net.settle(one);
    net.run(secs(1));
    assert_eq!(status(&mut net, one).waiting, 1);
    assert!(!net.node(one).cancel_lock(now, given_up), "it was given up before");
    release(&mut net, leader, grant.token);
    granted(&mut net, other, waits);
    assert_eq!(end_of(&net, one, given_up), None, "no word of what was given up");
}

#[test]
fn what_was_granted_while_it_was_given_up_is_given_back() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let op = acquire(&mut net, one, waiting());
    // The question is on its way.
    let now = net.now;
    assert!(net.node(one).cancel_lock(now, op));
    net.settle(one);
    net.run(secs(1));
    assert_eq!(holds(&net, one), None);
    get(&mut net, other, waiting());
}

#[test]
fn who_waits_and_dies_or_falls_silent_is_skipped() {
    let (mut net, leader) = locking(5, &remembered_by(2));
    let [dies, stops, waits] = [1, 2, 3].map(|step| (leader + step) % 5);
    let grant = get(&mut net, leader, waiting());
    for who in [dies, stops, waits] {
        acquire(&mut net, who, LockRequest { ttl: secs(2), ..patient() });
        net.run(Duration::from_millis(10));
    }
    net.kill(dies);
    net.pause(stops);
    net.run(secs(2));
    release(&mut net, leader, grant.token);
    net.run_until(Duration::from_millis(10), |net| holds(net, waits).is_some()).expect("it is next");
    net.resume(stops);
    let back = net.run_until(secs(5), |net| holds(net, stops).is_some());
    assert!(back.is_some(), "it asked again, and got its turn");
}

#[test]
fn no_more_wait_than_may() {
    let (mut net, leader) = locking(3, &LockConfig { max_waiters: 2, ..remembered_by(2) });
    let one = (leader + 1) % 3;
    let grant = get(&mut net, leader, waiting());
    let ops = [(); 3].map(|()| acquire(&mut net, one, patient()));
    net.run(secs(1));
    assert_eq!(end_of(&net, one, ops[2]), Some(Err(LockError::TooManyWaiters)));
    release(&mut net, leader, grant.token);
    granted(&mut net, one, ops[0]);
}

#[test]
fn what_is_under_way_ends_when_the_node_leaves() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    get(&mut net, one, waiting());
    let waits = acquire(&mut net, other, patient());
    let asks = ask(&mut net, other, |node, now| node.query_lock(now, "jobs", "another", secs(1)));
    assert!(matches!(end(&mut net, other, asks), Ok(LockDone::Status(_))));
    let now = net.now;
    net.node(other).leave(now).expect("it has not left yet");
    net.settle(other);
    assert_eq!(end_of(&net, other, waits), Some(Err(LockError::Phase(PhaseError::Leaving))));
}

#[test]
fn who_was_thought_dead_waits_once_when_it_is_back() {
    let (mut net, leader) = locking(5, &remembered_by(2));
    let (one, other) = ((leader + 1) % 5, (leader + 2) % 5);
    let grant = get(&mut net, leader, LockRequest { keeps: true, ..waiting() });
    let op = acquire(&mut net, one, LockRequest { patience: secs(600), ..waiting() });
    cut(&mut net, Some(one));
    net.run_until(secs(30), |net| net.state(leader, one as u128 + 1) == Some(MemberState::Dead))
        .expect("it is cut off");
    cut(&mut net, None);
    net.run_until(secs(30), |net| net.state(leader, one as u128 + 1) == Some(MemberState::Alive)).expect("it is back");
    net.run(secs(2));
    assert_eq!(status(&mut net, leader).waiting, 1);
    release(&mut net, leader, grant.token);
    let grant = granted(&mut net, one, op);
    release(&mut net, one, grant.token);
    let asked = net.now;
    get(&mut net, other, waiting());
    assert!(net.now.saturating_since(asked) < secs(1), "nobody got it twice");
}
