//! A grant counts when enough members remember it, and not before.

mod support;

use gossip_core::{Config, Delay, LockRequest};
use support::locking::{
    acquire, end, end_of, get, holders, holds, late, leader, locking, lost, next_leader, open, release, remembered_by,
    status, waiting,
};
use support::{Net, secs};

#[test]
fn one_node_grants_what_only_it_has_to_remember_and_nothing_else() {
    for (replicas, is_granted) in [(1, true), (2, false)] {
        let mut net = Net::new(3);
        let alone = net.start(1, Config::lan("test"));
        open(&mut net, alone, &remembered_by(replicas));
        net.run_until(secs(20), |net| leader(net).is_some()).expect("it leads itself");
        let op = acquire(&mut net, alone, waiting());
        let result = end(&mut net, alone, op);
        assert_eq!(result.is_ok(), is_granted, "{result:?}");
        if !is_granted {
            assert_eq!(result, late(Delay::Replicas));
            assert_eq!(holds(&net, alone), None);
        }
    }
}

#[test]
fn two_nodes_grant_as_long_as_both_are_there() {
    let (mut net, leader) = locking(2, &remembered_by(2));
    let grant = get(&mut net, leader, waiting());
    let op = release(&mut net, leader, grant.token);
    assert!(end(&mut net, leader, op).is_ok());
    net.kill(1 - leader);
    let op = acquire(&mut net, leader, waiting());
    // The leader finds no majority any more, and before that nobody who would remember.
    assert_eq!(end(&mut net, leader, op), late(Delay::NoLeader));
    assert!(holders(&net).is_empty());
}

#[test]
fn nothing_is_granted_until_enough_have_confirmed() {
    let (mut net, leader) = locking(3, &remembered_by(3));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    net.pause(other);
    let op = acquire(&mut net, one, waiting());
    // Not so long that anybody notices that it stands still.
    net.run(secs(1));
    assert_eq!((end_of(&net, one, op), holds(&net, one)), (None, None), "two of three remember it");
    net.resume(other);
    net.run_until(secs(1), |net| end_of(net, one, op).is_some()).expect("the third one confirms");
    assert!(holds(&net, one).is_some());
}

#[test]
fn with_one_of_three_gone_what_three_must_remember_waits() {
    let (mut net, leader) = locking(3, &remembered_by(3));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    net.kill(other);
    net.run(secs(15));
    let op = acquire(&mut net, one, waiting());
    assert_eq!(end(&mut net, one, op), late(Delay::Replicas));
    assert!(holders(&net).is_empty());
    net.start_at(other, other as u128 + 1, Config::lan("test"));
    net.join(other, leader);
    open(&mut net, other, &remembered_by(3));
    let patient = LockRequest { patience: secs(60), ..waiting() };
    get(&mut net, one, patient);
}

#[test]
fn who_waits_gets_a_lock_that_became_free_meanwhile_when_enough_are_back() {
    let (mut net, leader) = locking(3, &remembered_by(3));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    get(&mut net, leader, LockRequest { ttl: secs(10), ..waiting() });
    let op = acquire(&mut net, one, LockRequest { patience: secs(120), ..waiting() });
    net.kill(other);
    net.run(secs(15));
    assert_eq!((holders(&net), end_of(&net, one, op)), (vec![], None), "its time has run out");
    net.start_at(other, other as u128 + 1, Config::lan("test"));
    net.join(other, leader);
    open(&mut net, other, &remembered_by(3));
    net.run(secs(8));
    assert_eq!(holders(&net), [one], "not when it is forgotten that the lock is free");
}

#[test]
fn lost_packets_delay_and_nothing_else() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    net.loss = 30;
    net.duplicates = 20;
    for round in 0..20 {
        let who = (leader + round) % 3;
        let grant = get(&mut net, who, waiting());
        assert_eq!(holders(&net), [who]);
        let op = release(&mut net, who, grant.token);
        assert!(end(&mut net, who, op).is_ok());
    }
}

#[test]
fn who_remembers_is_replaced_when_it_goes() {
    let (mut net, leader) = locking(5, &remembered_by(2));
    let one = (leader + 1) % 5;
    let grant = get(&mut net, one, LockRequest { keeps: true, ..waiting() });
    // Two of the four that could remember go, one after the other, and so does the leader: there is always another
    // copy.
    for gone in [(leader + 2) % 5, (leader + 3) % 5] {
        net.kill(gone);
        net.run(secs(10));
        assert_eq!(status(&mut net, one).holder.map(|holder| holder.token), Some(grant.token));
        net.start_at(gone, gone as u128 + 1, Config::lan("test"));
        net.join(gone, leader);
        open(&mut net, gone, &remembered_by(2));
        net.run(secs(20));
    }
    net.kill(leader);
    next_leader(&mut net, &[leader]);
    assert_eq!(status(&mut net, one).holder.map(|holder| holder.token), Some(grant.token));
    assert!(lost(&net, one).is_empty());
}
