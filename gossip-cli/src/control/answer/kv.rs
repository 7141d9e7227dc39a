//! What the agent does for those who use the key-value store.

use std::time::{Duration, SystemTime};

use gossip_tokio::{CommandError, Store, StoreChange, StoreEntry, StoreError, StoreVersion, WriteError};
use serde_json::{Value as Json, json};

use super::{Steering, Trouble, item};
use crate::content::Content;
use crate::control::protocol::{KvEvent, KvEventRow, KvRow, KvWrite};
use crate::control::server::Answers;
use crate::describe;
use crate::exit::Failure;

impl Steering {
    /// The store, if the agent has it.
    fn store(&self) -> Result<&Store, Failure> {
        let none = || Failure::failed("the agent has no key-value store: start it with --kv");
        self.store.as_ref().ok_or_else(none)
    }

    pub(super) async fn kv_get(&self, key: String, answers: &mut Answers) -> Result<Json, Trouble> {
        match self.store()?.get(&*key).await.map_err(Failure::failed)? {
            Some(entry) => {
                item(answers, &self.kv_row(&entry)).await?;
                Ok(json!({}))
            }
            None => Err(Failure::failed(format!("the store has no key {}", describe::quoted(&key))).into()),
        }
    }

    pub(super) async fn kv_set(&self, key: String, ttl_ms: Option<u64>, value: Vec<u8>) -> Result<Json, Trouble> {
        let store = self.store()?;
        let written = match ttl_ms {
            None => store.set(&*key, value).await,
            Some(ttl) => store.set_with_ttl(&*key, value, Duration::from_millis(ttl)).await,
        };
        let version = written.map_err(|error| blame(&key, &error))?;
        Ok(json!({ "key": key, "version": version.stamp.as_u64().to_string() }))
    }

    pub(super) async fn kv_remove(&self, keys: Vec<String>) -> Result<Json, Trouble> {
        let store = self.store()?;
        let mut removed = Vec::new();
        for key in keys {
            if store.delete(&*key).await.map_err(|error| blame(&key, &error))?.is_some() {
                removed.push(key);
            }
        }
        Ok(json!({ "removed": removed }))
    }

    pub(super) async fn kv_list(&self, prefix: &str, answers: &mut Answers) -> Result<Json, Trouble> {
        let entries = self.store()?.scan(prefix).await.map_err(Failure::failed)?;
        for entry in &entries {
            item(answers, &self.kv_row(entry)).await?;
        }
        Ok(json!({ "keys": entries.len() }))
    }

    /// Tells what changes, until the node stops or the client cannot be told any more.
    pub(super) async fn kv_watch(&self, prefix: String, answers: &mut Answers) -> Result<Json, Trouble> {
        let store = self.store()?;
        let mut changes = store.watch(&*prefix).await.map_err(Failure::failed)?;
        let keys = store.scan(&prefix).await.map_err(Failure::failed)?.len();
        let mut what = Some(KvEvent::Watching { prefix, keys });
        loop {
            while let Some(told) = what {
                item(answers, &KvEventRow { time: describe::wall_clock(), what: told }).await?;
                what = changes.try_next().and_then(|change| self.kv_event(change));
            }
            answers.flush().await?;
            match changes.next().await {
                Some(change) => what = self.kv_event(change),
                None => return Ok(json!({})),
            }
        }
    }

    /// A change in words; none for what this version has no words for.
    fn kv_event(&self, change: StoreChange) -> Option<KvEvent> {
        Some(match change {
            StoreChange::Set { key, value, version, expires, .. } => {
                KvEvent::Set(self.kv_row(&StoreEntry { key, value, version, expires }))
            }
            StoreChange::Deleted { key, version, .. } => {
                KvEvent::Deleted { key: key.to_string(), write: self.kv_write(version) }
            }
            StoreChange::Expired { key, .. } => KvEvent::Expired { key: key.to_string() },
            StoreChange::Missed { count } => KvEvent::Missed { count },
            _ => return None,
        })
    }

    fn kv_row(&self, entry: &StoreEntry) -> KvRow {
        KvRow {
            key: entry.key.to_string(),
            value: Content::of(&entry.value),
            write: self.kv_write(entry.version),
            expires: entry.expires.map(moment),
        }
    }

    fn kv_write(&self, version: StoreVersion) -> KvWrite {
        KvWrite {
            written: moment(version.stamp.unix_micros()),
            version: version.stamp.as_u64().to_string(),
            writer: self.who(version.writer),
        }
    }
}

/// Microseconds since 1970 as people read them. A hybrid clock counts to a year that cannot be written.
fn moment(micros: u64) -> String {
    /// The last microsecond of the year 9999.
    const LATEST: u64 = 253_402_300_799_999_999;
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(micros.min(LATEST));
    humantime::format_rfc3339_micros(time).to_string()
}

fn blame(key: &str, error: &WriteError) -> Failure {
    let reason = format!("cannot change key {}: {error}", describe::quoted(key));
    match error {
        CommandError::Refused(StoreError::Key { .. } | StoreError::Value { .. } | StoreError::Ttl { .. }) => {
            Failure::Usage(reason)
        }
        _ => Failure::Failed(reason),
    }
}
