//! Requests and their answers, and messages that are to be confirmed.
//!
//! Both travel by stream, under a number that the asker draws. An own one ends exactly once: by the answer, by the deadline, or
//! because the connection broke. The number of those that have not ended, or whose end was not read yet, is bounded; so
//! is that of others' requests that this node has not answered yet.

mod confirmed;
mod own;
mod theirs;

use bytes::Bytes;

use crate::context::Context;
use crate::identity::{Address, NodeId};
use crate::message::{MessageType, Refusal, RequestError};
use crate::payload::Payload;
use crate::time::Instant;
use crate::timer::Timer;

use own::Own;
use theirs::Theirs;

pub(crate) use confirmed::Sender;

/// Outcomes of a request on the wire.
const ANSWERED: u8 = 0;
const NO_HANDLER: u8 = 1;
const REJECTED: u8 = 2;
const OVERLOADED: u8 = 3;
const ASTRAY: u8 = 4;

/// Longest reason of a rejection in bytes.
const LONGEST_REASON: usize = 1_024;

#[derive(Debug)]
pub(crate) struct Requests<A> {
    own: Own<A>,
    theirs: Theirs<A>,
}

/// What is asked of whom.
pub(crate) struct Question<A> {
    pub(crate) to: NodeId,
    pub(crate) address: A,
    pub(crate) kind: MessageType,
    pub(crate) payload: Payload,
    pub(crate) deadline: Instant,
    /// It is a message, and a confirmation is all that comes back.
    pub(crate) confirm: bool,
}

impl<A: Address> Requests<A> {
    pub(crate) fn new() -> Self {
        Self { own: Own::new(), theirs: Theirs::new() }
    }

    /// Whether there is room for `count` more requests of this node.
    pub(crate) fn has_room(&self, cx: &Context<A>, count: usize) -> bool {
        self.own.len() + cx.deliveries.ends() + count <= cx.config.max_requests
    }

    /// Asks; whether there is room was asked before.
    pub(crate) fn ask(&mut self, cx: &mut Context<A>, question: Question<A>) -> u64 {
        let id = if question.to == cx.id() {
            let (kind, payload) = (question.kind, question.payload.clone().into());
            let (asker, address, deadline) = (question.to, question.address.clone(), question.deadline);
            let id = self.own.open(cx, question, false);
            let incoming = theirs::Incoming { asker, is_member: true, address, id, kind, payload, deadline };
            if !self.theirs.open(cx, incoming) {
                self.own.end(cx, id, asker, Err(RequestError::Overloaded));
            }
            id
        } else {
            self.own.open(cx, question, true)
        };
        self.arm(cx);
        id
    }

    /// A message to this node itself that is to be confirmed, which is done at once.
    pub(crate) fn confirm_own(&mut self, cx: &mut Context<A>, question: Question<A>) -> u64 {
        let to = question.to;
        let id = self.own.open(cx, question, false);
        self.own.end(cx, id, to, Ok(Bytes::new()));
        id
    }

    /// Members that are gone: what was asked of them is not answered.
    pub(crate) fn end_gone(&mut self, cx: &mut Context<A>, members: &[NodeId]) {
        for &member in members {
            self.own.end_gone(cx, member);
        }
        self.arm(cx);
    }

    /// Stops waiting for an answer; whether there was anything to wait for.
    pub(crate) fn cancel(&mut self, cx: &mut Context<A>, id: u64) -> bool {
        let was_open = self.own.close(cx, id).is_some();
        self.arm(cx);
        was_open
    }

    /// Somebody's request came.
    pub(crate) fn handle_request(
        &mut self,
        cx: &mut Context<A>,
        from: &A,
        sender: Sender,
        request: &crate::wire::Letter<'_, crate::wire::RequestHeader>,
    ) {
        self.theirs.handle_request(cx, from, sender, request);
        self.arm(cx);
    }

    /// The end of a request of this node came.
    pub(crate) fn handle_reply(
        &mut self,
        cx: &mut Context<A>,
        sender: NodeId,
        reply: &crate::wire::Letter<'_, crate::wire::ReplyHeader>,
    ) {
        let result = match reply.header.outcome {
            ANSWERED => Ok(Bytes::copy_from_slice(reply.payload)),
            NO_HANDLER => Err(RequestError::NoHandler),
            REJECTED => {
                let reason = &reply.payload[..reply.payload.len().min(LONGEST_REASON)];
                Err(RequestError::Rejected(alloc::string::String::from_utf8_lossy(reason).into_owned()))
            }
            OVERLOADED => Err(RequestError::Overloaded),
            ASTRAY => {
                self.own.end_astray(cx, reply.header.id, sender);
                self.arm(cx);
                return;
            }
            other => Err(RequestError::Unknown(other)),
        };
        self.own.end(cx, reply.header.id, sender, result);
        self.arm(cx);
    }

    /// Answers a request; whether anybody waits for it.
    pub(crate) fn answer(&mut self, cx: &mut Context<A>, token: u64, payload: Bytes) -> bool {
        let Some(asker) = self.theirs.close(token) else { return false };
        if asker.node == cx.id() {
            self.own.end(cx, asker.id, asker.node, Ok(payload));
        } else {
            asker.tell(cx, ANSWERED, payload);
        }
        self.arm(cx);
        true
    }

    /// Who waits for the answer to a request, and where it goes, while it can be given.
    pub(crate) fn asker(&self, token: u64) -> Option<(NodeId, &A)> {
        self.theirs.asker(token)
    }

    /// Says why a request is not answered; whether anybody waits for it.
    pub(crate) fn refuse(&mut self, cx: &mut Context<A>, token: u64, refusal: Refusal<'_>) -> bool {
        let Some(asker) = self.theirs.close(token) else { return false };
        let (outcome, error, reason) = match refusal {
            Refusal::NoHandler => (NO_HANDLER, RequestError::NoHandler, ""),
            Refusal::Overloaded => (OVERLOADED, RequestError::Overloaded, ""),
            Refusal::Rejected(reason) => {
                let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
                (REJECTED, RequestError::Rejected(reason.into()), reason)
            }
        };
        if asker.node == cx.id() {
            self.own.end(cx, asker.id, asker.node, Err(error));
        } else {
            asker.tell_if_room(cx, outcome, reason.as_bytes());
        }
        self.arm(cx);
        true
    }

    /// Nothing more comes from `address` over the connection that there was.
    pub(crate) fn handle_unreachable(&mut self, cx: &mut Context<A>, address: &A) {
        self.own.handle_unreachable(cx, address);
        self.arm(cx);
    }

    /// Ends what is past its deadline.
    pub(crate) fn expire(&mut self, cx: &mut Context<A>) {
        self.own.expire(cx);
        self.theirs.expire(cx.now);
        self.arm(cx);
    }

    /// The node has left: nothing more comes.
    pub(crate) fn end_all(&mut self, cx: &mut Context<A>) {
        self.own.end_all(cx);
        self.theirs.clear();
        cx.timers.stop(Timer::Request);
    }

    pub(crate) fn arm(&self, cx: &mut Context<A>) {
        let next = self.own.next_deadline().into_iter().chain(self.theirs.next_deadline()).min();
        cx.timers.follow(Timer::Request, next);
    }
}
