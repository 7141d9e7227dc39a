//! What waits for a handler or a reader: bounded in number, and in bytes until it is done with.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::queue::Level;

/// What an entry takes besides its payload.
const OVERHEAD: usize = 64;

#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    max_count: usize,
    /// Bytes of what waits, and of what was taken and not released.
    held: Level,
    max_bytes: usize,
    /// Nothing that was taken is to be handled any more either. Read before each call, so it is no part of the state.
    abandoned: AtomicBool,
}

/// What can be ended together with all that waits in it.
pub(crate) trait Abandon: fmt::Debug + Send + Sync {
    /// Ends it, and drops what waits.
    fn abandon(&self);
}

#[derive(Debug)]
struct State<T> {
    /// With the bytes that each takes.
    queue: VecDeque<(T, usize)>,
    waker: Option<Waker>,
    /// Woken by the end alone, for one who has enough to do.
    busy: Option<Waker>,
    closed: bool,
}

impl<T> Inbox<T> {
    pub(crate) fn new(max_count: usize, max_bytes: usize) -> Self {
        let state = State { queue: VecDeque::new(), waker: None, busy: None, closed: false };
        Self {
            state: Mutex::new(state),
            max_count,
            held: Level::default(),
            max_bytes,
            abandoned: AtomicBool::new(false),
        }
    }

    /// Takes an entry, or gives it back if there is no room or it has ended.
    pub(crate) fn push(&self, entry: T, size: usize) -> Result<(), T> {
        self.push_or(entry, size, |_| {})
    }

    /// Takes an entry, or gives it back if there is no room, after `note` has changed the last one or made a new one of
    /// nothing.
    pub(crate) fn push_or(&self, entry: T, size: usize, note: impl FnOnce(&mut VecDeque<(T, usize)>)) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(entry);
        }
        let size = size + OVERHEAD;
        if state.queue.len() >= self.max_count || !self.held.rise(size, self.max_bytes) {
            note(&mut state.queue);
            return Err(entry);
        }
        state.queue.push_back((entry, size));
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Moves up to `most` entries to `into`, each with the bytes to be [released](Self::release) when it is done with;
    /// `None` after the end.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<(T, usize)>,
        most: usize,
    ) -> Poll<Option<()>> {
        let mut state = self.lock();
        if state.queue.is_empty() {
            if state.closed {
                return Poll::Ready(None);
            }
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = state.queue.len().min(most);
        into.extend(state.queue.drain(..count));
        Poll::Ready(Some(()))
    }

    /// An entry that was taken needs its bytes no longer.
    pub(crate) fn release(&self, bytes: usize) {
        self.held.fall(bytes);
    }

    /// Ends it. What waits can still be taken.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for nothing but its being abandoned.
    pub(crate) fn poll_abandoned(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if self.is_abandoned() {
            return Poll::Ready(());
        }
        state.busy = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether what was taken of it is not to be handled any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: fmt::Debug + Send> Abandon for Inbox<T> {
    fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        let (waiting, busy) = {
            let mut state = self.lock();
            (std::mem::take(&mut state.queue), state.busy.take())
        };
        self.close();
        if let Some(busy) = busy {
            busy.wake();
        }
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_takes_room_until_it_is_released() {
        let inbox = Inbox::new(10, 3 * (OVERHEAD + 100));
        let mut taken = VecDeque::new();
        for number in 0..3 {
            assert_eq!(inbox.push(number, 100), Ok(()));
        }
        assert!(inbox.poll_take(&mut Context::from_waker(Waker::noop()), &mut taken, 2).is_ready());
        assert_eq!(inbox.push(3, 0), Err(3), "one waits, and two are being handled");
        let (number, bytes) = taken.pop_front().unwrap();
        inbox.release(bytes);
        assert_eq!((number, inbox.push(3, 100), inbox.push(4, 0)), (0, Ok(()), Err(4)));
    }
}
