//! There is at most one leader in each term and at each moment, terms of later leaders are greater, and in the end there is a leader.

use std::collections::{BTreeMap, BTreeSet};

use gossip_core::{ElectionChange, Event, Term};

use crate::facts::Facts;
use crate::oracle::{Finding, Oracle};
use crate::world::Addr;

#[derive(Debug, Default)]
pub(crate) struct Leaders {
    pub(crate) findings: Vec<Finding>,
    /// The latest term in which somebody became the leader, and who did.
    latest: Option<(Term, u32)>,
    /// Machines whose nodes ran then, and have run ever since.
    witnesses: BTreeSet<u32>,
    /// The latest term of each machine.
    own: BTreeMap<u32, Term>,
    /// Starts may lie before what they follow.
    pub(crate) clocks_were_wrong: bool,
    is_overdue: bool,
}

impl Leaders {
    pub(crate) fn latest(&self) -> Option<Term> {
        self.latest.map(|(term, _)| term)
    }

    /// The latest term that was this machine's.
    pub(crate) fn own(&self, host: u32) -> Option<Term> {
        self.own.get(&host).copied()
    }

    /// A node stopped. When nobody is left who could know of a term, only the wall clocks at their starts keep later ones above
    /// it, and these may be wrong.
    pub(crate) fn stopped(&mut self, host: u32) {
        if self.witnesses.remove(&host) && self.witnesses.is_empty() {
            self.latest = None;
        }
    }

    pub(crate) fn event(&mut self, facts: &Facts, host: u32, event: &Event<Addr>) {
        let Event::Election { change: ElectionChange::BecameLeader { term }, .. } = event else { return };
        self.own.insert(host, *term);
        if let Some((latest, other)) = self.latest {
            if latest == *term {
                let message = format!("leads in term {}, as node {other} did", term.number());
                self.findings.push((Oracle::OneLeader, Some(host), message));
            } else if latest > *term && !self.clocks_were_wrong {
                let message = format!("leads in term {}, after node {other} did in {}", term.number(), latest.number());
                self.findings.push((Oracle::OneLeader, Some(host), message));
            }
        }
        self.latest = self.latest.max(Some((*term, host)));
        let running = facts.people.iter().enumerate().filter(|(_, person)| person.runs());
        self.witnesses = running.map(|(host, _)| host as u32).collect();
    }

    /// Those who act as leader at this moment, by their own clocks.
    pub(crate) fn act(&mut self, leaders: &[(u32, Term)]) {
        if let [(first, one), (second, other), ..] = leaders {
            let (one, other) = (one.number(), other.number());
            let message = format!("leads in term {other} while node {first} leads in term {one}");
            self.findings.push((Oracle::Leases, Some(*second), message));
        }
    }

    /// Whether it is not time yet to ask for a leader, but will be if nothing happens any more.
    pub(crate) fn is_open(facts: &Facts, patience: u64) -> bool {
        facts.faults_active == 0 && !facts.link_is_harmful && facts.now <= due(facts, patience)
    }

    /// Whether there is a leader, and all follow it, when it is time.
    pub(crate) fn check(&mut self, facts: &Facts, is_led: bool, patience: u64, state: impl Fn() -> String) {
        let is_due = facts.faults_active == 0 && facts.now >= due(facts, patience) && !facts.link_is_harmful;
        if !is_due || is_led {
            self.is_overdue = false;
        } else if !std::mem::replace(&mut self.is_overdue, true) {
            self.findings.push((Oracle::Led, None, format!("the nodes do not follow one leader: {}", state())));
        }
    }
}

/// From when on there has to be a leader, in a world that is calm.
fn due(facts: &Facts, patience: u64) -> u64 {
    facts.disturbed.unwrap_or(0).saturating_add(facts.settle_time()).saturating_add(patience)
}
