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

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::election::Term;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn record(count: u64, is_held: bool, until: u64) -> Record {
        let edition = Token { term: Term::ZERO, count };
        let owner = Owner { life: Term::ZERO.candidate, op: count };
        let hold = if is_held { Hold::Held { owner, token: edition } } else { Hold::Free { by: owner } };
        Record { edition, hold, until: at(until) }
    }

    fn put(shelf: &mut Shelf, key: &str, record: Record) -> Placed {
        shelf.put(&Arc::from(key), record, 3)
    }

    #[test]
    fn records_end_in_order_and_later_when_they_are_put_off() {
        let mut shelf = Shelf::default();
        put(&mut shelf, "a", record(1, true, 30));
        put(&mut shelf, "b", record(2, false, 10));
        shelf.postpone(Duration::from_secs(5));
        put(&mut shelf, "c", record(3, true, 20));
        assert_eq!(shelf.find("b").map(|it| it.until), Some(at(15)));
        assert_eq!(shelf.find("c").map(|it| it.until), Some(at(20)), "what came after that is as it was said");
        assert_eq!((shelf.due(), shelf.held_count()), (Some(at(15)), 2));
        assert!(shelf.expire(at(14)).is_none());
        let ended: Vec<Arc<str>> = core::iter::from_fn(|| shelf.expire(at(35)).map(|(key, _)| key)).collect();
        assert_eq!(ended, [Arc::from("c"), Arc::from("a"), Arc::from("b")]);
        assert!(shelf.is_empty() && shelf.due().is_none());
    }

    #[test]
    fn records_of_free_locks_give_way_and_those_of_held_ones_do_not() {
        let mut shelf = Shelf::default();
        put(&mut shelf, "a", record(1, true, 10));
        put(&mut shelf, "b", record(2, false, 30));
        put(&mut shelf, "c", record(3, false, 20));
        assert!(matches!(put(&mut shelf, "d", record(4, true, 40)), Placed::Instead(key) if *key == *"c"));
        assert!(matches!(put(&mut shelf, "e", record(5, false, 40)), Placed::Instead(key) if *key == *"b"));
        assert!(matches!(put(&mut shelf, "e", record(6, true, 40)), Placed::Yes), "it has its place");
        assert!(matches!(put(&mut shelf, "f", record(7, true, 40)), Placed::No));
        assert!(shelf.find("a").is_some() && shelf.find("f").is_none());
    }
}
