//! Requests and reliable messages of this node that have not ended.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::context::Context;
use crate::delivery::Delivery;
use crate::identity::{Address, NodeId};
use crate::mail::{Content, Mail, Number};
use crate::message::{MessageType, RequestError, RequestId};
use crate::outbox::one;
use crate::payload::Payload;
use crate::request::Question;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::transmit::Channel;

/// How often a message that is to be confirmed is sent, where the connection breaks.
const TRIES: u8 = 2;

#[derive(Debug)]
pub(super) struct Open<A> {
    to: NodeId,
    address: A,
    kind: MessageType,
    deadline: Instant,
    /// By which the mailbox knows whether it was sent.
    ticket: u64,
    /// Of a message that is to be confirmed: its number, and what it says, to be sent again.
    message: Option<(u64, Payload)>,
    tries: u8,
}

/// The numbers of messages to one member that are to be confirmed: without gaps, so that the receiver can tell by a few
/// bits which of them it had.
#[derive(Debug)]
struct Numbers {
    last: u64,
    open: BTreeSet<u64>,
}

#[derive(Debug)]
pub(super) struct Own<A> {
    open: BTreeMap<u64, Open<A>>,
    deadlines: BTreeSet<(Instant, u64)>,
    numbers: BTreeMap<NodeId, Numbers>,
}

impl<A: Address> Own<A> {
    pub(super) fn new() -> Self {
        Self { open: BTreeMap::new(), deadlines: BTreeSet::new(), numbers: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Begins to wait for the end of a request, and sends it unless it is to this node itself.
    pub(super) fn open(&mut self, cx: &mut Context<A>, question: Question<A>, send: bool) -> u64 {
        // Random, so that answers cannot be guessed.
        let id = core::iter::repeat_with(|| cx.rng.next_u64()).find(|id| !self.open.contains_key(id)).unwrap_or(0);
        let Question { to, address, kind, payload, deadline, confirm } = question;
        let message = confirm.then(|| (self.number(cx, to), payload.clone()));
        let mut open = Open { to, address, kind, deadline, ticket: 0, message, tries: 1 };
        if send {
            open.ticket = cx.mail.push(self.mail(&open, id, payload));
        }
        self.deadlines.insert((deadline, id));
        self.open.insert(id, open);
        id
    }

    /// Forgets a request.
    pub(super) fn close(&mut self, cx: &mut Context<A>, id: u64) -> Option<Open<A>> {
        let open = self.open.remove(&id)?;
        self.deadlines.remove(&(open.deadline, id));
        let charged = open.message.as_ref().map(|(_, payload)| payload.len());
        if open.ticket > 0 {
            cx.mail.release(open.to, open.ticket, charged);
        }
        if let Some((number, _)) = &open.message
            && let Some(numbers) = self.numbers.get_mut(&open.to)
        {
            numbers.open.remove(number);
        }
        Some(open)
    }

    /// The number of the next message to a member.
    fn number(&mut self, cx: &Context<A>, to: NodeId) -> u64 {
        /// Members of which the numbers are kept though they are gone.
        const MANY: usize = 64;
        if self.numbers.len() > cx.table.len() + MANY {
            self.numbers.retain(|&id, numbers| !numbers.open.is_empty() || cx.table.find(id).is_some());
        }
        // The first one is of this moment, so none is used twice although numbers of members that are gone are forgotten.
        let first = || Numbers { last: cx.now.as_micros(), open: BTreeSet::new() };
        let numbers = self.numbers.entry(to).or_insert_with(first);
        numbers.last += 1;
        numbers.open.insert(numbers.last);
        numbers.last
    }

    fn mail(&self, open: &Open<A>, id: u64, payload: Payload) -> Mail<A> {
        let lowest = self.numbers.get(&open.to).and_then(|numbers| numbers.open.first()).copied();
        let number = open.message.as_ref().map(|&(own, _)| Number { own, lowest: lowest.unwrap_or(own) });
        let Open { to: member, kind, deadline, .. } = *open;
        let content = Content::Request { member, id, kind, payload, deadline, number };
        Mail { to: one(open.address.clone()), channel: Channel::Stream, content }
    }

    /// Ends a request of which `by` says how; what has ended or is somebody else's to end is counted.
    pub(super) fn end(&mut self, cx: &mut Context<A>, id: u64, by: NodeId, result: Result<Bytes, RequestError>) {
        match self.open.get(&id) {
            None => cx.drop(DropReason::LateAnswer),
            Some(open) if open.to != by => cx.drop(DropReason::Unexpected),
            Some(_) => self.conclude(cx, id, result),
        }
    }

    /// Who got a request is not whom it was for.
    pub(super) fn end_astray(&mut self, cx: &mut Context<A>, id: u64, by: NodeId) {
        match self.open.get(&id) {
            None => cx.drop(DropReason::LateAnswer),
            Some(open) if open.to == by => cx.drop(DropReason::Unexpected),
            Some(_) => self.conclude(cx, id, Err(RequestError::Unreachable)),
        }
    }

    /// A member is gone: nothing that was asked of it is answered any more.
    pub(super) fn end_gone(&mut self, cx: &mut Context<A>, member: NodeId) {
        let gone: Vec<u64> = self.open.iter().filter(|(_, open)| open.to == member).map(|(&id, _)| id).collect();
        for id in gone {
            self.conclude(cx, id, Err(RequestError::Unreachable));
        }
    }

    pub(super) fn expire(&mut self, cx: &mut Context<A>) {
        while let Some(&(_, id)) = self.deadlines.first().filter(|&&(deadline, _)| deadline <= cx.now) {
            self.conclude(cx, id, Err(RequestError::Timeout));
        }
    }

    pub(super) fn end_all(&mut self, cx: &mut Context<A>) {
        while let Some(&(_, id)) = self.deadlines.first() {
            self.conclude(cx, id, Err(RequestError::Left));
        }
    }

    /// What was sent to `address` and has not ended may be lost: a message is sent once more, a request may have been acted
    /// on and is not.
    pub(super) fn handle_unreachable(&mut self, cx: &mut Context<A>, address: &A) {
        let lost = |open: &Open<A>| open.address == *address && cx.mail.is_polled(open.ticket);
        let number = |open: &Open<A>| open.message.as_ref().map(|&(number, _)| number);
        let lost = self.open.iter().filter(|(_, open)| lost(open)).map(|(&id, open)| (number(open), id));
        // In their order, so that no later one seems to say that an earlier one is over.
        let lost: BTreeSet<_> = lost.collect();
        for (_, id) in lost {
            let Some(open) = self.open.get_mut(&id) else { continue };
            let message = open.message.as_ref().filter(|_| open.tries < TRIES).map(|(_, payload)| payload.clone());
            let Some(payload) = message else {
                self.conclude(cx, id, Err(RequestError::Unreachable));
                continue;
            };
            open.tries += 1;
            // The member may have moved since.
            if let Some(slot) = cx.table.find(open.to) {
                open.address = cx.table.member(slot).address.clone();
            }
            let Some(open) = self.open.get(&id) else { continue };
            let ticket = cx.mail.push_again(self.mail(open, id, payload));
            if let Some(open) = self.open.get_mut(&id) {
                open.ticket = ticket;
            }
        }
    }

    fn conclude(&mut self, cx: &mut Context<A>, id: u64, result: Result<Bytes, RequestError>) {
        let Some(open) = self.close(cx, id) else { return };
        let request = RequestId(id);
        match (open.message, result) {
            (None, result) => cx.deliveries.push_end(Delivery::Answer { request, by: open.to, result }),
            (Some(_), Ok(_)) => cx.deliveries.push_end(Delivery::Delivered { message: request, by: open.to }),
            (Some(_), Err(error)) => {
                cx.deliveries.push_end(Delivery::Undelivered { message: request, to: open.to, error });
            }
        }
    }
}
