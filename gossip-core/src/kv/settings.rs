//! How large a store may grow, for how long it remembers deletions, and what it refuses.

use core::time::Duration;

use crate::config::{Config, ConfigError, within};
use crate::error::PhaseError;
use crate::hlc::HybridClock;

/// How large a store may grow, and for how long it remembers deletions. All members must use the same `keep`: with
/// another it is another store, even under the same name. Limits should be the same: what is too large for one member
/// stays away from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Longest key in bytes. 1 to 4,096.
    pub max_key: usize,
    /// Largest value in bytes. 0 to what fits a message, with the longest key.
    pub max_value: usize,
    /// Most keys, those included that were deleted within `keep`. 1 to 2³².
    pub max_entries: usize,
    /// Most bytes of keys and values together; each key takes some 250 bytes besides. 1 up to 2⁴⁰.
    pub max_bytes: usize,
    /// For how long a deletion is remembered. 1 s to 365 days, and at least twice `max_ahead`.
    ///
    /// Groups of members that are cut off from each other for longer than this may bring back what the others deleted,
    /// two nodes for example.
    pub keep: Duration,
    /// How far the timestamp of a write may be ahead of this node's wall clock. 1 ms to 24 h.
    ///
    /// Writes of members whose clocks are wrong by more are refused until the time has come.
    pub max_ahead: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            max_key: 1_024,
            max_value: 64 << 10,
            max_entries: 1_000_000,
            max_bytes: 256 << 20,
            keep: Duration::from_hours(2),
            max_ahead: Duration::from_mins(1),
        }
    }
}

impl StoreConfig {
    /// Checks every setting, for a node with this configuration.
    ///
    /// # Errors
    ///
    /// The first that is out of its range, by name.
    pub fn validate(&self, config: &Config) -> Result<(), ConfigError> {
        /// What surrounds key and value where they travel.
        const AROUND: usize = 256;
        within("max_key", &self.max_key, 1..=4_096)?;
        let most = config.max_payload().saturating_sub(self.max_key + AROUND);
        within("max_value", &self.max_value, 0..=most)?;
        within("max_entries", &self.max_entries, 1..=1 << 32)?;
        within("max_bytes", &self.max_bytes, 1..=1 << 40)?;
        HybridClock::new(self.max_ahead)?;
        within("keep", &self.keep, Duration::from_secs(1).max(self.max_ahead * 2)..=Duration::from_hours(24 * 365))
    }
}

/// Something cannot be done with a store. Its state is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A setting is out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The name is not 1 to 255 bytes long.
    #[error("the name of a store must be 1 to 255 bytes long, this one has {length}")]
    Name {
        /// Its length.
        length: usize,
    },
    /// The store is open already.
    #[error("the store is open already, and its settings stay as they are")]
    Open,
    /// The node has no open store with this name.
    #[error("the node has no open store with this name")]
    NotOpen,
    /// The node has too many stores open.
    #[error("{limit} stores are open already")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The node was not told what the wall clock shows.
    #[error("the node does not know the time of day: call set_wall_clock first")]
    NoWallClock,
    /// The key is empty or too long.
    #[error("a key of {length} bytes: expected 1 to {limit}")]
    Key {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The value is too large.
    #[error("a value of {size} bytes: at most {limit} are allowed")]
    Value {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// There are too many keys; those deleted lately count.
    #[error("the store holds {limit} keys already, deleted ones included")]
    Entries {
        /// The limit.
        limit: usize,
    },
    /// Keys and values would take too much.
    #[error("keys and values would take {size} bytes, the limit of the store is {limit}")]
    Full {
        /// Bytes that they would take.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The time to live is out of its range.
    #[error("a time to live of {ttl:?}: expected 1 ms to 3,650 days")]
    Ttl {
        /// What was asked for.
        ttl: Duration,
    },
    /// The store's timestamps are so far ahead of the wall clock that others would refuse the write. The clock was set
    /// back, or this node wrote while it was wrong.
    #[error(
        "the store's clock is {ahead:?} ahead of the wall clock, and others take at most {most:?}: set the wall clock right, or wait"
    )]
    ClockAhead {
        /// By how much.
        ahead: Duration,
        /// What is allowed.
        most: Duration,
    },
    /// The node is leaving, or lost its id to a rival.
    #[error(transparent)]
    Phase(#[from] PhaseError),
}

/// A snapshot cannot be loaded. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It does not begin as a snapshot does.
    #[error("this is not a snapshot of a store")]
    NotOne,
    /// Its format is of another version.
    #[error("the snapshot has format {found}, this version reads format {reads}")]
    Format {
        /// Its format.
        found: u8,
        /// What can be read.
        reads: u8,
    },
    /// It is not as long as it says.
    #[error("the snapshot has {found} bytes of {expected}: it was cut, or something was appended")]
    Length {
        /// What there should be.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// Its checksum does not fit.
    #[error("the checksum of the snapshot is wrong: it was damaged")]
    Checksum,
    /// Its checksum fits, but it does not decode.
    #[error("the snapshot does not decode, though its checksum fits")]
    Malformed,
    /// It is of a store with another name, or one that keeps deletions for another time.
    #[error("the snapshot is of another store: the name, or for how long deletions are kept, differs")]
    OtherStore,
}
