//! What travels over a control connection about locks.

use serde::{Deserialize, Serialize};

use super::Who;

/// What one who asked for a lock is told.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum LockEvent {
    /// The agent asks for it.
    Asking,
    /// It is the client's, until it says otherwise or its connection ends.
    Acquired(TokenRow),
    /// An answer to [`LockSay::Left`].
    Left {
        /// For how much longer it is held at least, if the agent says no more.
        left_ms: u64,
    },
    /// It is the client's no more.
    Lost,
}

/// Which grant of a lock it is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRow {
    pub(crate) pool: String,
    /// In hexadecimal; later grants have greater ones.
    pub(crate) token: String,
    /// The number of the term of the leader that granted it.
    pub(crate) term: String,
    /// Its number within the term.
    pub(crate) count: String,
}

/// What one who has a lock says, a line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum LockSay {
    /// For how much longer is it held?
    Left,
    /// It is not needed any more.
    Release,
}

/// How a lock stands, as its leader says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LockRow {
    pub(crate) pool: String,
    pub(crate) key: String,
    pub(crate) holder: Option<HolderRow>,
    /// How many wait for it.
    pub(crate) waiting: u32,
}

/// Who has a lock.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HolderRow {
    #[serde(flatten)]
    pub(crate) who: Who,
    pub(crate) token: String,
    /// For how much longer at most, unless it is extended.
    pub(crate) left_ms: u64,
}
