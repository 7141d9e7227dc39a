//! Bugs planted on purpose, by means that are open to every user of the library, to prove that the oracles bite.

use serde::{Deserialize, Serialize};

use crate::scenario::Span;

/// A bug in one node that nobody is told of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sabotage {
    /// Which bug.
    pub bug: Bug,
    /// In which node.
    pub node: u32,
    /// From when on. The bugs that wait for a fault to strike their node wait on.
    #[serde(default)]
    pub after: Span,
}

/// The bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bug {
    /// Once others believe the node to be dead, nothing that it sends arrives any more: it stays dead.
    KeepsItselfDead,
    /// Once the node has seen others die, it is swapped for one that has forgotten, and is told that they live.
    ForgetsTheDead,
    /// The node tells of changes in the reverse order.
    ReportsBackwards,
    /// The node's timers run late.
    LateTimers,
    /// The node's deadline is not served, however often it is due.
    Spins,
    /// The node sends datagrams larger than the others allow.
    FatPackets,
    /// The node keeps more packets waiting than the settings allow.
    HoardsPackets,
    /// The node changes its metadata every second, for ever.
    NeverSettles,
    /// When the node leaves, it does so without a word.
    LeavesSilently,
    /// The node stands still for a while, again and again.
    Stalls,
    /// The node does not say what became of its attempts to join.
    SwallowsAnswers,
    /// The node loses every fourth broadcast that it got.
    LosesBroadcasts,
    /// The node delivers every fourth broadcast twice.
    RepeatsBroadcasts,
    /// The node delivers broadcasts with numbers that were never used.
    InventsBroadcasts,
    /// The node changes a byte of what it delivers.
    SpoilsPayloads,
    /// The node has all tags, and should have none.
    WearsAllTags,
    /// The node delivers a broadcast only after the next one.
    ShufflesBroadcasts,
    /// The node does not say how its requests ended.
    SwallowsEnds,
    /// The node says twice how its requests ended.
    RepeatsEnds,
    /// The node loses messages that it confirmed.
    LosesMessages,
    /// The node answers everything that comes from outsiders, at twice its length.
    AnswersStrangers,
    /// The node takes what is not sealed, in a sealed cluster.
    TakesPlaintext,
    /// The node starts again as if it had never stopped: in the epoch that it had.
    RepeatsEpochs,
    /// The node acts as leader for ever once it was one.
    KeepsLeading,
    /// The node leads in a term that another one led in.
    RepeatsTerms,
    /// The node does not say who leads.
    HidesLeader,
    /// The node remembers deletions for longer than the others, which makes its store another one.
    KeepsDeletionsLonger,
    /// The node tells of a change in its store after the next one.
    ShufflesChanges,
    /// The node writes to a store that nobody reads.
    WritesElsewhere,
    /// The node loads the first snapshot of its store every second.
    LoadsOldSnapshots,
    /// The node says that all its writes are the same one.
    RepeatsStamps,
    /// The node acts for ever as if it held a lock once it did.
    KeepsLocks,
    /// The node says that all its grants have the token of the first.
    RepeatsTokens,
    /// The node gives back what it was granted, without knowing of it.
    DropsLocks,
    /// The node says that nobody has a lock.
    HidesHolders,
    /// The node does not say that it was granted a lock.
    SwallowsGrants,
    /// The node panics.
    Panics,
}
