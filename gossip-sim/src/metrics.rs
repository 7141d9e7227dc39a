//! What is counted and timed for the report.

mod costs;
mod detection;
mod loads;

use std::collections::{BTreeMap, BTreeSet};

use gossip_core::{Channel, Event, MemberChange, MemberState, Node};
use serde::{Deserialize, Serialize};

use crate::facts::{Facts, Status, Subject};
use crate::partition::NodeSet;
use crate::scenario::Scenario;
use crate::world::Addr;

pub(crate) use costs::Costs;
pub use detection::Crash;
pub(crate) use detection::Detections;
use loads::Loads;
pub use loads::{NodeTraffic, Spread};

/// Points on the time axis of plots.
const POINTS: u64 = 400;

/// Changes of what is believed that are told in the timeline.
const TOLD: usize = 50_000;

/// Changes of one member within this many seconds are told as one.
const AT_ONCE: f64 = 0.1;

/// One moment of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Virtual seconds since the start.
    pub at_s: f64,
    /// Nodes that run.
    pub running: u32,
    /// Fewest live members that any of them knows, itself included.
    pub fewest: u32,
    /// Most live members that any of them knows.
    pub most: u32,
    /// Datagrams sent per node and second since the sample before.
    pub datagrams: f64,
    /// Bytes sent per node and second, streams included.
    pub bytes: f64,
    /// Datagrams per second of single nodes, those that ran all the time since the sample before.
    #[serde(default)]
    pub datagrams_of_nodes: Spread,
    /// Bytes per second of the same nodes.
    #[serde(default)]
    pub bytes_of_nodes: Spread,
}

/// A change in how many nodes believe what of a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateChange {
    /// Virtual seconds since the start.
    pub at_s: f64,
    /// The member.
    pub member: String,
    /// How many nodes suspect it now.
    pub suspected_by: u32,
    /// How many nodes believe it dead now.
    pub dead_for: u32,
}

#[derive(Debug, Default)]
struct Beliefs {
    suspected_by: u32,
    dead_for: u32,
    /// Where the last change stands in the timeline.
    told: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) steps: u64,
    pub(crate) lost: u64,
    pub(crate) datagrams_delivered: u64,
    pub(crate) frames_delivered: u64,
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
    pub(crate) suspected: u64,
    pub(crate) false_suspected: u64,
    pub(crate) dead: u64,
    pub(crate) false_dead: u64,
    pub(crate) detections: Detections,
    pub(crate) loads: Loads,
    /// What messages cost at nodes that have stopped.
    pub(crate) costs: Costs,
    /// Messages, requests and answers that a node did not accept.
    pub(crate) refused: u64,
    pub(crate) samples: Vec<Sample>,
    pub(crate) states: Vec<StateChange>,
    beliefs: BTreeMap<Subject, Beliefs>,
    suspicions_now: u64,
    /// What each node believes of members that it does not believe alive.
    doubts: BTreeMap<(u32, Subject), MemberState>,
    /// Virtual microseconds that nodes have run, until `counted`.
    node_time: u128,
    counted: u64,
    running: u32,
    sample_every: u64,
    sampled: u64,
    sampled_datagrams: u64,
    sampled_bytes: u64,
}

impl Metrics {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let seconds = scenario.duration.as_micros() / 1_000_000;
        Self { sample_every: (seconds / POINTS).max(1) * 1_000_000, ..Self::default() }
    }

    pub(crate) fn sent(&mut self, host: u32, channel: Channel, size: usize, copies: usize) {
        self.loads.sent(host, channel, size, copies);
        if channel == Channel::Datagram {
            self.datagrams += copies as u64;
        }
        self.bytes += (size * copies) as u64;
    }

    pub(crate) fn delivered(&mut self, channel: Channel) {
        match channel {
            Channel::Datagram => self.datagrams_delivered += 1,
            Channel::Stream => self.frames_delivered += 1,
        }
    }

    pub(crate) fn started(&mut self, facts: &Facts, host: u32) {
        self.count_time(facts);
        self.loads.started(facts.now, host);
        self.detections.started(facts, host);
        self.forget(facts.now, host);
    }

    pub(crate) fn stopped(&mut self, facts: &Facts, host: u32, status: Status) {
        self.count_time(facts);
        self.loads.stopped(facts.now, host);
        if status == Status::Crashed {
            let beliefs = self.beliefs.get(&facts.subject(host));
            let is_doubted = beliefs.is_some_and(|beliefs| beliefs.suspected_by + beliefs.dead_for > 0);
            self.detections.crashed(facts, host, is_doubted);
        }
        self.detections.stopped(facts, host);
        self.forget(facts.now, host);
    }

    fn forget(&mut self, now: u64, host: u32) {
        let first = Subject { host: 0, renamed: 0 };
        let last = Subject { host: u32::MAX, renamed: u32::MAX };
        let gone: Vec<_> = self.doubts.range((host, first)..=(host, last)).map(|(&key, &state)| (key, state)).collect();
        for (key, state) in gone {
            self.doubts.remove(&key);
            let beliefs = self.beliefs.entry(key.1).or_default();
            match state {
                MemberState::Suspect => {
                    beliefs.suspected_by -= 1;
                    self.suspicions_now -= 1;
                }
                _ => beliefs.dead_for -= 1,
            }
            self.tell(now, key.1);
        }
    }

    pub(crate) fn event(&mut self, facts: &Facts, host: u32, event: &Event<Addr>) {
        let Event::Member(change) = event else { return };
        let Some(subject) = Subject::of(change.member.id) else { return };
        self.note_belief(facts, host, subject, change);
        let is_false = || {
            let cut = facts.cuts.separate(host, subject.host) || facts.cuts.separate(subject.host, host);
            facts.holder(subject).is_some_and(|person| person.runs() && person.pauses == 0) && !cut
        };
        match change.member.state {
            MemberState::Suspect if change.previous != Some(MemberState::Suspect) => {
                self.suspected += 1;
                self.false_suspected += u64::from(is_false());
                self.detections.suspected(facts, subject);
            }
            MemberState::Dead => {
                self.dead += 1;
                self.false_dead += u64::from(is_false());
                self.detections.dead(facts, host, subject, change.member.incarnation.epoch);
            }
            _ => {}
        }
    }

    fn note_belief(&mut self, facts: &Facts, host: u32, subject: Subject, change: &MemberChange<Addr>) {
        let state = change.member.state;
        let doubt = matches!(state, MemberState::Suspect | MemberState::Dead).then_some(state);
        let before = match doubt {
            Some(doubt) => self.doubts.insert((host, subject), doubt),
            None => self.doubts.remove(&(host, subject)),
        };
        if before == doubt {
            return;
        }
        let beliefs = self.beliefs.entry(subject).or_default();
        match before {
            Some(MemberState::Suspect) => {
                beliefs.suspected_by -= 1;
                self.suspicions_now -= 1;
            }
            Some(_) => beliefs.dead_for -= 1,
            None => {}
        }
        match doubt {
            Some(MemberState::Suspect) => {
                beliefs.suspected_by += 1;
                self.suspicions_now += 1;
            }
            Some(_) => beliefs.dead_for += 1,
            None => {}
        }
        self.tell(facts.now, subject);
    }

    /// Takes what is believed of a member now into the timeline.
    fn tell(&mut self, now: u64, subject: Subject) {
        let Some(beliefs) = self.beliefs.get_mut(&subject) else { return };
        let (suspected_by, dead_for) = (beliefs.suspected_by, beliefs.dead_for);
        let at_s = now as f64 / 1e6;
        let last = beliefs.told.and_then(|index| self.states.get_mut(index));
        if let Some(last) = last.filter(|last| at_s - last.at_s < AT_ONCE) {
            (last.suspected_by, last.dead_for) = (suspected_by, dead_for);
        } else if self.states.len() < TOLD {
            beliefs.told = Some(self.states.len());
            self.states.push(StateChange { at_s, member: subject.to_string(), suspected_by, dead_for });
        }
    }

    /// Whether anybody believes the node of a machine dead.
    pub(crate) fn was_declared_dead(&self, host: u32) -> bool {
        self.beliefs.iter().any(|(subject, beliefs)| subject.host == host && beliefs.dead_for > 0)
    }

    /// All members that somebody believes dead.
    pub(crate) fn believed_dead(&self) -> BTreeSet<Subject> {
        self.beliefs.iter().filter(|(_, beliefs)| beliefs.dead_for > 0).map(|(&subject, _)| subject).collect()
    }

    /// How many suspicions there are, over all nodes but those that are quiet.
    pub(crate) fn suspicions(&self, quiet: &NodeSet) -> u64 {
        if quiet.is_empty() {
            return self.suspicions_now;
        }
        let is_counted = |&(observer, _): &(u32, Subject)| !quiet.contains(observer);
        let doubts = self.doubts.iter().filter(|(pair, _)| is_counted(pair)).map(|(_, state)| state);
        doubts.filter(|state| **state == MemberState::Suspect).count() as u64
    }

    /// How many suspect the node of a machine.
    pub(crate) fn suspicions_of(&self, host: u32) -> u32 {
        let of_host = self.beliefs.iter().filter(|(subject, _)| subject.host == host);
        of_host.map(|(_, beliefs)| beliefs.suspected_by).sum()
    }

    pub(crate) fn sample<'a>(&mut self, facts: &Facts, nodes: impl Iterator<Item = &'a Node<Addr>>) {
        let passed = facts.now - self.sampled;
        if passed < self.sample_every {
            return;
        }
        let (mut fewest, mut most) = (u32::MAX, 0);
        for node in nodes {
            let live = node.live_count() as u32;
            (fewest, most) = (fewest.min(live), most.max(live));
        }
        let (datagrams_of_nodes, bytes_of_nodes) = self.loads.sample(facts.now, self.sampled);
        let node_seconds = f64::from(facts.running.max(1)) * passed as f64 / 1e6;
        self.samples.push(Sample {
            at_s: facts.now as f64 / 1e6,
            running: facts.running,
            fewest: if fewest == u32::MAX { 0 } else { fewest },
            most,
            datagrams: (self.datagrams - self.sampled_datagrams) as f64 / node_seconds,
            bytes: (self.bytes - self.sampled_bytes) as f64 / node_seconds,
            datagrams_of_nodes,
            bytes_of_nodes,
        });
        (self.sampled, self.sampled_datagrams, self.sampled_bytes) = (facts.now, self.datagrams, self.bytes);
    }

    /// Virtual seconds that nodes have run, all together.
    pub(crate) fn node_seconds(&mut self, facts: &Facts) -> f64 {
        self.count_time(facts);
        self.node_time as f64 / 1e6
    }

    fn count_time(&mut self, facts: &Facts) {
        self.node_time += u128::from(facts.now - self.counted) * u128::from(self.running);
        (self.counted, self.running) = (facts.now, facts.running);
    }
}
