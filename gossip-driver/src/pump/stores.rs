//! Key-value stores in the node's task.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use gossip_core::{SnapshotError, StoreConfig, StoreEntry, StoreError, StoreView};

use crate::Runtime;
use crate::pump::Pump;
use crate::store::{Opened, PAGE, Saves, StoreCommand, StoreStats};

impl<R: Runtime> Pump<R> {
    /// Opens a store; one that is open already with the same settings is that one.
    pub(super) fn open_store(
        &mut self,
        now: Instant,
        name: &str,
        config: StoreConfig,
    ) -> Result<Arc<Opened>, StoreError> {
        if let Some(opened) = self.slots.alike(name, &config) {
            return Ok(opened);
        }
        let time = self.clock.read(now);
        self.node.set_wall_clock(time, unix_micros());
        self.node.open_store(time, name, config.clone())?;
        let opened = Arc::new(Opened { name: Arc::from(name), config, saves: Saves::default() });
        self.slots.add(Arc::clone(&opened));
        Ok(opened)
    }

    /// Tells the node the time of day, if a store needs it.
    pub(super) fn tell_wall_clock(&mut self, now: Instant) {
        if self.slots.wants_time(now) {
            self.node.set_wall_clock(self.clock.read(now), unix_micros());
        }
    }

    /// Answers at once: what a store says is compared with nothing else that the node shows. Those who watch are told
    /// first.
    pub(super) fn command_store(&mut self, now: gossip_core::Instant, name: &str, command: StoreCommand) {
        // Stores are asked by those to whom they were opened, and nobody may be waiting for the answer any more.
        match command {
            StoreCommand::Find { key, reply } => {
                let Some(store) = self.node.store(now, name) else { return };
                let _ = reply.send(Ok(store.entry(&key)));
            }
            StoreCommand::Scan { prefix, after, reply } => {
                let Some(store) = self.node.store(now, name) else { return };
                let _ = reply.send(Ok(page(store, &prefix, after.as_deref())));
            }
            StoreCommand::Count { reply } => {
                let Some(store) = self.node.store(now, name) else { return };
                let _ = reply.send(Ok(count(store)));
            }
            StoreCommand::Save { over, opened, reply } => {
                let Some(store) = self.node.store(now, name) else { return };
                let made = snapshot(store, over.as_deref()).map(|snapshot| (opened.saves.number(), snapshot));
                let _ = reply.send(made);
            }
            StoreCommand::Write { key, value, ttl, reply } => {
                let Some(mut store) = self.node.store_mut(now, name) else { return };
                let result = store.set(&key, value, ttl);
                self.tell_store_changes();
                let _ = reply.send(result);
            }
            StoreCommand::Delete { key, reply } => {
                let Some(mut store) = self.node.store_mut(now, name) else { return };
                let result = store.delete(&key);
                self.tell_store_changes();
                let _ = reply.send(result);
            }
            StoreCommand::Load { snapshot, reply } => {
                let Some(mut store) = self.node.store_mut(now, name) else { return };
                let result = store.load(&snapshot);
                self.tell_store_changes();
                let _ = reply.send(result);
            }
            StoreCommand::Watch { prefix, reply } => {
                let alike = || self.shared.subscribers.alike();
                let Some(events) = self.slots.watch((&mut self.node, now), name, &prefix, alike) else { return };
                let _ = reply.send(Ok(events));
            }
        }
    }

    /// Tells those who watch what changed in stores.
    pub(super) fn tell_store_changes(&mut self) {
        while let Some(change) = self.node.poll_store_change() {
            self.slots.tell(&change);
        }
    }
}

fn page(store: StoreView<'_>, prefix: &str, after: Option<&str>) -> Vec<StoreEntry> {
    match after {
        Some(after) => store.scan_after(prefix, after).take(PAGE).collect(),
        None => store.scan(prefix).take(PAGE).collect(),
    }
}

fn count(store: StoreView<'_>) -> StoreStats {
    StoreStats { keys: store.len(), entries: store.entries(), bytes: store.bytes(), fingerprint: store.fingerprint() }
}

fn snapshot(store: StoreView<'_>, over: Option<&[u8]>) -> Result<Bytes, SnapshotError> {
    over.map_or(Ok(()), |head| store.check_snapshot_head(head))?;
    Ok(store.snapshot())
}

/// What the wall clock shows, in microseconds since 1970.
fn unix_micros() -> u64 {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(unix.as_micros()).unwrap_or(u64::MAX)
}
