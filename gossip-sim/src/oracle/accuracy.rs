//! Nobody is suspected while nothing is wrong.

use gossip_core::{MemberChange, MemberState};

use crate::facts::{Facts, Subject};
use crate::oracle::{Finding, Oracle};
use crate::world::Addr;

pub(crate) fn check(facts: &Facts, host: u32, change: &MemberChange<Addr>) -> Option<Finding> {
    let member = &change.member;
    if !matches!(member.state, MemberState::Suspect | MemberState::Dead) || !facts.is_settled() {
        return None;
    }
    let subject = Subject::of(member.id)?;
    let person = facts.holder(subject)?;
    if facts.link_is_harmful || !person.runs() || person.departure.is_some() {
        return None;
    }
    let message = format!("believes {subject} {} ({:?}) though nothing is wrong", member.state, change.cause);
    Some((Oracle::Accuracy, Some(host), message))
}
