//! What a node believes of a member only grows: a claim is replaced by a larger one, never by a smaller.

use std::collections::BTreeMap;

use gossip_core::{Cause, Incarnation, MemberChange, MemberState, NodeId};

use crate::oracle::Oracle;
use crate::world::Addr;

/// What a node said last of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) incarnation: Incarnation,
    pub(crate) state: MemberState,
}

/// What each node said last of each member; in large clusters only of those that were not alive throughout.
#[derive(Debug, Default)]
pub(crate) struct Memory(BTreeMap<(u32, NodeId), Last>);

impl Memory {
    pub(crate) fn last(&self, host: u32, change: &MemberChange<Addr>) -> Option<Last> {
        self.0.get(&(host, change.member.id)).copied()
    }

    /// Remembers what a node said; in small clusters everything, from the start.
    pub(crate) fn note(&mut self, host: u32, change: &MemberChange<Addr>, is_small: bool) {
        let member = &change.member;
        let key = (host, member.id);
        if change.cause == Cause::Reaped {
            self.0.remove(&key);
            return;
        }
        // Almost all that large clusters report is that members are there; those need no memory.
        if is_small || change.cause != Cause::Joined || member.state != MemberState::Alive {
            self.0.insert(key, Last { incarnation: member.incarnation, state: member.state });
        }
    }

    /// The node started anew and has forgotten what it knew.
    pub(crate) fn forget(&mut self, host: u32) {
        let first = (host, NodeId::from_bytes([0; 16]));
        let last = (host, NodeId::from_bytes([0xff; 16]));
        let gone: Vec<_> = self.0.range(first..=last).map(|(&key, _)| key).collect();
        for key in gone {
            self.0.remove(&key);
        }
    }
}

pub(crate) fn check(last: Last, change: &MemberChange<Addr>) -> Option<(Oracle, String)> {
    let member = &change.member;
    if change.cause == Cause::Reaped || (member.incarnation, member.state) >= (last.incarnation, last.state) {
        return None;
    }
    let (was, is) = ((last.state, last.incarnation), (member.state, member.incarnation));
    let message = format!("{} went from {} at {} to {} at {}", member.id, was.0, was.1, is.0, is.1);
    Some((Oracle::Claims, message))
}
