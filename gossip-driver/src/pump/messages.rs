//! Messages of the application: from handles to the node, and from the node to handlers and to those who wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use bytes::Bytes;
use gossip_core::{
    BroadcastOptions, Delivery, MessageType, NodeId, Refusal, Reliability, ReplyToken, RequestError, RequestId,
    SendError,
};
use tracing::debug;

use crate::gather::{Answered, Failure};
use crate::handlers::Table;
use crate::losses::Losses;
use crate::message::{Asked, BroadcastInfo, Message, Request};
use crate::messages::Received;
use crate::outbound::{Broadcast, List, Listed, Purpose, Submission, Verdict};
use crate::payload::Payload;
use crate::pump::Pump;
use crate::stats::Counter;
use crate::{Config, Event, NodeAddress, Runtime};

/// What a message takes in a frame besides its payload, at most.
const AROUND: usize = 64;

/// Messages of a list that are handed to the node before it sends them.
const LISTED: usize = 256;

/// What the node's task knows of messages under way.
#[derive(Debug)]
pub(super) struct Traffic {
    /// Submissions being carried out; empty between passes.
    taken: Vec<Submission>,
    /// Who waits for the end of what.
    asked: HashMap<RequestId, Open>,
    /// Bytes for streams that the node has and the links do not.
    unsent: usize,
    /// The UDP socket is full: what handles hand in waits there.
    pub(super) is_blocked: bool,
    pub(super) losses: Losses,
    link_queue: usize,
}

/// Something that this node waits for the end of.
#[derive(Debug)]
struct Open {
    done: Answered,
    kind: MessageType,
    /// Where it was sent, and where its end comes from.
    address: Option<NodeAddress>,
}

impl Traffic {
    pub(super) fn new(now: Instant, config: &Config) -> Self {
        Self {
            taken: Vec::new(),
            asked: HashMap::new(),
            unsent: 0,
            is_blocked: false,
            losses: Losses::new(now),
            link_queue: config.link_queue_bytes,
        }
    }

    /// The node has nothing more to send.
    pub(super) fn drained(&mut self) {
        self.unsent = 0;
        self.is_blocked = false;
    }
}

impl<R: Runtime> Pump<R> {
    /// Carries out what handles and handlers handed in.
    pub(super) fn take_submissions(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.traffic.is_blocked {
            return;
        }
        let mut taken = std::mem::take(&mut self.traffic.taken);
        self.shared.outbound.take(cx, &mut taken);
        for submission in taken.drain(..) {
            self.submit(cx, now, submission);
        }
        self.traffic.taken = taken;
    }

    fn submit(&mut self, cx: &mut Context<'_>, now: Instant, submission: Submission) {
        let time = self.clock.read(now);
        match submission {
            Submission::Send { to, kind, payload, reliability, done } => {
                self.send(cx, now, (to, kind, payload), reliability, done);
            }
            Submission::Request { to, kind, payload, deadline, done } => {
                self.ask(cx, now, (to, kind, payload), deadline, Some(done));
            }
            Submission::List(list) => self.work_off(cx, now, *list),
            Submission::Broadcast { message, done } => {
                let Broadcast { kind, payload, tag, reliable, ordered } = *message;
                let options = BroadcastOptions { tag: tag.as_deref(), reliable, ordered };
                // Nobody may be waiting any more.
                let _ = done.send(self.node.broadcast(time, kind, payload, options));
            }
            Submission::Decide { token, verdict, done } => {
                let outcome = self.decide(cx, now, token, verdict);
                if outcome == Err(SendError::RequestOver) {
                    self.shared.counters.count(Counter::AnswersLate);
                }
                if let Some(done) = done {
                    let _ = done.send(outcome);
                }
            }
            Submission::Cancel(gather) => {
                for request in gather.take_requests() {
                    self.node.cancel(time, request);
                    drop(self.take_asked(request));
                }
            }
        }
    }

    fn work_off(&mut self, cx: &mut Context<'_>, now: Instant, list: List) {
        let List { to, kind, payload, purpose } = list;
        for (number, Listed { to, done }) in to.into_iter().enumerate() {
            if number % LISTED == LISTED - 1 {
                self.transmit(cx);
            }
            let content = (to, kind, payload.clone());
            match purpose {
                Purpose::Tell(reliability) => self.send(cx, now, content, reliability, done),
                Purpose::Ask { deadline } => self.ask(cx, now, content, deadline, done),
            }
        }
    }

    fn ask(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        (to, kind, payload): (NodeId, MessageType, Bytes),
        deadline: gossip_core::Instant,
        done: Option<Answered>,
    ) {
        if kind == MessageType::KEYS && !self.is_guarded() {
            // Whoever asks for it has looked before; it was changed in between.
            return self.expect((to, kind), Err(SendError::RequestOver), done);
        }
        let time = self.clock.read(now);
        let admitted = self.admit(cx, to, payload.len());
        let sent = admitted.and_then(|()| self.node.request(time, to, kind, payload, deadline));
        self.expect((to, kind), sent.map(Some), done);
    }

    fn send(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        (to, kind, payload): (NodeId, MessageType, Bytes),
        reliability: Reliability,
        done: Option<Answered>,
    ) {
        // What is short enough to go without an answer goes by datagram.
        let is_for_stream = reliability == Reliability::Reliable || done.is_some();
        let admitted = if is_for_stream { self.admit(cx, to, payload.len()) } else { Ok(()) };
        let time = self.clock.read(now);
        let sent = admitted.and_then(|()| self.node.send(time, to, kind, payload, reliability));
        if let (Err(error), None) = (&sent, &done) {
            self.shared.counters.count(Counter::MessagesUnsent);
            debug!(%to, %kind, %error, "a message that was accepted cannot be sent");
        }
        self.expect((to, kind), sent, done);
    }

    /// Whether a payload of this size finds room on its way to a member; whether it is a member is for the node to say.
    fn admit(&mut self, cx: &mut Context<'_>, to: NodeId, size: usize) -> Result<(), SendError> {
        match self.node.member(to).map(|member| member.address.clone()) {
            Some(address) => self.admit_at(cx, &address, size),
            None => Ok(()),
        }
    }

    fn admit_at(&mut self, cx: &mut Context<'_>, address: &NodeAddress, size: usize) -> Result<(), SendError> {
        let size = size + AROUND;
        if !self.links.has_room(address, self.traffic.unsent + size) {
            // Then it is exact.
            self.transmit(cx);
            if !self.links.has_room(address, self.traffic.unsent + size) {
                return Err(SendError::PeerFull { limit: self.traffic.link_queue });
            }
        }
        self.traffic.unsent += size;
        Ok(())
    }

    /// Ends a request of somebody's.
    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        token: ReplyToken,
        verdict: Verdict,
    ) -> Result<(), SendError> {
        let time = self.clock.read(now);
        let Some(address) = self.node.asker(token).cloned() else { return Err(SendError::RequestOver) };
        self.links.pay_answer(now, &address);
        if !self.links.is_connected(&address) && self.node.members().all(|member| member.address != address) {
            debug!(%address, "an answer has no way: the asker's connection is gone");
            self.node.refuse(time, token, Refusal::Overloaded)?;
            return Err(SendError::RequestOver);
        }
        let payload = match verdict {
            Verdict::Answer(payload) => payload,
            Verdict::Rejected(reason) => return self.node.refuse(time, token, Refusal::Rejected(&reason)),
            Verdict::Overloaded => {
                self.shared.counters.count(Counter::AnswersCrowded);
                return self.node.refuse(time, token, Refusal::Overloaded);
            }
        };
        let admitted = self.admit_at(cx, &address, payload.len());
        match admitted.and_then(|()| self.node.reply(time, token, payload)) {
            Err(SendError::RequestOver) => Err(SendError::RequestOver),
            Err(error) => {
                self.shared.counters.count(Counter::AnswersCrowded);
                debug!(%error, "an answer finds no room; the asker is told that this node is overloaded");
                self.node.refuse(time, token, Refusal::Overloaded)?;
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Hands what came to handlers, readers, and those who wait for it.
    pub(super) fn hand_out(&mut self) {
        let Some(first) = self.node.poll_delivery() else { return };
        let shared = Arc::clone(&self.shared);
        let table = shared.handlers.table();
        let mut next = Some(first);
        while let Some(delivery) = next {
            self.deliver(&table, delivery);
            next = self.node.poll_delivery();
        }
    }

    fn deliver(&mut self, table: &Table, delivery: Delivery) {
        match delivery {
            Delivery::Message { from, kind, payload } => self.deliver_message(table, (from, kind, payload), None),
            Delivery::Broadcast { id, kind, tag, payload, hops } => {
                let broadcast = Some(BroadcastInfo { id, tag, hops });
                self.deliver_message(table, (id.origin, kind, payload), broadcast);
            }
            Delivery::Request { token, from, kind, payload, deadline } => {
                self.deliver_request(table, (token, from, kind, payload), deadline);
            }
            Delivery::Answer { request, by, result } => {
                if let Some(done) = self.take_asked(request) {
                    done.ended(by, result.map_err(Failure::Failed));
                }
            }
            Delivery::Delivered { message, by } => self.confirmed(message, by, Ok(Bytes::new())),
            Delivery::Undelivered { message, to, error } => {
                self.confirmed(message, to, Err(error));
            }
            Delivery::Gap { origin, tag, count } => {
                self.shared.counters.add(Counter::BroadcastsLost, count);
                self.tell(&Event::BroadcastsLost { origin, tag, count });
            }
            Delivery::Missed { count } => self.traffic.losses.add(None, count),
            other => debug!(?other, "something came that this version knows nothing of"),
        }
    }

    fn deliver_message(
        &mut self,
        table: &Table,
        (from, kind, payload): (NodeId, MessageType, Bytes),
        broadcast: Option<BroadcastInfo>,
    ) {
        let size = payload.len();
        let payload = Payload::new(payload, &self.shared.handlers.format);
        let message = Message { from, kind, payload, broadcast };
        for reader in &table.readers {
            let missed = |queue: &mut std::collections::VecDeque<(Received, usize)>| match queue.back_mut() {
                Some((Received::Missed { count }, _)) => *count += 1,
                _ => queue.push_back((Received::Missed { count: 1 }, 0)),
            };
            if reader.push_or(Received::Message(message.clone()), size, missed).is_err() {
                self.shared.counters.count(Counter::ReadersMissed);
            }
        }
        let Some(inbox) = table.messages.get(&kind) else {
            if table.readers.is_empty() {
                self.shared.counters.count(Counter::MessagesUnhandled);
                debug!(%from, %kind, "a message came that nobody here handles");
            }
            return;
        };
        if inbox.push(message, size).is_err() {
            self.shared.counters.count(Counter::MessagesMissed);
            self.traffic.losses.add(Some(kind), 1);
        }
    }

    fn deliver_request(
        &mut self,
        table: &Table,
        (token, from, kind, payload): (ReplyToken, NodeId, MessageType, Bytes),
        deadline: gossip_core::Instant,
    ) {
        if kind == MessageType::KEYS && !self.is_guarded() {
            let reason = if self.node.config().keys.is_none() {
                "it runs without keys: start it with a key ring"
            } else {
                "it does not refuse plaintext, and keys do not travel while packets may be plain"
            };
            let time = self.clock.read(self.runtime.now());
            // It was open when it was delivered.
            let _ = self.node.refuse(time, token, Refusal::Rejected(reason));
            return;
        }
        let size = payload.len();
        let (refusal, counter) = match table.requests.get(&kind) {
            Some(inbox) => {
                let format = Arc::clone(&self.shared.handlers.format);
                let payload = Payload::new(payload, &format);
                let asked = Asked { token, outbound: Arc::clone(&self.shared.outbound), format };
                if inbox.push(Request::new(from, kind, payload, deadline, asked), size).is_ok() {
                    self.owe_answer(token, from, deadline);
                    return;
                }
                (Refusal::Overloaded, Counter::RequestsOverloaded)
            }
            None => (Refusal::NoHandler, Counter::RequestsUnhandled),
        };
        self.shared.counters.count(counter);
        debug!(%from, %kind, ?refusal, "a request was refused");
        let time = self.clock.read(self.runtime.now());
        // It was open when it was delivered.
        let _ = self.node.refuse(time, token, refusal);
    }

    /// Tells how much was dropped lately.
    pub(super) fn tell_losses(&mut self, now: Instant) {
        for event in self.traffic.losses.take(now) {
            self.tell(&event);
        }
    }

    fn tell(&mut self, event: &Event) {
        self.report.log(event, None);
        self.shared.subscribers.publish(event);
    }

    /// The connection that a member's request came over is kept until it is answered. Strangers could else take up all.
    fn owe_answer(&mut self, token: ReplyToken, from: NodeId, deadline: gossip_core::Instant) {
        if self.node.member(from).is_none_or(|member| !member.state.is_live()) {
            return;
        }
        let now = self.runtime.now();
        if let (Some(address), Some(until)) = (self.node.asker(token), self.clock.deadline(deadline)) {
            self.links.owe_answer(now, address, until);
        }
    }

    /// What was sent, or not, is waited for by `done`.
    fn expect(
        &mut self,
        (to, kind): (NodeId, MessageType),
        sent: Result<Option<RequestId>, SendError>,
        done: Option<Answered>,
    ) {
        let Some(done) = done else { return };
        match sent {
            Ok(Some(request)) => {
                done.sent(request);
                let address = self.node.member(to).map(|member| member.address.clone());
                if let Some(address) = &address {
                    self.links.expect_answer(address);
                }
                self.traffic.asked.insert(request, Open { done, kind, address });
            }
            Ok(None) => done.ended(to, Ok(Bytes::new())),
            Err(error) => done.ended(to, Err(Failure::NotSent(error))),
        }
    }

    /// Ends all requests of this type that this node waits for; what of them was not sent will not be.
    pub(super) fn cancel_all_of(&mut self, kind: MessageType) {
        let time = self.clock.read(self.runtime.now());
        let asked: Vec<RequestId> =
            self.traffic.asked.iter().filter(|(_, open)| open.kind == kind).map(|(&id, _)| id).collect();
        for request in asked {
            self.node.cancel(time, request);
            drop(self.take_asked(request));
        }
    }

    fn confirmed(&mut self, message: RequestId, by: NodeId, result: Result<Bytes, RequestError>) {
        if let Some(done) = self.take_asked(message) {
            done.ended(by, result.map_err(Failure::Failed));
        }
    }

    /// Who waited for the end of this, which has come or does not matter any more.
    fn take_asked(&mut self, request: RequestId) -> Option<Answered> {
        let Open { done, address, .. } = self.traffic.asked.remove(&request)?;
        if let Some(address) = address {
            self.links.expect_no_answer(&address);
        }
        Some(done)
    }
}
