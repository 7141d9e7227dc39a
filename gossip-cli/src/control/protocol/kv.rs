//! What travels over a control connection about the key-value store.

use serde::{Deserialize, Serialize};

use super::Who;
use crate::content::Content;

/// A key and what is in it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KvRow {
    pub(crate) key: String,
    pub(crate) value: Content,
    #[serde(flatten)]
    pub(crate) write: KvWrite,
    /// When it ends: RFC 3339, UTC.
    pub(crate) expires: Option<String>,
}

/// Which write of a key it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KvWrite {
    /// When it was written, by the hybrid clock of its writer: RFC 3339, UTC, microseconds.
    pub(crate) written: String,
    /// Its timestamp as a number, which is greater for later writes.
    pub(crate) version: String,
    pub(crate) writer: Who,
}

/// What a watcher is told, with the wall-clock time at which the agent handed it out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KvEventRow {
    /// RFC 3339, UTC, milliseconds.
    pub(crate) time: String,
    #[serde(flatten)]
    pub(crate) what: KvEvent,
}

/// What happened in the store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum KvEvent {
    /// The watcher is in place; what changes from now on will be told.
    Watching {
        prefix: String,
        /// Keys that begin like this now.
        keys: usize,
    },
    /// A key was written.
    Set(KvRow),
    /// A key was deleted.
    Deleted {
        key: String,
        #[serde(flatten)]
        write: KvWrite,
    },
    /// The time of a key was over.
    Expired { key: String },
    /// Changes were dropped because they were not read in time.
    Missed { count: u64 },
}
