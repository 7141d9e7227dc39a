//! What ends an answer, and what it consists of.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::exit::Failure;

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
