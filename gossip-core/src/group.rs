//! The live members whose metadata is as wanted, followed change by change.

mod criteria;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::event::Event;
use crate::identity::{Address, NodeId};
use crate::membership::{Member, MemberState};
use crate::node::Node;

pub use criteria::{Criteria, CriteriaProblem, ParseCriteriaError};

/// The live members that fit [`Criteria`], each with data of the application if it wants.
///
/// A member is in while it is alive or suspected and its metadata fits. The node itself counts like any other until it
/// leaves. A member that started again was out in between: what was known of its earlier life, data included, is void.
///
/// Nothing is looked for: the group is told of each row that may have changed, and work is done for that row alone.
/// Every method that changes the set returns what changed. A node's own events tell which rows those are:
///
/// ```
/// # use gossip_core::{Config, Epoch, Identity, Instant, NodeId, Node};
/// use gossip_core::{Criteria, Group, GroupChange};
///
/// # let identity = Identity::new(NodeId::from_u128(1), 1, Epoch::new(1_700_000_000_000, 0));
/// # let mut node = Node::new(identity, Config::lan("example"), [1; 32], Instant::ZERO).expect("a valid configuration");
/// let mut databases: Group<u32> = Group::of(Criteria::all().equals("role", "db"), node.members());
/// node.set_metadata(Instant::ZERO, "role", "db").expect("a short key");
/// while let Some(event) = node.poll_event() {
///     for change in databases.follow(&event, &node) {
///         assert!(matches!(change, GroupChange::Added(member) if member.id == node.id()));
///     }
/// }
/// assert!(databases.contains(node.id()));
/// ```
#[derive(Clone, Debug)]
pub struct Group<A, D = ()> {
    criteria: Criteria,
    entries: BTreeMap<NodeId, Entry<A, D>>,
}

#[derive(Clone, Debug)]
struct Entry<A, D> {
    member: Member<A>,
    data: Option<D>,
}

/// A change of a [`Group`].
#[derive(Clone, Debug, PartialEq)]
pub enum GroupChange<A, D = ()> {
    /// A member came in.
    Added(Member<A>),
    /// A member went out: it is no longer live, or does not fit any more, or started again. It is as it is now, or as
    /// it was last if it is not known any more, or started again.
    Removed(Member<A>, Option<D>),
    /// A member stayed in, with other metadata, other tags, or at another address. A suspicion is not told.
    Updated(Member<A>),
}

impl<A, D> GroupChange<A, D> {
    /// Who came, went, or changed.
    pub fn member(&self) -> &Member<A> {
        match self {
            Self::Added(member) | Self::Removed(member, _) | Self::Updated(member) => member,
        }
    }
}

impl<A: Clone + PartialEq, D> Group<A, D> {
    /// A group that was not yet told of anybody.
    pub const fn new(criteria: Criteria) -> Self {
        Self { criteria, entries: BTreeMap::new() }
    }

    /// The group that these members make.
    pub fn of<'a>(criteria: Criteria, members: impl IntoIterator<Item = &'a Member<A>>) -> Self
    where
        A: 'a,
    {
        let mut group = Self::new(criteria);
        for member in members {
            group.observe(member);
        }
        group
    }

    /// Takes in how a member is now. There are two changes if it started again, and at most one otherwise.
    pub fn observe(&mut self, member: &Member<A>) -> Vec<GroupChange<A, D>> {
        let fits = member.state.is_live() && self.criteria.matches(&member.metadata);
        let mut changes = Vec::new();
        match self.entries.get_mut(&member.id) {
            Some(entry) if entry.member.incarnation.epoch != member.incarnation.epoch => {
                changes.extend(self.take_out(member.id, |_| {}));
            }
            Some(entry) if fits => {
                let is_told = is_different(&entry.member, member);
                entry.member.clone_from(member);
                changes.extend(is_told.then(|| GroupChange::Updated(member.clone())));
                return changes;
            }
            Some(_) => changes.extend(self.take_out(member.id, |last| last.clone_from(member))),
            None => {}
        }
        if fits {
            self.entries.insert(member.id, Entry { member: member.clone(), data: None });
            changes.push(GroupChange::Added(member.clone()));
        }
        changes
    }

    /// Takes in that a member is not known any more.
    pub fn remove(&mut self, id: NodeId) -> Option<GroupChange<A, D>> {
        self.take_out(id, |last| last.state = MemberState::Removed)
    }

    fn take_out(&mut self, id: NodeId, amend: impl FnOnce(&mut Member<A>)) -> Option<GroupChange<A, D>> {
        let Entry { mut member, data } = self.entries.remove(&id)?;
        amend(&mut member);
        Some(GroupChange::Removed(member, data))
    }

    /// Compares with the whole table, for when changes may have been missed. The changes are ordered by id.
    pub fn resync<'a>(&mut self, members: impl IntoIterator<Item = &'a Member<A>>) -> Vec<GroupChange<A, D>>
    where
        A: 'a,
    {
        let mut gone: BTreeSet<NodeId> = self.entries.keys().copied().collect();
        let mut changes = Vec::new();
        for member in members {
            gone.remove(&member.id);
            changes.extend(self.observe(member));
        }
        changes.extend(gone.into_iter().filter_map(|id| self.remove(id)));
        // Stable, so that somebody who started again is out before it is in.
        changes.sort_by_key(|change| change.member().id);
        changes
    }

    /// Whether this member is in.
    pub fn contains(&self, id: NodeId) -> bool {
        self.entries.contains_key(&id)
    }

    /// The member with this id if it is in.
    pub fn member(&self, id: NodeId) -> Option<&Member<A>> {
        self.entries.get(&id).map(|entry| &entry.member)
    }

    /// The members, ordered by id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member<A>> {
        self.entries.values().map(|entry| &entry.member)
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the members fit.
    pub fn criteria(&self) -> &Criteria {
        &self.criteria
    }

    /// The data set for a member. It is kept while the member is in, and handed back when it goes.
    pub fn data(&self, id: NodeId) -> Option<&D> {
        self.entries.get(&id)?.data.as_ref()
    }

    /// The data set for a member, to be changed.
    pub fn data_mut(&mut self, id: NodeId) -> Option<&mut D> {
        self.entries.get_mut(&id)?.data.as_mut()
    }

    /// Sets the data of a member, and returns that which it replaces.
    ///
    /// # Errors
    ///
    /// The data, if the member is not in.
    pub fn set_data(&mut self, id: NodeId, data: D) -> Result<Option<D>, D> {
        match self.entries.get_mut(&id) {
            Some(entry) => Ok(entry.data.replace(data)),
            None => Err(data),
        }
    }

    /// Takes the data of a member away.
    pub fn take_data(&mut self, id: NodeId) -> Option<D> {
        self.entries.get_mut(&id)?.data.take()
    }
}

impl<A: Address, D> Group<A, D> {
    /// Takes in what an event of this node tells, by looking at the row as it is now.
    ///
    /// With every event handed in here after it was polled, the group is right whenever no event waits, with one
    /// exception: that this node leaves shows when [`Event::Left`] comes.
    pub fn follow(&mut self, event: &Event<A>, node: &Node<A>) -> Vec<GroupChange<A, D>> {
        let id = match event {
            Event::Member(change) => change.member.id,
            Event::Metadata { member, .. } => member.id,
            Event::Left { .. } => node.id(),
            Event::Missed { .. } => return self.resync(node.members()),
            _ => return Vec::new(),
        };
        match node.member(id) {
            Some(member) => self.observe(member),
            None => self.remove(id).into_iter().collect(),
        }
    }
}

/// Whether a member says something else of itself than before.
fn is_different<A: PartialEq>(before: &Member<A>, after: &Member<A>) -> bool {
    before.address != after.address || before.tags != after.tags || before.metadata != after.metadata
}

#[cfg(test)]
mod tests;
