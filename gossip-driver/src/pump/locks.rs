//! Locks in the node's task.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use gossip_core::{Instant, LockConfig, LockError, LockOp, LockToken, OpenLocksError};

use crate::Runtime;
use crate::lock::holds::Asker;
use crate::lock::{LockCommand, LockWord, Pool};
use crate::pump::Pump;

/// How long the word that a lock is released is waited for. The node goes on telling it for longer.
const RELEASE_PATIENCE: Duration = Duration::from_secs(10);

impl<R: Runtime> Pump<R> {
    /// Opens a pool of locks; one that is open already with the same settings is that one.
    pub(super) fn open_locks(
        &mut self,
        now: Instant,
        name: &str,
        config: LockConfig,
    ) -> Result<Arc<Pool>, OpenLocksError> {
        if let Some(pool) = self.holds.alike(name, &config) {
            return Ok(pool);
        }
        self.node.open_locks(now, name, config.clone())?;
        Ok(self.holds.add(name, config))
    }

    /// Begins an operation. It is answered when it has ended, or at once if it was not begun.
    pub(super) fn command_locks(&mut self, now: Instant, pool: &Arc<str>, command: LockCommand) {
        // Nobody may be waiting any more for an answer.
        match command {
            LockCommand::Acquire { reply, .. } if reply.is_canceled() => {}
            LockCommand::Acquire { key, request, ticket, reply } => {
                match self.node.acquire_lock(now, pool, &key, request) {
                    Ok(op) => {
                        let (pool, key, keeps) = (Arc::clone(pool), Arc::from(key), request.keeps);
                        self.holds.wait(op, Asker::Acquire { pool, key, keeps, ticket, reply });
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            LockCommand::Extend { key, token, ttl, reply } => {
                let left =
                    self.node.holds_lock(now, pool, &key).map_or(Duration::ZERO, |it| it.until.saturating_since(now));
                match self.node.extend_lock(now, pool, &key, token, ttl, left) {
                    Ok(op) => self.holds.wait(op, Asker::Extend { pool: Arc::clone(pool), reply }),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            LockCommand::Release { key, token, reply } => match self.release_lock(now, pool, &key, token) {
                Ok(op) => self.holds.wait(op, Asker::Release { reply }),
                Err(error) => drop(reply.send(Err(error))),
            },
            LockCommand::Query { key, patience, reply } => match self.node.query_lock(now, pool, &key, patience) {
                Ok(op) => self.holds.wait(op, Asker::Query { reply }),
                Err(error) => drop(reply.send(Err(error))),
            },
        }
    }

    fn release_lock(
        &mut self,
        now: Instant,
        pool: &Arc<str>,
        key: &str,
        token: LockToken,
    ) -> Result<LockOp, LockError> {
        self.holds.forget(pool, token).ok_or(LockError::NotHeld)?;
        self.node.release_lock(now, pool, key, token, RELEASE_PATIENCE)
    }

    /// Gives back what nobody wants any more; true if there may be more.
    pub(super) fn take_lock_words(&mut self, cx: &mut Context<'_>, now: std::time::Instant) -> bool {
        let time = self.clock.read(now);
        for _ in 0..self.budget {
            match self.holds.poll_word(cx) {
                None => return false,
                Some(LockWord::Withdraw { ticket }) => {
                    if let Some(op) = self.holds.withdraw(ticket) {
                        self.node.cancel_lock(time, op);
                    }
                }
                Some(LockWord::Release { pool, key, token }) => {
                    // It may be lost, or have been given back by the one who waited for that.
                    let _ = self.release_lock(time, &pool, &key, token);
                }
            }
        }
        true
    }

    /// Tells those who hold locks or wait for some what happened. To be called before anything is sent: what gives a lock
    /// up must not be on its way while a guard still says that it is held.
    pub(super) fn tell_lock_news(&mut self, now: std::time::Instant) {
        let time = self.clock.read(now);
        while let Some(news) = self.node.poll_lock() {
            self.holds.follow(time, news);
        }
        self.holds.look(time, &self.node);
    }
}
