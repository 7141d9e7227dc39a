//! Which groups there are, and how they hear of changes of the member table.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use gossip_core::NodeId;
use tracing::error;

use crate::{Event, Snapshot};

/// A set of members that is kept up by looking at rows that changed.
pub(crate) trait Follower: Send + Sync {
    /// The row of this member may have changed.
    fn look_at(&self, id: NodeId, table: &Snapshot);
    /// Any row may have changed.
    fn look_at_all(&self, table: &Snapshot);
    /// Nothing will change any more.
    fn close(&self);
    /// Compares with the whole table.
    #[cfg(debug_assertions)]
    fn check(&self, table: &Snapshot);
}

/// The groups of a node.
#[derive(Default)]
pub(crate) struct Groups(Mutex<List>);

#[derive(Default)]
struct List {
    /// Replaced as a whole, so that nothing of a group runs under the lock.
    followers: Arc<[Entry]>,
    last_number: u64,
    closed: bool,
}

#[derive(Clone)]
struct Entry {
    number: u64,
    follower: Arc<dyn Follower>,
}

impl Groups {
    /// Adds a group; its number.
    pub(crate) fn add(&self, follower: Arc<dyn Follower>) -> u64 {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.last_number += 1;
        let number = list.last_number;
        if list.closed {
            follower.close();
        } else {
            let entry = Entry { number, follower };
            list.followers = list.followers.iter().cloned().chain([entry]).collect();
        }
        number
    }

    /// Ends a group.
    pub(crate) fn remove(&self, number: u64) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = list.followers.iter().filter(|entry| entry.number != number).cloned().collect();
        let before = std::mem::replace(&mut list.followers, rest);
        drop(list);
        drop(before);
    }

    /// Takes in an event of the node, by looking at the table, which is at least as new.
    ///
    /// A row that concerns a group never changes without an event, but for the node's own.
    pub(crate) fn follow(&self, event: &Event, table: &Snapshot) {
        match event {
            Event::Member(change) => self.look_at(change.member.id, table),
            Event::Metadata { member, .. } => self.look_at(member.id, table),
            Event::Missed { .. } => self.each(|follower| follower.look_at_all(table)),
            _ => {}
        }
    }

    /// The row of this member may have changed.
    pub(crate) fn look_at(&self, id: NodeId, table: &Snapshot) {
        self.each(|follower| follower.look_at(id, table));
    }

    /// Ends the streams of all groups, and of those to come.
    pub(crate) fn close(&self) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.closed = true;
        let before = std::mem::take(&mut list.followers);
        drop(list);
        before.iter().for_each(|entry| entry.follower.close());
    }

    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, table: &Snapshot) {
        const SMALL: usize = 64;
        if table.all().len() <= SMALL {
            self.each(|follower| follower.check(table));
        }
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).followers.len()
    }

    fn each(&self, tell: impl Fn(&dyn Follower)) {
        let followers = Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner).followers);
        for entry in followers.iter() {
            tell(&*entry.follower);
        }
        // Its handles may be gone meanwhile.
        let_go(followers);
    }
}

/// Drops what may hold data of the application, whose own code runs then: outside of locks, and it may panic.
pub(crate) fn let_go<T>(data: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(data))).is_err() {
        error!("data of a group panicked when it was dropped");
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Groups").field("count", &list.followers.len()).finish_non_exhaustive()
    }
}
