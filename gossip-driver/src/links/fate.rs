//! How connections ended: what of it is counted, told in the log, and told to those who ask.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::{Direction, Link, Links, State};
use crate::NodeAddress;
use crate::framing::FrameError;
use crate::link::{End, LinkError, LinkId};
use crate::runtime::Runtime;
use crate::stats::Counter;

/// Time between warnings of connections that ended with an error.
const COMPLAINTS: Duration = Duration::from_secs(10);

const WORDLESS: &str = "the peer closed the connection without an answer; it may be no gossip port, or expect ws:// or \
                        TLS, or have other keys than this node";

/// When the log was last warned. What strangers do leaves room for what this node meets where it connects.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    incoming: Option<Instant>,
    outgoing: Option<Instant>,
}

/// What ends a connection.
pub(super) trait Complaint: Display {
    /// Whether somebody can do something about it, here or at the peer.
    fn can_be_mended(&self) -> bool;
}

impl Complaint for io::Error {
    fn can_be_mended(&self) -> bool {
        matches!(self.kind(), ErrorKind::InvalidData | ErrorKind::Unsupported)
    }
}

impl Complaint for LinkError {
    fn can_be_mended(&self) -> bool {
        match self {
            Self::Io(error) => error.can_be_mended(),
            Self::Frame(error) => matches!(error, FrameError::Foreign(_)),
            _ => false,
        }
    }
}

impl<R: Runtime> Links<R> {
    /// Where a link that is about to be gone was to lead, and why it did not: if this node opened it and nothing ever came
    /// over it.
    pub(crate) fn failure(&self, id: LinkId, end: &End) -> Option<(NodeAddress, String)> {
        let link = self.table.get(&id)?;
        let is_ours = link.direction == Direction::Outgoing && !matches!(link.wires, State::Killed);
        if !is_ours || link.heard > link.opened {
            return None;
        }
        let reason = match end {
            End::NotOpened(error) => error.to_string(),
            End::Broken { error, .. } => error.to_string(),
            End::Done if link.sent.is_some() => WORDLESS.to_owned(),
            End::Done | End::Killed => return None,
        };
        Some((link.peer.address.clone(), reason))
    }

    /// What configuration can mend is told to those who do not look for it, but not so often that strangers fill the log.
    pub(super) fn complain(&mut self, now: Instant, link: &Link, error: &impl Complaint) {
        let is_incoming = link.direction == Direction::Incoming;
        let last = if is_incoming { &mut self.complaints.incoming } else { &mut self.complaints.outgoing };
        let is_recent = last.is_some_and(|at| now.saturating_duration_since(at) < COMPLAINTS);
        if !error.can_be_mended() || is_recent {
            debug!(peer = %link.peer, %error, incoming = is_incoming, "a connection ended with an error");
            return;
        }
        *last = Some(now);
        warn!(peer = %link.peer, %error, incoming = is_incoming, "a connection ended with an error");
    }

    pub(super) fn count_breakage(&self, error: &LinkError, was_unproven: bool) {
        self.counters.count(Counter::LinksBroken);
        self.counters.count(match error {
            LinkError::Frame(FrameError::Oversized { .. }) => Counter::FramesOversized,
            LinkError::Frame(FrameError::Undersized { .. }) => Counter::FramesUndersized,
            LinkError::Frame(FrameError::Foreign(_)) => Counter::LinksRejected,
            LinkError::Truncated => Counter::FramesTruncated,
            LinkError::ReadTimeout if was_unproven => Counter::FirstFrameTimeouts,
            LinkError::ReadTimeout => Counter::ReadTimeouts,
            LinkError::WriteTimeout => Counter::WriteTimeouts,
            LinkError::ReceiveQueue => Counter::ReceiveQueueOverflows,
            LinkError::Io(_) | LinkError::Panicked => return,
        });
    }
}
