//! One circle: members sorted by where they stand, as soon as somebody asks.

use alloc::vec::Vec;

use crate::identity::{Address, NodeId};
use crate::membership::{Slot, Table};
use crate::ring::{Point, point_of};

/// From how many newcomers on it is cheaper to sort all than to put each in its place.
const MANY: usize = 16;

/// Slots of different members: four bytes for each.
///
/// A node that never broadcasts, nor hears a broadcast, need not know who stands where; to learn of a member costs it nothing.
#[derive(Debug, Default)]
pub(super) struct Circle {
    /// By point.
    sorted: Vec<Slot>,
    /// In no order.
    fresh: Vec<Slot>,
}

impl Circle {
    pub(super) fn of(slot: Slot) -> Self {
        Self { sorted: Vec::new(), fresh: Vec::from([slot]) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty() && self.fresh.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.sorted.iter().chain(&self.fresh).copied()
    }

    /// All, sorted by point.
    pub(super) fn sorted<A: Address>(&mut self, table: &Table<A>) -> &[Slot] {
        if self.fresh.len() < MANY {
            while let Some(slot) = self.fresh.pop() {
                let index = self.position(slot, table);
                reserve(&mut self.sorted);
                self.sorted.insert(index, slot);
            }
        } else {
            let mut all: Vec<_> = self.iter().map(|slot| (place(slot, table), slot)).collect();
            all.sort_unstable_by_key(|&(place, _)| place);
            self.sorted.clear();
            self.sorted.reserve_exact(all.len());
            self.sorted.extend(all.into_iter().map(|(_, slot)| slot));
            self.fresh = Vec::new();
        }
        &self.sorted
    }

    /// Puts in a member that is not there yet.
    pub(super) fn insert(&mut self, slot: Slot) {
        reserve(&mut self.fresh);
        self.fresh.push(slot);
    }

    pub(super) fn remove<A: Address>(&mut self, slot: Slot, table: &Table<A>) {
        let index = self.position(slot, table);
        if self.sorted.get(index) == Some(&slot) {
            self.sorted.remove(index);
        } else if let Some(index) = self.fresh.iter().position(|&fresh| fresh == slot) {
            self.fresh.swap_remove(index);
        }
    }

    /// Where a member stands, or would, among the sorted.
    fn position<A: Address>(&self, slot: Slot, table: &Table<A>) -> usize {
        let of = place(slot, table);
        self.sorted.partition_point(|&slot| place(slot, table) < of)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn is_in_order<A: Address>(&self, table: &Table<A>) -> bool {
        self.sorted.is_sorted_by_key(|&slot| place(slot, table))
    }

    /// Whether all of these are in it.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn holds(&self, slots: &[Slot]) -> bool {
        slots.iter().all(|slot| self.iter().any(|held| held == *slot))
    }
}

/// Circles of many thousands are common: they grow by an eighth, not to the double.
fn reserve(slots: &mut Vec<Slot>) {
    if slots.len() == slots.capacity() {
        slots.reserve_exact(slots.len() / 8 + 4);
    }
}

fn place<A: Address>(slot: Slot, table: &Table<A>) -> (Point, NodeId) {
    let id = table.member(slot).id;
    (point_of(id), id)
}
