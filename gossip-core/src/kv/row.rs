//! One key, as a store keeps it, and which of two writes is the later one.

use alloc::sync::Arc;
use core::fmt;
use core::hash::Hasher;

use bytes::Bytes;
use siphasher::sip::SipHasher24;

use crate::hlc::Timestamp;
use crate::identity::{Epoch, NodeId};
use crate::payload::Length;
use crate::wire::StoreRow;

/// Which write of a key. Of two, the later one is greater, and it is the same one for all nodes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StoreVersion {
    /// When it was written, by the hybrid clock of its writer.
    pub stamp: Timestamp,
    /// The node that wrote it.
    pub writer: NodeId,
    /// In which of its starts: a clock that was set back could repeat a timestamp.
    pub(crate) epoch: Epoch,
}

/// A key of a store and what is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreEntry {
    /// The key.
    pub key: Arc<str>,
    /// Its value.
    pub value: Bytes,
    /// Which write it was.
    pub version: StoreVersion,
    /// When it ends, in microseconds since 1970; `None` if never.
    pub expires: Option<u64>,
}

impl fmt::Debug for StoreEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, version, expires } = self;
        let mut entry = f.debug_struct("StoreEntry");
        entry.field("key", key).field("value", &Length(value.len())).field("version", version);
        entry.field("expires", expires).finish()
    }
}

/// The last write of a key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) version: StoreVersion,
    /// When it ends, in microseconds since 1970.
    pub(super) expires: Option<u64>,
    /// Nothing after a deletion, and after its end.
    pub(super) value: Option<Bytes>,
    /// Its number among the rows that this node was the first to have; zero if others had it before.
    pub(super) own: u64,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, expires, value, own } = self;
        let value = value.as_ref().map(|value| Length(value.len()));
        let mut row = f.debug_struct("Row");
        row.field("version", version).field("expires", expires).field("value", &value).field("own", own).finish()
    }
}

impl Row {
    pub(super) fn of(row: &StoreRow<'_>) -> Self {
        let stamp = Timestamp::from_u64(row.stamp);
        let version = StoreVersion { stamp, writer: row.writer, epoch: row.epoch };
        Self { version, expires: row.expires, value: row.value.map(Bytes::copy_from_slice), own: 0 }
    }

    pub(super) fn wire<'a>(&'a self, key: &'a str) -> StoreRow<'a> {
        let StoreVersion { stamp, writer, epoch } = self.version;
        let (stamp, value) = (stamp.as_u64(), self.value.as_deref());
        StoreRow { key, stamp, writer, epoch, expires: self.expires, value }
    }

    /// Whether somebody who asks for the key gets something.
    pub(super) fn is_live(&self, unix: u64) -> bool {
        self.value.is_some() && self.expires.is_none_or(|expires| expires > unix)
    }

    /// What it takes of the store's bytes.
    pub(super) fn cost(&self, key: &str) -> usize {
        key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }

    /// When something is to be done about it, in microseconds since 1970: its value ends, or what is left of it has
    /// been kept for long enough.
    pub(super) fn deadline(&self, keep: u64) -> Option<u64> {
        if self.value.is_some() { self.expires } else { Some(self.reaped(keep)) }
    }

    /// When what is left of a row without a value is dropped.
    pub(super) fn reaped(&self, keep: u64) -> u64 {
        /// All nodes drop at the same few moments, so that tables of nodes whose clocks differ a little differ seldom.
        const MOMENTS: u64 = 16;
        let gone = self.expires.unwrap_or_else(|| self.version.stamp.unix_micros());
        let step = (keep / MOMENTS).max(1);
        gone.saturating_add(keep).checked_next_multiple_of(step).unwrap_or(u64::MAX)
    }

    /// What it adds to the fingerprint of the table. The value is not in it: a version is written once, and its value
    /// may have ended.
    pub(super) fn fingerprint(&self, key: &str) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(0, 1);
        hasher.write(&self.version.stamp.as_u64().to_be_bytes());
        hasher.write(self.version.writer.as_bytes());
        hasher.write(&self.version.epoch.as_u64().to_be_bytes());
        hasher.write(key.as_bytes());
        hasher.finish()
    }
}

/// Where a key stands in the tree of fingerprints.
pub(super) fn place_of(key: &str) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(0, 2);
    hasher.write(key.as_bytes());
    hasher.finish()
}
