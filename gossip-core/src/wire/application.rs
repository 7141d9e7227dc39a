//! Messages of the application: a short header, and the payload up to the end.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::{Epoch, NodeId, Tags};
use crate::lane::{LaneKey, Run};
use crate::payload::Length;
use crate::ring::Arcs;
use crate::wire::Tail;

/// Most bytes of a header: with a tag of 64 bytes and all the cuts and the path of a copy.
pub(crate) const LONGEST_HEADER: usize = 512;

/// A header, and the payload behind it.
#[derive(Clone)]
pub(crate) struct Letter<'a, H> {
    pub(crate) header: H,
    pub(crate) payload: &'a [u8],
}

impl<'a, H: Deserialize<'a>> Letter<'a, H> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = postcard::take_from_bytes(bytes).ok()?;
        Some(Self { header, payload })
    }
}

impl<H: fmt::Debug> fmt::Debug for Letter<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").field("header", &self.header).field("payload", &Length(self.payload.len())).finish()
    }
}

/// Of a message to one node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DirectHeader {
    /// Whom it is for: another node may have the address by now.
    pub(crate) target: Tail,
    pub(crate) kind: u16,
}

/// Of a request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestHeader {
    /// Whom it is for.
    pub(crate) target: NodeId,
    pub(crate) id: u64,
    pub(crate) kind: u16,
    /// How long the asker waits.
    pub(crate) patience_ms: u32,
    /// Of a message that wants to be confirmed, and no answer: its number among those to the same target. Zero: a request.
    pub(crate) number: u64,
    /// How many numbers before it may still be open.
    pub(crate) before: u64,
}

/// Of the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReplyHeader {
    pub(crate) id: u64,
    /// Zero for an answer; otherwise why there is none.
    pub(crate) outcome: u8,
}

/// Of a copy of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CopyHeader<'a> {
    /// By which the receiver acknowledges it; zero if it need not.
    pub(crate) hop: u32,
    pub(crate) origin: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) sequence: u64,
    pub(crate) flags: u8,
    /// How many nodes it went through, the receiver included.
    pub(crate) hops: u8,
    /// How many numbers before this one could still be asked for when it was sent.
    pub(crate) recent: u32,
    /// In the answer to a question: for how long the sender has had it.
    pub(crate) age_ms: u32,
    pub(crate) kind: u16,
    #[serde(borrow)]
    pub(crate) tag: &'a str,
    /// Arcs, in one of which the receiver stands, which is its to serve; none if it has to serve nobody.
    pub(crate) arcs: &'a [u8],
    /// Points of those that it went through since the origin, four bytes each: they have it.
    pub(crate) path: &'a [u8],
}

impl CopyHeader<'_> {
    /// It travels by streams.
    pub(crate) const RELIABLE: u8 = 1;
    /// It is delivered after its predecessors.
    pub(crate) const ORDERED: u8 = 2;
    /// Only the offer of it, without the payload: it is acknowledged by whoever has the message, and asked for by others.
    pub(crate) const OFFER: u8 = 4;

    /// Numbers beyond this are nobody's.
    const LAST: u64 = 1 << 62;

    pub(crate) fn is_valid(&self) -> bool {
        (1..=Self::LAST).contains(&self.sequence)
            && self.tag.len() <= Tags::LONGEST
            && Arcs::are_valid(self.arcs)
            && self.path.len().is_multiple_of(4)
            && self.path.len() <= MAX_PATH * 4
    }
}

/// Longest path of a copy.
pub(crate) const MAX_PATH: usize = 16;

/// Acknowledged hops.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hops<'a>(&'a [u8]);

impl<'a> Hops<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Self(bytes);
        while rest.next().is_some() {}
        rest.0.is_empty().then_some(Self(bytes))
    }
}

impl Iterator for Hops<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (hop, rest) = postcard::take_from_bytes(self.0).ok()?;
        self.0 = rest;
        Some(hop)
    }
}

/// Runs of broadcasts: those that the sender has, or asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Runs<'a>(&'a [u8]);

/// One of them on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunEntry {
    #[serde(with = "postcard::fixint::be")]
    lane: u64,
    first: u64,
    count: u64,
}

impl From<Run> for RunEntry {
    fn from(run: Run) -> Self {
        Self { lane: run.lane.0, first: run.first, count: run.count }
    }
}

impl RunEntry {
    /// Its length on the wire.
    pub(crate) fn size(&self) -> usize {
        /// Bits in a byte of a varint.
        const BITS: u32 = 7;
        let varint = |value: u64| ((u64::BITS - value.leading_zeros()).div_ceil(BITS) as usize).max(1);
        size_of::<u64>() + varint(self.first) + varint(self.count)
    }
}

impl<'a> Runs<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Self(bytes);
        while rest.next().is_some() {}
        rest.0.is_empty().then_some(Self(bytes))
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let (entry, rest) = postcard::take_from_bytes::<RunEntry>(self.0).ok()?;
        self.0 = rest;
        Some(Run { lane: LaneKey(entry.lane), first: entry.first, count: entry.count })
    }
}

/// Runs that the sender has, to be answered with those of the receiver that are not among them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Compare<'a> {
    /// For how long the sender expects messages to get lost.
    pub(crate) trouble_ms: u32,
    pub(crate) runs: Runs<'a>,
}

impl<'a> Compare<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (trouble_ms, rest) = postcard::take_from_bytes(bytes).ok()?;
        Some(Self { trouble_ms, runs: Runs::decode(rest)? })
    }
}
