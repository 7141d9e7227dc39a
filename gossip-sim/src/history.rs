//! What the nodes of a world do, to be compared with what those of another world do.

use gossip_core::Channel;

use crate::trace;
use crate::world::Addr;

/// Something that a node did: when, which, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deed {
    pub(crate) at: u64,
    pub(crate) node: u32,
    kind: u8,
    value: u64,
}

impl std::fmt::Display for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { at, node, kind, value } = self;
        let what = match *kind {
            trace::SENT => {
                let (to, size) = (value >> 32, (value & u64::from(u32::MAX)) >> 1);
                let channel = if value & 1 == 1 { Channel::Stream } else { Channel::Datagram };
                return write!(f, "at {at} us node {node} sends {size} bytes to {to} ({channel:?})");
            }
            trace::TIMER => "has a deadline",
            trace::DELIVERED => "delivers something",
            trace::STARTED => "starts",
            trace::MESSAGE => "gets a message of the application",
            _ => "reports an event",
        };
        write!(f, "at {at} us node {node} {what} ({value:x})")
    }
}

/// The deeds since the last comparison, if anybody compares.
#[derive(Debug, Default)]
pub(crate) struct History {
    is_kept: bool,
    deeds: Vec<Deed>,
}

impl History {
    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    pub(crate) fn note(&mut self, at: u64, node: u32, kind: u8, value: u64) {
        // What a node receives from strangers is none of its deeds, and sealed bytes differ.
        if self.is_kept && !matches!(kind, trace::RECEIVED | trace::FAULT) {
            self.deeds.push(Deed { at, node, kind, value });
        }
    }

    /// A node sends something.
    pub(crate) fn sent(&mut self, at: u64, node: u32, to: Addr, channel: Channel, size: usize) {
        if self.is_kept {
            let channel = u64::from(channel == Channel::Stream);
            let value = u64::from(to) << 32 | (size as u64) << 1 | channel;
            self.deeds.push(Deed { at, node, kind: trace::SENT, value });
        }
    }

    /// Begins anew in both; the first deeds that differ, if any do: one of them may have done nothing more.
    pub(crate) fn difference(&mut self, other: &mut Self) -> Option<(Option<Deed>, Option<Deed>)> {
        let (mine, theirs) = (std::mem::take(&mut self.deeds), std::mem::take(&mut other.deeds));
        let longest = mine.len().max(theirs.len());
        let mut pairs = (0..longest).map(|index| (mine.get(index).copied(), theirs.get(index).copied()));
        pairs.find(|(mine, theirs)| mine != theirs)
    }
}
