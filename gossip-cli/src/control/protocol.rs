//! What travels over a control connection: the requests, and beside this file the replies and the rows in them.

mod event;
mod keys;
mod kv;
mod leader;
mod lock;
mod member;
mod message;
mod metadata;
mod reply;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::content::MAX_PAYLOAD;

pub(crate) use event::{EventKind, EventRow};
pub(crate) use keys::{KeyAction, KeyMemberRow, KeyOutcome, KeyRow, KeySummary};
pub(crate) use kv::{KvEvent, KvEventRow, KvRow, KvWrite};
pub(crate) use leader::{LeaderChange, LeaderChangeRow, LeaderEvent, LeaderEventRow, LeaderRow, NoneRow};
pub(crate) use lock::{HolderRow, LockEvent, LockRow, LockSay, TokenRow};
pub(crate) use member::{InfoRow, JoinRow, MemberRow};
pub(crate) use message::{AnswerRow, Fault, HeardKind, HeardRow, Said, SentRow, Target, Who};
pub(crate) use metadata::{MetaRow, MetaValue};
pub(crate) use reply::{ErrorKind, ErrorRow, Reply};

/// Longest request line in bytes. It bounds how much metadata one `meta_set` can carry.
pub(crate) const MAX_REQUEST: usize = 1 << 20;

/// Longest reply line that a client reads: a payload as JSON, which is up to twice as long, and what surrounds it.
pub(crate) const MAX_REPLY: usize = 2 * MAX_PAYLOAD + (1 << 20);

/// What a client asks for, in the field `do`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// The members, one [`MemberRow`] each, perhaps only those in a state or with a tag.
    Members {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tag: Option<String>,
    },
    /// One [`InfoRow`].
    Info,
    /// Join through these addresses; one [`JoinRow`] each. An error if none let the agent in.
    Join { addresses: Vec<String> },
    /// Leave the cluster and exit; done when the leave is complete.
    Leave,
    /// Forget a dead or departed member, in the whole cluster unless `here`.
    Forget {
        id: String,
        #[serde(default)]
        here: bool,
    },
    /// Metadata of a node (the agent's own unless `node` is given): one [`MetaRow`] for each key, or for the one `key`.
    MetaGet {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// Set keys of the agent's node.
    MetaSet { entries: BTreeMap<String, MetaValue> },
    /// Remove keys of the agent's node.
    MetaRemove { keys: Vec<String> },
    /// Events as they happen, one [`EventRow`] each.
    Monitor,
    /// Send the message that follows as `body` bytes; for each of a group one [`SentRow`].
    Send {
        to: Target,
        #[serde(rename = "type")]
        kind: u16,
        #[serde(default)]
        reliable: bool,
        #[serde(default)]
        body: usize,
    },
    /// Ask what follows as `body` bytes; one [`AnswerRow`] each, as they come; that a single node fails is an error.
    #[serde(rename = "request")]
    Ask {
        to: Target,
        #[serde(rename = "type")]
        kind: u16,
        timeout_ms: u64,
        #[serde(default)]
        body: usize,
    },
    /// Messages as they come, of these types or of all, and requests of these types: one [`HeardRow`] each. Requests
    /// are answered with themselves if `echo`, or with the `body` bytes that follow, if that is given.
    Listen {
        #[serde(default)]
        types: Vec<u16>,
        #[serde(default)]
        echo: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<usize>,
    },
    /// Show or change keys, of all live members unless `here`; to add one, it follows as `body` bytes of text. One [`KeyMemberRow`]
    /// for each member, and a [`KeySummary`] at the end.
    Keys {
        action: KeyAction,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(default)]
        here: bool,
        #[serde(default)]
        force: bool,
        timeout_ms: u64,
        #[serde(default)]
        body: usize,
    },
    /// One [`KvRow`]; an error if there is nothing in the key.
    KvGet { key: String },
    /// Write the key with what follows as `body` bytes, perhaps for a time alone.
    KvSet {
        key: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_ms: Option<u64>,
        #[serde(default)]
        body: usize,
    },
    /// Delete keys.
    KvRemove { keys: Vec<String> },
    /// The keys that begin with `prefix`, one [`KvRow`] each.
    KvList {
        #[serde(default)]
        prefix: String,
    },
    /// Changes of keys that begin with `prefix` as they happen, one [`KvEventRow`] each.
    KvWatch {
        #[serde(default)]
        prefix: String,
    },
    /// How an election stands, the only one unless there is a `name`: one [`LeaderRow`].
    Leader {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Who leads, and each change as it happens, one [`LeaderEventRow`] each.
    LeaderWatch {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Acquire a lock, of the only pool unless there is a name, and hold it until a [`LockSay`] releases it or the
    /// connection ends: a [`LockEvent`] for each thing that happens.
    Lock {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pool: Option<String>,
        key: String,
        ttl_ms: u64,
        patience_ms: u64,
        /// Not to wait if another one has it.
        #[serde(default, rename = "try")]
        tries: bool,
    },
    /// Who has a lock: one [`LockRow`].
    LockQuery {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pool: Option<String>,
        key: String,
        patience_ms: u64,
    },
}

/// Why keys are not changed over a connection that others of the machine can make too.
pub(crate) const PRIVATE_KEYS: &str = "keys are changed over a Unix socket alone, because every user of the machine can \
     reach a port, or listen there in the place of an agent: start the agent without --control, or with --control \
     unix:PATH, and give that to this command if it does not find it";

impl Request {
    /// Whether nobody but the agent's user may ask for it.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self, Self::Keys { action, .. } if *action != KeyAction::List)
    }

    /// How many bytes follow the line.
    pub(crate) fn body(&self) -> usize {
        match self {
            Self::Send { body, .. } | Self::Ask { body, .. } | Self::Keys { body, .. } | Self::KvSet { body, .. } => {
                *body
            }
            Self::Listen { body, .. } => body.unwrap_or(0),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_as_it_is_documented() {
        let cases = [
            (r#"{"do":"members","state":"alive"}"#, Request::Members { state: Some("alive".into()), tag: None }),
            (r#"{"do":"info"}"#, Request::Info),
            (r#"{"do":"forget","id":"0192"}"#, Request::Forget { id: "0192".into(), here: false }),
            (
                r#"{"do":"send","to":{"node":"web-1"},"type":200,"body":5}"#,
                Request::Send { to: Target::Node("web-1".into()), kind: 200, reliable: false, body: 5 },
            ),
            (
                r#"{"do":"request","to":"all","type":200,"timeout_ms":5000}"#,
                Request::Ask { to: Target::All, kind: 200, timeout_ms: 5_000, body: 0 },
            ),
            (r#"{"do":"listen"}"#, Request::Listen { types: vec![], echo: false, body: None }),
            (
                r#"{"do":"meta_set","entries":{"a":1,"b":1.5,"c":"x","d":true}}"#,
                Request::MetaSet {
                    entries: BTreeMap::from([
                        ("a".into(), MetaValue::Int(1)),
                        ("b".into(), MetaValue::Float(1.5)),
                        ("c".into(), MetaValue::Text("x".into())),
                        ("d".into(), MetaValue::Bool(true)),
                    ]),
                },
            ),
        ];
        for (line, request) in cases {
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request, "{line}");
        }
    }

    #[test]
    fn a_request_with_an_unknown_verb_or_field_is_refused() {
        for line in [r#"{"do":"explode"}"#, r#"{"do":"forget","id":"0192","everywhere":true}"#, "POST / HTTP/1.1"] {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }
}
