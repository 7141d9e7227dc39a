//! What can be wrong with a message, and how a request can fail.

use alloc::string::String;

use crate::error::PhaseError;

/// A number that is not in the range of those who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message type {number} is reserved: applications have the numbers from 128, libraries those from 64 to 127")]
pub struct ReservedType {
    /// The number.
    pub number: u16,
}

/// A message that was not accepted. The state is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The payload is over [`Config::max_payload`](crate::Config::max_payload).
    #[error("payload of {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// No member has this id.
    #[error("no member has this id")]
    UnknownMember,
    /// The member is dead, has left, or was forgotten.
    #[error("the member is dead or has left")]
    NotLive,
    /// No live member besides this node has this tag.
    #[error("no other live member has this tag")]
    NoSuchTag,
    /// Too much for this member is on its way; [`Config::max_peer_bytes`](crate::Config::max_peer_bytes).
    #[error("{limit} bytes for this member are on their way already")]
    PeerFull {
        /// The limit in bytes.
        limit: usize,
    },
    /// Too much is on its way; [`Config::max_queued_bytes`](crate::Config::max_queued_bytes).
    #[error("{limit} bytes are on their way already")]
    QueueFull {
        /// The limit in bytes.
        limit: usize,
    },
    /// A message to this node itself, whose deliveries are full; [`Config::max_deliveries`](crate::Config::max_deliveries).
    #[error("this node has not read what was delivered to it")]
    DeliveriesFull,
    /// Too many requests and reliable messages wait for their end, or to be read;
    /// [`Config::max_requests`](crate::Config::max_requests).
    #[error("{limit} requests are under way already")]
    TooManyRequests {
        /// The limit.
        limit: usize,
    },
    /// The deadline is now or past, or more than an hour away.
    #[error("the deadline must be within the next hour")]
    Deadline,
    /// The request was answered already, or its deadline is past.
    #[error("the request was answered already, or nobody waits for the answer any more")]
    RequestOver,
    /// The node is leaving, has left, or lost its id.
    #[error(transparent)]
    Phase(#[from] PhaseError),
}

/// Why a request got no answer, or a reliable message no confirmation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No answer until the deadline.
    #[error("no answer in time")]
    Timeout,
    /// No connection could be made, or it broke; or the member is gone, or another node is at its address.
    #[error("cannot be reached")]
    Unreachable,
    /// Nobody there handles this type.
    #[error("nobody there handles this type")]
    NoHandler,
    /// The handler said no.
    #[error("rejected: {0}")]
    Rejected(String),
    /// The other side has too much to do; or an answer came that found this node's deliveries full.
    #[error("overloaded")]
    Overloaded,
    /// This node left the cluster.
    #[error("this node left the cluster")]
    Left,
    /// A reason that this version does not know.
    #[error("an unknown reason (code {0})")]
    Unknown(u8),
}
