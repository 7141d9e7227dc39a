//! Elections at the handle.

use std::sync::Arc;

use gossip_core::{ElectionConfig, ElectionStatus};

use crate::command::Command;
use crate::{Cluster, CommandError, Election, EnterElectionError, Runtime, StopReason};

impl<R: Runtime> Cluster<R> {
    /// Takes part in the election with this name, from now on for as long as the node runs.
    ///
    /// All members must use the same settings: with others it is another election, even under the same name. For the
    /// length of a lease the node does not vote, because it may have promised something before it was started.
    ///
    /// # Errors
    ///
    /// A setting or a name that is out of its range, when the node takes part already or in too many elections, and when
    /// it has left or stopped.
    pub async fn enter_election(
        &self,
        name: impl Into<String>,
        config: ElectionConfig,
    ) -> Result<Election<R>, EnterElectionError> {
        let name = name.into();
        let seat = self.ask(|reply| Command::EnterElection { name, config: Box::new(config), reply }).await?;
        let handle = &self.handle;
        Ok(Election {
            cluster: self.downgrade(),
            runtime: handle.runtime.clone(),
            clock: handle.clock,
            callbacks: Arc::clone(&handle.callbacks),
            seat,
        })
    }

    /// How an election stands that this node takes part in.
    pub(crate) async fn election_status(&self, name: &Arc<str>) -> Result<ElectionStatus, StopReason> {
        let name = Arc::clone(name);
        match self.ask(|reply| Command::ElectionStatus { name, reply }).await {
            Ok(status) => Ok(status),
            Err(CommandError::Refused(never)) => match never {},
            Err(CommandError::Stopped(reason)) => Err(reason),
        }
    }
}
