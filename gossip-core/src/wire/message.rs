//! The messages of a body: decoded in place, written with a limit.

use bytes::{BufMut, BytesMut};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use crate::identity::{Address, Incarnation, NodeId, Versions};
use crate::membership::BUCKETS;
use crate::stats::MessageKind;
use crate::wire::application::{
    Compare, CopyHeader, DirectHeader, Hops, LONGEST_HEADER, Letter, ReplyHeader, RequestHeader, Runs,
};
use crate::wire::ballot::Ballot;
use crate::wire::lock::Parcel;
use crate::wire::member::{Claim, Delta, MetadataWants};
use crate::wire::store::{StoreRoot, Sync};

/// Fewest buckets that fingerprints are exchanged in.
pub(crate) const FEWEST_BUCKETS: usize = 16;

/// A probe: whoever has the id that ends in `target` answers with an [`Ack`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ping {
    pub(crate) sequence: u32,
    pub(crate) target: Tail,
    pub(crate) root: Root,
}

/// The answer to a [`Ping`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ack {
    pub(crate) sequence: u32,
    pub(crate) root: Root,
}

/// Asks to probe `target` and to answer with an [`Ack`], or with a [`Nack`] before `patience_ms` have passed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PingRequest {
    pub(crate) sequence: u32,
    pub(crate) target: NodeId,
    pub(crate) patience_ms: u32,
}

/// "I am well, but the one you asked about has not answered me."
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nack {
    pub(crate) sequence: u32,
}

/// Asks to be let in; the asker's own claim and metadata follow in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Join<'a> {
    pub(crate) speaks: Versions,
    #[serde(borrow)]
    pub(crate) cluster: &'a str,
    pub(crate) application: &'a str,
}

/// Lets in; a part of the member table follows in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Accept {
    /// More packets of the table come.
    pub(crate) more: bool,
}

/// Does not let in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reject<'a> {
    pub(crate) code: u8,
    pub(crate) speaks: Versions,
    #[serde(borrow)]
    pub(crate) application: &'a str,
}

/// Fingerprints of the member table in `buckets.len() / 8` buckets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Digest<'a> {
    #[serde(borrow)]
    pub(crate) buckets: &'a [u8],
}

impl Digest<'_> {
    fn is_valid(&self) -> bool {
        let count = self.buckets.len() / 8;
        self.buckets.len().is_multiple_of(8) && count.is_power_of_two() && (FEWEST_BUCKETS..=BUCKETS).contains(&count)
    }
}

/// Rows of differing buckets follow in the packet; those of the buckets set in `wanted` are asked for in return.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Difference<'a> {
    #[serde(borrow)]
    pub(crate) wanted: &'a [u8],
}

impl Difference<'_> {
    fn is_valid(&self) -> bool {
        let count = self.wanted.len() * 8;
        count == 0 || count.is_power_of_two() && (FEWEST_BUCKETS..=BUCKETS).contains(&count)
    }
}

/// "You have my id, and started later; this is me."
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Conflict<A> {
    pub(crate) incarnation: Incarnation,
    pub(crate) address: A,
}

/// The last four bytes of a node id: enough to notice that another node answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tail([u8; 4]);

impl Tail {
    pub(crate) fn of(id: NodeId) -> Self {
        let bytes = id.as_bytes();
        Self([bytes[12], bytes[13], bytes[14], bytes[15]])
    }
}

/// The fingerprint of a whole member table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root(#[serde(with = "postcard::fixint::be")] pub(crate) u64);

/// One message, borrowed from its packet.
#[derive(Clone, Debug)]
pub(crate) enum Message<'a, A> {
    Ping(Ping),
    Ack(Ack),
    PingRequest(PingRequest),
    Nack(Nack),
    Claim(Claim<'a, A>),
    Metadata(Delta<'a>),
    MetadataRequest(MetadataWants<'a>),
    Join(Join<'a>),
    Accept(Accept),
    Reject(Reject<'a>),
    Digest(Digest<'a>),
    Difference(Difference<'a>),
    Conflict(Conflict<A>),
    Direct(Letter<'a, DirectHeader>),
    Request(Letter<'a, RequestHeader>),
    Reply(Letter<'a, ReplyHeader>),
    Copy(Letter<'a, CopyHeader<'a>>),
    CopyAck(Hops<'a>),
    Recent(Runs<'a>),
    Pull(Runs<'a>),
    Baseline(Runs<'a>),
    Compare(Compare<'a>),
    Ballot(Ballot<'a>),
    Lock(Parcel<'a>),
    StoreRoot(StoreRoot),
    StoreSync(Sync<'a>),
    /// A kind from the future.
    Unknown,
}

impl MessageKind {
    /// The number on the wire. Numbers are never reused.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ping => 1,
            Self::Ack => 2,
            Self::PingRequest => 3,
            Self::Nack => 4,
            Self::Claim => 5,
            Self::Metadata => 6,
            Self::MetadataRequest => 7,
            Self::Join => 8,
            Self::Accept => 9,
            Self::Reject => 10,
            Self::Digest => 11,
            Self::Difference => 12,
            Self::Conflict => 13,
            Self::Direct => 16,
            Self::Request => 17,
            Self::Reply => 18,
            Self::Copy => 19,
            Self::CopyAck => 20,
            Self::Recent => 21,
            Self::Pull => 22,
            Self::Baseline => 23,
            Self::Compare => 24,
            Self::Ballot => 25,
            Self::Lock => 26,
            Self::StoreRoot => 32,
            Self::StoreSync => 33,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }
}

impl<A> Message<'_, A> {
    pub(crate) fn kind(&self) -> Option<MessageKind> {
        Some(match self {
            Self::Ping(_) => MessageKind::Ping,
            Self::Ack(_) => MessageKind::Ack,
            Self::PingRequest(_) => MessageKind::PingRequest,
            Self::Nack(_) => MessageKind::Nack,
            Self::Claim(_) => MessageKind::Claim,
            Self::Metadata(_) => MessageKind::Metadata,
            Self::MetadataRequest(_) => MessageKind::MetadataRequest,
            Self::Join(_) => MessageKind::Join,
            Self::Accept(_) => MessageKind::Accept,
            Self::Reject(_) => MessageKind::Reject,
            Self::Digest(_) => MessageKind::Digest,
            Self::Difference(_) => MessageKind::Difference,
            Self::Conflict(_) => MessageKind::Conflict,
            Self::Direct(_) => MessageKind::Direct,
            Self::Request(_) => MessageKind::Request,
            Self::Reply(_) => MessageKind::Reply,
            Self::Copy(_) => MessageKind::Copy,
            Self::CopyAck(_) => MessageKind::CopyAck,
            Self::Recent(_) => MessageKind::Recent,
            Self::Pull(_) => MessageKind::Pull,
            Self::Baseline(_) => MessageKind::Baseline,
            Self::Compare(_) => MessageKind::Compare,
            Self::Ballot(_) => MessageKind::Ballot,
            Self::Lock(_) => MessageKind::Lock,
            Self::StoreRoot(_) => MessageKind::StoreRoot,
            Self::StoreSync(_) => MessageKind::StoreSync,
            Self::Unknown => return None,
        })
    }
}

/// The messages of a body, in order. `None` in place of a message: the rest does not decode.
#[derive(Clone)]
pub(crate) struct Messages<'a, A> {
    rest: &'a [u8],
    address: core::marker::PhantomData<fn() -> A>,
}

impl<'a, A: Address> Messages<'a, A> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body, address: core::marker::PhantomData }
    }

    /// Whether every message decodes. A packet is acted on as a whole or not at all.
    pub(crate) fn are_valid(&self) -> bool {
        self.clone().all(|message| message.is_some())
    }

    fn take(&mut self) -> Option<Message<'a, A>> {
        let (&code, rest) = self.rest.split_first()?;
        let (length, rest) = postcard::take_from_bytes::<u32>(rest).ok()?;
        let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        decode(code, payload)
    }
}

impl<'a, A: Address> Iterator for Messages<'a, A> {
    type Item = Option<Message<'a, A>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = self.take();
        if message.is_none() {
            self.rest = &[];
        }
        Some(message)
    }
}

fn decode<'a, A: Address>(code: u8, payload: &'a [u8]) -> Option<Message<'a, A>> {
    /// Bytes after the known fields are from the future and ignored.
    fn fields<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Option<T> {
        postcard::take_from_bytes(payload).ok().map(|(fields, _)| fields)
    }

    let Some(kind) = MessageKind::from_code(code) else {
        return Some(Message::Unknown);
    };
    Some(match kind {
        MessageKind::Ping => Message::Ping(fields(payload)?),
        MessageKind::Ack => Message::Ack(fields(payload)?),
        MessageKind::PingRequest => Message::PingRequest(fields(payload)?),
        MessageKind::Nack => Message::Nack(fields(payload)?),
        MessageKind::Claim => {
            let claim: Claim<'a, A> = fields(payload)?;
            claim.is_valid().then_some(())?;
            Message::Claim(claim)
        }
        MessageKind::Metadata => Message::Metadata(Delta::decode(payload)?),
        MessageKind::MetadataRequest => {
            let wants = MetadataWants(payload);
            wants.is_valid().then_some(())?;
            Message::MetadataRequest(wants)
        }
        MessageKind::Join => Message::Join(fields(payload)?),
        MessageKind::Accept => Message::Accept(fields(payload)?),
        MessageKind::Reject => Message::Reject(fields(payload)?),
        MessageKind::Digest => {
            let digest: Digest<'a> = fields(payload)?;
            digest.is_valid().then_some(())?;
            Message::Digest(digest)
        }
        MessageKind::Difference => {
            let difference: Difference<'a> = fields(payload)?;
            difference.is_valid().then_some(())?;
            Message::Difference(difference)
        }
        MessageKind::Conflict => Message::Conflict(fields(payload)?),
        MessageKind::Direct => Message::Direct(Letter::decode(payload)?),
        MessageKind::Request => Message::Request(Letter::decode(payload)?),
        MessageKind::Reply => Message::Reply(Letter::decode(payload)?),
        MessageKind::Copy => {
            let letter: Letter<'a, CopyHeader<'a>> = Letter::decode(payload)?;
            letter.header.is_valid().then_some(())?;
            Message::Copy(letter)
        }
        MessageKind::CopyAck => Message::CopyAck(Hops::decode(payload)?),
        MessageKind::Recent => Message::Recent(Runs::decode(payload)?),
        MessageKind::Pull => Message::Pull(Runs::decode(payload)?),
        MessageKind::Baseline => Message::Baseline(Runs::decode(payload)?),
        MessageKind::Compare => Message::Compare(Compare::decode(payload)?),
        MessageKind::Ballot => {
            let ballot: Ballot<'a> = fields(payload)?;
            ballot.is_valid().then_some(())?;
            Message::Ballot(ballot)
        }
        MessageKind::Lock => {
            let parcel: Parcel<'a> = fields(payload)?;
            parcel.is_valid().then_some(())?;
            Message::Lock(parcel)
        }
        MessageKind::StoreRoot => Message::StoreRoot(fields(payload)?),
        MessageKind::StoreSync => Message::StoreSync(Sync::decode(payload)?),
    })
}

/// Writes messages to the end of a buffer without exceeding a limit: what does not fit leaves no trace.
pub(crate) struct Writer<'b> {
    buffer: &'b mut BytesMut,
    /// Length that the buffer must not exceed.
    limit: usize,
}

impl<'b> Writer<'b> {
    /// A writer that may append `room` bytes.
    pub(crate) fn new(buffer: &'b mut BytesMut, room: usize) -> Self {
        let limit = buffer.len() + room;
        Self { buffer, limit }
    }

    /// Bytes left.
    pub(crate) fn room(&self) -> usize {
        self.limit - self.buffer.len()
    }

    /// Writes a message of one part; tells whether it fitted.
    pub(crate) fn put(&mut self, kind: MessageKind, payload: &impl Serialize) -> bool {
        self.put_with(kind, |parts| parts.part(payload))
    }

    /// Writes a message of several parts; tells whether all of them fitted.
    pub(crate) fn put_with(&mut self, kind: MessageKind, write: impl FnOnce(&mut Parts<'_>) -> bool) -> bool {
        let start = self.buffer.len();
        if self.room() < 2 {
            return false;
        }
        self.buffer.put_slice(&[kind.code(), 0]);
        let mut parts = Parts { buffer: self.buffer, limit: self.limit };
        let fitted = write(&mut parts) && self.close(start);
        if !fitted {
            self.buffer.truncate(start);
        }
        fitted
    }

    /// Writes a header and a payload whose length is known; tells whether both fitted.
    pub(crate) fn put_letter(&mut self, kind: MessageKind, header: &impl Serialize, payload: &[u8]) -> bool {
        let mut bytes = [0; LONGEST_HEADER];
        let Ok(header) = postcard::to_slice(header, &mut bytes) else { return false };
        let length = header.len() + payload.len();
        let mut digits = [0; 5];
        let Some(digits) = u32::try_from(length).ok().and_then(|length| postcard::to_slice(&length, &mut digits).ok())
        else {
            return false;
        };
        if self.room() < 1 + digits.len() + length {
            return false;
        }
        for bytes in [&[kind.code()], &*digits, &*header, payload] {
            self.buffer.put_slice(bytes);
        }
        true
    }

    /// Fills in the length of the message that began at `start`, making room where one byte is not enough for it.
    fn close(&mut self, start: usize) -> bool {
        let payload = start + 2;
        let length = self.buffer.len() - payload;
        let mut digits = [0; 5];
        let Some(digits) = u32::try_from(length).ok().and_then(|length| postcard::to_slice(&length, &mut digits).ok())
        else {
            return false;
        };
        let extra = digits.len() - 1;
        if self.room() < extra {
            return false;
        }
        self.buffer.put_bytes(0, extra);
        self.buffer.copy_within(payload..payload + length, payload + extra);
        self.buffer[start + 1..payload + extra].copy_from_slice(digits);
        true
    }
}

/// The parts of one message being written.
pub(crate) struct Parts<'b> {
    buffer: &'b mut BytesMut,
    limit: usize,
}

impl Parts<'_> {
    /// Appends a part; tells whether it fitted.
    pub(crate) fn part(&mut self, value: &impl Serialize) -> bool {
        let limited = Limited { buffer: self.buffer, limit: self.limit };
        postcard::serialize_with_flavor(value, limited).is_ok()
    }
}

struct Limited<'b> {
    buffer: &'b mut BytesMut,
    limit: usize,
}

impl Flavor for Limited<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if self.buffer.len() + bytes.len() > self.limit {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.buffer.put_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
