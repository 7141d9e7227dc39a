//! What became of the operations on locks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of the operations on locks, and of the grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests for a lock that got it.
    pub granted: u64,
    /// Those that got it within 100 ms.
    pub granted_at_once: u64,
    /// Requests that found it busy.
    pub busy: u64,
    /// Grants that were extended.
    pub extended: u64,
    /// Grants that were released.
    pub released: u64,
    /// Extensions and releases of what was not held any more.
    pub not_held: u64,
    /// Questions who has a lock that were answered.
    pub queried: u64,
    /// Operations that did not end in time.
    pub timeouts: u64,
    /// Operations that failed for another reason.
    pub failed: u64,
    /// Operations that were given up.
    pub cancelled: u64,
    /// Grants that nodes lost: their time ran out, or they were told so.
    pub lost: u64,
    /// Requests in the end, each of which has to succeed.
    pub probes: u64,
    /// Statements that were to be explained.
    pub statements: u64,
    /// Locks of which it would have taken too long.
    pub unjudged: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { granted, granted_at_once, busy, extended, released, not_held, queried, .. } = self;
        write!(
            f,
            "granted {granted} ({granted_at_once} at once), busy {busy}, extended {extended}, released {released}"
        )?;
        write!(f, ", not held {not_held}, queried {queried}, not in time {}, failed {}", self.timeouts, self.failed)?;
        write!(f, ", given up {}, lost {}, in the end {}", self.cancelled, self.lost, self.probes)?;
        write!(f, "; {} statements, {} locks not judged", self.statements, self.unjudged)
    }
}

impl Counts {
    pub(super) fn granted(&mut self, took: u64) {
        const AT_ONCE: u64 = 100_000;
        self.granted += 1;
        self.granted_at_once += u64::from(took <= AT_ONCE);
    }
}
