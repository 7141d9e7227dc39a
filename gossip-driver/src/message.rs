//! What applications send each other, as handlers get it.

mod error;

use std::fmt;
use std::sync::Arc;

use futures_channel::oneshot;
use gossip_core::{MessageId, MessageType, NodeId, ReplyToken};

use crate::Instant;
use crate::outbound::{Outbound, Submission, Untaken, Verdict};
use crate::payload::{Encode, Format, Payload};

pub use error::{Backlog, DecodeError, HandlerError, HandlerSort, RequestError, SendError};

/// A message from another node, or from this one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Message {
    /// Who sent it; of a broadcast, who sent it first.
    pub from: NodeId,
    /// What it is about.
    pub kind: MessageType,
    /// What it says.
    pub payload: Payload,
    /// How it came, if it was a broadcast.
    pub broadcast: Option<BroadcastInfo>,
}

/// What is known of a broadcast besides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastInfo {
    /// Which one; the same at all who get it.
    pub id: MessageId,
    /// The tag that it was sent to, if not to everybody.
    pub tag: Option<Arc<str>>,
    /// How many nodes it went through, this one included.
    pub hops: u8,
}

/// A request from another node, or from this one.
#[derive(Debug)]
#[non_exhaustive]
pub struct Request {
    /// Who asks.
    pub from: NodeId,
    /// What it is about.
    pub kind: MessageType,
    /// What it says.
    pub payload: Payload,
    /// Until when the answer is waited for, on the clock of [`Cluster::now`](crate::Cluster::now).
    pub deadline: Instant,
    asked: Asked,
}

impl Request {
    pub(crate) fn new(from: NodeId, kind: MessageType, payload: Payload, deadline: Instant, asked: Asked) -> Self {
        Self { from, kind, payload, deadline, asked }
    }

    pub(crate) fn asked(&self) -> Asked {
        self.asked.clone()
    }

    /// Lets somebody else answer, at any time before the deadline: the handler returns `Ok(later)`, the [`Reply`] can be
    /// sent anywhere.
    ///
    /// A reply that is dropped rejects the request.
    pub fn defer(&self) -> (Reply, Later) {
        (Reply { asked: Some(self.asked.clone()), is_patient: false }, Later(()))
    }
}

/// Which request, and where its answer is handed in.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) token: ReplyToken,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) format: Arc<Format>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("token", &self.token).finish_non_exhaustive()
    }
}

/// What a handler of requests gives: something that can be sent, or [`Later`].
pub trait Answer {
    /// The payload; `None` if the answer comes by another way.
    #[doc(hidden)]
    fn into_payload(self, format: &Packer<'_>) -> Option<Result<bytes::Bytes, SendError>>;
}

/// Writes answers in the form that this node's payloads have.
#[doc(hidden)]
#[derive(Debug)]
pub struct Packer<'a>(pub(crate) &'a Format);

impl<E: Encode> Answer for E {
    fn into_payload(self, packer: &Packer<'_>) -> Option<Result<bytes::Bytes, SendError>> {
        Some(packer.0.pack(self))
    }
}

/// Says that the answer comes later, by a [`Reply`]; see [`Request::defer`].
#[derive(Debug)]
pub struct Later(());

impl Answer for Later {
    fn into_payload(self, _: &Packer<'_>) -> Option<Result<bytes::Bytes, SendError>> {
        None
    }
}

/// The right to answer one request; see [`Request::defer`]. If it is dropped, the request is rejected.
#[derive(Debug)]
pub struct Reply {
    asked: Option<Asked>,
    /// Its answer waits for room.
    is_patient: bool,
}

impl Reply {
    /// The same, but its answer waits while too much waits for the node's task already; as with
    /// [`Cluster::patient`](crate::Cluster::patient).
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// Answers.
    ///
    /// # Errors
    ///
    /// The codec cannot write the body, or it is too large: the request is rejected. Too much is on its way, or, with
    /// [`SendError::Busy`] and at once, waits for the node's task already: the asker is told that this node is
    /// overloaded. Or nobody waits for the answer any more. If this future is dropped before the answer is handed in,
    /// the request is rejected.
    pub async fn answer(mut self, body: impl Encode) -> Result<(), SendError> {
        let Some(asked) = &self.asked else { return Ok(()) };
        let payload = match asked.format.pack(body) {
            Ok(payload) => payload,
            Err(error) => {
                self.end_without(Verdict::rejected(format!("the answer cannot be sent: {error}")), None);
                return Err(error);
            }
        };
        let (done, accepted) = oneshot::channel();
        let submission = Submission::Decide { token: asked.token, verdict: Verdict::Answer(payload), done: Some(done) };
        let taken = if self.is_patient {
            asked.outbound.submit_with_room(submission).await
        } else {
            asked.outbound.submit(submission)
        };
        if let Err(Untaken::Full(backlog)) = taken {
            self.end_without(Verdict::Overloaded, None);
            return Err(SendError::Busy(backlog));
        }
        // Until here the drop of this rejects.
        self.asked = None;
        outcome_of(accepted).await
    }

    /// Says that there will be no answer, and why; the reason is cut after 1,024 bytes. It needs no room.
    ///
    /// # Errors
    ///
    /// Nobody waits for the answer any more.
    pub async fn reject(mut self, rejected: impl Into<Rejected>) -> Result<(), SendError> {
        let (done, accepted) = oneshot::channel();
        self.end_without(Verdict::rejected(rejected.into().0), Some(done));
        outcome_of(accepted).await
    }

    /// Ends the request without an answer. There is one end for each request, and requests are bounded.
    fn end_without(&mut self, verdict: Verdict, done: Option<oneshot::Sender<Result<(), gossip_core::SendError>>>) {
        if let Some(asked) = self.asked.take() {
            asked.outbound.push(Submission::Decide { token: asked.token, verdict, done });
        }
    }
}

/// How the end of a request was taken; nobody says so if the node has stopped.
async fn outcome_of(accepted: oneshot::Receiver<Result<(), gossip_core::SendError>>) -> Result<(), SendError> {
    match accepted.await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(gossip_core::SendError::RequestOver.into()),
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.end_without(Verdict::rejected("the request was dropped without an answer"), None);
    }
}

/// Why a handler does not answer a request; the asker gets the text.
///
/// Every error becomes one by `?`.
#[derive(Clone, PartialEq, Eq)]
pub struct Rejected(String);

impl Rejected {
    /// For this reason; cut after 1,024 bytes.
    pub fn because(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }

    pub(crate) fn into_reason(self) -> String {
        self.0
    }
}

impl<E: std::error::Error> From<E> for Rejected {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rejected({:?})", self.0)
    }
}

/// Whom [`Cluster::scatter`](crate::Cluster::scatter) asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience<'a> {
    /// Every live member but this node.
    All,
    /// Every live member with this tag but this node.
    Tag(&'a str),
    /// These; this node too if it is among them.
    Nodes(&'a [NodeId]),
}
