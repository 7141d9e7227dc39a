//! A store as bytes that outlast the node: with a length and a checksum, so that what was cut or damaged is noticed
//! before any of it is taken.

use alloc::vec::Vec;
use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::kv::settings::SnapshotError;
use crate::kv::store::Store;
use crate::kv::watch::Changes;
use crate::time::Instant;
use crate::wire::{StoreRow, append};

const MAGIC: &[u8; 8] = b"gossipkv";

const FORMAT: u8 = 1;

/// Magic, format, and the length of all.
const PREFIX: usize = 8 + 1 + 8;

/// All that, and the mark of the store.
pub(crate) const SNAPSHOT_HEAD: usize = PREFIX + 8;

/// When it was shared, the number of rows, and of those that were shared, besides.
const HEADER: usize = SNAPSHOT_HEAD + 3 * 8;

const CHECKSUM: usize = 8;

/// What became of the rows of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Loaded {
    /// They were taken.
    pub taken: usize,
    /// The store had the same or something newer, or they were deleted so long ago that nobody remembers.
    pub known: usize,
    /// They are over a limit of the store, or too far ahead of the wall clock.
    pub refused: usize,
}

impl Store {
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + CHECKSUM + self.table.bytes() + self.table.len() * 48);
        out.extend_from_slice(MAGIC);
        out.push(FORMAT);
        out.extend_from_slice(&[0; 8]);
        let shared = self.table.iter().filter(|(_, row)| self.is_shared(row));
        let others = self.table.iter().filter(|(_, row)| !self.is_shared(row));
        for number in [self.mark, self.shared, self.table.len() as u64, shared.clone().count() as u64] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for (key, row) in shared.chain(others) {
            append(&mut out, &row.wire(key));
        }
        let length = (out.len() + CHECKSUM) as u64;
        out[PREFIX - 8..PREFIX].copy_from_slice(&length.to_be_bytes());
        let checksum = checksum(&out);
        out.extend_from_slice(&checksum);
        out
    }

    /// Whether bytes begin as a snapshot of this store does.
    pub(crate) fn check_head(&self, bytes: &[u8]) -> Result<(), SnapshotError> {
        check_format(bytes)?;
        match number(bytes, PREFIX) {
            Some(mark) if mark == self.mark => Ok(()),
            Some(_) => Err(SnapshotError::OtherStore),
            None => Err(cut(bytes)),
        }
    }

    pub(crate) fn load(
        &mut self,
        now: Instant,
        unix: u64,
        bytes: &[u8],
        changes: &mut Changes,
    ) -> Result<Loaded, SnapshotError> {
        let Opened { mark, shared, are_shared, rows } = open(bytes)?;
        if mark != self.mark {
            return Err(SnapshotError::OtherStore);
        }
        let mut loaded = Loaded::default();
        for (row, index) in rows.zip(0..) {
            let own = if index < are_shared { 0 } else { self.next_own() };
            match self.take_as(now, unix, &row, own, changes) {
                Ok(true) => loaded.taken += 1,
                Ok(false) => loaded.known += 1,
                Err(_) => loaded.refused += 1,
            }
        }
        // What others deleted since is not known.
        self.shared = self.shared.min(shared);
        self.since = unix;
        Ok(loaded)
    }
}

/// A snapshot that is whole.
struct Opened<'a> {
    mark: u64,
    /// When it was shared with another node.
    shared: u64,
    /// So many of the rows were, the first ones.
    are_shared: u64,
    rows: Rows<'a>,
}

/// Checks all of a snapshot.
fn open(bytes: &[u8]) -> Result<Opened<'_>, SnapshotError> {
    check_format(bytes)?;
    let (cut, found) = (cut(bytes), bytes.len() as u64);
    let expected = number(bytes, PREFIX - 8).ok_or(cut)?;
    if expected != found {
        return Err(SnapshotError::Length { expected, found });
    }
    let (content, sum) =
        bytes.split_last_chunk::<CHECKSUM>().filter(|(content, _)| content.len() >= HEADER).ok_or(cut)?;
    if checksum(content) != *sum {
        return Err(SnapshotError::Checksum);
    }
    let [mark, shared, count, are_shared] = [0, 8, 16, 24].map(|at| number(bytes, PREFIX + at));
    let (Some(mark), Some(shared), Some(count), Some(are_shared)) = (mark, shared, count, are_shared) else {
        return Err(cut);
    };
    let rows = Rows(&content[HEADER..]);
    let mut rest = rows.clone();
    if rest.by_ref().count() as u64 != count || !rest.0.is_empty() {
        return Err(SnapshotError::Malformed);
    }
    Ok(Opened { mark, shared, are_shared, rows })
}

fn check_format(bytes: &[u8]) -> Result<(), SnapshotError> {
    if !bytes.starts_with(MAGIC) {
        return Err(SnapshotError::NotOne);
    }
    match bytes.get(MAGIC.len()) {
        Some(&FORMAT) => Ok(()),
        Some(&found) => Err(SnapshotError::Format { found, reads: FORMAT }),
        None => Err(cut(bytes)),
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Of bytes that end before they can say how long they should be.
fn cut(bytes: &[u8]) -> SnapshotError {
    SnapshotError::Length { expected: (HEADER + CHECKSUM) as u64, found: bytes.len() as u64 }
}

#[derive(Clone)]
struct Rows<'a>(&'a [u8]);

impl<'a> Iterator for Rows<'a> {
    type Item = StoreRow<'a>;

    fn next(&mut self) -> Option<StoreRow<'a>> {
        let (row, rest) = postcard::take_from_bytes(self.0).ok()?;
        self.0 = rest;
        Some(row)
    }
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = SipHasher24::new_with_keys(0, 3);
    hasher.write(content);
    hasher.finish().to_be_bytes()
}
