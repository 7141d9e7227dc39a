//! Groups at the handle.

use gossip_core::{MessageType, NodeId, Reliability};

use crate::{Cluster, Criteria, Encode, Group, Runtime, SendError};

impl<R: Runtime> Cluster<R> {
    /// The live members whose metadata fits these criteria, from now on.
    ///
    /// It is followed as long as there is a handle to it, at a cost that depends on what changes and not on the number of
    /// members. It does not keep the node running, and stays as it is when the node stops.
    pub fn group(&self, criteria: Criteria) -> Group<R> {
        self.group_with(criteria)
    }

    /// A [`group`](Self::group) with data of the application for each member; see [`Group::set_data`].
    pub fn group_with<D: Send + Sync + 'static>(&self, criteria: Criteria) -> Group<R, D> {
        let handle = &self.handle;
        Group::new(handle.runtime.clone(), &handle.shared, &handle.callbacks, criteria)
    }

    /// Sends a message to each member that is in a group now, but not to this node; how it went. The body is written
    /// once.
    ///
    /// # Errors
    ///
    /// For each as with [`send_to`](Self::send_to).
    pub async fn send_to_group<D: Send + Sync + 'static>(
        &self,
        group: &Group<R, D>,
        kind: MessageType,
        body: impl Encode,
        reliability: Reliability,
    ) -> Vec<(NodeId, Result<(), SendError>)> {
        self.send_to(&group.others(), kind, body, reliability).await
    }
}
