//! What others in the node want to know of an election.

use crate::election::contest::Contest;
use crate::election::{ElectionConfig, Term, Version, Voter};
use crate::time::Instant;

impl Contest {
    pub(crate) fn settings(&self) -> &ElectionConfig {
        &self.settings
    }

    /// The leader that this node follows, or itself while it leads.
    pub(crate) fn leader(&self, now: Instant) -> Option<Term> {
        self.leads(now).or_else(|| self.follows(now).map(|(term, _)| term))
    }

    /// Who has a vote, as far as this node knows.
    pub(crate) fn voters(&self) -> &[Voter] {
        &self.electorate.voters
    }

    /// Who had a vote before this node won, as far as it knew.
    pub(crate) fn voters_before(&self) -> &[Voter] {
        self.reign.as_ref().map_or(&[], |reign| &reign.before)
    }

    /// Changes with what [`settled_voters`](Self::settled_voters) answers.
    pub(crate) fn settlement(&self) -> (Version, bool) {
        (self.electorate.version, self.reign.as_ref().is_some_and(|reign| reign.is_agreed))
    }

    /// Who has a vote for every leader that may follow while nobody else is given one: those of the present
    /// electorate that were in the one before as well, until a majority holds to the change. `None` until a majority
    /// holds to what this leader began with.
    pub(crate) fn settled_voters(&self) -> Option<impl Iterator<Item = Voter>> {
        let reign = self.reign.as_ref().filter(|reign| reign.is_agreed || !reign.previous.is_empty())?;
        let stays = |voter: &&Voter| reign.is_agreed || reign.previous.contains(voter);
        Some(self.electorate.voters.iter().filter(stays).copied())
    }
}
