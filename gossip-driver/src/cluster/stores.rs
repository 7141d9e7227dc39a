//! Key-value stores at the handle.

use std::sync::Arc;

use gossip_core::StoreConfig;

use crate::command::{Command, Reply};
use crate::store::StoreCommand;
use crate::{Cluster, CommandError, OpenStoreError, Runtime, Store};

impl<R: Runtime> Cluster<R> {
    /// Opens the key-value store with this name, for as long as the node runs. All members that open it have all of it.
    ///
    /// All members must use the same [`StoreConfig::keep`]: with another it is another store, even under the same name.
    /// A store that is open already with the same settings is the same one.
    ///
    /// # Errors
    ///
    /// A setting or a name that is out of its range, when the store is open already with other settings or too many
    /// are, and when the node has left or stopped.
    pub async fn open_store(&self, name: impl Into<String>, config: StoreConfig) -> Result<Store<R>, OpenStoreError> {
        let name = name.into();
        let opened = self.ask(|reply| Command::OpenStore { name, config: Box::new(config), reply }).await?;
        Ok(Store { cluster: self.downgrade(), opened })
    }

    /// Asks a store that was opened.
    pub(crate) async fn ask_store<T, E>(
        &self,
        name: &Arc<str>,
        command: impl FnOnce(Reply<T, E>) -> StoreCommand,
    ) -> Result<T, CommandError<E>> {
        let name = Arc::clone(name);
        self.ask(|reply| Command::Store { name, command: command(reply) }).await
    }
}
