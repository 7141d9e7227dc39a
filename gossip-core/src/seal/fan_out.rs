//! One body for several receivers: written once, sealed for each.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, BytesMut};

use crate::context::Context;
use crate::identity::Address;
use crate::outbox::{Recipients, one};
use crate::payload::Length;
use crate::transmit::{Channel, Transmit};
use crate::wire::{Envelope, HEADER, Sealed};

/// Room that is kept for the next body. Those that go by stream may be large, and are rare.
const KEPT: usize = 64 << 10;

/// A body and those who did not get it yet.
pub(crate) struct FanOut<A> {
    channel: Channel,
    /// The next one last.
    to: Recipients<A>,
    body: Vec<u8>,
}

impl<A: fmt::Debug> fmt::Debug for FanOut<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, to, body } = self;
        let mut out = f.debug_struct("FanOut");
        out.field("channel", channel).field("to", to).field("body", &Length(body.len())).finish()
    }
}

impl<A> Default for FanOut<A> {
    fn default() -> Self {
        Self { channel: Channel::Datagram, to: Recipients::new(), body: Vec::new() }
    }
}

impl<A: Address> Context<A> {
    /// Seals what was written to the end of `buffer` from `start` on, for the first of `to`; the others follow.
    pub(crate) fn seal_packet(
        &mut self,
        start: usize,
        channel: Channel,
        mut to: Recipients<A>,
        envelope: Envelope,
        buffer: &mut BytesMut,
    ) -> Option<Transmit<A>> {
        let first = if to.len() > 1 { Some(to.remove(0)) } else { to.pop() }?;
        if let Some(seal) = self.seal.as_mut().filter(|_| !to.is_empty()) {
            to.reverse();
            let fan_out = &mut seal.fan_out;
            fan_out.body.clear();
            fan_out.body.extend_from_slice(&buffer[start + HEADER..]);
            (fan_out.channel, fan_out.to) = (channel, to);
        }
        self.seal_for(start, channel, first, envelope, buffer)
    }

    /// The next packet of a fan-out, if one is under way.
    pub(crate) fn poll_fan_out(&mut self, buffer: &mut BytesMut) -> Option<Transmit<A>> {
        let envelope = Envelope { sender: self.id(), epoch: self.incarnation().epoch, counter: 0 };
        let fan_out = &mut self.seal.as_mut()?.fan_out;
        let (to, channel) = (fan_out.to.pop()?, fan_out.channel);
        let start = buffer.len();
        buffer.put_bytes(0, HEADER);
        buffer.put_slice(&fan_out.body);
        if fan_out.to.is_empty() && fan_out.body.capacity() > KEPT {
            fan_out.body = Vec::new();
        }
        let counter = self.packet_counter();
        self.seal_for(start, channel, to, Envelope { counter, ..envelope }, buffer)
    }

    fn seal_for(
        &mut self,
        start: usize,
        channel: Channel,
        to: A,
        envelope: Envelope,
        buffer: &mut BytesMut,
    ) -> Option<Transmit<A>> {
        let ring = self.config.keys.as_ref()?;
        let addressee = self.addressee(&to);
        let primary = ring.primary();
        // A receiver that was away while the key changed is spoken to in the one it has, as long as that is in the ring.
        let key = addressee.and_then(|receiver| receiver.key).and_then(|key| ring.find(key)).unwrap_or(primary);
        let sealed = Sealed {
            envelope,
            key: key.id(),
            is_bound: addressee.is_some(),
            is_accommodating: key.id() != primary.id(),
        };
        let life = addressee.map(|receiver| receiver.life);
        let seal = self.seal.as_mut()?;
        let Envelope { sender, epoch, .. } = envelope;
        let subkey = match seal.own.take() {
            Some(own) if own.is_of(key.id(), sender, epoch) => own,
            Some(mut own) => {
                *own = key.subkey(sender, epoch);
                own
            }
            None => Box::new(key.subkey(sender, epoch)),
        };
        let tag = sealed.seal(self.cluster, channel, &subkey, life, &mut buffer[start..]);
        seal.own = Some(subkey);
        buffer.put_slice(&tag);
        let size = buffer.len() - start;
        self.count_packet(channel, size, 1);
        Some(Transmit { to: one(to), channel, size })
    }
}
