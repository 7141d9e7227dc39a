//! What an application is told of its locks.

use alloc::sync::Arc;
use core::time::Duration;

use crate::error::PhaseError;
use crate::identity::NodeId;
use crate::lock::Token;
use crate::time::Instant;
use crate::wire::Delay;

/// An operation on a lock that this node began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LockOp(pub(crate) u64);

/// A lock that was granted to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its fencing token.
    pub token: Token,
    /// Until when it is this node's, by its own clock, unless it is extended.
    pub until: Instant,
}

/// Who has a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The node.
    pub node: NodeId,
    /// The fencing token of it.
    pub token: Token,
    /// For how much longer, unless it is extended or released: at most until the leader takes it back.
    pub left: Duration,
}

/// How a lock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockStatus {
    /// Who has it.
    pub holder: Option<Holder>,
    /// How many operations wait for it.
    pub waiting: u32,
}

/// How an operation ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockDone {
    /// The lock is this node's.
    Acquired(Grant),
    /// It is for longer.
    Extended(Grant),
    /// It is free, or another's.
    Released,
    /// How it stands.
    Status(LockStatus),
}

/// What happened to a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockNews {
    /// An operation ended. It comes once for each.
    Done {
        /// Which.
        op: LockOp,
        /// How.
        result: Result<LockDone, LockError>,
    },
    /// A lock that this node held is not its any more, though it was not released. It comes once for each grant at
    /// most.
    Lost {
        /// The pool.
        pool: Arc<str>,
        /// The key.
        key: Arc<str>,
        /// Which grant.
        token: Token,
    },
}

/// An operation on a lock failed. When it did at once, the state is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// This node has not opened a pool of this name.
    #[error("this node has not opened a pool of locks named `{pool}`")]
    UnknownPool {
        /// The name.
        pool: Arc<str>,
    },
    /// The key is empty or over [`LockConfig::max_key`](crate::LockConfig::max_key).
    #[error("key of {length} bytes: expected 1 to {limit}")]
    Key {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The time to live is out of the pool's range.
    #[error("time to live of {ttl:?}: expected {min:?} to {max:?}")]
    Ttl {
        /// What it was.
        ttl: Duration,
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// This node does not hold the lock under this token: it was released before, has run out, or is another's.
    #[error("this node does not hold the lock under this token")]
    NotHeld,
    /// Another one has the lock, or waits for it.
    #[error("another one has the lock")]
    Busy,
    /// As many locks are held as the pool may have.
    #[error("the pool is full: {limit} locks are held, as far as this node's settings say")]
    Full {
        /// [`LockConfig::max_locks`](crate::LockConfig::max_locks).
        limit: usize,
    },
    /// As many wait for the lock already as may.
    #[error("too many wait for the lock already")]
    TooManyWaiters,
    /// Too many operations of this node are under way, or were not polled.
    #[error("{limit} operations and locks of this node are open already")]
    TooManyOperations {
        /// The limit.
        limit: usize,
    },
    /// It did not happen in time.
    #[error("not in time: {}", reason(*.delay))]
    Timeout {
        /// What was in the way at the end.
        delay: Delay,
    },
    /// The node is leaving, or lost its id to a rival.
    #[error(transparent)]
    Phase(#[from] PhaseError),
}

fn reason(delay: Delay) -> &'static str {
    match delay {
        Delay::NoLeader => "no leader is known",
        Delay::Unanswered => "the leader did not answer",
        Delay::Recovering => "the leader is new and gathers what was granted before",
        Delay::Replicas => "too few members confirmed that they remember it",
        Delay::Held => "others have the lock",
    }
}
