//! How an election stands, for those who have to know why there is no leader.

use alloc::vec::Vec;

use crate::context::Context;
use crate::election::contest::Contest;
use crate::election::electorate::majority;
use crate::election::{ElectionStatus, NoLeader, Term, Voter};
use crate::identity::Address;
use crate::time::Instant;

impl Contest {
    /// The term in which this node leads, as long as its lease lasts.
    pub(crate) fn leads(&self, now: Instant) -> Option<Term> {
        self.reign.as_ref().filter(|reign| now < reign.until).map(|reign| reign.term)
    }

    /// Until when this node leads, if it does.
    pub(crate) fn leads_until(&self) -> Option<Instant> {
        self.reign.as_ref().map(|reign| reign.until)
    }

    /// The leader heard of, and until when it counts.
    pub(crate) fn follows(&self, now: Instant) -> Option<(Term, Instant)> {
        self.leader.filter(|&(_, until)| now < until)
    }

    pub(crate) fn status<A: Address>(&self, cx: &Context<A>, now: Instant) -> ElectionStatus {
        let wait = self.settings.full_lease();
        let heard = self.follows(now).map(|(term, _)| term);
        let leader = self.leads(now).or(heard);
        let quorum = self.quorum(cx);
        let votes = self.last_votes.len();
        let is_willing = |voter: &Voter| self.last_votes.contains(voter);
        let effective: Vec<Voter> = self.electorate.effective(now, wait).collect();
        let willing = effective.iter().filter(|voter| is_willing(voter)).count();
        let reason = if leader.is_some() {
            None
        } else if !self.is_eligible(cx) {
            Some(NoLeader::NotEligible)
        } else if now < self.quiet_until {
            Some(NoLeader::Waiting)
        } else if votes == 0 {
            Some(NoLeader::Undecided)
        } else if !effective.is_empty() && willing < majority(effective.len()) {
            Some(NoLeader::ElectorateLost { votes: willing, quorum: majority(effective.len()) })
        } else if votes < quorum {
            Some(NoLeader::NoQuorum { votes, quorum })
        } else {
            Some(NoLeader::Undecided)
        };
        ElectionStatus {
            leader,
            reason,
            settled: self.electorate.settled(now, wait),
            seen: self.seen(cx),
            quorum,
            votes: self.electorate.voters.contains(&self.me),
            heir: self.heir(cx),
        }
    }
}
