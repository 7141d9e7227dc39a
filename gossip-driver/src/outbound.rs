//! What handles and handlers give the node to send: a queue that the node's task takes as a whole, once in each pass.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_channel::oneshot;
use gossip_core::{Instant, MessageId, MessageType, NodeId, Reliability, ReplyToken, SendError};

use crate::gather::{Answered, Gather};
use crate::message::Backlog;

/// What a node sends of the reason of a rejection at most, in bytes.
const LONGEST_REASON: usize = 1_024;

/// Something for the node to send.
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
    /// The same to each of a list, which is taken or refused as a whole.
    List(Box<List>),
    /// The end of a request of somebody's.
    Decide {
        token: ReplyToken,
        verdict: Verdict,
        done: Option<oneshot::Sender<Result<(), SendError>>>,
    },
    /// Nobody waits any more for what was asked.
    Cancel(Arc<Gather>),
}

/// Without what is said: a key may be in it.
impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Send { .. } => "Send",
            Self::Broadcast { .. } => "Broadcast",
            Self::Request { .. } => "Request",
            Self::List(_) => "List",
            Self::Decide { .. } => "Decide",
            Self::Cancel(_) => "Cancel",
        })
    }
}

pub(crate) struct Broadcast {
    pub(crate) kind: MessageType,
    pub(crate) payload: Bytes,
    pub(crate) tag: Option<String>,
    pub(crate) reliable: bool,
    pub(crate) ordered: bool,
}

/// Messages or requests of the same content to many nodes.
pub(crate) struct List {
    pub(crate) to: Vec<Listed>,
    pub(crate) kind: MessageType,
    pub(crate) payload: Bytes,
    pub(crate) purpose: Purpose,
}

/// One of many receivers, and who hears how it went.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) to: NodeId,
    pub(crate) done: Option<Answered>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Tell(Reliability),
    Ask { deadline: Instant },
}

/// How a request of somebody's ends.
pub(crate) enum Verdict {
    Answer(Bytes),
    Rejected(String),
    /// The answer found no room.
    Overloaded,
}

impl Verdict {
    /// A rejection, with as much of the reason as will be sent.
    pub(crate) fn rejected(reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        reason.shrink_to_fit();
        Self::Rejected(reason)
    }

    fn size(&self) -> usize {
        match self {
            Self::Answer(payload) => payload.len(),
            Self::Rejected(reason) => reason.len(),
            Self::Overloaded => 0,
        }
    }
}

impl Submission {
    fn size(&self) -> usize {
        match self {
            Self::Send { payload, .. } | Self::Request { payload, .. } => payload.len(),
            Self::Broadcast { message, .. } => message.payload.len(),
            Self::List(list) => list.payload.len() + list.to.len() * size_of::<Listed>(),
            Self::Decide { verdict, .. } => verdict.size(),
            Self::Cancel(_) => 0,
        }
    }

    /// For how many messages of it nobody waits.
    fn unasked(&self) -> u64 {
        match self {
            Self::Send { done: None, .. } => 1,
            Self::List(list) => list.to.iter().filter(|listed| listed.done.is_none()).count() as u64,
            _ => 0,
        }
    }
}

/// The queue, bounded in number and in bytes; those who find it full are told so, or wait.
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

/// Why something was not taken. It is dropped, which whoever waits for its outcome notices too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untaken {
    Full(Backlog),
    /// The node has stopped.
    Closed,
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

    /// Hands in a submission if there is room for it now.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), Untaken> {
        let mut queue = self.lock();
        queue.admit(self.limits(), submission.size())?;
        queue.append(submission);
        Ok(())
    }

    /// Hands in a submission, once there is room for it.
    pub(crate) async fn submit_with_room(&self, submission: Submission) -> Result<(), Untaken> {
        let mut submission = Some(submission);
        let mut place = Place { outbound: self, ticket: None };
        poll_fn(|cx| {
            let Some(next) = submission.take() else { return Poll::Ready(Err(Untaken::Closed)) };
            let mut queue = self.lock();
            match queue.admit(self.limits(), next.size()) {
                Ok(()) => {
                    queue.append(next);
                    Poll::Ready(Ok(()))
                }
                Err(Untaken::Full(_)) => {
                    submission = Some(next);
                    place.wait(queue, cx);
                    Poll::Pending
                }
                Err(Untaken::Closed) => Poll::Ready(Err(Untaken::Closed)),
            }
        })
        .await
    }

    /// Hands in what takes no room that counts: the number of such is bounded elsewhere, and so is its size.
    pub(crate) fn push(&self, submission: Submission) {
        let mut queue = self.lock();
        if !queue.closed {
            queue.append(submission);
        }
    }

    fn limits(&self) -> (usize, usize) {
        (self.max_count, self.max_bytes)
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
        submissions.into_iter().map(|submission| submission.unasked()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Whether there is room for `size` more bytes. An empty queue takes one of any size.
    fn admit(&self, (max_count, max_bytes): (usize, usize), size: usize) -> Result<(), Untaken> {
        if self.closed {
            return Err(Untaken::Closed);
        }
        if self.submissions.len() >= max_count {
            return Err(Untaken::Full(Backlog::Messages { limit: max_count }));
        }
        if self.bytes + size > max_bytes && !self.submissions.is_empty() {
            return Err(Untaken::Full(Backlog::Bytes { limit: max_bytes }));
        }
        Ok(())
    }

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
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    fn message(done: Option<Answered>) -> Submission {
        let kind = MessageType::user(200).unwrap();
        let payload = Bytes::from_static(b"tea");
        Submission::Send { to: NodeId::from_u128(1), kind, payload, reliability: Reliability::BestEffort, done }
    }

    #[test]
    fn the_reason_of_a_rejection_takes_room_and_is_cut_where_it_will_be() {
        assert_eq!(Verdict::rejected("no tea").size(), 6);
        let Verdict::Rejected(reason) = Verdict::rejected("x".to_owned() + &"ß".repeat(LONGEST_REASON)) else {
            panic!()
        };
        assert_eq!((reason.len(), reason.capacity()), (LONGEST_REASON - 1, LONGEST_REASON - 1));
    }

    fn full(limit: usize) -> Untaken {
        Untaken::Full(Backlog::Messages { limit })
    }

    fn take_all(outbound: &Outbound) -> usize {
        let mut taken = Vec::new();
        outbound.take(&mut Context::from_waker(Waker::noop()), &mut taken);
        taken.len()
    }

    #[test]
    fn what_waits_when_it_is_closed_is_counted_if_nobody_hears_of_it_and_nothing_is_taken_any_more() {
        let (outbound, gather) = (Outbound::new(3, 1_000), Gather::new());
        for done in [None, Some(gather.expect())] {
            assert_eq!(outbound.submit(message(done)), Ok(()));
        }
        let to = [None, Some(gather.expect()), None].map(|done| Listed { to: NodeId::from_u128(2), done }).into();
        let (kind, payload) = (MessageType::user(200).unwrap(), Bytes::new());
        let list = List { to, kind, payload, purpose: Purpose::Tell(Reliability::BestEffort) };
        assert_eq!(outbound.submit(Submission::List(Box::new(list))), Ok(()));
        assert_eq!(outbound.submit_with_room(message(None)).now_or_never(), None, "it is full");
        assert_eq!(outbound.close(), 3);
        assert_eq!(outbound.submit(message(None)), Err(Untaken::Closed));
        assert_eq!(outbound.submit_with_room(message(None)).now_or_never(), Some(Err(Untaken::Closed)));
        assert_eq!(outbound.close(), 0);
    }

    #[test]
    fn whoever_finds_it_full_is_told_at_once_or_waits_until_it_is_taken() {
        let outbound = Outbound::new(2, 1_000);
        assert_eq!([0; 2].map(|_| outbound.submit(message(None))), [Ok(()); 2]);
        assert_eq!(outbound.submit(message(None)), Err(full(2)));
        let mut waiting = pin!(outbound.submit_with_room(message(None)));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(take_all(&outbound), 2);
        assert_eq!(waiting.now_or_never(), Some(Ok(())));
        assert_eq!(outbound.submit(message(None)), Ok(()));
        assert_eq!(outbound.submit(message(None)), Err(full(2)));
    }

    #[test]
    fn bytes_are_bounded_too_and_one_message_of_any_size_goes_alone() {
        let outbound = Outbound::new(9, 5);
        assert_eq!(outbound.submit(message(None)), Ok(()));
        assert_eq!(outbound.submit(message(None)), Err(Untaken::Full(Backlog::Bytes { limit: 5 })));
        assert_eq!(take_all(&outbound), 1);
        let outbound = Outbound::new(9, 2);
        assert_eq!(outbound.submit(message(None)), Ok(()));
    }
}
