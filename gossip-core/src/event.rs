//! What a node tells the application, and the bounded set of it not yet read.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::election::ElectionChange;
use crate::error::JoinError;
use crate::identity::{Incarnation, NodeId};
use crate::membership::{Member, MemberState};
use crate::message::MessageType;

/// Something the application may want to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<A> {
    /// A member appeared, changed its state, started again, moved, or was dropped from the table.
    Member(MemberChange<A>),
    /// Metadata of a member (this node included) changed.
    Metadata {
        /// The member as it is now.
        member: Member<A>,
        /// Keys set, changed or removed, in order.
        keys: Vec<String>,
    },
    /// A node let this one in and its whole member table has arrived.
    JoinAccepted {
        /// The address that was asked.
        address: A,
        /// Who answered there.
        by: NodeId,
        /// Live members known now, this node included.
        members: usize,
    },
    /// Joining through an address failed. Seeds are tried again by themselves.
    JoinFailed {
        /// The address that was asked.
        address: A,
        /// Why.
        error: JoinError,
    },
    /// Another live node uses this node's id from another address.
    ///
    /// The later start keeps the id. The earlier one goes quiet, so that the others do not see the id flap between two
    /// addresses, and comes back by itself should the rival leave or die.
    IdConflict {
        /// Where the other node is.
        rival: A,
        /// The start that the other one is in.
        incarnation: Incarnation,
        /// Whether this node is the one that went quiet.
        quiet: bool,
    },
    /// This node has the id that it had lost to a rival back, and takes part again.
    IdRegained,
    /// Leaving is complete.
    Left {
        /// How many peers acknowledged the news.
        acknowledged: usize,
    },
    /// Messages that came for this node were dropped because whoever handles them was slow.
    MessagesMissed {
        /// Their type; `None` if they were dropped before it was looked at.
        kind: Option<MessageType>,
        /// How many since the last such event.
        count: u64,
    },
    /// Broadcasts of which later ones came are lost for good.
    BroadcastsLost {
        /// Whose.
        origin: NodeId,
        /// The tag that they were sent to, if not to everybody.
        tag: Option<Arc<str>>,
        /// How many at most.
        count: u64,
    },
    /// A leader came or went, in an election that this node takes part in.
    Election {
        /// The name of the election.
        name: Arc<str>,
        /// What changed.
        change: ElectionChange,
    },
    /// Events were dropped because they were not polled in time.
    Missed {
        /// How many since the last event.
        count: u64,
    },
}

/// A change of one row of the member table.
#[derive(Clone, Debug)]
pub struct MemberChange<A> {
    /// The member as it is now.
    pub member: Member<A>,
    /// Its state before; `None` if it was unknown.
    pub previous: Option<MemberState>,
    /// Why it changed.
    pub cause: Cause,
}

/// Why a row of the member table changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It was heard of for the first time.
    Joined,
    /// It started again, perhaps at another address. What it said of itself before is void: its metadata and tags are
    /// empty until those of the new life come.
    Restarted,
    /// It spoke up against a suspicion or a death.
    Refuted,
    /// It changed its address while running.
    Moved,
    /// It did not answer this node's own probe, neither directly nor through others.
    ProbeFailed,
    /// Another member says that it does not answer.
    Accused {
        /// The first accuser.
        by: NodeId,
    },
    /// Nobody refuted the suspicion in time.
    SuspicionExpired {
        /// Who had accused it.
        accusers: SmallVec<[NodeId; 4]>,
    },
    /// Another member declared it dead.
    DeclaredDead {
        /// Who.
        by: NodeId,
    },
    /// It left.
    Left,
    /// An operator had it forgotten.
    Forgotten,
    /// It was dead or gone for longer than [`Config::retention`](crate::Config::retention).
    Reaped,
}

/// Events not yet polled: the oldest give way, and the loss is reported.
#[derive(Debug)]
pub(crate) struct Events<A> {
    queue: VecDeque<Event<A>>,
    limit: usize,
    missed: u64,
    missed_total: u64,
}

impl<A> Events<A> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { queue: VecDeque::new(), limit, missed: 0, missed_total: 0 }
    }

    pub(crate) fn push(&mut self, event: Event<A>) {
        if self.queue.len() >= self.limit {
            self.queue.pop_front();
            self.missed += 1;
            self.missed_total += 1;
        }
        self.queue.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event<A>> {
        if self.missed > 0 {
            return Some(Event::Missed { count: core::mem::take(&mut self.missed) });
        }
        self.queue.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn missed_total(&self) -> u64 {
        self.missed_total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_give_way_and_the_loss_is_told_first() {
        let mut events = Events::<u8>::new(2);
        for acknowledged in 0..5 {
            events.push(Event::Left { acknowledged });
        }
        assert!(matches!(events.pop(), Some(Event::Missed { count: 3 })));
        assert!(matches!(events.pop(), Some(Event::Left { acknowledged: 3 })));
        assert!(matches!(events.pop(), Some(Event::Left { acknowledged: 4 })));
        assert!(events.pop().is_none());
        assert_eq!(events.missed_total(), 3);
    }
}
