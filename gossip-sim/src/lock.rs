//! The locks that the nodes share, as the scenario says, and what is done with them.

use std::time::Duration;

use gossip_core::LockConfig;
use serde::{Deserialize, Serialize};

use crate::election;
use crate::random::{Purpose, Random};
use crate::scenario::{Share, Span};

/// The name of the pool.
pub(crate) const NAME: &str = "simulated";

/// A pool of locks that all nodes open, and operations on them at even intervals. It takes an election.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Locks {
    /// Time between two operations in the whole cluster, each at a random node that runs.
    pub every: Span,
    /// Different locks.
    pub keys: u32,
    /// Share of the requests for a lock that wait for it.
    pub waits: Share,
    /// Share of the grants that the node extends by itself.
    pub keeps: Share,
    /// The longest time for which an operation is tried.
    pub patience: Span,
    /// The shortest time for which a lock is granted, as in [`LockConfig`].
    pub min_ttl: Span,
    /// The longest.
    pub max_ttl: Span,
    /// When the operations end, since the start. Left out: with the last fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
    /// As in [`LockConfig`]. Left out: 2 or 3, as drawn from the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<usize>,
    /// As in [`LockConfig`]. Left out: as drawn from the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_dead: Option<bool>,
    /// As in [`LockConfig`]. Left out: as drawn from the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_when_founded: Option<bool>,
}

impl Default for Locks {
    fn default() -> Self {
        let share = |value| Share::new(value).unwrap_or_default();
        Self {
            every: Span::millis(100),
            keys: 3,
            waits: share(0.6),
            keeps: share(0.2),
            patience: Span::secs(8),
            min_ttl: Span::secs(1),
            max_ttl: Span::secs(6),
            until: None,
            replicas: None,
            free_dead: None,
            wait_when_founded: None,
        }
    }
}

impl Locks {
    /// The settings of the nodes.
    pub(crate) fn config(&self) -> LockConfig {
        let usual = LockConfig::new(election::NAME);
        LockConfig {
            replicas: self.replicas.unwrap_or(usual.replicas),
            min_ttl: self.min_ttl.duration(),
            max_ttl: self.max_ttl.duration(),
            free_dead: self.free_dead.unwrap_or(usual.free_dead),
            wait_when_founded: self.wait_when_founded.unwrap_or(usual.wait_when_founded),
            ..usual
        }
    }

    /// After what time every grant has run out, by every clock that is wrong by at most this.
    pub(crate) fn longest(&self, max_drift_ppm: u32) -> Duration {
        let span = self.max_ttl.duration() * 9 / 8;
        span + span * max_drift_ppm / 250_000 + Duration::from_micros(2)
    }

    /// Draws what was left to chance.
    pub(crate) fn draw(&mut self, seed: u64) {
        let mut random = Random::keyed(seed, Purpose::Locks, 1);
        let (replicas, free_dead, waits) = (2 + random.below(2), random.below(2) == 0, random.below(4) == 0);
        self.replicas.get_or_insert(replicas as usize);
        self.free_dead.get_or_insert(free_dead);
        self.wait_when_founded.get_or_insert(waits);
    }
}
