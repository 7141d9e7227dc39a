//! The member table and which claim wins.

mod round_trip;
mod table;

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::{Incarnation, NodeId, Tags, Versions};
use crate::metadata::Metadata;
use crate::time::Instant;

pub(crate) use round_trip::RoundTrip;
pub(crate) use table::{BUCKETS, KeyedHash, Slot, Table};

/// What is believed of a member. Of two claims with the same incarnation the later in this order wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum MemberState {
    /// It answers.
    Alive,
    /// Somebody says that it does not answer; it has time to refute.
    Suspect,
    /// It did not refute in time.
    Dead,
    /// It said that it leaves.
    Leaving,
    /// It is dropped from the table: forgotten, or dead or gone for too long. Only seen in events.
    Removed,
}

impl MemberState {
    /// Whether the member takes part: alive, or only suspected.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }

    /// The name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Leaving => "leaving",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A member as this node knows it. Cloning is cheap.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Member<A> {
    /// Its id.
    pub id: NodeId,
    /// The address that it advertises.
    pub address: A,
    /// How new the knowledge is.
    pub incarnation: Incarnation,
    /// What is believed of it.
    pub state: MemberState,
    /// Since when; for the dead and departed counted from the moment that their peers noticed.
    pub since: Instant,
    /// The protocol versions it speaks.
    pub speaks: Versions,
    /// Its tags.
    pub tags: Tags,
    /// Its metadata.
    pub metadata: Metadata,
}
