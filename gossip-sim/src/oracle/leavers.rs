//! Leavers are leaving, never dead: whoever declares a node dead that leaves or left has to have a reason: that one
//! of the two had a hard time, or that they could not reach each other.

use gossip_core::{Cause, MemberChange, MemberState};

use crate::facts::{Facts, Subject};
use crate::oracle::{Finding, Oracle};
use crate::world::Addr;

pub(crate) fn check(facts: &mut Facts, host: u32, change: &MemberChange<Addr>) -> Option<Finding> {
    if change.member.state != MemberState::Dead {
        return None;
    }
    let subject = Subject::of(change.member.id)?;
    let departure = facts.departure(subject)?;
    if facts.holder(subject).is_some_and(|person| person.epoch != change.member.incarnation.epoch) {
        return None;
    }
    let since = departure.began.saturating_sub(facts.memory());
    // Whoever is alone has nobody who could tell it.
    if facts.running < 2 || is_excused(facts, host, subject, since, &change.cause) {
        facts.excuse_departure(subject);
        return None;
    }
    Some((Oracle::Leavers, Some(host), format!("believes {subject} dead ({:?}), which left properly", change.cause)))
}

/// Whether whoever came to the belief may be wrong. Who accused does not matter: the member could speak up to the rest.
pub(super) fn is_excused(facts: &Facts, host: u32, subject: Subject, since: u64, cause: &Cause) -> bool {
    let is_excused = |observer: u32| facts.is_excused(observer, subject.host, since);
    match cause {
        Cause::DeclaredDead { by } => {
            let by = Subject::of(*by).filter(|by| facts.holder(*by).is_some());
            is_excused(host) || by.is_none_or(|by| by == subject || is_excused(by.host))
        }
        _ => is_excused(host),
    }
}
