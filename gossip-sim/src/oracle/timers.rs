//! No timer fires late or spins, and no node takes itself for late that was not.

use gossip_core::Stats;

use crate::facts::Facts;
use crate::oracle::{Finding, Oracle};

/// Deadlines of one node within a second beyond which it is taken for spinning.
const MOST_PER_SECOND: u32 = 2_000;

/// What clocks that run fast or slow may differ by, in microseconds.
const ROUNDING: u64 = 1;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    pub(crate) findings: Vec<Finding>,
    /// By host: the second that is counted, and how many deadlines were in it.
    counts: Vec<(u64, u32)>,
}

impl Timers {
    /// A deadline is being served, late by this many microseconds.
    pub(crate) fn fired(&mut self, facts: &Facts, host: u32, late_by: u64) {
        let person = facts.person(host);
        if late_by.min(facts.now.saturating_sub(person.held_up_until)) > ROUNDING && person.slowed == 0 {
            let message = format!("a deadline is served {late_by} µs late");
            self.findings.push((Oracle::Timers, Some(host), message));
        }
        let index = host as usize;
        if self.counts.len() <= index {
            self.counts.resize(index + 1, (0, 0));
        }
        let second = facts.now / 1_000_000;
        let count = &mut self.counts[index];
        *count = if count.0 == second { (second, count.1 + 1) } else { (second, 1) };
        if count.1 == MOST_PER_SECOND {
            let message = format!("{MOST_PER_SECOND} deadlines within a second");
            self.findings.push((Oracle::Timers, Some(host), message));
        }
    }

    /// A node's deadline is due again and again though it was served.
    pub(crate) fn spins(&mut self, facts: &Facts, host: u32, deadline: u64) {
        let late = facts.now - deadline.min(facts.now);
        let message = format!("the deadline stays {late} µs in the past however often it is served");
        self.findings.push((Oracle::Timers, Some(host), message));
    }

    pub(crate) fn counters(&mut self, facts: &Facts, host: u32, stats: &Stats) {
        if stats.stalls > 0 && !facts.person(host).was_held_up {
            let message = format!("the node believes that it was called late {} times; it was not", stats.stalls);
            self.findings.push((Oracle::Timers, Some(host), message));
        }
    }
}
