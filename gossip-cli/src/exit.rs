//! How the command ends: its exit codes, and the one line that says why.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::output::printable;

/// What the exit codes mean, for `--help`.
pub(crate) const CODES: &str = "\
Exit codes:
  0  done
  1  failed: a step of the demo, a join that was refused, an agent that could not start, some of many without answer
  2  wrong usage or configuration; nothing was done
  3  the agent cannot be reached at the control address
  4  nobody to send to or to ask: no live member is meant; or nobody leads
  5  no answer or no confirmation: not in time, or the member cannot be reached
  6  refused by who was asked: nobody there handles the type, the handler says no, or it is overloaded
 75  the lock was not acquired ('gossip lock', which otherwise ends as the command that it runs)
 76  the lock was lost and the command was stopped; 126, 127  the command cannot be run or does not exist";

/// Why a command ends without success: one line for the user, and the exit code that goes with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// It was tried and did not work.
    #[error("{0}")]
    Failed(String),
    /// What was asked for makes no sense; nothing was tried.
    #[error("{0}")]
    Usage(String),
    /// No agent answers at the control address.
    #[error("{0}")]
    Unreachable(String),
    /// No live member is meant, or nobody leads.
    #[error("{0}")]
    Nobody(String),
    /// Who was asked did not answer.
    #[error("{0}")]
    Unanswered(String),
    /// Who was asked refused.
    #[error("{0}")]
    Refused(String),
    /// A lock was not acquired.
    #[error("{0}")]
    NotAcquired(String),
    /// A lock was lost, and what ran under it was stopped.
    #[error("{0}")]
    Lost(String),
    /// A program cannot be run.
    #[error("{0}")]
    NotRun(String),
    /// A program does not exist.
    #[error("{0}")]
    NoProgram(String),
    /// What was run has ended like this, or would have; there is nothing to add.
    #[error("it ended with code {0}")]
    Ended(u8),
    /// The reader of stdout is gone; it has what it wanted.
    #[error("nobody reads the output")]
    Unheard,
}

impl Failure {
    pub(crate) fn failed(reason: impl Display) -> Self {
        Self::Failed(reason.to_string())
    }

    pub(crate) fn usage(reason: impl Display) -> Self {
        Self::Usage(reason.to_string())
    }

    pub(crate) fn unreachable(reason: impl Display) -> Self {
        Self::Unreachable(reason.to_string())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Unheard => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Nobody(_) => 4,
            Self::Unanswered(_) => 5,
            Self::Refused(_) => 6,
            Self::NotAcquired(_) => 75,
            Self::Lost(_) => 76,
            Self::NotRun(_) => 126,
            Self::NoProgram(_) => 127,
            Self::Ended(code) => *code,
        }
    }
}

/// Writes the line of a failure to stderr, whatever its parts contained, and gives the exit code.
pub(crate) fn report(outcome: Result<(), Failure>) -> ExitCode {
    let failure = match outcome {
        Ok(()) | Err(Failure::Unheard) => return ExitCode::SUCCESS,
        Err(Failure::Ended(code)) => return ExitCode::from(code),
        Err(failure) => failure,
    };
    // The exit code tells as much when stderr is closed.
    let _ = writeln!(io::stderr(), "gossip: {}", printable(&one_line(&failure.to_string())));
    ExitCode::from(failure.code())
}

/// The text without line breaks and the space around them.
pub(crate) fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_several_lines_becomes_one() {
        assert_eq!(one_line("  no such\n\n    file: x\n"), "no such file: x");
    }
}
