//! What travels over a control connection about messages.

use serde::{Deserialize, Serialize};

use crate::content::Content;

/// Whom a message or a request is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// Every live member but the agent's node.
    All,
    /// One member: its id, the beginning of it, or its name.
    Node(String),
    /// The live members with a tag, without the agent's node.
    Tag(String),
    /// The live members whose metadata fulfils all conditions, without the agent's node.
    Group(Vec<String>),
}

/// A member, as far as it takes to know who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
}

/// What came of sending to one of several.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SentRow {
    #[serde(flatten)]
    pub(crate) who: Who,
    /// Why it did not work, if it did not.
    pub(crate) error: Option<Fault>,
}

/// How one of those who were asked answered, or why it did not: of `answer` and `error` one is null.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AnswerRow {
    #[serde(flatten)]
    pub(crate) who: Who,
    /// From the question to its end.
    pub(crate) ms: f64,
    pub(crate) answer: Option<Content>,
    /// The codec of the answer.
    pub(crate) codec: Option<String>,
    pub(crate) error: Option<Fault>,
}

/// Why a member was not reached or gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// In one word: `timeout`, `unreachable`, `no_handler`, `rejected`, `overloaded`, `not_live`, `not_sent`, `other`.
    pub(crate) kind: String,
    pub(crate) message: String,
}

/// What a listener is told, with the wall-clock time at which the agent handed it out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HeardRow {
    /// RFC 3339, UTC, milliseconds.
    pub(crate) time: String,
    #[serde(flatten)]
    pub(crate) what: HeardKind,
}

/// What a listener heard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum HeardKind {
    /// The listener is in place; what comes from now on will be told.
    Listening {
        #[serde(flatten)]
        who: Who,
        /// Of which types; none means all messages and no requests.
        types: Vec<u16>,
    },
    /// A direct message.
    Message {
        #[serde(flatten)]
        said: Said,
    },
    /// A broadcast.
    Broadcast {
        #[serde(flatten)]
        said: Said,
        tag: Option<String>,
        /// How many nodes it went through, the agent's included.
        hops: u8,
    },
    /// A request, and whether this listener answers it.
    Request {
        #[serde(flatten)]
        said: Said,
        answered: bool,
    },
    /// Messages and requests were dropped because they were not read in time.
    Missed { count: u64 },
}

/// Who said what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) from: Who,
    #[serde(rename = "type")]
    pub(crate) kind: u16,
    pub(crate) codec: String,
    /// Nothing if it cannot be read.
    pub(crate) payload: Option<Content>,
    /// Why it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}
