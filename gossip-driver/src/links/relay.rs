//! Packets between two nodes that only dial: they go by way of a neighbour that both keep a connection to.

use std::fmt;
use std::ops::Bound;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use gossip_core::NodeId;

use super::{DATAGRAM_ROOM, Link, Links, State, Unreachable};
use crate::NodeAddress;
use crate::framing::{Kind, PASS, PREFIX, prefix};
use crate::link::LinkId;
use crate::queue::Queued;
use crate::runtime::Runtime;
use crate::stats::Counter;

/// What a packet that is passed on is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inner {
    Message,
    Datagram,
    /// No packet, but word that there is no way to a node.
    NoWay,
}

/// A packet on its way by another node.
#[derive(PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) inner: Inner,
    /// For whom it is, or from whom.
    pub(crate) third: NodeId,
    pub(crate) packet: Vec<u8>,
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner, third, packet } = self;
        f.debug_struct("Parcel").field("inner", inner).field("third", third).field("length", &packet.len()).finish()
    }
}

impl Parcel {
    /// Reads what came in a frame; `None` if it is not what it should be.
    pub(crate) fn read(mut bytes: Vec<u8>) -> Option<Self> {
        let inner = match bytes.first()? {
            0 => Inner::Message,
            1 => Inner::Datagram,
            2 => Inner::NoWay,
            _ => return None,
        };
        let third = NodeId::from_bytes(*bytes.get(1..PASS)?.first_chunk()?);
        bytes.drain(..PASS);
        (bytes.is_empty() == (inner == Inner::NoWay)).then_some(Self { inner, third, packet: bytes })
    }

    /// The frame that carries a packet.
    fn frame(kind: Kind, inner: Inner, third: NodeId, packet: &[u8]) -> Option<Bytes> {
        let mut frame = BytesMut::with_capacity(PREFIX + PASS + packet.len());
        frame.put_slice(&prefix(kind, PASS + packet.len())?);
        frame.put_u8(match inner {
            Inner::Message => 0,
            Inner::Datagram => 1,
            Inner::NoWay => 2,
        });
        frame.put_slice(third.as_bytes());
        frame.put_slice(packet);
        Some(frame.freeze())
    }
}

impl<R: Runtime> Links<R> {
    /// Whom a packet to this address is for, if it can only go by way of another node.
    pub(super) fn is_for_relay(&self, to: &NodeAddress) -> Option<NodeId> {
        match to {
            NodeAddress::DialOnly(target) if self.keeping.is_some() => Some(*target),
            _ => None,
        }
    }

    /// Sends the packet in a frame by way of a neighbour.
    pub(super) fn pass(
        &mut self,
        now: Instant,
        target: NodeId,
        inner: Inner,
        frame: &Bytes,
    ) -> Result<(), Unreachable> {
        let frame = Parcel::frame(Kind::Pass, inner, target, &frame[PREFIX..]);
        let relay = self.relay_to(target);
        let id = relay.as_ref().and_then(|relay| self.routes.get(relay)).copied();
        if let (Some(id), Some(frame)) = (id, frame)
            && self.queue_if_room(now, id, inner, frame)
        {
            return Ok(());
        }
        self.counters.count(Counter::LinkDatagramsDropped);
        Err(Unreachable)
    }

    /// The neighbour that leads to another node: always the same, so that messages stay in order, as long as it does.
    fn relay_to(&mut self, target: NodeId) -> Option<NodeAddress> {
        let is_open = |address: &NodeAddress| {
            let link = self.routes.get(address).and_then(|id| self.table.get(id));
            // One that takes what is queued has been opened.
            let is_ready = |link: &Link| link.heard > link.opened || link.queued.bytes() == 0;
            link.is_some_and(|link| matches!(link.wires, State::Open { .. }) && is_ready(link))
        };
        let keeping = self.keeping.as_mut()?;
        if let Some(relay) = keeping.relays.get(&target)
            && is_open(relay)
        {
            return Some(relay.clone());
        }
        let after = keeping.cursor.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let later = keeping.wanted.range((after, Bound::Unbounded)).map(|(address, _)| address);
        let next = later.chain(keeping.wanted.keys()).find(|address| is_open(address))?.clone();
        keeping.cursor = Some(next.clone());
        keeping.relays.insert(target, next.clone());
        Some(next)
    }

    /// Another neighbour is to lead to this node from now on.
    pub(crate) fn change_relay(&mut self, target: NodeId) {
        if let Some(keeping) = &mut self.keeping {
            keeping.relays.remove(&target);
        }
    }

    /// Who was reached by way of a neighbour that is not connected any more, and is waited for.
    pub(super) fn no_relay_any_more(&mut self, relay: &NodeAddress) -> Vec<NodeAddress> {
        let Some(keeping) = &mut self.keeping else { return Vec::new() };
        if self.routes.contains_key(relay) {
            return Vec::new();
        }
        let lost = keeping.relays.extract_if(.., |_, by| by == relay).map(|(target, _)| NodeAddress::DialOnly(target));
        lost.filter(|target| self.awaited.contains(target)).collect()
    }

    /// Passes a packet of `source` on to the node it is for. What finds no way or no room is dropped; of a message
    /// `source` is told so.
    pub(crate) fn relay(&mut self, now: Instant, from: LinkId, source: NodeId, parcel: &Parcel) {
        let route = self.routes.get(&NodeAddress::DialOnly(parcel.third)).copied().filter(|&to| to != from);
        let frame = Parcel::frame(Kind::Passed, parcel.inner, source, &parcel.packet);
        if let (Some(to), Some(frame)) = (route, frame)
            && self.queue_if_room(now, to, parcel.inner, frame)
        {
            self.counters.count(Counter::Relayed);
        } else {
            self.refuse_relay(now, from, parcel);
        }
    }

    /// A packet is not passed on.
    pub(crate) fn refuse_relay(&mut self, now: Instant, from: LinkId, parcel: &Parcel) {
        self.counters.count(Counter::RelaysRefused);
        if parcel.inner == Inner::Message
            && let Some(frame) = Parcel::frame(Kind::Passed, Inner::NoWay, parcel.third, &[])
        {
            self.queue_if_room(now, from, Inner::NoWay, frame);
        }
    }

    /// Queues a frame for a link that has room for it; the link stays as it is otherwise.
    fn queue_if_room(&mut self, now: Instant, id: LinkId, inner: Inner, frame: Bytes) -> bool {
        let room = match inner {
            Inner::Message => self.settings.link_queue,
            Inner::Datagram | Inner::NoWay => DATAGRAM_ROOM.min(self.settings.link_queue),
        };
        let Some(link) = self.table.get_mut(&id) else { return false };
        let State::Open { queue, .. } = &link.wires else { return false };
        match Queued::new(frame, (&link.queued, room), (&self.queued, self.settings.total_queue)) {
            Ok(frame) => {
                link.used = now;
                queue.try_send(frame).is_ok()
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_is_read_as_it_was_written_and_nothing_else_is_one() {
        let third = NodeId::from_u128(7);
        for (inner, packet) in [(Inner::Message, vec![1; 50]), (Inner::Datagram, vec![2; 44]), (Inner::NoWay, vec![])] {
            let frame = Parcel::frame(Kind::Passed, inner, third, &packet).unwrap();
            assert_eq!(Parcel::read(frame[PREFIX..].to_vec()), Some(Parcel { inner, third, packet }));
        }
        for wrong in [vec![], vec![0; PASS - 1], vec![0; PASS], vec![3; PASS + 44], vec![2; PASS + 44]] {
            assert_eq!(Parcel::read(wrong), None);
        }
    }
}
