//! How long it takes until crashes are noticed.

use std::collections::BTreeMap;

use gossip_core::Epoch;
use serde::{Deserialize, Serialize};

use crate::facts::{Facts, Person, Subject};
use crate::partition::NodeSet;

/// Crashes of which a report tells one by one.
const TOLD: usize = 10_000;

/// What became of one crash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Crash {
    /// The member, by the name that changes of beliefs have for it.
    pub member: String,
    /// When it crashed, in virtual seconds since the start.
    pub at_s: f64,
    /// When it ran again under the same id.
    pub back_s: Option<f64>,
    /// Somebody suspected it or believed it dead already, so that the times are not taken.
    pub doubted: bool,
    /// Until the first node suspected it.
    pub first_suspect_ms: Option<f64>,
    /// Until the first node declared it dead.
    pub first_dead_ms: Option<f64>,
    /// Until all nodes that ran knew it dead.
    pub dead_all_ms: Option<f64>,
}

#[derive(Debug)]
struct Watched {
    at: u64,
    epoch: Epoch,
    first_suspect: Option<u64>,
    first_dead: Option<u64>,
    /// Nodes that ran when it happened and have not declared the subject dead; made when the first one does.
    waiting: Option<NodeSet>,
    left: usize,
    /// Where it stands among the crashes that are told.
    told: Option<usize>,
}

/// Crashes whose detection is being watched, and what became of the others.
#[derive(Debug, Default)]
pub(crate) struct Detections {
    open: BTreeMap<Subject, Watched>,
    /// Crashes of nodes that were doubted already.
    pub(crate) doubted: u64,
    pub(crate) first_suspect: Vec<u64>,
    pub(crate) first_dead: Vec<u64>,
    pub(crate) dead_all: Vec<u64>,
    pub(crate) crashes: Vec<Crash>,
    /// Machines that are down, what they ran, and where their crash stands.
    down: BTreeMap<u32, (Subject, usize)>,
}

impl Detections {
    pub(crate) fn crashed(&mut self, facts: &Facts, host: u32, is_doubted: bool) {
        let told = self.tell(facts, host, is_doubted);
        if is_doubted {
            self.doubted += 1;
            return;
        }
        let (at, epoch) = (facts.now, facts.person(host).epoch);
        let watched = Watched { at, epoch, first_suspect: None, first_dead: None, waiting: None, left: 0, told };
        self.open.insert(facts.subject(host), watched);
    }

    /// Makes an entry for a crash, unless there are too many.
    fn tell(&mut self, facts: &Facts, host: u32, doubted: bool) -> Option<usize> {
        if self.crashes.len() >= TOLD {
            return None;
        }
        let subject = facts.subject(host);
        let twin = if facts.person(host).twin_of.is_some() { " (twin)" } else { "" };
        let (member, at_s) = (format!("{subject}{twin}"), facts.now as f64 / 1e6);
        self.crashes.push(Crash { member, at_s, doubted, ..Crash::default() });
        let index = self.crashes.len() - 1;
        self.down.insert(host, (subject, index));
        Some(index)
    }

    /// A node starts: nobody has to find it dead any more.
    pub(crate) fn started(&mut self, facts: &Facts, host: u32) {
        let subject = facts.subject(host);
        self.open.remove(&subject);
        if let Some((before, index)) = self.down.remove(&host)
            && before == subject
        {
            self.crashes[index].back_s = Some(facts.now as f64 / 1e6);
        }
    }

    pub(crate) fn suspected(&mut self, facts: &Facts, subject: Subject) {
        let Some(crash) = self.open.get_mut(&subject) else { return };
        if crash.first_suspect.is_none() {
            crash.first_suspect = Some(facts.now);
            let took = facts.now - crash.at;
            self.first_suspect.push(took);
            note(&mut self.crashes, crash.told, took, |told| &mut told.first_suspect_ms);
        }
    }

    pub(crate) fn dead(&mut self, facts: &Facts, host: u32, subject: Subject, epoch: Epoch) {
        let Some(crash) = self.open.get_mut(&subject).filter(|crash| crash.epoch == epoch) else { return };
        if crash.first_dead.is_none() {
            crash.first_dead = Some(facts.now);
            let took = facts.now - crash.at;
            self.first_dead.push(took);
            note(&mut self.crashes, crash.told, took, |told| &mut told.first_dead_ms);
        }
        let waiting = crash.waiting.get_or_insert_with(|| {
            let ran = |&(_, person): &(usize, &Person)| person.runs() && person.started <= crash.at;
            facts.people.iter().enumerate().filter(ran).map(|(host, _)| host as u32).collect()
        });
        if crash.left == 0 {
            crash.left = waiting.len();
        }
        if waiting.remove(host) {
            crash.left -= 1;
        }
        self.close(facts, subject);
    }

    /// A node stopped: nobody waits for what it believes.
    pub(crate) fn stopped(&mut self, facts: &Facts, host: u32) {
        let subjects: Vec<Subject> = self.open.keys().copied().collect();
        for subject in subjects {
            let Some(crash) = self.open.get_mut(&subject) else { continue };
            if crash.waiting.as_mut().is_some_and(|waiting| waiting.remove(host)) {
                crash.left -= 1;
                self.close(facts, subject);
            }
        }
    }

    fn close(&mut self, facts: &Facts, subject: Subject) {
        let is_done = self.open.get(&subject).is_some_and(|crash| crash.waiting.is_some() && crash.left == 0);
        if is_done && let Some(crash) = self.open.remove(&subject) {
            let took = facts.now - crash.at;
            self.dead_all.push(took);
            note(&mut self.crashes, crash.told, took, |told| &mut told.dead_all_ms);
        }
    }
}

/// Enters a time, in microseconds, where it stands among the crashes that are told.
fn note(crashes: &mut [Crash], told: Option<usize>, took: u64, place: impl Fn(&mut Crash) -> &mut Option<f64>) {
    if let Some(told) = told.and_then(|index| crashes.get_mut(index)) {
        *place(told) = Some(took as f64 / 1_000.0);
    }
}
