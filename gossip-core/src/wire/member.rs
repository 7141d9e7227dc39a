//! Payloads about one member: a claim, and a metadata delta.

use core::str;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::identity::{self, Epoch, Incarnation, NodeId, Versions};
use crate::membership::MemberState;
use crate::metadata::{MAX_KEY, ValueRef};

/// Most accusers that travel with a claim.
pub(crate) const MAX_ACCUSERS: usize = 9;

const ID: usize = size_of::<NodeId>();

/// What the teller knows of a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claim<'a, A> {
    pub(crate) subject: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) state: MemberState,
    pub(crate) address: A,
    pub(crate) speaks: Versions,
    /// Metadata version that the teller holds for the epoch of `incarnation`.
    pub(crate) metadata: u64,
    /// For the dead and departed: for how many seconds they have been.
    pub(crate) age: u32,
    #[serde(borrow)]
    pub(crate) accusers: Accusers<'a>,
}

impl<A> Claim<'_, A> {
    pub(crate) fn is_valid(&self) -> bool {
        self.accusers.is_valid() && self.incarnation.epoch.is_plausible()
    }
}

/// Those who say that the subject does not answer: ids one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Accusers<'a>(pub(crate) &'a [u8]);

impl<'a> Accusers<'a> {
    fn is_valid(self) -> bool {
        self.0.len().is_multiple_of(ID) && self.0.len() <= MAX_ACCUSERS * ID
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = NodeId> + 'a {
        self.0.chunks_exact(ID).map(|bytes| {
            let mut id = [0; ID];
            id.copy_from_slice(bytes);
            NodeId::from_bytes(id)
        })
    }

    /// The bytes for [`Accusers`] made of these ids; those over [`MAX_ACCUSERS`] are left out.
    pub(crate) fn bytes(ids: &[NodeId]) -> SmallVec<[u8; 64]> {
        ids.iter().take(MAX_ACCUSERS).flat_map(|id| *id.as_bytes()).collect()
    }
}

/// Changes of a member's metadata from version `base` (zero: everything) to `version`.
#[derive(Clone, Debug)]
pub(crate) struct Delta<'a> {
    pub(crate) subject: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) base: u64,
    pub(crate) version: u64,
    /// The member's tags; always told with everything.
    pub(crate) tags: Option<Tags<'a>>,
    pub(crate) entries: Entries<'a>,
}

/// The fixed part of a [`Delta`]; tags and entries follow it one after the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeltaHeader {
    pub(crate) subject: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) base: u64,
    pub(crate) version: u64,
    pub(crate) tags: Option<u8>,
}

/// One changed key; no value means that it was removed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry<'a> {
    #[serde(borrow)]
    pub(crate) key: &'a str,
    pub(crate) version: u64,
    pub(crate) value: Option<ValueRef<'a>>,
}

impl<'a> Delta<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = postcard::take_from_bytes::<DeltaHeader>(bytes).ok()?;
        let (tags, rest) = match header.tags {
            Some(count) => {
                let (tags, rest) = Tags::split(rest, count)?;
                (Some(tags), rest)
            }
            None => (None, rest),
        };
        let entries = Entries::new(rest);
        entries.are_valid(header.version).then_some(())?;
        Some(Self {
            subject: header.subject,
            epoch: header.epoch,
            base: header.base,
            version: header.version,
            tags,
            entries,
        })
    }
}

/// Tags as they lie in a packet.
#[derive(Clone, Debug)]
pub(crate) struct Tags<'a>(&'a [u8]);

impl<'a> Tags<'a> {
    /// Splits off so many tags, if they are within the limits.
    fn split(bytes: &'a [u8], count: u8) -> Option<(Self, &'a [u8])> {
        let mut rest = bytes;
        (usize::from(count) <= identity::Tags::MOST).then_some(())?;
        for _ in 0..count {
            let (tag, after) = postcard::take_from_bytes::<&str>(rest).ok()?;
            (1..=identity::Tags::LONGEST).contains(&tag.len()).then_some(())?;
            rest = after;
        }
        Some((Self(&bytes[..bytes.len() - rest.len()]), rest))
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (tag, rest) = postcard::take_from_bytes(self.0).ok()?;
        self.0 = rest;
        Some(tag)
    }
}

/// Metadata entries as they lie in a packet.
#[derive(Clone, Debug)]
pub(crate) struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all decode, and none is newer than `version`.
    fn are_valid(&self, version: u64) -> bool {
        let mut rest = self.clone();
        let is_right = |entry: Entry<'_>| entry.version <= version && (1..=MAX_KEY).contains(&entry.key.len());
        rest.by_ref().all(is_right) && rest.0.is_empty()
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (entry, rest) = postcard::take_from_bytes(self.0).ok()?;
        self.0 = rest;
        Some(entry)
    }
}

/// A request for the metadata of one member after a version that the asker has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Want {
    pub(crate) subject: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) version: u64,
}

/// Members whose metadata is to be asked for.
pub(crate) type MetadataWantList = SmallVec<[NodeId; 4]>;

/// Requests one after the other.
#[derive(Clone, Debug)]
pub(crate) struct MetadataWants<'a>(pub(crate) &'a [u8]);

impl MetadataWants<'_> {
    pub(crate) fn is_valid(&self) -> bool {
        let mut rest = self.clone();
        while rest.next().is_some() {}
        rest.0.is_empty()
    }
}

impl Iterator for MetadataWants<'_> {
    type Item = Want;

    fn next(&mut self) -> Option<Want> {
        let (want, rest) = postcard::take_from_bytes(self.0).ok()?;
        self.0 = rest;
        Some(want)
    }
}
