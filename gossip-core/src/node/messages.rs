//! Messages between applications.

use bytes::Bytes;

use crate::broadcast::Incoming;
use crate::delivery::Delivery;
use crate::identity::{Address, NodeId};
use crate::mail::{Content, Mail};
use crate::membership::{Member, Slot};
use crate::message::{
    BroadcastOptions, LONGEST_PATIENCE, MessageId, MessageType, Refusal, Reliability, ReplyToken, RequestId, SendError,
};
use crate::node::Node;
use crate::node::receive::Origin;
use crate::outbox::one;
use crate::request::{Question, Requests, Sender};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::transmit::Channel;
use crate::wire::{self, Message, Tail};

impl<A: Address> Node<A> {
    /// Sends a message to every live member, or to those with a tag; not to this node itself.
    ///
    /// Each of them gets it once, those that are reachable within seconds even under heavy loss. A node that joins later does not.
    ///
    /// # Errors
    ///
    /// The state is unchanged if the payload is too large, no other live member has the tag, too much is on its way already,
    /// or the node is not active.
    pub fn broadcast(
        &mut self,
        now: Instant,
        kind: MessageType,
        payload: Bytes,
        options: BroadcastOptions<'_>,
    ) -> Result<MessageId, SendError> {
        self.advance(now);
        self.cx.check_active()?;
        self.admit_payload(&payload)?;
        if let Some(tag) = options.tag
            && self.cx.ring.tagged(tag).next().is_none()
        {
            return Err(SendError::NoSuchTag);
        }
        self.cx.mail.admit_any(payload.len())?;
        Ok(self.broadcaster.begin(&mut self.cx, kind, payload, options))
    }

    /// The live members with this tag; this node is among them if it has the tag and has not left.
    pub fn tagged<'a>(&'a self, tag: &str) -> impl Iterator<Item = &'a Member<A>> {
        let table = &self.cx.table;
        let myself = table.myself();
        let is_mine = myself.state.is_live() && myself.tags.has(tag);
        let slots = is_mine.then_some(Slot::MYSELF).into_iter().chain(self.cx.ring.tagged(tag));
        slots.map(|slot| table.member(slot))
    }

    /// Sends a message to one member, or to this node itself.
    ///
    /// A reliable one is confirmed by the receiver: [`Delivery::Delivered`] comes with the id returned, or
    /// [`Delivery::Undelivered`] if that does not happen within [`Config::confirm_timeout`](crate::Config::confirm_timeout).
    /// A best-effort one has no id. A message to this node itself is delivered, and confirmed, at once.
    ///
    /// # Errors
    ///
    /// The state is unchanged if the payload is too large, the member is unknown or not live, too much is on its way already, or the
    /// node is not active.
    pub fn send(
        &mut self,
        now: Instant,
        to: NodeId,
        kind: MessageType,
        payload: Bytes,
        reliability: Reliability,
    ) -> Result<Option<RequestId>, SendError> {
        self.advance(now);
        let slot = self.receiver(to, &payload)?;
        let is_reliable = reliability == Reliability::Reliable;
        if is_reliable {
            self.admit_requests(1)?;
        }
        if slot == Slot::MYSELF {
            if !self.cx.deliveries.has_room(payload.len()) {
                return Err(SendError::DeliveriesFull);
            }
            self.cx.deliveries.push(Delivery::Message { from: to, kind, payload: payload.clone() });
        }
        let address = self.cx.table.member(slot).address.clone();
        if is_reliable {
            let deadline = self.cx.now + self.cx.config.confirm_timeout;
            let question = Question { to, address, kind, payload: payload.into(), deadline, confirm: true };
            let ask = if slot == Slot::MYSELF { Requests::confirm_own } else { Requests::ask };
            return Ok(Some(RequestId(ask(&mut self.requests, &mut self.cx, question))));
        }
        if slot == Slot::MYSELF {
            return Ok(None);
        }
        let channel = self.cx.channel_for(payload.len());
        let content = Content::Direct { member: to, kind, payload: payload.into() };
        self.cx.mail.push(Mail { to: one(address), channel, content });
        Ok(None)
    }

    /// Asks a member, or this node itself, and waits for the answer until `deadline`.
    ///
    /// The end comes as exactly one [`Delivery::Answer`] with the id returned, unless the request is cancelled. A request that was
    /// sent is not repeated, so it is handled at most once.
    ///
    /// # Errors
    ///
    /// The state is unchanged if the payload is too large, the member is unknown or not live, the deadline is past or more than an
    /// hour away, too much is on its way already, or the node is not active.
    pub fn request(
        &mut self,
        now: Instant,
        to: NodeId,
        kind: MessageType,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<RequestId, SendError> {
        self.advance(now);
        let slot = self.receiver(to, &payload)?;
        if deadline <= self.cx.now || deadline > self.cx.now + LONGEST_PATIENCE {
            return Err(SendError::Deadline);
        }
        self.admit_requests(1)?;
        let address = self.cx.table.member(slot).address.clone();
        let question = Question { to, address, kind, payload: payload.into(), deadline, confirm: false };
        Ok(RequestId(self.requests.ask(&mut self.cx, question)))
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// The state is unchanged, and the request still open, if the payload is too large or too much is on its way already;
    /// [`SendError::RequestOver`] if it was answered before or its deadline is past.
    pub fn reply(&mut self, now: Instant, token: ReplyToken, payload: Bytes) -> Result<(), SendError> {
        self.advance(now);
        let (asker, _) = self.requests.asker(token.0).ok_or(SendError::RequestOver)?;
        self.admit_payload(&payload)?;
        if asker != self.id() {
            self.cx.mail.admit(asker, payload.len())?;
        }
        self.requests.answer(&mut self.cx, token.0, payload);
        Ok(())
    }

    /// Says why a request is not answered. Where too much is on its way already the text of a rejection is left out, or nothing
    /// is said: the asker knows at its deadline.
    ///
    /// # Errors
    ///
    /// [`SendError::RequestOver`] if it was answered before or its deadline is past.
    pub fn refuse(&mut self, now: Instant, token: ReplyToken, refusal: Refusal<'_>) -> Result<(), SendError> {
        self.advance(now);
        if self.requests.refuse(&mut self.cx, token.0, refusal) { Ok(()) } else { Err(SendError::RequestOver) }
    }

    /// Where the answer to a request of somebody's would go, while it is waited for.
    pub fn asker(&self, token: ReplyToken) -> Option<&A> {
        self.requests.asker(token.0).map(|(_, address)| address)
    }

    /// Stops waiting for the answer to a request, or the confirmation of a message; nothing more is heard of it. Whether it
    /// had not ended yet. An answer that comes later is counted and dropped.
    pub fn cancel(&mut self, now: Instant, request: RequestId) -> bool {
        self.advance(now);
        self.requests.cancel(&mut self.cx, request.0)
    }

    /// The next message, request or end of a request, if any.
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        self.cx.deliveries.pop()
    }

    /// The slot of a live member, if a message with this payload can be sent to it.
    fn receiver(&self, to: NodeId, payload: &Bytes) -> Result<Slot, SendError> {
        self.cx.check_active()?;
        self.admit_payload(payload)?;
        let slot = self.cx.table.find(to).ok_or(SendError::UnknownMember)?;
        if !self.cx.table.member(slot).state.is_live() {
            return Err(SendError::NotLive);
        }
        if slot != Slot::MYSELF {
            self.cx.mail.admit(to, payload.len())?;
        }
        Ok(slot)
    }

    fn admit_payload(&self, payload: &Bytes) -> Result<(), SendError> {
        let (size, limit) = (payload.len(), self.cx.config.max_payload());
        if size > limit { Err(SendError::TooLarge { size, limit }) } else { Ok(()) }
    }

    fn admit_requests(&self, count: usize) -> Result<(), SendError> {
        let limit = self.cx.config.max_requests;
        if self.requests.has_room(&self.cx, count) { Ok(()) } else { Err(SendError::TooManyRequests { limit }) }
    }

    /// A message of the application came, or one about such.
    pub(super) fn receive_application(&mut self, origin: &Origin<A>, message: Message<'_, A>) {
        let (id, epoch) = (origin.envelope.sender, origin.envelope.epoch);
        let near = self.cx.table.find_at(origin.near, id).filter(|&slot| slot != Slot::MYSELF);
        let is_member = near.is_some_and(|slot| self.cx.table.member(slot).incarnation.epoch == epoch);
        match message {
            Message::Direct(letter) if letter.header.target != Tail::of(self.cx.id()) => {
                self.cx.drop(DropReason::WrongTarget);
            }
            Message::Direct(letter) => match MessageType::from_wire(letter.header.kind) {
                None => self.cx.drop(DropReason::ReservedType),
                Some(kind) => {
                    let payload = Bytes::copy_from_slice(letter.payload);
                    self.cx.deliver(Delivery::Message { from: id, kind, payload });
                }
            },
            Message::Request(letter) => {
                let sender = Sender { id, epoch, is_member };
                self.requests.handle_request(&mut self.cx, &origin.address, sender, &letter);
            }
            Message::Reply(letter) => self.requests.handle_reply(&mut self.cx, id, &letter),
            Message::Copy(letter) => {
                let (from, channel) = (&origin.address, origin.channel);
                let incoming = Incoming { from, channel, sender: id, is_member, letter: &letter };
                self.broadcaster.handle_copy(&mut self.cx, &incoming);
            }
            Message::CopyAck(hops) => self.broadcaster.handle_acks(&mut self.cx, id, hops),
            Message::Baseline(runs)
                if !self.broadcaster.has_joined() && self.joining.is_newcomer_at(&origin.address) =>
            {
                self.broadcaster.handle_baseline(&mut self.cx, runs);
            }
            Message::Recent(_) | Message::Compare(_) | Message::Pull(_) if !is_member => {
                self.cx.drop(DropReason::UnknownMember);
            }
            // What came before this node was let in is not for it.
            Message::Recent(_) | Message::Compare(_)
                if !self.broadcaster.has_joined() && self.joining.is_newcomer() => {}
            Message::Recent(runs) => self.broadcaster.handle_recent(&mut self.cx, id, runs),
            Message::Compare(compare) => self.broadcaster.handle_compare(&mut self.cx, id, &compare),
            Message::Pull(runs) => self.broadcaster.handle_pull(&mut self.cx, id, runs),
            _ => {}
        }
    }
}

impl<A: Address> crate::context::Context<A> {
    /// By which channel a message with a payload of this size travels.
    pub(crate) fn channel_for(&self, size: usize) -> Channel {
        /// Kind, length, target and type.
        const DIRECT: usize = 13;
        let fits = size + wire::HEADER + self.config.trailer() + DIRECT <= self.config.max_datagram;
        if fits { Channel::Datagram } else { Channel::Stream }
    }

    /// Hands something to the application, or counts that there was no room.
    pub(crate) fn deliver(&mut self, delivery: Delivery) {
        if !self.deliveries.push(delivery) {
            self.drop(DropReason::DeliveriesFull);
        }
    }
}
