//! The bytes on the wire; `docs/WIRE.md` is the normative text.
//!
//! A packet is an envelope of fixed layout, a body, and a trailer. The body is a sequence of messages, each
//! `kind, length, payload`, so that a receiver can skip kinds from the future. Payloads are postcard, decoded in place:
//! nothing is allocated, and nothing nests.

mod application;
mod ballot;
mod envelope;
mod lock;
mod member;
mod message;
mod sealed;
mod store;

pub(crate) use application::{
    Compare, CopyHeader, DirectHeader, LONGEST_HEADER, Letter, MAX_PATH, ReplyHeader, RequestHeader, RunEntry,
};
pub(crate) use ballot::{Act, Ballot, Draft};
pub(crate) use envelope::{Envelope, HEADER, Opened, TRAILER, cluster_hash, open, seal};
pub use lock::Delay;
pub(crate) use lock::{Answer, Holding, Parcel, Records, Say, Wish, counts};
#[cfg(test)]
pub(crate) use member::Entries;
pub(crate) use member::{Accusers, Claim, Delta, DeltaHeader, Entry, MAX_ACCUSERS, MetadataWantList, Want};
pub(crate) use message::{
    Accept, Ack, Conflict, Difference, Digest, FEWEST_BUCKETS, Join, Message, Messages, Nack, Ping, PingRequest,
    Reject, Root, Tail, Writer,
};
pub(crate) use sealed::{Sealed, is_sealed};
pub(crate) use store::{Listed, StoreRoot, StoreRow, Sync, SyncHeader, SyncItem, append, decode_write, encode_write};

/// The protocol version that this library writes.
pub(crate) const VERSION: u8 = 1;
