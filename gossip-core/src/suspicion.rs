//! Suspicions: who accuses whom, and how long the accused have to refute (SWIM §4.2, Lifeguard §IV-B).

use alloc::collections::BTreeMap;
use core::time::Duration;

use smallvec::SmallVec;

use crate::identity::NodeId;
use crate::membership::Slot;
use crate::time::Instant;
use crate::timer::Deadlines;

/// Accusers of one member, in the order in which they were heard.
pub(crate) type AccuserList = SmallVec<[NodeId; 4]>;

/// How long a suspicion lasts: shrinking from `longest` to `shortest` as `wanted` further accusers come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
    pub(crate) wanted: usize,
}

impl Patience {
    /// For a cluster of `size`, with α and β from the configuration.
    pub(crate) fn new(period: Duration, min: u32, max: u32, wanted: usize, size: usize) -> Self {
        let scale = libm::log10(size.max(1) as f64).max(1.0);
        let shortest = scaled(period * min, scale);
        // Where there are not enough others to confirm, waiting for them would only delay.
        let wanted = if size.saturating_sub(2) < wanted { 0 } else { wanted };
        let longest = if wanted == 0 { shortest } else { shortest * max };
        Self { shortest, longest, wanted }
    }

    /// The whole length of a suspicion with this many accusers besides the first.
    pub(crate) fn length(&self, confirmations: usize) -> Duration {
        if confirmations >= self.wanted {
            return self.shortest;
        }
        let share = libm::log((confirmations + 1) as f64) / libm::log((self.wanted + 1) as f64);
        self.longest.saturating_sub(scaled(self.longest.saturating_sub(self.shortest), share))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "spans of hours, scaled by less than ten")]
fn scaled(span: Duration, factor: f64) -> Duration {
    Duration::from_micros((span.as_micros() as f64 * factor) as u64)
}

#[derive(Debug)]
struct Suspicion {
    started: Instant,
    /// By how much it was postponed in all.
    postponed: Duration,
    patience: Patience,
    accusers: AccuserList,
}

impl Suspicion {
    fn deadline(&self) -> Instant {
        self.started + self.patience.length(self.accusers.len().saturating_sub(1))
    }
}

/// The suspicions that this node knows of, by the suspect's slot.
#[derive(Debug, Default)]
pub(crate) struct Suspicions {
    by_slot: BTreeMap<Slot, Suspicion>,
    deadlines: Deadlines,
}

impl Suspicions {
    pub(crate) fn begin(&mut self, slot: Slot, now: Instant, patience: Patience) {
        let suspicion = Suspicion { started: now, postponed: Duration::ZERO, patience, accusers: AccuserList::new() };
        self.deadlines.set(slot, suspicion.deadline());
        self.by_slot.insert(slot, suspicion);
    }

    /// Takes note of an accuser; tells whether it is one more that counts.
    pub(crate) fn accuse(&mut self, slot: Slot, accuser: NodeId, now: Instant) -> bool {
        let Some(suspicion) = self.by_slot.get_mut(&slot) else { return false };
        let enough = suspicion.accusers.len() > suspicion.patience.wanted;
        if enough || suspicion.accusers.contains(&accuser) {
            return false;
        }
        suspicion.accusers.push(accuser);
        // One more accuser can make the time be over already; a deadline in the past would be taken for a stall.
        self.deadlines.set(slot, suspicion.deadline().max(now));
        true
    }

    /// Ends a suspicion and returns the accusers.
    pub(crate) fn end(&mut self, slot: Slot) -> Option<AccuserList> {
        self.deadlines.remove(slot);
        self.by_slot.remove(&slot).map(|suspicion| suspicion.accusers)
    }

    #[cfg(debug_assertions)]
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.by_slot.contains_key(&slot)
    }

    pub(crate) fn accusers(&self, slot: Slot) -> &[NodeId] {
        self.by_slot.get(&slot).map_or(&[], |suspicion| &suspicion.accusers)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// A suspect whose time is over at `now`. Its accusers stay until the suspicion is ended.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Slot> {
        self.deadlines.expire(now)
    }

    /// Gives every suspect its whole time again: this node did not listen for a while.
    pub(crate) fn restart(&mut self, now: Instant) {
        for (&slot, suspicion) in &mut self.by_slot {
            suspicion.started = now;
            self.deadlines.set(slot, suspicion.deadline());
        }
    }

    /// Gives every suspect `span` more: time in which this node did not run is not held against others.
    ///
    /// A node that is called late again and again must still come to a verdict: in all, a suspicion is postponed by its
    /// longest length at the most. After a longer stall it begins anew.
    pub(crate) fn postpone(&mut self, span: Duration, now: Instant) {
        for (&slot, suspicion) in &mut self.by_slot {
            let longest = suspicion.patience.longest;
            if span > longest {
                suspicion.started = now;
            } else {
                let span = span.min(longest.saturating_sub(suspicion.postponed));
                suspicion.started = suspicion.started + span;
                suspicion.postponed += span;
            }
            self.deadlines.set(slot, suspicion.deadline().max(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience {
        Patience::new(Duration::from_secs(1), 4, 6, 2, 64)
    }

    #[test]
    fn patience_follows_the_formula_of_the_paper() {
        let patience = patience();
        assert_eq!(patience.shortest.as_millis(), 7_224);
        assert_eq!(patience.longest, patience.shortest * 6);
        assert_eq!(patience.length(0), patience.longest);
        // max − (max−min)·ln(2)/ln(3)
        assert_eq!(patience.length(1).as_millis(), 20_556);
        assert_eq!(patience.length(2), patience.shortest);
        assert_eq!(patience.length(9), patience.shortest);
    }

    #[test]
    fn a_small_cluster_does_not_wait_for_accusers_that_cannot_exist() {
        let patience = Patience::new(Duration::from_secs(1), 4, 6, 2, 3);
        assert_eq!(patience.length(0), Duration::from_secs(4));
    }

    #[test]
    fn independent_accusers_shorten_a_suspicion_and_repeated_ones_do_not() {
        let slot = Slot::MYSELF;
        let mut suspicions = Suspicions::default();
        suspicions.begin(slot, Instant::ZERO, patience());
        let first = NodeId::from_u128(1);
        assert!(suspicions.accuse(slot, first, Instant::ZERO));
        assert_eq!(suspicions.next_deadline(), Some(Instant::ZERO + patience().longest));
        assert!(!suspicions.accuse(slot, first, Instant::ZERO));
        assert!(suspicions.accuse(slot, NodeId::from_u128(2), Instant::ZERO));
        assert!(suspicions.accuse(slot, NodeId::from_u128(3), Instant::ZERO));
        assert!(!suspicions.accuse(slot, NodeId::from_u128(4), Instant::ZERO), "more than counted");
        let shortest = Instant::ZERO + patience().shortest;
        assert_eq!(suspicions.next_deadline(), Some(shortest));
        suspicions.postpone(Duration::from_secs(3), Instant::ZERO);
        assert_eq!(suspicions.expire(shortest), None);
        assert_eq!(suspicions.expire(shortest + Duration::from_secs(3)), Some(slot));
        assert_eq!(suspicions.end(slot).map(|accusers| accusers.len()), Some(3));
        assert_eq!(suspicions.next_deadline(), None);
    }

    #[test]
    fn a_late_accuser_ends_a_suspicion_now_and_not_in_the_past() {
        let slot = Slot::MYSELF;
        let mut suspicions = Suspicions::default();
        suspicions.begin(slot, Instant::ZERO, patience());
        let late = Instant::ZERO + patience().shortest + Duration::from_secs(4);
        for accuser in 1..=3 {
            suspicions.accuse(slot, NodeId::from_u128(accuser), late);
        }
        assert_eq!(suspicions.next_deadline(), Some(late));
    }
}
