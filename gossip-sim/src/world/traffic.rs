//! What the applications send each other, as the scenario says.

use std::collections::BTreeMap;

use gossip_core::{BroadcastOptions, MessageType, Node, Reliability, ReplyToken};

use crate::app::Asked;
use crate::facts::Subject;
use crate::fault::Action;
use crate::oracle::broadcasts::{Broadcast, Content};
use crate::oracle::requests::{Letter, Terms};
use crate::partition::NodeSet;
use crate::payload::content;
use crate::queue::Class;
use crate::random::{Purpose, Random};
use crate::scenario::{Select, Span};
use crate::traffic::Entry;
use crate::trouble::{Outlook, Trouble};
use crate::world::deliveries::Spoiler;
use crate::world::{Addr, What, World};

/// Type of the simulator's broadcasts and messages, among those of libraries.
const MESSAGES: u16 = MessageType::FIRST_USER - 1;

/// Nodes drawn until one is found that runs.
const DRAWS: u32 = 16;

/// An answer that is given later.
#[derive(Debug)]
pub(super) struct Later {
    pub(super) host: u32,
    pub(super) life: u32,
    pub(super) token: ReplyToken,
    pub(super) number: u64,
    pub(super) size: u32,
}

/// The state of what the applications do.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) random: Random,
    last_number: u64,
    pub(super) later: BTreeMap<u64, Later>,
    pub(super) spoiler: Spoiler,
    trouble: Trouble,
    /// Something is sent at all.
    is_watched: bool,
}

impl Traffic {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed, Purpose::Messages),
            last_number: 0,
            later: BTreeMap::new(),
            spoiler: Spoiler::default(),
            trouble: Trouble::default(),
            is_watched: false,
        }
    }
}

/// The type of the simulator's messages.
pub(super) fn messages() -> MessageType {
    MessageType::library(MESSAGES).expect("the number is one of the libraries'")
}

/// The type of the requests of one entry of the scenario; the number of entries is bounded.
fn requests(entry: u8) -> MessageType {
    MessageType::library(MessageType::FIRST_LIBRARY + u16::from(entry)).expect("the check bounds the entries")
}

/// The entry that a request belongs to.
pub(super) fn entry_of(kind: MessageType) -> usize {
    usize::from(kind.as_u16().saturating_sub(MessageType::FIRST_LIBRARY))
}

/// Whether a message is the simulator's own.
pub(super) fn is_own(kind: MessageType) -> bool {
    kind.as_u16() < MessageType::FIRST_USER
}

impl World {
    pub(super) fn begin_traffic(&mut self) {
        for entry in self.scenario.traffic() {
            let rhythm = self.scenario.rhythm(entry);
            let at = rhythm.after.as_micros().saturating_add(rhythm.every.as_micros());
            self.queue.push(at, Class::Watch, What::Send { entry });
            self.traffic.is_watched = true;
        }
    }

    /// The next message of an entry.
    pub(super) fn send_next(&mut self, entry: Entry) {
        let now = self.facts.now;
        let rhythm = self.scenario.rhythm(entry);
        if now > rhythm.until.unwrap_or(self.scenario.duration).as_micros() {
            return;
        }
        self.queue.push(now + rhythm.every.as_micros(), Class::Watch, What::Send { entry });
        let from = rhythm.from.clone();
        let Some(host) = self.draw_sender(&from) else { return };
        self.traffic.last_number += 1;
        match entry {
            Entry::Broadcasts(index) => self.send_broadcast(host, index),
            Entry::Directs(index) => self.send_direct(host, index),
            Entry::Requests(index) => self.send_request(host, index),
        }
        self.settle(host);
    }

    fn draw_sender(&mut self, from: &Select) -> Option<u32> {
        for _ in 0..DRAWS {
            let random = &mut self.traffic.random;
            let host = match from {
                Select::List(list) => *list.get(random.below(list.len() as u64) as usize)?,
                _ => random.below(self.hosts.len() as u64) as u32,
            };
            let person = self.facts.people.get(host as usize)?;
            if person.runs() && person.pauses == 0 {
                return Some(host);
            }
        }
        None
    }

    fn send_broadcast(&mut self, host: u32, index: u8) {
        let entry = self.scenario.broadcast[usize::from(index)].clone();
        let number = self.traffic.last_number;
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        let Some(node) = &mut state.node else { return };
        let options = BroadcastOptions { tag: entry.tag.as_deref(), reliable: entry.reliable, ordered: entry.ordered };
        let Ok(id) = node.broadcast(local, messages(), content(number, entry.bytes), options) else {
            self.metrics.refused += 1;
            return;
        };
        let content = Content::Numbered { number, size: entry.bytes };
        let tag = entry.tag.as_deref().map(std::sync::Arc::from);
        let what = Broadcast { origin: host, kind: messages(), tag, ordered: entry.ordered, content };
        self.note_broadcast(id, what);
    }

    /// Tells the oracle of a broadcast that was accepted, and whom it is for.
    fn note_broadcast(&mut self, id: gossip_core::MessageId, what: Broadcast) {
        let origin = what.origin;
        let Some(node) = &self.hosts[origin as usize].node else { return };
        let mut excused = self.traffic.trouble.nodes().clone();
        let mut wanted = NodeSet::default();
        for (host, person) in self.facts.people.iter().enumerate().filter(|(_, person)| person.runs()) {
            let host = host as u32;
            let has_joined = || self.node(host).is_some_and(|node| node.live_count() > 1);
            let is_meant = what.tag.as_ref().is_none_or(|tag| self.facts.has_tag(host, tag));
            if host == origin || person.pauses > 0 || !is_meant || !has_joined() {
                continue;
            }
            wanted.insert(host);
            let known = node.member(self.facts.subject(host).id());
            if known.is_none_or(|member| !member.state.is_live()) {
                excused.insert(host);
            }
        }
        let is_excused = excused.contains(origin);
        self.oracles.broadcasts.sent(&self.facts, id, what, wanted, excused, is_excused);
    }

    /// Another node than `host`, if there is one.
    fn draw_receiver(&mut self, host: u32) -> u32 {
        let others = (self.hosts.len() as u64).saturating_sub(1).max(1);
        let drawn = self.traffic.random.below(others) as u32;
        if drawn >= host && (host as usize) + 1 < self.hosts.len() { drawn + 1 } else { drawn }
    }

    fn send_direct(&mut self, host: u32, index: u8) {
        let entry = self.scenario.direct[usize::from(index)].clone();
        let (number, to) = (self.traffic.last_number, self.draw_receiver(host));
        let id = Subject { host: to, renamed: self.facts.person(to).renamed }.id();
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        let Some(node) = &mut state.node else { return };
        let reliability = if entry.reliable { Reliability::Reliable } else { Reliability::BestEffort };
        let Ok(sent) = node.send(local, id, messages(), content(number, entry.bytes), reliability) else {
            self.metrics.refused += 1;
            return;
        };
        let letter = Letter { from: host, to, size: entry.bytes, is_request: false, is_reliable: entry.reliable };
        self.oracles.requests.posted(&self.facts, number, letter);
        if let Some(id) = sent {
            let patience = self.facts.config.confirm_timeout.as_micros() as u64;
            let terms = Terms { patience, number: Some(number), answer: None, is_message: true };
            self.oracles.requests.asked(&self.facts, host, id, terms);
        }
    }

    fn send_request(&mut self, host: u32, index: u8) {
        let entry = self.scenario.request[usize::from(index)].clone();
        let (number, to) = (self.traffic.last_number, self.draw_receiver(host));
        let id = Subject { host: to, renamed: self.facts.person(to).renamed }.id();
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        let Some(node) = &mut state.node else { return };
        let deadline = local + entry.deadline.duration();
        let Ok(request) = node.request(local, id, requests(index), content(number, entry.bytes), deadline) else {
            self.metrics.refused += 1;
            return;
        };
        let letter = Letter { from: host, to, size: entry.bytes, is_request: true, is_reliable: true };
        self.oracles.requests.posted(&self.facts, number, letter);
        let (patience, answer) = (entry.deadline.as_micros(), Some(entry.answer_bytes));
        let terms = Terms { patience, number: Some(number), answer, is_message: false };
        self.oracles.requests.asked(&self.facts, host, request, terms);
    }

    /// Tells the oracles what an application asked its node for.
    pub(super) fn note_asked(&mut self, host: u32, asked: Asked) {
        match asked {
            Asked::Broadcast { id, kind, tag, ordered, payload } => {
                self.traffic.is_watched = true;
                let content = Content::Bytes(payload);
                self.note_broadcast(id, Broadcast { origin: host, kind, tag, ordered, content });
            }
            Asked::Request { id, patience, is_message } => {
                let patience = patience.as_micros();
                let terms = Terms { patience, number: None, answer: None, is_message };
                self.oracles.requests.asked(&self.facts, host, id, terms);
            }
            Asked::Cancelled { id } => self.oracles.requests.cancelled(host, id),
        }
    }

    /// Whether messages are under way of which something will be heard.
    pub(crate) fn awaits_messages(&self) -> bool {
        !self.oracles.is_full() && (self.oracles.broadcasts.is_waiting() || self.oracles.requests.is_waiting())
    }

    /// Takes a look at who is in trouble, and excuses them.
    pub(super) fn look_for_trouble(&mut self) {
        self.look_for_hardship();
        if !self.traffic.is_watched {
            return;
        }
        for (host, _) in self.facts.people.iter().enumerate().filter(|(_, person)| person.pauses > 0) {
            self.oracles.broadcasts.stopped(host as u32);
        }
        let dead = self.metrics.believed_dead();
        let outlook = |(host, node): (u32, &Node<Addr>)| Outlook {
            host,
            live: node.live_count(),
            is_dead_for_some: dead.contains(&self.facts.subject(host)),
            loss: self.loss_of(host),
        };
        let nodes = self.hosts.iter().enumerate().filter_map(|(host, state)| Some((host as u32, state.node.as_ref()?)));
        let outlooks: Vec<Outlook> = nodes.map(outlook).collect();
        self.traffic.trouble.look(&self.facts, &outlooks);
        self.oracles.broadcasts.excuse(self.traffic.trouble.nodes());
    }

    /// A node's clock leapt: what it keeps for others is gone, and so are its deadlines.
    pub(super) fn note_leap(&mut self, host: u32) {
        self.traffic.trouble.strike(&self.facts, host);
        self.facts.hardship.strike(self.facts.now, host);
    }

    /// Share of the packets from and to a node that get lost, at the worst.
    pub(super) fn loss_of(&self, host: u32) -> f64 {
        let impairments = self.impairments.iter().filter(|(_, impairment)| impairment.strikes(host));
        let links = impairments.filter_map(|(&fault, _)| match &self.scenario.fault[fault as usize].action {
            Action::Impair { link, .. } => Some(link.worst_loss()),
            _ => None,
        });
        self.scenario.link.worst_loss() + links.sum::<f64>()
    }

    /// Answers that were put off.
    pub(super) fn answer_later(&mut self, after: Span, later: Later) {
        let number = later.number;
        self.traffic.later.insert(number, later);
        self.queue.push(self.facts.now + after.as_micros(), Class::Watch, What::Answer { number });
    }
}
