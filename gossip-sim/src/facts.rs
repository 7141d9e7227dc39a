//! What is true in the world, as opposed to what nodes believe: who runs, who can reach whom, since when it is calm.

use std::collections::BTreeMap;

use gossip_core::{Config, Epoch, NodeId};

use crate::hardship::{Hardship, ROUGH};
use crate::link::Latency;
use crate::partition::{Cuts, NodeSet};
use crate::scenario::{Scenario, Span, Start};
use crate::world::Addr;

/// Bits of an id that say which host it belongs to; above them is how often the host changed its id.
const HOST_BITS: u32 = 24;

/// A node as others know it: the host, and which of the ids that it has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Number of the virtual machine.
    pub host: u32,
    /// How often its id had changed.
    pub renamed: u32,
}

impl Subject {
    /// The id that it goes by.
    pub fn id(self) -> NodeId {
        NodeId::from_u128(u128::from(self.renamed) << HOST_BITS | u128::from(self.host + 1))
    }

    /// Who goes by this id; `None` for ids that no node of the simulator has.
    pub fn of(id: NodeId) -> Option<Self> {
        let number = u128::from_be_bytes(*id.as_bytes());
        let host = (number & ((1 << HOST_BITS) - 1)) as u32;
        let renamed = u32::try_from(number >> HOST_BITS).ok()?;
        Some(Self { host: host.checked_sub(1)?, renamed })
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {}", self.host)?;
        if self.renamed > 0 { write!(f, " (id {})", self.renamed + 1) } else { Ok(()) }
    }
}

/// What a virtual machine's node is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It was never started.
    #[default]
    Absent,
    /// It runs, perhaps paused.
    Running,
    /// It crashed.
    Crashed,
    /// It left the cluster and stopped.
    Left,
}

/// A departure that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    pub(crate) began: u64,
    /// How many peers acknowledged it, once it is complete.
    pub(crate) acknowledged: Option<usize>,
    /// Somebody took the node for dead and had a reason.
    pub(crate) is_excused: bool,
}

/// The truth about one virtual machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Person {
    pub(crate) status: Status,
    pub(crate) renamed: u32,
    pub(crate) address: Addr,
    pub(crate) epoch: Epoch,
    pub(crate) started: u64,
    pub(crate) departure: Option<Departure>,
    /// How many faults pause it.
    pub(crate) pauses: u32,
    /// How many faults slow it down.
    pub(crate) slowed: u32,
    /// It was paused or slow, or its clock went wrong, in this life: it may find that it was called late.
    pub(crate) was_held_up: bool,
    /// Until when it was paused or busy last: what was due before is served late.
    pub(crate) held_up_until: u64,
    /// How many faults keep it from running.
    pub(crate) downs: u32,
    /// The machine whose id its node took.
    pub(crate) twin_of: Option<u32>,
}

impl Person {
    pub(crate) fn runs(&self) -> bool {
        self.status == Status::Running
    }

    pub(crate) fn is_prompt(&self) -> bool {
        self.runs() && self.pauses == 0 && self.slowed == 0
    }
}

/// The end of an earlier id of a virtual machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    pub(crate) departure: Option<Departure>,
}

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) now: u64,
    pub(crate) people: Vec<Person>,
    pub(crate) past: BTreeMap<Subject, Past>,
    pub(crate) cuts: Cuts,
    pub(crate) hardship: Hardship,
    /// Machines whose id another one took, and those that took one.
    pub(crate) doubled: NodeSet,
    pub(crate) seeds: u32,
    pub(crate) running: u32,
    /// Faults that have begun and not ended.
    pub(crate) faults_active: u32,
    /// When the last fault began or ended; `None` if there was none, and all nodes knew each other from the start.
    pub(crate) disturbed: Option<u64>,
    /// The links harm packets even without a fault.
    pub(crate) link_is_harmful: bool,
    /// They do so much harm that nothing can be asked of anybody.
    pub(crate) link_is_rough: bool,
    pub(crate) config: Config,
    pub(crate) worst_latency: u64,
    /// Set by the scenario: how long agreement may take.
    pub(crate) settle: Option<u64>,
    /// Who has which tag.
    pub(crate) tags: BTreeMap<String, NodeSet>,
}

impl Facts {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let link = scenario.base_link();
        Self {
            now: 0,
            people: Vec::new(),
            past: BTreeMap::new(),
            cuts: Cuts::default(),
            hardship: Hardship::default(),
            doubled: NodeSet::default(),
            seeds: scenario.seeds,
            running: 0,
            faults_active: 0,
            disturbed: (scenario.start != Start::Joined).then_some(0),
            link_is_harmful: link.is_harmful(),
            link_is_rough: link.worst_loss() > ROUGH,
            config: scenario.config(),
            worst_latency: link.latency.as_ref().map_or(0, Latency::worst),
            settle: scenario.settle.map(Span::as_micros),
            tags: scenario.tagged_nodes(),
        }
    }

    pub(crate) fn person(&self, host: u32) -> &Person {
        &self.people[host as usize]
    }

    pub(crate) fn subject(&self, host: u32) -> Subject {
        let person = self.person(host);
        match person.twin_of {
            // The id that it took, whatever became of the one it took it from.
            Some(original) => Subject { host: original, renamed: person.renamed },
            None => Subject { host, renamed: person.renamed },
        }
    }

    /// The truth about whoever goes by this name now; `None` if nobody does any more.
    pub(crate) fn holder(&self, subject: Subject) -> Option<&Person> {
        self.people.get(subject.host as usize).filter(|person| person.renamed == subject.renamed)
    }

    /// Whether the subject runs, under this id.
    pub(crate) fn runs(&self, subject: Subject) -> bool {
        self.holder(subject).is_some_and(Person::runs)
    }

    /// How the subject left, if it did.
    pub(crate) fn departure(&self, subject: Subject) -> Option<Departure> {
        match self.holder(subject) {
            Some(person) => person.departure,
            None => self.past.get(&subject).and_then(|past| past.departure),
        }
    }

    /// The tags of a machine's nodes.
    pub(crate) fn tags_of(&self, host: u32) -> impl Iterator<Item = &str> {
        self.tags.iter().filter(move |(_, nodes)| nodes.contains(host)).map(|(tag, _)| tag.as_str())
    }

    pub(crate) fn has_tag(&self, host: u32, tag: &str) -> bool {
        self.tags.get(tag).is_some_and(|nodes| nodes.contains(host))
    }

    /// How long a broadcast may take to reach a node that is in no trouble, in microseconds.
    ///
    /// What is lost can be repaired while it is kept. Whoever hears of it in the last moment waits a round trip for it,
    /// asks, and asks again; in order it may wait for another as long.
    pub(crate) fn delivery_time(&self, is_ordered: bool) -> u64 {
        let config = &self.config;
        let order = if is_ordered { micros(config.order_timeout) } else { 0 };
        micros(config.repair_time) + 8 * micros(config.gossip_interval) + order + 20 * self.worst_latency
    }

    /// Somebody takes a leaver for dead, with a reason: others may well do the same.
    pub(crate) fn excuse_departure(&mut self, subject: Subject) {
        let departure = match self.people.get_mut(subject.host as usize) {
            Some(person) if person.renamed == subject.renamed => person.departure.as_mut(),
            _ => self.past.get_mut(&subject).and_then(|past| past.departure.as_mut()),
        };
        if let Some(departure) = departure {
            departure.is_excused = true;
        }
    }

    /// Whether there are machines that have both another id and another address than at first: nobody can tell them from new ones.
    pub(crate) fn has_strangers(&self) -> bool {
        self.people.iter().zip(0..).any(|(person, host)| person.renamed > 0 && person.address != host)
    }

    /// Whether there is or was another machine with the same id.
    pub(crate) fn is_doubled(&self, host: u32) -> bool {
        self.doubled.contains(host)
    }

    /// Whether agreement is due: nothing has gone wrong for as long as it may take.
    pub(crate) fn is_settled(&self) -> bool {
        match self.disturbed {
            None => self.faults_active == 0,
            Some(last) => self.faults_active == 0 && self.now >= last + self.settle_time(),
        }
    }

    /// How long the live nodes may take to agree once the last fault is over, in microseconds.
    ///
    /// Doubtful nodes probe up to `awareness_max` times less often, and become sure again one probe at a time; a
    /// suspicion by one accuser lasts longest; a member believed dead is looked for at every heal interval, one at
    /// random among all the dead; then tables are compared.
    pub(crate) fn settle_time(&self) -> u64 {
        if let Some(settle) = self.settle {
            return settle;
        }
        let config = &self.config;
        let live = u64::from(self.running.max(1));
        let gone = self.people.len() as u64 + self.past.len() as u64 - live.min(self.people.len() as u64);
        let score = u64::from(config.awareness_max);
        let probes = micros(config.probe_interval) * (score * (score + 1) / 2 + score);
        let healing = micros(config.heal_interval) * (4 + 6 * gone.div_ceil(live));
        let spread = micros(config.gossip_interval) * 16 * u64::from(live.ilog2().max(4));
        let suspicion = self.suspicion_time();
        probes + suspicion + healing + spread + micros(config.join_timeout) + 40 * self.worst_latency
    }

    /// How long a suspicion by one accuser lasts, in microseconds.
    pub(crate) fn suspicion_time(&self) -> u64 {
        let config = &self.config;
        let scale = libm::log10(f64::from(self.running.max(1))).max(1.0);
        let shortest = micros(config.probe_interval) * u64::from(config.suspicion_min);
        (shortest as f64 * scale) as u64 * u64::from(config.suspicion_max)
    }

    /// How long the probe of a node takes that doubts itself most, in microseconds.
    pub(crate) fn probing_time(&self) -> u64 {
        micros(self.config.probe_interval) * u64::from(self.config.awareness_max)
    }

    /// How long it takes until what is wrong shows in the tables, in microseconds: probes under way end, and others
    /// begin and end.
    pub(crate) fn notice_time(&self) -> u64 {
        2 * self.probing_time() + 4 * self.worst_latency
    }
}

fn micros(span: std::time::Duration) -> u64 {
    span.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_and_ids_are_two_names_of_one_thing() {
        for subject in [Subject { host: 0, renamed: 0 }, Subject { host: 99_999, renamed: 300 }] {
            assert_eq!(Subject::of(subject.id()), Some(subject));
        }
        assert_eq!(Subject::of(NodeId::from_u128(0)), None);
        assert_eq!(Subject::of(NodeId::from_bytes([0xff; 16])), None);
    }
}
