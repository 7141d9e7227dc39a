//! There is at most one leader in each term and at each moment, terms of later leaders are greater, and in the end there is a leader.

use gossip_core::{ElectionChange, Event, Term};

use crate::facts::Facts;
use crate::oracle::{Finding, Oracle};
use crate::world::Addr;

#[derive(Debug, Default)]
pub(crate) struct Leaders {
    pub(crate) findings: Vec<Finding>,
    /// The latest term in which somebody became the leader, and who did.
    latest: Option<(Term, u32)>,
    /// How often somebody became the leader.
    pub(crate) changes: u64,
    is_overdue: bool,
}

impl Leaders {
    pub(crate) fn latest(&self) -> Option<Term> {
        self.latest.map(|(term, _)| term)
    }

    /// The latest term, if it was this machine's.
    pub(crate) fn latest_of(&self, host: u32) -> Option<Term> {
        self.latest.filter(|&(_, by)| by == host).map(|(term, _)| term)
    }

    pub(crate) fn event(&mut self, host: u32, event: &Event<Addr>) {
        let Event::Election { change: ElectionChange::BecameLeader { term }, .. } = event else { return };
        self.changes += 1;
        if let Some((latest, other)) = self.latest {
            if latest.number() == term.number() {
                let message = format!("leads in term {}, as node {other} did", term.number());
                self.findings.push((Oracle::OneLeader, Some(host), message));
            } else if latest > *term {
                let message = format!("leads in term {}, after node {other} did in {}", term.number(), latest.number());
                self.findings.push((Oracle::OneLeader, Some(host), message));
            }
        }
        self.latest = self.latest.max(Some((*term, host)));
    }

    /// Those who act as leader at this moment, by their own clocks.
    pub(crate) fn act(&mut self, leaders: &[(u32, Term)]) {
        if let [(first, one), (second, other), ..] = leaders {
            let (one, other) = (one.number(), other.number());
            let message = format!("leads in term {other} while node {first} leads in term {one}");
            self.findings.push((Oracle::Leases, Some(*second), message));
        }
    }

    /// Whether there is a leader, and all follow it, when it is time.
    pub(crate) fn check(&mut self, facts: &Facts, is_led: bool, patience: u64, state: impl Fn() -> String) {
        let since = facts.disturbed.unwrap_or(0).saturating_add(facts.settle_time()).saturating_add(patience);
        let is_due = facts.faults_active == 0 && facts.now >= since && !facts.link_is_harmful;
        if !is_due || is_led {
            self.is_overdue = false;
        } else if !std::mem::replace(&mut self.is_overdue, true) {
            self.findings.push((Oracle::Led, None, format!("the nodes do not follow one leader: {}", state())));
        }
    }
}
