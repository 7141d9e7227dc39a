//! How much of the member table each asker has drawn lately.
//!
//! A question of fifty bytes draws a whole table. Under a seal only members get so far; without keys everybody with a
//! connection does. So what an asker draws may be ahead of what a slow link carries by a few tables, and what it asks beyond that
//! is dropped: whoever asks in earnest asks again.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::context::Context;
use crate::identity::Address;
use crate::outbox::{BucketSet, Pending, is_set};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::Want;

/// Askers that are remembered; the one that owes least gives way.
const ASKERS: usize = 1_024;

/// Whole tables, and at least bytes, that an asker may be ahead: who joins draws a table, compares it, and asks for the metadata
/// that has changed meanwhile.
const TABLES_AHEAD: usize = 4;
const BYTES_AHEAD: usize = 1 << 20;

/// How long the size of the table is taken for what it was.
const MEASURES_AFTER: Duration = Duration::from_secs(1);

/// What a row takes besides tags and metadata, with an address of version 6.
const ROW: usize = 64;

#[derive(Debug)]
pub(crate) struct Drawn<A> {
    /// When a slow link would have carried to each asker what it drew.
    until: BTreeMap<A, Instant>,
    /// Bytes of the whole table, and until when that is taken for its size.
    table: usize,
    measured_until: Instant,
}

impl<A: Address> Drawn<A> {
    pub(crate) fn new() -> Self {
        Self { until: BTreeMap::new(), table: 0, measured_until: Instant::ZERO }
    }

    fn admits(&self, now: Instant, asker: &A) -> bool {
        let ahead = BYTES_AHEAD.max(self.table.saturating_mul(TABLES_AHEAD));
        self.until.get(asker).is_none_or(|&until| until <= now + transfer(ahead))
    }

    fn note(&mut self, now: Instant, asker: &A, size: usize) {
        if self.until.len() >= ASKERS && !self.until.contains_key(asker) {
            self.make_room(now);
        }
        let until = self.until.entry(asker.clone()).or_insert(now);
        *until = (*until).max(now) + transfer(size);
    }

    fn make_room(&mut self, now: Instant) {
        self.until.retain(|_, until| *until > now);
        if self.until.len() < ASKERS {
            return;
        }
        let least = self.until.iter().min_by_key(|&(_, until)| until).map(|(asker, _)| asker.clone());
        if let Some(least) = least {
            self.until.remove(&least);
        }
    }
}

/// The time that a slow link takes: a microsecond for each byte.
fn transfer(size: usize) -> Duration {
    Duration::from_micros(size as u64)
}

impl<A: Address> Context<A> {
    /// Whether an asker may draw more of the table; otherwise that is counted.
    pub(crate) fn may_draw(&mut self, asker: &A) -> bool {
        if self.is_guarded() {
            return true;
        }
        if self.drawn.measured_until <= self.now {
            let rows = self.table.slots().map(|slot| self.table.member(slot));
            let sizes = rows.map(|member| {
                let tags = member.tags.iter().map(|tag| tag.len() + 1).sum::<usize>();
                ROW + tags + member.metadata.size()
            });
            self.drawn.table = sizes.sum();
            self.drawn.measured_until = self.now + MEASURES_AFTER;
        }
        let may_draw = self.drawn.admits(self.now, asker);
        if !may_draw {
            self.drop(DropReason::Busy);
        }
        may_draw
    }

    /// Sends the whole table to who asks for it, if it may draw that.
    pub(crate) fn draw_table(&mut self, to: &A) {
        if self.may_draw(to) {
            self.note_drawn(to, self.drawn.table);
            self.outbox.push(Pending::Table { to: to.clone(), cursor: 0 });
        }
    }

    /// Sends the rows in some buckets to who may draw them, and asks for those in `wanted`.
    pub(crate) fn draw_rows(&mut self, to: &A, buckets: usize, rows: BucketSet, wanted: Option<BucketSet>) {
        let drawn = self.table.slots().filter(|&slot| is_set(&rows, self.table.bucket_of(slot, buckets)));
        self.note_drawn(to, drawn.count() * ROW);
        self.outbox.push(Pending::Difference { to: to.clone(), buckets, rows, wanted, cursor: 0 });
    }

    /// Sends metadata to who may draw it.
    pub(crate) fn draw_metadata(&mut self, to: &A, wants: Vec<Want>) {
        let drawn = wants.iter().filter_map(|want| {
            let metadata = &self.table.member(self.table.find(want.subject)?).metadata;
            Some(ROW + metadata.size_after(metadata.base_for(want.epoch, want.version)))
        });
        self.note_drawn(to, drawn.sum());
        self.outbox.push(Pending::Metadata { to: to.clone(), wants, cursor: 0 });
    }

    fn note_drawn(&mut self, asker: &A, size: usize) {
        if !self.is_guarded() {
            self.drawn.note(self.now, asker, size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Instant = Instant::from_micros(1_000_000);

    #[test]
    fn who_drew_much_waits_as_long_as_a_slow_link_takes() {
        let mut drawn = Drawn::new();
        drawn.note(AT, &1, BYTES_AHEAD);
        assert!(drawn.admits(AT, &1), "it is not ahead by more");
        drawn.note(AT, &1, 10);
        assert!(!drawn.admits(AT, &1) && drawn.admits(AT, &2));
        assert!(!drawn.admits(AT + Duration::from_micros(9), &1));
        assert!(drawn.admits(AT + Duration::from_micros(10), &1));
    }

    #[test]
    fn a_large_table_may_be_drawn_several_times() {
        let mut drawn = Drawn::new();
        drawn.table = 100 * BYTES_AHEAD;
        for _ in 0..=TABLES_AHEAD {
            assert!(drawn.admits(AT, &1));
            drawn.note(AT, &1, drawn.table);
        }
        assert!(!drawn.admits(AT, &1));
    }

    #[test]
    fn askers_are_bounded_and_who_owes_most_stays() {
        let mut drawn = Drawn::new();
        drawn.note(AT, &0, BYTES_AHEAD + 1);
        for asker in 1..10_000 {
            drawn.note(AT, &asker, 100);
        }
        assert_eq!(drawn.until.len(), ASKERS);
        assert!(!drawn.admits(AT, &0));
    }
}
