//! The keys of a node and of its cluster: what is known of them, how they change, and why not.

pub(crate) mod change;
pub(crate) mod letter;
mod report;
pub(crate) mod reservation;
pub(crate) mod trouble;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use gossip_core::{KeyId, KeyRing, KeyRingError, NodeId, Plaintext, Suite};

use crate::{RequestError, SendError, StopReason};

pub use report::{KeyReport, MemberKeys, NoKeys, Stranded, Stranding};

/// A key ring being kept.
pub type Keeping<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Keeps the key ring of a node for its next start; see [`Config::key_keeper`](crate::Config::key_keeper).
///
/// It is handed each changed ring before the change takes effect. What it cannot keep does not happen, so no node believes that it
/// has a key which its next start will lack.
pub trait KeyKeeper: Send + Sync + 'static {
    /// Keeps this ring in the place of the last one. An error says why that is not possible, and contains no key.
    fn keep<'a>(&'a self, ring: &'a KeyRing) -> Keeping<'a>;
}

/// The keys of a node, and what it does with packets that are not sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// The keys, the primary first.
    pub keys: Vec<KeyUse>,
    /// What becomes of packets that are not sealed.
    pub plaintext: Plaintext,
}

/// A key in a ring, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUse {
    /// Its name.
    pub id: KeyId,
    /// What it is for.
    pub suite: Suite,
    /// Whether the node seals with it.
    pub is_primary: bool,
    /// Live members that were last heard sealing with it by their own choice, this node not included.
    pub speaking: usize,
}

/// Why keys were not changed, or not asked for. What is said of a cluster-wide change that it did happen is in its [`KeyReport`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The ring does not allow it, or the node runs without keys.
    #[error(transparent)]
    Ring(#[from] KeyRingError),
    /// The changed ring was not kept, so the old one stays in use.
    #[error("the changed keys could not be stored, so nothing was changed: {0}")]
    NotKept(String),
    /// Keys do not travel while packets may be plain.
    #[error("this node {}: keys are changed cluster-wide only while all plaintext is refused", plainly(*.0))]
    Plaintext(Plaintext),
    /// Members would be shut out.
    #[error(transparent)]
    Stranding(Box<Stranding>),
    /// This node did not wait for this change any more.
    #[error("its keys may have changed since they were asked for: repeat this")]
    NotReserved,
    /// A node came in after the members were asked, and may have nothing but the key that was to be removed.
    #[error(
        "node {0} came in after the members were asked for their keys, so this one keeps the old key: repeat the steps, \
         beginning here"
    )]
    Newcomer(NodeId),
    /// The members cannot be asked.
    #[error("the members cannot be asked: {0}")]
    Unsent(SendError),
    /// The node no longer runs.
    #[error("the node no longer runs: {0}")]
    Stopped(StopReason),
}

/// What a node does in this mode, after "this node".
pub(crate) fn plainly(mode: Plaintext) -> &'static str {
    match mode {
        Plaintext::Refuse => "refuses plaintext",
        Plaintext::Accept => "accepts plaintext",
        Plaintext::Send => "sends plaintext",
    }
}

impl fmt::Display for NoKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(RequestError::Failed(gossip_core::RequestError::NoHandler)) => {
                f.write_str("it runs without keys, or with a version of this library that cannot change them")
            }
            Self::Request(RequestError::Failed(gossip_core::RequestError::Rejected(reason))) => f.write_str(reason),
            Self::Request(error) => error.fmt(f),
            Self::NotAsked => f.write_str("it came while the others were asked: repeat this"),
            Self::Unreadable => f.write_str("its answer cannot be read: it is of another version of this library"),
        }
    }
}

impl KeyReport {
    /// How one member answered.
    pub fn member(&self, id: NodeId) -> Option<&MemberKeys> {
        self.members.iter().find(|member| member.id == id)
    }
}
