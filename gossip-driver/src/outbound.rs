//! What handles and handlers give the node to send: a queue that the node's task takes as a whole, once in each pass.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_channel::oneshot;
use gossip_core::{Instant, MessageId, MessageType, NodeId, Reliability, ReplyToken, SendError};

use crate::gather::{Answered, Gather};

/// Something for the node to send.
#[derive(Debug)]
pub(crate) enum Submission {
    /// A message to one node; `done` hears whether it was accepted, or confirmed.
    Send {
        to: NodeId,
        kind: MessageType,
        payload: Bytes,
        reliability: Reliability,
        done: Option<Answered>,
    },
    Broadcast {
        message: Box<Broadcast>,
        done: oneshot::Sender<Result<MessageId, SendError>>,
    },
    Request {
        to: NodeId,
        kind: MessageType,
        payload: Bytes,
        deadline: Instant,
        done: Answered,
    },
    /// The end of a request of somebody's.
    Decide {
        token: ReplyToken,
        verdict: Verdict,
        done: Option<oneshot::Sender<Result<(), SendError>>>,
    },
    /// Nobody waits any more for what was asked.
    Cancel(Arc<Gather>),
}

#[derive(Debug)]
pub(crate) struct Broadcast {
    pub(crate) kind: MessageType,
    pub(crate) payload: Bytes,
    pub(crate) tag: Option<String>,
    pub(crate) reliable: bool,
    pub(crate) ordered: bool,
}

/// How a request of somebody's ends.
#[derive(Debug)]
pub(crate) enum Verdict {
    Answer(Bytes),
    Rejected(String),
}

impl Submission {
    fn size(&self) -> usize {
        match self {
            Self::Send { payload, .. }
            | Self::Request { payload, .. }
            | Self::Decide { verdict: Verdict::Answer(payload), .. } => payload.len(),
            Self::Broadcast { message, .. } => message.payload.len(),
            Self::Decide { .. } | Self::Cancel(_) => 0,
        }
    }
}

/// The queue, bounded in number and in bytes; those who find it full wait.
#[derive(Debug)]
pub(crate) struct Outbound {
    queue: Mutex<Queue>,
    max_count: usize,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    submissions: Vec<Submission>,
    bytes: usize,
    /// Woken when there is something to take.
    pump: Option<Waker>,
    /// Those who wait for room, in order.
    waiting: BTreeMap<u64, Waker>,
    last_ticket: u64,
    closed: bool,
}

/// The place of one who waits for room. Given up by its drop.
struct Place<'a> {
    outbound: &'a Outbound,
    ticket: Option<u64>,
}

impl Outbound {
    pub(crate) fn new(max_count: usize, max_bytes: usize) -> Self {
        Self { queue: Mutex::default(), max_count, max_bytes }
    }

    /// Hands in a submission, once there is room; false if the node has stopped. Then it is dropped, which whoever
    /// waits for its outcome notices too.
    pub(crate) async fn submit(&self, submission: Submission) -> bool {
        let mut submission = Some(submission);
        let mut place = Place { outbound: self, ticket: None };
        poll_fn(|cx| {
            let Some(next) = submission.take() else { return Poll::Ready(false) };
            match self.try_push(next) {
                Ok(is_taken) => Poll::Ready(is_taken),
                Err((next, queue)) => {
                    submission = Some(next);
                    place.wait(queue, cx);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Hands in what takes no room that counts: the number of such is bounded elsewhere.
    pub(crate) fn push(&self, submission: Submission) {
        let mut queue = self.lock();
        if !queue.closed {
            queue.append(submission);
        }
    }

    fn try_push(&self, submission: Submission) -> Result<bool, (Submission, MutexGuard<'_, Queue>)> {
        let mut queue = self.lock();
        if queue.closed {
            return Ok(false);
        }
        let is_full = queue.submissions.len() >= self.max_count || queue.bytes + submission.size() > self.max_bytes;
        if is_full && !queue.submissions.is_empty() {
            return Err((submission, queue));
        }
        queue.append(submission);
        Ok(true)
    }

    /// Takes everything into `into`, which is empty, and wakes this task once there is more.
    pub(crate) fn take(&self, cx: &mut Context<'_>, into: &mut Vec<Submission>) {
        debug_assert!(into.is_empty(), "what was taken before is done");
        let mut queue = self.lock();
        if queue.pump.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            queue.pump = Some(cx.waker().clone());
        }
        if queue.submissions.is_empty() {
            return;
        }
        mem::swap(&mut queue.submissions, into);
        queue.bytes = 0;
        let mut woken = Vec::new();
        while woken.len() < self.max_count
            && let Some((_, waker)) = queue.waiting.pop_first()
        {
            woken.push(waker);
        }
        drop(queue);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Drops what waits, and all that is to come; for how many messages of it nobody waits, who could learn of it.
    pub(crate) fn close(&self) -> u64 {
        let mut queue = self.lock();
        queue.closed = true;
        let (submissions, waiting) = (mem::take(&mut queue.submissions), mem::take(&mut queue.waiting));
        drop(queue);
        waiting.into_values().for_each(Waker::wake);
        // Whoever is told by their drop may hand in something at once.
        let unasked = |submission: &Submission| u64::from(matches!(submission, Submission::Send { done: None, .. }));
        submissions.into_iter().map(|submission| unasked(&submission)).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn append(&mut self, submission: Submission) {
        self.bytes += submission.size();
        self.submissions.push(submission);
        // Later ones find the task on its way already.
        if self.submissions.len() == 1
            && let Some(pump) = &self.pump
        {
            pump.wake_by_ref();
        }
    }
}

impl Place<'_> {
    fn wait(&mut self, mut queue: MutexGuard<'_, Queue>, cx: &Context<'_>) {
        let ticket = *self.ticket.get_or_insert_with(|| {
            queue.last_ticket += 1;
            queue.last_ticket
        });
        queue.waiting.insert(ticket, cx.waker().clone());
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut queue = self.outbound.lock();
        if queue.waiting.remove(&ticket).is_some() || queue.submissions.len() >= self.outbound.max_count {
            return;
        }
        // It was woken; if it goes without using the room, that is the next one's.
        if let Some((_, next)) = queue.waiting.pop_first() {
            drop(queue);
            next.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn message(done: Option<Answered>) -> Submission {
        let kind = MessageType::user(200).unwrap();
        let payload = Bytes::from_static(b"tea");
        Submission::Send { to: NodeId::from_u128(1), kind, payload, reliability: Reliability::BestEffort, done }
    }

    #[test]
    fn what_waits_when_it_is_closed_is_counted_if_nobody_hears_of_it_and_nothing_is_taken_any_more() {
        let (outbound, gather) = (Outbound::new(3, 1_000), Gather::new());
        for done in [None, Some(gather.expect()), None] {
            assert_eq!(outbound.submit(message(done)).now_or_never(), Some(true));
        }
        assert_eq!(outbound.submit(message(None)).now_or_never(), None, "it is full");
        assert_eq!(outbound.close(), 2);
        assert_eq!(outbound.submit(message(None)).now_or_never(), Some(false));
        assert_eq!(outbound.close(), 0);
    }
}
