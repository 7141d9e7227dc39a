//! How long it takes until crashes are noticed.

use std::collections::BTreeMap;

use gossip_core::Epoch;

use crate::facts::{Facts, Subject};
use crate::partition::NodeSet;

#[derive(Debug)]
struct Crash {
    at: u64,
    epoch: Epoch,
    first_suspect: Option<u64>,
    first_dead: Option<u64>,
    /// Nodes that ran when it happened and have not declared the subject dead; made when the first one does.
    waiting: Option<NodeSet>,
    left: usize,
}

/// Crashes whose detection is being watched, and what became of the others.
#[derive(Debug, Default)]
pub(crate) struct Detections {
    open: BTreeMap<Subject, Crash>,
    /// Crashes of nodes that were doubted already.
    pub(crate) doubted: u64,
    pub(crate) first_suspect: Vec<u64>,
    pub(crate) first_dead: Vec<u64>,
    pub(crate) dead_all: Vec<u64>,
}

impl Detections {
    pub(crate) fn crashed(&mut self, facts: &Facts, host: u32, is_doubted: bool) {
        if is_doubted {
            self.doubted += 1;
            return;
        }
        let person = facts.person(host);
        let crash =
            Crash { at: facts.now, epoch: person.epoch, first_suspect: None, first_dead: None, waiting: None, left: 0 };
        self.open.insert(facts.subject(host), crash);
    }

    /// The subject runs again: nobody has to find it dead any more.
    pub(crate) fn started(&mut self, subject: Subject) {
        self.open.remove(&subject);
    }

    pub(crate) fn suspected(&mut self, facts: &Facts, subject: Subject) {
        let Some(crash) = self.open.get_mut(&subject) else { return };
        if crash.first_suspect.is_none() {
            crash.first_suspect = Some(facts.now);
            self.first_suspect.push(facts.now - crash.at);
        }
    }

    pub(crate) fn dead(&mut self, facts: &Facts, host: u32, subject: Subject, epoch: Epoch) {
        let Some(crash) = self.open.get_mut(&subject).filter(|crash| crash.epoch == epoch) else { return };
        if crash.first_dead.is_none() {
            crash.first_dead = Some(facts.now);
            self.first_dead.push(facts.now - crash.at);
        }
        let waiting = crash.waiting.get_or_insert_with(|| {
            let ran = |&(_, person): &(usize, &crate::facts::Person)| person.runs() && person.started <= crash.at;
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
            self.dead_all.push(facts.now - crash.at);
        }
    }
}
