//! How an election is held.

use core::time::Duration;

use crate::config::{ConfigError, within};
use crate::error::PhaseError;
use crate::group::Criteria;

/// How an election is held. All members must use the same criteria, floor, lease and drift: with others it is another election,
/// even under the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionConfig {
    /// Whose metadata fits may vote and lead. Members that fit but do not take part count among those that are seen.
    pub criteria: Criteria,
    /// Votes that a leader needs at the least. 1 to 32.
    ///
    /// A majority of the machines that there will ever be at once makes sure that there are never two leaders, also when a cluster
    /// starts in two halves, or most of its nodes start again. With one, a node that knows nobody leads itself.
    pub floor: usize,
    /// For how long a member that heard from its leader votes for no other. 200 ms to 10 min.
    ///
    /// A leader that crashed is replaced after this time; it says that it leads six times as often.
    pub lease: Duration,
    /// By how much the clocks of members may run fast or slow, in millionths. 0 to 100,000.
    ///
    /// A leader's lease is shorter than the promises of its voters by twice this share.
    pub max_drift_ppm: u32,
    /// How long a member has to follow the leader until it gets a vote. 0 to 24 h.
    pub steady: Duration,
    /// How long a member has to be dead until the leader takes its vote away, those of several one by one. From `lease` to 30 days.
    pub bury: Duration,
}

impl ElectionConfig {
    /// Among all members, for one data centre, with this floor.
    pub fn new(floor: usize) -> Self {
        Self {
            criteria: Criteria::all(),
            floor,
            lease: Duration::from_secs(3),
            max_drift_ppm: 1_000,
            steady: Duration::from_secs(10),
            bury: Duration::from_mins(2),
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// The first that is out of its range, by name.
    pub fn validate(&self) -> Result<(), ConfigError> {
        within("floor", &self.floor, 1..=super::MOST_VOTERS)?;
        within("lease", &self.lease, Duration::from_millis(200)..=Duration::from_mins(10))?;
        within("max_drift_ppm", &self.max_drift_ppm, 0..=100_000)?;
        within("steady", &self.steady, Duration::ZERO..=Duration::from_hours(24))?;
        within("bury", &self.bury, self.lease..=Duration::from_hours(24 * 30))
    }

    /// For how long a voter keeps a promise, by its own clock: longer than anybody relies on it by what may pass unnoticed
    /// when its clock leaps.
    pub(super) fn promise(&self) -> Duration {
        self.lease + self.lease / 8
    }

    /// For how long a leader may rely on promises, by its own clock, from before it asked for them.
    pub(super) fn own_lease(&self) -> Duration {
        self.lease.saturating_sub(self.drift(self.lease))
    }

    /// After how long, by the own clock, every promise made before is over by every clock.
    pub(super) fn full_lease(&self) -> Duration {
        // (1 + d) / (1 - d) is at most 1 + 4d for d up to a half.
        self.promise() + self.drift(self.promise()) * 2
    }

    /// Twice the share by which clocks may be wrong.
    fn drift(&self, span: Duration) -> Duration {
        span * self.max_drift_ppm / 500_000 + Duration::from_micros(1)
    }
}

/// An election cannot be entered. The state is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElectionError {
    /// A setting is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The name is not 1 to 255 bytes long.
    #[error("the name of an election must be 1 to 255 bytes long, this one has {length}")]
    Name {
        /// Its length.
        length: usize,
    },
    /// This node takes part already.
    #[error("this node takes part in the election already")]
    Entered,
    /// This node takes part in too many.
    #[error("this node takes part in {limit} elections already")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The node is leaving, or lost its id to a rival.
    #[error(transparent)]
    Phase(#[from] PhaseError),
}
