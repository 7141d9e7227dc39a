//! Groups as the application holds them: the live members whose metadata fits, kept up by the node's task.

mod followers;
mod set;

use std::fmt;
use std::sync::Arc;

use gossip_core::NodeId;

use crate::callback::Callbacks;
use crate::shared::Shared;
use crate::subscribe::Notice;
use crate::{CallbackId, Criteria, Events, Member, NodeAddress, Runtime};

pub(crate) use followers::Groups;
use set::Set;

/// The live members whose metadata fits [`Criteria`], each with data of the application if it wants. Made by
/// [`Cluster::group`](crate::Cluster::group) and [`Cluster::group_with`](crate::Cluster::group_with); clones are handles
/// to the same group.
///
/// A member is in while it is alive or suspected and its metadata fits. This node counts like any other until it leaves.
/// A member that started again was out in between: what was known of its earlier life, data included, is void.
///
/// The set is right at every moment whether events are read or not: it is changed before
/// [`Cluster::events`](crate::Cluster::events) tells of what changed it, and a change of own metadata shows when the call
/// that made it returns. Reading it takes a lock that is never held for long.
///
/// When the last handle is dropped, streams end, callbacks are called no more, and nothing of the group is left.
#[must_use = "a group ends when it is dropped"]
pub struct Group<R: Runtime, D = ()> {
    handle: Arc<Handle<R, D>>,
}

/// What all handles share. The group ends with it.
struct Handle<R, D> {
    runtime: R,
    shared: Arc<Shared>,
    callbacks: Arc<Callbacks>,
    set: Arc<Set<D>>,
    number: u64,
}

impl<R, D> Drop for Handle<R, D> {
    fn drop(&mut self) {
        self.shared.groups.remove(self.number);
        self.set.subscribers.close();
    }
}

/// A change of a [`Group`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum GroupEvent {
    /// A member came in.
    Added(Member),
    /// A member went out: it is no longer live, or does not fit any more, or started again. It is as it is now, or as
    /// it was last if it is not known any more, or started again.
    Removed(Member),
    /// A member stayed in, with other metadata, other tags, or at another address. A suspicion is not told.
    Updated(Member),
    /// Events were dropped because they were not read in time. The group itself missed nothing: read its members anew,
    /// or [`watch`](Group::watch) it anew to know exactly which of the events to come they include.
    Missed {
        /// How many since the last event.
        count: u64,
    },
}

impl Notice for GroupEvent {
    fn missed(count: u64) -> Self {
        Self::Missed { count }
    }

    fn missed_count(&self) -> Option<u64> {
        if let Self::Missed { count } = self { Some(*count) } else { None }
    }
}

impl<R: Runtime, D: Send + Sync + 'static> Group<R, D> {
    pub(crate) fn new(runtime: R, shared: &Arc<Shared>, callbacks: &Arc<Callbacks>, criteria: Criteria) -> Self {
        let (set, number) = Set::start(criteria, shared);
        let (shared, callbacks) = (Arc::clone(shared), Arc::clone(callbacks));
        Self { handle: Arc::new(Handle { runtime, shared, callbacks, set, number }) }
    }

    /// What the members fit.
    pub fn criteria(&self) -> Criteria {
        self.handle.set.read(|group| group.criteria().clone())
    }

    /// The members as they are now, ordered by id. It is a picture: call again to see changes.
    pub fn members(&self) -> Arc<[Member]> {
        self.handle.set.members()
    }

    /// Ids of the members besides this node, in order: whom to send to, or to ask by
    /// [`Audience::Nodes`](crate::Audience::Nodes).
    pub fn others(&self) -> Vec<NodeId> {
        let myself = self.handle.shared.snapshot.load().local_id();
        self.members().iter().map(|member| member.id).filter(|&id| id != myself).collect()
    }

    /// The member with this id if it is in.
    pub fn member(&self, id: NodeId) -> Option<Member> {
        self.handle.set.read(|group| group.member(id).cloned())
    }

    /// Whether this member is in.
    pub fn contains(&self, id: NodeId) -> bool {
        self.handle.set.read(|group| group.contains(id))
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.handle.set.read(gossip_core::Group::len)
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes from now on.
    pub fn events(&self) -> Events<GroupEvent> {
        self.handle.set.subscribers.add().1
    }

    /// The members, and exactly the changes that follow on them.
    pub fn watch(&self) -> (Arc<[Member]>, Events<GroupEvent>) {
        self.handle.set.watch()
    }

    /// Calls a function for each change from now on, as [`Cluster::on_event`](crate::Cluster::on_event) does.
    ///
    /// The function must not own a handle to the group, which would keep the group.
    pub fn on_change(&self, mut call: impl FnMut(&GroupEvent) + Send + 'static) -> CallbackId {
        let Handle { runtime, callbacks, set, .. } = &*self.handle;
        callbacks.spawn(runtime, &set.subscribers, move |event| call(event))
    }

    /// Removes a callback; whether there was one. It is not called for further events; a call under way is finished.
    pub fn remove_callback(&self, id: CallbackId) -> bool {
        self.handle.set.subscribers.remove(id)
    }

    /// The data set for a member. It is kept while the member is in.
    pub fn data(&self, id: NodeId) -> Option<Arc<D>> {
        self.handle.set.read(|group| group.data(id).cloned())
    }

    /// Sets the data of a member, and returns that which it replaces.
    ///
    /// # Errors
    ///
    /// The data, if the member is not in.
    pub fn set_data(&self, id: NodeId, data: D) -> Result<Option<Arc<D>>, D> {
        self.handle.set.set_data(id, data)
    }

    /// Takes the data of a member away.
    pub fn take_data(&self, id: NodeId) -> Option<Arc<D>> {
        self.handle.set.take_data(id)
    }
}

impl<R: Runtime, D> Clone for Group<R, D> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<R: Runtime, D> fmt::Debug for Group<R, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (criteria, members) = self.handle.set.read(|group: &gossip_core::Group<NodeAddress, Arc<D>>| {
            (group.criteria().to_string(), group.members().map(|member| member.id).collect::<Vec<_>>())
        });
        f.debug_struct("Group").field("criteria", &criteria).field("members", &members).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
