//! The set of one group, which the node's task changes and handles read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gossip_core::{Group, GroupChange, NodeId};

use crate::group::GroupEvent;
use crate::group::followers::{Follower, let_go};
use crate::shared::Shared;
use crate::subscribe::Subscribers;
use crate::{Criteria, Events, Member, NodeAddress, Snapshot};

type Changes<D> = Vec<GroupChange<NodeAddress, Arc<D>>>;

/// A set with its readers.
pub(crate) struct Set<D> {
    state: Mutex<State<D>>,
    pub(crate) subscribers: Arc<Subscribers<GroupEvent>>,
}

struct State<D> {
    group: Group<NodeAddress, Arc<D>>,
    /// The members as they were shown last; `None` once they changed.
    picture: Option<Arc<[Member]>>,
}

impl<D> State<D> {
    fn members(&mut self) -> Arc<[Member]> {
        let Self { group, picture } = self;
        Arc::clone(picture.get_or_insert_with(|| group.members().cloned().collect()))
    }
}

impl<D: Send + Sync + 'static> Set<D> {
    /// The set as it is now, kept up from now on; and the number by which that is ended.
    pub(crate) fn start(criteria: Criteria, shared: &Shared) -> (Arc<Self>, u64) {
        Self::start_from(criteria, shared, || shared.snapshot.load_full())
    }

    fn start_from(criteria: Criteria, shared: &Shared, table: impl FnOnce() -> Arc<Snapshot>) -> (Arc<Self>, u64) {
        let state = State { group: Group::new(criteria), picture: None };
        let subscribers = Arc::new(shared.subscribers.alike());
        let set = Arc::new(Self { state: Mutex::new(state), subscribers });
        // Held until the set is filled. The node's task shows a table before it asks who follows: either it asks later,
        // finds this set and waits here with its news, or it asked before, and the table that is read here is that new.
        let mut filled = set.lock();
        let follower: Arc<dyn Follower> = Arc::<Self>::clone(&set);
        let number = shared.groups.add(follower);
        filled.group.resync(table().all().iter().map(Arc::as_ref));
        drop(filled);
        (set, number)
    }

    pub(crate) fn members(&self) -> Arc<[Member]> {
        self.lock().members()
    }

    pub(crate) fn watch(&self) -> (Arc<[Member]>, Events<GroupEvent>) {
        let mut state = self.lock();
        (state.members(), self.subscribers.add().1)
    }

    pub(crate) fn set_data(&self, id: NodeId, data: D) -> Result<Option<Arc<D>>, D> {
        let mut state = self.lock();
        if !state.group.contains(id) {
            return Err(data);
        }
        Ok(state.group.set_data(id, Arc::new(data)).unwrap_or_default())
    }

    pub(crate) fn take_data(&self, id: NodeId) -> Option<Arc<D>> {
        self.lock().group.take_data(id)
    }

    /// Changes the set and tells of it.
    fn change(&self, change: impl FnOnce(&mut State<D>) -> Changes<D>) {
        let mut state = self.lock();
        let changes = change(&mut state);
        // Under the lock, so that who subscribes is told exactly what follows on what it read.
        for change in &changes {
            self.subscribers.publish(&GroupEvent::from(change));
        }
        drop(state);
        let_go(changes);
    }
}

impl<D> Set<D> {
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Group<NodeAddress, Arc<D>>) -> T) -> T {
        read(&self.lock().group)
    }

    fn lock(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Send + Sync + 'static> Follower for Set<D> {
    fn look_at(&self, id: NodeId, table: &Snapshot) {
        self.change(|State { group, picture }| {
            let was_in = group.contains(id);
            let changes = match table.member(id) {
                Some(member) => group.observe(member),
                None => group.remove(id).into_iter().collect(),
            };
            if was_in || !changes.is_empty() {
                *picture = None;
            }
            changes
        });
    }

    fn look_at_all(&self, table: &Snapshot) {
        self.change(|State { group, picture }| {
            *picture = None;
            group.resync(table.all().iter().map(Arc::as_ref))
        });
    }

    fn close(&self) {
        self.subscribers.close();
    }

    #[cfg(debug_assertions)]
    fn check(&self, table: &Snapshot) {
        let state = self.lock();
        let criteria = state.group.criteria();
        let fits = table.live().filter(|member| criteria.matches(&member.metadata));
        debug_assert!(state.group.members().eq(fits.map(Arc::as_ref)), "the group follows the table");
        let is_picture_new = state.picture.as_ref().is_none_or(|picture| state.group.members().eq(picture.iter()));
        debug_assert!(is_picture_new, "the picture follows the group");
    }
}

impl<D> From<&GroupChange<NodeAddress, D>> for GroupEvent {
    fn from(change: &GroupChange<NodeAddress, D>) -> Self {
        match change {
            GroupChange::Added(member) => Self::Added(member.clone()),
            GroupChange::Removed(member, _) => Self::Removed(member.clone()),
            GroupChange::Updated(member) => Self::Updated(member.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use gossip_core::{Config, Epoch, Identity, Instant, Node};

    use super::*;
    use crate::Event;

    #[test]
    fn what_changes_while_a_group_is_made_is_in_it() {
        for published_first in [true, false] {
            let address = NodeAddress::Socket(([127, 0, 0, 1], 1).into());
            let identity = Identity::new(NodeId::from_u128(1), address, Epoch::new(1, 0));
            let mut node = Node::new(identity, Config::local("x"), [1; 32], Instant::ZERO).unwrap();
            let (shared, _running) = Shared::new(&node, &crate::Config::lan("test"));
            node.set_metadata(Instant::ZERO, "role", "db").unwrap();
            let event: Event = node.poll_event().unwrap();
            let next = Arc::new(Snapshot::of(&node));
            let (told, heard) = mpsc::channel();
            let publish = || {
                shared.snapshot.store(Arc::clone(&next));
                told.send(()).unwrap();
                shared.groups.follow(&event, &next);
            };
            let set = thread::scope(|scope| {
                let read = || {
                    assert_eq!(shared.groups.count(), 1, "the news that are published from now on come to the group");
                    let before = shared.snapshot.load_full();
                    let task = scope.spawn(publish);
                    if published_first {
                        heard.recv().unwrap();
                    }
                    assert!(!task.is_finished(), "it waits until the group has its first members");
                    before
                };
                Set::<()>::start_from(Criteria::all().any("role"), &shared, read).0
            });
            assert!(set.read(|group| group.contains(node.id())));
        }
    }
}
