//! What nodes say to each other about locks.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::election::Term;
use crate::lock::{Entry, Token};

/// What a client wishes of the leader. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wish {
    /// The lock, as soon as it is this client's turn.
    Acquire { ttl: u64 },
    /// The lock, if nobody has it.
    Try { ttl: u64 },
    /// To keep it.
    Extend { token: Token, ttl: u64 },
    /// To give it back.
    Release { token: Token },
    /// To know who has it.
    Query,
    /// Not to get what another operation asked for, or to give it back.
    Withdraw { of: u64 },
}

/// What the leader says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Granted {
        token: Token,
    },
    Extended,
    Released,
    NotHeld,
    Busy,
    Full,
    Crowded,
    Standing {
        holder: Option<Holding>,
        waiting: u32,
    },
    Withdrawn,
    /// Not yet.
    Wait(Delay),
}

/// Who has a lock, as the leader says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holding {
    pub(crate) holder: crate::identity::NodeId,
    pub(crate) token: Token,
    /// Microseconds until the leader takes it back.
    pub(crate) left: u64,
}

/// Why an operation on a lock is not done yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Delay {
    /// No leader is known that could decide.
    NoLeader,
    /// The leader does not answer.
    Unanswered,
    /// The leader is new, and gathers what was granted before, or waits until that has ended.
    Recovering,
    /// Fewer members than [`LockConfig::replicas`](crate::LockConfig::replicas) remember it so far.
    Replicas,
    /// Others have the lock, or came first.
    Held,
}

/// One message about locks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parcel<'a> {
    /// Which pool: a fingerprint of its name and of the settings that all must share.
    #[serde(with = "postcard::fixint::be")]
    pub(crate) mark: u64,
    #[serde(borrow)]
    pub(crate) say: Say<'a>,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Say<'a> {
    /// To the leader of `term`. Operations below `floor` have ended. An answer repeats the latest `stamp`.
    Ask { term: Term, op: u64, floor: u64, stamp: u64, wish: Wish, key: &'a str },
    /// By the leader.
    Answer { op: u64, stamp: u64, answer: Answer },
    /// By the leader: to be remembered.
    Store {
        term: Term,
        #[serde(borrow)]
        records: Records<'a>,
    },
    /// It is: the counts of those records.
    Stored { term: Term, counts: &'a [u8] },
    /// By a new leader: what is remembered, of keys after this one?
    Fetch { term: Term, after: &'a str },
    /// This is, of keys after that one.
    Known {
        term: Term,
        after: &'a str,
        more: bool,
        #[serde(borrow)]
        records: Records<'a>,
    },
}

/// Records, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Records<'a>(pub(crate) &'a [u8]);

impl<'a> Records<'a> {
    fn is_valid(self) -> bool {
        self.read().all(|entry| entry.is_some())
    }

    /// The records; `None` in place of one: the rest does not decode.
    fn read(self) -> impl Iterator<Item = Option<Entry<'a>>> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let taken = postcard::take_from_bytes::<Entry<'a>>(rest).ok();
            rest = taken.as_ref().map_or(&[][..], |(_, rest)| rest);
            Some(taken.map(|(entry, _)| entry))
        })
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Entry<'a>> {
        self.read().flatten()
    }
}

impl Parcel<'_> {
    pub(crate) fn is_valid(&self) -> bool {
        match self.say {
            Say::Store { records, .. } | Say::Known { records, .. } => records.is_valid(),
            Say::Stored { counts, .. } => counts.len().is_multiple_of(8),
            Say::Ask { .. } | Say::Answer { .. } | Say::Fetch { .. } => true,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, Vec::new()).expect("a vector takes every byte")
    }
}

/// The counts of records that are remembered.
pub(crate) fn counts(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok()).map(u64::from_be_bytes)
}
