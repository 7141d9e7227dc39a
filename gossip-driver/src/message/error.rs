//! What can go wrong with messages at the handle.

use std::fmt;

use gossip_core::MessageType;

use crate::StopReason;
use crate::codec::CodecError;
use crate::payload::CodecName;

/// A message that was not sent, or not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The node does not accept it.
    #[error(transparent)]
    Refused(#[from] gossip_core::SendError),
    /// Nothing was sent: the node's task has not come to what was handed in before, and there is no room for more. Send
    /// it again later, or by a [`patient`](crate::Cluster::patient) handle.
    #[error("{0}; send it later, or by a patient handle, which waits for room")]
    Busy(Backlog),
    /// A reliable message was not confirmed. It may have arrived nevertheless.
    #[error("not confirmed: {0}")]
    Unconfirmed(#[source] gossip_core::RequestError),
    /// The codec cannot write the body.
    #[error("{codec} cannot write the body: {error}")]
    Encode {
        /// Which codec.
        codec: &'static str,
        /// Why.
        #[source]
        error: CodecError,
    },
    /// The node no longer runs.
    #[error("the node no longer runs: {0}")]
    Stopped(StopReason),
}

/// Which limit of what waits for the node's task is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Backlog {
    /// [`Config::command_queue`](crate::Config#structfield.command_queue).
    #[error("{limit} messages and requests wait for the node's task already (command_queue)")]
    Messages {
        /// The limit.
        limit: usize,
    },
    /// `max_queued_bytes` of [`Config::protocol`](crate::Config#structfield.protocol).
    #[error("as much as {limit} bytes allow waits for the node's task already (max_queued_bytes)")]
    Bytes {
        /// The limit in bytes.
        limit: usize,
    },
}

/// A request without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not sent.
    #[error(transparent)]
    NotSent(#[from] SendError),
    /// It was sent, and ended like this: too late, unreachable, nobody who handles it, rejected, overloaded.
    #[error(transparent)]
    Failed(#[from] gossip_core::RequestError),
}

/// Which of the two sorts of handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandlerSort {
    /// For direct messages and broadcasts.
    Messages,
    /// For requests.
    Requests,
}

impl fmt::Display for HandlerSort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Messages => "messages",
            Self::Requests => "requests",
        })
    }
}

/// A handler that was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// There is one already.
    #[error("{sort} of type {kind} have a handler already; remove it first")]
    Taken {
        /// Of which type.
        kind: MessageType,
        /// Which of the two.
        sort: HandlerSort,
    },
    /// The node no longer runs.
    #[error("the node no longer runs")]
    Stopped,
}

/// Content that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There is not even the byte that says in which form the content is.
    #[error("the payload is empty: it was not sent by an adapter of this library")]
    Empty,
    /// The content is in another codec.
    #[error("the payload was written in {written_in} and read as {read_as}; let all nodes use the same codec")]
    WrongCodec {
        /// What the sender used.
        written_in: CodecName,
        /// What it was read with.
        read_as: &'static str,
    },
    /// The codec can make nothing of it, or something else than this.
    #[error("{codec} cannot read the payload as the type that is wanted: {error}")]
    Invalid {
        /// Which codec.
        codec: &'static str,
        /// Why.
        #[source]
        error: CodecError,
    },
    /// The content is longer than allowed once it is expanded. Nothing was expanded.
    #[error("the payload expands to {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its announced size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The content says that it is compressed, and is not.
    #[error("the payload cannot be expanded: {0}")]
    Compression(String),
}
