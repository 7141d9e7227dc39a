//! Who a node is: its id, the start it is in, and how often it had to speak up for itself.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::Hash;
use core::ops::Deref;
use core::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a node can be reached at: a socket address in drivers, a small integer in a simulation.
///
/// Implemented for every type that fits. It travels in the protocol through serde.
pub trait Address: Clone + Eq + Ord + Hash + fmt::Debug + Serialize + DeserializeOwned + Send + 'static {}

impl<T> Address for T where T: Clone + Eq + Ord + Hash + fmt::Debug + Serialize + DeserializeOwned + Send + 'static {}

/// The name of a node: 128 bits, written as a UUID.
///
/// An id should be generated once (UUIDv7, [`NodeId::v7`]) and kept by the operator over restarts, so that peers see
/// a restart instead of a death and a stranger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId([u8; 16]);

impl NodeId {
    /// The id made of these bytes, in the order in which they are written.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id with this value as a big-endian number; handy in tests and simulations.
    pub const fn from_u128(value: u128) -> Self {
        Self(value.to_be_bytes())
    }

    /// A UUID version 7 (RFC 9562 §5.7): `unix_ms` (48 bits are used), then 74 of the `random` bits.
    pub fn v7(unix_ms: u64, random: u128) -> Self {
        let mut bytes = random.to_be_bytes();
        bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        Self(bytes)
    }

    /// The bytes, in the order in which they are written.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a UUID in its usual form (`8-4-4-4-12` hexadecimal digits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a node id: expected a UUID like 0192f0c1-2345-7abc-8def-0123456789ab")]
pub struct ParseNodeIdError;

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, ParseNodeIdError> {
        let text = text.as_bytes();
        if text.len() != 36 {
            return Err(ParseNodeIdError);
        }
        let mut bytes = [0_u8; 16];
        let mut digits = 0;
        for (position, &character) in text.iter().enumerate() {
            if matches!(position, 8 | 13 | 18 | 23) {
                if character != b'-' {
                    return Err(ParseNodeIdError);
                }
                continue;
            }
            let digit = char::from(character).to_digit(16).ok_or(ParseNodeIdError)?;
            bytes[digits / 2] = (bytes[digits / 2] << 4) | u8::try_from(digit).map_err(|_| ParseNodeIdError)?;
            digits += 1;
        }
        Ok(Self(bytes))
    }
}

/// One start of a node. A later start has a greater epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Epoch(#[serde(with = "postcard::fixint::be")] u64);

impl Epoch {
    /// The epoch of a node that starts at `unix_ms` (42 bits, until the year 2109) with 22 of the `random` bits below
    /// it, so that two machines cloned from one image do not share an epoch.
    pub const fn new(unix_ms: u64, random: u32) -> Self {
        Self((unix_ms << 22) | (random & 0x003f_ffff) as u64)
    }

    /// The epoch with this value.
    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    /// The value.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Whether a node whose id was seen with this epoch can still go beyond it.
    pub(crate) const fn is_plausible(self) -> bool {
        self.0 < u64::MAX - (1 << 32)
    }

    /// An epoch of the next millisecond with these random bits.
    pub(crate) const fn following(self, random: u32) -> Self {
        Self((((self.0 >> 22) + 1) << 22) | (random & 0x003f_ffff) as u64)
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// How new a claim about a node is. Only the node itself raises it: by starting again, or by refuting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Incarnation {
    /// The start.
    pub epoch: Epoch,
    /// How often the node spoke up for itself since that start: it refuted a suspicion or changed its address.
    pub refutations: u32,
}

impl Incarnation {
    /// The one with which a node goes beyond another start of its id: in a later epoch while there is one.
    pub(crate) const fn superseded(self) -> Self {
        let epoch = self.epoch.next();
        if epoch.is_plausible() { Self { epoch, refutations: 0 } } else { self.refuted() }
    }

    /// The one with which a node refutes what is claimed of this one.
    pub(crate) const fn refuted(self) -> Self {
        match self.refutations.checked_add(1) {
            Some(refutations) => Self { refutations, ..self },
            None => Self { epoch: self.epoch.next(), refutations: 0 },
        }
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.0, self.refutations)
    }
}

/// The range of protocol versions that a node speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest version spoken.
    pub min: u8,
    /// The newest version spoken.
    pub max: u8,
}

impl Versions {
    /// What this library speaks.
    pub const SUPPORTED: Self = Self { min: 1, max: 1 };

    /// Whether the two ranges have a version in common.
    pub const fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{}-{}", self.min, self.max) }
    }
}

/// The labels of a node, in the order in which it gave them: at most 64 of 1 to 64 bytes. Cloning is cheap.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<Vec<String>>>);

impl Tags {
    /// Most tags of a node.
    pub const MOST: usize = 64;
    /// Longest tag in bytes.
    pub const LONGEST: usize = 64;

    /// Whether this is one of the tags. What somebody gave beyond the limits does not count.
    pub fn has(&self, tag: &str) -> bool {
        self.within_limits().any(|own| own == tag)
    }

    /// The tags that count, each as often as it was given.
    pub(crate) fn within_limits(&self) -> impl Iterator<Item = &String> {
        self.iter().take(Self::MOST).filter(|tag| (1..=Self::LONGEST).contains(&tag.len()))
    }
}

impl Deref for Tags {
    type Target = [String];

    fn deref(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |tags| tags)
    }
}

impl<T: Into<String>> FromIterator<T> for Tags {
    fn from_iter<I: IntoIterator<Item = T>>(tags: I) -> Self {
        let tags: Vec<String> = tags.into_iter().map(Into::into).collect();
        Self((!tags.is_empty()).then(|| Arc::new(tags)))
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What a node says of itself when it starts.
#[derive(Clone, Debug)]
pub struct Identity<A> {
    /// The name, kept over restarts.
    pub id: NodeId,
    /// Where peers reach this node: the advertised address, not the bound one.
    pub address: A,
    /// This start; greater than that of every earlier start of the same id.
    pub epoch: Epoch,
    /// Labels for messages and queries; they do not change while the node runs.
    pub tags: Tags,
}

impl<A> Identity<A> {
    /// An identity without tags.
    pub fn new(id: NodeId, address: A, epoch: Epoch) -> Self {
        Self { id, address, epoch, tags: Tags::default() }
    }

    /// The same with these tags.
    #[must_use]
    pub fn with_tags(self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { tags: tags.into_iter().collect(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn id_text_round_trips_and_rejects_other_forms() {
        let id = NodeId::v7(0x0192_f0c1_2345, u128::MAX);
        assert_eq!(id.to_string(), "0192f0c1-2345-7fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "0192f0c1", "0192f0c1-2345-7fff-bfff-fffffffffffg", "0192f0c1+2345-7fff-bfff-ffffffffffff"] {
            assert_eq!(bad.parse::<NodeId>(), Err(ParseNodeIdError), "{bad}");
        }
    }

    #[test]
    fn a_later_start_has_a_greater_epoch_whatever_the_random_bits() {
        assert!(Epoch::new(1_700_000_000_001, 0) > Epoch::new(1_700_000_000_000, u32::MAX));
    }

    #[test]
    fn tags_beyond_the_limits_do_not_count() {
        let long = "x".repeat(Tags::LONGEST + 1);
        let many = (0..=Tags::MOST).map(|number| format!("{number}"));
        let tags: Tags = [String::new(), long.clone(), String::from(&long[1..])].into_iter().chain(many).collect();
        let counts = |tag: &str| tags.has(tag);
        assert!(counts(&long[1..]) && counts("0") && counts("60"));
        assert!(!counts("") && !counts(&long) && !counts("61"), "{tags:?}");
    }

    #[test]
    fn versions_overlap_only_when_one_is_shared() {
        let old = Versions { min: 1, max: 2 };
        assert!(old.overlaps(Versions { min: 2, max: 3 }));
        assert!(!old.overlaps(Versions { min: 3, max: 4 }));
    }
}
