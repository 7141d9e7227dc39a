//! Messages of the application that wait to be polled: bounded in bytes for each member and for all, and never dropped
//! once they were accepted.

mod encode;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;

use crate::broadcast::Path;
use crate::identity::NodeId;
use crate::lane::Parcel;
use crate::message::{MessageType, SendError};
use crate::outbox::Recipients;
use crate::payload::Payload;
use crate::ring::Arcs;
use crate::time::Instant;
use crate::transmit::Channel;

/// What a queued message takes besides its payload.
const OVERHEAD: usize = 128;

/// A message that waits to be polled.
#[derive(Clone, Debug)]
pub(crate) struct Mail<A> {
    pub(crate) to: Recipients<A>,
    pub(crate) channel: Channel,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A message for `member`.
    Direct { member: NodeId, kind: MessageType, payload: Payload },
    /// A request to `member`, or a message that it is to confirm.
    Request { member: NodeId, id: u64, kind: MessageType, payload: Payload, deadline: Instant, number: Option<Number> },
    /// The end of a request of `member`'s.
    Reply { member: NodeId, id: u64, outcome: u8, payload: Payload },
    /// Copies of a broadcast.
    Copy(Copy),
    /// What was for `member` and is not to be sent any more.
    Nothing { member: NodeId },
}

/// The number of a message that is to be confirmed, and the lowest one that was open when it was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) own: u64,
    pub(crate) lowest: u64,
}

/// How much of the queue copies of broadcasts may fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// This node's own: all of it.
    Own,
    /// What is passed on for others: three quarters.
    Others,
    /// Answers to those who missed something: a quarter.
    Repair,
}

impl Share {
    pub(crate) fn of(is_own: bool) -> Self {
        if is_own { Self::Own } else { Self::Others }
    }
}

/// What the copies of a broadcast that go to different members have in common.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) parcel: Arc<Parcel>,
    pub(crate) hop: u32,
    pub(crate) hops: u8,
    /// Only the offer of a copy: whoever lacks the message asks for it.
    pub(crate) is_offer: bool,
    /// In an answer: for how long this node has had it.
    pub(crate) age_ms: Option<u32>,
    pub(crate) arcs: Arcs,
    pub(crate) path: Path,
}

impl Content {
    fn payload(&self) -> &[u8] {
        match self {
            Self::Direct { payload, .. } | Self::Request { payload, .. } | Self::Reply { payload, .. } => payload,
            Self::Copy(copy) if !copy.is_offer => &copy.parcel.payload,
            Self::Copy(_) | Self::Nothing { .. } => &[],
        }
    }

    /// Whose account it is on.
    fn member(&self) -> Option<NodeId> {
        match self {
            Self::Direct { member, .. }
            | Self::Request { member, .. }
            | Self::Reply { member, .. }
            | Self::Nothing { member } => Some(*member),
            Self::Copy(_) => None,
        }
    }

    /// Whether it stays charged after it was polled.
    fn is_confirmed(&self) -> bool {
        matches!(self, Self::Request { number: Some(_), .. })
    }
}

/// The queue, and how much of whose bytes are on their way.
#[derive(Debug)]
pub(crate) struct Mailbox<A> {
    queue: VecDeque<Mail<A>>,
    /// By member: bytes that wait to be polled or to be confirmed.
    peers: BTreeMap<NodeId, usize>,
    bytes: usize,
    max_peer: usize,
    max_total: usize,
    pushed: u64,
    popped: u64,
}

impl<A> Mailbox<A> {
    pub(crate) fn new(max_peer: usize, max_total: usize) -> Self {
        Self { queue: VecDeque::new(), peers: BTreeMap::new(), bytes: 0, max_peer, max_total, pushed: 0, popped: 0 }
    }

    /// Whether `size` more bytes can be taken for `member`.
    pub(crate) fn admit(&self, member: NodeId, size: usize) -> Result<(), SendError> {
        let cost = size + OVERHEAD;
        if self.peers.get(&member).copied().unwrap_or(0) + cost > self.max_peer {
            return Err(SendError::PeerFull { limit: self.max_peer });
        }
        self.admit_any(size)
    }

    /// Whether a copy of a broadcast can be taken.
    pub(crate) fn admits_copy(&self, size: usize, share: Share) -> bool {
        let limit = match share {
            Share::Own => self.max_total,
            Share::Others => self.max_total / 4 * 3,
            Share::Repair => self.max_total / 4,
        };
        // One that is larger than the share goes while nothing else waits.
        let limit = if self.bytes == 0 { self.max_total } else { limit };
        self.bytes + size + OVERHEAD <= limit
    }

    /// Whether `size` more bytes can be taken at all.
    pub(crate) fn admit_any(&self, size: usize) -> Result<(), SendError> {
        if self.bytes + size + OVERHEAD > self.max_total {
            return Err(SendError::QueueFull { limit: self.max_total });
        }
        Ok(())
    }

    /// Queues a message; its ticket. Whether there is room was asked before.
    pub(crate) fn push(&mut self, mail: Mail<A>) -> u64 {
        self.charge(mail.content.member(), mail.content.payload().len() + OVERHEAD);
        self.push_again(mail)
    }

    pub(crate) fn front(&self) -> Option<&Mail<A>> {
        self.queue.front()
    }

    /// Takes the next message. What is to be confirmed stays charged until [`release`](Self::release).
    pub(crate) fn pop(&mut self) -> Option<Mail<A>> {
        let mail = self.queue.pop_front()?;
        self.popped += 1;
        if !mail.content.is_confirmed() {
            self.discharge(mail.content.member(), mail.content.payload().len() + OVERHEAD);
        }
        Some(mail)
    }

    /// Whether the message with this ticket was polled.
    pub(crate) fn is_polled(&self, ticket: u64) -> bool {
        ticket <= self.popped
    }

    /// Queues a charged message again.
    pub(crate) fn push_again(&mut self, mail: Mail<A>) -> u64 {
        self.queue.push_back(mail);
        self.pushed += 1;
        self.pushed
    }

    /// Nobody waits any more for the end of the message with this ticket: it is not sent if it was not yet. `size`: of
    /// what is charged until it is confirmed.
    pub(crate) fn release(&mut self, member: NodeId, ticket: u64, size: Option<usize>) {
        if self.is_polled(ticket) {
            if let Some(size) = size {
                self.discharge(Some(member), size + OVERHEAD);
            }
            return;
        }
        let place = usize::try_from(ticket - self.popped - 1).ok();
        if let Some(mail) = place.and_then(|place| self.queue.get_mut(place)) {
            // Its place in the queue stays taken, and charged, until its turn comes.
            let unsent = core::mem::replace(&mut mail.content, Content::Nothing { member });
            self.discharge(Some(member), unsent.payload().len());
        }
    }

    fn charge(&mut self, member: Option<NodeId>, cost: usize) {
        self.bytes += cost;
        if let Some(member) = member {
            *self.peers.entry(member).or_default() += cost;
        }
    }

    fn discharge(&mut self, member: Option<NodeId>, cost: usize) {
        self.bytes -= cost;
        if let Some(member) = member
            && let Some(bytes) = self.peers.get_mut(&member)
        {
            *bytes -= cost;
            if *bytes == 0 {
                self.peers.remove(&member);
            }
        }
    }
}
