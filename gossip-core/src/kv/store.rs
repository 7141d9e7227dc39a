//! One store: which write of a key counts, what is refused, and what ends when.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::hlc::HybridClock;
use crate::identity::{Epoch, NodeId};
use crate::kv::Write;
use crate::kv::reconcile::Reconciler;
use crate::kv::row::{Row, StoreEntry, StoreVersion};
use crate::kv::settings::{StoreConfig, StoreError};
use crate::kv::table::Table;
use crate::kv::watch::{Changes, StoreChange, Watches};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::{StoreRoot, StoreRow, encode_write};

/// Rows that one call lets end; the rest waits for the next.
const ENDS: usize = 1_000;

/// Longest time to live.
const LONGEST: Duration = Duration::from_hours(24 * 3_650);

#[derive(Debug)]
pub(crate) struct Store {
    pub(super) name: Arc<str>,
    pub(super) mark: u64,
    pub(super) config: StoreConfig,
    pub(super) table: Table,
    pub(super) clock: HybridClock,
    pub(super) watches: Watches,
    pub(super) reconciler: Reconciler,
    /// When the table changed last.
    pub(super) changed: Instant,
    /// Since when this node knows of all deletions, in microseconds since 1970.
    pub(super) since: u64,
    /// When its table was last known to have been shared with another node, in microseconds since 1970.
    pub(super) shared: u64,
    /// Rows that this node was the first to have, until now …
    pub(super) own: u64,
    /// … and until the moment when the table was last known to have been shared.
    pub(super) own_shared: u64,
}

impl Store {
    /// `unix`: what the wall clock shows, in microseconds since 1970, as everywhere here.
    pub(super) fn new(
        name: Arc<str>,
        config: StoreConfig,
        now: Instant,
        unix: u64,
    ) -> Result<Self, crate::config::ConfigError> {
        Ok(Self {
            mark: super::mark_of(&name, config.keep),
            name,
            table: Table::new(micros(config.keep)),
            clock: HybridClock::new(config.max_ahead)?,
            watches: Watches::default(),
            reconciler: Reconciler::new(now),
            changed: now,
            since: unix,
            shared: unix,
            own: 0,
            own_shared: 0,
            config,
        })
    }

    pub(super) fn root(&self, unix: u64) -> StoreRoot {
        StoreRoot { mark: self.mark, root: self.table.tree().root(), since: self.told_since(unix), answers: false }
    }

    /// Since when this node knows of all deletions, as it is told: a node that was away for too long does not.
    pub(super) fn told_since(&self, unix: u64) -> u32 {
        let since = if self.is_outdated(unix) { unix } else { self.since };
        u32::try_from(since.div_ceil(1_000_000)).unwrap_or(u32::MAX)
    }

    /// Whether deletions may have been forgotten elsewhere that this node has not heard of, by clocks that may differ
    /// from that of who deleted, and that one from this node's.
    pub(super) fn is_outdated(&self, unix: u64) -> bool {
        let (keep, ahead) = (micros(self.config.keep), micros(self.config.max_ahead));
        unix.saturating_sub(self.shared) >= keep - (2 * ahead).min(keep / 2)
    }

    /// Writes a key, or deletes it.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        unix: u64,
        (writer, epoch): (NodeId, Epoch),
        write: Write<'_>,
        changes: &mut Changes,
    ) -> Result<StoreVersion, StoreError> {
        let Write { key, value, ttl } = write;
        self.admit_key(key)?;
        let size = value.as_ref().map_or(0, Bytes::len);
        if size > self.config.max_value {
            return Err(StoreError::Value { size, limit: self.config.max_value });
        }
        if let Some(ttl) = ttl.filter(|ttl| !(Duration::from_millis(1)..=LONGEST).contains(ttl)) {
            return Err(StoreError::Ttl { ttl });
        }
        if value.is_some() {
            self.admit_size(key, size)?;
        }
        let ahead = Duration::from_micros(self.clock.last().unix_micros().saturating_sub(unix));
        if ahead > self.config.max_ahead {
            return Err(StoreError::ClockAhead { ahead, most: self.config.max_ahead });
        }
        let version = StoreVersion { stamp: self.clock.tick(unix), writer, epoch };
        let expires = ttl.map(|ttl| unix.saturating_add(micros(ttl)));
        let own = self.next_own();
        self.put(now, unix, key, Row { version, expires, value, own }, changes);
        Ok(version)
    }

    /// A key's row, as it is told to others.
    pub(crate) fn tell(&self, key: &str) -> Option<Vec<u8>> {
        Some(encode_write(self.mark, &self.table.find(key)?.wire(key)))
    }

    /// Whether there is something in a key.
    pub(crate) fn has(&self, key: &str, unix: u64) -> bool {
        self.table.find(key).is_some_and(|row| row.is_live(unix))
    }

    /// What is in a key.
    pub(crate) fn entry(&self, key: &str, unix: u64) -> Option<StoreEntry> {
        let (key, row) = self.table.find_entry(key)?;
        entry_of(key, row, unix)
    }

    /// What is in the keys that begin with `prefix` and come after `after`, in order.
    pub(crate) fn scan<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        unix: u64,
    ) -> impl Iterator<Item = StoreEntry> + use<'a> {
        self.table.with_prefix(prefix, after).filter_map(move |(key, row)| entry_of(key, row, unix))
    }

    /// Keys with a value, all keys, and the bytes of all.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.table.values(), self.table.len(), self.table.bytes())
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.table.tree().root()
    }

    pub(crate) fn config(&self) -> &StoreConfig {
        &self.config
    }

    pub(crate) fn watches(&mut self) -> &mut Watches {
        &mut self.watches
    }

    /// Takes a write from elsewhere; whether it was news.
    pub(super) fn take(
        &mut self,
        now: Instant,
        unix: u64,
        row: &StoreRow<'_>,
        changes: &mut Changes,
    ) -> Result<bool, DropReason> {
        // Others have it, or had it.
        self.take_as(now, unix, row, 0, changes)
    }

    /// The same, with its number if it is this node's own.
    pub(super) fn take_as(
        &mut self,
        now: Instant,
        unix: u64,
        row: &StoreRow<'_>,
        own: u64,
        changes: &mut Changes,
    ) -> Result<bool, DropReason> {
        let (key, size) = (row.key, row.value.map_or(0, <[u8]>::len));
        if self.admit_key(key).is_err() || size > self.config.max_value {
            return Err(DropReason::StoreEntryTooLarge);
        }
        // What a clock that is wrong left of a value, or made of its end.
        let longest = if row.value.is_some() { micros(LONGEST) } else { 0 };
        if row.expires.is_some_and(|end| self.is_to_come(unix.saturating_add(longest), end)) {
            return Err(DropReason::StoreClockAhead);
        }
        let keep = micros(self.config.keep);
        let mut row = Row { own, ..Row::of(row) };
        if row.expires.is_some_and(|expires| expires <= unix) {
            row.value = None;
        }
        match self.table.find(key) {
            Some(known) if known.version >= row.version => return Ok(false),
            // What is about to be forgotten is not remembered anew.
            None if row.value.is_none() && row.reaped(keep) <= unix => return Ok(false),
            _ => {}
        }
        if self.admit_size(key, size).is_err() && (row.value.is_some() || self.table.find(key).is_none()) {
            return Err(DropReason::StoreFull);
        }
        self.clock.receive(unix, row.version.stamp).map_err(|_| DropReason::StoreClockAhead)?;
        self.put(now, unix, key, row, changes);
        Ok(true)
    }

    pub(super) fn next_own(&mut self) -> u64 {
        self.own += 1;
        self.own
    }

    /// Whether another node has, or had, a row.
    pub(super) fn is_shared(&self, row: &Row) -> bool {
        row.own <= self.own_shared
    }

    fn admit_key(&self, key: &str) -> Result<(), StoreError> {
        let (length, limit) = (key.len(), self.config.max_key);
        if (1..=limit).contains(&length) { Ok(()) } else { Err(StoreError::Key { length, limit }) }
    }

    fn admit_size(&self, key: &str, size: usize) -> Result<(), StoreError> {
        let known = self.table.find(key);
        if known.is_none() && self.table.len() >= self.config.max_entries {
            return Err(StoreError::Entries { limit: self.config.max_entries });
        }
        let before = known.map_or(0, |row| row.cost(key));
        let (after, limit) = (self.table.bytes() - before + key.len() + size, self.config.max_bytes);
        if after > limit && key.len() + size > before {
            return Err(StoreError::Full { size: after, limit });
        }
        Ok(())
    }

    fn put(&mut self, now: Instant, unix: u64, key: &str, row: Row, changes: &mut Changes) {
        let was_live = self.table.find(key).is_some_and(|row| row.is_live(unix));
        let (version, expires, value) = (row.version, row.expires, row.value.clone());
        let key = self.table.set(key, row);
        self.changed = now;
        if !self.watches.cover(&key) {
            return;
        }
        let store = self.name.clone();
        match value {
            Some(value) => changes.push(StoreChange::Set { store, key, value, version, expires }),
            None if was_live => changes.push(StoreChange::Deleted { store, key, version }),
            None => {}
        }
    }

    /// Deletes a row without a trace, because others have deleted and forgotten it.
    pub(super) fn discard(&mut self, now: Instant, key: &str, changes: &mut Changes) {
        let Some((key, row)) = self.table.remove(key) else { return };
        self.changed = now;
        if row.value.is_some() && self.watches.cover(&key) {
            changes.push(StoreChange::Deleted { store: self.name.clone(), key, version: row.version });
        }
    }

    /// The wall clock was set back: what is noted for a time that is still to come was noted while it was wrong.
    pub(super) fn turn_back(&mut self, now: Instant, unix: u64) {
        if self.is_to_come(unix, self.shared) {
            self.shared = unix;
        }
        if self.is_to_come(unix, self.since) {
            self.since = unix;
        }
        // Values that ended are gone here; others, whose clocks were right, have them and are asked for them.
        let ended_early = |row: &Row| row.value.is_none() && row.expires.is_some_and(|end| self.is_to_come(unix, end));
        let lost = self.table.iter().filter(|(_, row)| ended_early(row)).map(|(key, _)| key.clone());
        for key in lost.collect::<Vec<Arc<str>>>() {
            self.table.remove(&key);
            self.changed = now;
        }
    }

    /// Whether a time is further ahead of the wall clock than clocks may differ.
    fn is_to_come(&self, unix: u64, time: u64) -> bool {
        time > unix.saturating_add(micros(self.config.max_ahead))
    }

    /// Lets end what ends by now, and forgets what was kept for long enough.
    pub(super) fn step(&mut self, now: Instant, unix: u64, changes: &mut Changes) {
        for _ in 0..ENDS {
            let Some(key) = self.table.due(unix) else { return };
            let Some(mut row) = self.table.find(&key).cloned() else { return };
            if row.value.take().is_none() {
                self.table.remove(&key);
                self.changed = now;
                continue;
            }
            let version = row.version;
            let key = self.table.set(&key, row);
            if self.watches.cover(&key) {
                changes.push(StoreChange::Expired { store: self.name.clone(), key, version });
            }
        }
    }
}

fn entry_of(key: &Arc<str>, row: &Row, unix: u64) -> Option<StoreEntry> {
    let value = row.value.clone().filter(|_| row.is_live(unix))?;
    Some(StoreEntry { key: key.clone(), value, version: row.version, expires: row.expires })
}

pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_no_write_can_have_is_refused() {
        const UNIX: u64 = 1_800_000_000_000_000;
        let config = StoreConfig::default();
        let latest = UNIX + micros(LONGEST) + micros(config.max_ahead);
        let (now, mut changes) = (Instant::ZERO, Changes::new(8));
        let mut store = Store::new(Arc::from("shared"), config, now, UNIX).expect("the settings are valid");
        let writer = NodeId::from_u128(1);
        let row = |expires| StoreRow {
            key: "key",
            stamp: 1,
            writer,
            epoch: Epoch::from_u64(1),
            expires: Some(expires),
            value: Some(b"x"),
        };
        assert_eq!(store.take(now, UNIX, &row(latest + 1), &mut changes), Err(DropReason::StoreClockAhead));
        assert!(!store.has("key", UNIX));
        assert_eq!(store.take(now, UNIX, &row(latest), &mut changes), Ok(true));
        assert!(store.has("key", UNIX));
    }
}
