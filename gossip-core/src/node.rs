//! The public face, and the dispatch of what comes in; the rules are in the modules beside it.

mod commands;
mod elections;
mod keys;
mod locks;
mod messages;
mod receive;
mod stores;

use bytes::BytesMut;

use crate::anti_entropy::AntiEntropy;
use crate::broadcast::Broadcaster;
use crate::config::{Config, ConfigError};
use crate::context::{Context, Phase};
use crate::election::Elections;
use crate::error::JoinError;
use crate::event::Event;
use crate::healing::Healing;
use crate::identity::{Address, Identity, Incarnation, NodeId, Tags};
use crate::join::Joining;
use crate::kv::Stores;
use crate::leave::Leave;
use crate::lock::Locks;
use crate::membership::Member;
use crate::probe::Prober;
use crate::request::Requests;
use crate::rng::Seed;
use crate::stats::{Backlog, DropReason, Stats};
use crate::time::Instant;
use crate::timer::Timer;
use crate::transmit::{Channel, Transmit};
use crate::wire;

pub use commands::ForgetScope;
pub use stores::{StoreMut, StoreView};

/// Longest datagram that is taken from anybody who has no key, if this node sends no longer ones itself. Acted on, it takes up to
/// twenty times its length.
const LONGEST_FROM_ANYBODY: usize = 2 << 10;

/// A member of a gossip cluster, as a state machine.
///
/// # The loop around it
///
/// Whenever something happens, tell the node through one of the `handle_*` methods or a command; then poll it until it
/// has nothing more to say: [`poll_transmit`](Self::poll_transmit), then [`poll_event`](Self::poll_event), and last
/// [`poll_timeout`](Self::poll_timeout), whose answer may change with every other call. In each pass, hand in what was
/// received *before* calling [`handle_timeout`](Self::handle_timeout): an answer that already arrived must not be
/// taken for silence.
///
/// `now` must not run backwards; where it does, the latest time seen is used and the case counted.
#[derive(Debug)]
pub struct Node<A> {
    cx: Context<A>,
    prober: Prober<A>,
    joining: Joining<A>,
    healing: Healing<A>,
    leave: Leave,
    anti_entropy: AntiEntropy,
    requests: Requests<A>,
    broadcaster: Broadcaster<A>,
    elections: Elections,
    stores: Stores,
    locks: Locks,
    /// The last node seen that has this one's id, so that it is reported once.
    impostor: Option<(A, Incarnation)>,
}

impl<A: Address> Node<A> {
    /// A node that knows only itself. It is alive from the start; [`join`](Self::join) or
    /// [`set_seeds`](Self::set_seeds) make it find others.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range, by name; `tags` if there are more than 64 or one is not 1 to 64
    /// bytes long.
    pub fn new(identity: Identity<A>, config: Config, seed: Seed, now: Instant) -> Result<Self, ConfigError> {
        config.validate()?;
        let is_valid = |tag: &alloc::string::String| (1..=Tags::LONGEST).contains(&tag.len());
        if identity.tags.len() > Tags::MOST || !identity.tags.iter().all(is_valid) {
            let reason = alloc::format!("expected at most {} tags of 1 to {} bytes", Tags::MOST, Tags::LONGEST);
            return Err(ConfigError { field: "tags", reason });
        }
        let mut cx = Context::new(identity, config, seed, now);
        Ok(Self {
            prober: Prober::new(&mut cx),
            joining: Joining::new(),
            healing: Healing::new(&mut cx),
            leave: Leave::new(),
            anti_entropy: AntiEntropy::new(now),
            requests: Requests::new(),
            broadcaster: Broadcaster::new(&cx),
            elections: Elections::default(),
            stores: Stores::new(cx.config.max_events),
            locks: Locks::default(),
            impostor: None,
            cx,
        })
    }

    /// A datagram came from `from`. The bytes may be changed in place.
    ///
    /// Input from the network never is an error: what cannot be used is dropped and counted in [`stats`](Self::stats).
    pub fn handle_datagram(&mut self, now: Instant, from: A, packet: &mut [u8]) {
        self.cx.stats.datagrams_received += 1;
        self.cx.stats.datagram_bytes_received += packet.len() as u64;
        if packet.len() > self.cx.config.max_datagram.max(LONGEST_FROM_ANYBODY) && !wire::is_sealed(packet) {
            self.cx.drop(DropReason::Oversized);
            return;
        }
        self.receive(now, from, Channel::Datagram, packet);
    }

    /// A whole message came over a stream. The bytes may be changed in place.
    ///
    /// `from` is where an answer over the same connection is to be sent: the address dialed, or for a connection
    /// that was accepted, whatever the driver knows it by.
    pub fn handle_message(&mut self, now: Instant, from: A, packet: &mut [u8]) {
        self.cx.stats.stream_messages_received += 1;
        self.cx.stats.stream_bytes_received += packet.len() as u64;
        if packet.len() > self.cx.config.max_message {
            self.cx.drop(DropReason::Oversized);
            return;
        }
        self.receive(now, from, Channel::Stream, packet);
    }

    /// A stream message to `address` could not be delivered.
    pub fn handle_unreachable(&mut self, now: Instant, address: &A) {
        self.advance(now);
        self.joining.fail(&mut self.cx, address, JoinError::Unreachable);
        self.requests.handle_unreachable(&mut self.cx, address);
        self.broadcaster.handle_unreachable(&mut self.cx, address);
    }

    /// Does what is due. Early and repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.excuse_stall();
        while let Some(timer) = self.cx.timers.expire(self.cx.now) {
            let cx = &mut self.cx;
            match timer {
                Timer::ProbeRound => {
                    // The last period's probe ends as this one begins.
                    self.prober.step(cx);
                    self.prober.begin_round(cx);
                }
                Timer::Probe => self.prober.step(cx),
                Timer::Relay => self.prober.step_relays(cx),
                Timer::Suspicion => cx.expire_suspicions(),
                Timer::Gossip => cx.gossip(),
                Timer::Heal => self.healing.step(cx, &mut self.joining, &mut self.prober),
                Timer::Join => self.expire_joins(),
                Timer::Compare => self.anti_entropy.compare(cx),
                Timer::Leave => self.leave.step(cx),
                Timer::Tombstone => cx.reap(),
                Timer::Request => self.requests.expire(cx),
                Timer::Hop => self.broadcaster.step_hops(cx),
                Timer::CopyAck => self.broadcaster.acknowledge(cx),
                Timer::Pull => self.broadcaster.pull(cx),
                Timer::Recent => self.broadcaster.tell_recent(cx),
                Timer::Order => self.broadcaster.give_up(cx),
                Timer::Election => self.elections.step(cx),
                Timer::Store => self.stores.step(cx),
                Timer::Lock => self.locks.step(cx, &self.elections),
            }
        }
        self.follow_up();
    }

    /// The next packet to be sent: its bytes are appended to `buffer`.
    ///
    /// Call until it returns `None`. Packets are written as late as this, so that they carry the freshest news; hold
    /// back a call rather than the packet while the socket is not ready.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut BytesMut) -> Option<Transmit<A>> {
        self.advance(now);
        self.cx.poll_transmit(buffer)
    }

    /// The next event, if any.
    pub fn poll_event(&mut self) -> Option<Event<A>> {
        self.cx.events.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever. Any other call may change it.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.cx.timers.next()
    }

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.cx.id()
    }

    /// The address that this node advertises.
    pub fn address(&self) -> &A {
        &self.cx.table.myself().address
    }

    /// What this node says of itself: its start, and how often it spoke up.
    pub fn incarnation(&self) -> Incarnation {
        self.cx.incarnation()
    }

    /// What this node is doing.
    pub fn phase(&self) -> Phase {
        self.cx.phase
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.cx.config
    }

    /// Everybody this node knows of: itself, the live, and for the retention time the dead and departed.
    pub fn members(&self) -> impl Iterator<Item = &Member<A>> {
        self.cx.table.shown()
    }

    /// The member with this id, unless it was forgotten.
    pub fn member(&self, id: NodeId) -> Option<&Member<A>> {
        let row = self.cx.table.row(self.cx.table.find(id)?);
        (!row.hidden && row.member.state != crate::membership::MemberState::Removed).then_some(&row.member)
    }

    /// Number of rows in the table: members of whatever state, this node included, and those that were forgotten but
    /// are remembered against old news. Bounded by [`Config::max_members`](crate::Config::max_members).
    pub fn row_count(&self) -> usize {
        self.cx.table.len()
    }

    /// Number of live members, this node included.
    pub fn live_count(&self) -> usize {
        self.cx.view.cluster_size()
    }

    /// A number that changes whenever [`members`](Self::members) would answer differently.
    pub fn table_version(&self) -> u64 {
        self.cx.table.version()
    }

    /// A fingerprint of the member table: equal for two nodes that know the same.
    pub fn fingerprint(&self) -> u64 {
        self.cx.table.root()
    }

    /// Lifeguard's local health score: zero is healthy, [`Config::awareness_max`] − 1 is the worst.
    pub fn health_score(&self) -> u32 {
        self.cx.awareness.score()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let mut stats = self.cx.stats;
        stats.events_missed = self.cx.events.missed_total();
        stats.deliveries_missed = self.cx.deliveries.missed_total();
        stats.add_dropped(DropReason::TransmitsFull, self.cx.outbox.rejected());
        stats
    }

    /// What waits to be polled.
    pub fn backlog(&self) -> Backlog {
        let cx = &self.cx;
        Backlog { transmits: cx.outbox.len(), events: cx.events.len(), deliveries: cx.deliveries.len() }
    }

    fn advance(&mut self, now: Instant) {
        if now < self.cx.now {
            self.cx.stats.clock_regressions += 1;
        }
        self.cx.now = self.cx.now.max(now);
    }

    /// Being called late means that this node did not run: what it missed meanwhile is not held against others.
    fn excuse_stall(&mut self) {
        let Some(due) = self.cx.timers.next() else { return };
        let late = self.cx.now.saturating_since(due);
        if late > self.cx.config.probe_timeout {
            self.cx.stats.stalls += 1;
            self.prober.postpone(&mut self.cx, late);
            self.cx.suspicions.postpone(late, self.cx.now);
            self.cx.timers.follow(Timer::Suspicion, self.cx.suspicions.next_deadline());
        }
    }

    fn expire_joins(&mut self) {
        while let Some(address) = self.joining.overdue(self.cx.now) {
            self.joining.fail(&mut self.cx, &address, JoinError::Timeout);
        }
    }

    /// Does what the rules asked for while they were applied.
    fn follow_up(&mut self) {
        self.stores.handle_writes(&mut self.cx);
        if !self.locks.is_empty() {
            self.locks.look(&mut self.cx, &self.elections);
        }
        for slot in core::mem::take(&mut self.cx.accused) {
            self.prober.verify(&mut self.cx, slot);
        }
        if self.cx.phase == Phase::Left {
            self.requests.end_all(&mut self.cx);
        }
        let gone = core::mem::take(&mut self.cx.gone);
        if !gone.is_empty() {
            self.requests.end_gone(&mut self.cx, &gone);
        }
        #[cfg(debug_assertions)]
        self.check();
    }

    /// Compares what is kept up to date with what it should be, for tables small enough.
    #[cfg(debug_assertions)]
    fn check(&self) {
        const SMALL: usize = 64;
        let (table, view) = (&self.cx.table, &self.cx.view);
        if table.len() > SMALL {
            return;
        }
        debug_assert_eq!(table.root(), table.fingerprint_from_scratch(), "the fingerprint follows the rows");
        let (mut live, mut dead, mut cursor) = (0, 0, 1);
        while let Some(slot) = table.next_from(cursor) {
            let row = table.row(slot);
            let state = row.member.state;
            live += usize::from(state.is_live());
            dead += usize::from(state == crate::membership::MemberState::Dead && !row.hidden);
            let is_suspect = state == crate::membership::MemberState::Suspect;
            debug_assert_eq!(is_suspect, self.cx.suspicions.contains(slot), "suspects and only they have a deadline");
            cursor = slot.index() + 1;
        }
        debug_assert!(self.cx.ring.is_consistent(view.live(), table), "the ring follows the view");
        debug_assert_eq!((live, dead), (view.live().len(), view.dead().len()), "the view follows the rows");
    }
}
