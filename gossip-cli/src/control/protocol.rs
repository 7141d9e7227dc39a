//! What travels over a control connection: requests, replies, and the rows in them.

mod keys;
mod kv;
mod leader;
mod lock;
mod message;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use gossip_tokio::{NodeAddress, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::content::MAX_PAYLOAD;
use crate::exit::Failure;
use crate::hex;

pub(crate) use keys::{KeyAction, KeyMemberRow, KeyOutcome, KeyRow, KeySummary};
pub(crate) use kv::{KvEvent, KvEventRow, KvRow, KvWrite};
pub(crate) use leader::{LeaderChange, LeaderChangeRow, LeaderEvent, LeaderEventRow, LeaderRow, NoneRow};
pub(crate) use lock::{HolderRow, LockEvent, LockRow, LockSay, TokenRow};
pub(crate) use message::{AnswerRow, Fault, HeardKind, HeardRow, Said, SentRow, Target, Who};

/// Longest request line in bytes. It bounds how much metadata one `meta_set` can carry.
pub(crate) const MAX_REQUEST: usize = 1 << 20;

/// Longest reply line that a client reads: a payload as JSON, which is up to twice as long, and what surrounds it.
pub(crate) const MAX_REPLY: usize = 2 * MAX_PAYLOAD + (1 << 20);

/// Microseconds from 1970 to the first year that a timestamp cannot show.
const YEAR_10000: u64 = 253_402_300_800_000_000;

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

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// A part of the answer; more follows.
    Item(Json),
    /// The end of an answer to a request that was carried out.
    Done(Json),
    /// The end of an answer to one that was not.
    Error(ErrorRow),
}

/// Why a request was not carried out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorRow {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorKind {
    /// The request makes no sense.
    Usage,
    /// It was tried and did not work.
    Failed,
    /// There is no live member of those that are meant.
    Nobody,
    /// Who was asked did not answer.
    Unanswered,
    /// Who was asked refused.
    Refused,
    /// A lock was not acquired.
    NotAcquired,
}

impl From<Failure> for ErrorRow {
    fn from(failure: Failure) -> Self {
        let kind = match failure {
            Failure::Usage(_) => ErrorKind::Usage,
            Failure::Nobody(_) => ErrorKind::Nobody,
            Failure::Unanswered(_) => ErrorKind::Unanswered,
            Failure::Refused(_) => ErrorKind::Refused,
            Failure::NotAcquired(_) => ErrorKind::NotAcquired,
            _ => ErrorKind::Failed,
        };
        Self { kind, message: failure.to_string() }
    }
}

impl From<ErrorRow> for Failure {
    fn from(row: ErrorRow) -> Self {
        match row.kind {
            ErrorKind::Usage => Self::Usage(row.message),
            ErrorKind::Failed => Self::Failed(row.message),
            ErrorKind::Nobody => Self::Nobody(row.message),
            ErrorKind::Unanswered => Self::Unanswered(row.message),
            ErrorKind::Refused => Self::Refused(row.message),
            ErrorKind::NotAcquired => Self::NotAcquired(row.message),
        }
    }
}

/// A member.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MemberRow {
    pub(crate) id: String,
    /// The metadata key `name`, if it is set.
    pub(crate) name: Option<String>,
    pub(crate) address: NodeAddress,
    pub(crate) state: String,
    /// For how long it has been in this state.
    pub(crate) since_ms: u64,
    pub(crate) incarnation: String,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: BTreeMap<String, MetaValue>,
    /// Whether it is the agent's own node.
    pub(crate) myself: bool,
}

/// The agent's node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InfoRow {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) cluster: String,
    pub(crate) address: NodeAddress,
    pub(crate) bind: Option<SocketAddr>,
    pub(crate) incarnation: Option<String>,
    pub(crate) phase: String,
    /// Local health; zero is healthy.
    pub(crate) health_score: u32,
    pub(crate) uptime_ms: u64,
    /// Members by state.
    pub(crate) members: BTreeMap<String, usize>,
    /// Everything that is counted once: datagrams, bytes, probes, refutations.
    pub(crate) counters: BTreeMap<String, u64>,
    /// Messages sent by kind.
    pub(crate) sent: BTreeMap<String, u64>,
    /// Messages received by kind.
    pub(crate) received: BTreeMap<String, u64>,
    /// Input dropped by reason.
    pub(crate) dropped: BTreeMap<String, u64>,
}

/// What came of joining through one address.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct JoinRow {
    /// The address as it was given.
    pub(crate) given: String,
    /// What it resolved to, if it did.
    pub(crate) address: Option<NodeAddress>,
    /// Who let the agent in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) accepted_by: Option<String>,
    /// Why it did not work.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) failed: Option<String>,
}

/// One metadata key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaRow {
    pub(crate) key: String,
    pub(crate) value: MetaValue,
}

/// An event, in the field `event`, with the wall-clock time at which the agent handed it out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EventRow {
    /// RFC 3339, UTC, milliseconds.
    pub(crate) time: String,
    #[serde(flatten)]
    pub(crate) what: EventKind,
}

/// What happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// The monitor is in place; what happens from now on will be told.
    Watching {
        id: String,
        address: NodeAddress,
        live: usize,
    },
    /// A member appeared, or its state changed.
    Member {
        id: String,
        name: Option<String>,
        address: NodeAddress,
        state: String,
        previous: Option<String>,
        cause: String,
        /// Who accused it or declared it dead, where the cause has somebody.
        by: Vec<String>,
        incarnation: String,
    },
    /// A member's metadata changed; keys that were removed have no value.
    Metadata {
        id: String,
        name: Option<String>,
        changed: BTreeMap<String, Option<MetaValue>>,
    },
    JoinAccepted {
        address: NodeAddress,
        by: String,
        members: usize,
    },
    JoinFailed {
        address: NodeAddress,
        reason: String,
    },
    IdConflict {
        rival: NodeAddress,
        quiet: bool,
    },
    IdRegained,
    Left {
        acknowledged: usize,
    },
    /// Messages to the node were dropped because more came than it can take.
    MessagesMissed {
        /// Of which type, if it was one.
        #[serde(rename = "type")]
        kind: Option<u16>,
        count: u64,
    },
    /// Broadcasts of a node are lost for good.
    BroadcastsLost {
        origin: String,
        /// To which tag, if it was to one.
        tag: Option<String>,
        count: u64,
    },
    /// A leader came or went.
    Election(LeaderChangeRow),
    /// Events were dropped because they were not read in time.
    Missed {
        count: u64,
    },
    /// Something that this version has no words for.
    Other {
        text: String,
    },
}

/// A metadata value in JSON: what JSON has as itself, a time as `{"time_us":…}`, bytes as `{"bytes":"hex"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected true, false, a number, a text, {time_us = N} or {bytes = \"hex\"}")]
pub(crate) enum MetaValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Time { time_us: i64 },
    Bytes { bytes: String },
}

impl MetaValue {
    /// The value that this text looks like. A number that would lose a sign or zeros in front, like `007`, stays text.
    ///
    /// # Errors
    ///
    /// A whole number that does not fit; only its author knows whether text would do.
    pub(crate) fn guess(text: &str) -> Result<Self, String> {
        if let Ok(value) = text.parse() {
            return Ok(Self::Bool(value));
        }
        match text.parse::<i64>() {
            Ok(value) if value.to_string() == text => return Ok(Self::Int(value)),
            Err(_) if looks_whole(text) => return Err(format!("{text} does not fit into 64 bits with sign")),
            _ => {}
        }
        Ok(match text.parse::<f64>() {
            Ok(value) if value.is_finite() && looks_fractional(text) => Self::Float(value),
            _ => Self::Text(text.to_owned()),
        })
    }

    /// The value as the protocol stores it.
    ///
    /// # Errors
    ///
    /// Bytes that are not written in hexadecimal.
    pub(crate) fn into_value(self) -> Result<Value, String> {
        Ok(match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Text(value) => Value::String(value),
            Self::Time { time_us } => Value::Time(time_us),
            Self::Bytes { bytes } => {
                Value::Bytes(hex::decode(&bytes).ok_or("bytes: expected pairs of hexadecimal digits")?)
            }
        })
    }
}

impl fmt::Display for MetaValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
            Self::Time { time_us } => match u64::try_from(*time_us) {
                Ok(micros) if micros < YEAR_10000 => {
                    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
                    write!(f, "{}", humantime::format_rfc3339_micros(time))
                }
                _ => write!(f, "{time_us} µs since 1970"),
            },
            Self::Bytes { bytes } => write!(f, "0x{bytes}"),
        }
    }
}

impl From<&Value> for MetaValue {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Float(value) if value.is_finite() => Self::Float(*value),
            // JSON has no infinities and no NaN.
            Value::Float(value) => Self::Text(value.to_string()),
            Value::String(value) => Self::Text(value.clone()),
            Value::Time(time_us) => Self::Time { time_us: *time_us },
            Value::Bytes(_) => Self::Bytes { bytes: value.to_string() },
        }
    }
}

/// Digits, perhaps after a minus, without zeros in front.
fn looks_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// A number with a point or an exponent, and without zeros in front that a number would lose.
fn looks_fractional(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leads_with_zeros = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    digits.starts_with(|first: char| first.is_ascii_digit()) && digits.contains(['.', 'e', 'E']) && !leads_with_zeros
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

    #[test]
    fn a_guess_takes_only_plain_numbers_for_numbers() {
        for (text, value) in [
            ("true", MetaValue::Bool(true)),
            ("-17", MetaValue::Int(-17)),
            ("1.5", MetaValue::Float(1.5)),
            ("1e3", MetaValue::Float(1000.0)),
            ("0.25", MetaValue::Float(0.25)),
        ] {
            assert_eq!(MetaValue::guess(text), Ok(value), "{text}");
        }
        for text in ["007", "+5", "00.5", "1e999", "inf", "NaN", "True", "1.2.3", "", "-", "."] {
            assert_eq!(MetaValue::guess(text), Ok(MetaValue::Text(text.to_owned())), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "99999999999999999999"] {
            assert!(MetaValue::guess(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_that_no_calendar_shows_is_told_as_a_number() {
        assert_eq!(MetaValue::Time { time_us: 0 }.to_string(), "1970-01-01T00:00:00.000000Z");
        for time_us in [i64::MIN, -1, i64::MAX] {
            assert_eq!(MetaValue::Time { time_us }.to_string(), format!("{time_us} µs since 1970"));
        }
    }

    #[test]
    fn a_value_survives_the_way_through_json() {
        let values = [
            Value::Bool(false),
            Value::Int(i64::MIN),
            Value::Float(2.0),
            Value::String("12".into()),
            Value::Time(-5),
            Value::Bytes(vec![0, 0xff]),
        ];
        for value in values {
            let line = serde_json::to_string(&MetaValue::from(&value)).unwrap();
            let back: MetaValue = serde_json::from_str(&line).unwrap();
            assert_eq!(back.into_value(), Ok(value), "{line}");
        }
        assert!(MetaValue::Bytes { bytes: "abc".into() }.into_value().is_err());
        assert!(MetaValue::Bytes { bytes: "é".into() }.into_value().is_err());
    }
}
