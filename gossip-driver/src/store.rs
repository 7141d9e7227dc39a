//! Key-value stores as the application holds them.

mod file;
mod saves;
pub(crate) mod slots;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gossip_core::{Loaded, SnapshotError, StoreChange, StoreConfig, StoreEntry, StoreError, StoreVersion};

use crate::command::Reply;
use crate::subscribe::Notice;
use crate::{CommandError, Events, Runtime, StopReason, WeakCluster, WriteError};

use file::Aside;
pub use file::{LoadError, SaveError};
pub(crate) use saves::Saves;

/// A key-value store that this node has all of. From [`Cluster::open_store`](crate::Cluster::open_store); clones are
/// handles to the same store.
///
/// A write counts at this node when the call returns, and reaches the others by gossip, within a second or so; whoever
/// missed it catches up by comparison. Of two writes of one key, the one with the later [`StoreVersion`] counts, at all
/// members.
///
/// Every call is a question to the node's task, which answers without asking other nodes: what a call returns is how
/// things stand at this node, later than whatever the caller was told before. Handles do not keep the node running.
pub struct Store<R: Runtime> {
    pub(crate) cluster: WeakCluster<R>,
    pub(crate) opened: Arc<Opened>,
}

/// What is the same for all handles to a store.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) name: Arc<str>,
    pub(crate) config: StoreConfig,
    pub(crate) saves: Saves,
}

/// How much is in a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Keys with a value.
    pub keys: usize,
    /// Keys that [`StoreConfig::max_entries`] counts: those deleted lately too.
    pub entries: usize,
    /// Bytes of keys and values, which [`StoreConfig::max_bytes`] limits.
    pub bytes: usize,
    /// Equal for two nodes whose stores are the same.
    pub fingerprint: u64,
}

impl Notice for StoreChange {
    fn missed(count: u64) -> Self {
        Self::Missed { count }
    }

    fn missed_count(&self) -> Option<u64> {
        if let Self::Missed { count } = self { Some(*count) } else { None }
    }
}

/// What a handle asks of the node's task.
#[derive(Debug)]
pub(crate) enum StoreCommand {
    Find {
        key: String,
        reply: Reply<Option<StoreEntry>, Infallible>,
    },
    Scan {
        prefix: Arc<str>,
        after: Option<Arc<str>>,
        reply: Reply<Vec<StoreEntry>, Infallible>,
    },
    Write {
        key: String,
        value: Bytes,
        ttl: Option<Duration>,
        reply: Reply<StoreVersion, StoreError>,
    },
    Delete {
        key: String,
        reply: Reply<Option<StoreVersion>, StoreError>,
    },
    Watch {
        prefix: String,
        reply: Reply<Events<StoreChange>, Infallible>,
    },
    Count {
        reply: Reply<StoreStats, Infallible>,
    },
    /// `over`: the beginning of the file that the snapshot is to replace. It is numbered.
    Save {
        over: Option<Vec<u8>>,
        opened: Arc<Opened>,
        reply: Reply<(u64, Bytes), SnapshotError>,
    },
    Load {
        snapshot: Vec<u8>,
        reply: Reply<Loaded, SnapshotError>,
    },
}

/// Most entries that the node's task gives at once: other work goes on in between.
pub(crate) const PAGE: usize = 1_000;

impl<R: Runtime> Store<R> {
    /// What the store is called.
    pub fn name(&self) -> &str {
        &self.opened.name
    }

    /// Its settings.
    pub fn config(&self) -> &StoreConfig {
        &self.opened.config
    }

    /// What is in a key, with the version of its write.
    ///
    /// # Errors
    ///
    /// Why the node has stopped.
    pub async fn get(&self, key: impl Into<String>) -> Result<Option<StoreEntry>, StopReason> {
        let key = key.into();
        self.look(|reply| StoreCommand::Find { key, reply }).await
    }

    /// Writes a key. It stays until it is written again or deleted.
    ///
    /// # Errors
    ///
    /// A key or a value over the limits of [`config`](Self::config), a store that is full or whose clock is too far
    /// ahead, and when the node has left or stopped. Nothing was written.
    pub async fn set(&self, key: impl Into<String>, value: impl Into<Bytes>) -> Result<StoreVersion, WriteError> {
        self.write(key.into(), value.into(), None).await
    }

    /// Writes a key that ends by itself after `ttl`, at all members; 1 ms to 3,650 days.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set), and a `ttl` out of its range.
    pub async fn set_with_ttl(
        &self,
        key: impl Into<String>,
        value: impl Into<Bytes>,
        ttl: Duration,
    ) -> Result<StoreVersion, WriteError> {
        self.write(key.into(), value.into(), Some(ttl)).await
    }

    async fn write(&self, key: String, value: Bytes, ttl: Option<Duration>) -> Result<StoreVersion, WriteError> {
        self.ask(|reply| StoreCommand::Write { key, value, ttl, reply }).await
    }

    /// Deletes a key; `None` if there was nothing in it.
    ///
    /// # Errors
    ///
    /// When the store's clock is too far ahead, and when the node has left or stopped. Nothing was deleted.
    pub async fn delete(&self, key: impl Into<String>) -> Result<Option<StoreVersion>, WriteError> {
        let key = key.into();
        self.ask(|reply| StoreCommand::Delete { key, reply }).await
    }

    /// What is in the keys that begin with `prefix`, in order; all of them if it is empty.
    ///
    /// Each is as it was at some moment during the call. Many are asked for in parts, between which the node does
    /// other things.
    ///
    /// # Errors
    ///
    /// Why the node has stopped.
    pub async fn scan(&self, prefix: impl AsRef<str>) -> Result<Vec<StoreEntry>, StopReason> {
        let prefix: Arc<str> = Arc::from(prefix.as_ref());
        let mut entries: Vec<StoreEntry> = Vec::new();
        loop {
            let (prefix, after) = (Arc::clone(&prefix), entries.last().map(|last| Arc::clone(&last.key)));
            let page = self.look(|reply| StoreCommand::Scan { prefix, after, reply }).await?;
            let is_last = page.len() < PAGE;
            entries.extend(page);
            if is_last {
                return Ok(entries);
            }
        }
    }

    /// Changes, from now on, of the keys that begin with `prefix`, whoever made them; of all keys if it is empty.
    ///
    /// A bounded number waits for a slow reader: as many as [`Config::event_queue`](crate::Config) says. Beyond it the
    /// oldest are dropped, and a [`StoreChange::Missed`] says how many. To know all keys and miss no change, watch
    /// first and then [`scan`](Self::scan). The stream ends when the node stops.
    ///
    /// # Errors
    ///
    /// Why the node has stopped.
    pub async fn watch(&self, prefix: impl Into<String>) -> Result<Events<StoreChange>, StopReason> {
        let prefix = prefix.into();
        self.look(|reply| StoreCommand::Watch { prefix, reply }).await
    }

    /// How much is in it.
    ///
    /// # Errors
    ///
    /// Why the node has stopped.
    pub async fn stats(&self) -> Result<StoreStats, StopReason> {
        self.look(|reply| StoreCommand::Count { reply }).await
    }

    /// Writes all of it, deletions too, to a file that [`load`](Self::load) reads after a restart; its size in bytes.
    ///
    /// The file is written beside `path`, brought to the disk, and put in the place of the earlier one at once: after a
    /// crash there is the one or the other. Only its owner can read it. The node stands still while the store is copied
    /// in memory; the disk is waited for by another thread, which goes on if the call is given up. Calls that save to
    /// one path at the same time, one that was given up too, leave the latest state there.
    ///
    /// Save now and then even if nothing changes. The file says which writes only this node had when it was saved: after
    /// a restart from an old one they count as news, and are given to all, though others have had and deleted them since.
    ///
    /// # Errors
    ///
    /// At `path` is something else than a snapshot of this store, the file cannot be written, or the node has stopped.
    pub async fn save(&self, path: impl Into<PathBuf>) -> Result<u64, SaveError> {
        let path: Arc<Path> = path.into().into();
        let place = self.opened.saves.place(&path);
        let over = file::aside(&path, file::head).await.map_err(|error| SaveError::write(&path, error))?;
        let opened = Arc::clone(&self.opened);
        let made = self.ask(|reply| StoreCommand::Save { over, opened, reply }).await;
        let (number, snapshot) = made.map_err(|error| match error {
            CommandError::Refused(error) => SaveError::Taken { path: path.to_path_buf(), error },
            CommandError::Stopped(reason) => SaveError::Stopped(reason),
        })?;
        let size = snapshot.len() as u64;
        let write = move |path: &Path| place.write(number, || file::replace(path, &snapshot));
        let written = file::aside(&path, write).await;
        written.map_err(|error| SaveError::write(&path, error))?;
        Ok(size)
    }

    /// Takes what a file of [`save`](Self::save) holds and this node lacks; `None` if there is no file.
    ///
    /// Load it right after opening the store, before the node joins or early: a node that was away for longer than
    /// [`StoreConfig::keep`] then learns what was deleted meanwhile. The node stands still for as long as it takes to
    /// put the keys in their places; the disk is waited for by another thread.
    ///
    /// What was [`refused`](Loaded::refused) is in the file alone, and a save to the same path ends it:
    /// [`set_aside`](Self::set_aside) keeps such a file.
    ///
    /// # Errors
    ///
    /// Nothing was taken. A file that was cut or damaged is renamed, with `.damaged` after its name, so that the next
    /// [`save`](Self::save) does not replace it; one of another store or another version stays where it is.
    pub async fn load(&self, path: impl Into<PathBuf>) -> Result<Option<Loaded>, LoadError> {
        let path: Arc<Path> = path.into().into();
        let read = file::aside(&path, file::read).await.map_err(|error| LoadError::read(&path, error))?;
        let Some(snapshot) = read else { return Ok(None) };
        let is_torn = file::is_torn(&snapshot);
        let error = match self.ask(|reply| StoreCommand::Load { snapshot, reply }).await {
            Ok(loaded) => return Ok(Some(loaded)),
            Err(CommandError::Refused(error)) => error,
            Err(CommandError::Stopped(reason)) => return Err(LoadError::Stopped(reason)),
        };
        let is_damaged = match error {
            SnapshotError::NotOne => is_torn,
            SnapshotError::Format { .. } | SnapshotError::OtherStore => false,
            _ => true,
        };
        if !is_damaged {
            return Err(LoadError::Unusable { path: path.to_path_buf(), error });
        }
        let moved = file::aside(&path, |path| file::set_aside(path, Aside::Damaged)).await;
        Err(LoadError::Damaged { path: path.to_path_buf(), error, moved })
    }

    /// Renames a file of which [`load`](Self::load) took only a part, with `.refused` after its name, so that the next
    /// [`save`](Self::save) does not replace it; its name from now on.
    ///
    /// # Errors
    ///
    /// It cannot be renamed, or so many were set aside that somebody should look at them. The file is where it was.
    pub async fn set_aside(&self, path: impl Into<PathBuf>) -> io::Result<PathBuf> {
        let path: Arc<Path> = path.into().into();
        file::aside(&path, |path| file::set_aside(path, Aside::Refused)).await
    }

    /// A question that is never refused.
    async fn look<T>(&self, command: impl FnOnce(Reply<T, Infallible>) -> StoreCommand) -> Result<T, StopReason> {
        match self.ask(command).await {
            Ok(answer) => Ok(answer),
            Err(CommandError::Refused(never)) => match never {},
            Err(CommandError::Stopped(reason)) => Err(reason),
        }
    }

    async fn ask<T, E>(&self, command: impl FnOnce(Reply<T, E>) -> StoreCommand) -> Result<T, CommandError<E>> {
        match self.cluster.upgrade() {
            Some(cluster) => cluster.ask_store(&self.opened.name, command).await,
            None => Err(CommandError::Stopped(StopReason::Dropped)),
        }
    }
}

impl<R: Runtime> Clone for Store<R> {
    fn clone(&self) -> Self {
        Self { cluster: self.cluster.clone(), opened: Arc::clone(&self.opened) }
    }
}

impl<R: Runtime> fmt::Debug for Store<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("name", &self.name()).finish_non_exhaustive()
    }
}
