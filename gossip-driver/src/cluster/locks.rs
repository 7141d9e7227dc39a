//! Locks at the handle.

use std::sync::Arc;

use gossip_core::{LockConfig, LockError};

use crate::command::{Command, Reply};
use crate::lock::LockCommand;
use crate::{Cluster, HoldError, Locks, OpenPoolError, Runtime};

impl<R: Runtime> Cluster<R> {
    /// Opens the pool of locks with this name, for as long as the node runs. The node must take part in the election that
    /// the settings name ([`enter_election`](Self::enter_election)).
    ///
    /// All members must use the same settings, but for the bounds: with others it is another pool, even under the same
    /// name. A pool that is open already with the same settings is the same one. Who has a vote remembers for all who
    /// holds what, so it takes as many members with a vote as [`LockConfig::replicas`] says until locks are granted.
    ///
    /// # Errors
    ///
    /// A setting or a name that is out of its range, an election that the node does not take part in, when the pool is open
    /// already with other settings or too many are, and when the node has left or stopped.
    pub async fn open_locks(&self, name: impl Into<String>, config: LockConfig) -> Result<Locks<R>, OpenPoolError> {
        let name = name.into();
        let pool = self.ask(|reply| Command::OpenLocks { name, config: Box::new(config), reply }).await?;
        let handle = &self.handle;
        Ok(Locks { cluster: self.downgrade(), runtime: handle.runtime.clone(), clock: handle.clock, pool })
    }

    /// Asks a pool that was opened.
    pub(crate) async fn ask_locks<T>(
        &self,
        pool: &Arc<str>,
        command: impl FnOnce(Reply<T, LockError>) -> LockCommand,
    ) -> Result<T, HoldError> {
        let pool = Arc::clone(pool);
        self.ask(|reply| Command::Lock { pool, command: command(reply) }).await
    }
}
