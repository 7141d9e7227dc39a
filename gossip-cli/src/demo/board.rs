//! What every node has said of the others, kept from events.

use std::collections::HashMap;
use std::time::Instant;

use gossip_tokio::{Cluster, Event, Member, MemberState, NodeId, Value};

/// Something that a node told, and when it did.
#[derive(Debug)]
pub(crate) struct Sighting {
    /// Who told it: the place of a node in the fleet.
    pub(crate) node: usize,
    /// Which life of that node.
    pub(crate) life: u32,
    pub(crate) at: Instant,
    pub(crate) event: Event,
}

/// What one node believes of the others.
#[derive(Debug, Default)]
pub(crate) struct Views {
    members: HashMap<NodeId, Member>,
    /// When its view last changed.
    pub(crate) changed: Option<Instant>,
}

impl Views {
    /// Starts over with everything that the node knows now.
    pub(crate) fn reset(&mut self, cluster: &Cluster, at: Instant) {
        let snapshot = cluster.members();
        self.members = snapshot.all().iter().map(|member| (member.id, Member::clone(member))).collect();
        self.changed = Some(at);
    }

    /// Takes an event over.
    pub(crate) fn apply(&mut self, event: &Event, at: Instant) {
        let member = match event {
            Event::Member(change) => &change.member,
            Event::Metadata { member, .. } => member,
            _ => return,
        };
        self.changed = Some(at);
        if member.state == MemberState::Removed {
            self.members.remove(&member.id);
        } else {
            self.members.insert(member.id, member.clone());
        }
    }

    pub(crate) fn state_of(&self, id: NodeId) -> Option<MemberState> {
        self.members.get(&id).map(|member| member.state)
    }

    pub(crate) fn metadata_of(&self, id: NodeId, key: &str) -> Option<&Value> {
        self.members.get(&id)?.metadata.get(key)
    }

    /// How many members it believes to be in this state, itself included.
    pub(crate) fn count(&self, state: MemberState) -> usize {
        self.members.values().filter(|member| member.state == state).count()
    }
}
