//! Leavers are leaving, never dead: where nothing went wrong since a node began to leave, nobody declares it dead.

use gossip_core::{MemberChange, MemberState};

use crate::facts::{Facts, Subject};
use crate::oracle::{Finding, Oracle};
use crate::world::Addr;

pub(crate) fn check(facts: &Facts, host: u32, change: &MemberChange<Addr>) -> Option<Finding> {
    if change.member.state != MemberState::Dead {
        return None;
    }
    let subject = Subject::of(change.member.id)?;
    let departure = facts.departure(subject)?;
    if !facts.is_calm_since(departure.began) || departure.acknowledged.is_none() || facts.running < 2 {
        return None;
    }
    Some((Oracle::Leavers, Some(host), format!("believes {subject} dead, which left properly")))
}
