//! What the application can be told it did wrong. In each case the node's state is unchanged.

use alloc::string::String;

use crate::identity::Versions;

/// Metadata that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The key is empty or longer than 255 bytes.
    #[error("metadata key of {length} bytes: expected 1 to 255")]
    Key {
        /// Length of the key in bytes.
        length: usize,
    },
    /// The node's metadata would exceed [`Config::max_metadata`](crate::Config::max_metadata).
    #[error("metadata would take {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes that the whole map would take.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The node has left the cluster; what it says of itself no longer changes.
    #[error("the node has left the cluster")]
    Left,
}

/// A member that cannot be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// No member has this id.
    #[error("no member has this id")]
    Unknown,
    /// The member is alive or only suspected; it would come back at once.
    #[error("the member is not dead and has not left")]
    Alive,
    /// A node cannot forget itself.
    #[error("a node cannot forget itself")]
    Myself,
}

/// A command that makes no sense in the phase that the node is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhaseError {
    /// The node is leaving or has left.
    #[error("the node is leaving or has left the cluster")]
    Leaving,
    /// Another live node has this node's id and a later start; see [`Event::IdConflict`](crate::Event::IdConflict).
    #[error("another live node has this node's id")]
    Contested,
}

/// Why joining through one address failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No connection could be made, or it broke.
    #[error("cannot be reached")]
    Unreachable,
    /// No complete answer within [`Config::join_timeout`](crate::Config::join_timeout).
    #[error("no answer in time")]
    Timeout,
    /// The node there answered no.
    #[error("rejected: {0}")]
    Rejected(RejectReason),
    /// Too many attempts are under way already.
    #[error("too many join attempts are under way")]
    Busy,
    /// This node is leaving, has left, or lost its id to another node.
    #[error(transparent)]
    Phase(#[from] PhaseError),
}

/// Why a node refuses another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// It belongs to another cluster.
    #[error("it belongs to another cluster")]
    Cluster,
    /// The two speak no common version of the protocol.
    #[error("it speaks protocol version {0}, this node {ours}", ours = Versions::SUPPORTED)]
    Versions(Versions),
    /// Its application version does not accept this node's.
    #[error("its application version {0:?} does not accept this node's")]
    Application(String),
    /// The address is this node's own.
    #[error("the address is this node's own")]
    Myself,
    /// The node there has the same id and is alive.
    #[error("the node there has the same id")]
    IdConflict,
    /// Its member table is full.
    #[error("its member table is full")]
    Full,
    /// It is leaving the cluster.
    #[error("it is leaving the cluster")]
    Leaving,
    /// A reason that this version does not know.
    #[error("an unknown reason (code {0})")]
    Unknown(u8),
}

impl RejectReason {
    /// The number on the wire.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Cluster => 1,
            Self::Versions(_) => 2,
            Self::Application(_) => 3,
            Self::Myself => 4,
            Self::IdConflict => 5,
            Self::Full => 6,
            Self::Leaving => 7,
            Self::Unknown(code) => *code,
        }
    }

    /// The reason behind a number; `speaks` and `application` are those of the node that refuses.
    pub(crate) fn from_code(code: u8, speaks: Versions, application: &str) -> Self {
        match code {
            1 => Self::Cluster,
            2 => Self::Versions(speaks),
            3 => Self::Application(application.into()),
            4 => Self::Myself,
            5 => Self::IdConflict,
            6 => Self::Full,
            7 => Self::Leaving,
            other => Self::Unknown(other),
        }
    }
}
