//! What nodes say to each other about key-value stores.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::identity::{Epoch, NodeId};

/// Bytes of the sums of a bucket's children.
const SUMS: usize = 16 * 8;

/// Levels of buckets below the root.
const LEVELS: u8 = 16;

/// The fingerprint of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreRoot {
    /// Which store: a fingerprint of its name and of the settings that all must share.
    #[serde(with = "postcard::fixint::be")]
    pub(crate) mark: u64,
    #[serde(with = "postcard::fixint::be")]
    pub(crate) root: u64,
    /// Since when the sender knows of all deletions, in seconds since 1970.
    pub(crate) since: u32,
    /// Whether it comes with the answer to a probe.
    pub(crate) answers: bool,
}

/// What comes before the items of a step of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SyncHeader {
    #[serde(with = "postcard::fixint::be")]
    pub(crate) mark: u64,
    /// Which comparison, drawn by who began it.
    pub(crate) exchange: u32,
    /// Even ones are of who began it.
    pub(crate) step: u8,
    /// The sender's fingerprint, after what it was told in the step before.
    #[serde(with = "postcard::fixint::be")]
    pub(crate) root: u64,
    /// As in [`StoreRoot`].
    pub(crate) since: u32,
    /// What is missing: [`Self::CUT`] and [`Self::REFUSED`].
    pub(crate) missing: u8,
}

impl SyncHeader {
    /// Not all fitted that there is to say.
    pub(crate) const CUT: u8 = 1;
    /// The sender did not take all rows that it was given in the step before.
    pub(crate) const REFUSED: u8 = 2;
}

/// A step of a comparison of two stores.
#[derive(Clone, Debug)]
pub(crate) struct Sync<'a> {
    pub(crate) header: SyncHeader,
    pub(crate) items: SyncItems<'a>,
}

impl<'a> Sync<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let (header, rest) = postcard::take_from_bytes(payload).ok()?;
        let items = SyncItems(rest);
        items.are_valid().then_some(Self { header, items })
    }
}

/// Something to say about a part of a store.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum SyncItem<'a> {
    /// The fingerprints of a bucket's sixteen children.
    Sums {
        /// Of the bucket.
        level: u8,
        prefix: u64,
        #[serde(borrow)]
        sums: &'a [u8],
    },
    /// All rows of a bucket: place, timestamp, and the end of the fingerprint.
    List {
        level: u8,
        prefix: u64,
        #[serde(borrow)]
        rows: &'a [u8],
    },
    /// A row.
    Row(#[serde(borrow)] StoreRow<'a>),
    /// The row at this place is asked for.
    Want(#[serde(with = "postcard::fixint::be")] u64),
}

impl SyncItem<'_> {
    fn is_valid(&self) -> bool {
        match *self {
            Self::Sums { level, sums, .. } => level < LEVELS && sums.len() == SUMS,
            Self::List { level, rows, .. } => level <= LEVELS && rows.len().is_multiple_of(Listed::SIZE),
            Self::Row(row) => !row.key.is_empty(),
            Self::Want(_) => true,
        }
    }
}

/// Items one after the other.
#[derive(Clone, Debug)]
pub(crate) struct SyncItems<'a>(&'a [u8]);

impl SyncItems<'_> {
    fn are_valid(&self) -> bool {
        let mut rest = self.clone();
        rest.by_ref().all(|item| item.is_valid()) && rest.0.is_empty()
    }
}

impl<'a> Iterator for SyncItems<'a> {
    type Item = SyncItem<'a>;

    fn next(&mut self) -> Option<SyncItem<'a>> {
        let (item, rest) = postcard::take_from_bytes(self.0).ok()?;
        self.0 = rest;
        Some(item)
    }
}

/// A row as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) place: u64,
    pub(crate) stamp: u64,
    /// The end of the row's fingerprint.
    pub(crate) tag: u16,
}

impl Listed {
    pub(crate) const SIZE: usize = 18;

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.place.to_be_bytes());
        out.extend_from_slice(&self.stamp.to_be_bytes());
        out.extend_from_slice(&self.tag.to_be_bytes());
    }

    /// The rows that were listed.
    pub(crate) fn all(rows: &[u8]) -> impl Iterator<Item = Self> {
        rows.chunks_exact(Self::SIZE).filter_map(|bytes| {
            let (place, rest) = bytes.split_first_chunk()?;
            let (stamp, tag) = rest.split_first_chunk()?;
            let (place, stamp) = (u64::from_be_bytes(*place), u64::from_be_bytes(*stamp));
            Some(Self { place, stamp, tag: u16::from_be_bytes(tag.try_into().ok()?) })
        })
    }
}

/// The last write of a key. Without a value it was deleted, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreRow<'a> {
    #[serde(borrow)]
    pub(crate) key: &'a str,
    #[serde(with = "postcard::fixint::be")]
    pub(crate) stamp: u64,
    pub(crate) writer: NodeId,
    pub(crate) epoch: Epoch,
    /// When it ends, in microseconds since 1970.
    pub(crate) expires: Option<u64>,
    #[serde(borrow)]
    pub(crate) value: Option<&'a [u8]>,
}

/// A write, as it is broadcast: the store, and the row.
pub(crate) fn decode_write(payload: &[u8]) -> Option<(u64, StoreRow<'_>)> {
    let (mark, rest) = payload.split_first_chunk()?;
    let row: StoreRow<'_> = postcard::take_from_bytes(rest).ok()?.0;
    (!row.key.is_empty()).then_some((u64::from_be_bytes(*mark), row))
}

/// The payload of a broadcast that tells a write.
pub(crate) fn encode_write(mark: u64, row: &StoreRow<'_>) -> Vec<u8> {
    let mut payload = mark.to_be_bytes().to_vec();
    append(&mut payload, row);
    payload
}

/// Appends something as it travels.
pub(crate) fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    struct Appending<'a>(&'a mut Vec<u8>);

    impl postcard::ser_flavors::Flavor for Appending<'_> {
        type Output = ();

        fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
            self.0.push(byte);
            Ok(())
        }

        fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }

        fn finalize(self) -> postcard::Result<()> {
            Ok(())
        }
    }

    postcard::serialize_with_flavor(value, Appending(out)).expect("a vector takes all that has a length");
}
