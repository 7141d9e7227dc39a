//! Requests of others that this node has not answered yet.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use bytes::Bytes;

use crate::context::Context;
use crate::delivery::Delivery;
use crate::identity::{Address, NodeId};
use crate::mail::{Content, Mail};
use crate::message::{LONGEST_PATIENCE, MessageType, ReplyToken};
use crate::outbox::one;
use crate::request::confirmed::{Confirmed, Number, Sender};
use crate::request::{ANSWERED, ASTRAY, OVERLOADED};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::transmit::Channel;
use crate::wire::{Letter, RequestHeader};

/// A request as it came.
pub(super) struct Incoming<A> {
    pub(super) asker: NodeId,
    pub(super) is_member: bool,
    pub(super) address: A,
    pub(super) id: u64,
    pub(super) kind: MessageType,
    pub(super) payload: Bytes,
    pub(super) deadline: Instant,
}

/// Who waits, and where.
#[derive(Debug)]
pub(super) struct Asker<A> {
    pub(super) node: NodeId,
    pub(super) id: u64,
    is_member: bool,
    address: A,
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct Theirs<A> {
    open: BTreeMap<u64, Asker<A>>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// By asker and number.
    known: BTreeSet<(NodeId, u64)>,
    /// How many are open by asker; those who are no members are counted as one.
    shares: BTreeMap<Option<NodeId>, usize>,
    confirmed: Confirmed,
    next: u64,
}

impl<A: Address> Asker<A> {
    /// Tells how the request ended. Over the connection that it came by, if that is still there.
    pub(super) fn tell(&self, cx: &mut Context<A>, outcome: u8, payload: Bytes) {
        let content = Content::Reply { member: self.node, id: self.id, outcome, payload: payload.into() };
        cx.mail.push(Mail { to: one(self.address.clone()), channel: Channel::Stream, content });
    }

    /// Tells it if there is room for that, without the text where there is none for that; otherwise the asker has its deadline.
    pub(super) fn tell_if_room(&self, cx: &mut Context<A>, outcome: u8, text: &[u8]) {
        let text = if cx.mail.admit(self.node, text.len()).is_ok() { text } else { &[] };
        if cx.mail.admit(self.node, text.len()).is_ok() {
            self.tell(cx, outcome, Bytes::copy_from_slice(text));
        } else {
            cx.drop(DropReason::Busy);
        }
    }

    fn share(&self) -> Option<NodeId> {
        self.is_member.then_some(self.node)
    }
}

impl<A: Address> Theirs<A> {
    pub(super) fn new() -> Self {
        Self {
            open: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            known: BTreeSet::new(),
            shares: BTreeMap::new(),
            confirmed: Confirmed::default(),
            next: 0,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    pub(super) fn asker(&self, token: u64) -> Option<(NodeId, &A)> {
        self.open.get(&token).map(|asker| (asker.node, &asker.address))
    }

    pub(super) fn handle_request(
        &mut self,
        cx: &mut Context<A>,
        from: &A,
        sender: Sender,
        request: &Letter<'_, RequestHeader>,
    ) {
        let RequestHeader { target, id, kind, patience_ms, number, before } = request.header;
        let patience = Duration::from_millis(u64::from(patience_ms)).min(LONGEST_PATIENCE);
        let (node, is_member, address, deadline) = (sender.id, sender.is_member, from.clone(), cx.now + patience);
        let asker = Asker { node, id, is_member, address, deadline };
        if target != cx.id() {
            cx.drop(DropReason::WrongTarget);
            asker.tell_if_room(cx, ASTRAY, &[]);
            return;
        }
        // Messages to be confirmed are for the application.
        let kind = if number > 0 { MessageType::from_wire(kind) } else { MessageType::of_request(kind) };
        let Some(kind) = kind else {
            cx.drop(DropReason::ReservedType);
            return;
        };
        if number > 0 {
            self.take_in(cx, (sender, &asker), (number, number.saturating_sub(before)), kind, request.payload);
            return;
        }
        if self.known.contains(&(node, id)) {
            cx.drop(DropReason::Duplicate);
            return;
        }
        let payload = Bytes::copy_from_slice(request.payload);
        let address = asker.address.clone();
        if !self.open(cx, Incoming { asker: node, is_member, address, id, kind, payload, deadline }) {
            cx.drop(DropReason::Busy);
            asker.tell_if_room(cx, OVERLOADED, &[]);
        }
    }

    /// Hands a request to the application; whether there was room.
    pub(super) fn open(&mut self, cx: &mut Context<A>, incoming: Incoming<A>) -> bool {
        let Incoming { asker, is_member, address, id, kind, payload, deadline } = incoming;
        let asker = Asker { node: asker, id, is_member, address, deadline };
        if !self.has_room(cx.config.max_requests, asker.share()) || !cx.deliveries.has_room(payload.len()) {
            return false;
        }
        self.next = self.next.wrapping_add(1);
        let (token, from) = (ReplyToken(self.next), asker.node);
        self.known.insert((asker.node, id));
        *self.shares.entry(asker.share()).or_default() += 1;
        self.deadlines.insert((deadline, self.next));
        self.open.insert(self.next, asker);
        cx.deliveries.push(Delivery::Request { token, from, kind, payload, deadline })
    }

    /// Whether one more request of an asker is taken. No asker has more than three times as many as there are places left, so
    /// nobody can take the last quarter of all; those who are no members have an eighth together.
    fn has_room(&self, limit: usize, asker: Option<NodeId>) -> bool {
        let (open, left) = (self.shares.get(&asker).copied().unwrap_or(0), limit.saturating_sub(self.open.len()));
        let share = if asker.is_some() { left.saturating_mul(3) } else { (limit / 8).max(1) };
        left > 0 && open < share
    }

    pub(super) fn close(&mut self, token: u64) -> Option<Asker<A>> {
        let asker = self.open.remove(&token)?;
        self.deadlines.remove(&(asker.deadline, token));
        self.known.remove(&(asker.node, asker.id));
        if let Some(share) = self.shares.get_mut(&asker.share()) {
            *share -= 1;
            if *share == 0 {
                self.shares.remove(&asker.share());
            }
        }
        Some(asker)
    }

    /// Forgets the requests that nobody waits for any more.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(_, token)) = self.deadlines.first().filter(|&&(deadline, _)| deadline <= now) {
            self.close(token);
        }
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.deadlines.clear();
        self.known.clear();
        self.shares.clear();
    }

    /// A message that is to be confirmed: delivered if it was not before.
    fn take_in(
        &mut self,
        cx: &mut Context<A>,
        (sender, asker): (Sender, &Asker<A>),
        (number, lowest): (u64, u64),
        kind: MessageType,
        payload: &[u8],
    ) {
        match self.confirmed.find(sender, number, lowest) {
            Number::Before => cx.drop(DropReason::Duplicate),
            Number::New
                if cx.deliveries.has_room(payload.len()) && self.confirmed.has_room(cx.now, cx.table.len(), sender) =>
            {
                let payload = Bytes::copy_from_slice(payload);
                cx.deliveries.push(Delivery::Message { from: asker.node, kind, payload });
                self.confirmed.note(sender, number, lowest, asker.deadline);
            }
            Number::New | Number::Unclear => {
                let is_full = !cx.deliveries.has_room(payload.len());
                cx.drop(if is_full { DropReason::DeliveriesFull } else { DropReason::Busy });
                asker.tell_if_room(cx, OVERLOADED, &[]);
                return;
            }
        }
        asker.tell_if_room(cx, ANSWERED, &[]);
    }
}
