//! Broadcasts that are kept for those who missed them: bounded in bytes and time.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use smallvec::SmallVec;

use crate::lane::{Kept, LaneKey, Run};
use crate::time::Instant;

/// What a kept message takes besides its payload.
const OVERHEAD: usize = 256;

/// Messages of one lane that one digest tells of, the newest.
const TOLD: usize = 256;

/// Bytes that a message takes.
pub(super) fn size(kept: &Kept) -> usize {
    kept.parcel.payload.len() + OVERHEAD
}

#[derive(Debug)]
pub(super) struct Store {
    kept: BTreeMap<(LaneKey, u64), Kept>,
    ages: VecDeque<(Instant, LaneKey, u64)>,
    bytes: usize,
    max_bytes: usize,
    keep: Duration,
}

impl Store {
    pub(super) fn new(max_bytes: usize, keep: Duration) -> Self {
        Self { kept: BTreeMap::new(), ages: VecDeque::new(), bytes: 0, max_bytes, keep }
    }

    /// Keeps a message; the oldest give way.
    pub(super) fn keep(&mut self, now: Instant, kept: Kept) {
        let (key, size) = ((kept.parcel.lane, kept.parcel.sequence), size(&kept));
        self.expire(now);
        while self.bytes + size > self.max_bytes && self.drop_oldest() {}
        if self.kept.insert(key, kept).is_none() {
            self.bytes += size;
            self.ages.push_back((now, key.0, key.1));
        }
    }

    pub(super) fn kept(&self, key: LaneKey, sequence: u64) -> Option<&Kept> {
        self.kept.get(&(key, sequence))
    }

    /// How many of the last numbers of a lane, without `next`, are kept.
    pub(super) fn recent(&self, key: LaneKey, next: u64) -> u32 {
        let first = self.kept.range((key, 0)..(key, next)).next();
        first.map_or(0, |(&(_, first), _)| u32::try_from(next - first).unwrap_or(u32::MAX))
    }

    /// Drops what was kept long enough; when there is more to drop.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some(&(since, ..)) = self.ages.front() {
            if since + self.keep > now {
                return Some(since + self.keep);
            }
            self.drop_oldest();
        }
        None
    }

    /// The newest messages of a lane.
    pub(super) fn runs(&self, lane: LaneKey) -> SmallVec<[Run; 4]> {
        let mut runs: SmallVec<[Run; 4]> = SmallVec::new();
        for (&(_, sequence), _) in self.kept.range((lane, 0)..=(lane, u64::MAX)).rev().take(TOLD) {
            match runs.last_mut() {
                Some(run) if run.first == sequence + 1 => {
                    run.first = sequence;
                    run.count += 1;
                }
                _ => runs.push(Run { lane, first: sequence, count: 1 }),
            }
        }
        runs
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, lane, sequence)) = self.ages.pop_front() else { return false };
        if let Some(kept) = self.kept.remove(&(lane, sequence)) {
            self.bytes -= size(&kept);
        }
        true
    }
}
