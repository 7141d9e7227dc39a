//! The file that keeps the key-value store over restarts of the agent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gossip_tokio::{LoadError, SaveError, Store};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::exit::Failure;

/// What was written before the last moments, so long, is in the file if something changed.
const INTERVAL: Duration = Duration::from_secs(5);

/// Saving a large store takes at most one part in so many of the time.
const SHARE: u32 = 20;

/// A store and its file.
pub(super) struct Kept {
    store: Store,
    path: PathBuf,
    /// What the store was like when it was saved last.
    saved: Option<u64>,
    /// The last attempt failed, and somebody was told of it.
    has_failed: bool,
}

impl Kept {
    /// Takes over what the file has, if it is there.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is something else, or is damaged or of no use in part and cannot be moved aside:
    /// nothing is overwritten.
    pub(super) async fn open(store: Store, path: PathBuf) -> Result<Self, Failure> {
        let failed = |error: &LoadError| format!("--kv-file, or kv_file in the configuration file: {error}");
        match store.load(&path).await {
            Ok(Some(loaded)) => {
                info!(
                    file = %path.display(), taken = loaded.taken, refused = loaded.refused,
                    "took over the key-value store of the last run"
                );
                if loaded.refused > 0 {
                    set_aside(&store, &path, loaded.refused).await?;
                }
            }
            Ok(None) => info!(file = %path.display(), "there is no file of the key-value store yet"),
            Err(error @ LoadError::Damaged { moved: Ok(_), .. }) => {
                warn!(%error, "begins with an empty key-value store, which others may fill");
            }
            Err(error @ LoadError::Unusable { .. }) => return Err(Failure::Usage(failed(&error))),
            Err(error) => return Err(Failure::Failed(failed(&error))),
        }
        let mut kept = Self { store, path, saved: None, has_failed: false };
        // Whoever cannot write is told now, and not after the first crash.
        kept.write().await.map_err(|error| Failure::Failed(format!("--kv-file: {error}")))?;
        Ok(kept)
    }

    /// Saves what changes, as long as it is polled.
    pub(super) async fn keep(&mut self) {
        let mut pause = INTERVAL;
        loop {
            sleep(pause).await;
            let began = Instant::now();
            self.save().await;
            pause = INTERVAL.max(began.elapsed() * SHARE);
        }
    }

    /// Brings the file up to date, and says in the log if that cannot be done.
    pub(super) async fn save(&mut self) {
        match self.write().await {
            Ok(()) if self.has_failed => {
                self.has_failed = false;
                info!(file = %self.path.display(), "the key-value store is saved again");
            }
            // The node has stopped: what it had is as it was saved last.
            Ok(()) | Err(SaveError::Stopped(_)) => {}
            Err(error) if !self.has_failed => {
                self.has_failed = true;
                warn!(%error, "the key-value store is not saved; this is tried again and again");
            }
            Err(_) => {}
        }
    }

    async fn write(&mut self) -> Result<(), SaveError> {
        let fingerprint = self.store.stats().await.map_err(SaveError::Stopped)?.fingerprint;
        if self.saved != Some(fingerprint) {
            self.store.save(&self.path).await?;
            self.saved = Some(fingerprint);
        }
        Ok(())
    }
}

/// Keeps a file that has what the store did not take.
async fn set_aside(store: &Store, path: &Path, refused: usize) -> Result<(), Failure> {
    let limits = store.config();
    let moved = store.set_aside(path).await.map_err(|error| {
        let path = path.display();
        Failure::Failed(format!(
            "--kv-file: {refused} keys in {path} were not taken, and would be lost when it is saved; it cannot be moved \
             aside: {error}"
        ))
    })?;
    warn!(
        refused, file = %path.display(), moved = %moved.display(),
        "not all of the key-value store of the last run was taken, and its file was moved aside: what was refused is \
         written more than {} ahead of this machine's clock, which may be behind, or is over a limit (keys of {} bytes, \
         values of {}, {} keys, {} bytes in all). To have it back, stop the agent, put right what is wrong, and move \
         the file back",
        humantime::format_duration(limits.max_ahead), limits.max_key, limits.max_value, limits.max_entries,
        limits.max_bytes,
    );
    Ok(())
}
