//! Versioned key-values that a node says of itself.
//!
//! Each node alone writes its own map, so a counter orders the changes and no clock is needed. A deletion leaves its
//! version behind, and others ask for everything after the version they have.

mod value;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::error::MetadataError;
use crate::identity::Epoch;
use crate::wire::{Delta, Entry};

pub use value::Value;
pub(crate) use value::ValueRef;

/// Longest key in bytes.
pub(crate) const MAX_KEY: usize = 255;

/// Deletions remembered one by one; whoever is further behind gets the whole map.
const DELETIONS_KEPT: usize = 64;

/// Bytes charged for each entry besides its key and value.
const ENTRY_OVERHEAD: usize = 16;

/// The metadata of one member. Cloning is cheap: the map is shared until it changes.
#[derive(Clone, Default)]
pub struct Metadata {
    /// Absent until something is known.
    map: Option<Arc<Map>>,
}

#[derive(Clone)]
struct Map {
    epoch: Epoch,
    version: u64,
    /// Deletions up to this version may have been forgotten.
    horizon: u64,
    entries: BTreeMap<String, Stored>,
    deletions: usize,
    size: usize,
}

#[derive(Clone)]
struct Stored {
    version: u64,
    value: Option<Value>,
}

impl Metadata {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { map: Some(Arc::new(Map::new(epoch, 0))) }
    }

    /// The value stored under `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.as_ref()?.entries.get(key)?.value.as_ref()
    }

    /// The value under `key` as a truth value: stored as one, a number other than zero, or the text `true` or `false`.
    pub fn bool(&self, key: &str) -> Option<bool> {
        self.get(key)?.to_bool()
    }

    /// The value under `key` as a whole number: stored as one, as a number or time without a fraction, or as text.
    pub fn int(&self, key: &str) -> Option<i64> {
        self.get(key)?.to_int()
    }

    /// The value under `key` as a number.
    pub fn float(&self, key: &str) -> Option<f64> {
        self.get(key)?.to_float()
    }

    /// The value under `key` if it is text; use `to_string` on the [`Value`] to format any kind.
    pub fn str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// The value under `key` as a time, in microseconds since 1970-01-01 UTC.
    pub fn time(&self, key: &str) -> Option<i64> {
        self.get(key)?.to_time()
    }

    /// The value under `key` as bytes: stored as bytes, or the bytes of a text.
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.get(key)?.as_bytes()
    }

    /// Keys and values, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let entries = self.map.iter().flat_map(|map| &map.entries);
        entries.filter_map(|(key, stored)| Some((key.as_str(), stored.value.as_ref()?)))
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.map.as_ref().map_or(0, |map| map.entries.len() - map.deletions)
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of changes since the node started; it grows with every change.
    pub fn version(&self) -> u64 {
        self.map.as_ref().map_or(0, |map| map.version)
    }

    /// Bytes of keys, values and bookkeeping, counted against [`Config::max_metadata`](crate::Config::max_metadata).
    pub fn size(&self) -> usize {
        self.map.as_ref().map_or(0, |map| map.size)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.map.as_ref().map_or(Epoch::default(), |map| map.epoch)
    }

    /// Moves the node's own map to a later epoch, as a change of its own.
    pub(crate) fn renew(&mut self, epoch: Epoch) {
        let map = self.own();
        map.epoch = epoch;
        map.version += 1;
    }

    /// Marks the map as changed without touching a key: it makes peers fetch what came with the first version.
    pub(crate) fn touch(&mut self) {
        self.own().version += 1;
    }

    fn own(&mut self) -> &mut Map {
        let map = self.map.get_or_insert_with(|| Arc::new(Map::new(Epoch::default(), 0)));
        Arc::make_mut(map)
    }

    /// Sets a key of the node's own map; tells whether anything changed.
    pub(crate) fn set(&mut self, key: &str, value: Value, limit: usize) -> Result<bool, MetadataError> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(MetadataError::Key { length: key.len() });
        }
        if self.get(key) == Some(&value) {
            return Ok(false);
        }
        let previous = self.map.as_ref().and_then(|map| map.entries.get(key)).map_or(0, |stored| stored.cost(key));
        let size = self.size() - previous + cost(key, Some(&value));
        if size > limit {
            return Err(MetadataError::TooLarge { size, limit });
        }
        let map = self.own();
        map.version += 1;
        let version = map.version;
        map.store(key, Stored { version, value: Some(value) });
        Ok(true)
    }

    /// Removes a key of the node's own map; tells whether it was there.
    pub(crate) fn remove(&mut self, key: &str) -> bool {
        if self.get(key).is_none() {
            return false;
        }
        let map = self.own();
        map.version += 1;
        let version = map.version;
        map.store(key, Stored { version, value: None });
        map.forget_old_deletions();
        true
    }

    /// The version to count from when telling somebody who has `version` of `epoch`: zero means the whole map.
    pub(crate) fn base_for(&self, epoch: Epoch, version: u64) -> u64 {
        let is_known = |map: &Arc<Map>| epoch == map.epoch && (map.horizon..=map.version).contains(&version);
        if self.map.as_ref().is_some_and(is_known) { version } else { 0 }
    }

    /// Entries that changed after `base`, deletions included unless the whole map is told.
    pub(crate) fn entries_after(&self, base: u64) -> impl Iterator<Item = Entry<'_>> {
        self.map
            .iter()
            .flat_map(|map| &map.entries)
            .filter(move |(_, stored)| stored.version > base && (base > 0 || stored.value.is_some()))
            .map(|(key, stored)| Entry {
                key,
                version: stored.version,
                value: stored.value.as_ref().map(Value::as_ref),
            })
    }

    /// Bytes of the entries that changed after `base`.
    pub(crate) fn size_after(&self, base: u64) -> usize {
        let entries = self.map.iter().flat_map(|map| &map.entries);
        entries.filter(|(_, stored)| stored.version > base).map(|(key, stored)| stored.cost(key)).sum()
    }

    /// Takes over what another node told, if it follows on what is here; the keys that changed, or why not.
    pub(crate) fn apply(&mut self, delta: &Delta<'_>, limit: usize) -> Result<Vec<String>, Refused> {
        let have = (self.epoch(), self.version());
        if (delta.epoch, delta.version) <= have {
            return Err(Refused::Known);
        }
        if delta.base > 0 && (delta.epoch != self.epoch() || delta.base > self.version()) {
            return Err(Refused::Gap);
        }
        let mut next = match &self.map {
            Some(map) if delta.base > 0 => Map::clone(map),
            _ => Map::new(delta.epoch, delta.version),
        };
        for entry in delta.entries.clone() {
            let known = next.entries.get(entry.key).is_some_and(|stored| stored.version >= entry.version);
            if known {
                continue;
            }
            let value = entry.value.map(ValueRef::to_owned);
            next.store(entry.key, Stored { version: entry.version, value });
        }
        if next.size > limit {
            return Err(Refused::TooLarge);
        }
        next.version = delta.version;
        next.forget_old_deletions();
        let next = Self { map: Some(Arc::new(next)) };
        let changed = changed_keys(self, &next);
        *self = next;
        Ok(changed)
    }
}

/// Why a delta was not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It tells nothing new.
    Known,
    /// Something before it is missing here.
    Gap,
    /// It would exceed the limit.
    TooLarge,
}

impl Map {
    fn new(epoch: Epoch, horizon: u64) -> Self {
        Self { epoch, version: 0, horizon, entries: BTreeMap::new(), deletions: 0, size: 0 }
    }

    fn store(&mut self, key: &str, stored: Stored) {
        let is_deletion = stored.value.is_none();
        self.size += stored.cost(key);
        self.deletions += usize::from(is_deletion);
        if let Some(previous) = self.entries.insert(key.to_owned(), stored) {
            self.size -= previous.cost(key);
            self.deletions -= usize::from(previous.value.is_none());
        }
    }

    fn forget_old_deletions(&mut self) {
        let excess = self.deletions.saturating_sub(DELETIONS_KEPT);
        if excess == 0 {
            return;
        }
        let deleted = self.entries.iter().filter(|(_, stored)| stored.value.is_none());
        let mut deleted: Vec<(u64, String)> = deleted.map(|(key, stored)| (stored.version, key.clone())).collect();
        deleted.sort_unstable();
        for (version, key) in deleted.into_iter().take(excess) {
            self.entries.remove(&key);
            self.deletions -= 1;
            self.horizon = self.horizon.max(version);
        }
    }
}

impl Stored {
    fn cost(&self, key: &str) -> usize {
        cost(key, self.value.as_ref())
    }
}

/// Deletions cost nothing: their number is bounded, and an empty map must have room for a value.
fn cost(key: &str, value: Option<&Value>) -> usize {
    value.map_or(0, |value| ENTRY_OVERHEAD + key.len() + value.size())
}

fn changed_keys(before: &Metadata, after: &Metadata) -> Vec<String> {
    let gone = before.iter().filter(|(key, _)| after.get(key).is_none());
    let set = after.iter().filter(|&(key, value)| before.get(key) != Some(value));
    let mut keys: Vec<String> = gone.chain(set).map(|(key, _)| key.to_owned()).collect();
    keys.sort_unstable();
    keys
}

impl PartialEq for Metadata {
    /// Whether both hold the same keys with the same values, whatever their history.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests;
