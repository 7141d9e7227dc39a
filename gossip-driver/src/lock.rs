//! Locks as the application holds them. What a guard says of its time is true at every moment, because it compares the
//! end of it with the clock when it is asked.

pub(crate) mod holds;

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use futures_util::future::select;
use gossip_core::{LockConfig, LockError, LockRequest, LockStatus, LockToken};

use crate::command::Reply;
use crate::pump::Clock;
use crate::{CommandError, HoldError, Runtime, StopReason, Timer, WeakCluster};

/// How long a lock is asked for unless [`LockOptions::patience`] says it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pool of locks that members share. From [`Cluster::open_locks`](crate::Cluster::open_locks); clones are handles to
/// the same pool.
///
/// A lock is granted by the leader of the pool's election, for a time, to one node at a time, with a token that is
/// greater than those of all earlier grants. Handles and guards do not keep the node running; a call that waits does.
pub struct Locks<R: Runtime> {
    pub(crate) cluster: WeakCluster<R>,
    pub(crate) runtime: R,
    pub(crate) clock: Clock,
    pub(crate) pool: Arc<Pool>,
}

/// What is the same for all handles to a pool.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) name: Arc<str>,
    pub(crate) config: LockConfig,
    words: Sender<LockWord>,
}

/// How a lock is to be acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockOptions {
    ttl: Duration,
    patience: Duration,
    keep_alive: bool,
}

impl LockOptions {
    /// A lock for `ttl`, from [`LockConfig::min_ttl`] to [`LockConfig::max_ttl`]: whoever crashes or is cut off keeps it
    /// from others for so long. It is asked for during half a minute at most, and kept alive.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, patience: PATIENCE, keep_alive: true }
    }

    /// For how long to ask for it.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Whether the node extends it, whenever a third of its time has passed, as long as there is the guard. Otherwise it
    /// ends after its time, unless [`LockGuard::extend`] is called.
    #[must_use]
    pub fn keep_alive(self, keep_alive: bool) -> Self {
        Self { keep_alive, ..self }
    }

    fn request(self, waits: bool) -> LockRequest {
        LockRequest { ttl: self.ttl, patience: self.patience, waits, keeps: self.keep_alive }
    }
}

/// What a handle asks of the node's task.
#[derive(Debug)]
pub(crate) enum LockCommand {
    Acquire { key: String, request: LockRequest, ticket: u64, reply: Reply<Hold, LockError> },
    Extend { key: Arc<str>, token: LockToken, ttl: Duration, reply: Reply<(), LockError> },
    Release { key: Arc<str>, token: LockToken, reply: Reply<(), LockError> },
    Query { key: String, patience: Duration, reply: Reply<LockStatus, LockError> },
}

/// What the node's task is told by those who cannot wait for it. There is one word at most for each lock that is held or
/// asked for, and the node bounds these.
#[derive(Debug)]
pub(crate) enum LockWord {
    /// Nobody waits any more for what was asked for under this number.
    Withdraw { ticket: u64 },
    /// A guard was dropped.
    Release { pool: Arc<str>, key: Arc<str>, token: LockToken },
}

/// Withdraws what was asked for, unless the answer has come.
struct Ticket<'a> {
    number: u64,
    words: &'a Sender<LockWord>,
    is_answered: bool,
}

impl<'a> Ticket<'a> {
    /// One that no other question of this process has.
    fn new(words: &'a Sender<LockWord>) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self { number: LAST.fetch_add(1, Ordering::Relaxed), words, is_answered: false }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            // A node that has stopped asks for nothing.
            let _ = self.words.try_send(LockWord::Withdraw { ticket: self.number });
        }
    }
}

impl<R: Runtime> Locks<R> {
    /// What the pool is called.
    pub fn name(&self) -> &str {
        &self.pool.name
    }

    /// Its settings.
    pub fn config(&self) -> &LockConfig {
        &self.pool.config
    }

    /// Acquires a lock; where another one has it, waits for its turn. It is released when the guard is dropped.
    ///
    /// A future that is dropped asks for the lock no more, and gives it back should it have been granted.
    ///
    /// # Errors
    ///
    /// A key or a time to live out of its range, a lock that was not granted in time, and why, a pool that is full, and
    /// when the node has left or stopped. The lock is not held.
    pub async fn acquire(&self, key: impl Into<String>, options: LockOptions) -> Result<LockGuard<R>, HoldError> {
        self.demand(key.into(), options.request(true)).await
    }

    /// Acquires a lock if nobody has it.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire), and [`LockError::Busy`] if another one has it.
    pub async fn try_acquire(&self, key: impl Into<String>, options: LockOptions) -> Result<LockGuard<R>, HoldError> {
        self.demand(key.into(), options.request(false)).await
    }

    /// Who has a lock, as its leader says.
    ///
    /// # Errors
    ///
    /// A key out of its range, no answer within `patience`, and when the node has left or stopped.
    pub async fn query(&self, key: impl Into<String>, patience: Duration) -> Result<LockStatus, HoldError> {
        let key = key.into();
        ask(&self.cluster, &self.pool, |reply| LockCommand::Query { key, patience, reply }).await
    }

    async fn demand(&self, key: String, request: LockRequest) -> Result<LockGuard<R>, HoldError> {
        let mut ticket = Ticket::new(&self.pool.words);
        let number = ticket.number;
        let command = |reply| LockCommand::Acquire { key, request, ticket: number, reply };
        let answer = ask(&self.cluster, &self.pool, command).await;
        ticket.is_answered = true;
        let hold = answer?;
        Ok(LockGuard {
            cluster: self.cluster.clone(),
            runtime: self.runtime.clone(),
            clock: self.clock,
            pool: Arc::clone(&self.pool),
            hold,
        })
    }
}

async fn ask<R: Runtime, T>(
    cluster: &WeakCluster<R>,
    pool: &Pool,
    command: impl FnOnce(Reply<T, LockError>) -> LockCommand,
) -> Result<T, HoldError> {
    match cluster.upgrade() {
        Some(cluster) => cluster.ask_locks(&pool.name, command).await,
        None => Err(CommandError::Stopped(StopReason::Dropped)),
    }
}

impl<R: Runtime> Clone for Locks<R> {
    fn clone(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            runtime: self.runtime.clone(),
            clock: self.clock,
            pool: Arc::clone(&self.pool),
        }
    }
}

impl<R: Runtime> fmt::Debug for Locks<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// A lock that this node holds. It is released when this is dropped, in the background; [`release`](Self::release) waits
/// until others can have it.
///
/// It may be lost before: when the node was cut off, or stood still, until its time had run out. Whoever must not act
/// without the lock asks [`is_held`](Self::is_held) right before acting, and hands the [`token`](Self::token) to what it
/// acts upon, which refuses what comes with a smaller token than it has seen.
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard<R: Runtime> {
    cluster: WeakCluster<R>,
    runtime: R,
    clock: Clock,
    pool: Arc<Pool>,
    hold: Hold,
}

impl<R: Runtime> LockGuard<R> {
    /// Which lock it is.
    pub fn key(&self) -> &str {
        &self.hold.state.key
    }

    /// Its fencing token, which is greater than that of every earlier grant in the pool.
    pub fn token(&self) -> LockToken {
        self.hold.state.token
    }

    /// Whether the lock is this node's at this moment: by the clock, even if the node's task stands still.
    pub fn is_held(&self) -> bool {
        self.until().is_some()
    }

    /// Until when it is this node's if it is not extended any more; `None` if it was lost.
    pub fn until(&self) -> Option<Instant> {
        let until = self.hold.state.until();
        if self.clock.read(self.runtime.now()) < until { self.clock.deadline(until) } else { None }
    }

    /// Holds it for `ttl` from now on; also if it is kept alive, which it stays, for as long each time as it was acquired.
    ///
    /// # Errors
    ///
    /// A `ttl` out of its range, a lock that was lost, no answer before its time runs out, and when the node has left or
    /// stopped. The lock is this node's for as long as it was.
    pub async fn extend(&self, ttl: Duration) -> Result<(), HoldError> {
        let (key, token) = (Arc::clone(&self.hold.state.key), self.token());
        ask(&self.cluster, &self.pool, |reply| LockCommand::Extend { key, token, ttl, reply }).await
    }

    /// Releases it, and waits until the leader knows.
    ///
    /// # Errors
    ///
    /// A lock that was lost before, no answer in time, and when the node has left or stopped. The lock is this node's no
    /// more, and the node goes on telling the leader as long as it runs and the lock could last.
    pub async fn release(self) -> Result<(), HoldError> {
        let (key, token) = (Arc::clone(&self.hold.state.key), self.token());
        ask(&self.cluster, &self.pool, |reply| LockCommand::Release { key, token, reply }).await
    }

    /// Waits until the lock is lost: taken back, or its time is over, or the node has left or stopped.
    pub async fn lost(&self) {
        while let Some(until) = self.until() {
            let mut timer = self.runtime.timer(until);
            select(pin!(self.hold.lost.recv()), poll_fn(|cx| timer.poll_fired(cx))).await;
        }
    }
}

impl<R: Runtime> fmt::Debug for LockGuard<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("key", &self.key())
            .field("token", &self.token())
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}

/// A grant on its way to the application, or with it. Wherever it is dropped, the lock is released.
#[derive(Debug)]
pub(crate) struct Hold {
    state: Arc<HoldState>,
    words: Sender<LockWord>,
    /// Closed when the lock is lost.
    lost: Receiver<Infallible>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let HoldState { pool, key, token, .. } = &*self.state;
        let word = LockWord::Release { pool: Arc::clone(pool), key: Arc::clone(key), token: *token };
        // A node that has stopped has given it back, or cannot any more.
        let _ = self.words.try_send(word);
    }
}

/// What the node's task shows of a lock that is held.
#[derive(Debug)]
struct HoldState {
    pool: Arc<str>,
    key: Arc<str>,
    token: LockToken,
    /// Microseconds by the node's clock; zero when it is lost.
    until: AtomicU64,
}

impl HoldState {
    fn until(&self) -> gossip_core::Instant {
        gossip_core::Instant::from_micros(self.until.load(Ordering::Acquire))
    }

    fn show(&self, until: gossip_core::Instant) {
        self.until.store(until.as_micros(), Ordering::Release);
    }
}
