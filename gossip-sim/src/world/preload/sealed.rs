//! The same under a seal: whoever asks has to be greeted first, and each answer is for one node only.

use bytes::BytesMut;
use gossip_core::{Instant, Node};

use crate::world::preload::ANSWERS;
use crate::world::{Addr, World};

/// A packet on its way, and the address it goes to.
type Packet = (Addr, Vec<u8>);

impl World {
    pub(super) fn preload_sealed(&mut self, doubles: u32) {
        let nodes = self.scenario.nodes;
        let answers = ANSWERS.max(nodes as usize);
        let mut collectors: Vec<Node<Addr>> = (0..doubles).map(|double| self.collector(double, answers)).collect();
        let now = self.facts.now;
        // The answers are made when all are known.
        let requests: Vec<(u32, Vec<Packet>)> =
            (0..nodes).map(|host| (host, self.be_greeted(host, &mut collectors))).collect();
        for (host, requests) in requests {
            let local = self.hosts[host as usize].clock.read(now);
            let address = self.facts.person(host).address;
            for (to, request) in requests {
                tell(&mut collectors, local, address, to, request);
            }
        }
        for (double, collector) in collectors.iter_mut().enumerate() {
            let local = self.hosts[double].clock.read(now);
            let mut buffer = BytesMut::new();
            while let Some(transmit) = collector.poll_transmit(local, &mut buffer) {
                let host = self.host_at(transmit.to[0]);
                self.take_in(host, double as u32, &[buffer.split().to_vec()]);
            }
        }
    }

    /// A node asks all the doubles to be let in, and is greeted: the requests that it makes then.
    fn be_greeted(&mut self, host: u32, collectors: &mut [Node<Addr>]) -> Vec<Packet> {
        let person = self.facts.person(host);
        let mine = person.address;
        let addresses: Vec<Addr> = (0..collectors.len()).map(|double| self.facts.people[double].address).collect();
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        let Some(node) = &mut state.node else { return Vec::new() };
        for &address in addresses.iter().filter(|&&address| address != mine) {
            let asked = node.join(local, address);
            debug_assert!(asked.is_ok(), "a fresh node can join: {asked:?}");
        }
        for (to, question) in all_of(node, local) {
            tell(collectors, local, mine, to, question);
        }
        for (collector, &from) in collectors.iter_mut().zip(&addresses) {
            for (_, mut greeting) in all_of(collector, local) {
                node.handle_message(local, from, &mut greeting);
            }
        }
        all_of(node, local)
    }
}

/// Hands a packet to the collector at an address. Those at the start have the addresses 0, 1 and so on.
fn tell(collectors: &mut [Node<Addr>], local: Instant, from: Addr, to: Addr, mut packet: Vec<u8>) {
    if let Some(collector) = collectors.get_mut(to as usize) {
        collector.handle_message(local, from, &mut packet);
        while collector.poll_event().is_some() {}
    }
}

/// All that a node has to say.
fn all_of(node: &mut Node<Addr>, local: Instant) -> Vec<Packet> {
    let mut said = Vec::new();
    let mut buffer = BytesMut::new();
    while let Some(transmit) = node.poll_transmit(local, &mut buffer) {
        said.push((transmit.to[0], buffer.split().to_vec()));
    }
    said
}
