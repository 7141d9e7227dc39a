//! Messages, requests and handlers at the handle.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::future::join_all;
use gossip_core::{BroadcastOptions, MessageId, MessageType, NodeId, Reliability};

use crate::callback::PATIENCE;
use crate::gather::{Failure, Gather, Outcome, Outcomes};
use crate::message::{Answer, Audience, HandlerError, Message, Rejected, Request, RequestError, SendError};
use crate::messages::{Answers, Messages, Waiting, answer_of};
use crate::outbound::{Broadcast, List, Listed, Purpose, Submission, Untaken};
use crate::payload::{Encode, Payload};
use crate::runtime::sleep;
use crate::{Cluster, Runtime};

impl<R: Runtime> Cluster<R> {
    /// A handle to the same node whose sends and requests wait while too much waits for the node's task already, where
    /// those of other handles fail with [`SendError::Busy`]. For those who send as fast as the node takes it.
    ///
    /// Clones of it, and weak handles of it, are patient too. It waits for nothing else: what fails for another reason
    /// fails as with any handle.
    #[must_use]
    pub fn patient(&self) -> Self {
        Self { handle: Arc::clone(&self.handle), is_patient: true }
    }

    /// Sends a message to every live member, or to those with a tag; not to this node itself.
    ///
    /// Each of them gets it once, those that are reachable within seconds even under heavy loss. A node that joins later
    /// does not.
    ///
    /// # Errors
    ///
    /// Nothing is sent if the codec cannot write the body, it is too large, no other live member has the tag, too much
    /// is on its way already, or the node has left or stopped. With [`SendError::Busy`] it fails at once; it never waits
    /// for room unless this handle is [`patient`](Self::patient).
    pub async fn broadcast(
        &self,
        kind: MessageType,
        body: impl Encode,
        options: BroadcastOptions<'_>,
    ) -> Result<MessageId, SendError> {
        let payload = self.pack(body)?;
        let BroadcastOptions { tag, reliable, ordered } = options;
        let message = Box::new(Broadcast { kind, payload, tag: tag.map(str::to_owned), reliable, ordered });
        let (done, accepted) = oneshot::channel();
        self.submit(Submission::Broadcast { message, done }).await?;
        match accepted.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(SendError::Stopped(self.stopped().await)),
        }
    }

    /// Sends a message to one member, or to this node itself.
    ///
    /// [`Reliable`](Reliability::Reliable) waits until the receiver has confirmed it; if this future is dropped the
    /// message goes its way nevertheless. [`BestEffort`](Reliability::BestEffort) waits until it is accepted, and no
    /// longer: what does not fit a datagram travels by stream, and nobody is told if it is lost. For a message that
    /// fits a datagram `Ok` means only that it waits for the node's task: if that finds the receiver gone or too much
    /// on its way, or stops first, the message is dropped and counted as
    /// [`MessagesUnsent`](crate::Counter::MessagesUnsent).
    ///
    /// # Errors
    ///
    /// Nothing is sent if the codec cannot write the body, it is too large, the member is unknown or not live, too much
    /// is on its way already, or the node has left or stopped. With [`SendError::Busy`] it fails at once; it never waits
    /// for room unless this handle is [`patient`](Self::patient). [`SendError::Unconfirmed`] leaves open whether the
    /// message arrived.
    pub async fn send(
        &self,
        to: NodeId,
        kind: MessageType,
        body: impl Encode,
        reliability: Reliability,
    ) -> Result<(), SendError> {
        let payload = self.pack(body)?;
        if reliability == Reliability::BestEffort && self.is_sure_to_accept(to, &payload) {
            return self.submit(Submission::Send { to, kind, payload, reliability, done: None }).await;
        }
        let gather = Gather::new();
        let done = Some(gather.expect());
        self.submit(Submission::Send { to, kind, payload, reliability, done }).await?;
        self.end_of(&gather).await
    }

    /// Sends a message to each of these members; how it went, in the same order. The body is written once.
    ///
    /// # Errors
    ///
    /// For each as with [`send`](Self::send). The list takes one place before the node's task: with
    /// [`SendError::Busy`] it fails for all of them.
    pub async fn send_to(
        &self,
        to: &[NodeId],
        kind: MessageType,
        body: impl Encode,
        reliability: Reliability,
    ) -> Vec<(NodeId, Result<(), SendError>)> {
        let payload = match self.pack(body) {
            Ok(payload) => payload,
            Err(error) => return to.iter().map(|&to| (to, Err(error.clone()))).collect(),
        };
        let (mut listed, mut ends) = (Vec::with_capacity(to.len()), Vec::with_capacity(to.len()));
        for &to in to {
            let is_sure = reliability == Reliability::BestEffort && self.is_sure_to_accept(to, &payload);
            let gather = (!is_sure).then(Gather::new);
            listed.push(Listed { to, done: gather.as_ref().map(Gather::expect) });
            ends.push((to, gather));
        }
        if let Err(error) =
            self.submit_list(List { to: listed, kind, payload, purpose: Purpose::Tell(reliability) }).await
        {
            return to.iter().map(|&to| (to, Err(error.clone()))).collect();
        }
        join_all(ends.into_iter().map(async |(to, gather)| match gather {
            Some(gather) => (to, self.end_of(&gather).await),
            None => (to, Ok(())),
        }))
        .await
    }

    /// How a message ended of which somebody hears.
    async fn end_of(&self, gather: &Gather) -> Result<(), SendError> {
        match next_outcome(gather).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(Failure::NotSent(error))) => Err(error.into()),
            Some(Err(Failure::Failed(error))) => Err(SendError::Unconfirmed(error)),
            None => Err(SendError::Stopped(self.stopped().await)),
        }
    }

    /// Whether the node's task need not be waited for: this node takes part, the receiver is live, and a datagram takes
    /// no room for long.
    fn is_sure_to_accept(&self, to: NodeId, payload: &Bytes) -> bool {
        /// What surrounds a message in a datagram, at most.
        const AROUND: usize = 64;
        let is_short = payload.len() + AROUND <= self.handle.max_datagram;
        is_short
            && self.handle.shared.is_active()
            && self.snapshot().member(to).is_some_and(|member| member.state.is_live())
    }

    /// Asks a member, or this node itself, and waits for the answer for at most `timeout`, which may be up to an hour.
    ///
    /// A request that was sent is not repeated, so it is handled at most once. Dropping the future cancels it: an answer
    /// that comes nevertheless is counted and dropped.
    ///
    /// # Errors
    ///
    /// [`RequestError::NotSent`] as with [`send`](Self::send), at once with [`SendError::Busy`];
    /// [`RequestError::Failed`] if it was sent and there is no answer.
    pub async fn request(
        &self,
        to: NodeId,
        kind: MessageType,
        body: impl Encode,
        timeout: Duration,
    ) -> Result<Payload, RequestError> {
        let payload = self.pack(body)?;
        let (gather, deadline) = (Gather::new(), self.now() + timeout);
        let done = gather.expect();
        let shared = &self.handle.shared;
        self.submit(Submission::Request { to, kind, payload, deadline, done }).await?;
        let waiting = Waiting::new(gather, &shared.outbound);
        match next_outcome(&waiting.gather).await {
            Some(outcome) => answer_of(outcome, &shared.handlers.format),
            None => Err(SendError::Stopped(self.stopped().await).into()),
        }
    }

    /// Asks many members at once; their answers come as a stream, each as soon as it is there, until everybody has
    /// answered or failed, at the latest after `timeout`.
    ///
    /// # Errors
    ///
    /// Nobody is asked if the codec cannot write the body, it is too large, no other live member has the tag, the node
    /// has stopped, or, with [`SendError::Busy`], the one place that the question takes before the node's task is not
    /// free. What concerns one member alone is that member's answer.
    pub async fn scatter(
        &self,
        audience: Audience<'_>,
        kind: MessageType,
        body: impl Encode,
        timeout: Duration,
    ) -> Result<Answers, SendError> {
        let payload = self.pack(body)?;
        let members = self.members();
        let others = |id: &NodeId| *id != self.id();
        let nodes: Vec<NodeId> = match audience {
            Audience::All => members.live().map(|member| member.id).filter(others).collect(),
            Audience::Tag(tag) => members.tagged(tag).map(|member| member.id).filter(others).collect(),
            Audience::Nodes(nodes) => nodes.to_vec(),
        };
        if nodes.is_empty() && matches!(audience, Audience::Tag(_)) {
            return Err(gossip_core::SendError::NoSuchTag.into());
        }
        self.scatter_payload(&nodes, kind, payload, timeout).await
    }

    pub(super) async fn scatter_payload(
        &self,
        nodes: &[NodeId],
        kind: MessageType,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Answers, SendError> {
        let (gather, deadline) = (Gather::new(), self.now() + timeout);
        let to = nodes.iter().map(|&to| Listed { to, done: Some(gather.expect()) }).collect();
        self.submit_list(List { to, kind, payload, purpose: Purpose::Ask { deadline } }).await?;
        let shared = &self.handle.shared;
        Ok(Answers::new(nodes.len(), Waiting::new(gather, &shared.outbound), &shared.handlers.format))
    }

    /// Lets a function handle the direct messages and broadcasts of one type.
    ///
    /// Calls begin in the order in which messages come, in one task for all calls of this handler; up to
    /// [`Config::max_handlers`](crate::Config#structfield.max_handlers) of them are under way at the same time. A handler
    /// must not block; what computes for long belongs in a task of its own. What comes while the queue before it is full
    /// is dropped, counted, and told by [`Event::MessagesMissed`](crate::Event::MessagesMissed). A panic is caught, counted
    /// and logged. The function must not own a handle, which would keep the node running: see
    /// [`downgrade`](Self::downgrade).
    ///
    /// When the node has stopped no call begins. Calls that are under way then have a second, and are dropped.
    ///
    /// # Errors
    ///
    /// The type has a handler of messages already, or the node has stopped.
    pub fn handle_messages<F, Fut>(&self, kind: MessageType, handler: F) -> Result<(), HandlerError>
    where
        F: FnMut(Message) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let task = self.handle.shared.handlers.add_messages(kind, handler, self.patience())?;
        self.handle.callbacks.run(&self.handle.runtime, task);
        Ok(())
    }

    /// Lets a function answer the requests of one type; see [`handle_messages`](Self::handle_messages) for how it is
    /// called.
    ///
    /// What it returns is sent as the answer; [`Rejected`], which every error becomes by `?`, as the reason why there is
    /// none; the call goes on until there is room for it. To answer at another time and place see [`Request::defer`]. Requests that come while the queue is full are
    /// refused as overloaded; a panic, in writing the answer too, rejects the request.
    ///
    /// # Errors
    ///
    /// The type has a handler of requests already, or the node has stopped.
    pub fn handle_requests<F, Fut, A>(&self, kind: MessageType, handler: F) -> Result<(), HandlerError>
    where
        F: FnMut(Request) -> Fut + Send + 'static,
        Fut: Future<Output = Result<A, Rejected>> + Send + 'static,
        A: Answer + Send + 'static,
    {
        let task = self.handle.shared.handlers.add_requests(kind, handler, self.patience())?;
        self.handle.callbacks.run(&self.handle.runtime, task);
        Ok(())
    }

    /// Removes the handler of messages of a type; whether there was one. Calls that are under way are finished, what
    /// waits for it is still handled, unless the node stops.
    pub fn remove_message_handler(&self, kind: MessageType) -> bool {
        self.handle.shared.handlers.remove_messages(kind)
    }

    /// Removes the handler of requests of a type; whether there was one. Calls that are under way are finished, what
    /// waits for it is still handled, unless the node stops.
    pub fn remove_request_handler(&self, kind: MessageType) -> bool {
        kind != MessageType::KEYS && self.handle.shared.handlers.remove_requests(kind)
    }

    /// All direct messages and broadcasts from now on, of any type, whether or not a handler gets them too.
    pub fn messages(&self) -> Messages {
        Messages::new(&self.handle.shared)
    }

    /// Lets other members ask for this node's keys and change them.
    pub(crate) fn handle_keys(&self) -> Result<(), HandlerError> {
        let keys = Arc::clone(&self.handle.keys);
        self.handle_requests(MessageType::KEYS, move |request| {
            let keys = Arc::clone(&keys);
            async move { keys.answer(request).await }
        })
    }

    /// Ends when calls of handlers may no longer go on: a little after the node has stopped.
    fn patience(&self) -> impl Future<Output = ()> + Send + 'static + use<R> {
        let (shared, runtime) = (Arc::clone(&self.handle.shared), self.handle.runtime.clone());
        async move {
            shared.stopped().await;
            sleep(&runtime, PATIENCE).await;
        }
    }

    /// Hands something to the node's task.
    async fn submit(&self, submission: Submission) -> Result<(), SendError> {
        let outbound = &self.handle.shared.outbound;
        let taken =
            if self.is_patient { outbound.submit_with_room(submission).await } else { outbound.submit(submission) };
        match taken {
            Ok(()) => Ok(()),
            Err(Untaken::Full(backlog)) => Err(SendError::Busy(backlog)),
            Err(Untaken::Closed) => Err(SendError::Stopped(self.stopped().await)),
        }
    }

    async fn submit_list(&self, list: List) -> Result<(), SendError> {
        if list.to.is_empty() && !self.is_stopped() {
            return Ok(());
        }
        self.submit(Submission::List(Box::new(list))).await
    }

    fn pack(&self, body: impl Encode) -> Result<Bytes, SendError> {
        self.handle.shared.handlers.format.pack(body)
    }
}

/// The end of the only request of this gathering; `None` if the node stopped before.
async fn next_outcome(gather: &Gather) -> Option<Outcome> {
    let mut outcomes = Outcomes::new();
    poll_fn(|cx| gather.poll_outcomes(cx, &mut outcomes)).await?;
    outcomes.pop().map(|(_, outcome)| outcome)
}
