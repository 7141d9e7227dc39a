//! What the agent does for those who want locks. A lock is held for a connection, and released when that ends.

use std::io;
use std::time::{Duration, Instant};

use gossip_tokio::{CommandError, HoldError, LockError, LockGuard, LockOptions, Locks};
use serde_json::{Value as Json, json};

use super::{Steering, Trouble, item, millis};
use crate::control::protocol::{HolderRow, LockEvent, LockRow, LockSay, TokenRow};
use crate::control::server::{Answers, Lines};
use crate::describe;
use crate::exit::Failure;

impl Steering {
    /// The pool with this name, or the only one.
    fn pool(&self, name: Option<&str>) -> Result<&Locks, Failure> {
        let names = || self.locks.iter().map(|pool| format!("{:?}", pool.name())).collect::<Vec<_>>().join(", ");
        match (name, &self.locks[..]) {
            (_, []) => {
                Err(Failure::failed("the agent has no locks: start it with --election NAME,floor=N --locks POOL"))
            }
            (None, [only]) => Ok(only),
            (None, _) => {
                Err(Failure::Usage(format!("the agent has several pools of locks, {}: choose one by --pool", names())))
            }
            (Some(name), all) => all
                .iter()
                .find(|pool| pool.name() == name)
                .ok_or_else(|| Failure::Failed(format!("the agent has no pool of locks {name:?}, but {}", names()))),
        }
    }

    pub(super) async fn lock_query(
        &self,
        pool: Option<&str>,
        key: String,
        patience: Duration,
        answers: &mut Answers,
    ) -> Result<Json, Trouble> {
        let pool = self.pool(pool)?;
        let status = pool.query(&*key, patience).await.map_err(|error| blame_query(&key, &error))?;
        let holder = status.holder.map(|holder| HolderRow {
            who: self.who(holder.node),
            token: holder.token.to_string(),
            left_ms: millis(holder.left),
        });
        item(answers, &LockRow { pool: pool.name().to_owned(), key, holder, waiting: status.waiting }).await?;
        Ok(json!({}))
    }

    /// Acquires a lock, and holds it until the client has released it or is gone, or the lock is lost.
    pub(super) async fn lock(
        &self,
        (pool, key): (Option<&str>, &str),
        options: LockOptions,
        waits: bool,
        lines: &mut Lines,
        answers: &mut Answers,
    ) -> Result<Json, Trouble> {
        let pool = self.pool(pool)?;
        tell(answers, &LockEvent::Asking).await?;
        let acquiring =
            async { if waits { pool.acquire(key, options).await } else { pool.try_acquire(key, options).await } };
        // What was asked for is given back when the client is gone.
        let guard = tokio::select! {
            guard = acquiring => guard.map_err(|error| blame(key, &error))?,
            () = lines.ends() => return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
        };
        let token = guard.token();
        let (term, count) = (token.term().number().to_string(), token.count().to_string());
        let row = TokenRow { pool: pool.name().to_owned(), token: token.to_string(), term, count };
        tell(answers, &LockEvent::Acquired(row)).await?;
        loop {
            let line = tokio::select! {
                () = guard.lost() => {
                    tell(answers, &LockEvent::Lost).await?;
                    return Ok(json!({}));
                }
                line = lines.next() => line?.ok_or(io::ErrorKind::ConnectionAborted).map_err(io::Error::from)?,
            };
            match serde_json::from_slice(&line) {
                Ok(LockSay::Left) => tell(answers, &LockEvent::Left { left_ms: left(&guard) }).await?,
                Ok(LockSay::Release) => {
                    guard.release().await.map_err(|error| blame(key, &error))?;
                    return Ok(json!({}));
                }
                Err(error) => return Err(Failure::usage(format!("not a word about a lock: {error}")).into()),
            }
        }
    }
}

async fn tell(answers: &mut Answers, event: &LockEvent) -> io::Result<()> {
    item(answers, event).await?;
    answers.flush().await
}

/// For how many milliseconds a lock is held yet.
fn left(guard: &LockGuard) -> u64 {
    guard.until().map_or(0, |until| millis(until.saturating_duration_since(Instant::now())))
}

/// Who is to blame that a lock is not held.
fn blame(key: &str, error: &HoldError) -> Failure {
    let reason = format!("lock {}: {error}", describe::quoted(key));
    match error {
        CommandError::Refused(LockError::Key { .. } | LockError::Ttl { .. }) => Failure::Usage(reason),
        CommandError::Refused(
            LockError::Busy
            | LockError::Timeout { .. }
            | LockError::Full { .. }
            | LockError::TooManyWaiters
            | LockError::TooManyOperations { .. },
        ) => Failure::NotAcquired(reason),
        _ => Failure::Failed(reason),
    }
}

fn blame_query(key: &str, error: &HoldError) -> Failure {
    match blame(key, error) {
        Failure::NotAcquired(reason) => Failure::Unanswered(reason),
        failure => failure,
    }
}
