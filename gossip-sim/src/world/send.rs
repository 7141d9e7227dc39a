//! Datagrams on their way, and what happens to them there.

use gossip_core::{Channel, Transmit};
use smallvec::SmallVec;

use crate::fault::Action;
use crate::host::{SOCKET_QUEUE, Waiting};
use crate::link::{Fate, Path};
use crate::packet::{Kind, Packet, PacketId};
use crate::partition::NodeSet;
use crate::queue::Class;
use crate::sabotage::Bug;
use crate::scenario::Scenario;
use crate::stream::FIRST_ACCEPTED;
use crate::trace;
use crate::world::{Addr, NOBODY, What, World};

/// Datagrams remembered to be sent again, or to be made garbage of.
const REMEMBERED: usize = 256;

/// Longest time after which an old datagram comes again, in microseconds.
const ECHO_AFTER: u64 = 30_000_000;

/// Node number in the trace for what no node does.
pub(crate) const WORLD: u32 = u32::MAX;

/// A worse way between some nodes and others.
#[derive(Debug)]
pub(crate) struct Impairment {
    pub(crate) nodes: NodeSet,
    pub(crate) with: Option<NodeSet>,
    pub(crate) path: Path,
}

impl Impairment {
    /// Whether a node is among those on one of its ends.
    pub(super) fn strikes(&self, node: u32) -> bool {
        self.nodes.contains(node) || self.with.as_ref().is_some_and(|with| with.contains(node))
    }

    fn applies(&self, from: u32, to: u32) -> bool {
        let other = |node| self.with.as_ref().is_none_or(|with| with.contains(node));
        (self.nodes.contains(from) && other(to)) || (self.nodes.contains(to) && other(from))
    }
}

#[derive(Debug)]
struct Echo {
    bytes: Vec<u8>,
    from: Addr,
    to: Addr,
    kind: Kind,
}

/// The last datagrams, where the scenario has a use for them.
#[derive(Debug)]
pub(crate) struct Echoes {
    is_wanted: bool,
    ring: Vec<Echo>,
    next: usize,
}

impl Echoes {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let in_faults = scenario.fault.iter().any(|fault| match &fault.action {
            Action::Noise { .. } => true,
            Action::Impair { link, .. } => !link.replay.is_zero(),
            _ => false,
        });
        Self { is_wanted: in_faults || !scenario.link.replay.is_zero(), ring: Vec::new(), next: 0 }
    }

    fn remember(&mut self, packet: &Packet, to: Addr) {
        if !self.is_wanted {
            return;
        }
        if self.ring.len() < REMEMBERED {
            self.ring.push(Echo { bytes: packet.bytes.clone(), from: packet.from, to, kind: packet.kind });
            return;
        }
        let echo = &mut self.ring[self.next];
        echo.bytes.clear();
        echo.bytes.extend_from_slice(&packet.bytes);
        (echo.from, echo.to, echo.kind) = (packet.from, to, packet.kind);
        self.next = (self.next + 1) % REMEMBERED;
    }
}

impl World {
    /// Sends what a node has written into the buffer.
    pub(super) fn transmit(&mut self, host: u32, transmit: &Transmit<Addr>) {
        self.trace.note_bytes(self.facts.now, host, trace::SENT, &self.buffer);
        let address = self.facts.person(host).address;
        let packet = self.pool.store(&self.buffer, address, Kind::Gossip);
        for &to in &transmit.to {
            if self.answer_outsider(host, to, transmit.channel) {
                continue;
            }
            self.trace.history.sent(self.facts.now, host, to, transmit.channel, transmit.size);
            if self.trace.is_told() {
                let (size, channel) = (transmit.size, transmit.channel);
                self.trace.tell(self.facts.now, format_args!("node {host} sends {size} bytes to {to} ({channel:?})"));
            }
            match transmit.channel {
                Channel::Datagram => self.send_datagram(host, to, packet),
                Channel::Stream => self.send_frame(host, to, packet),
            }
        }
        self.pool.release(packet);
    }

    /// Sends a datagram; the caller keeps its hold on the packet.
    pub(super) fn send_datagram(&mut self, from: u32, to: Addr, packet: PacketId) {
        let target = self.host_at(to);
        if target == NOBODY || self.is_muted(from) {
            self.lose(from, to);
            return;
        }
        let size = self.pool.packet(packet).bytes.len();
        let mut fate = self.path.send(&mut self.links, self.facts.now, from, target, size);
        if !self.impairments.is_empty() {
            self.impair(&mut fate, from, target, size);
        }
        let is_cut = !self.facts.cuts.is_empty() && self.facts.cuts.separate(from, target);
        if is_cut || fate.arrivals.is_empty() {
            self.lose(from, to);
            return;
        }
        if self.echoes.is_wanted {
            self.echoes.remember(self.pool.packet(packet), to);
        }
        if fate.replay {
            self.echo();
        }
        let packet = if fate.corrupt || fate.truncate { self.damage(&fate, packet) } else { packet };
        for &delay in &fate.arrivals {
            self.pool.share(packet);
            self.queue.push(self.facts.now + delay, Class::Arrival, What::Datagram { packet, to });
        }
        if fate.corrupt || fate.truncate {
            self.pool.release(packet);
        }
    }

    fn lose(&mut self, from: u32, to: Addr) {
        self.metrics.lost += 1;
        if self.trace.is_told() {
            self.trace.tell(self.facts.now, format_args!("a datagram of node {from} to {to} is lost"));
        }
    }

    fn impair(&mut self, fate: &mut Fate, from: u32, to: u32, size: usize) {
        for impairment in self.impairments.values_mut() {
            if !impairment.applies(from, to) {
                continue;
            }
            let worse = impairment.path.send(&mut self.links, self.facts.now, from, to, size);
            fate.corrupt |= worse.corrupt;
            fate.truncate |= worse.truncate;
            fate.replay |= worse.replay;
            let both: SmallVec<[u64; 2]> = worse
                .arrivals
                .iter()
                .flat_map(|more| fate.arrivals.iter().map(move |delay| delay + more))
                .take(4)
                .collect();
            fate.arrivals = both;
        }
    }

    /// How long a segment of a stream takes; `None` if it is lost.
    pub(super) fn send_segment(&mut self, from: u32, to: u32, size: usize) -> Option<u64> {
        if self.facts.cuts.separate(from, to) || self.facts.cuts.separate(to, from) || self.is_muted(from) {
            return None;
        }
        let mut is_lost = self.path.loses_segment(&mut self.links, from, to);
        let now = self.facts.now;
        let mut delay = self.path.latency(&mut self.links, from, to);
        for impairment in self.impairments.values_mut().filter(|impairment| impairment.applies(from, to)) {
            is_lost |= impairment.path.loses_segment(&mut self.links, from, to);
            delay += impairment.path.latency(&mut self.links, from, to);
        }
        if !is_lost {
            delay += self.path.queue_segment(now, from, size);
            for impairment in self.impairments.values_mut().filter(|impairment| impairment.applies(from, to)) {
                delay += impairment.path.queue_segment(now, from, size);
            }
        }
        (!is_lost).then_some(delay)
    }

    /// A copy with some bytes changed, or cut off.
    fn damage(&mut self, fate: &Fate, packet: PacketId) -> PacketId {
        let held = self.pool.packet(packet);
        let mut bytes = held.bytes.clone();
        let (from, kind) = (held.from, held.kind);
        if fate.corrupt {
            for _ in 0..=self.links.below(4) {
                let position = self.links.below(bytes.len() as u64) as usize;
                if let Some(byte) = bytes.get_mut(position) {
                    *byte ^= 1 + self.links.below(255) as u8;
                }
            }
        }
        if fate.truncate {
            bytes.truncate(self.links.below(bytes.len() as u64) as usize);
        }
        self.pool.store(&bytes, from, kind)
    }

    /// One of the last datagrams comes again.
    fn echo(&mut self) {
        let index = self.links.below(self.echoes.ring.len() as u64) as usize;
        let delay = self.links.below(ECHO_AFTER);
        let Some(echo) = self.echoes.ring.get(index) else { return };
        let packet = self.pool.store(&echo.bytes, echo.from, echo.kind);
        self.queue.push(self.facts.now + delay, Class::Arrival, What::Datagram { packet, to: echo.to });
    }

    /// Garbage arrives: random bytes, or a real packet with some of them changed, from somebody else's address.
    pub(super) fn send_garbage(&mut self, to: u32) {
        let bytes = match self.noise.below(3) {
            0 => {
                let mut bytes = vec![0; self.noise.below(1_500) as usize];
                self.noise.fill(&mut bytes);
                bytes
            }
            kind => {
                let index = self.noise.below(self.echoes.ring.len() as u64) as usize;
                let mut bytes = self.echoes.ring.get(index).map(|echo| echo.bytes.clone()).unwrap_or_default();
                if kind == 1 {
                    bytes.truncate(self.noise.below(bytes.len() as u64 + 1) as usize);
                } else {
                    let position = self.noise.below(bytes.len() as u64) as usize;
                    if let Some(byte) = bytes.get_mut(position) {
                        *byte = byte.wrapping_add(1 + self.noise.below(255) as u8);
                    }
                }
                bytes
            }
        };
        let stranger = self.noise.below(self.hosts.len() as u64 * 2) as Addr;
        let packet = self.pool.store(&bytes, stranger, Kind::Gossip);
        let to = self.facts.person(to).address;
        self.queue.push(self.facts.now, Class::Arrival, What::Datagram { packet, to });
    }

    /// A datagram arrives at an address.
    pub(super) fn arrive(&mut self, packet: PacketId, to: Addr) {
        let host = self.host_at(to);
        if host == NOBODY {
            self.pool.release(packet);
            return;
        }
        let from = self.pool.packet(packet).from;
        self.receive(host, Waiting { packet, channel: Channel::Datagram, from });
    }

    /// Something reached a machine: it is read now, or later if the machine is slow or stands still.
    pub(super) fn receive(&mut self, host: u32, waiting: Waiting) {
        let person = self.facts.person(host);
        if !person.runs() {
            self.pool.release(waiting.packet);
            return;
        }
        let state = &mut self.hosts[host as usize];
        let now = self.facts.now;
        let delay = if state.slow.is_empty() { 0 } else { state.delay(now) };
        if person.pauses == 0 && delay == 0 && !state.is_reading {
            self.read(host, waiting);
            return;
        }
        if state.inbox.len() >= SOCKET_QUEUE && waiting.channel == Channel::Datagram {
            self.metrics.lost += 1;
            self.pool.release(waiting.packet);
            return;
        }
        state.inbox.push_back(waiting);
        if person.pauses == 0 && !state.is_reading {
            self.read_after(host, delay);
        }
    }

    fn read_after(&mut self, host: u32, delay: u64) {
        let state = &mut self.hosts[host as usize];
        (state.is_reading, state.busy_until) = (true, self.facts.now + delay);
        let life = state.life;
        self.queue.push(self.facts.now + delay, Class::Arrival, What::Read { host, life });
    }

    /// A machine that did not read at once is done with the first of what waits.
    pub(super) fn read_next(&mut self, host: u32, life: u32) {
        let state = &mut self.hosts[host as usize];
        if state.life != life {
            return;
        }
        state.is_reading = false;
        let person = self.facts.person(host);
        if !person.runs() || person.pauses > 0 {
            return;
        }
        if let Some(waiting) = state.inbox.pop_front() {
            self.read(host, waiting);
        }
        self.read_on(host);
    }

    /// Goes on with what waits, if anything does.
    pub(super) fn read_on(&mut self, host: u32) {
        let state = &self.hosts[host as usize];
        if !state.inbox.is_empty() && !state.is_reading {
            self.read_after(host, state.delay(self.facts.now));
        }
    }

    /// Whether everything that a node sends is lost, because of a planted bug.
    fn is_muted(&self, host: u32) -> bool {
        self.sabotaged
            && self.scenario.sabotage.as_ref().is_some_and(|sabotage| {
                sabotage.node == host && matches!(sabotage.bug, Bug::KeepsItselfDead | Bug::LeavesSilently)
            })
    }

    pub(super) fn host_at(&self, address: Addr) -> u32 {
        if address >= FIRST_ACCEPTED {
            return NOBODY;
        }
        self.addresses.get(address as usize).copied().unwrap_or(NOBODY)
    }
}
