//! When it is time to compare something of two nodes whose fingerprints differ: not while news is on its way, and less
//! and less often about a difference that cannot be settled.

use core::time::Duration;

use smallvec::SmallVec;

use crate::time::Instant;

/// Differences remembered.
const DISPUTES: usize = 8;

/// Doublings of the pause between exchanges that change nothing.
const DOUBLINGS: u32 = 7;

/// A difference between two tables.
#[derive(Debug)]
struct Dispute {
    /// Theirs, and this node's.
    roots: (u64, u64),
    /// How often it was exchanged about.
    pauses: u32,
    /// Until when it is let rest.
    rests: Instant,
}

#[derive(Debug)]
pub(crate) struct Disputes {
    began: Option<Instant>,
    matched: Instant,
    /// What exchanges were about, the last of them last.
    known: SmallVec<[Dispute; DISPUTES]>,
}

impl Disputes {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: None, matched: now, known: SmallVec::new() }
    }

    /// Fingerprints were the same.
    pub(crate) fn note_match(&mut self, now: Instant) {
        self.matched = now;
    }

    /// An exchange begins.
    pub(crate) fn note_begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// Whether it is time for an exchange about these fingerprints, theirs and this node's. `changed`: when the latter
    /// did so last. `spread`: how long news needs.
    ///
    /// Some differences cannot be settled, for example where a limit is lower at one side. They are asked about less
    /// and less often.
    pub(crate) fn admit(&mut self, now: Instant, roots: (u64, u64), changed: Instant, spread: Duration) -> bool {
        let is_settled = now.saturating_since(changed) >= spread;
        let is_overdue = now.saturating_since(self.matched) >= spread * 8;
        let is_recent = self.began.is_some_and(|began| now.saturating_since(began) < spread);
        if !(is_settled || is_overdue) || is_recent {
            return false;
        }
        let known = self.known.iter().position(|dispute| dispute.roots == roots);
        if known.is_some_and(|index| now < self.known[index].rests) {
            return false;
        }
        if known.is_none() && self.known.len() == DISPUTES {
            self.known.remove(0);
        }
        let pauses = known.map_or(0, |index| self.known.remove(index).pauses);
        let rests = now + spread * (1 << pauses.min(DOUBLINGS));
        self.known.push(Dispute { roots, pauses: pauses + 1, rests });
        true
    }
}
