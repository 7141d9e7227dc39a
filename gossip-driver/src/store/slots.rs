//! The stores of a node, held by its task; they end with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gossip_core::{Node, StoreChange, StoreConfig};

use crate::store::Opened;
use crate::subscribe::Subscribers;
use crate::{Events, NodeAddress};

/// How often the node is told what the wall clock shows.
const WALL_CLOCK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    /// When the node was told the time of day.
    told: Option<Instant>,
}

#[derive(Debug)]
struct Slot {
    opened: Arc<Opened>,
    /// Those who watch, by prefix.
    watchers: Vec<(Arc<str>, Subscribers<StoreChange>)>,
}

impl Slots {
    pub(crate) fn add(&mut self, opened: Arc<Opened>) {
        self.slots.push(Slot { opened, watchers: Vec::new() });
    }

    /// A store that is open with the same settings.
    pub(crate) fn alike(&self, name: &str, config: &StoreConfig) -> Option<Arc<Opened>> {
        let alike = |slot: &&Slot| *slot.opened.name == *name && slot.opened.config == *config;
        Some(Arc::clone(&self.slots.iter().find(alike)?.opened))
    }

    /// Whether the node is to be told the time of day; it is from then on.
    pub(crate) fn wants_time(&mut self, now: Instant) -> bool {
        let is_old = |told| now.saturating_duration_since(told) >= WALL_CLOCK_EVERY;
        let wants = !self.slots.is_empty() && self.told.is_none_or(is_old);
        if wants {
            self.told = Some(now);
        }
        wants
    }

    /// Lets somebody watch the keys of a store that begin with `prefix`.
    pub(crate) fn watch(
        &mut self,
        (node, now): (&mut Node<NodeAddress>, gossip_core::Instant),
        name: &str,
        prefix: &str,
        alike: impl FnOnce() -> Subscribers<StoreChange>,
    ) -> Option<Events<StoreChange>> {
        let slot = self.slots.iter_mut().find(|slot| *slot.opened.name == *name)?;
        let mut store = node.store_mut(now, name)?;
        // Readers that are gone would else be kept until a key of theirs changes.
        slot.watchers.retain(|(watched, readers)| {
            let is_read = readers.are_there();
            if !is_read {
                store.unwatch(watched);
            }
            is_read
        });
        if let Some((_, readers)) = slot.watchers.iter().find(|(watched, _)| **watched == *prefix) {
            return Some(readers.add().1);
        }
        store.watch(prefix);
        let readers = alike();
        let events = readers.add().1;
        slot.watchers.push((Arc::from(prefix), readers));
        Some(events)
    }

    /// Tells those who watch what changed.
    pub(crate) fn tell(&self, change: &StoreChange) {
        let (StoreChange::Set { store, key, .. }
        | StoreChange::Deleted { store, key, .. }
        | StoreChange::Expired { store, key, .. }) = change
        else {
            // It is not known whose.
            let watchers = self.slots.iter().flat_map(|slot| &slot.watchers);
            return watchers.for_each(|(_, readers)| readers.publish(change));
        };
        let watchers = self.slots.iter().filter(|slot| slot.opened.name == *store).flat_map(|slot| &slot.watchers);
        let fitting = watchers.filter(|(prefix, _)| key.starts_with(&**prefix));
        fitting.for_each(|(_, readers)| readers.publish(change));
    }
}
