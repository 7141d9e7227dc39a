//! Replicated key-value stores: every member that opens one has all of it, and the last write of a key counts.
//! `docs/COORDINATION.md` says what that means.

mod reconcile;
mod row;
mod settings;
mod snapshot;
mod store;
mod table;
mod tree;
mod watch;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hasher;
use core::time::Duration;

use bytes::Bytes;
use siphasher::sip::SipHasher24;

use crate::context::Context;
use crate::identity::{Address, Epoch, NodeId};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::Timer;
use crate::wire::{self, StoreRoot, Sync};

pub use row::{StoreEntry, StoreVersion};
pub use settings::{SnapshotError, StoreConfig, StoreError};
pub use snapshot::Loaded;
pub(crate) use snapshot::SNAPSHOT_HEAD;
pub(crate) use store::Store;
pub(crate) use watch::Changes;
pub use watch::StoreChange;

/// Most stores of a node: their fingerprints ride on every probe.
const MOST_STORES: usize = 8;

/// The stores that a node has open.
#[derive(Debug)]
pub(crate) struct Stores {
    stores: Vec<Store>,
    pub(crate) changes: Changes,
}

impl Stores {
    pub(crate) fn new(max_changes: usize) -> Self {
        Self { stores: Vec::new(), changes: Changes::new(max_changes) }
    }

    pub(crate) fn open<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        name: &str,
        config: StoreConfig,
    ) -> Result<(), StoreError> {
        config.validate(&cx.config)?;
        if name.is_empty() || name.len() > 255 {
            return Err(StoreError::Name { length: name.len() });
        }
        if self.find(name).is_some() {
            return Err(StoreError::Open);
        }
        if self.stores.len() >= MOST_STORES {
            return Err(StoreError::TooMany { limit: MOST_STORES });
        }
        let unix = cx.unix_micros().ok_or(StoreError::NoWallClock)?;
        self.stores.push(Store::new(Arc::from(name), config, cx.now, unix)?);
        self.follow(cx);
        Ok(())
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Store> {
        self.stores.iter().find(|store| *store.name == *name)
    }

    pub(crate) fn find_mut(&mut self, name: &str) -> Option<(&mut Store, &mut Changes)> {
        let store = self.stores.iter_mut().find(|store| *store.name == *name)?;
        Some((store, &mut self.changes))
    }

    /// A member told the fingerprint of a store.
    pub(crate) fn handle_root<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        (sender, epoch): (NodeId, Epoch),
        root: StoreRoot,
    ) {
        // Not every member has every store.
        let Some(store) = self.stores.iter_mut().find(|store| store.mark == root.mark) else { return };
        if let Some(unix) = cx.unix_micros().filter(|_| cx.knows(sender, epoch)) {
            store.handle_root(cx, unix, sender, root);
            self.follow(cx);
        }
    }

    /// A step of a comparison came.
    pub(crate) fn handle_sync<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        (sender, epoch): (NodeId, Epoch),
        from: &A,
        sync: &Sync<'_>,
    ) {
        if !cx.knows(sender, epoch) {
            return cx.drop(DropReason::UnknownMember);
        }
        let store = self.stores.iter_mut().find(|store| store.mark == sync.header.mark);
        let (Some(store), Some(unix)) = (store, cx.unix_micros()) else {
            return cx.drop(DropReason::Unexpected);
        };
        store.handle_sync(cx, unix, (sender, from.clone()), sync, &mut self.changes);
        self.follow(cx);
    }

    /// Takes the writes that were broadcast and came since the last call.
    pub(crate) fn handle_writes<A: Address>(&mut self, cx: &mut Context<A>) {
        if cx.writes.is_empty() {
            return;
        }
        for payload in core::mem::take(&mut cx.writes) {
            let Some((mark, row)) = wire::decode_write(&payload) else {
                cx.drop(DropReason::Malformed);
                continue;
            };
            let Some(store) = self.stores.iter_mut().find(|store| store.mark == mark) else { continue };
            let Some(unix) = cx.unix_micros() else { continue };
            if let Err(reason) = store.take(cx.now, unix, &row, &mut self.changes) {
                cx.drop(reason);
            }
        }
        self.follow(cx);
    }

    /// The wall clock was set back.
    pub(crate) fn turn_back(&mut self, now: Instant, unix: u64) {
        for store in &mut self.stores {
            store.turn_back(now, unix);
        }
    }

    /// Lets end what ends by now.
    pub(crate) fn step<A: Address>(&mut self, cx: &mut Context<A>) {
        if let Some(unix) = cx.unix_micros() {
            for store in &mut self.stores {
                store.step(cx.now, unix, &mut self.changes);
            }
        }
        self.follow(cx);
    }

    /// Sets the timer, and what probes tell, to what the stores are now.
    pub(crate) fn follow<A: Address>(&self, cx: &mut Context<A>) {
        let Some(unix) = cx.unix_micros().filter(|_| !self.stores.is_empty()) else { return };
        let next = self.stores.iter().filter_map(|store| store.table.next_deadline()).min();
        let deadline = next.map(|next| cx.now + Duration::from_micros(next.saturating_sub(unix)));
        cx.timers.follow(Timer::Store, deadline);
        cx.store_roots.clear();
        cx.store_roots.extend(self.stores.iter().map(|store| store.root(unix)));
    }
}

/// What is written to a key.
pub(crate) struct Write<'a> {
    pub(crate) key: &'a str,
    /// Nothing deletes it.
    pub(crate) value: Option<Bytes>,
    pub(crate) ttl: Option<Duration>,
}

/// Stores that remember deletions for another time are other stores, whatever they are called.
fn mark_of(name: &str, keep: Duration) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(0, 0);
    hasher.write(name.as_bytes());
    hasher.write(&[0]);
    hasher.write(&store::micros(keep).to_be_bytes());
    hasher.finish()
}
