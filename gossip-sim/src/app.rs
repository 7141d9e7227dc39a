//! The user's own code on each virtual node.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use gossip_core::{
    BroadcastOptions, Delivery, Event, MessageId, MessageType, Node, NodeId, Refusal, Reliability, ReplyToken,
    RequestId, SendError,
};

use crate::scenario::Span;
use crate::world::Addr;

/// An application that sits on a virtual node. All methods are called in virtual time, one at a time; each may use the
/// node and send messages through the [`AppContext`].
///
/// An application that crashes with its node is dropped with it; the factory given to
/// [`Simulation::app`](crate::Simulation::app) makes a new one when the node comes back.
pub trait App: Any {
    /// The node has started.
    fn start(&mut self, cx: &mut AppContext<'_>) {
        let _ = cx;
    }

    /// The node reported something.
    fn on_event(&mut self, cx: &mut AppContext<'_>, event: &Event<Addr>) {
        let _ = (cx, event);
    }

    /// A message from the application on another node came. It may be the second copy, or late, or an old one.
    fn on_message(&mut self, cx: &mut AppContext<'_>, from: Addr, message: &[u8]) {
        let _ = (cx, from, message);
    }

    /// A broadcast, a message, a request or the end of a request came; the traffic of the scenario is not shown. Requests
    /// are answered with [`AppContext::reply`] or [`AppContext::refuse`], now or later.
    fn on_delivery(&mut self, cx: &mut AppContext<'_>, delivery: &Delivery) {
        let _ = (cx, delivery);
    }

    /// The time that was asked for with [`AppContext::wake_after`] has passed.
    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        let _ = cx;
    }
}

/// A message on its way out of an application.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Addr,
    pub(crate) bytes: Vec<u8>,
}

/// What an application asked its node for, as the oracles are told.
#[derive(Debug)]
pub(crate) enum Asked {
    Broadcast { id: MessageId, kind: MessageType, tag: Option<Arc<str>>, ordered: bool, payload: Bytes },
    Request { id: RequestId, patience: Span, is_message: bool },
    Cancelled { id: RequestId },
}

/// What an application can do.
#[derive(Debug)]
pub struct AppContext<'a> {
    pub(crate) now: Span,
    pub(crate) wall_ms: u64,
    pub(crate) number: u32,
    pub(crate) node: &'a mut Node<Addr>,
    pub(crate) local: gossip_core::Instant,
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) wake: Option<Span>,
    pub(crate) failures: Vec<String>,
    pub(crate) random: &'a mut crate::random::Random,
}

impl AppContext<'_> {
    /// Virtual time since the start of the run, which no clock of the machine may show: for checks.
    pub fn now(&self) -> Span {
        self.now
    }

    /// The number of the virtual machine.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The node, to be looked at and changed. Broadcasts and requests have to be sent with the methods here, so that the
    /// oracles know of them.
    pub fn node(&mut self) -> &mut Node<Addr> {
        self.node
    }

    /// What the machine's wall clock shows, in milliseconds since 1970; faults set it wrong.
    pub fn wall_clock_ms(&self) -> u64 {
        self.wall_ms
    }

    /// What the machine's monotonic clock shows, for the commands that want it; faults make it drift and leap.
    pub fn local_time(&self) -> gossip_core::Instant {
        self.local
    }

    /// Sends a message to the application at an address, by datagram: it may be lost, doubled, or late.
    pub fn send(&mut self, to: Addr, message: &[u8]) {
        self.outgoing.push(Outgoing { to, bytes: message.to_vec() });
    }

    /// Sends a message to the application on every other live member.
    pub fn send_to_all(&mut self, message: &[u8]) {
        let me = *self.node.address();
        let live = self.node.members().filter(|member| member.state.is_live() && member.address != me);
        self.outgoing.extend(live.map(|member| Outgoing { to: member.address, bytes: message.to_vec() }));
    }

    /// [`Node::broadcast`], with the oracles watching: that all get it once.
    ///
    /// # Errors
    ///
    /// Those of the node.
    pub fn broadcast(
        &mut self,
        kind: MessageType,
        payload: impl Into<Bytes>,
        options: BroadcastOptions<'_>,
    ) -> Result<MessageId, SendError> {
        let payload = payload.into();
        let id = self.node.broadcast(self.local, kind, payload.clone(), options)?;
        let tag = options.tag.map(Arc::from);
        self.asked.push(Asked::Broadcast { id, kind, tag, ordered: options.ordered, payload });
        Ok(id)
    }

    /// [`Node::send`]: a message to one member.
    ///
    /// # Errors
    ///
    /// Those of the node.
    pub fn send_message(
        &mut self,
        to: NodeId,
        kind: MessageType,
        payload: impl Into<Bytes>,
        reliability: Reliability,
    ) -> Result<Option<RequestId>, SendError> {
        let id = self.node.send(self.local, to, kind, payload.into(), reliability)?;
        let patience = Span::from(self.node.config().confirm_timeout);
        self.asked.extend(id.map(|id| Asked::Request { id, patience, is_message: true }));
        Ok(id)
    }

    /// [`Node::request`], with the oracles watching: that it ends once.
    ///
    /// # Errors
    ///
    /// Those of the node.
    pub fn request(
        &mut self,
        to: NodeId,
        kind: MessageType,
        payload: impl Into<Bytes>,
        patience: Span,
    ) -> Result<RequestId, SendError> {
        let deadline = self.local + patience.duration();
        let id = self.node.request(self.local, to, kind, payload.into(), deadline)?;
        self.asked.push(Asked::Request { id, patience, is_message: false });
        Ok(id)
    }

    /// [`Node::reply`]: answers a request.
    ///
    /// # Errors
    ///
    /// Those of the node.
    pub fn reply(&mut self, token: ReplyToken, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.node.reply(self.local, token, payload.into())
    }

    /// [`Node::refuse`]: says why a request is not answered.
    ///
    /// # Errors
    ///
    /// Those of the node.
    pub fn refuse(&mut self, token: ReplyToken, refusal: Refusal<'_>) -> Result<(), SendError> {
        self.node.refuse(self.local, token, refusal)
    }

    /// [`Node::cancel`]: nothing more is heard of a request.
    pub fn cancel(&mut self, request: RequestId) -> bool {
        let had_not_ended = self.node.cancel(self.local, request);
        if had_not_ended {
            self.asked.push(Asked::Cancelled { id: request });
        }
        had_not_ended
    }

    /// Has [`App::on_timer`] called after this span by the machine's clock; a later call takes the place of an earlier one.
    pub fn wake_after(&mut self, span: Span) {
        self.wake = Some(span);
    }

    /// A random number below `bound` from the run's seed.
    pub fn random_below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    /// Reports that something is wrong: the run fails, with this message under the oracle `application`.
    pub fn fail(&mut self, message: impl Into<String>) {
        self.failures.push(message.into());
    }
}
