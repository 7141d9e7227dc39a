//! Claims and metadata.

use arbitrary::Arbitrary;

use super::field::record;
use super::{Epoch, Field, Id, Many, Place};

/// Epochs from here on leave their subject no room.
const IMPLAUSIBLE: u64 = u64::MAX - (1 << 32);

/// What is claimed of a member's life, in the order of their numbers.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Alive,
    Suspect,
    Dead,
    Leaving,
    Removed,
}

impl State {
    const ALL: [Self; 5] = [Self::Alive, Self::Suspect, Self::Dead, Self::Leaving, Self::Removed];

    /// Whether the member counts as one that takes part.
    pub(crate) fn is_live(self) -> bool {
        self <= Self::Suspect
    }
}

impl Field for State {
    fn read(from: &mut &[u8]) -> Option<Self> {
        Self::ALL.get(usize::try_from(u32::read(from)?).ok()?).copied()
    }

    fn write(&self, to: &mut Vec<u8>) {
        to.push(*self as u8);
    }
}

record! {
    /// A start, and how often its node spoke up since.
    #[derive(Copy, Eq, PartialOrd, Ord)]
    Incarnation { epoch: Epoch, refutations: u32, }
}

record! {
    /// What the teller knows of a member.
    Claim {
        subject: Id,
        incarnation: Incarnation,
        state: State,
        address: Place,
        versions: [u8; 2],
        metadata: u64,
        age: u32,
        accusers: Vec<u8>,
    }
}

impl Claim {
    /// A claim without accusers.
    pub(crate) fn of(subject: Id, epoch: u64, refutations: u32, state: State, address: Place) -> Self {
        let incarnation = Incarnation { epoch: Epoch(epoch), refutations };
        Self { subject, incarnation, state, address, versions: [1, 1], metadata: 0, age: 0, accusers: Vec::new() }
    }

    pub(super) fn is_valid(&self) -> bool {
        let count = self.accusers.len() / 16;
        self.accusers.len().is_multiple_of(16) && count <= 9 && self.incarnation.epoch.0 < IMPLAUSIBLE
    }
}

/// A value of metadata. Floats are kept as their bytes, so that all are equal to themselves.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Integer(i64),
    Float([u8; 8]),
    Text(String),
    Time(i64),
    Bytes(Vec<u8>),
}

impl Field for Value {
    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(match u32::read(from)? {
            0 => Self::Bool(bool::read(from)?),
            1 => Self::Integer(unzigzag(u64::read(from)?)),
            2 => Self::Float(Field::read(from)?),
            3 => Self::Text(String::read(from)?),
            4 => Self::Time(unzigzag(u64::read(from)?)),
            5 => Self::Bytes(Vec::read(from)?),
            _ => return None,
        })
    }

    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Bool(value) => [0, u8::from(*value)].write(to),
            Self::Integer(value) => {
                to.push(1);
                zigzag(*value).write(to);
            }
            Self::Float(value) => {
                to.push(2);
                value.write(to);
            }
            Self::Text(value) => {
                to.push(3);
                value.write(to);
            }
            Self::Time(value) => {
                to.push(4);
                zigzag(*value).write(to);
            }
            Self::Bytes(value) => {
                to.push(5);
                value.write(to);
            }
        }
    }
}

/// Small numbers of either sign become small numbers: 0, −1, 1, −2, 2 …
fn zigzag(value: i64) -> u64 {
    let doubled = value.unsigned_abs().wrapping_mul(2);
    if value < 0 { doubled.wrapping_sub(1) } else { doubled }
}

fn unzigzag(value: u64) -> i64 {
    let half = i64::try_from(value / 2).expect("half of it has 63 bits");
    if value.is_multiple_of(2) { half } else { -1 - half }
}

record! {
    /// One changed key; no value: it was removed.
    Entry { key: String, version: u64, value: Option<Value>, }
}

/// Changes of a member's metadata.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub(crate) struct Delta {
    pub(crate) subject: Id,
    pub(crate) epoch: Epoch,
    pub(crate) base: u64,
    pub(crate) version: u64,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) entries: Many<Entry>,
}

impl Delta {
    const MOST_TAGS: usize = 64;

    pub(super) fn is_valid(&self) -> bool {
        let tags = self.tags.as_deref().unwrap_or_default();
        tags.len() <= Self::MOST_TAGS
            && tags.iter().all(|tag| (1..=64).contains(&tag.len()))
            && self.entries.0.iter().all(|entry| entry.version <= self.version && (1..=255).contains(&entry.key.len()))
    }
}

impl Field for Delta {
    fn read(from: &mut &[u8]) -> Option<Self> {
        let (subject, epoch) = (Field::read(from)?, Field::read(from)?);
        let (base, version) = (Field::read(from)?, Field::read(from)?);
        let tags = match Option::<u8>::read(from)? {
            Some(count) => Some((0..count).map(|_| String::read(from)).collect::<Option<_>>()?),
            None => None,
        };
        Some(Self { subject, epoch, base, version, tags, entries: Field::read(from)? })
    }

    fn write(&self, to: &mut Vec<u8>) {
        self.subject.write(to);
        self.epoch.write(to);
        self.base.write(to);
        self.version.write(to);
        // More tags than can be counted are too many in any case.
        self.tags.as_ref().map(|tags| u8::try_from(tags.len()).unwrap_or(u8::MAX)).write(to);
        for tag in self.tags.iter().flatten() {
            tag.write(to);
        }
        self.entries.write(to);
    }
}
