//! What members remember of locks, for how long, and who of them counts.

mod support;

use std::time::Duration;

use gossip_core::{Config, LockConfig, LockDone, LockRequest};
use support::locking::{
    CHIEF, POOL, acquire, ask, cut, end, end_of, get, holds, leader, locking, next_leader, open, release,
    remembered_by, status, waiting,
};
use support::{Addr, Net, secs};

/// Held by whoever has it until its time has run out, whatever is believed of it.
fn config() -> LockConfig {
    LockConfig { free_dead: false, max_ttl: secs(100), ..remembered_by(2) }
}

/// A machine is replaced by its next start, which remembers nothing, and gets a vote.
fn restart(net: &mut Net, who: Addr, through: Addr) {
    net.kill(who);
    net.run(Duration::from_millis(100));
    net.start_at(who, who as u128 + 1, Config::lan("test"));
    net.join(who, through);
    open(net, who, &config());
    net.run(secs(8));
}

/// Nobody extends the lock, so nobody writes its record again but to make up for those that are gone.
#[test]
fn what_those_remembered_who_are_gone_is_remembered_by_others() {
    let (mut net, first) = locking(5, &config());
    let grant = get(&mut net, first, LockRequest { ttl: secs(100), ..waiting() });
    for who in (1..5).map(|step| (first + step) % 5) {
        restart(&mut net, who, first);
    }
    net.kill(first);
    let second = next_leader(&mut net, &[first]);
    assert!(net.now < grant.until);
    assert_eq!(status(&mut net, second).holder.map(|it| it.token), Some(grant.token));
}

/// The same where the leader knows of the grant from the one before it, and whoever holds the lock.
#[test]
fn what_the_leader_before_wrote_is_remembered_by_others_too() {
    for step in 1..6 {
        let (mut net, first) = locking(6, &config());
        let holder = (first + step) % 6;
        let grant = get(&mut net, holder, LockRequest { ttl: secs(100), ..waiting() });
        let now = net.now;
        net.node(first).leave(now).expect("it has not left yet");
        net.settle(first);
        let second = next_leader(&mut net, &[first]);
        net.run(secs(1));
        for who in (0..6).filter(|who| ![holder, second].contains(who)) {
            restart(&mut net, who, second);
        }
        assert_eq!(leader(&net), Some(second));
        if second == holder {
            continue;
        }
        net.kill(second);
        let third = next_leader(&mut net, &[second]);
        assert!(net.now < grant.until);
        assert_eq!(status(&mut net, third).holder.map(|it| it.token), Some(grant.token));
    }
}

/// One that was cut off for a moment remembers the grant before, and for longer than the last one counted.
#[test]
fn that_a_grant_has_run_out_is_remembered_longer_than_any_grant_before() {
    let (mut net, first) = locking(3, &config());
    let (one, other) = ((first + 1) % 3, (first + 2) % 3);
    let grant = get(&mut net, first, LockRequest { ttl: secs(100), ..waiting() });
    net.run(Duration::from_millis(10));
    cut(&mut net, Some(one));
    let op = release(&mut net, first, grant.token);
    assert_eq!(end(&mut net, first, op), Ok(LockDone::Released));
    let later = get(&mut net, first, LockRequest { ttl: secs(1), ..waiting() });
    net.run(Duration::from_millis(1_300));
    cut(&mut net, None);
    assert_eq!(status(&mut net, first).holder, None);
    net.kill(first);
    next_leader(&mut net, &[first]);
    assert_eq!(status(&mut net, other).holder, None);
    assert!(get(&mut net, one, waiting()).token > later.token);
}

/// A member that is to have a vote soon, and may be unknown to the next leader.
#[test]
fn who_has_no_vote_by_agreement_yet_does_not_count() {
    let (mut net, first) = locking(3, &config());
    let fourth = net.start(4, Config::lan("test"));
    net.join(fourth, first);
    net.run(secs(1));
    open(&mut net, fourth, &config());
    let voters = |net: &Net| net.hosts[first].node.as_ref()?.election(net.now, CHIEF).map(|it| it.settled);
    net.run_until(secs(30), |net| voters(net) == Some(4)).expect("it gets a vote");
    // The other two never hear of that.
    net.pause((first + 1) % 3);
    net.pause((first + 2) % 3);
    let op = acquire(&mut net, first, waiting());
    net.run(secs(1));
    assert_eq!((leader(&net), end_of(&net, first, op)), (Some(first), None));
    assert_eq!(holds(&net, first), None);
}

/// More than fit into one answer. Who leads next is the heir, which in one of these clusters remembered none of them.
#[test]
fn a_new_leader_is_told_everything_that_is_remembered() {
    const LOCKS: usize = 500;
    let name = |number: usize| format!("{number:0>200}");
    for count in 6..9 {
        let (mut net, first) = locking(count, &config());
        for number in 0..LOCKS {
            let request = LockRequest { ttl: secs(100), ..waiting() };
            ask(&mut net, (first + 1) % count, |node, now| node.acquire_lock(now, POOL, &name(number), request));
        }
        net.run(secs(1));
        let now = net.now;
        net.node(first).leave(now).expect("it has not left yet");
        net.settle(first);
        let second = next_leader(&mut net, &[first]);
        for number in (0..LOCKS).step_by(37).chain([LOCKS - 1]) {
            let op = ask(&mut net, second, |node, now| node.query_lock(now, POOL, &name(number), secs(10)));
            let Ok(LockDone::Status(status)) = end(&mut net, second, op) else { panic!("it leads") };
            assert!(status.holder.is_some(), "lock {number} of {count} nodes");
        }
    }
}
