//! What comes for the applications, and how they answer.

use gossip_core::{Delivery, MessageType, Node, NodeId, Refusal, ReplyToken};

use crate::facts::Subject;
use crate::oracle::Oracle;
use crate::oracle::broadcasts::Arrival;
use crate::payload::{content, number_of};
use crate::random::Odds;
use crate::sabotage::Bug;
use crate::trace;
use crate::world::World;
use crate::world::traffic::{Later, entry_of, is_own};

/// Of so many deliveries a planted bug spoils one.
const SPOILED: u64 = 4;

/// What a planted bug has done so far.
#[derive(Debug, Default)]
pub(super) struct Spoiler {
    count: u64,
    held: Option<Delivery>,
}

impl World {
    /// Reads all that came for the application of a node.
    pub(super) fn read_deliveries(&mut self, host: u32) {
        while let Some(delivery) = self.hosts[host as usize].node.as_mut().and_then(Node::poll_delivery) {
            if self.scenario.sabotage.is_none() {
                self.take_delivery(host, &delivery);
                continue;
            }
            for delivery in self.spoil_delivery(host, delivery) {
                self.take_delivery(host, &delivery);
            }
        }
    }

    fn take_delivery(&mut self, host: u32, delivery: &Delivery) {
        self.note_delivery(host, delivery);
        let is_shown = match delivery {
            Delivery::Broadcast { id, kind, tag, payload, hops } => {
                let arrival = Arrival { id: *id, kind: *kind, tag: tag.as_deref(), payload, hops: *hops };
                self.oracles.broadcasts.delivered(&self.facts, host, &arrival);
                !is_own(*kind)
            }
            Delivery::Message { from, kind, payload } => {
                if is_own(*kind) {
                    self.take_letter(host, *from, payload);
                }
                !is_own(*kind)
            }
            Delivery::Request { token, from, kind, payload, .. } => {
                if is_own(*kind) {
                    self.take_letter(host, *from, payload);
                    self.answer(host, *token, *kind, number_of(payload).unwrap_or(0));
                }
                !is_own(*kind)
            }
            Delivery::Answer { request, result, .. } => {
                let result = result.as_ref().map(|answer| &answer[..]);
                !self.oracles.requests.ended(&self.facts, host, *request, result)
            }
            Delivery::Undelivered { message, error, .. } => {
                !self.oracles.requests.ended(&self.facts, host, *message, Err(error))
            }
            Delivery::Gap { origin, tag, count } => {
                self.oracles.broadcasts.gap(host, *origin, tag.clone(), *count);
                true
            }
            Delivery::Missed { count } => {
                let message = format!("the node lost {count} deliveries, though all are read at once");
                self.oracles.report(&self.facts, Oracle::Bounded, Some(host), message);
                true
            }
            _ => true,
        };
        if is_shown && self.hosts[host as usize].app.is_some() {
            self.with_app(host, |app, cx| app.on_delivery(cx, delivery));
        }
    }

    fn note_delivery(&mut self, host: u32, delivery: &Delivery) {
        let low = |id: &NodeId| u128::from_be_bytes(*id.as_bytes()) as u64;
        let (kind, value) = match delivery {
            Delivery::Broadcast { id, hops, .. } => (1, low(&id.origin) << 32 ^ id.sequence << 8 ^ u64::from(*hops)),
            Delivery::Message { from, payload, .. } => (2, low(from) << 32 ^ payload.len() as u64),
            Delivery::Request { from, payload, .. } => (3, low(from) << 32 ^ payload.len() as u64),
            Delivery::Answer { by, result, .. } => (4, low(by) << 32 ^ u64::from(result.is_ok())),
            Delivery::Undelivered { to, .. } => (5, low(to)),
            Delivery::Gap { origin, count, .. } => (6, low(origin) << 32 ^ count),
            _ => (7, 0),
        };
        self.trace.note(self.facts.now, host, trace::DELIVERED, kind << 60 ^ value);
        if self.trace.is_told() {
            self.trace.tell(self.facts.now, format_args!("node {host} delivers {}", trace::delivery(delivery)));
        }
    }

    fn take_letter(&mut self, host: u32, from: NodeId, payload: &[u8]) {
        let life = self.hosts[host as usize].life;
        let from = Subject::of(from).map(|subject| subject.host);
        self.oracles.requests.came(host, life, from, payload);
    }

    /// What the application does about a request of the scenario.
    fn answer(&mut self, host: u32, token: ReplyToken, kind: MessageType, number: u64) {
        let Some(entry) = self.scenario.request.get(entry_of(kind)) else { return };
        let (late, late_by, size) = (entry.late.value(), entry.late_by, entry.answer_bytes);
        let (refused, ignored) = (entry.refused.value(), entry.ignored.value());
        let draw = self.traffic.random.next();
        let is_within = |share: f64| Odds::of(share).covers(draw);
        let life = self.hosts[host as usize].life;
        if is_within(ignored) {
            return;
        }
        if is_within(ignored + refused) {
            self.refuse(host, token);
        } else if is_within(ignored + refused + late) {
            self.answer_later(late_by, Later { host, life, token, number, size });
        } else {
            self.reply(&Later { host, life, token, number, size });
        }
    }

    fn refuse(&mut self, host: u32, token: ReplyToken) {
        let reasons = [Refusal::NoHandler, Refusal::Overloaded, Refusal::Rejected("the scenario says so")];
        let reason = reasons[self.traffic.random.below(3) as usize];
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        if let Some(node) = &mut state.node
            && node.refuse(local, token, reason).is_err()
        {
            self.metrics.refused += 1;
        }
    }

    fn reply(&mut self, later: &Later) {
        let state = &mut self.hosts[later.host as usize];
        let local = state.clock.read(self.facts.now);
        if state.life == later.life
            && let Some(node) = &mut state.node
            && node.reply(local, later.token, content(later.number, later.size)).is_err()
        {
            self.metrics.refused += 1;
        }
    }

    /// An answer that was put off is due; a machine that stands still gives it when it goes on.
    pub(super) fn give_answer(&mut self, number: u64) {
        let Some(later) = self.traffic.later.remove(&number) else { return };
        if self.facts.person(later.host).pauses > 0 {
            self.answer_later(crate::scenario::Span::millis(100), later);
            return;
        }
        self.reply(&later);
        self.settle(later.host);
    }

    /// What a planted bug makes of a delivery.
    fn spoil_delivery(&mut self, host: u32, delivery: Delivery) -> Vec<Delivery> {
        let Some(sabotage) = self.scenario.sabotage.as_ref().filter(|it| it.node == host && self.sabotaged) else {
            return vec![delivery];
        };
        let spoiler = &mut self.traffic.spoiler;
        match (sabotage.bug, delivery) {
            (Bug::SwallowsEnds, Delivery::Answer { .. }) | (Bug::LosesMessages, Delivery::Message { .. }) => Vec::new(),
            (Bug::RepeatsEnds, end @ Delivery::Answer { .. }) => vec![end.clone(), end],
            (Bug::ShufflesBroadcasts, next @ Delivery::Broadcast { .. }) => {
                let Some(held) = spoiler.held.take() else {
                    spoiler.held = Some(next);
                    return Vec::new();
                };
                vec![next, held]
            }
            (bug, Delivery::Broadcast { mut id, kind, tag, mut payload, hops }) => {
                spoiler.count += 1;
                let is_struck = spoiler.count.is_multiple_of(SPOILED);
                match bug {
                    Bug::LosesBroadcasts if is_struck => return Vec::new(),
                    Bug::InventsBroadcasts if is_struck => id.sequence += 1_000,
                    Bug::SpoilsPayloads if is_struck => {
                        payload = payload.iter().map(|byte| byte ^ 1).collect();
                    }
                    _ => {}
                }
                let delivery = Delivery::Broadcast { id, kind, tag, payload, hops };
                let copies = if bug == Bug::RepeatsBroadcasts && is_struck { 2 } else { 1 };
                vec![delivery; copies]
            }
            (_, delivery) => vec![delivery],
        }
    }
}
