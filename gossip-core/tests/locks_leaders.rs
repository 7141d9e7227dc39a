//! What a new leader knows of the time before it.

mod support;

use std::time::Duration;

use gossip_core::{Config, Delay, ElectionConfig, LockConfig, LockDone, LockError, LockRequest, MessageKind};
use support::locking::{
    CHIEF, POOL, acquire, cut, end, end_of, get, granted, holders, holds, late, leader, locking, lost, next_leader,
    open, release, remembered_by, status, trying, waiting,
};
use support::{Net, secs};

fn patient() -> LockRequest {
    LockRequest { patience: secs(60), ..waiting() }
}

#[test]
fn the_next_leader_knows_what_was_granted() {
    for (count, replicas) in [(3, 2), (4, 2), (5, 3), (5, 2), (3, 3)] {
        let (mut net, first) = locking(count, &LockConfig { free_dead: false, ..remembered_by(replicas) });
        let one = (first + 1) % count;
        let grant = get(&mut net, one, waiting());
        net.kill(first);
        let second = next_leader(&mut net, &[first]);
        let op = acquire(&mut net, second, trying());
        assert_eq!(end(&mut net, second, op), Err(LockError::Busy), "{count} nodes, {replicas} replicas");
        let op = acquire(&mut net, second, patient());
        let result = end(&mut net, second, op);
        assert!(net.now > grant.until);
        if replicas == count {
            // All of them cannot confirm any more.
            assert_eq!(result, late(Delay::Replicas));
        } else {
            assert!(matches!(result, Ok(LockDone::Acquired(other)) if other.token > grant.token), "{result:?}");
        }
    }
}

#[test]
fn a_lock_is_kept_over_changes_of_leader_and_nobody_else_gets_it() {
    let (mut net, first) = locking(5, &remembered_by(3));
    let one = (first + 1) % 5;
    let other = (first + 2) % 5;
    let grant = get(&mut net, one, LockRequest { keeps: true, ..waiting() });
    let op = acquire(&mut net, other, LockRequest { patience: secs(600), ..waiting() });
    let mut gone = vec![first];
    for _ in 0..2 {
        let leader = leader(&net).expect("there is one");
        if [one, other].contains(&leader) {
            break;
        }
        net.kill(leader);
        gone.push(leader);
        next_leader(&mut net, &gone);
        net.run(secs(20));
        assert_eq!(holders(&net), [one]);
    }
    assert_eq!(holds(&net, one).map(|it| it.token), Some(grant.token));
    assert_eq!(end_of(&net, other, op), None);
    release(&mut net, one, grant.token);
    assert!(granted(&mut net, other, op).token > grant.token);
}

#[test]
fn a_leader_that_leaves_hands_its_locks_over_within_milliseconds() {
    let (mut net, first) = locking(4, &remembered_by(2));
    let (one, other) = ((first + 1) % 4, (first + 2) % 4);
    let grant = get(&mut net, one, waiting());
    let op = acquire(&mut net, other, patient());
    let now = net.now;
    net.node(first).leave(now).expect("it has not left yet");
    net.settle(first);
    let second = next_leader(&mut net, &[first]);
    assert_eq!(status(&mut net, second).holder.map(|it| it.token), Some(grant.token));
    assert!(net.now.saturating_since(now) < Duration::from_millis(100), "{:?}", net.now.saturating_since(now));
    let released = release(&mut net, one, grant.token);
    assert_eq!(end(&mut net, one, released), Ok(LockDone::Released));
    assert!(granted(&mut net, other, op).token > grant.token);
}

#[test]
fn what_the_leader_itself_holds_is_free_when_it_leaves() {
    let (mut net, first) = locking(3, &LockConfig { free_dead: false, ..remembered_by(2) });
    let grant = get(&mut net, first, waiting());
    let op = acquire(&mut net, (first + 1) % 3, patient());
    let now = net.now;
    net.node(first).leave(now).expect("it has not left yet");
    net.settle(first);
    assert!(granted(&mut net, (first + 1) % 3, op).token > grant.token);
    assert!(net.now.saturating_since(now) < secs(1));
}

#[test]
fn a_release_that_the_former_leader_took_is_a_release_to_the_next() {
    let (mut net, first) = locking(5, &remembered_by(2));
    let one = (first + 1) % 5;
    let grant = get(&mut net, one, waiting());
    // The leader hears the release, and its answer gets lost.
    let released = release(&mut net, one, grant.token);
    net.run(net.latency * 2);
    net.kill(first);
    assert_eq!(end_of(&net, one, released), None);
    let now = net.now;
    let answered = net.run_until(secs(5), |net| end_of(net, one, released).is_some());
    assert!(answered.is_none() || net.now > now);
    // It was asked of both, so whichever heard it, it is done.
    next_leader(&mut net, &[first]);
    get(&mut net, (first + 2) % 5, LockRequest { patience: secs(2), ..waiting() });
}

#[test]
fn of_two_the_one_that_stayed_knows_what_was_granted_when_the_other_is_back() {
    let (mut net, first) = locking(2, &remembered_by(2));
    let other = 1 - first;
    let keeping = LockRequest { ttl: secs(10), keeps: true, ..waiting() };
    let grant = get(&mut net, other, keeping);
    net.kill(first);
    net.run(Duration::from_millis(100));
    net.start_at(first, first as u128 + 1, Config::lan("test"));
    net.join(first, other);
    open(&mut net, first, &remembered_by(2));
    let op = acquire(&mut net, first, LockRequest { patience: secs(30), ..trying() });
    assert_eq!(end(&mut net, first, op), Err(LockError::Busy));
    assert_eq!(holds(&net, other).map(|it| it.token), Some(grant.token));
    assert!(net.now < grant.until, "nobody waited for its time to run out");
}

/// Its clock may have leapt, and others' have not.
#[test]
fn a_leader_that_stood_still_takes_locks_back_later_by_that_time() {
    let (mut net, first) = locking(3, &LockConfig { free_dead: false, ..remembered_by(2) });
    let one = (first + 1) % 3;
    get(&mut net, one, LockRequest { ttl: secs(4), ..waiting() });
    let full = Duration::from_micros(4_518_002);
    assert_eq!(status(&mut net, first).holder.map(|it| it.left), Some(full.saturating_sub(net.latency * 3)));
    let (now, still) = (net.now, Duration::from_millis(1_500));
    net.pause(first);
    net.run(still);
    net.resume(first);
    let left = status(&mut net, first).holder.expect("it is held").left;
    let ends = net.now.saturating_since(now) + left;
    // A look at the clock is due sixteen times within the shortest time to live.
    let put_off = ends.saturating_sub(full);
    assert!((Duration::from_millis(1_375)..=still).contains(&put_off), "{put_off:?}");
}

#[test]
fn tokens_grow_over_terms() {
    let (mut net, _) = locking(3, &remembered_by(2));
    let mut tokens = Vec::new();
    let mut downtime = None;
    for round in 0..4 {
        let chief = leader(&net).expect("there is one");
        let one = (chief + 1 + round % 2) % 3;
        for _ in 0..3 {
            let grant = get(&mut net, one, patient());
            tokens.push(grant.token);
            let op = release(&mut net, one, grant.token);
            assert!(end(&mut net, one, op).is_ok());
        }
        net.kill(chief);
        next_leader(&mut net, &[chief]);
        let through = (chief + 1) % 3;
        net.start_at(chief, chief as u128 + 1, Config::lan("test"));
        net.join(chief, through);
        open(&mut net, chief, &remembered_by(2));
        net.run(secs(20));
        downtime = Some(chief);
    }
    assert!(downtime.is_some() && tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    assert!(tokens.first().map(|token| token.term()) < tokens.last().map(|token| token.term()));
}

/// Its lease ended while it stood still, and what waited for it makes the lease longer again.
#[test]
fn tokens_grow_within_a_term_that_was_interrupted() {
    let (mut net, first) = locking(3, &remembered_by(2));
    let one = (first + 1) % 3;
    let mut tokens = Vec::new();
    for _ in 0..5 {
        let grant = get(&mut net, one, waiting());
        tokens.push(grant.token);
        let op = release(&mut net, one, grant.token);
        assert!(end(&mut net, one, op).is_ok());
    }
    let beats = net.stats(first).sent(MessageKind::Ballot);
    net.run_until(secs(1), |net| net.stats(first).sent(MessageKind::Ballot) > beats).expect("it says that it leads");
    // This question waits in front of the answers to the beat.
    let op = acquire(&mut net, one, patient());
    net.pause(first);
    net.run_until(secs(4), |net| leader(net).is_none()).expect("the lease ends");
    net.run(Duration::from_millis(20));
    net.resume(first);
    assert_eq!(leader(&net), Some(first), "the lease lasts from the last beat");
    let grant = granted(&mut net, one, op);
    tokens.push(grant.token);
    assert_eq!(tokens.first().map(|token| token.term()), Some(grant.token.term()));
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
}

/// Until a lock is granted for the first time, in a cluster of three that is new.
fn first_grant(config: &LockConfig) -> Duration {
    let mut net = Net::cluster(3, &Config::lan("test"));
    (0..3).for_each(|who| open(&mut net, who, config));
    net.run_until(secs(20), |net| leader(net).is_some()).expect("one leads");
    let elected = net.now;
    get(&mut net, 0, patient());
    net.now.saturating_since(elected)
}

#[test]
fn a_new_cluster_waits_for_the_longest_time_to_live_only_if_it_is_told_to() {
    let soon = first_grant(&remembered_by(2));
    assert!(soon < Duration::from_millis(500), "{soon:?}");
    let waited = first_grant(&LockConfig { wait_when_founded: true, ..remembered_by(2) });
    assert!((secs(11)..secs(12)).contains(&waited), "an eighth more, for clocks: {waited:?}");
}

#[test]
fn what_only_the_leader_remembered_is_waited_for_when_it_crashes() {
    let (mut net, first) = locking(3, &LockConfig { free_dead: false, ..remembered_by(1) });
    let one = (first + 1) % 3;
    let grant = get(&mut net, one, waiting());
    net.kill(first);
    let second = next_leader(&mut net, &[first]);
    let elected = net.now;
    let wanted = [(first + 1) % 3, (first + 2) % 3].into_iter().find(|&who| who != one).expect("there are two");
    let later = get(&mut net, wanted, patient());
    assert!(later.token > grant.token && later.token.term().leader() == support::id(second as u128 + 1));
    assert!(net.now > grant.until && net.now.saturating_since(elected) > secs(11));
}

/// Two of three are gone, and one of them is back: who could remember is not enough.
#[test]
fn a_leader_that_cannot_hear_enough_waits_until_everything_has_run_out() {
    let (mut net, first) = locking(3, &LockConfig { free_dead: false, ..remembered_by(2) });
    let (one, other) = ((first + 1) % 3, (first + 2) % 3);
    let grant = get(&mut net, one, waiting());
    net.run(secs(1));
    net.kill(first);
    net.kill(other);
    for who in [first, other] {
        net.start_at(who, who as u128 + 1, Config::lan("test"));
        net.join(who, one);
        open(&mut net, who, &LockConfig { free_dead: false, ..remembered_by(2) });
    }
    let second = net.run_until(secs(30), |net| leader(net).is_some()).map(|_| leader(&net).expect("there is one"));
    let (second, elected) = (second.expect("there are three again"), net.now);
    let wanted = if second == one { other } else { second };
    let op = acquire(&mut net, wanted, patient());
    net.run(secs(2));
    assert_eq!(end_of(&net, wanted, op), None);
    let later = granted(&mut net, wanted, op);
    assert!(later.token > grant.token);
    assert!(net.now.saturating_since(elected) > secs(11), "{:?}", net.now.saturating_since(elected));
}

/// Nobody confirms the electorate that it begins with, and grants of the time before have run out.
#[test]
fn a_leader_that_nobody_confirms_looks_at_its_clock_and_is_not_busy() {
    let (min_ttl, max_ttl) = (Duration::from_millis(50), Duration::from_millis(100));
    let mut net = Net::cluster(3, &Config::lan("test"));
    (0..3).for_each(|who| open(&mut net, who, &LockConfig { min_ttl, max_ttl, ..remembered_by(2) }));
    net.run_until(secs(20), |net| leader(net).is_some()).expect("one leads");
    let chief = leader(&net).expect("there is one");
    net.run(Duration::ZERO);
    cut(&mut net, Some(chief));
    let end = net.now + secs(2);
    let mut steps = 0;
    while net.now < end && steps < 10_000 {
        net.now = net.node(chief).poll_timeout().expect("a leader has something to do").min(end);
        let now = net.now;
        net.node(chief).handle_timeout(now);
        net.settle(chief);
        steps += 1;
    }
    assert_eq!(leader(&net), Some(chief), "its lease lasts");
    // Sixteen times within 50 ms, and what else there is to do.
    assert!(steps < 2_000, "{steps} until {:?}", net.now);
}

#[test]
fn a_node_that_is_new_in_the_pool_serves_when_it_is_elected() {
    let (mut net, first) = locking(3, &remembered_by(2));
    let fourth = net.start(4, Config::lan("test"));
    net.join(fourth, first);
    net.run(secs(1));
    // It takes part in the election, and opens the pool later.
    let now = net.now;
    let election = ElectionConfig { steady: secs(1), ..ElectionConfig::new(1) };
    net.node(fourth).enter_election(now, CHIEF, election).expect("it does not take part yet");
    net.run(secs(20));
    let grant = get(&mut net, first, waiting());
    let now = net.now;
    net.node(fourth).open_locks(now, POOL, remembered_by(2)).expect("it is not open yet");
    net.settle(fourth);
    assert_eq!(status(&mut net, fourth).holder.map(|it| it.token), Some(grant.token));
    assert!(lost(&net, first).is_empty());
}
