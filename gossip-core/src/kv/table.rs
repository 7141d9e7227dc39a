//! The rows of a store: by key, by place, and by when something is to be done about them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::ops::Bound;

use crate::kv::row::{Row, place_of};
use crate::kv::tree::Tree;

#[derive(Debug)]
pub(super) struct Table {
    rows: BTreeMap<Arc<str>, Row>,
    tree: Tree,
    deadlines: BTreeSet<(u64, Arc<str>)>,
    bytes: usize,
    values: usize,
    /// For how long what has no value is kept, in microseconds.
    keep: u64,
}

impl Table {
    pub(super) fn new(keep: u64) -> Self {
        let (rows, deadlines) = (BTreeMap::new(), BTreeSet::new());
        Self { rows, tree: Tree::new(), deadlines, bytes: 0, values: 0, keep }
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// All rows, those without a value too.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Those with a value.
    pub(super) fn values(&self) -> usize {
        self.values
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn find(&self, key: &str) -> Option<&Row> {
        self.rows.get(key)
    }

    pub(super) fn find_entry(&self, key: &str) -> Option<(&Arc<str>, &Row)> {
        self.rows.get_key_value(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Row)> + Clone {
        self.rows.iter()
    }

    /// The rows whose keys begin with `prefix` and come after `after`, in order.
    pub(super) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Row)> {
        let from = after.filter(|&after| after >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
        self.rows.range::<str, _>((from, Bound::Unbounded)).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Sets a row; the key as it is kept.
    pub(super) fn set(&mut self, key: &str, row: Row) -> Arc<str> {
        let shared = match self.rows.get_key_value(key) {
            Some((known, _)) => known.clone(),
            None => Arc::from(key),
        };
        self.bytes += row.cost(key);
        self.values += usize::from(row.value.is_some());
        self.tree.set(place_of(key), &shared, row.fingerprint(key));
        if let Some(deadline) = row.deadline(self.keep) {
            self.deadlines.insert((deadline, shared.clone()));
        }
        if let Some(before) = self.rows.insert(shared.clone(), row) {
            let same = before.deadline(self.keep) == self.rows[key].deadline(self.keep);
            self.uncount(&shared, &before, same);
        }
        shared
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<(Arc<str>, Row)> {
        let (key, row) = self.rows.remove_entry(key)?;
        self.tree.remove(place_of(&key), &key);
        self.uncount(&key, &row, false);
        Some((key, row))
    }

    /// The earliest moment at which something is to be done.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// The key of the earliest row about which something is to be done by now.
    pub(super) fn due(&self, unix: u64) -> Option<Arc<str>> {
        let (_, key) = self.deadlines.first().filter(|&&(deadline, _)| deadline <= unix)?;
        Some(key.clone())
    }

    fn uncount(&mut self, key: &Arc<str>, row: &Row, keeps_deadline: bool) {
        self.bytes -= row.cost(key);
        self.values -= usize::from(row.value.is_some());
        if let Some(deadline) = row.deadline(self.keep).filter(|_| !keeps_deadline) {
            self.deadlines.remove(&(deadline, key.clone()));
        }
    }
}
