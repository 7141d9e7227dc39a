//! The format of packets, written down a second time from `docs/WIRE.md` alone, to be compared with the product's.
//!
//! It is plain and slow: it owns what it decodes, and reads the numbers digit by digit.

mod ballot;
mod field;
mod lock;
mod member;
mod message;
mod store;

use std::hash::Hasher;

use arbitrary::Arbitrary;
use siphasher::sip::SipHasher24;

pub(crate) use ballot::Ballot;
pub(crate) use field::{Epoch, Field, Id, Many, Place, Rest};
pub(crate) use lock::Lock;
pub(crate) use member::{Claim, Delta, Entry, Incarnation, State, Value};
pub(crate) use message::Message;
pub(crate) use store::{StoreRoot, StoreSync};

/// Bytes around the body of a packet that is not sealed.
pub(crate) const AROUND: usize = 44;

/// The name of the cluster that all packets are of.
pub(crate) const CLUSTER: &str = "fuzz";

/// A packet that is not sealed.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    /// Whose it says it is.
    pub(crate) sender: Id,
    /// In which start.
    pub(crate) epoch: Epoch,
    /// Its number.
    pub(crate) counter: u64,
    /// What it says.
    pub(crate) messages: Vec<Message>,
}

impl Packet {
    /// A packet with these messages.
    pub(crate) fn of(sender: Id, epoch: u64, messages: Vec<Message>) -> Self {
        Self { sender, epoch: Epoch(epoch), counter: 1, messages }
    }

    /// The packet on the wire, its checksum right.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        envelop(self.sender, self.epoch, self.counter, &encode(&self.messages))
    }

    /// Takes a packet of the cluster apart; `None` if a receiver has to drop it.
    pub(crate) fn from_bytes(packet: &[u8]) -> Option<Self> {
        let length = packet.len().checked_sub(4).filter(|_| packet.len() >= AROUND)?;
        let (content, sum) = packet.split_at(length);
        let starts_well = content[..2] == [1, 0] && content[2..6] == route() && content[6..8] == [0, 0];
        if !starts_well || sum != checksum(content) {
            return None;
        }
        let header = &mut &content[8..40];
        let (sender, epoch) = (Id::read(header)?, Epoch::read(header)?);
        let counter = <[u8; 8]>::read(header).map(u64::from_be_bytes)?;
        Some(Self { sender, epoch, counter, messages: decode(&content[40..])? })
    }
}

/// Messages of a body; `None` if a receiver has to drop it as a whole.
pub(crate) fn decode(mut body: &[u8]) -> Option<Vec<Message>> {
    let mut messages = Vec::new();
    while !body.is_empty() {
        messages.push(Message::read(&mut body)?);
    }
    Some(messages)
}

/// The body with these messages.
pub(crate) fn encode(messages: &[Message]) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        message.write(&mut body);
    }
    body
}

/// A packet with this body, whatever it is, and the checksum that it has to have.
pub(crate) fn envelop(sender: Id, epoch: Epoch, counter: u64, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![1, 0];
    packet.extend(route());
    packet.extend([0, 0]);
    sender.write(&mut packet);
    epoch.write(&mut packet);
    packet.extend(counter.to_be_bytes());
    packet.extend_from_slice(body);
    packet.extend(checksum(&packet));
    packet
}

/// Makes bytes that may be a packet one of the cluster with the right checksum, without touching the rest.
pub(crate) fn correct(packet: &mut [u8]) {
    if packet.len() < AROUND {
        return;
    }
    packet[2..6].copy_from_slice(&route());
    let length = packet.len() - 4;
    let sum = checksum(&packet[..length]);
    packet[length..].copy_from_slice(&sum);
}

fn cluster() -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(CLUSTER.as_bytes());
    hasher.finish()
}

/// The field of the header that says which cluster a packet is of.
pub(crate) fn route() -> [u8; 4] {
    low_half(cluster())
}

fn checksum(content: &[u8]) -> [u8; 4] {
    let mut hasher = SipHasher24::new_with_keys(0, cluster());
    hasher.write(content);
    low_half(hasher.finish())
}

fn low_half(hash: u64) -> [u8; 4] {
    let [.., a, b, c, d] = hash.to_be_bytes();
    [a, b, c, d]
}
