//! What outsiders do in the world, and what it meets there.

use bytes::BytesMut;
use gossip_core::{Channel, Transmit};

use crate::fault::Action;
use crate::host::Waiting;
use crate::outsider::{Recorded, Scene, Seen, Shot, Tactic, is_outside};
use crate::packet::{Kind, PacketId};
use crate::partition::NodeSet;
use crate::queue::Class;
use crate::sabotage::Bug;
use crate::scenario::{Select, Span};
use crate::trace;
use crate::world::{Addr, What, World};

/// Shortest time that a packet of an outsider takes, and by how much it may be longer, in microseconds.
const LATENCY: u64 = 200;
const JITTER: u64 = 300;

impl World {
    pub(super) fn let_outsiders_in(&mut self, fault: u32, sees: Option<&Select>) {
        // There are none in the world to compare with.
        if self.is_mirror {
            return;
        }
        let sees: NodeSet = match sees {
            Some(Select::List(nodes)) => nodes.iter().copied().collect(),
            _ => (0..self.len()).collect(),
        };
        self.outsiders.begin(fault, sees);
        self.queue.push(self.facts.now, Class::Fault, What::Intrude { fault });
    }

    /// A packet that a node reads is seen by outsiders.
    pub(super) fn overhear(&mut self, host: u32, waiting: &Waiting) {
        if !self.outsiders.see(host) {
            return;
        }
        let bytes = self.pool.packet(waiting.packet).bytes.clone();
        let receiver = self.facts.person(host).address;
        self.outsiders.record(Recorded { bytes, channel: waiting.channel, from: waiting.from, to: host, receiver });
    }

    /// An outsider sends a packet to each of his victims, and goes on later.
    pub(super) fn intrude(&mut self, fault: u32) {
        let entry = &self.scenario.fault[fault as usize];
        let Action::Outsider { nodes: Select::List(nodes), per_second, tactics, .. } = &entry.action else { return };
        let end = entry.at.as_micros() + entry.lasts.map_or(0, Span::as_micros);
        if self.facts.now >= end {
            return;
        }
        let wait = (1_000_000 / u64::from(*per_second)).max(1);
        let tactics = if tactics.is_empty() { Tactic::ALL.to_vec() } else { tactics.clone() };
        for host in nodes.clone() {
            let tactic = tactics[self.outsiders.random.below(tactics.len() as u64) as usize];
            self.send_intrusion(host, tactic);
        }
        self.queue.push(self.facts.now + wait, Class::Fault, What::Intrude { fault });
    }

    fn send_intrusion(&mut self, host: u32, tactic: Tactic) {
        let machines = self.hosts.len() as u64;
        let speaker = self.outsiders.random.below(machines) as u32;
        let subject = self.outsiders.random.below(machines) as u32;
        let seen = |host| {
            let person = self.facts.person(host);
            Seen { host, id: self.facts.subject(host).id(), epoch: person.epoch, address: person.address }
        };
        let (target, speaker, subject) = (seen(host), seen(speaker), seen(subject));
        let cluster = &self.facts.config.cluster;
        let Some(shot) = self.outsiders.aim(tactic, &Scene { cluster, target, speaker, subject }) else { return };
        let Shot { bytes, channel, spoofed } = shot;
        let from = spoofed.unwrap_or_else(|| self.outsiders.next_address(channel));
        if self.trace.is_told() {
            let size = bytes.len();
            let line =
                format_args!("an outsider sends {size} bytes to node {host} as {from} ({tactic:?}, {channel:?})");
            self.trace.tell(self.facts.now, line);
        }
        let packet = self.pool.store(&bytes, from, Kind::Gossip);
        let at = self.facts.now + LATENCY + self.outsiders.random.below(JITTER);
        self.queue.push(at, Class::Arrival, What::Intrusion { host, packet, channel });
    }

    /// What an outsider sent arrives. A machine that does not read at once loses it: what floods take from the time and
    /// the socket of a slow machine is not simulated.
    pub(super) fn meet_intrusion(&mut self, host: u32, packet: PacketId, channel: Channel) {
        let (now, from) = (self.facts.now, self.pool.packet(packet).from);
        let is_prompt = self.facts.person(host).is_prompt();
        let state = &mut self.hosts[host as usize];
        let Some(node) = state.node.as_mut().filter(|_| is_prompt && !state.is_reading) else {
            self.oracles.harmless.tally.lost += 1;
            self.pool.release(packet);
            return;
        };
        self.trace.note(now, host, trace::RECEIVED, u64::from(from));
        let bytes = self.pool.packet(packet).bytes.clone();
        self.oracles.harmless.sent(from, bytes.len());
        let (before, local) = (node.stats(), state.clock.read(now));
        self.pool.consume(packet, |_, bytes| match channel {
            Channel::Datagram => node.handle_datagram(local, from, bytes),
            Channel::Stream => node.handle_message(local, from, bytes),
        });
        self.oracles.harmless.counted(host, &before, &node.stats());
        if self.has_bug(host, Bug::AnswersStrangers) {
            self.buffer = BytesMut::from(&bytes.repeat(2)[..]);
            let size = self.buffer.len();
            self.transmit(host, &Transmit { to: [from].into_iter().collect(), channel, size });
        }
        self.settle(host);
    }

    /// A node sends something to an address that is an outsider's, who records it. Whether that was so.
    pub(super) fn answer_outsider(&mut self, host: u32, to: Addr, channel: Channel) -> bool {
        if !is_outside(to) {
            return false;
        }
        self.oracles.harmless.answered(host, to, channel, self.buffer.len());
        let (bytes, from) = (self.buffer.to_vec(), self.facts.person(host).address);
        self.outsiders.record(Recorded { bytes, channel, from, to: host, receiver: to });
        true
    }
}
