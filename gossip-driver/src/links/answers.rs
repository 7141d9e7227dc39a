//! Connections that an answer is to come over: they stay until it has come, or nobody waits for it any more.

use std::collections::HashMap;
use std::time::Instant;

use super::{Link, Links};
use crate::NodeAddress;
use crate::runtime::Runtime;

/// How many answers of this node are awaited from each address. As many as requests are open.
#[derive(Debug, Default)]
pub(super) struct Awaited(HashMap<NodeAddress, usize>);

/// How many requests that came over a link are not answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    count: usize,
    /// The last of their deadlines: those that run out before are not taken off the count.
    until: Instant,
}

impl Awaited {
    pub(super) fn contains(&self, address: &NodeAddress) -> bool {
        self.0.contains_key(address)
    }
}

impl Owed {
    pub(super) fn nothing(now: Instant) -> Self {
        Self { count: 0, until: now }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.count > 0 && now < self.until
    }
}

impl<R: Runtime> Links<R> {
    /// A request goes to this address.
    pub(crate) fn expect_answer(&mut self, from: &NodeAddress) {
        *self.awaited.0.entry(from.clone()).or_default() += 1;
    }

    /// A request to this address has ended.
    pub(crate) fn expect_no_answer(&mut self, from: &NodeAddress) {
        let Some(count) = self.awaited.0.get_mut(from) else { return };
        *count -= 1;
        if *count == 0 {
            self.awaited.0.remove(from);
        }
    }

    /// A request came from this address, which can be answered until then.
    pub(crate) fn owe_answer(&mut self, now: Instant, to: &NodeAddress, until: Instant) {
        let Some(link) = self.routes.get(to).and_then(|id| self.table.get_mut(id)) else { return };
        if !link.owed.is_due(now) {
            link.owed = Owed::nothing(now);
        }
        link.owed = Owed { count: link.owed.count + 1, until: link.owed.until.max(until) };
    }

    /// A request that came from this address ends in time: what is said to it comes next.
    pub(crate) fn pay_answer(&mut self, now: Instant, to: &NodeAddress) {
        let Some(link) = self.routes.get(to).and_then(|id| self.table.get_mut(id)) else { return };
        link.owed.count = link.owed.count.saturating_sub(1);
        link.used = now;
    }

    pub(crate) fn is_connected(&self, to: &NodeAddress) -> bool {
        self.routes.contains_key(to)
    }

    pub(super) fn is_needed(&self, now: Instant, link: &Link) -> bool {
        link.addresses().any(|address| self.awaited.contains(&address)) || link.owed.is_due(now)
    }

    /// Whether answers were to come from an address that there is no connection to any more, and none is to be opened.
    pub(super) fn has_lost_answers(&self, address: &NodeAddress) -> bool {
        self.awaited.contains(address) && !self.is_connected(address) && self.crowd.queued(address).is_none()
    }
}
