//! Whom a node talks to: the order of probing, and random choice among the live and the dead.

use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::membership::Slot;
use crate::rng::Rng;

/// A few members chosen at random.
pub(crate) type Chosen = SmallVec<[Slot; 16]>;

/// Slots of the other members, sorted into the live and the dead.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// In the order of probing; those before `cursor` had their turn.
    live: Vec<Slot>,
    cursor: usize,
    dead: Vec<Slot>,
    /// By slot: in which list, and where.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Live(u32),
    Dead(u32),
}

impl View {
    /// Live members besides the node itself.
    pub(crate) fn live(&self) -> &[Slot] {
        &self.live
    }

    /// Members that were declared dead.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn dead(&self) -> &[Slot] {
        &self.dead
    }

    /// Size of the cluster as seen from here: the live members and the node itself.
    pub(crate) fn cluster_size(&self) -> usize {
        self.live.len() + 1
    }

    pub(crate) fn is_live(&self, slot: Slot) -> bool {
        matches!(self.place(slot), Place::Live(_))
    }

    /// Puts a member among the live, at a random place among those not yet probed in this round; `false` if it is there.
    pub(crate) fn put_live(&mut self, slot: Slot, rng: &mut Rng) -> bool {
        if self.is_live(slot) {
            return false;
        }
        self.take_out(slot);
        let last = self.live.len();
        self.live.push(slot);
        let chosen = self.cursor + rng.below(last + 1 - self.cursor);
        self.live.swap(chosen, last);
        self.note_live(chosen);
        self.note_live(last);
        true
    }

    /// Puts a member among the dead.
    pub(crate) fn put_dead(&mut self, slot: Slot) {
        if matches!(self.place(slot), Place::Dead(_)) {
            return;
        }
        self.take_out(slot);
        self.set_place(slot, Place::Dead(narrow(self.dead.len())));
        self.dead.push(slot);
    }

    /// Takes a member out of whatever list it is in.
    pub(crate) fn take_out(&mut self, slot: Slot) {
        match self.place(slot) {
            Place::Nowhere => {}
            Place::Live(index) => self.take_out_live(index as usize),
            Place::Dead(index) => {
                self.dead.swap_remove(index as usize);
                if let Some(&moved) = self.dead.get(index as usize) {
                    self.set_place(moved, Place::Dead(index));
                }
            }
        }
        self.set_place(slot, Place::Nowhere);
    }

    /// The next member to probe: each once in a round, in an order drawn anew for every round.
    pub(crate) fn next_to_probe(&mut self, rng: &mut Rng) -> Option<Slot> {
        if self.cursor >= self.live.len() {
            self.cursor = 0;
            rng.shuffle(&mut self.live);
            for index in 0..self.live.len() {
                self.note_live(index);
            }
        }
        let slot = self.live.get(self.cursor).copied()?;
        self.cursor += 1;
        Some(slot)
    }

    /// Up to `count` different live members, without `except`.
    pub(crate) fn choose_live(&self, count: usize, except: Option<Slot>, rng: &mut Rng) -> Chosen {
        let mut chosen = Chosen::new();
        if self.live.len() <= 2 * count + 1 {
            chosen.extend(self.live.iter().copied().filter(|&slot| Some(slot) != except));
            rng.shuffle(&mut chosen);
            chosen.truncate(count);
            return chosen;
        }
        // More than half of the list is eligible at every draw: this ends soon, and the bound is out of reach.
        for _ in 0..64 * count {
            if chosen.len() == count {
                break;
            }
            let slot = self.live[rng.below(self.live.len())];
            if Some(slot) != except && !chosen.contains(&slot) {
                chosen.push(slot);
            }
        }
        chosen
    }

    /// A random dead member.
    pub(crate) fn choose_dead(&self, rng: &mut Rng) -> Option<Slot> {
        self.dead.get(rng.below(self.dead.len())).copied()
    }

    /// Closes the gap at `index` without a member losing or repeating its turn in this round.
    fn take_out_live(&mut self, index: usize) {
        let mut gap = index;
        if gap < self.cursor {
            self.cursor -= 1;
            self.live[gap] = self.live[self.cursor];
            self.note_live(gap);
            gap = self.cursor;
        }
        self.live.swap_remove(gap);
        if gap < self.live.len() {
            self.note_live(gap);
        }
    }

    fn note_live(&mut self, index: usize) {
        self.set_place(self.live[index], Place::Live(narrow(index)));
    }

    fn place(&self, slot: Slot) -> Place {
        self.places.get(slot.index()).copied().unwrap_or_default()
    }

    fn set_place(&mut self, slot: Slot, place: Place) {
        if self.places.len() <= slot.index() {
            self.places.resize(slot.index() + 1, Place::Nowhere);
        }
        self.places[slot.index()] = place;
    }
}

/// Half the memory for a place, of which there are as many as members.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).expect("max_members is far below 2^32")
}

#[cfg(test)]
mod tests;
