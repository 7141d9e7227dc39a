//! Who is told of events: streams that the application reads, and functions that it hands in.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_channel::{Receiver, Sender};
use futures_util::{Stream, StreamExt};

use crate::Event;
use crate::stats::{Counter, Counters};

/// Something that is told to subscribers, who can be told of a loss as well.
pub trait Notice: Clone + Send + 'static {
    /// That so many were dropped.
    #[doc(hidden)]
    fn missed(count: u64) -> Self;

    /// How many were dropped, if it tells of that.
    #[doc(hidden)]
    fn missed_count(&self) -> Option<u64>;
}

impl Notice for Event {
    fn missed(count: u64) -> Self {
        Self::Missed { count }
    }

    fn missed_count(&self) -> Option<u64> {
        if let Self::Missed { count } = self { Some(*count) } else { None }
    }
}

/// Events of a node, in order, from the moment of the subscription on; or those of a [`Group`](crate::Group), an
/// [`Election`](crate::Election) or a [`Store`](crate::Store).
///
/// A bounded number of events waits for a slow reader. Beyond it the oldest are dropped, and the next thing read is an
/// [`Event::Missed`] that says how many. The stream ends when the node stops. It does not keep the node running: that
/// is what [`Cluster`](crate::Cluster) handles do.
#[derive(Debug)]
pub struct Events<T = Event> {
    queue: Pin<Box<Receiver<T>>>,
    missed: Arc<AtomicU64>,
    removed: Arc<AtomicBool>,
}

impl<T: Notice> Events<T> {
    /// Waits for the next event; `None` once the node has stopped and everything is read.
    pub async fn next(&mut self) -> Option<T> {
        StreamExt::next(self).await
    }

    /// The next event if one is waiting.
    pub fn try_next(&mut self) -> Option<T> {
        self.loss().or_else(|| self.queue.try_recv().ok())
    }

    /// Whether the subscription was removed; what still waits in it is no longer wanted.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    fn loss(&self) -> Option<T> {
        let count = self.missed.swap(0, Ordering::Relaxed);
        (count > 0).then(|| T::missed(count))
    }
}

impl<T: Notice> Stream for Events<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(loss) = self.loss() {
            return Poll::Ready(Some(loss));
        }
        self.queue.as_mut().poll_next(cx)
    }
}

/// Names a callback, so that it can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallbackId(u64);

impl CallbackId {
    /// One that no other callback of this process has.
    pub(crate) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// Everybody who is told.
#[derive(Debug)]
pub(crate) struct Subscribers<T = Event> {
    list: Mutex<List<T>>,
    limit: usize,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct List<T> {
    entries: Vec<Subscriber<T>>,
    closed: bool,
}

#[derive(Debug)]
struct Subscriber<T> {
    id: CallbackId,
    queue: Sender<T>,
    missed: Arc<AtomicU64>,
    removed: Arc<AtomicBool>,
}

impl<T: Notice> Subscribers<T> {
    pub(crate) fn new(limit: usize, counters: Arc<Counters>) -> Self {
        Self { list: Mutex::new(List { entries: Vec::new(), closed: false }), limit, counters }
    }

    /// As many as may wait for each of those, and counted in the same place.
    pub(crate) fn alike<U: Notice>(&self) -> Subscribers<U> {
        Subscribers::new(self.limit, Arc::clone(&self.counters))
    }

    /// A new subscription; it has ended already if the node has stopped.
    pub(crate) fn add(&self) -> (CallbackId, Events<T>) {
        let (sender, receiver) = async_channel::bounded(self.limit);
        let missed = Arc::new(AtomicU64::new(0));
        let removed = Arc::new(AtomicBool::new(false));
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let id = CallbackId::new();
        // Those whose reader is gone would else keep their queues until the next event.
        list.entries.retain(|subscriber| !subscriber.queue.is_closed());
        if !list.closed {
            let (missed, removed) = (Arc::clone(&missed), Arc::clone(&removed));
            list.entries.push(Subscriber { id, queue: sender, missed, removed });
        }
        (id, Events { queue: Box::pin(receiver), missed, removed })
    }

    /// Whether somebody still reads.
    pub(crate) fn are_there(&self) -> bool {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.entries.iter().any(|subscriber| !subscriber.queue.is_closed())
    }

    /// Ends a subscription; whether there was one.
    pub(crate) fn remove(&self, id: CallbackId) -> bool {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = list.entries.iter().position(|subscriber| subscriber.id == id) else {
            return false;
        };
        list.entries.swap_remove(at).removed.store(true, Ordering::Release);
        true
    }

    /// Ends the subscription of a callback that panicked.
    pub(crate) fn remove_panicked(&self, id: CallbackId) {
        self.counters.count(Counter::CallbackPanics);
        self.remove(id);
    }

    /// Tells everybody. Never waits: where there is no room, the oldest event gives way.
    pub(crate) fn publish(&self, event: &T) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.entries.retain(|subscriber| match subscriber.queue.force_send(event.clone()) {
            Ok(None) => true,
            Ok(Some(oldest)) => {
                let count = oldest.missed_count().unwrap_or(1);
                self.counters.add(Counter::EventsMissed, count);
                subscriber.missed.fetch_add(count, Ordering::Relaxed);
                true
            }
            Err(_) => false,
        });
    }

    /// Ends all subscriptions, and those to come.
    pub(crate) fn close(&self) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.closed = true;
        list.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_gone_costs_nothing_though_nothing_happens() {
        let subscribers = Subscribers::<Event>::new(4, Arc::new(Counters::new()));
        let (_, kept) = subscribers.add();
        for _ in 0..100 {
            drop(subscribers.add());
        }
        assert!(subscribers.list.lock().unwrap().entries.len() <= 2);
        drop(kept);
    }
}
