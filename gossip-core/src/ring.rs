//! The live members in a circle, in the order of a hash of their ids; and for each tag the circle of those who have it.
//!
//! A broadcast travels by arcs of a circle. Everybody hashes alike, so an arc means the same everywhere, whoever is known where.

mod arc;
mod circle;

use core::hash::Hasher;

use alloc::collections::BTreeMap;
use alloc::string::String;

use siphasher::sip::SipHasher24;

use crate::context::Context;
use crate::identity::{Address, NodeId, Tags};
use crate::membership::{Slot, Table};
use crate::ring::circle::Circle;

pub(crate) use arc::{Arc, Arcs, choose_in, split};

/// A place on the circle.
pub(crate) type Point = u32;

/// Where a node stands: the high half of SipHash-2-4 of its id with an all-zero key.
pub(crate) fn point_of(id: NodeId) -> Point {
    let mut hasher = SipHasher24::new();
    hasher.write(id.as_bytes());
    (hasher.finish() >> 32) as Point
}

/// The other live members, and those with each tag.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    all: Circle,
    tagged: BTreeMap<String, Circle>,
}

impl Ring {
    /// Those with this tag, or all if it is empty, sorted by point.
    pub(crate) fn members<A: Address>(&mut self, tag: &str, table: &Table<A>) -> &[Slot] {
        let circle = if tag.is_empty() { Some(&mut self.all) } else { self.tagged.get_mut(tag) };
        circle.map_or(&[], |circle| circle.sorted(table))
    }

    /// Those with this tag, in no particular order.
    pub(crate) fn tagged(&self, tag: &str) -> impl Iterator<Item = Slot> {
        self.tagged.get(tag).into_iter().flat_map(Circle::iter)
    }

    /// Puts a member that is in none of its places into them.
    pub(crate) fn insert<A: Address>(&mut self, slot: Slot, table: &Table<A>) {
        self.all.insert(slot);
        self.insert_tags(slot, table);
    }

    /// Takes a member out of its places.
    pub(crate) fn remove<A: Address>(&mut self, slot: Slot, table: &Table<A>) {
        self.all.remove(slot, table);
        self.remove_tags(slot, table);
    }

    fn insert_tags<A: Address>(&mut self, slot: Slot, table: &Table<A>) {
        for tag in distinct(&table.member(slot).tags) {
            if let Some(circle) = self.tagged.get_mut(tag) {
                circle.insert(slot);
            } else {
                self.tagged.insert(tag.clone(), Circle::of(slot));
            }
        }
    }

    fn remove_tags<A: Address>(&mut self, slot: Slot, table: &Table<A>) {
        for tag in distinct(&table.member(slot).tags) {
            if let Some(circle) = self.tagged.get_mut(tag) {
                circle.remove(slot, table);
                if circle.is_empty() {
                    self.tagged.remove(tag);
                }
            }
        }
    }

    /// Whether it holds these members and no others, in order.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn is_consistent<A: Address>(&self, live: &[Slot], table: &Table<A>) -> bool {
        let tags: usize = live.iter().map(|&slot| distinct(&table.member(slot).tags).count()).sum();
        self.all.iter().count() == live.len()
            && self.all.holds(live)
            && self.all.is_in_order(table)
            && self.tagged.values().map(|circle| circle.iter().count()).sum::<usize>() == tags
            && self.tagged.iter().all(|(tag, circle)| {
                circle.is_in_order(table) && circle.iter().all(|slot| table.member(slot).tags.has(tag))
            })
    }
}

impl<A: Address> Context<A> {
    /// Puts a member among the live.
    pub(crate) fn put_live(&mut self, slot: Slot) {
        if self.view.put_live(slot, &mut self.rng) {
            self.ring.insert(slot, &self.table);
        }
    }

    /// Puts a member among the dead.
    pub(crate) fn put_dead(&mut self, slot: Slot) {
        self.leave_ring(slot);
        self.gone.push(self.table.member(slot).id);
        self.view.put_dead(slot);
    }

    /// Takes a member out of the view.
    pub(crate) fn take_out(&mut self, slot: Slot) {
        self.leave_ring(slot);
        self.view.take_out(slot);
    }

    /// Changes the tags of a member.
    pub(crate) fn set_tags(&mut self, slot: Slot, tags: Tags) {
        let is_live = self.view.is_live(slot);
        if is_live {
            self.ring.remove_tags(slot, &self.table);
        }
        self.table.change(slot, self.now, |row| row.member.tags = tags);
        if is_live {
            self.ring.insert_tags(slot, &self.table);
        }
    }

    fn leave_ring(&mut self, slot: Slot) {
        if self.view.is_live(slot) {
            self.ring.remove(slot, &self.table);
        }
    }
}

/// The tags of a node that count, each once.
fn distinct(tags: &Tags) -> impl Iterator<Item = &String> {
    let is_first = |index: usize, tag: &String| !tags.within_limits().take(index).any(|earlier| earlier == tag);
    tags.within_limits().enumerate().filter(move |&(index, tag)| is_first(index, tag)).map(|(_, tag)| tag)
}

#[cfg(test)]
mod tests;
