//! What a member remembers of locks.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::ops::Bound;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::election::Voter;
use crate::lock::Token;
use crate::lock::settings::LONGEST_KEY;
use crate::time::Instant;

/// Whose a grant is: an operation in one life of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) life: Voter,
    pub(crate) op: u64,
}

/// How a lock stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Hold {
    Held {
        owner: Owner,
        token: Token,
    },
    /// It was released by this operation.
    Free {
        by: Owner,
    },
}

/// A record as it travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a str,
    /// When it was written: the later one is greater.
    pub(crate) edition: Token,
    /// For how many microseconds it counts.
    pub(crate) left: u64,
    pub(crate) hold: Hold,
}

impl Entry<'_> {
    /// Whether it can be of any pool.
    pub(super) fn is_valid(&self) -> bool {
        (1..=LONGEST_KEY).contains(&self.key.len())
    }
}

/// What is remembered of a lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) edition: Token,
    pub(super) hold: Hold,
    /// A held lock is free then; word of a free one is forgotten.
    pub(super) until: Instant,
}

impl Record {
    pub(super) fn is_held(&self) -> bool {
        matches!(self.hold, Hold::Held { .. })
    }

    pub(super) fn entry<'a>(&self, now: Instant, key: &'a str) -> Entry<'a> {
        let left = u64::try_from(self.until.saturating_since(now).as_micros()).unwrap_or(u64::MAX);
        Entry { key, edition: self.edition, left, hold: self.hold }
    }
}

/// Whether a record found a place.
#[derive(Debug)]
pub(super) enum Placed {
    Yes,
    /// In place of the one with this key.
    Instead(Arc<str>),
    No,
}

/// The records of one pool, by key and by when they end.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Their ends are kept without what all were put off by.
    records: BTreeMap<Arc<str>, Record>,
    held: BTreeSet<(Instant, Arc<str>)>,
    free: BTreeSet<(Instant, Arc<str>)>,
    late: Duration,
}

impl Shelf {
    pub(super) fn find(&self, key: &str) -> Option<Record> {
        self.records.get(key).map(|record| self.shown(record))
    }

    pub(super) fn held_count(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Keys and records after this key.
    pub(super) fn after(&self, key: &str) -> impl Iterator<Item = (&Arc<str>, Record)> {
        let rest = self.records.range::<str, _>((Bound::Excluded(key), Bound::Unbounded));
        rest.map(|(key, record)| (key, self.shown(record)))
    }

    /// Locks that are held, and by whom.
    pub(super) fn holders(&self) -> impl Iterator<Item = (&Arc<str>, Owner)> {
        self.records.iter().filter_map(|(key, record)| match record.hold {
            Hold::Held { owner, .. } => Some((key, owner)),
            Hold::Free { .. } => None,
        })
    }

    /// Writes a record if there is room: of at most `limit` records, the one of a free lock that ends first gives way.
    pub(super) fn put(&mut self, key: &Arc<str>, record: Record, limit: usize) -> Placed {
        let mut placed = Placed::Yes;
        if self.remove(key).is_none() && self.records.len() >= limit {
            let Some((_, oldest)) = self.free.first().cloned() else { return Placed::No };
            self.remove(&oldest);
            placed = Placed::Instead(oldest);
        }
        let record = Record { until: record.until - self.late, ..record };
        self.order(record.is_held()).insert((record.until, Arc::clone(key)));
        self.records.insert(Arc::clone(key), record);
        placed
    }

    fn remove(&mut self, key: &str) -> Option<Record> {
        let (key, record) = self.records.remove_entry(key)?;
        self.order(record.is_held()).remove(&(record.until, key));
        Some(self.shown(&record))
    }

    /// When the next record ends.
    pub(super) fn due(&self) -> Option<Instant> {
        let first = |order: &BTreeSet<(Instant, Arc<str>)>| order.first().map(|&(at, _)| at + self.late);
        first(&self.held).into_iter().chain(first(&self.free)).min()
    }

    /// Drops a record that has ended, and hands it out with its key.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(Arc<str>, Record)> {
        let now = now - self.late;
        let first = |order: &BTreeSet<(Instant, Arc<str>)>| order.first().filter(|&&(at, _)| at <= now).cloned();
        let (_, key) = first(&self.held).or_else(|| first(&self.free))?;
        let record = self.remove(&key)?;
        Some((key, record))
    }

    /// All records count for longer.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.late = self.late.saturating_add(by);
    }

    fn shown(&self, record: &Record) -> Record {
        Record { until: record.until + self.late, ..*record }
    }

    fn order(&mut self, is_held: bool) -> &mut BTreeSet<(Instant, Arc<str>)> {
        if is_held { &mut self.held } else { &mut self.free }
    }
}
