//! Connections of nodes that only dial: they keep one to each member, over which others reach them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gossip_core::NodeId;

use super::{Direction, Link, Links, State};
use crate::link::LinkId;
use crate::runtime::Runtime;
use crate::{Config, NodeAddress};

/// Wait before a connection that was lost is opened again; it doubles while that fails.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// Connections opened at once.
const AT_ONCE: usize = 64;

/// What a node that only dials keeps connections to.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) wanted: BTreeMap<NodeAddress, Wanted>,
    /// Most connections that are kept: others need some as well.
    limit: usize,
    /// No connection is missing whose time has come before this.
    check_at: Option<Instant>,
    /// By whose way another node that only dials is reached.
    pub(super) relays: BTreeMap<NodeId, NodeAddress>,
    /// Where to look for the next relay.
    pub(super) cursor: Option<NodeAddress>,
}

#[derive(Debug)]
pub(super) struct Wanted {
    /// When it is opened again, if it is missing then.
    at: Instant,
    wait: Duration,
}

impl Keeping {
    pub(super) fn new(config: &Config) -> Self {
        let limit = config.max_connections - config.max_connections.div_ceil(8);
        Self { wanted: BTreeMap::new(), limit, check_at: None, relays: BTreeMap::new(), cursor: None }
    }
}

impl<R: Runtime> Links<R> {
    /// Whether this node keeps connections, because nobody can connect to it.
    pub(crate) fn is_keeping(&self) -> bool {
        self.keeping.is_some()
    }

    /// A connection to this address is to be kept, if connections are kept at all.
    pub(crate) fn keep(&mut self, now: Instant, address: &NodeAddress) {
        let Some(keeping) = &mut self.keeping else { return };
        if address.can_be_dialled() && !keeping.wanted.contains_key(address) {
            keeping.wanted.insert(address.clone(), Wanted { at: now, wait: FIRST_WAIT });
            keeping.check_at = Some(now);
        }
    }

    /// No connection to this address needs to be kept any more.
    pub(crate) fn let_go(&mut self, address: &NodeAddress) {
        if let Some(keeping) = &mut self.keeping {
            keeping.wanted.remove(address);
        }
    }

    /// When connections may be missing that are to be kept.
    pub(super) fn keep_deadline(&self) -> Option<Instant> {
        self.keeping.as_ref()?.check_at
    }

    /// The addresses that a connection is to be opened to now, by introducing this node there. Those that `is_member`
    /// knows nothing of any more are let go.
    pub(crate) fn missing(&mut self, now: Instant, is_member: impl Fn(&NodeAddress) -> bool) -> Vec<NodeAddress> {
        let Some(keeping) = &mut self.keeping else { return Vec::new() };
        if keeping.check_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let room = keeping.limit.saturating_sub(self.outgoing).min(AT_ONCE);
        let is_missing = |address: &NodeAddress| !self.routes.contains_key(address);
        let is_due = |(address, wanted): &(&NodeAddress, &Wanted)| wanted.at <= now && is_missing(address);
        let mut due: Vec<NodeAddress> =
            keeping.wanted.iter().filter(is_due).take(room).map(|(address, _)| address.clone()).collect();
        due.retain(|address| is_member(address) || keeping.wanted.remove(address).is_none());
        for address in &due {
            if let Some(wanted) = keeping.wanted.get_mut(address) {
                wanted.at = now + wanted.wait;
                wanted.wait = (wanted.wait * 2).min(LONGEST_WAIT);
            }
        }
        let missing = keeping.wanted.iter().filter(|(address, _)| is_missing(address));
        let next = missing.map(|(_, wanted)| wanted.at).min();
        // Where there is no room, or many are due, the rest has its turn later.
        let pause = if room == 0 { LONGEST_WAIT } else { FIRST_WAIT };
        keeping.check_at = next.map(|at| at.max(now + pause));
        due
    }

    /// A link has ended: one that is to be kept is opened again.
    pub(super) fn look_after(&mut self, now: Instant, link: &Link) {
        let Some(keeping) = &mut self.keeping else { return };
        let Some(wanted) = keeping.wanted.get_mut(&link.peer.address) else { return };
        if link.heard > link.opened {
            // It worked; whoever closes it again and again is not to be pressed.
            let has_lasted = now.saturating_duration_since(link.opened) > LONGEST_WAIT;
            *wanted = Wanted { at: if has_lasted { now } else { now + FIRST_WAIT }, wait: FIRST_WAIT };
        }
        let at = wanted.at.max(now);
        keeping.check_at = Some(keeping.check_at.map_or(at, |check| check.min(at)));
    }

    /// Whether a link is held open though nothing is to be sent or to come: something is reached by it that could not be
    /// reached else. One that this node keeps and that was silent for long may be dead, and is better opened anew.
    pub(super) fn is_kept(&self, now: Instant, link: &Link) -> bool {
        if let Some(owner) = link.owner {
            return self.routes.get(&NodeAddress::DialOnly(owner)) == self.routes.get(&link.peer.address);
        }
        let is_wanted = self.keeping.as_ref().is_some_and(|keeping| keeping.wanted.contains_key(&link.peer.address));
        is_wanted && now.saturating_duration_since(link.heard) < self.settings.idle_timeout
    }

    /// A member that only dials has proved itself over this link: it is reached by it from now on.
    pub(crate) fn learn(&mut self, id: LinkId, owner: NodeId) {
        let Some(link) = self.table.get_mut(&id) else { return };
        let is_fit = link.direction == Direction::Incoming && matches!(link.wires, State::Open { .. });
        if is_fit && link.owner.is_none_or(|known| known == owner) && link.owner.replace(owner).is_none() {
            self.routes.insert(NodeAddress::DialOnly(owner), id);
        }
    }

    /// The member that only dials and is at the other end of this link.
    pub(crate) fn owner(&self, id: LinkId) -> Option<NodeId> {
        self.table.get(&id)?.owner
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::links::tests::transport;
    use crate::memory::{Memory, Stream};
    use crate::stats::Counters;
    use crate::transport::{Carrier, Gate};

    fn links(config: &Config) -> (Memory, Links<Memory>) {
        let memory = Memory::new();
        let (news, _) = async_channel::bounded(2);
        let (tasks, _) = async_channel::bounded(1);
        let links = Links::new(transport(&memory, config), config, Arc::new(Counters::new()), news, tasks);
        (memory, links)
    }

    fn incoming(memory: &Memory, links: &mut Links<Memory>) -> (Stream, LinkId) {
        let (ours, theirs) = Stream::pair();
        links.accept(memory.now(), (Carrier::Socket(ours), Gate::Tcp), None);
        (theirs, LinkId(links.last_id))
    }

    #[test]
    fn a_member_is_reached_over_the_connection_where_it_proved_itself_last_and_that_one_stays() {
        let config = Config::local("x");
        let (memory, mut links) = links(&config);
        let (one, other) = (NodeId::from_u128(1), NodeId::from_u128(2));
        let (_first_stream, first) = incoming(&memory, &mut links);
        links.learn(first, one);
        let (_second_stream, second) = incoming(&memory, &mut links);
        assert_eq!(links.routes.get(&NodeAddress::DialOnly(one)), Some(&first));
        links.learn(second, one);
        links.learn(second, other);
        assert_eq!(links.routes.get(&NodeAddress::DialOnly(one)), Some(&second));
        assert_eq!(links.routes.get(&NodeAddress::DialOnly(other)), None, "a connection has one owner");
        links.learn(first, one);
        assert_eq!(links.routes.get(&NodeAddress::DialOnly(one)), Some(&second), "the newer connection is the better");
        for link in [first, second] {
            links.judge(link, crate::links::Verdict::Valid);
        }
        memory.run_for(config.idle_timeout * 3);
        links.sweep(memory.now());
        assert_eq!(links.routes.get(&NodeAddress::DialOnly(one)), Some(&second), "it is not closed as idle");
        assert!(!links.routes.contains_key(&NodeAddress::Accepted(first.0)), "the older one is");
        links.kill(second);
        assert_eq!(links.routes.get(&NodeAddress::DialOnly(one)), None);
    }

    #[test]
    fn missing_connections_are_asked_for_again_and_again_within_the_limit() {
        let mut config = Config::local("x").dial_only(true);
        (config.max_connections, config.max_unproven) = (8, 4);
        let (memory, mut links) = links(&config);
        let address = |port| NodeAddress::Socket(([127, 0, 0, 1], port).into());
        for port in 1..=20 {
            links.keep(memory.now(), &address(port));
        }
        links.keep(memory.now(), &NodeAddress::DialOnly(NodeId::from_u128(1)));
        let gone = address(3);
        let first = links.missing(memory.now(), |address| *address != gone);
        assert_eq!(first.len(), 6, "seven of eight places, and one of the seven is no member any more");
        assert!(links.missing(memory.now(), |_| true).is_empty(), "not at once again");
        memory.run_for(LONGEST_WAIT);
        assert_eq!(links.missing(memory.now(), |_| true).len(), 7);
        for port in 1..=20 {
            links.let_go(&address(port));
        }
        memory.run_for(LONGEST_WAIT);
        assert!(links.missing(memory.now(), |_| true).is_empty());
        assert_eq!(links.keep_deadline(), None, "nothing is to be looked for");
    }
}
