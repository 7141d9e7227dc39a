//! What came of joining.

use std::fmt;
use std::net::SocketAddr;

use gossip_core::NodeId;

use crate::{AddressError, NodeAddress, ResolveError, StopReason};

/// What came of joining through each address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinReport {
    /// Who let this node in.
    pub accepted: Vec<JoinAccepted>,
    /// What did not work. A name with several addresses can appear here and among the accepted.
    pub failed: Vec<JoinFailure>,
    /// Live members known afterwards, this node included.
    pub members: usize,
}

/// A node let this one in, and its whole member table has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinAccepted {
    /// What was given to [`Cluster::join`](crate::Cluster::join).
    pub given: String,
    /// The address that it stands for.
    pub address: NodeAddress,
    /// Who answered there.
    pub by: NodeId,
}

/// One address through which this node could not join.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinFailure {
    /// What was given to [`Cluster::join`](crate::Cluster::join).
    pub given: String,
    /// The address that it stands for, as far as that is known.
    pub address: Option<NodeAddress>,
    /// Why.
    pub reason: JoinFailureReason,
}

/// Why joining through one address failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinFailureReason {
    /// The text is no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The name has no address.
    #[error("cannot be resolved: {0}")]
    Resolve(#[from] ResolveError),
    /// The node is bound to the other family of addresses.
    #[error("the address is of another family than {bound}, where this node is bound")]
    Family {
        /// Where this node is bound.
        bound: SocketAddr,
    },
    /// No connection was of use, which is more than the protocol knows.
    #[error("{error}: {reason}")]
    Connection {
        /// What the protocol says.
        error: gossip_core::JoinError,
        /// Why the latest connection to the address was of no use: what the operating system, TLS or WebSocket says.
        reason: String,
    },
    /// No answer, or a no.
    #[error(transparent)]
    Join(#[from] gossip_core::JoinError),
}

/// Joining failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Nobody let this node in; the report says why, for each address.
    #[error("nobody let this node in: {0}")]
    Nobody(JoinReport),
    /// The node no longer runs.
    #[error("the node no longer runs: {0}")]
    Stopped(StopReason),
}

impl fmt::Display for JoinFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) if address.to_string() != self.given => {
                write!(f, "{} ({address}): {}", self.given, self.reason)
            }
            _ => write!(f, "{}: {}", self.given, self.reason),
        }
    }
}

impl fmt::Display for JoinReport {
    /// One line: who let this node in, then each failure with its reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.accepted.is_empty() && self.failed.is_empty() {
            return f.write_str("no address was given");
        }
        let mut separator = "";
        for accepted in &self.accepted {
            write!(f, "{separator}{} answered as {}", accepted.given, accepted.by)?;
            separator = "; ";
        }
        for failure in &self.failed {
            write!(f, "{separator}{failure}")?;
            separator = "; ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_one_line() {
        let address: NodeAddress = "10.0.0.1:7979".parse().unwrap();
        let reason = JoinFailureReason::Join(gossip_core::JoinError::Timeout);
        let failed = vec![
            JoinFailure { given: "seed.example".to_owned(), address: Some(address.clone()), reason: reason.clone() },
            JoinFailure { given: "10.0.0.1:7979".to_owned(), address: Some(address.clone()), reason },
        ];
        let accepted = JoinAccepted { given: "other".to_owned(), address, by: NodeId::from_u128(1) };
        let report = JoinReport { accepted: vec![accepted], failed, members: 2 };
        assert_eq!(
            report.to_string(),
            "other answered as 00000000-0000-0000-0000-000000000001; seed.example (10.0.0.1:7979): no answer in time; \
             10.0.0.1:7979: no answer in time"
        );
        assert_eq!(JoinReport::default().to_string(), "no address was given");
    }
}
