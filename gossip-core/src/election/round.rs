//! One attempt to be elected.

use alloc::vec::Vec;

use crate::election::{Term, Voter};
use crate::time::Instant;

/// An attempt to be elected: first everybody is asked whether a vote would succeed, and only then for votes.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) term: Term,
    /// When it was asked, by the own clock; answers repeat it.
    pub(super) asked: Instant,
    pub(super) ends: Instant,
    /// It is the vote itself.
    pub(super) is_vote: bool,
    pub(super) votes: Vec<Voter>,
}

impl Round {
    pub(super) fn count(&mut self, voter: Voter) {
        if !self.votes.contains(&voter) {
            self.votes.push(voter);
        }
    }
}
