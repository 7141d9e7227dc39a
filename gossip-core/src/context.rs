//! What the sub-protocols of a node share: the table, the news, the queues, and the time.

use alloc::vec::Vec;
use core::time::Duration;

use smallvec::SmallVec;

use crate::awareness::Awareness;
use crate::config::Config;
use crate::delivery::Deliveries;
use crate::dissemination::{Dissemination, retransmit_limit};
use crate::drawn::Drawn;
use crate::error::PhaseError;
use crate::event::Events;
use crate::identity::{Address, Epoch, Identity, Incarnation, NodeId, Versions};
use crate::lane::Lanes;
use crate::mail::Mailbox;
use crate::membership::{Member, MemberState, RoundTrip, Slot, Table};
use crate::metadata::Metadata;
use crate::outbox::{Outbox, Pending, Recipients};
use crate::payload::Payload;
use crate::ring::Ring;
use crate::rng::{Rng, Seed};
use crate::seal::Sealer;
use crate::stats::{DropReason, Stats};
use crate::suspicion::{Patience, Suspicions};
use crate::time::Instant;
use crate::timer::{Deadlines, Timer, Timers};
use crate::view::{Chosen, View};
use crate::wire::{self, Envelope, StoreRoot};

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It takes part.
    Active,
    /// Another live node with a later start has its id; it is quiet until that one leaves or dies.
    Contested,
    /// It is telling its peers that it leaves.
    Leaving,
    /// It has left.
    Left,
}

#[derive(Debug)]
pub(crate) struct Context<A> {
    pub(crate) now: Instant,
    pub(crate) config: Config,
    pub(crate) cluster: u64,
    pub(crate) phase: Phase,
    pub(crate) rng: Rng,
    pub(crate) timers: Timers,
    pub(crate) table: Table<A>,
    pub(crate) view: View,
    pub(crate) ring: Ring,
    pub(crate) suspicions: Suspicions,
    pub(crate) tombstones: Deadlines,
    pub(crate) awareness: Awareness,
    pub(crate) news: Dissemination,
    pub(crate) outbox: Outbox<A>,
    pub(crate) drawn: Drawn<A>,
    pub(crate) events: Events<A>,
    pub(crate) mail: Mailbox<A>,
    pub(crate) deliveries: Deliveries,
    pub(crate) lanes: Lanes,
    /// How long members take to answer, all taken together.
    pub(crate) typical: RoundTrip,
    pub(crate) stats: Stats,
    /// What the seal needs, where there are keys.
    pub(crate) seal: Option<Sealer<A>>,
    /// The node that has this one's id, while the phase is [`Phase::Contested`].
    pub(crate) rival: Option<A>,
    /// The start that the rival is in.
    pub(crate) rival_epoch: Epoch,
    /// When it was last said that the rival is alive.
    pub(crate) rival_heard: Instant,
    /// Members whose metadata is behind a version that was mentioned, found while a packet is acted on.
    pub(crate) behind: SmallVec<[(Slot, u64); 8]>,
    /// Members newly accused by others, found while a packet is acted on.
    pub(crate) accused: Chosen,
    /// Members that were declared dead, found in the same way.
    pub(crate) gone: SmallVec<[NodeId; 4]>,
    /// Starts of members that were heard of from themselves so far.
    pub(crate) starts_heard: u64,
    /// When the wall clock was told last, and what it showed, in microseconds since 1970.
    pub(crate) wall: Option<(Instant, u64)>,
    /// When the question was asked that the packet answers which is being read, if it answers one.
    pub(crate) asked: Option<Instant>,
    /// What probes tell of this node's stores.
    pub(crate) store_roots: SmallVec<[StoreRoot; 1]>,
    /// Writes to stores that were broadcast and are not acted on yet.
    pub(crate) writes: Vec<Payload>,
    gossiped: Option<Instant>,
    packets_sent: u64,
}

impl<A: Address> Context<A> {
    pub(crate) fn new(identity: Identity<A>, config: Config, seed: Seed, now: Instant) -> Self {
        let mut rng = Rng::from_seed(seed);
        let incarnation = Incarnation { epoch: identity.epoch, refutations: 0 };
        let mut metadata = Metadata::new(identity.epoch);
        if !identity.tags.is_empty() {
            metadata.touch();
        }
        let myself = Member {
            id: identity.id,
            address: identity.address,
            incarnation,
            state: MemberState::Alive,
            since: now,
            speaks: Versions::SUPPORTED,
            tags: identity.tags,
            metadata,
        };
        let table = Table::new(myself, &mut rng);
        let seal = config.keys.is_some().then(|| Sealer::new(config.max_members, &mut rng));
        // Two starts that fell into one epoch, against all care, shall not share numbers.
        let packets_sent = if seal.is_some() { rng.next_u64() >> 2 } else { 0 };
        Self {
            now,
            cluster: wire::cluster_hash(&config.cluster),
            phase: Phase::Active,
            timers: Timers::new(),
            table,
            view: View::default(),
            ring: Ring::default(),
            suspicions: Suspicions::default(),
            tombstones: Deadlines::default(),
            awareness: Awareness::new(config.awareness_max),
            news: Dissemination::default(),
            outbox: Outbox::new(config.max_transmits),
            drawn: Drawn::new(),
            events: Events::new(config.max_events),
            mail: Mailbox::new(config.max_peer_bytes, config.max_queued_bytes),
            deliveries: Deliveries::new(config.max_deliveries, config.max_delivery_bytes),
            stats: Stats::default(),
            seal,
            lanes: Lanes::new(config.max_origins, config.repair_bytes, config.repair_time),
            typical: RoundTrip::default(),
            rival: None,
            rival_epoch: incarnation.epoch,
            rival_heard: Instant::ZERO,
            behind: SmallVec::new(),
            accused: Chosen::new(),
            gone: SmallVec::new(),
            starts_heard: 0,
            wall: None,
            asked: None,
            store_roots: SmallVec::new(),
            writes: Vec::new(),
            gossiped: None,
            packets_sent,
            rng,
            config,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.table.myself().id
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.table.myself().incarnation
    }

    /// Whether a node is a member, and this the start that it is in.
    pub(crate) fn knows(&self, id: NodeId, epoch: Epoch) -> bool {
        let slot = self.table.find(id).filter(|&slot| slot != Slot::MYSELF);
        slot.is_some_and(|slot| self.table.member(slot).incarnation.epoch == epoch)
    }

    /// What the wall clock shows, in microseconds since 1970, if that was told.
    pub(crate) fn unix_micros(&self) -> Option<u64> {
        self.unix_at(self.now)
    }

    pub(crate) fn unix_at(&self, now: Instant) -> Option<u64> {
        let (told, unix) = self.wall?;
        Some(unix.saturating_add(now.as_micros().saturating_sub(told.as_micros())))
    }

    pub(crate) fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// Refuses what only a node can do that takes part.
    pub(crate) fn check_active(&self) -> Result<(), PhaseError> {
        match self.phase {
            Phase::Active => Ok(()),
            Phase::Contested => Err(PhaseError::Contested),
            Phase::Leaving | Phase::Left => Err(PhaseError::Leaving),
        }
    }

    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.stats.count_dropped(reason);
    }

    /// Takes note of how long a member took to answer.
    pub(crate) fn measure(&mut self, slot: Slot, sample: Duration) {
        self.table.round_trip_mut(slot).measure(sample);
        self.typical.measure(sample);
    }

    /// Takes note that a packet came from a node itself.
    pub(crate) fn note_heard(&mut self, from: &Envelope, near: Option<Slot>) {
        let slot = self.table.find_at(near, from.sender).filter(|&slot| slot != Slot::MYSELF);
        let is_news = slot.is_some_and(|slot| self.table.note_heard(slot, from.epoch));
        self.starts_heard += u64::from(is_news);
    }

    /// A number for a probe: random, so that answers cannot be guessed.
    pub(crate) fn sequence(&mut self) -> u32 {
        self.rng.next_u32()
    }

    /// A number that no other packet of this start has.
    pub(crate) fn packet_counter(&mut self) -> u64 {
        self.packets_sent += 1;
        self.packets_sent
    }

    pub(crate) fn patience(&self) -> Patience {
        let config = &self.config;
        Patience::new(
            config.probe_interval,
            config.suspicion_min,
            config.suspicion_max,
            config.suspicion_accusers,
            self.view.cluster_size(),
        )
    }

    pub(crate) fn retransmit_limit(&self) -> u32 {
        retransmit_limit(self.config.retransmit, self.view.cluster_size())
    }

    /// A time within which news has usually reached everybody: gossip reaches a multiple of its fan-out every round.
    pub(crate) fn spread_time(&self) -> Duration {
        let rounds = self.view.cluster_size().ilog2() / 3;
        self.config.gossip_interval * rounds.max(2)
    }

    /// Tells the current claim about a member to the others.
    pub(crate) fn tell_claim(&mut self, slot: Slot) {
        self.news.tell_claim(slot);
        self.arm_gossip();
    }

    /// Tells what changed in a member's metadata since version `base` to the others.
    pub(crate) fn tell_metadata(&mut self, slot: Slot, base: u64) {
        self.news.tell_metadata(slot, base);
        self.arm_gossip();
    }

    /// A round of gossip: to a few random members, and again after the interval while there is news.
    pub(crate) fn gossip(&mut self) {
        /// Packets to each member in one round, as long as there is news never told.
        const PACKETS: u8 = 6;
        self.gossiped = Some(self.now);
        if self.news.is_empty() || !matches!(self.phase, Phase::Active | Phase::Leaving) {
            return;
        }
        let chosen = self.view.choose_live(self.config.gossip_fanout, None, &mut self.rng);
        if chosen.is_empty() {
            return;
        }
        let to: Recipients<A> = chosen.iter().map(|&slot| self.table.member(slot).address.clone()).collect();
        self.outbox.push(Pending::Gossip { to, packets_left: PACKETS });
        self.timers.set(Timer::Gossip, self.now + self.config.gossip_interval);
    }

    /// The first news after a quiet time is told at once; more of it waits for the next round.
    fn arm_gossip(&mut self) {
        if !self.timers.is_set(Timer::Gossip) {
            let earliest = self.gossiped.map_or(self.now, |last| last + self.config.gossip_interval);
            self.timers.set(Timer::Gossip, earliest.max(self.now));
        }
    }
}
