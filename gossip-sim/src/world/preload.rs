//! A cluster whose nodes have known each other for long, without the time that joining takes.
//!
//! Every node says who it is in the very packet with which it would join; a collector hears them all, and each node is
//! handed the collector's answer: real bytes through the public face. The collector is a double of one of the nodes,
//! so that nobody learns of a member that does not exist, and it is dropped afterwards with the news it would tell.

mod sealed;

use bytes::BytesMut;
use gossip_core::{Identity, Instant, Node};

use crate::facts::Subject;
use crate::world::{Addr, World};

/// Answers that the collector may prepare. It owes one to each node and needs only one.
const ANSWERS: usize = 16;

/// Size of the parts of the answer: small, so that the nodes' event queues stay small.
const CHUNK: usize = 4 << 10;

impl World {
    pub(super) fn preload(&mut self) {
        let nodes = self.scenario.nodes;
        if nodes < 2 {
            return;
        }
        let seeds = self.seed_addresses();
        for host in 0..nodes {
            let state = &mut self.hosts[host as usize];
            let local = state.clock.read(self.facts.now);
            if let Some(node) = &mut state.node {
                node.set_seeds(local, seeds.clone());
            }
        }
        // A double's own answer would come from a node to itself: it takes two of them to reach everybody. The other
        // seeds are heard of as well, or each node would ask them once for what it knows already.
        let doubles = self.facts.seeds.clamp(2, nodes);
        if self.scenario.sealed {
            self.preload_sealed(doubles);
            return;
        }
        let questions = self.ask_all(doubles);
        for double in 0..doubles {
            let answer = self.collect(double, &questions);
            for host in (0..nodes).filter(|&host| host != double) {
                let knows_all = double > 1 || (double == 1 && host > 0);
                let part = if knows_all { answer.len().saturating_sub(1) } else { 0 };
                self.take_in(host, double, &answer[part..]);
            }
        }
    }

    /// The packets with which each node asks each of the first nodes to be let in: who asks whom, and how.
    fn ask_all(&mut self, doubles: u32) -> Vec<(u32, Addr, Vec<u8>)> {
        let mut questions = Vec::new();
        let mut buffer = BytesMut::new();
        for host in 0..self.scenario.nodes {
            let state = &mut self.hosts[host as usize];
            let local = state.clock.read(self.facts.now);
            let Some(node) = &mut state.node else { continue };
            for double in (0..doubles).filter(|&double| double != host) {
                let asked = node.join(local, self.facts.people[double as usize].address);
                debug_assert!(asked.is_ok(), "a fresh node can join: {asked:?}");
            }
            while let Some(transmit) = node.poll_transmit(local, &mut buffer) {
                questions.push((host, transmit.to[0], buffer.to_vec()));
                buffer.clear();
            }
        }
        questions
    }

    /// The table of all nodes, as the double of `double` tells it.
    fn collect(&self, double: u32, questions: &[(u32, Addr, Vec<u8>)]) -> Vec<Vec<u8>> {
        let local = self.hosts[double as usize].clock.read(self.facts.now);
        let address = self.facts.person(double).address;
        let mut collector = self.collector(double, ANSWERS);
        for (host, _, question) in questions.iter().filter(|(_, to, _)| *to == address) {
            let mut question = question.clone();
            collector.handle_message(local, self.facts.person(*host).address, &mut question);
            while collector.poll_event().is_some() {}
        }
        answer_of(&mut collector, local)
    }

    /// A double of `double` that prepares at most so many answers.
    fn collector(&self, double: u32, answers: usize) -> Node<Addr> {
        let local = self.hosts[double as usize].clock.read(self.facts.now);
        let person = self.facts.person(double);
        let tags = self.facts.tags_of(double).map(str::to_owned);
        let id = Subject { host: double, renamed: 0 }.id();
        let identity = Identity::new(id, person.address, person.epoch).with_tags(tags);
        let mut config = self.facts.config.clone();
        (config.max_transmits, config.chunk) = (answers, CHUNK);
        Node::new(identity, config, [1; 32], local).expect("the settings were checked")
    }

    fn take_in(&mut self, host: u32, from: u32, answer: &[Vec<u8>]) {
        let from = self.facts.person(from).address;
        let mut scratch = Vec::new();
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        let Some(node) = &mut state.node else { return };
        for packet in answer {
            scratch.clear();
            scratch.extend_from_slice(packet);
            node.handle_message(local, from, &mut scratch);
            while let Some(event) = node.poll_event() {
                self.oracles.knows(&self.facts, host, &event);
            }
        }
    }
}

/// The packets of one whole answer. The parts of several answers may come in turn.
fn answer_of(collector: &mut Node<Addr>, local: Instant) -> Vec<Vec<u8>> {
    let mut answer = Vec::new();
    let mut first = None;
    let mut buffer = BytesMut::new();
    while let Some(transmit) = collector.poll_transmit(local, &mut buffer) {
        if *first.get_or_insert(transmit.to[0]) == transmit.to[0] {
            answer.push(buffer.to_vec());
        }
        buffer.clear();
    }
    answer
}
