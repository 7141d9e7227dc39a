//! Every attempt to join is answered.

use std::collections::BTreeMap;

use crate::facts::Facts;
use crate::oracle::{Finding, Oracle};
use crate::world::Addr;

/// An attempt is given this many times the timeout: the timeout begins anew with every part of the answer.
const PATIENCE: u64 = 4;

/// Attempts without an answer, with the time at which one is overdue.
#[derive(Debug, Default)]
pub(crate) struct Answers(BTreeMap<(u32, Addr), u64>);

impl Answers {
    pub(crate) fn asked(&mut self, facts: &Facts, host: u32, address: Addr) {
        let timeout = u64::try_from(facts.config.join_timeout.as_micros()).unwrap_or(u64::MAX / PATIENCE);
        self.0.insert((host, address), facts.now + timeout * PATIENCE);
    }

    pub(crate) fn answered(&mut self, host: u32, address: Addr) {
        self.0.remove(&(host, address));
    }

    pub(crate) fn forget(&mut self, host: u32) {
        self.0.retain(|&(asker, _), _| asker != host);
    }

    pub(crate) fn check(&mut self, facts: &Facts, findings: &mut Vec<Finding>) {
        self.0.retain(|&(host, address), &mut due| {
            if !facts.person(host).is_prompt() || facts.now < due {
                return true;
            }
            let message = format!("no answer to the attempt to join through {address}");
            findings.push((Oracle::Answers, Some(host), message));
            false
        });
    }
}
