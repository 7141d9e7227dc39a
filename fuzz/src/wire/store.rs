//! How nodes compare their key-value stores.

use arbitrary::Arbitrary;

use super::field::record;
use super::{Epoch, Field, Id, Many};

record! {
    /// The fingerprint of a store.
    StoreRoot { mark: [u8; 8], root: [u8; 8], since: u32, answers: bool, }
}
record! {
    /// A step of a comparison.
    StoreSync {
        mark: [u8; 8],
        exchange: u32,
        step: u8,
        root: [u8; 8],
        since: u32,
        missing: u8,
        items: Many<Item>,
    }
}
record! {
    /// A bucket, and the sums of its children or a list of its rows.
    Bucket { level: u8, prefix: u64, content: Vec<u8>, }
}
record! {
    /// The last write of a key.
    Row { key: String, stamp: [u8; 8], writer: Id, epoch: Epoch, expires: Option<u64>, value: Option<Vec<u8>>, }
}

/// Something to say about a part of a store.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Sums(Bucket),
    List(Bucket),
    Row(Row),
    Want([u8; 8]),
}

impl StoreSync {
    pub(super) fn is_valid(&self) -> bool {
        self.items.0.iter().all(|item| match item {
            Item::Sums(bucket) => bucket.level < 16 && bucket.content.len() == 16 * 8,
            Item::List(bucket) => bucket.level <= 16 && bucket.content.len().is_multiple_of(18),
            Item::Row(row) => !row.key.is_empty(),
            Item::Want(_) => true,
        })
    }
}

impl Field for Item {
    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(match u32::read(from)? {
            0 => Self::Sums(Field::read(from)?),
            1 => Self::List(Field::read(from)?),
            2 => Self::Row(Field::read(from)?),
            3 => Self::Want(Field::read(from)?),
            _ => return None,
        })
    }

    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Sums(bucket) => {
                to.push(0);
                bucket.write(to);
            }
            Self::List(bucket) => {
                to.push(1);
                bucket.write(to);
            }
            Self::Row(row) => {
                to.push(2);
                row.write(to);
            }
            Self::Want(place) => {
                to.push(3);
                place.write(to);
            }
        }
    }
}
