//! Gossip callbacks: which there are, and how long each waits for its next call.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};

use crate::CallbackId;

/// How long to wait from one call to the next: longer while calls are slow, up to a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    shortest: Duration,
    longest: Duration,
    interval: Duration,
}

impl Pace {
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest, interval: shortest }
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Takes in how long a call took. After a change of the interval, a call of the same length changes nothing more.
    pub(crate) fn took(&mut self, span: Duration) {
        if span > self.interval / 2 {
            self.interval = (self.interval * 2).min(self.longest);
        } else if span < self.interval / 8 {
            self.interval = (self.interval / 2).max(self.shortest);
        }
    }
}

/// The gossip callbacks of a node.
#[derive(Debug, Default)]
pub(crate) struct Rounds(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    /// Dropping the sender ends the callback.
    entries: Vec<(CallbackId, Sender<Infallible>)>,
    closed: bool,
}

impl Rounds {
    /// Adds a callback; what it gets is closed when it is to end.
    pub(crate) fn add(&self) -> (CallbackId, Receiver<Infallible>) {
        let (sender, removed) = async_channel::bounded(1);
        let id = CallbackId::new();
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !list.closed {
            list.entries.push((id, sender));
        }
        (id, removed)
    }

    /// Ends a callback; whether there was one.
    pub(crate) fn remove(&self, id: CallbackId) -> bool {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = list.entries.iter().position(|(own, _)| *own == id) else { return false };
        list.entries.swap_remove(at);
        true
    }

    /// Ends all callbacks, and those to come.
    pub(crate) fn close(&self) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.closed = true;
        list.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_while_calls_are_slow_and_shrinks_when_they_are_quick() {
        let secs = Duration::from_secs;
        let mut pace = Pace::new(secs(5), secs(20));
        let waits = [2, 3, 3, 4, 6, 6, 15, 3, 2, 1, 1, 0].map(|took| {
            pace.took(secs(took));
            pace.interval().as_secs()
        });
        assert_eq!(waits, [5, 10, 10, 10, 20, 20, 20, 20, 10, 5, 5, 5]);
    }

    #[test]
    fn a_call_of_any_length_finds_a_wait_that_stays() {
        for millis in 0..30_000 {
            let span = Duration::from_millis(millis);
            let mut pace = Pace::new(Duration::from_secs(5), Duration::from_secs(20));
            let waits = [(); 6].map(|()| {
                pace.took(span);
                pace.interval()
            });
            assert!(waits.is_sorted() && waits[3..].iter().all(|wait| *wait == waits[3]), "{span:?}: {waits:?}");
        }
    }
}
