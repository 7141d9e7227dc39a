//! The time of one leader in office.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::election::{Term, Version, Voter};
use crate::time::Instant;

/// What a leader knows of one who follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follower {
    /// When the latest beat was sent that it answered, by the leader's clock.
    pub(super) heard: Instant,
    /// Since when it has answered without a long gap.
    pub(super) since: Instant,
    /// Which electorate it holds to.
    pub(super) version: Version,
}

/// The time of one leader in office.
#[derive(Debug)]
pub(super) struct Reign {
    pub(super) term: Term,
    /// It leads until then.
    pub(super) until: Instant,
    /// When it said so last.
    pub(super) beat: Instant,
    pub(super) followers: BTreeMap<Voter, Follower>,
    /// Who had a vote before it won, as far as it knew.
    pub(super) before: Vec<Voter>,
    /// The electorate before the change that is not settled yet.
    pub(super) previous: Vec<Voter>,
    /// A majority holds to the present electorate, of it and of the previous one.
    pub(super) is_agreed: bool,
}
