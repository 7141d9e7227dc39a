//! Why a connection was of no use to the node that opened it.

use super::{Direction, Links, State};
use crate::NodeAddress;
use crate::link::{End, LinkId};
use crate::runtime::Runtime;

const WORDLESS: &str = "the peer closed the connection without an answer; it may be no gossip port, or expect ws:// or \
                        TLS, or have other keys than this node";

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
}
