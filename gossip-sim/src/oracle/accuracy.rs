//! Nobody is suspected while nothing is wrong, and nobody who can speak up is declared dead whatever else is wrong.

use gossip_core::{MemberChange, MemberState};

use crate::facts::{Facts, Subject};
use crate::oracle::leavers::is_excused;
use crate::oracle::{Finding, Oracle};
use crate::world::Addr;

pub(crate) fn check(facts: &Facts, host: u32, change: &MemberChange<Addr>) -> Option<Finding> {
    let member = &change.member;
    if !matches!(member.state, MemberState::Suspect | MemberState::Dead) {
        return None;
    }
    let subject = Subject::of(member.id)?;
    let person = facts.holder(subject)?;
    if !person.runs() || person.departure.is_some() || facts.is_doubled(subject.host) {
        return None;
    }
    let what = format!("believes {subject} {} ({:?})", member.state, change.cause);
    if facts.is_settled() && !facts.link_is_harmful {
        return Some((Oracle::Accuracy, Some(host), format!("{what} though nothing is wrong")));
    }
    let since = facts.now.saturating_sub(facts.memory());
    let is_its_life = member.incarnation.epoch == person.epoch;
    let is_judged = member.state == MemberState::Dead && is_its_life && !facts.link_is_rough;
    if !is_judged || is_excused(facts, host, subject, since, &change.cause) {
        return None;
    }
    Some((Oracle::Accuracy, Some(host), format!("{what} though it runs and could speak up all the time")))
}
