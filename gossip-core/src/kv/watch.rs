//! What changed in a store, for those who watch.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::fmt;

use bytes::Bytes;

use crate::kv::row::StoreVersion;
use crate::payload::Length;

/// A change of a key that is watched, whoever made it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreChange {
    /// It was written.
    Set {
        /// The name of the store.
        store: Arc<str>,
        /// The key.
        key: Arc<str>,
        /// Its value.
        value: Bytes,
        /// Which write it was.
        version: StoreVersion,
        /// When it ends, in microseconds since 1970.
        expires: Option<u64>,
    },
    /// It was deleted.
    Deleted {
        /// The name of the store.
        store: Arc<str>,
        /// The key.
        key: Arc<str>,
        /// Which write it was; of a deletion that others have forgotten by now, the write that it deleted.
        version: StoreVersion,
    },
    /// Its time was over.
    Expired {
        /// The name of the store.
        store: Arc<str>,
        /// The key.
        key: Arc<str>,
        /// Which write it was that ended.
        version: StoreVersion,
    },
    /// Changes were dropped at this place because they were not polled in time.
    Missed {
        /// How many, in all stores.
        count: u64,
    },
}

impl fmt::Debug for StoreChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, store, key, version) = match self {
            Self::Missed { count } => return f.debug_struct("Missed").field("count", count).finish(),
            Self::Set { store, key, version, .. } => ("Set", store, key, version),
            Self::Deleted { store, key, version } => ("Deleted", store, key, version),
            Self::Expired { store, key, version } => ("Expired", store, key, version),
        };
        let mut change = f.debug_struct(name);
        change.field("store", store).field("key", key).field("version", version);
        if let Self::Set { value, expires, .. } = self {
            change.field("value", &Length(value.len())).field("expires", expires);
        }
        change.finish()
    }
}

/// The prefixes that are watched, and how often.
#[derive(Debug, Default)]
pub(crate) struct Watches(BTreeMap<Arc<str>, usize>);

impl Watches {
    pub(crate) fn add(&mut self, prefix: &str) {
        *self.0.entry(Arc::from(prefix)).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, prefix: &str) {
        if let Some(count) = self.0.get_mut(prefix) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(prefix);
            }
        }
    }

    /// Whether a key is watched.
    pub(super) fn cover(&self, key: &str) -> bool {
        self.0.keys().any(|prefix| key.starts_with(&**prefix))
    }
}

/// Changes that were not polled yet.
#[derive(Debug)]
pub(crate) struct Changes {
    queue: VecDeque<StoreChange>,
    limit: usize,
    missed: u64,
}

impl Changes {
    pub(super) fn new(limit: usize) -> Self {
        Self { queue: VecDeque::new(), limit, missed: 0 }
    }

    pub(super) fn push(&mut self, change: StoreChange) {
        if self.queue.len() >= self.limit {
            self.queue.pop_front();
            self.missed += 1;
        }
        self.queue.push_back(change);
    }

    pub(crate) fn pop(&mut self) -> Option<StoreChange> {
        if self.missed > 0 {
            return Some(StoreChange::Missed { count: core::mem::take(&mut self.missed) });
        }
        self.queue.pop_front()
    }
}
