//! Key-value stores, as the application sees them.

use core::time::Duration;

use bytes::Bytes;

use crate::identity::Address;
use crate::kv::{
    Changes, Loaded, SnapshotError, Store, StoreChange, StoreConfig, StoreEntry, StoreError, StoreVersion, Write,
};
use crate::message::{BroadcastOptions, MessageType};
use crate::node::Node;
use crate::time::Instant;

/// A store, to be read. From [`Node::store`].
#[derive(Clone, Copy, Debug)]
pub struct StoreView<'a> {
    store: &'a Store,
    unix: u64,
}

impl<'a> StoreView<'a> {
    /// How many bytes at the beginning of a snapshot say which store it is of.
    pub const SNAPSHOT_HEAD: usize = crate::kv::SNAPSHOT_HEAD;

    /// What is in a key.
    pub fn entry(&self, key: &str) -> Option<StoreEntry> {
        self.store.entry(key, self.unix)
    }

    /// What is in the keys that begin with `prefix`, in order.
    pub fn scan(&self, prefix: &'a str) -> impl Iterator<Item = StoreEntry> + use<'a> {
        self.store.scan(prefix, None, self.unix)
    }

    /// As [`scan`](Self::scan), from the first key that comes after `after`.
    pub fn scan_after(&self, prefix: &'a str, after: &'a str) -> impl Iterator<Item = StoreEntry> + use<'a> {
        self.store.scan(prefix, Some(after), self.unix)
    }

    /// Number of keys with a value.
    pub fn len(&self) -> usize {
        self.store.counts().0
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of keys that the limit counts: those deleted lately too.
    pub fn entries(&self) -> usize {
        self.store.counts().1
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.store.counts().2
    }

    /// Equal for two nodes whose stores are the same.
    pub fn fingerprint(&self) -> u64 {
        self.store.fingerprint()
    }

    /// The settings.
    pub fn config(&self) -> &'a StoreConfig {
        self.store.config()
    }

    /// All of it in bytes, deletions too, to be kept and handed to [`StoreMut::load`] after a restart.
    pub fn snapshot(&self) -> Bytes {
        self.store.snapshot().into()
    }

    /// Checks the beginning of a file that a snapshot is about to replace.
    ///
    /// # Errors
    ///
    /// It is not that of a snapshot of this store, whatever the rest is.
    pub fn check_snapshot_head(&self, head: &[u8]) -> Result<(), SnapshotError> {
        self.store.check_head(head)
    }
}

/// A store, to be changed. From [`Node::store_mut`].
#[derive(Debug)]
pub struct StoreMut<'a, A: Address> {
    node: &'a mut Node<A>,
    name: &'a str,
}

impl<A: Address> StoreMut<'_, A> {
    /// Writes a key; with a time to live, it ends by itself at all members.
    ///
    /// The write counts at once at this node, and is told to all others. Of two writes of one key the later one counts,
    /// by their versions.
    ///
    /// # Errors
    ///
    /// The state is unchanged if key, value or time to live is out of its range, the store is full, its clock is too
    /// far ahead, or the node is not active.
    pub fn set(&mut self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<StoreVersion, StoreError> {
        self.write(Write { key, value: Some(value), ttl })
    }

    /// Deletes a key; `None` if there is nothing in it.
    ///
    /// # Errors
    ///
    /// The state is unchanged if the store's clock is too far ahead, or the node is not active.
    pub fn delete(&mut self, key: &str) -> Result<Option<StoreVersion>, StoreError> {
        let unix = self.node.cx.unix_micros().ok_or(StoreError::NoWallClock)?;
        let is_there = self.store().0.has(key, unix);
        if is_there { self.write(Write { key, value: None, ttl: None }).map(Some) } else { Ok(None) }
    }

    /// Takes what a snapshot holds and this node lacks. The others hear of it by comparison.
    ///
    /// Load it before the node joins, or early: a node that was away for longer than [`StoreConfig::keep`] then learns
    /// what was deleted.
    ///
    /// # Errors
    ///
    /// Nothing was taken: it is not a snapshot of this store, was cut or damaged, or is of another format.
    pub fn load(&mut self, snapshot: &[u8]) -> Result<Loaded, SnapshotError> {
        let (now, unix) = (self.node.cx.now, self.node.cx.unix_micros().unwrap_or(0));
        let (store, changes) = self.store();
        let loaded = store.load(now, unix, snapshot, changes)?;
        self.node.stores.follow(&mut self.node.cx);
        Ok(loaded)
    }

    /// From now on, [`Node::poll_store_change`] tells of changes of keys that begin with `prefix`.
    pub fn watch(&mut self, prefix: &str) {
        self.store().0.watches().add(prefix);
    }

    /// Ends one [`watch`](Self::watch) of this prefix.
    pub fn unwatch(&mut self, prefix: &str) {
        self.store().0.watches().remove(prefix);
    }

    fn store(&mut self) -> (&mut Store, &mut Changes) {
        self.node.stores.find_mut(self.name).expect("a store is never closed, and this one was there")
    }

    fn write(&mut self, write: Write<'_>) -> Result<StoreVersion, StoreError> {
        let node = &mut *self.node;
        node.cx.check_active()?;
        let unix = node.cx.unix_micros().ok_or(StoreError::NoWallClock)?;
        let (writer, now, key) = ((node.cx.id(), node.cx.incarnation().epoch), node.cx.now, write.key);
        let (store, changes) = node.stores.find_mut(self.name).ok_or(StoreError::NotOpen)?;
        let version = store.write(now, unix, writer, write, changes)?;
        let payload = store.tell(key);
        node.stores.follow(&mut node.cx);
        // What finds no room goes by comparison.
        if let Some(payload) = payload.filter(|payload| node.cx.mail.admit_any(payload.len()).is_ok()) {
            node.broadcaster.begin(&mut node.cx, MessageType::STORE, payload.into(), BroadcastOptions::new());
        }
        Ok(version)
    }
}

impl<A: Address> Node<A> {
    /// Tells what the wall clock shows, in microseconds since 1970-01-01 UTC; from then on it goes with `now`. Call it
    /// whenever the two may have come apart, once a second say. Stores need it.
    pub fn set_wall_clock(&mut self, now: Instant, unix_micros: u64) {
        self.advance(now);
        let before = self.cx.unix_micros();
        self.cx.wall = Some((self.cx.now, unix_micros));
        if before.is_some_and(|before| before > unix_micros) {
            self.stores.turn_back(self.cx.now, unix_micros);
        }
        self.stores.follow(&mut self.cx);
    }

    /// Opens a key-value store, as long as the node runs. All members that open one of this name have all of it.
    ///
    /// # Errors
    ///
    /// The state is unchanged if a setting is out of its range, the name is not 1 to 255 bytes long, the store or 8
    /// others are open already, the node does not know the time of day, or it is not active.
    pub fn open_store(&mut self, now: Instant, name: &str, config: StoreConfig) -> Result<(), StoreError> {
        self.advance(now);
        self.cx.check_active()?;
        self.stores.open(&mut self.cx, name, config)
    }

    /// A store that was opened.
    pub fn store(&self, now: Instant, name: &str) -> Option<StoreView<'_>> {
        Some(StoreView { store: self.stores.find(name)?, unix: self.cx.unix_at(now)? })
    }

    /// A store that was opened, to be changed.
    pub fn store_mut<'a>(&'a mut self, now: Instant, name: &'a str) -> Option<StoreMut<'a, A>> {
        self.advance(now);
        self.stores.find(name)?;
        Some(StoreMut { node: self, name })
    }

    /// The next change of a key that is watched, if any. At most [`Config::max_events`](crate::Config::max_events) are
    /// kept.
    pub fn poll_store_change(&mut self) -> Option<StoreChange> {
        self.stores.changes.pop()
    }
}
