//! Locks: acquired, extended, released and asked about, where nothing goes wrong.

mod support;

use std::time::Duration;

use gossip_core::{LockDone, LockError, LockStatus};
use support::locking::{
    acquire, end, extend, get, holds, locking, lost, release, remembered_by, status, trying, waiting,
};
use support::{id, secs};

#[test]
fn a_free_lock_is_granted_within_two_round_trips_and_is_anothers_when_it_is_released() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let asked = net.now;
    let grant = get(&mut net, one, waiting());
    assert_eq!(net.now.saturating_since(asked), net.latency * 4);
    assert_eq!(holds(&net, one), Some(grant));
    assert_eq!(grant.until.saturating_since(asked), Duration::from_micros(9_979_999), "twice the drift is left out");
    let op = release(&mut net, one, grant.token);
    assert_eq!(holds(&net, one), None, "from when it was asked");
    assert_eq!(end(&mut net, one, op), Ok(LockDone::Released));
    let second = get(&mut net, other, trying());
    assert!(second.token > grant.token);
    assert!(lost(&net, one).is_empty());
}

#[test]
fn the_leader_acquires_by_one_round_to_the_others() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let asked = net.now;
    get(&mut net, leader, waiting());
    assert_eq!(net.now.saturating_since(asked), net.latency * 2);
}

#[test]
fn a_lock_is_extended_from_when_it_was_asked() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let one = (leader + 1) % 3;
    let grant = get(&mut net, one, waiting());
    net.run(secs(8));
    let op = extend(&mut net, one, grant.token, secs(10));
    let Ok(LockDone::Extended(longer)) = end(&mut net, one, op) else { panic!("it is held") };
    assert_eq!(longer.token, grant.token);
    assert!(longer.until.saturating_since(grant.until) >= secs(8));
    net.run(secs(9));
    assert_eq!(holds(&net, one), Some(longer));
}

#[test]
fn whoever_asks_learns_who_holds_a_lock_and_how_many_wait() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    assert_eq!(status(&mut net, one), LockStatus { holder: None, waiting: 0 });
    let grant = get(&mut net, one, waiting());
    acquire(&mut net, leader, waiting());
    net.run(secs(1));
    for who in [leader, one, other] {
        let status = status(&mut net, who);
        let holder = status.holder.expect("it is held");
        assert_eq!((holder.node, holder.token, status.waiting), (id(one as u128 + 1), grant.token, 1));
        assert!((secs(8)..secs(11)).contains(&holder.left), "{holder:?}");
    }
}

#[test]
fn a_lock_that_another_one_has_is_busy() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    get(&mut net, one, waiting());
    let op = acquire(&mut net, other, trying());
    assert_eq!(end(&mut net, other, op), Err(LockError::Busy));
    let op = acquire(&mut net, one, trying());
    assert_eq!(end(&mut net, one, op), Err(LockError::Busy), "for the same node too");
}
