//! What travels over a control connection about keys.

use serde::{Deserialize, Serialize};

use super::message::Who;

/// What is done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyAction {
    /// Show them.
    List,
    /// Add the one that follows as text.
    Install,
    /// Seal with one.
    Use,
    /// Drop one.
    Remove,
}

/// A key of the agent's node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyRow {
    pub(crate) id: String,
    pub(crate) suite: String,
    /// Whether the agent's node seals with it.
    pub(crate) primary: bool,
    /// Other live members that were last heard sealing with it.
    pub(crate) speaking: usize,
}

/// How a member took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyOutcome {
    /// It did what was wanted.
    Done,
    /// It did not.
    Failed,
    /// It is dead and was not asked.
    Away,
}

/// A member, and the keys that it has now.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyMemberRow {
    #[serde(flatten)]
    pub(crate) who: Who,
    pub(crate) outcome: KeyOutcome,
    /// Ids, that of its primary first; null where they are not known.
    pub(crate) keys: Option<Vec<String>>,
    /// Why it did not do it.
    pub(crate) error: Option<String>,
}

/// The end of an answer: the agent's own keys, and how many members did what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeySummary {
    /// What the agent's node has now.
    pub(crate) keys: Vec<KeyRow>,
    /// What becomes of packets that are not sealed: `refuse`, `accept` or `send`.
    pub(crate) plaintext: String,
    /// The id of the key that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    pub(crate) members: usize,
    pub(crate) done: usize,
    pub(crate) failed: usize,
    pub(crate) away: usize,
}
