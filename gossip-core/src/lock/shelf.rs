//! What a member remembers of locks.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::ops::Bound;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::election::Voter;
use crate::lock::Token;
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

/// The records of one pool, by key and by when they end.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    records: BTreeMap<Arc<str>, Record>,
    held: BTreeSet<(Instant, Arc<str>)>,
    free: BTreeSet<(Instant, Arc<str>)>,
}

impl Shelf {
    pub(super) fn find(&self, key: &str) -> Option<&Record> {
        self.records.get(key)
    }

    pub(super) fn held_count(&self) -> usize {
        self.held.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Keys and records after this key.
    pub(super) fn after(&self, key: &str) -> impl Iterator<Item = (&Arc<str>, &Record)> {
        self.records.range::<str, _>((Bound::Excluded(key), Bound::Unbounded))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.records.keys()
    }

    /// Writes a record if there is room: of at most `limit` records, those of free locks give way.
    pub(super) fn put(&mut self, key: &Arc<str>, record: Record, limit: usize) -> bool {
        if self.remove(key).is_none() && self.records.len() >= limit {
            let Some((_, oldest)) = self.free.pop_first() else { return false };
            self.records.remove(&oldest);
        }
        self.order(record.is_held()).insert((record.until, Arc::clone(key)));
        self.records.insert(Arc::clone(key), record);
        true
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Record> {
        let (key, record) = self.records.remove_entry(key)?;
        self.order(record.is_held()).remove(&(record.until, key));
        Some(record)
    }

    /// When the next record ends.
    pub(super) fn due(&self) -> Option<Instant> {
        let first = |order: &BTreeSet<(Instant, Arc<str>)>| order.first().map(|&(at, _)| at);
        first(&self.held).into_iter().chain(first(&self.free)).min()
    }

    /// Drops a record that has ended; its key, and whether the lock was held.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(Arc<str>, bool)> {
        for is_held in [true, false] {
            if let Some((_, key)) = self.order(is_held).first().filter(|&&(at, _)| at <= now) {
                let key = Arc::clone(key);
                self.remove(&key);
                return Some((key, is_held));
            }
        }
        None
    }

    /// All records that had not ended `at` count for longer.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.held.clear();
        self.free.clear();
        for (key, record) in &mut self.records {
            record.until = record.until + by;
            let order = if record.is_held() { &mut self.held } else { &mut self.free };
            order.insert((record.until, Arc::clone(key)));
        }
    }

    fn order(&mut self, is_held: bool) -> &mut BTreeSet<(Instant, Arc<str>)> {
        if is_held { &mut self.held } else { &mut self.free }
    }
}
