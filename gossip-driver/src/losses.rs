//! How many messages were dropped, told now and then instead of for each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gossip_core::MessageType;

use crate::Event;

/// Least time between two reports.
const PAUSE: Duration = Duration::from_secs(1);

/// What was dropped and not told yet.
#[derive(Debug)]
pub(crate) struct Losses {
    counts: BTreeMap<Option<MessageType>, u64>,
    /// When it may be told.
    next: Instant,
}

impl Losses {
    pub(crate) fn new(now: Instant) -> Self {
        Self { counts: BTreeMap::new(), next: now }
    }

    pub(crate) fn add(&mut self, kind: Option<MessageType>, count: u64) {
        *self.counts.entry(kind).or_default() += count;
    }

    /// When there is something to tell.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (!self.counts.is_empty()).then_some(self.next)
    }

    /// What is to be told now.
    pub(crate) fn take(&mut self, now: Instant) -> impl Iterator<Item = Event> + use<> {
        let is_due = self.deadline().is_some_and(|at| at <= now);
        let counts = if is_due { std::mem::take(&mut self.counts) } else { BTreeMap::new() };
        if is_due {
            self.next = now + PAUSE;
        }
        counts.into_iter().map(|(kind, count)| Event::MessagesMissed { kind, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(losses: &mut Losses, now: Instant) -> Vec<u64> {
        let events = losses.take(now);
        events.map(|event| if let Event::MessagesMissed { count, .. } = event { count } else { 0 }).collect()
    }

    #[test]
    fn the_first_loss_is_told_at_once_and_later_ones_together() {
        let begin = Instant::now();
        let mut losses = Losses::new(begin);
        assert_eq!(losses.deadline(), None);
        losses.add(None, 3);
        assert_eq!(counts(&mut losses, begin), [3]);
        losses.add(None, 1);
        losses.add(MessageType::user(200).ok(), 5);
        losses.add(None, 1);
        assert!(counts(&mut losses, begin + PAUSE / 2).is_empty());
        assert_eq!(losses.deadline(), Some(begin + PAUSE));
        assert_eq!(counts(&mut losses, begin + PAUSE), [2, 5]);
        assert_eq!(losses.deadline(), None);
    }
}
