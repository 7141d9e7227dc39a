//! How locks are held.

use alloc::string::String;
use core::time::Duration;

use crate::config::{ConfigError, within};
use crate::election::ElectionConfig;
use crate::error::PhaseError;

/// Bytes of the longest key that a pool may allow.
pub(super) const LONGEST_KEY: usize = 255;

/// How a pool of locks is held. All members must use the same settings, but for the bounds: with others it is another
/// pool, even under the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockConfig {
    /// The name of the election whose leader decides. Whoever may lead has to open the pool; those with a vote
    /// should, to remember.
    pub election: String,
    /// How many members, the leader included, remember a grant before anybody is told of it. 1 to 32.
    ///
    /// Grants survive one failure less. More take longer to grant, and as many voters must be there: while there are
    /// fewer nothing is granted, so that with two a node that is alone grants nothing. With one, a leader that follows
    /// one that crashed waits for `max_ttl`.
    pub replicas: usize,
    /// Shortest time for which a lock is granted. 50 ms to 1 h.
    ///
    /// A node looks sixteen times within it whether its clock leapt.
    pub min_ttl: Duration,
    /// Longest time for which a lock is granted. From `min_ttl` to 1 h, and by a quarter shorter than the election's
    /// `bury`.
    ///
    /// A leader that cannot ask enough of those who may remember waits for it.
    pub max_ttl: Duration,
    /// Whether a lock is free when its holder is believed dead, before its time has run out.
    ///
    /// Who is believed dead may be cut off, and think that it holds the lock until its time has run out: only tokens
    /// keep it from doing harm. A holder that left or started again thinks nothing of the kind.
    pub free_dead: bool,
    /// Whether a leader that knows of none before it waits for `max_ttl` before it grants anything.
    ///
    /// A new cluster looks like one whose machines all started again. If that happens, and the leader did not wait,
    /// holders whose grants nobody remembers may count on them while others get the same locks; tokens tell them
    /// apart. With it, the first lock of each new cluster waits.
    pub wait_when_founded: bool,
    /// Most locks that are held at once. 1 to 100,000.
    pub max_locks: usize,
    /// Most operations that wait for one lock. 1 to 10,000.
    pub max_waiters: usize,
    /// Longest key in bytes. 1 to 255.
    pub max_key: usize,
}

impl LockConfig {
    /// Decided by the leader of this election, for a second to half a minute, remembered by two.
    pub fn new(election: impl Into<String>) -> Self {
        Self {
            election: election.into(),
            replicas: 2,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(30),
            free_dead: true,
            wait_when_founded: false,
            max_locks: 10_000,
            max_waiters: 1_000,
            max_key: 255,
        }
    }

    /// Checks every setting that can be checked without the election.
    ///
    /// # Errors
    ///
    /// The first that is out of its range, by name.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const LONGEST: Duration = Duration::from_hours(1);
        within("replicas", &self.replicas, 1..=crate::election::MOST_VOTERS)?;
        within("min_ttl", &self.min_ttl, Duration::from_millis(50)..=LONGEST)?;
        within("max_ttl", &self.max_ttl, self.min_ttl..=LONGEST)?;
        within("max_locks", &self.max_locks, 1..=100_000)?;
        within("max_waiters", &self.max_waiters, 1..=10_000)?;
        within("max_key", &self.max_key, 1..=LONGEST_KEY)
    }

    /// Records that are kept, those of free locks among them: these make sure that a question about a lock that was
    /// released is not acted on again.
    pub(super) fn most_records(&self) -> usize {
        self.max_locks * 2
    }

    /// Records that a new leader takes from others, whose limits may be greater.
    pub(super) fn most_found(&self) -> usize {
        self.most_records() * 4
    }

    /// Whoever lost its vote because it was dead for long remembers nothing that still counts.
    pub(super) fn check_against(&self, election: &ElectionConfig) -> Result<(), ConfigError> {
        let clock = Clock { drift_ppm: election.max_drift_ppm };
        if clock.full(self.max_ttl) <= election.bury {
            return Ok(());
        }
        let reason =
            alloc::format!("{:?} is too long for an election that buries after {:?}", self.max_ttl, election.bury);
        Err(ConfigError { field: "max_ttl", reason })
    }
}

/// How a lock is to be acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockRequest {
    /// For how long, from when it was asked for. From [`LockConfig::min_ttl`] to [`LockConfig::max_ttl`].
    pub ttl: Duration,
    /// For how long to try.
    pub patience: Duration,
    /// Whether to wait for one's turn; otherwise a lock that another one has is
    /// [`LockError::Busy`](crate::LockError::Busy).
    pub waits: bool,
    /// Whether it is extended, each time that a third of `ttl` has passed, until it is released or lost.
    pub keeps: bool,
}

/// How far clocks can be trusted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) drift_ppm: u32,
}

impl Clock {
    /// For how long a holder may count on what it was granted, by its own clock, from before it asked.
    pub(super) fn own(self, ttl: Duration) -> Duration {
        ttl.saturating_sub(self.drift(ttl))
    }

    /// After how long, by another clock, from after it was asked, every holder knows that its time has run out. An
    /// eighth is for a leap of that clock too short to be noticed.
    pub(super) fn full(self, ttl: Duration) -> Duration {
        self.stretch(ttl + ttl / 8)
    }

    /// What a span of another's clock takes at most by this one.
    pub(super) fn stretch(self, span: Duration) -> Duration {
        // (1 + d) / (1 - d) is at most 1 + 4d for d up to a half.
        span + self.drift(span) * 2
    }

    /// Twice the share by which clocks may be wrong.
    fn drift(self, span: Duration) -> Duration {
        span * self.drift_ppm / 500_000 + Duration::from_micros(1)
    }
}

/// A pool of locks cannot be opened. The state is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenLocksError {
    /// A setting is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The name is not 1 to 255 bytes long.
    #[error("the name of a pool must be 1 to 255 bytes long, this one has {length}")]
    Name {
        /// Its length.
        length: usize,
    },
    /// This node does not take part in the election.
    #[error("this node does not take part in the election `{election}`: enter it first")]
    Election {
        /// Its name.
        election: String,
    },
    /// It is open already.
    #[error("this node has opened the pool of locks already")]
    Opened,
    /// This node has opened too many.
    #[error("this node has opened {limit} pools of locks already")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The node is leaving, or lost its id to a rival.
    #[error(transparent)]
    Phase(#[from] PhaseError),
}
