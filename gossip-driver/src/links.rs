//! All connections of a node: opened when needed, one for each address, reused, bounded, closed when idle.

mod answers;
mod closing;
mod crowd;
mod fate;
mod keeping;
mod relay;

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_channel::Sender;
use bytes::Bytes;
use futures_channel::oneshot;
use gossip_core::NodeId;
use smallvec::SmallVec;
use tracing::debug;

use crate::framing::PREFIX;
use crate::link::{self, End, Limits, LinkId, News, Origin, Wires};
use crate::queue::{Budget, Level, Overflow, Queued};
use crate::runtime::Runtime;
use crate::stats::{Counter, Counters, Gauges};
use crate::transport::{Carrier, Gate, Transport};
use crate::{Config, NodeAddress};

use answers::{Awaited, Owed};
use crowd::Crowd;
use fate::Complaints;
use keeping::Keeping;

pub(crate) use relay::{Inner, Parcel};

/// Bytes that may wait for a peer for a datagram to join them: behind more it would come too late.
const DATAGRAM_ROOM: usize = 128 << 10;

/// The connections of a node, as its task sees them.
pub(crate) struct Links<R: Runtime> {
    transport: Transport<R>,
    settings: Settings,
    counters: Arc<Counters>,
    news: Sender<News>,
    /// A clone is in each connection's task, so that it is known when the last of them has ended.
    tasks: Sender<Infallible>,
    budget: Budget,
    queued: Level,
    table: HashMap<LinkId, Link>,
    /// The link that frames to an address go over.
    routes: HashMap<NodeAddress, LinkId>,
    /// Incoming links without a valid message, the oldest first.
    unproven: BTreeSet<LinkId>,
    awaited: Awaited,
    crowd: Crowd,
    /// What a node that only dials keeps connections to.
    keeping: Option<Keeping>,
    /// Somebody waits for a link that has nothing to write any more.
    is_crowded: Arc<AtomicBool>,
    incoming: usize,
    outgoing: usize,
    last_id: u64,
    complaints: Complaints,
    /// No link has been idle for too long before this.
    next_sweep: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    link: Limits,
    first_frame_timeout: Duration,
    idle_timeout: Duration,
    doubtful: Duration,
    max_connections: usize,
    max_unproven: usize,
    link_queue: usize,
    total_queue: usize,
}

struct Link {
    peer: Peer,
    /// The member that only dials and is reached over it.
    owner: Option<NodeId>,
    direction: Direction,
    /// Whether it may take the memory that strangers may not.
    is_proven: Arc<AtomicBool>,
    /// When it was accepted or its dial began.
    opened: Instant,
    /// When a message was last received or queued, or the link began to close.
    used: Instant,
    /// When something last came over it, or it was opened.
    heard: Instant,
    /// When a message was last queued.
    sent: Option<Instant>,
    queued: Level,
    owed: Owed,
    wires: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Incoming,
    Outgoing,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Where answers go.
    pub(crate) address: NodeAddress,
    /// Where the connection comes from, if it was accepted and that is known.
    remote: Option<SocketAddr>,
}

/// What holds a connection's task at work. Dropping the queue makes it finish, dropping the kill ends it at once.
enum State {
    Open { queue: Sender<Queued>, kill: oneshot::Sender<Infallible> },
    Closing { _kill: oneshot::Sender<Infallible> },
    Killed,
}

/// What the protocol made of a stream message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is one of ours: the connection may stay.
    Valid,
    /// It is whole but of another cluster: it may be answered, but proves nothing.
    Foreign,
    /// Nothing could be made of it.
    Garbage,
}

/// A frame cannot be delivered: the protocol is to be told that the address cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreachable;

impl<R: Runtime> Links<R> {
    pub(crate) fn new(
        transport: Transport<R>,
        config: &Config,
        counters: Arc<Counters>,
        news: Sender<News>,
        tasks: Sender<Infallible>,
    ) -> Self {
        Self {
            transport,
            settings: Settings::of(config),
            counters,
            news,
            tasks,
            budget: Budget::new(config.receive_queue_bytes, config.protocol.max_message + PREFIX),
            queued: Level::default(),
            table: HashMap::new(),
            routes: HashMap::new(),
            unproven: BTreeSet::new(),
            awaited: Awaited::default(),
            crowd: Crowd::default(),
            keeping: config.dial_only.then(|| Keeping::new(config)),
            is_crowded: Arc::default(),
            incoming: 0,
            outgoing: 0,
            last_id: 0,
            complaints: Complaints::default(),
            next_sweep: None,
        }
    }

    /// Takes in a connection that a peer has opened.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        (stream, gate): (Carrier<R::Stream>, Gate),
        remote: Option<SocketAddr>,
    ) {
        self.counters.count(Counter::ConnectionsAccepted);
        let crowded =
            self.unproven.len() >= self.settings.max_unproven || self.incoming >= self.settings.max_connections;
        if crowded && let Some(&oldest) = self.unproven.first() {
            self.counters.count(Counter::UnprovenEvicted);
            self.kill(oldest);
        }
        if !self.make_room(now, Direction::Incoming) {
            self.counters.count(Counter::ConnectionsRefused);
            debug!(?remote, limit = self.settings.max_connections, "refused a connection: too many are open");
            return;
        }
        let peer = Peer { address: NodeAddress::Accepted(self.last_id + 1), remote };
        let id = self.open(now, Origin::Accepted(stream, gate), peer, Level::default());
        self.unproven.insert(id);
    }

    /// Queues a frame, length included, for the link to `to`, which is opened if need be, once there is room for it.
    pub(crate) fn send(&mut self, now: Instant, to: &NodeAddress, frame: Bytes) -> Result<(), Unreachable> {
        let id = match self.routes.get(to).copied() {
            Some(id) => id,
            None if let Some(target) = self.is_for_relay(to) => return self.pass(now, target, Inner::Message, &frame),
            None if !to.can_be_dialled() => {
                self.counters.count(Counter::RepliesToClosed);
                return Err(Unreachable);
            }
            // Nobody overtakes those who wait already.
            None if !self.crowd.is_empty() || !self.make_room(now, Direction::Outgoing) => {
                return self.hold(now, to, frame);
            }
            None => self.dial(now, to, Level::default()),
        };
        let Some(link) = self.table.get_mut(&id) else { return Err(Unreachable) };
        let State::Open { queue, .. } = &link.wires else { return Err(Unreachable) };
        let limits = (self.settings.link_queue, self.settings.total_queue);
        match Queued::new(frame, (&link.queued, limits.0), (&self.queued, limits.1)) {
            Ok(queued) => {
                link.used = now;
                link.sent = Some(now);
                // A task that has ended in between is reported by its end.
                let _ = queue.try_send(queued);
                Ok(())
            }
            Err(Overflow::Link) => {
                self.counters.count(Counter::LinkQueueOverflows);
                debug!(address = %to, limit = limits.0, "closed a connection: the peer does not read what is sent");
                self.kill(id);
                Err(Unreachable)
            }
            Err(Overflow::Total) => {
                self.counters.count(Counter::TotalQueueOverflows);
                debug!(address = %to, limit = limits.1, "dropped a message: too much waits for all peers together");
                Err(Unreachable)
            }
        }
    }

    /// Queues a datagram, as a frame, for the link to `to`, which is opened if need be. It is dropped where there is
    /// little room, and nobody is told.
    pub(crate) fn send_datagram(&mut self, now: Instant, to: &NodeAddress, frame: Bytes) {
        let id = match self.routes.get(to).copied() {
            Some(id) => Some(id),
            None if let Some(target) = self.is_for_relay(to) => {
                // Nobody is told of a datagram that is lost.
                let _ = self.pass(now, target, Inner::Datagram, &frame);
                return;
            }
            None if !to.can_be_dialled() || !self.crowd.is_empty() => None,
            None => self.make_room(now, Direction::Outgoing).then(|| self.dial(now, to, Level::default())),
        };
        let link = id.and_then(|id| self.table.get_mut(&id));
        if let Some(Link { wires: State::Open { queue, .. }, queued, used, .. }) = link {
            let room = DATAGRAM_ROOM.min(self.settings.link_queue);
            if let Ok(frame) = Queued::new(frame, (queued, room), (&self.queued, self.settings.total_queue)) {
                *used = now;
                // A task that has ended in between has lost it.
                let _ = queue.try_send(frame);
                return;
            }
        }
        self.counters.count(Counter::LinkDatagramsDropped);
    }

    /// Whether a frame of this size could be queued for `to`.
    pub(crate) fn has_room(&self, to: &NodeAddress, size: usize) -> bool {
        let link = self.routes.get(to).and_then(|id| self.table.get(id));
        let level = link.map(|link| &link.queued).or_else(|| self.crowd.queued(to));
        let waiting = level.map_or(0, Level::bytes);
        waiting + size <= self.settings.link_queue && self.queued.bytes() + size <= self.settings.total_queue
    }

    /// Begins a link to this address, on whose account `queued` is.
    fn dial(&mut self, now: Instant, to: &NodeAddress, queued: Level) -> LinkId {
        self.open(now, Origin::Dial(to.clone()), Peer::at(to.clone()), queued)
    }

    fn open(&mut self, now: Instant, origin: Origin<R::Stream>, peer: Peer, queued: Level) -> LinkId {
        let direction = if matches!(origin, Origin::Dial(_)) { Direction::Outgoing } else { Direction::Incoming };
        self.last_id += 1;
        let id = LinkId(self.last_id);
        let is_proven = Arc::new(AtomicBool::new(direction == Direction::Outgoing));
        // Bounded in bytes: what is in it was admitted by both levels.
        let (queue, frames) = async_channel::unbounded();
        let (kill, killed) = oneshot::channel();
        let wires = Wires {
            transport: self.transport.clone(),
            link: id,
            limits: self.settings.link,
            queue: frames,
            queued: queued.clone(),
            budget: self.budget.clone(),
            is_proven: Arc::clone(&is_proven),
            is_crowded: Arc::clone(&self.is_crowded),
            news: self.news.clone(),
        };
        let task = self.tasks.clone();
        self.transport.runtime.spawn(async move {
            link::run(origin, wires, killed).await;
            drop(task);
        });
        let wires = State::Open { queue, kill };
        let (used, sent, owed) = (now, None, Owed::nothing(now));
        self.routes.insert(peer.address.clone(), id);
        self.table.insert(
            id,
            Link { peer, owner: None, direction, is_proven, opened: now, used, heard: now, sent, queued, owed, wires },
        );
        match direction {
            Direction::Incoming => self.incoming += 1,
            Direction::Outgoing => {
                self.counters.count(Counter::Dials);
                self.outgoing += 1;
            }
        }
        let idle_at = now + self.settings.idle_timeout;
        self.next_sweep = Some(self.next_sweep.map_or(idle_at, |at| at.min(idle_at)));
        id
    }

    /// A message arrived over this link: from whom. `None` if the link was given up.
    pub(crate) fn received(&mut self, now: Instant, id: LinkId) -> Option<Peer> {
        self.counters.count(Counter::FramesReceived);
        let link = self.table.get_mut(&id).filter(|link| !matches!(link.wires, State::Killed))?;
        link.heard = now;
        if matches!(link.wires, State::Open { .. }) {
            link.used = now;
        }
        Some(link.peer.clone())
    }

    /// Acts on what the protocol made of a message from this link.
    pub(crate) fn judge(&mut self, id: LinkId, verdict: Verdict) {
        match verdict {
            Verdict::Valid => {
                if self.unproven.remove(&id)
                    && let Some(link) = self.table.get(&id)
                {
                    link.is_proven.store(true, Ordering::Relaxed);
                }
            }
            Verdict::Foreign => {}
            Verdict::Garbage => {
                self.counters.count(Counter::LinksRejected);
                if let Some(link) = self.table.get(&id) {
                    debug!(peer = %link.peer, "closed a connection: it carries something else than this protocol");
                }
                self.kill(id);
            }
        }
    }

    /// Ends the link to an address from which nothing came for so long, if there is one: a connection may be dead while
    /// its node is well, and what is sent next opens another.
    pub(crate) fn renew(&mut self, now: Instant, to: &NodeAddress, silence: Duration) {
        let Some(&id) = self.routes.get(to) else { return };
        if self.table.get(&id).is_some_and(|link| now.saturating_duration_since(link.heard) >= silence) {
            self.counters.count(Counter::LinksSilent);
            debug!(address = %to, "closed a connection: its peer is suspected, and nothing came over it lately");
            self.kill(id);
        }
    }

    /// The peer will send no more: this side finishes as well.
    pub(crate) fn peer_closed(&mut self, now: Instant, id: LinkId) {
        self.close(now, id);
    }

    /// The link is gone. Returns the addresses it led to if something that was sent over it may not have arrived, or if
    /// an answer was to come over it.
    pub(crate) fn ended(&mut self, now: Instant, id: LinkId, end: &End) -> SmallVec<[NodeAddress; 2]> {
        let was_killed = self.table.get(&id).is_none_or(|link| matches!(link.wires, State::Killed));
        let was_unproven = self.unproven.contains(&id);
        self.detach(id);
        let Some(link) = self.table.remove(&id) else { return SmallVec::new() };
        if self.table.is_empty() {
            self.next_sweep = None;
        }
        self.look_after(now, &link);
        let is_doubtful = match end {
            _ if was_killed => false,
            End::Done | End::Killed => false,
            End::NotOpened(error) => {
                let is_dial = link.direction == Direction::Outgoing;
                self.counters.count(if is_dial { Counter::DialFailures } else { Counter::HandshakeFailures });
                self.complain(now, &link, error);
                is_dial
            }
            End::Broken { error, unsent } => {
                self.count_breakage(error, was_unproven);
                self.complain(now, &link, error);
                // What was written shortly before may not have arrived either.
                *unsent || link.sent.is_some_and(|at| now.saturating_duration_since(at) < self.settings.doubtful)
            }
        };
        let mut lost: SmallVec<_> = link.addresses().filter(|to| is_doubtful || self.has_lost_answers(to)).collect();
        lost.extend(self.no_relay_any_more(&link.peer.address));
        lost
    }

    pub(crate) fn gauges(&self) -> Gauges {
        let (links, links_unproven, bytes_queued) = (self.table.len(), self.unproven.len(), self.queued.bytes());
        Gauges { links, links_unproven, bytes_queued }
    }
}

impl Link {
    /// Under what it is found.
    fn addresses(&self) -> impl Iterator<Item = NodeAddress> + use<> {
        [self.peer.address.clone()].into_iter().chain(self.owner.map(NodeAddress::DialOnly))
    }
}

impl Peer {
    pub(crate) fn at(address: NodeAddress) -> Self {
        Self { address, remote: None }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.remote {
            Some(remote) => remote.fmt(f),
            None => self.address.fmt(f),
        }
    }
}

impl Settings {
    fn of(config: &Config) -> Self {
        Self {
            link: Limits {
                max_message: config.protocol.max_message,
                dial_timeout: config.dial_timeout,
                read_timeout: config.first_frame_timeout,
                write_timeout: config.write_timeout,
            },
            first_frame_timeout: config.first_frame_timeout,
            idle_timeout: config.idle_timeout,
            doubtful: config.protocol.join_timeout,
            max_connections: config.max_connections,
            max_unproven: config.max_unproven,
            link_queue: config.link_queue_bytes,
            total_queue: config.total_queue_bytes,
        }
    }
}

#[cfg(test)]
mod tests;
