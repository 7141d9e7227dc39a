//! Bytes held for peers and from peers: counted while they are held, and bounded.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;

/// A number of bytes that several tasks add to and take from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level(Arc<AtomicUsize>);

impl Level {
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds `bytes` unless that would exceed `limit`.
    pub(crate) fn rise(&self, bytes: usize, limit: usize) -> bool {
        let add = |level: usize| level.checked_add(bytes).filter(|&level| level <= limit);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    pub(crate) fn fall(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A frame that waits to be written. It counts until it is dropped, written or not.
pub(crate) struct Queued {
    frame: Bytes,
    link: Level,
    total: Level,
}

/// Why a frame was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// Too much waits for this peer.
    Link,
    /// Too much waits for all peers together.
    Total,
}

impl Queued {
    /// Counts the frame at both levels, within their limits.
    pub(crate) fn new(frame: Bytes, link: (&Level, usize), total: (&Level, usize)) -> Result<Self, Overflow> {
        if !link.0.rise(frame.len(), link.1) {
            return Err(Overflow::Link);
        }
        if !total.0.rise(frame.len(), total.1) {
            link.0.fall(frame.len());
            return Err(Overflow::Total);
        }
        Ok(Self { frame, link: link.0.clone(), total: total.0.clone() })
    }
}

impl AsRef<[u8]> for Queued {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl fmt::Debug for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queued").field("length", &self.frame.len()).finish_non_exhaustive()
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.link.fall(self.frame.len());
        self.total.fall(self.frame.len());
    }
}

/// Memory that each connection may use for the message that is arriving, without asking.
const ALLOWANCE: usize = 64 << 10;

/// The part of that memory which connections can take together that have shown nothing valid.
const OF_STRANGERS: usize = 8;

/// Memory for large messages that are arriving, shared by all connections.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    level: Level,
    limit: usize,
    /// The part of it that connections hold which have shown nothing valid, and the most of that.
    strangers: Level,
    strangers_limit: usize,
}

impl Budget {
    /// One large message fits the part of strangers: a member's new connection may begin with it.
    pub(crate) fn new(limit: usize, max_message: usize) -> Self {
        let strangers_limit = limit.min((limit / OF_STRANGERS).max(max_message));
        Self { level: Level::default(), limit, strangers: Level::default(), strangers_limit }
    }

    /// For a connection that has shown something valid once `is_proven`.
    pub(crate) fn reservation(&self, is_proven: &Arc<AtomicBool>) -> Reservation {
        Reservation { budget: self.clone(), is_proven: Arc::clone(is_proven), held: 0, as_stranger: 0 }
    }
}

/// One connection's part of the budget; given back on drop.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Budget,
    is_proven: Arc<AtomicBool>,
    held: usize,
    /// Of that, what was held before the connection had shown anything.
    as_stranger: usize,
}

impl Reservation {
    /// Makes sure that `bytes` of memory are covered; false if there is no room for them.
    pub(crate) fn cover(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(ALLOWANCE).saturating_sub(self.held);
        if missing == 0 {
            return true;
        }
        let of_stranger = if self.is_proven.load(Ordering::Relaxed) { 0 } else { missing };
        if !self.budget.strangers.rise(of_stranger, self.budget.strangers_limit) {
            return false;
        }
        self.as_stranger += of_stranger;
        let fits = self.budget.level.rise(missing, self.budget.limit);
        if fits {
            self.held += missing;
        }
        fits
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.level.fall(self.held);
        self.budget.strangers.fall(self.as_stranger);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_counts_at_both_levels_until_it_is_dropped() {
        let (link, total) = (Level::default(), Level::default());
        let queue = |length: usize| Queued::new(Bytes::from(vec![0; length]), (&link, 10), (&total, 100));
        let first = queue(6).unwrap();
        assert_eq!(queue(5).unwrap_err(), Overflow::Link);
        let second = queue(4).unwrap();
        assert_eq!((link.bytes(), total.bytes()), (10, 10));
        drop((first, second));
        assert_eq!((link.bytes(), total.bytes()), (0, 0));
    }

    #[test]
    fn a_frame_that_exceeds_the_total_leaves_no_trace() {
        let (link, total) = (Level::default(), Level::default());
        let error = Queued::new(Bytes::from(vec![0; 8]), (&link, 10), (&total, 7)).unwrap_err();
        assert_eq!((error, link.bytes(), total.bytes()), (Overflow::Total, 0, 0));
    }

    #[test]
    fn small_messages_are_free_and_large_ones_share_the_budget() {
        let (budget, proven) = (Budget::new(100, 1), Arc::new(AtomicBool::new(true)));
        let (mut one, mut two) = (budget.reservation(&proven), budget.reservation(&proven));
        assert!(one.cover(ALLOWANCE) && two.cover(ALLOWANCE));
        assert_eq!(budget.level.bytes(), 0);
        assert!(one.cover(ALLOWANCE + 60) && one.cover(ALLOWANCE + 60));
        assert!(!two.cover(ALLOWANCE + 60));
        drop(one);
        assert!(two.cover(ALLOWANCE + 60));
        assert_eq!(budget.level.bytes(), 60);
    }

    #[test]
    fn connections_that_have_shown_nothing_have_a_part_of_the_budget_and_leave_the_rest() {
        let (budget, proven) = (Budget::new(800, 150), Arc::new(AtomicBool::new(true)));
        let stranger = Arc::new(AtomicBool::new(false));
        let (mut one, mut two) = (budget.reservation(&stranger), budget.reservation(&stranger));
        assert!(one.cover(ALLOWANCE + 100) && !two.cover(ALLOWANCE + 60), "150 is more than an eighth");
        let mut member = budget.reservation(&proven);
        assert!(member.cover(ALLOWANCE + 700) && !member.cover(ALLOWANCE + 701));
        // It shows something: what it takes from now on is not a stranger's.
        stranger.store(true, Ordering::Relaxed);
        drop(member);
        assert!(one.cover(ALLOWANCE + 300));
        drop((one, two));
        assert_eq!((budget.level.bytes(), budget.strangers.bytes()), (0, 0));
    }
}
