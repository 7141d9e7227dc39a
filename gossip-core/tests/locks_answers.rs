//! What a leader answers, when it does not, and what it makes of questions that come late or again.

mod support;

use std::time::Duration;

use gossip_core::{LockConfig, LockDone, LockRequest};
use support::locking::{
    KEY, POOL, acquire, ask, end, end_of, get, granted, holds, leader, locking, next_leader, remembered_by, status,
    waiting,
};
use support::{Net, secs};

fn config() -> LockConfig {
    LockConfig { free_dead: false, ..remembered_by(2) }
}

/// The leader's answer gets lost, and with it the leader.
#[test]
fn who_was_granted_a_lock_without_word_of_it_gets_it_from_the_next_leader() {
    let (mut net, first) = locking(5, &config());
    let one = (first + 1) % 5;
    let op = acquire(&mut net, one, waiting());
    // The question is there, and others remember the grant.
    net.run(net.latency * 2 + net.latency / 2);
    net.kill(first);
    assert_eq!(end_of(&net, one, op), None);
    let asked = net.now;
    let second = next_leader(&mut net, &[first]);
    let grant = granted(&mut net, one, op);
    assert_eq!(grant.token.term().leader(), support::id(second as u128 + 1));
    assert!(net.now.saturating_since(asked) < secs(6), "not when the first grant has run out");
}

/// What confirms the grant waited while the leader stood still.
#[test]
fn a_leader_whose_lease_ended_while_it_stood_still_answers_nothing() {
    let (mut net, first) = locking(3, &config());
    let one = (first + 1) % 3;
    let op = acquire(&mut net, one, waiting());
    net.run(net.latency + net.latency / 2);
    net.pause(first);
    net.run_until(secs(10), |net| leader(net).is_none()).expect("its lease ends");
    net.resume(first);
    net.run(net.latency * 2);
    assert_eq!((end_of(&net, one, op), holds(&net, one)), (None, None));
}

#[test]
fn nobody_is_told_who_holds_a_lock_before_enough_remember_it() {
    let (mut net, first) = locking(3, &config());
    net.pause((first + 1) % 3);
    net.pause((first + 2) % 3);
    let granted = acquire(&mut net, first, waiting());
    let asked = ask(&mut net, first, |node, now| node.query_lock(now, POOL, KEY, secs(10)));
    net.run(secs(1));
    assert_eq!((end_of(&net, first, granted), end_of(&net, first, asked)), (None, None));
    net.resume((first + 1) % 3);
    let Ok(LockDone::Acquired(grant)) = end(&mut net, first, granted) else { panic!("it is free") };
    let Ok(LockDone::Status(status)) = end(&mut net, first, asked) else { panic!("somebody holds it") };
    assert_eq!(status.holder.map(|it| it.token), Some(grant.token));
}

/// It is overtaken by the word that nobody waits for it any more.
#[test]
fn a_question_that_comes_after_it_was_withdrawn_gets_nothing() {
    let (mut net, first) = locking(3, &config());
    let one = (first + 1) % 3;
    // An operation from before goes on, so that the leader has to remember how later ones ended.
    let elsewhere = |net: &mut Net, who| ask(net, who, |node, now| node.acquire_lock(now, POOL, "another", waiting()));
    elsewhere(&mut net, first);
    net.run(secs(1));
    elsewhere(&mut net, one);
    let mut late = Vec::new();
    let now = net.now;
    let op = net.node(one).acquire_lock(now, POOL, KEY, waiting()).expect("it can be asked for");
    let mut buffer = bytes::BytesMut::new();
    while net.node(one).poll_transmit(now, &mut buffer).is_some() {
        late.push(buffer.split().to_vec());
    }
    assert!(!late.is_empty() && net.node(one).cancel_lock(now, op));
    net.settle(one);
    net.run(Duration::from_millis(20));
    let now = net.now;
    for packet in &mut late {
        net.node(first).handle_datagram(now, one, packet);
    }
    net.settle(first);
    net.run(Duration::from_millis(20));
    assert_eq!(status(&mut net, first).holder, None);
}

/// While it gathers, it waits until all grants have run out. It may be that only its clock leapt.
#[test]
fn a_new_leader_that_stood_still_serves_later_by_that_time() {
    let (mut net, first) = locking(3, &LockConfig { replicas: 1, ..config() });
    net.kill(first);
    let second = next_leader(&mut net, &[first]);
    let (elected, still) = (net.now, Duration::from_millis(1_500));
    net.run(secs(2));
    net.pause(second);
    net.run(still);
    net.resume(second);
    get(&mut net, second, LockRequest { patience: secs(60), ..waiting() });
    assert_eq!(leader(&net), Some(second));
    let took = net.now.saturating_since(elected);
    // A look at the clock is due sixteen times within the shortest time to live.
    assert!(took > Duration::from_millis(11_250 + 1_375), "{took:?}");
}
