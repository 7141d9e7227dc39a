//! The fixed table of timers: one deadline each, and one earliest deadline for the driver. Where a timer stands for
//! many members, [`Deadlines`] holds theirs.

use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt;

use crate::membership::Slot;
use crate::time::Instant;

/// What a deadline is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timer {
    /// The next probe begins.
    ProbeRound,
    /// The earliest step of a probe under way: ask others, or give up.
    Probe,
    /// The earliest nack that this node owes to another's probe.
    Relay,
    /// The earliest end of a suspicion.
    Suspicion,
    /// The next round of gossip, while there is news.
    Gossip,
    /// The next attempt to reach a lost member or seed.
    Heal,
    /// The earliest end of an attempt to join.
    Join,
    /// A newcomer compares tables with the member that let it in.
    Compare,
    /// The next round of telling that this node leaves, or the end of it.
    Leave,
    /// The earliest tombstone to be retired or removed.
    Tombstone,
    /// The earliest deadline of a request.
    Request,
    /// The earliest copy of a broadcast that was not acknowledged.
    Hop,
    /// Acknowledgements that wait for company.
    CopyAck,
    /// The earliest broadcast to be asked for.
    Pull,
    /// Which broadcasts came lately is told, while some get lost; those kept long enough are dropped.
    Recent,
    /// The earliest ordered broadcast that waited long enough.
    Order,
    /// The earliest step of an election.
    Election,
    /// The earliest row of a store that ends or is forgotten.
    Store,
    /// The earliest step of a pool of locks.
    Lock,
}

impl Timer {
    const ALL: [Self; 19] = [
        Self::ProbeRound,
        Self::Probe,
        Self::Relay,
        Self::Suspicion,
        Self::Gossip,
        Self::Heal,
        Self::Join,
        Self::Compare,
        Self::Leave,
        Self::Tombstone,
        Self::Request,
        Self::Hop,
        Self::CopyAck,
        Self::Pull,
        Self::Recent,
        Self::Order,
        Self::Election,
        Self::Store,
        Self::Lock,
    ];
}

/// The deadlines, by [`Timer`].
pub(crate) struct Timers([Instant; Timer::ALL.len()]);

impl Timers {
    pub(crate) fn new() -> Self {
        Self([Instant::MAX; Timer::ALL.len()])
    }

    pub(crate) fn set(&mut self, timer: Timer, deadline: Instant) {
        self.0[timer as usize] = deadline;
    }

    /// Sets the timer to a deadline that may be absent.
    pub(crate) fn follow(&mut self, timer: Timer, deadline: Option<Instant>) {
        self.set(timer, deadline.unwrap_or(Instant::MAX));
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.set(timer, Instant::MAX);
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::new();
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize] != Instant::MAX
    }

    /// When it is due; never if it is not set.
    pub(crate) fn at(&self, timer: Timer) -> Instant {
        self.0[timer as usize]
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().copied().min().filter(|&deadline| deadline != Instant::MAX)
    }

    /// Stops and returns the earliest of the timers due at `now`.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let timer = Timer::ALL.into_iter().min_by_key(|&timer| self.0[timer as usize])?;
        if self.0[timer as usize] > now || !self.is_set(timer) {
            return None;
        }
        self.stop(timer);
        Some(timer)
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = Timer::ALL.into_iter().filter(|&timer| self.is_set(timer));
        f.debug_map().entries(set.map(|timer| (timer, self.0[timer as usize]))).finish()
    }
}

/// One deadline for each of many members.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_slot: BTreeMap<Slot, Instant>,
    order: BTreeSet<(Instant, Slot)>,
}

impl Deadlines {
    pub(crate) fn set(&mut self, slot: Slot, deadline: Instant) {
        if let Some(previous) = self.by_slot.insert(slot, deadline) {
            self.order.remove(&(previous, slot));
        }
        self.order.insert((deadline, slot));
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        if let Some(previous) = self.by_slot.remove(&slot) {
            self.order.remove(&(previous, slot));
        }
    }

    /// The earliest.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|&(deadline, _)| deadline)
    }

    /// Removes and returns the earliest of those due at `now`.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Slot> {
        let &(_, slot) = self.order.first().filter(|&&(deadline, _)| deadline <= now)?;
        self.remove(slot);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_keyed_deadline_expires_first_and_a_new_one_replaces_the_old() {
        let at = Instant::from_micros;
        let (a, b) = (Slot::for_tests(1), Slot::for_tests(2));
        let mut deadlines = Deadlines::default();
        deadlines.set(a, at(10));
        deadlines.set(b, at(20));
        deadlines.set(a, at(30));
        assert_eq!(deadlines.next(), Some(at(20)));
        assert_eq!(deadlines.expire(at(25)), Some(b));
        assert_eq!(deadlines.expire(at(25)), None);
        deadlines.remove(a);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn timers_expire_in_the_order_of_their_deadlines_and_once() {
        let mut timers = Timers::new();
        let at = Instant::from_micros;
        timers.set(Timer::Gossip, at(20));
        timers.set(Timer::Probe, at(10));
        timers.set(Timer::Heal, at(30));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.expire(at(5)), None);
        assert_eq!(timers.expire(at(25)), Some(Timer::Probe));
        assert_eq!(timers.expire(at(25)), Some(Timer::Gossip));
        assert_eq!(timers.expire(at(25)), None);
        assert_eq!(timers.next(), Some(at(30)));
        timers.stop_all();
        assert_eq!(timers.expire(Instant::MAX), None);
    }
}
