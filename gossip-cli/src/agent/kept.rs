//! The file that keeps the key-value store over restarts of the agent.
//!
//! It is written soon after a change. It also has which keys other members know of, and when the store was compared
//! with theirs: by that a restarted node tells its own news from what was deleted while it was away, and this changes
//! without a change of any key. So the file is written once more when the last change has had time to get around, and
//! now and then in any case.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gossip_tokio::{LoadError, SaveError, Store};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::exit::Failure;

/// What was written before the last moments, so long, is in the file if something changed.
const INTERVAL: Duration = Duration::from_secs(5);

/// After so long a change is known to others, if there are any.
const AROUND: Duration = Duration::from_mins(1);

/// The file is never older than this, as long as it can be written.
const OLDEST: Duration = Duration::from_mins(10);

/// Saving a large store takes at most one part in so many of the time.
const SHARE: u32 = 20;

/// A store and its file.
pub(super) struct Kept {
    store: Store,
    path: PathBuf,
    saved: Option<Saved>,
    /// The last attempt failed, and somebody was told of it.
    has_failed: bool,
}

/// What was saved last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Saved {
    at: Instant,
    /// What the keys were like.
    fingerprint: u64,
    /// When a change of them was seen last.
    changed: Instant,
}

impl Saved {
    fn is_due(&self, now: Instant, fingerprint: u64) -> bool {
        let around = self.changed + AROUND;
        self.fingerprint != fingerprint || (self.at < around && now >= around) || now >= self.at + OLDEST
    }

    fn next(before: Option<Self>, now: Instant, fingerprint: u64) -> Self {
        let same = before.filter(|saved| saved.fingerprint == fingerprint);
        Self { at: now, fingerprint, changed: same.map_or(now, |saved| saved.changed) }
    }
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
        kept.write(true).await.map_err(|error| Failure::Failed(format!("--kv-file: {error}")))?;
        Ok(kept)
    }

    /// Saves the store when that is due, as long as it is polled.
    pub(super) async fn keep(&mut self) {
        let mut pause = INTERVAL;
        loop {
            sleep(pause).await;
            let began = Instant::now();
            let outcome = self.write(false).await;
            self.tell(outcome);
            pause = INTERVAL.max(began.elapsed() * SHARE);
        }
    }

    /// Saves the store before a proper stop, and says in the log if that cannot be done.
    pub(super) async fn save(&mut self) {
        let outcome = self.write(true).await;
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Result<(), SaveError>) {
        match outcome {
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

    /// Saves the store, if that is due or `anyway`.
    async fn write(&mut self, anyway: bool) -> Result<(), SaveError> {
        // Asked for before the file is written: what changes in between is saved again.
        let fingerprint = self.store.stats().await.map_err(SaveError::Stopped)?.fingerprint;
        let now = Instant::now();
        if anyway || self.saved.is_none_or(|saved| saved.is_due(now, fingerprint)) {
            self.store.save(&self.path).await?;
            self.saved = Some(Saved::next(self.saved, now, fingerprint));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_saved_after_a_change_once_more_later_and_now_and_then() {
        let start = Instant::now();
        let mut saved = Saved::next(None, start, 1);
        let mut seconds = Vec::new();
        for second in 1..=1_800 {
            let now = start + Duration::from_secs(second);
            // The keys change for the last time after 20 seconds.
            let fingerprint = if second < 20 { 1 + second / 10 } else { 3 };
            if saved.is_due(now, fingerprint) {
                saved = Saved::next(Some(saved), now, fingerprint);
                seconds.push(second);
            }
        }
        assert_eq!(seconds, [10, 20, 80, 680, 1_280]);
    }
}
