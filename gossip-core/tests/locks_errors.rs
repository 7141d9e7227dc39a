//! What cannot be is refused with a reason, and nothing is lost by it.

mod support;

use std::time::Duration;

use gossip_core::{
    Config, LockConfig, LockDone, LockError, LockRequest, LockToken, MessageKind, OpenLocksError, PhaseError,
};
use support::locking::{
    CHIEF, KEY, POOL, acquire, ask, end, extend, get, holds, locking, release, remembered_by, trying, waiting,
};
use support::{Net, secs};

#[test]
fn keys_times_and_pools_that_cannot_be() {
    let (mut net, leader) = locking(3, &LockConfig { max_key: 16, ..remembered_by(2) });
    let grant = get(&mut net, leader, waiting());
    let now = net.now;
    let node = net.node(leader);
    for key in ["", "12345678901234567"] {
        let error = node.acquire_lock(now, POOL, key, waiting()).expect_err("a key of this length");
        assert_eq!(error, LockError::Key { length: key.len(), limit: 16 });
    }
    for ttl in [Duration::from_millis(999), secs(10) + Duration::from_micros(1)] {
        let (min, max) = (secs(1), secs(10));
        let request = LockRequest { ttl, ..waiting() };
        assert_eq!(node.acquire_lock(now, POOL, KEY, request), Err(LockError::Ttl { ttl, min, max }));
        let extended = node.extend_lock(now, POOL, KEY, grant.token, ttl, secs(1));
        assert_eq!(extended, Err(LockError::Ttl { ttl, min, max }));
    }
    let unknown = node.query_lock(now, "other", KEY, secs(1));
    assert_eq!(unknown, Err(LockError::UnknownPool { pool: "other".into() }));
    assert_eq!(holds(&net, leader), Some(grant));
}

#[test]
fn what_was_released_or_is_anothers_can_be_neither_extended_nor_released() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let grant = get(&mut net, one, waiting());
    let now = net.now;
    let stranger = net.node(other);
    assert_eq!(stranger.release_lock(now, POOL, KEY, grant.token, secs(1)), Err(LockError::NotHeld));
    assert_eq!(stranger.extend_lock(now, POOL, KEY, grant.token, secs(2), secs(1)), Err(LockError::NotHeld));
    assert_eq!(net.node(one).release_lock(now, POOL, "another", grant.token, secs(1)), Err(LockError::NotHeld));
    assert_eq!(holds(&net, one), Some(grant));
    let op = release(&mut net, one, grant.token);
    assert_eq!(net.node(one).release_lock(now, POOL, KEY, grant.token, secs(1)), Err(LockError::NotHeld));
    assert!(end(&mut net, one, op).is_ok());
    let second = get(&mut net, other, waiting());
    let now = net.now;
    assert_eq!(net.node(one).release_lock(now, POOL, KEY, second.token, secs(1)), Err(LockError::NotHeld));
    assert_eq!(holds(&net, other), Some(second));
}

#[test]
fn a_full_pool_grants_no_more_locks_until_one_is_released() {
    let (mut net, leader) = locking(3, &LockConfig { max_locks: 2, ..remembered_by(2) });
    let one = (leader + 1) % 3;
    let grant = get(&mut net, one, waiting());
    let another = |net: &mut Net, key: &str| ask(net, one, |node, now| node.acquire_lock(now, POOL, key, trying()));
    let op = another(&mut net, "second");
    assert!(end(&mut net, one, op).is_ok());
    let op = another(&mut net, "third");
    assert_eq!(end(&mut net, one, op), Err(LockError::Full { limit: 2 }));
    let op = acquire(&mut net, one, trying());
    assert_eq!(end(&mut net, one, op), Err(LockError::Busy), "that one is held");
    release(&mut net, one, grant.token);
    let op = another(&mut net, "third");
    assert!(end(&mut net, one, op).is_ok());
    // Words of locks that are free give way.
    for key in ["fourth", "fifth", "sixth", "seventh"] {
        let grant = holds_under(&mut net, one, "third");
        let op = ask(&mut net, one, |node, now| node.release_lock(now, POOL, "third", grant, secs(1)));
        assert!(end(&mut net, one, op).is_ok());
        let op = another(&mut net, key);
        let Ok(LockDone::Acquired(grant)) = end(&mut net, one, op) else { panic!("one was released") };
        let op = ask(&mut net, one, |node, now| node.release_lock(now, POOL, key, grant.token, secs(1)));
        assert!(end(&mut net, one, op).is_ok());
        let op = another(&mut net, "third");
        assert!(end(&mut net, one, op).is_ok());
    }
}

#[test]
fn a_node_that_has_as_many_open_as_it_may_can_still_give_one_back() {
    let (mut net, only) = locking(1, &LockConfig { max_locks: 20_000, ..remembered_by(1) });
    let now = net.now;
    let most = (0..20_000).find(|number| {
        let begun = net.node(only).acquire_lock(now, POOL, &number.to_string(), waiting());
        begun.inspect(|_| net.settle(only)) == Err(LockError::TooManyOperations { limit: 16_384 })
    });
    assert_eq!(most, Some(16_384));
    let grant = net.node(only).holds_lock(now, POOL, "7").expect("it is held");
    let op = net.node(only).release_lock(now, POOL, "7", grant.token, secs(1)).expect("it can be given back");
    net.settle(only);
    assert_eq!(end(&mut net, only, op), Ok(LockDone::Released));
    assert!(net.node(only).acquire_lock(now, POOL, "another", waiting()).is_ok());
}

fn holds_under(net: &mut Net, who: usize, key: &str) -> LockToken {
    let now = net.now;
    net.node(who).holds_lock(now, POOL, key).expect("it is held").token
}

#[test]
fn a_pool_is_opened_once_with_an_election_that_is_entered() {
    let (mut net, leader) = locking(1, &remembered_by(1));
    let now = net.now;
    let node = net.node(leader);
    let wrong = |change: fn(&mut LockConfig)| {
        let mut config = remembered_by(1);
        change(&mut config);
        config
    };
    let cases: [(&str, LockConfig); 7] = [
        ("replicas", wrong(|it| it.replicas = 0)),
        ("min_ttl", wrong(|it| it.min_ttl = Duration::from_millis(49))),
        ("max_ttl", wrong(|it| it.max_ttl = it.min_ttl / 2)),
        // The election takes votes away after two minutes.
        ("max_ttl", wrong(|it| it.max_ttl = secs(120))),
        ("max_locks", wrong(|it| it.max_locks = 0)),
        ("max_waiters", wrong(|it| it.max_waiters = 0)),
        ("max_key", wrong(|it| it.max_key = 256)),
    ];
    for (field, config) in cases {
        let error = node.open_locks(now, "another", config).expect_err("out of range");
        assert!(matches!(&error, OpenLocksError::Config(error) if error.field == field), "{field}: {error}");
    }
    assert_eq!(node.open_locks(now, "", remembered_by(1)), Err(OpenLocksError::Name { length: 0 }));
    assert_eq!(node.open_locks(now, POOL, remembered_by(1)), Err(OpenLocksError::Opened));
    let election = "nobody's".to_owned();
    let error = node.open_locks(now, "another", LockConfig { election: election.clone(), ..remembered_by(1) });
    assert_eq!(error, Err(OpenLocksError::Election { election }));
    node.leave(now).expect("it has not left yet");
    assert_eq!(node.open_locks(now, "another", LockConfig::new(CHIEF)), Err(PhaseError::Leaving.into()));
    assert_eq!(node.acquire_lock(now, POOL, KEY, waiting()), Err(PhaseError::Leaving.into()));
}

#[test]
fn without_a_pool_there_is_no_packet_of_one() {
    let mut net = Net::cluster(3, &Config::lan("test"));
    net.run(secs(60));
    for who in 0..3 {
        assert_eq!(net.stats(who).sent(MessageKind::Lock), 0);
    }
}

#[test]
fn an_idle_pool_sends_nothing() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let grant = get(&mut net, leader, waiting());
    let op = extend(&mut net, leader, grant.token, secs(2));
    assert!(end(&mut net, leader, op).is_ok());
    net.run(secs(20));
    let sent = |net: &Net| (0..3).map(|who| net.stats(who).sent(MessageKind::Lock)).sum::<u64>();
    let before = sent(&net);
    net.run(secs(600));
    assert_eq!(sent(&net), before);
}
