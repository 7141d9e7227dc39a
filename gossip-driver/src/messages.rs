//! Streams that the application reads: of all messages, and of the answers to a question that went to many.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use gossip_core::NodeId;
use smallvec::IntoIter;

use crate::gather::{Failure, Gather, Outcome, Outcomes};
use crate::handlers::Handlers;
use crate::inbox::Inbox;
use crate::message::{Message, RequestError};
use crate::outbound::{Outbound, Submission};
use crate::payload::{Format, Payload};
use crate::shared::Shared;

/// Entries taken from the queue at once.
const BATCH: usize = 64;

/// What [`Messages`] gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Received {
    /// A direct message or a broadcast.
    Message(Message),
    /// Messages were dropped at this place because the reader was slow.
    Missed {
        /// How many.
        count: u64,
    },
}

/// All messages and broadcasts that come from now on, of any type, whether or not a handler gets them too.
///
/// A bounded number waits for a slow reader. Beyond it new ones are dropped, and the reader is told how many. The
/// stream ends when the node stops. It does not keep the node running.
#[derive(Debug)]
pub struct Messages {
    inbox: Arc<Inbox<Received>>,
    /// With the bytes that each takes.
    taken: VecDeque<(Received, usize)>,
    shared: Arc<Shared>,
}

impl Messages {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { inbox: shared.handlers.add_reader(), taken: VecDeque::new(), shared: Arc::clone(shared) }
    }

    /// Waits for the next message; `None` once the node has stopped and everything is read.
    pub async fn next(&mut self) -> Option<Received> {
        StreamExt::next(self).await
    }
}

impl Stream for Messages {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        let Self { inbox, taken, .. } = &mut *self;
        if taken.is_empty() {
            match inbox.poll_take(cx, taken, BATCH) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let next = taken.pop_front().map(|(received, bytes)| {
            inbox.release(bytes);
            received
        });
        Poll::Ready(next)
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.inbox.close();
        Handlers::prune_readers(&self.shared.handlers);
    }
}

/// The answers to [`Cluster::scatter`](crate::Cluster::scatter), as they come, each with who gave it.
///
/// It ends when everybody has answered, failed, or run out of time. Dropped before, it cancels what is left.
#[derive(Debug)]
pub struct Answers {
    asked: usize,
    waiting: Waiting,
    taken: IntoIter<[(NodeId, Outcome); 1]>,
    format: Arc<Format>,
}

impl Answers {
    pub(crate) fn new(asked: usize, waiting: Waiting, format: &Arc<Format>) -> Self {
        Self { asked, waiting, taken: Outcomes::new().into_iter(), format: Arc::clone(format) }
    }

    /// How many nodes were asked.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// Waits for the next answer; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<(NodeId, Result<Payload, RequestError>)> {
        StreamExt::next(self).await
    }
}

impl Stream for Answers {
    type Item = (NodeId, Result<Payload, RequestError>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut next = self.taken.next();
        if next.is_none() {
            let mut outcomes = Outcomes::new();
            match self.waiting.gather.poll_outcomes(cx, &mut outcomes) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
            self.taken = outcomes.into_iter();
            next = self.taken.next();
        }
        Poll::Ready(next.map(|(by, outcome)| (by, answer_of(outcome, &self.format))))
    }
}

/// How a request ended, as applications see it.
pub(crate) fn answer_of(outcome: Outcome, format: &Arc<Format>) -> Result<Payload, RequestError> {
    match outcome {
        Ok(payload) => Ok(Payload::new(payload, format)),
        Err(Failure::NotSent(error)) => Err(RequestError::NotSent(error.into())),
        Err(Failure::Failed(error)) => Err(error.into()),
    }
}

/// Waits for requests to end, and cancels by its drop those that have not.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) gather: Arc<Gather>,
    outbound: Arc<Outbound>,
}

impl Waiting {
    pub(crate) fn new(gather: Arc<Gather>, outbound: &Arc<Outbound>) -> Self {
        Self { gather, outbound: Arc::clone(outbound) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.gather.is_open() {
            self.outbound.push(Submission::Cancel(Arc::clone(&self.gather)));
        }
    }
}
