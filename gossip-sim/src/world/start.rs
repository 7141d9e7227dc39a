//! Nodes come and go.

use gossip_core::{Epoch, Identity, MemberState, Node, Phase};

use crate::facts::{Departure, Past, Status, Subject};
use crate::fault::Comeback;
use crate::packet::PacketId;
use crate::queue::Class;
use crate::sabotage::Bug;
use crate::scenario::Start;
use crate::trace;
use crate::world::{Addr, NOBODY, What, World};

/// Seeds that a node asks at once.
const SEEDS_AT_ONCE: usize = 16;

impl World {
    pub(super) fn start_all(&mut self) {
        match self.scenario.start {
            Start::Joined => {
                for host in 0..self.scenario.nodes {
                    self.start_node(host);
                }
                self.preload();
                for host in 0..self.scenario.nodes {
                    self.begin_app(host);
                }
            }
            Start::Storm => {
                for host in 0..self.scenario.nodes {
                    self.queue.push(0, Class::Fault, What::Start { host });
                }
            }
            Start::Every(span) => {
                for host in 0..self.scenario.nodes {
                    let at = span.as_micros() * u64::from(host);
                    self.queue.push(at, Class::Fault, What::Start { host });
                }
            }
        }
    }

    /// Starts a node; it then joins through the seeds. In a storm everybody uses the first node.
    pub(super) fn start_and_join(&mut self, host: u32) {
        self.facts.disturbed = Some(self.facts.now);
        self.start_node(host);
        let local = self.hosts[host as usize].clock.read(self.facts.now);
        if let Some(node) = &mut self.hosts[host as usize].node
            && self.scenario.start == Start::Storm
            && host > 0
        {
            let through = self.facts.people[0].address;
            if node.join(local, through).is_ok() {
                self.oracles.answers.asked(&self.facts, host, through);
            }
        }
        self.begin_life(host);
    }

    /// Starts a node that takes the id of another one, on a machine of its own.
    pub(super) fn start_twin(&mut self, host: u32, of: u32) {
        if self.facts.person(host).status != Status::Absent || !self.facts.person(of).runs() {
            return;
        }
        let renamed = self.facts.person(of).renamed;
        let person = &mut self.facts.people[host as usize];
        person.twin_of = Some(of);
        person.renamed = renamed;
        self.facts.doubled.insert(host);
        self.facts.doubled.insert(of);
        self.start_and_join(host);
    }

    /// Starts the node again on a machine where it stopped.
    pub(super) fn come_back(&mut self, host: u32, back_as: Comeback) {
        self.facts.disturbed = Some(self.facts.now);
        let person = &mut self.facts.people[host as usize];
        match back_as {
            Comeback::Same => {}
            Comeback::NewId => {
                let old = Subject { host, renamed: person.renamed };
                self.facts.past.insert(old, Past { departure: person.departure });
                person.renamed += 1;
            }
            Comeback::NewAddress => {
                let old = person.address;
                person.address = self.addresses.len() as Addr;
                self.addresses[old as usize] = NOBODY;
                self.addresses.push(host);
            }
        }
        self.start_node(host);
        self.begin_life(host);
    }

    /// Creates the node of a machine.
    fn start_node(&mut self, host: u32) {
        let now = self.facts.now;
        let keys = self.ring_of(host);
        let planted = self.scenario.sabotage.as_ref().filter(|it| it.node == host).map(|it| it.bug);
        let is_bug = |bug| planted == Some(bug);
        let state = &mut self.hosts[host as usize];
        let mut epoch = Epoch::new(state.clock.wall_ms(now), self.nodes.next() as u32);
        if is_bug(Bug::RepeatsEpochs) && state.life > 0 {
            epoch = self.facts.person(host).epoch;
        }
        let mut seed = [0; 32];
        self.nodes.fill(&mut seed);
        let id = self.facts.subject(host).id();
        let tags = self.facts.tags_of(host).map(str::to_owned);
        let mut identity = Identity::new(id, self.facts.person(host).address, epoch).with_tags(tags);
        if is_bug(Bug::WearsAllTags) {
            identity = identity.with_tags(self.facts.tags.keys().cloned());
        }
        let mut config = self.facts.config.clone();
        config.keys = keys;
        if is_bug(Bug::FatPackets) {
            config.max_datagram = 60_000;
        }
        if is_bug(Bug::TakesPlaintext) {
            config.plaintext = gossip_core::Plaintext::Accept;
        }
        if is_bug(Bug::HoardsPackets) {
            config.max_transmits = 100_000;
        }
        let node = Node::new(identity, config, seed, state.clock.read(now));
        let person = &mut self.facts.people[host as usize];
        state.node = Some(node.expect("the scenario was checked, and its settings with it"));
        (state.life, state.spins, state.is_reading, state.armed) = (state.life + 1, 0, false, u64::MAX);
        (state.app_due, state.app_timer) = (None, u64::MAX);
        person.was_held_up = person.slowed > 0;
        (person.status, person.epoch, person.started, person.departure) = (Status::Running, epoch, now, None);
        self.facts.running += 1;
        self.trace.note(now, host, trace::STARTED, epoch.as_u64());
        self.enter_election(host);
        self.open_store(host);
        self.open_locks(host);
        self.oracles.started(host);
        self.metrics.started(&self.facts, host);
    }

    /// Gives a fresh node its seeds, and then its application.
    fn begin_life(&mut self, host: u32) {
        let seeds = self.seed_addresses();
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        if let Some(node) = &mut state.node {
            // A fresh node is alone, and asks all its seeds at once, unless they are very many.
            let mine = *node.address();
            let asked = seeds.iter().filter(|&&seed| seed != mine && seeds.len() <= SEEDS_AT_ONCE);
            asked.for_each(|&seed| self.oracles.answers.asked(&self.facts, host, seed));
            node.set_seeds(local, seeds);
        }
        self.begin_app(host);
    }

    fn begin_app(&mut self, host: u32) {
        if let Some(factory) = &self.factory {
            self.hosts[host as usize].app = Some(factory(host));
            self.with_app(host, crate::app::App::start);
        }
        self.settle(host);
    }

    /// Stops the node of a machine.
    pub(super) fn stop(&mut self, host: u32, status: Status) {
        let person = &mut self.facts.people[host as usize];
        if !person.runs() {
            return;
        }
        person.status = status;
        self.facts.running -= 1;
        self.oracles.locks.life_ended(self.facts.now, host);
        self.metrics.stopped(&self.facts, host, status);
        if let Some(node) = &self.hosts[host as usize].node {
            self.metrics.costs.add(host, &node.stats());
        }
        self.keep_ring(host);
        let state = &mut self.hosts[host as usize];
        (state.node, state.app, state.deadline, state.armed) = (None, None, u64::MAX, u64::MAX);
        state.postponed.leave = false;
        let waiting: Vec<PacketId> = state.inbox.drain(..).map(|waiting| waiting.packet).collect();
        for packet in waiting {
            self.pool.release(packet);
        }
        self.drop_connections(host);
        self.oracles.stopped(host);
    }

    pub(super) fn begin_departure(&mut self, host: u32) {
        let now = self.facts.now;
        let local = self.hosts[host as usize].clock.read(now);
        let Some(node) = &mut self.hosts[host as usize].node else { return };
        // Whom nobody listens to cannot take leave of anybody.
        let is_excused = node.phase() == Phase::Contested || self.metrics.was_declared_dead(host);
        self.facts.people[host as usize].departure = Some(Departure { began: now, acknowledged: None, is_excused });
        self.oracles.locks.life_ended(now, host);
        if node.leave(local).is_ok() {
            self.settle(host);
        }
    }

    pub(super) fn seed_addresses(&self) -> Vec<Addr> {
        self.facts.people.iter().take(self.facts.seeds as usize).map(|person| person.address).collect()
    }

    /// Whether the machine that had this address has another one now.
    pub(super) fn has_moved(&self, address: Addr) -> bool {
        self.addresses.get(address as usize) == Some(&NOBODY)
    }

    /// Swaps a node for one that knows nothing, and has it join again: a planted bug, told to nobody.
    pub(super) fn swap_for_forgetful(&mut self, host: u32) {
        let now = self.facts.now;
        let state = &mut self.hosts[host as usize];
        let Some(old) = &state.node else { return };
        let address = *old.address();
        let dead: Vec<(gossip_core::NodeId, Addr, Epoch)> = old
            .members()
            .filter(|member| member.state == MemberState::Dead)
            .map(|member| (member.id, member.address, member.incarnation.epoch))
            .collect();
        let local = state.clock.read(now);
        let epoch = Epoch::from_u64(old.incarnation().epoch.as_u64() + 1);
        let fresh = |id, address, epoch| {
            Node::new(Identity::new(id, address, epoch), self.facts.config.clone(), [7; 32], local)
                .expect("the settings were checked")
        };
        let mut swapped = fresh(old.id(), address, epoch);
        self.facts.people[host as usize].epoch = epoch;
        let mut buffer = bytes::BytesMut::new();
        for (id, there, epoch) in dead {
            let mut ghost = fresh(id, there, epoch);
            if ghost.join(local, address).is_err() {
                continue;
            }
            buffer.clear();
            if ghost.poll_transmit(local, &mut buffer).is_some() {
                swapped.handle_message(local, there, &mut buffer);
            }
        }
        state.node = Some(swapped);
        self.settle(host);
    }
}
