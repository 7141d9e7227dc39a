//! Any values as a packet: what is written reads back as the same, and the product takes what is within the limits.

use arbitrary::{Arbitrary, Unstructured};

use crate::decoder::Decoder;
use crate::wire::{Message, Packet};

/// Writes and reads a packet with these values.
pub fn packet_values(data: &[u8]) {
    let Ok(packet) = Packet::arbitrary(&mut Unstructured::new(data)) else { return };
    let bytes = packet.to_bytes();
    let is_valid = packet.messages.iter().all(Message::is_valid);
    let read = Packet::from_bytes(&bytes);
    assert_eq!(read.as_ref(), is_valid.then_some(&packet), "what was written is what is read");
    assert_eq!(read.map(|packet| packet.to_bytes()), is_valid.then(|| bytes.clone()), "and what is written again");
    assert_eq!(Decoder::with(|decoder| decoder.accepts(&bytes)), is_valid, "{packet:?}");
}
