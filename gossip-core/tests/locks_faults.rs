//! Locks while nodes crash, start again, stand still, leave and are cut off, by chance.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_core::{
    Config, ElectionConfig, Grant, Instant, LockConfig, LockDone, LockError, LockNews, LockOp, LockRequest, LockToken,
};
use support::locking::{CHIEF, POOL, cut};
use support::{Addr, Net, id, secs};

const NODES: usize = 5;
const KEYS: [&str; 3] = ["a", "b", "c"];

/// An operation that was asked for.
struct Asked {
    at: Instant,
    key: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Acquire,
    Extend(LockToken),
    Release(LockToken),
    Query,
}

struct World {
    net: Net,
    config: LockConfig,
    asked: BTreeMap<(Addr, LockOp), Asked>,
    read: [usize; NODES],
    /// Grants that were told of, by key: when, and which.
    told: Vec<(&'static str, Instant, LockToken)>,
    grants: usize,
}

impl World {
    fn new(seed: u64, config: LockConfig) -> Self {
        let mut net = Net::new(seed);
        net.jitter = Duration::from_millis(2);
        let mut world = Self { net, config, asked: BTreeMap::new(), read: [0; NODES], told: Vec::new(), grants: 0 };
        for who in 0..NODES {
            world.net.start(who as u128 + 1, Config::lan("test"));
            world.enter(who);
        }
        (1..NODES).for_each(|who| world.net.join(who, 0));
        world.run(secs(30));
        world
    }

    fn enter(&mut self, who: Addr) {
        let (now, node) = (self.net.now, self.net.node(who));
        let election = ElectionConfig { steady: secs(1), ..ElectionConfig::new(3) };
        node.enter_election(now, CHIEF, election).expect("it does not take part yet");
        node.open_locks(now, POOL, self.config.clone()).expect("it is not open yet");
        self.net.settle(who);
    }

    fn chance(&mut self, of: u64) -> usize {
        usize::try_from(self.net.next_random() % of).expect("small")
    }

    fn restart(&mut self, who: Addr) {
        self.net.start_at(who, who as u128 + 1, Config::lan("test"));
        let through = (0..NODES).find(|&other| other != who && self.net.hosts[other].node.is_some());
        self.net.join(who, through.expect("somebody runs"));
        self.enter(who);
    }

    fn run(&mut self, span: Duration) {
        let end = self.net.now + span;
        while self.net.now < end {
            let slice = Duration::from_millis(5).min(end.saturating_since(self.net.now));
            self.net.run(slice);
            self.check();
        }
    }

    /// At no moment do two nodes hold a lock, and tokens grow.
    fn check(&mut self) {
        let now = self.net.now;
        for key in KEYS {
            let held: Vec<(Addr, Grant)> = (0..NODES)
                .filter_map(|who| Some((who, self.net.hosts[who].node.as_ref()?.holds_lock(now, POOL, key)?)))
                .collect();
            assert!(held.len() < 2 || self.config.free_dead, "at {now:?} two hold {key}: {held:?}");
        }
        for who in 0..NODES {
            let news: Vec<(Instant, LockNews)> = self.net.hosts[who].locks[self.read[who]..].to_vec();
            self.read[who] += news.len();
            for (at, news) in news {
                let LockNews::Done { op, result } = news else { continue };
                let asked = self.asked.remove(&(who, op)).expect("it ends once");
                self.judge(&asked, at, &result);
            }
        }
    }

    fn judge(&mut self, asked: &Asked, at: Instant, result: &Result<LockDone, LockError>) {
        let Asked { at: since, key, kind } = *asked;
        // What was told before this was asked for.
        let before = self.told.iter().filter(|(it, told, _)| *it == key && *told < since).map(|(_, _, token)| *token);
        let newest = before.max();
        match (kind, result) {
            (Kind::Acquire, Ok(LockDone::Acquired(grant))) => {
                assert!(Some(grant.token) > newest, "token of {key} at {at:?}: {} after {newest:?}", grant.token);
                self.told.push((key, at, grant.token));
                self.grants += 1;
            }
            (Kind::Extend(token), Ok(LockDone::Extended(_))) => {
                assert!(newest.is_none_or(|newest| newest <= token), "extended {token} of {key} after {newest:?}");
            }
            (Kind::Query, Ok(LockDone::Status(status))) => {
                let token = status.holder.map(|holder| holder.token);
                assert!(token.is_none() || token >= newest, "{key} is held under {token:?}, after {newest:?}");
            }
            _ => {}
        }
    }

    fn ask(&mut self, who: Addr) {
        let key = KEYS[self.chance(3)];
        let choice = self.chance(10);
        let (waits, keeps) = (self.chance(3) > 0, self.chance(3) == 0);
        let ttl = Duration::from_millis(200 + self.chance(4_000) as u64);
        let now = self.net.now;
        let host = &mut self.net.hosts[who];
        let Some(node) = host.node.as_mut().filter(|_| !host.paused) else { return };
        let held = node.holds_lock(now, POOL, key);
        let (kind, op) = match (held, choice) {
            (Some(grant), 0..=5) => {
                (Kind::Release(grant.token), node.release_lock(now, POOL, key, grant.token, secs(4)))
            }
            (Some(grant), 6..=7) => {
                (Kind::Extend(grant.token), node.extend_lock(now, POOL, key, grant.token, ttl, secs(2)))
            }
            (_, 9) => (Kind::Query, node.query_lock(now, POOL, key, secs(4))),
            _ => {
                let request = LockRequest { ttl, patience: secs(6), waits, keeps };
                (Kind::Acquire, node.acquire_lock(now, POOL, key, request))
            }
        };
        let Ok(op) = op else { return };
        self.asked.insert((who, op), Asked { at: now, key, kind });
        self.net.node(who);
        self.net.settle(who);
        self.check();
    }

    /// Something goes wrong, and is over before the next.
    fn fault(&mut self) {
        let who = self.chance(NODES as u64);
        match self.chance(5) {
            0 => {
                // As many as may fail at once.
                let gone: Vec<Addr> = (1..self.config.replicas).map(|step| (who + step) % NODES).collect();
                for &who in &gone {
                    self.end(who);
                }
                let span = Duration::from_millis(self.chance(12_000) as u64);
                self.work(span);
                for who in gone {
                    self.restart(who);
                }
            }
            1 => {
                self.net.pause(who);
                let span = Duration::from_millis(self.chance(6_000) as u64);
                self.work(span);
                self.net.resume(who);
                self.check();
            }
            2 => {
                cut(&mut self.net, Some(who));
                let span = Duration::from_millis(self.chance(12_000) as u64);
                self.work(span);
                cut(&mut self.net, None);
            }
            3 => {
                let now = self.net.now;
                self.net.node(who).leave(now).expect("it has not left yet");
                self.net.settle(who);
                self.work(secs(3));
                self.end(who);
                self.restart(who);
            }
            _ => {
                (self.net.loss, self.net.duplicates, self.net.jitter) = (20, 20, Duration::from_millis(100));
                self.work(secs(5));
                (self.net.loss, self.net.duplicates, self.net.jitter) = (0, 0, Duration::from_millis(2));
            }
        }
        self.work(secs(15));
    }

    fn end(&mut self, who: Addr) {
        self.check();
        self.net.kill(who);
        self.asked.retain(|&(at, _), _| at != who);
    }

    fn work(&mut self, span: Duration) {
        let end = self.net.now + span;
        while self.net.now < end {
            let who = self.chance(NODES as u64);
            self.ask(who);
            let pause = Duration::from_millis(self.chance(120) as u64);
            self.run(pause);
        }
    }
}

fn play(seed: u64, config: LockConfig) {
    let mut world = World::new(seed, config);
    world.work(secs(5));
    for _ in 0..8 {
        world.fault();
    }
    world.run(secs(20));
    assert!(world.asked.is_empty(), "all operations ended");
    assert!(world.grants > 100, "locks were granted: {}", world.grants);
    let now = world.net.now;
    assert!(world.net.node(0).election(now, CHIEF).is_some_and(|it| it.leader.is_some()));
    assert_eq!(world.net.node(0).id(), id(1));
}

fn config() -> LockConfig {
    let (min_ttl, max_ttl) = (Duration::from_millis(200), secs(5));
    LockConfig { replicas: 3, min_ttl, max_ttl, free_dead: false, ..LockConfig::new(CHIEF) }
}

fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("LOCK_SEEDS").ok().and_then(|count| count.parse().ok());
    1..count.unwrap_or(4)
}

#[test]
fn with_fewer_failures_than_copies_no_two_hold_a_lock_and_tokens_grow() {
    for seed in seeds() {
        play(seed, config());
    }
}

#[test]
fn the_same_with_two_that_remember() {
    for seed in seeds() {
        play(seed + 1_000, LockConfig { replicas: 2, ..config() });
    }
}

#[test]
fn where_the_dead_hold_nothing_tokens_still_grow() {
    for seed in seeds() {
        play(seed + 2_000, LockConfig { free_dead: true, ..config() });
    }
}
