//! A running node never keeps itself dead: whoever believes it dead though the two can reach each other hears otherwise
//! within the time that agreement may take.

use std::collections::BTreeMap;

use gossip_core::{MemberChange, MemberState};

use crate::facts::{Facts, Subject};
use crate::oracle::{Finding, Oracle};
use crate::world::Addr;

/// Who believes whom to be dead, wrongly, since when.
#[derive(Debug, Default)]
pub(crate) struct SelfDead(BTreeMap<(u32, Subject), u64>);

impl SelfDead {
    pub(crate) fn note(&mut self, facts: &Facts, host: u32, change: &MemberChange<Addr>) {
        let Some(subject) = Subject::of(change.member.id) else { return };
        if change.member.state == MemberState::Dead && facts.runs(subject) {
            self.0.entry((host, subject)).or_insert(facts.now);
        } else {
            self.0.remove(&(host, subject));
        }
    }

    pub(crate) fn forget(&mut self, host: u32) {
        self.0.retain(|&(observer, subject), _| observer != host && subject.host != host);
    }

    pub(crate) fn check(&mut self, facts: &Facts, findings: &mut Vec<Finding>) {
        if self.0.is_empty() || facts.faults_active > 0 || facts.link_is_rough {
            return;
        }
        let calm_since = facts.disturbed.unwrap_or(0);
        let patience = facts.settle_time();
        self.0.retain(|&(observer, subject), &mut since| {
            let Some(person) = facts.holder(subject) else { return false };
            if !person.is_prompt() || person.departure.is_some() || facts.is_doubled(subject.host) {
                return person.runs();
            }
            let waited = facts.now - since.max(calm_since);
            if waited <= patience {
                return true;
            }
            let seconds = waited / 1_000_000;
            let message = format!("believes {subject} dead for {seconds} s though it runs and can be reached");
            findings.push((Oracle::SelfDead, Some(observer), message));
            false
        });
    }
}
