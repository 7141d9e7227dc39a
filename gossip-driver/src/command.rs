//! What handles ask of the node: a bounded queue of commands, each with its answer.

use std::convert::Infallible;
use std::sync::Arc;

use futures_channel::oneshot;
use gossip_core::{
    ElectionConfig, ElectionError, ElectionStatus, ForgetScope, JoinError, KeyRingError, LockConfig, NodeId,
    OpenLocksError, PhaseError, StoreConfig, StoreError, Value,
};

use crate::NodeAddress;
use crate::election::Seat;
use crate::keys::change::{KeyCommand, KeyState};
use crate::lock::{LockCommand, Pool};
use crate::store::{Opened, StoreCommand};

/// Where the answer to a command goes. Nobody may be waiting any more; that is no error.
pub(crate) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// A node answered a join.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    pub(crate) by: NodeId,
}

#[derive(Debug)]
pub(crate) enum Command {
    Join { address: NodeAddress, reply: Reply<Joined, JoinError> },
    Leave { reply: Reply<usize, PhaseError> },
    Forget { id: NodeId, scope: ForgetScope, reply: Reply<(), gossip_core::ForgetError> },
    SetMetadata { key: String, value: Value, reply: Reply<(), gossip_core::MetadataError> },
    RemoveMetadata { key: String, reply: Reply<bool, gossip_core::MetadataError> },
    EnterElection { name: String, config: Box<ElectionConfig>, reply: Reply<Arc<Seat>, ElectionError> },
    ElectionStatus { name: Arc<str>, reply: Reply<ElectionStatus, Infallible> },
    OpenStore { name: String, config: Box<StoreConfig>, reply: Reply<Arc<Opened>, StoreError> },
    Store { name: Arc<str>, command: StoreCommand },
    OpenLocks { name: String, config: Box<LockConfig>, reply: Reply<Arc<Pool>, OpenLocksError> },
    Lock { pool: Arc<str>, command: LockCommand },
    Keys { command: KeyCommand, reply: Reply<KeyState, KeyRingError> },
    Shutdown,
}
