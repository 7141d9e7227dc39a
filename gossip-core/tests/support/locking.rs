//! Clusters whose nodes hold an election and a pool of locks.

use std::cell::Cell;
use std::time::Duration;

use gossip_core::{
    Config, Delay, ElectionConfig, Grant, Instant, LockConfig, LockDone, LockError, LockNews, LockOp, LockRequest,
    LockStatus, LockToken, Node,
};

use super::{Addr, Net, secs};

pub(crate) const CHIEF: &str = "chief";
pub(crate) const POOL: &str = "jobs";
pub(crate) const KEY: &str = "nightly";

/// Remembered by `replicas`, for up to ten seconds.
pub(crate) fn remembered_by(replicas: usize) -> LockConfig {
    LockConfig { replicas, max_ttl: secs(10), ..LockConfig::new(CHIEF) }
}

/// For ten seconds, with as much patience.
pub(crate) fn waiting() -> LockRequest {
    LockRequest { ttl: secs(10), patience: secs(10), waits: true, keeps: false }
}

/// The same, if nobody has the lock.
pub(crate) fn trying() -> LockRequest {
    LockRequest { waits: false, ..waiting() }
}

/// Takes part in the election and in the pool.
pub(crate) fn open(net: &mut Net, who: Addr, config: &LockConfig) {
    let (now, node) = (net.now, net.node(who));
    let election = ElectionConfig { steady: secs(1), ..ElectionConfig::new(1) };
    node.enter_election(now, CHIEF, election).expect("it does not take part yet");
    node.open_locks(now, POOL, config.clone()).expect("it is not open yet");
    net.settle(who);
}

/// `count` nodes of which all have a vote, and the leader among them.
pub(crate) fn locking(count: usize, config: &LockConfig) -> (Net, Addr) {
    let mut net = Net::cluster(count, &Config::lan("test"));
    (0..count).for_each(|who| open(&mut net, who, config));
    net.run_until(secs(60), |net| {
        let now = net.now;
        net.hosts.iter().filter_map(|host| host.node.as_ref()).all(|node| {
            node.election(now, CHIEF).is_some_and(|it| it.leader.is_some() && it.votes && it.settled == count)
        })
    })
    .expect("all get a vote");
    net.run(secs(3));
    let leader = leader(&net).expect("there is one");
    (net, leader)
}

pub(crate) fn leader(net: &Net) -> Option<Addr> {
    let leads = |who: &Addr| net.hosts[*who].node.as_ref().is_some_and(|node| node.leads(net.now, CHIEF).is_some());
    (0..net.hosts.len()).find(leads)
}

pub(crate) fn ask(
    net: &mut Net,
    who: Addr,
    ask: impl FnOnce(&mut Node<Addr>, Instant) -> Result<LockOp, LockError>,
) -> LockOp {
    let now = net.now;
    let op = ask(net.node(who), now).expect("it can be asked for");
    net.settle(who);
    op
}

pub(crate) fn acquire(net: &mut Net, who: Addr, request: LockRequest) -> LockOp {
    ask(net, who, |node, now| node.acquire_lock(now, POOL, KEY, request))
}

pub(crate) fn release(net: &mut Net, who: Addr, token: LockToken) -> LockOp {
    ask(net, who, |node, now| node.release_lock(now, POOL, KEY, token, secs(5)))
}

pub(crate) fn extend(net: &mut Net, who: Addr, token: LockToken, ttl: Duration) -> LockOp {
    ask(net, who, |node, now| node.extend_lock(now, POOL, KEY, token, ttl, secs(5)))
}

pub(crate) fn end_of(net: &Net, who: Addr, op: LockOp) -> Option<Result<LockDone, LockError>> {
    net.hosts[who].locks.iter().find_map(|(_, news)| match news {
        LockNews::Done { op: it, result } if *it == op => Some(result.clone()),
        _ => None,
    })
}

/// How an operation ends, at the latest after its patience.
pub(crate) fn end(net: &mut Net, who: Addr, op: LockOp) -> Result<LockDone, LockError> {
    net.run_until(secs(120), |net| end_of(net, who, op).is_some()).expect("every operation ends");
    end_of(net, who, op).expect("it ended")
}

pub(crate) fn granted(net: &mut Net, who: Addr, op: LockOp) -> Grant {
    match end(net, who, op) {
        Ok(LockDone::Acquired(grant)) => grant,
        other => panic!("{other:?}"),
    }
}

/// The lock, acquired by a node.
pub(crate) fn get(net: &mut Net, who: Addr, request: LockRequest) -> Grant {
    let op = acquire(net, who, request);
    granted(net, who, op)
}

pub(crate) fn status(net: &mut Net, who: Addr) -> LockStatus {
    let op = ask(net, who, |node, now| node.query_lock(now, POOL, KEY, secs(10)));
    match end(net, who, op) {
        Ok(LockDone::Status(status)) => status,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn holds(net: &Net, who: Addr) -> Option<Grant> {
    net.hosts[who].node.as_ref()?.holds_lock(net.now, POOL, KEY)
}

/// Grants that a node lost.
pub(crate) fn lost(net: &Net, who: Addr) -> Vec<LockToken> {
    let token = |news: &LockNews| match news {
        LockNews::Lost { token, .. } => Some(*token),
        _ => None,
    };
    net.hosts[who].locks.iter().filter_map(|(_, news)| token(news)).collect()
}

/// How an operation failed that waited too long.
pub(crate) fn late(delay: Delay) -> Result<LockDone, LockError> {
    Err(LockError::Timeout { delay })
}

thread_local! {
    static CUT: Cell<Option<Addr>> = const { Cell::new(None) };
}

/// Cuts a node off from all others, or nobody.
pub(crate) fn cut(net: &mut Net, who: Option<Addr>) {
    CUT.set(who);
    net.reaches = |from, to| CUT.get().is_none_or(|cut| (from == cut) == (to == cut));
}

/// Runs until another node than these leads.
pub(crate) fn next_leader(net: &mut Net, besides: &[Addr]) -> Addr {
    let is_other = |who: &Addr| !besides.contains(who);
    net.run_until(secs(30), |net| leader(net).as_ref().is_some_and(is_other)).expect("another one leads");
    leader(net).expect("there is one")
}

/// Who thinks that it holds the lock.
pub(crate) fn holders(net: &Net) -> Vec<Addr> {
    (0..net.hosts.len()).filter(|&who| holds(net, who).is_some()).collect()
}
