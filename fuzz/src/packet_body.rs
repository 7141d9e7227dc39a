//! Any bytes as the body of a packet: the product decodes what the document says, and nothing else.

use crate::decoder::Decoder;
use crate::wire::{self, Epoch, Id, envelop};

/// Decodes the bytes as a body, in both channels.
pub fn packet_body(data: &[u8]) {
    let expected = wire::decode(data);
    Decoder::with(|decoder| {
        let packet = envelop(Id(2), Epoch(Epoch::FIRST), 1, data);
        assert_eq!(decoder.accepts(&packet), expected.is_some(), "the product and the document: {expected:?}");
        let Some(messages) = expected else { return };
        // As the document's author would write it.
        let body = wire::encode(&messages);
        assert_eq!(wire::decode(&body).as_ref(), Some(&messages));
        assert!(decoder.accepts(&envelop(Id(2), Epoch(Epoch::FIRST), 1, &body)), "{messages:?}");
    });
}
