//! Packets that wait to be polled. Only their purpose is kept; their bytes are written when they leave.
//!
//! Datagrams go first: an ack must not wait behind somebody's member table.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::broadcast::Control;
use crate::error::RejectReason;
use crate::identity::{Incarnation, NodeId};
use crate::membership::Slot;
use crate::seal::{Addressee, Addressing};
use crate::transmit::Channel;
use crate::wire::{Draft, MetadataWantList, SyncHeader, Want};

/// Addresses that one packet goes to.
pub(crate) type Recipients<A> = SmallVec<[A; 4]>;

/// A single one.
pub(crate) fn one<A>(to: A) -> Recipients<A> {
    Recipients::from_iter([to])
}

/// Which of the fingerprint's buckets: one bit each.
pub(crate) type BucketSet = [u8; crate::membership::BUCKETS / 8];

/// Whether a bucket is one of these.
pub(crate) fn is_set(buckets: &BucketSet, bucket: usize) -> bool {
    buckets[bucket / 8] & (1 << (bucket % 8)) != 0
}

/// A packet, by purpose.
#[derive(Clone, Debug)]
pub(crate) enum Pending<A> {
    /// A probe of the member `target`; the claim about it comes first, so that it can refute.
    Ping { to: A, channel: Channel, sequence: u32, target: NodeId, near: Option<Slot> },
    /// The answer to a probe; the claim about the prober comes first unless it is known to be alive. Whether it may say more
    /// than was asked for was decided when that was.
    Ack { to: A, channel: Channel, sequence: u32, prober: NodeId, near: Option<Slot>, may_tell: bool },
    /// A request to probe `target`.
    PingRequest { to: Recipients<A>, sequence: u32, target: NodeId, patience_ms: u32 },
    /// Word that a requested probe is not answered yet; it may say more as an ack may.
    Nack { to: A, sequence: u32, may_tell: bool },
    /// News, and a second packet of it as long as there is some that was never told.
    Gossip { to: Recipients<A>, packets_left: u8 },
    /// The claim about one member, to somebody who does not know better.
    Claim { to: A, channel: Channel, subject: NodeId },
    /// A request to be let in.
    Join { to: A },
    /// The table from `cursor` on, to a node that is let in.
    Table { to: A, cursor: usize },
    /// Word that a node is not let in.
    Reject { to: A, reason: RejectReason },
    /// The fingerprints of the table.
    Digest { to: A },
    /// The rows in `rows` from `cursor` on; those in `wanted` are asked for in return.
    Difference { to: A, buckets: usize, rows: BucketSet, wanted: Option<BucketSet>, cursor: usize },
    /// A request for metadata.
    MetadataRequest { to: A, wants: MetadataWantList },
    /// Metadata that was asked for, from `cursor` on.
    Metadata { to: A, wants: Vec<Want>, cursor: usize },
    /// Word to the node at `to` that it has this node's id.
    Conflict { to: A, incarnation: Incarnation, address: A },
    /// Word to who asks, sealed, to be let in: whom it has before it.
    Greeting { to: A },
    /// What keeps broadcasts reliable.
    Control { to: A, channel: Channel, control: Control },
    /// What an election takes.
    Ballot { to: Recipients<A>, channel: Channel, draft: Draft },
    /// What locks take.
    Lock { to: Recipients<A>, channel: Channel, payload: Vec<u8> },
    /// A step of a comparison of two stores.
    StoreSync { to: A, header: SyncHeader, items: Vec<u8> },
}

impl<A> Pending<A> {
    /// Whom it is to, if it is to one address.
    fn receiver(&self) -> Option<&A> {
        match self {
            Self::PingRequest { .. } | Self::Gossip { .. } => None,
            Self::Ballot { to, .. } | Self::Lock { to, .. } => to.first().filter(|_| to.len() == 1),
            Self::Ping { to, .. }
            | Self::Ack { to, .. }
            | Self::Nack { to, .. }
            | Self::Claim { to, .. }
            | Self::Join { to }
            | Self::Table { to, .. }
            | Self::Reject { to, .. }
            | Self::Digest { to }
            | Self::Difference { to, .. }
            | Self::MetadataRequest { to, .. }
            | Self::Metadata { to, .. }
            | Self::Conflict { to, .. }
            | Self::Greeting { to }
            | Self::StoreSync { to, .. }
            | Self::Control { to, .. } => Some(to),
        }
    }

    /// How it travels.
    pub(crate) fn channel(&self) -> Channel {
        match self {
            Self::Ping { channel, .. }
            | Self::Ack { channel, .. }
            | Self::Claim { channel, .. }
            | Self::Control { channel, .. }
            | Self::Ballot { channel, .. }
            | Self::Lock { channel, .. } => *channel,
            Self::PingRequest { .. } | Self::Nack { .. } | Self::Gossip { .. } => Channel::Datagram,
            Self::Join { .. }
            | Self::Table { .. }
            | Self::Reject { .. }
            | Self::Digest { .. }
            | Self::Difference { .. }
            | Self::MetadataRequest { .. }
            | Self::Metadata { .. }
            | Self::Conflict { .. }
            | Self::StoreSync { .. }
            | Self::Greeting { .. } => Channel::Stream,
        }
    }
}

/// The bounded queue of them.
#[derive(Debug)]
pub(crate) struct Outbox<A> {
    datagrams: VecDeque<(Addressing, Pending<A>)>,
    streams: VecDeque<(Addressing, Pending<A>)>,
    /// The sender of the sealed packet that is acted on, whose answers are for it.
    asker: Option<(A, Addressee)>,
    /// For whom the packet is that was taken out last.
    current: Addressing,
    limit: usize,
    rejected: u64,
}

impl<A: PartialEq> Outbox<A> {
    pub(crate) fn new(limit: usize) -> Self {
        let (datagrams, streams) = (VecDeque::new(), VecDeque::new());
        Self { datagrams, streams, asker: None, current: Addressing::ByAddress, limit, rejected: 0 }
    }

    /// Queues a packet; one that finds the queue full is dropped and counted.
    pub(crate) fn push(&mut self, pending: Pending<A>) {
        let addressing = match (&self.asker, pending.receiver()) {
            _ if matches!(pending, Pending::Join { .. }) => Addressing::Nobody,
            _ if let Pending::Ping { target, .. } = pending => Addressing::Member(target),
            (Some((address, asker)), Some(to)) if to == address => Addressing::Known(*asker),
            _ => Addressing::ByAddress,
        };
        self.push_as(addressing, pending);
    }

    /// Queues a packet for this addressee.
    pub(crate) fn push_for(&mut self, addressee: Addressee, pending: Pending<A>) {
        self.push_as(Addressing::Known(addressee), pending);
    }

    fn push_as(&mut self, addressing: Addressing, pending: Pending<A>) {
        if self.datagrams.len() + self.streams.len() >= self.limit {
            self.rejected += 1;
            return;
        }
        self.queue(&pending).push_back((addressing, pending));
    }

    /// Queues the rest of what was cut into chunks, behind what waits meanwhile. It takes no place more than before.
    pub(crate) fn resume(&mut self, pending: Pending<A>) {
        let addressing = self.current;
        self.queue(&pending).push_back((addressing, pending));
    }

    pub(crate) fn pop(&mut self) -> Option<Pending<A>> {
        let next = self.datagrams.pop_front().or_else(|| self.streams.pop_front());
        self.current = next.as_ref().map_or(Addressing::ByAddress, |(addressing, _)| *addressing);
        next.map(|(_, pending)| pending)
    }

    /// Until the next call, packets to this address are answers to this node.
    pub(crate) fn answer(&mut self, asker: Option<(A, Addressee)>) {
        self.asker = asker;
    }

    /// For whom the packet is that was taken out last.
    pub(crate) fn addressing(&self) -> Addressing {
        self.current
    }

    fn queue(&mut self, pending: &Pending<A>) -> &mut VecDeque<(Addressing, Pending<A>)> {
        match pending.channel() {
            Channel::Datagram => &mut self.datagrams,
            Channel::Stream => &mut self.streams,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.datagrams.clear();
        self.streams.clear();
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.datagrams.len() + self.streams.len()
    }

    /// How many found the queue full.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }
}
