//! Members share locks: one has each at a time, the others wait or are refused, and whoever is gone or cut off loses it.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use gossip_driver::{
    Cluster, CommandError, Config, Election, ElectionConfig, HoldError, LockConfig, LockError, LockGuard, LockOptions,
    LockStatus, Locks, NodeId, OpenLocksError, Runtime, StopReason,
};

use crate::harness::{PATIENCE, joined, quick, spawned, start, stop, timeout, within};

const ELECTION: &str = "locks";

fn election() -> ElectionConfig {
    ElectionConfig { lease: Duration::from_millis(900), steady: Duration::ZERO, ..ElectionConfig::new(2) }
}

fn pool() -> LockConfig {
    LockConfig { min_ttl: Duration::from_millis(200), ..LockConfig::new(ELECTION) }
}

fn options() -> LockOptions {
    LockOptions::new(Duration::from_secs(2)).patience(PATIENCE)
}

async fn open<R: Runtime>(node: &Cluster<R>) -> (Election<R>, Locks<R>) {
    let election = within("an entry", node.enter_election(ELECTION, election())).await;
    let election = election.expect("the settings are sound");
    let pool = within("an open pool", node.open_locks("pool", pool())).await.expect("the settings are sound");
    (election, pool)
}

/// Nodes with a pool that all of them share, and a vote each.
async fn sharing<R: Runtime>(configs: impl IntoIterator<Item = Config>) -> (Vec<Cluster<R>>, Vec<Locks<R>>) {
    let nodes = joined(configs).await;
    let (mut elections, mut pools) = (Vec::new(), Vec::new());
    for node in &nodes {
        let (election, pool) = open(node).await;
        elections.push(election);
        pools.push(pool);
    }
    // Without one of those who have a vote, the others must be enough.
    within("votes for all", async {
        for election in &elections {
            while election.status().await.expect("the node runs").settled < nodes.len() {
                async_io::Timer::after(Duration::from_millis(5)).await;
            }
        }
    })
    .await;
    (nodes, pools)
}

async fn three<R: Runtime>(name: &str) -> (Vec<Cluster<R>>, Vec<Locks<R>>) {
    sharing((0..3).map(|_| quick(name))).await
}

async fn acquire<R: Runtime>(pool: &Locks<R>, key: &str) -> LockGuard<R> {
    within("a lock", pool.acquire(key, options())).await.expect("it is granted at last")
}

async fn query<R: Runtime>(pool: &Locks<R>, key: &str) -> LockStatus {
    within("a status", pool.query(key, PATIENCE)).await.expect("the leader answers")
}

fn holder(status: &LockStatus) -> Option<NodeId> {
    status.holder.map(|holder| holder.node)
}

/// Waits until so many wait for a lock.
async fn crowd<R: Runtime>(pool: &Locks<R>, key: &str, count: u32) {
    within("those who wait are known", async {
        while query(pool, key).await.waiting != count {
            async_io::Timer::after(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn refusal<T>(result: Result<T, HoldError>) -> LockError {
    match result {
        Err(CommandError::Refused(error)) => error,
        Err(CommandError::Stopped(reason)) => panic!("the node runs: {reason}"),
        Ok(_) => panic!("it is refused"),
    }
}

/// One after the other has a lock, and the last one drops it.
async fn passed_on<R: Runtime>(nodes: &[Cluster<R>], pools: &[Locks<R>]) {
    let first = acquire(&pools[0], "a").await;
    assert!(first.is_held() && first.until() > Some(Instant::now()) && first.key() == "a");
    let other = acquire(&pools[1], "b").await;
    assert_eq!(refusal(pools[1].try_acquire("a", options()).await), LockError::Busy);
    let status = query(&pools[2], "a").await;
    assert_eq!((holder(&status), status.waiting), (Some(nodes[0].id()), 0));
    assert_eq!(status.holder.map(|holder| holder.token), Some(first.token()));

    let pool = pools[1].clone();
    let turn = spawned::<R, _>(async move { acquire(&pool, "a").await });
    crowd(&pools[2], "a", 1).await;
    let token = first.token();
    within("a release", first.release()).await.expect("it was held");
    let second = within("the turn", turn).await.expect("the waiter does not panic");
    assert!(second.token() > token && second.is_held());
    drop(second);
    let third = acquire(&pools[2], "a").await;
    assert_eq!(holder(&query(&pools[0], "a").await), Some(nodes[2].id()));
    assert!(other.is_held());
    drop((third, other));
    within("both are free", async {
        while holder(&query(&pools[0], "a").await).or(holder(&query(&pools[0], "b").await)).is_some() {
            async_io::Timer::after(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(crate) async fn a_lock_goes_from_one_to_the_next_and_a_guard_that_is_dropped_frees_it<R: Runtime>() {
    let (nodes, pools) = three::<R>("locks").await;
    passed_on(&nodes, &pools).await;
    stop(nodes).await;
}

pub(crate) async fn locks_need_no_datagrams<R: Runtime>() {
    let (nodes, pools) = sharing::<R>((0..3).map(|_| quick("lock-streams").stream_only(true))).await;
    passed_on(&nodes, &pools).await;
    stop(nodes).await;
}

pub(crate) async fn a_lock_is_kept_alive_or_extended_or_lost_in_time<R: Runtime>() {
    let (nodes, pools) = three::<R>("lock-time").await;
    let brief = LockOptions::new(Duration::from_millis(600)).patience(PATIENCE);
    let kept = within("a lock", pools[0].acquire("kept", brief)).await.expect("it is free");
    let single = within("a lock", pools[0].acquire("single", brief.keep_alive(false))).await.expect("it is free");
    let (first, end) = (kept.until().expect("it is held"), single.until().expect("it is held"));
    within("an extension", single.extend(Duration::from_secs(2))).await.expect("it is held");
    assert!(single.until() > Some(end + Duration::from_secs(1)));
    within("its end", single.lost()).await;
    assert!(!single.is_held() && single.until().is_none());
    assert_eq!(refusal(single.extend(Duration::from_secs(1)).await), LockError::NotHeld);
    assert_eq!(refusal(within("a release", single.release()).await), LockError::NotHeld);
    // Two of its lengths have passed, and more.
    assert!(kept.is_held() && kept.until() > Some(first + Duration::from_secs(1)), "{kept:?}");
    assert!(timeout(Duration::from_millis(10), kept.lost()).await.is_none());
    stop(nodes).await;
    within("the end with the node", kept.lost()).await;
    assert!(!kept.is_held());
}

pub(crate) async fn whoever_gives_up_waiting_is_passed_over<R: Runtime>() {
    let (nodes, pools) = three::<R>("lock-withdrawn").await;
    let guard = acquire(&pools[0], "a").await;
    let given_up = Box::pin(race(pools[1].acquire("a", options()), crowd(&pools[0], "a", 1)));
    assert!(within("a place in the queue", given_up).await.is_none());
    crowd(&pools[0], "a", 0).await;
    let pool = pools[2].clone();
    let turn = spawned::<R, _>(async move { acquire(&pool, "a").await });
    crowd(&pools[0], "a", 1).await;
    drop(guard);
    let next = within("the turn", turn).await.expect("the waiter does not panic");
    assert_eq!(holder(&query(&pools[0], "a").await), Some(nodes[2].id()));
    // In time, and with the reason.
    let hasty = pools[1].acquire("a", options().patience(Duration::from_millis(50)));
    let error = refusal(within("the end of patience", hasty).await);
    assert!(matches!(error, LockError::Timeout { .. }), "{error}");
    assert!(next.is_held());
    stop(nodes).await;
}

/// The output of `work`, unless `end` comes first.
async fn race<T>(work: impl Future<Output = T>, end: impl Future<Output = ()>) -> Option<T> {
    match select(pin!(work), pin!(end)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

pub(crate) async fn a_lock_of_one_that_crashed_is_freed<R: Runtime>() {
    for leads in [false, true] {
        let (mut nodes, mut pools) = three::<R>("lock-crash").await;
        let first = acquire(&pools[0], "a").await;
        let leader = first.token().term().leader();
        let at = nodes.iter().position(|node| (node.id() == leader) == leads).expect("one of them leads");
        drop(first);
        let (node, pool) = (nodes.remove(at), pools.remove(at));
        let guard = acquire(&pool, "a").await;
        stop([node]).await;
        assert!(!guard.is_held() && guard.until().is_none());
        let next = acquire(&pools[0], "a").await;
        assert!(next.token() > guard.token() && next.is_held());
        assert_eq!(holder(&query(&pools[1], "a").await), Some(nodes[0].id()));
        stop(nodes).await;
    }
}

pub(crate) async fn a_holder_that_is_cut_off_is_told_when_its_time_is_over<R: Runtime>() {
    let (mut nodes, pools) = three::<R>("lock-cut-off").await;
    let guard = acquire(&pools[0], "a").await;
    let holder = nodes.remove(0);
    stop(nodes).await;
    within("the loss", guard.lost()).await;
    assert!(!guard.is_held());
    stop([holder]).await;
}

pub(crate) async fn what_cannot_be_locked_is_refused_and_named<R: Runtime>() {
    let node = start::<R>(quick("lock-refused")).await;
    let unknown = within("a refusal", node.open_locks("pool", pool())).await.err();
    let election_is_missing = OpenLocksError::Election { election: ELECTION.to_owned() };
    assert_eq!(unknown, Some(CommandError::Refused(election_is_missing)));
    let (_, locks) = open(&node).await;
    assert_eq!(locks.name(), "pool");
    let again = within("the same pool", node.open_locks("pool", pool())).await.expect("the settings are the same");
    assert_eq!(again.config(), locks.config());
    let other = LockConfig { replicas: 1, ..pool() };
    let refused = within("a refusal", node.open_locks("pool", other)).await.err();
    assert_eq!(refused, Some(CommandError::Refused(OpenLocksError::Opened)));
    let nobody = LockConfig { replicas: 0, ..pool() };
    let refused = within("a refusal", node.open_locks("nobody", nobody)).await.expect_err("nobody would remember");
    assert!(refused.to_string().contains("replicas"), "{refused}");

    let key = "k".repeat(256);
    for (key, length) in [("", 0), (&*key, 256)] {
        let expected = LockError::Key { length, limit: 255 };
        assert_eq!(refusal(locks.acquire(key, options()).await), expected);
        assert_eq!(refusal(locks.try_acquire(key, options()).await), expected);
        assert_eq!(refusal(locks.query(key, PATIENCE).await), expected);
    }
    for ttl in [Duration::from_millis(199), Duration::from_secs(31)] {
        let error = refusal(locks.acquire("a", LockOptions::new(ttl)).await);
        assert!(matches!(error, LockError::Ttl { ttl: found, .. } if found == ttl), "{error}");
    }
    // There are not enough who could vote.
    let lonely = locks.acquire("a", options().patience(Duration::from_millis(300)));
    assert!(matches!(refusal(within("no grant", lonely).await), LockError::Timeout { .. }));
    let waiting = locks.clone();
    let waiter = spawned::<R, _>(async move { waiting.acquire("a", options()).await.err() });
    stop([node]).await;
    let stopped = Some(CommandError::Stopped(StopReason::Shutdown));
    assert_eq!(within("the end of the wait", waiter).await.expect("it does not panic"), stopped);
    let dropped = Some(CommandError::Stopped(StopReason::Dropped));
    assert_eq!(locks.acquire("a", options()).await.err(), dropped, "there is no handle any more");
}
