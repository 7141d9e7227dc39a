//! Locks, as the application sees them.

use core::time::Duration;

use crate::identity::Address;
use crate::lock::{Grant, LockConfig, LockError, LockNews, LockOp, LockRequest, OpenLocksError, Token, Verb};
use crate::node::Node;
use crate::time::Instant;

impl<A: Address> Node<A> {
    /// Opens a pool of locks, as long as the node runs. All members that open one of this name with these settings
    /// share its locks; those with a vote in the election remember who has which.
    ///
    /// # Errors
    ///
    /// The state is unchanged if a setting is out of its range, the name is not 1 to 255 bytes long, this node does
    /// not take part in the election, the pool or 64 others are open already, or the node is not active.
    pub fn open_locks(&mut self, now: Instant, name: &str, config: LockConfig) -> Result<(), OpenLocksError> {
        self.advance(now);
        self.cx.check_active()?;
        self.locks.open(&mut self.cx, &self.elections, name, config)
    }

    /// Asks for a lock. [`poll_lock`](Self::poll_lock) tells how it ended, once.
    ///
    /// # Errors
    ///
    /// The state is unchanged if the pool is not open, key or time to live is out of its range, too many operations
    /// are open, or the node is not active.
    pub fn acquire_lock(
        &mut self,
        now: Instant,
        pool: &str,
        key: &str,
        request: LockRequest,
    ) -> Result<LockOp, LockError> {
        let LockRequest { ttl, patience, waits, keeps } = request;
        self.begin_lock(now, (pool, key), Verb::Acquire { ttl, waits, keeps }, patience)
    }

    /// Asks to hold a lock for `ttl` from now on.
    ///
    /// # Errors
    ///
    /// As for [`acquire_lock`](Self::acquire_lock), and [`LockError::NotHeld`] if this node does not hold the lock
    /// under this token.
    pub fn extend_lock(
        &mut self,
        now: Instant,
        pool: &str,
        key: &str,
        token: Token,
        ttl: Duration,
        patience: Duration,
    ) -> Result<LockOp, LockError> {
        self.begin_lock(now, (pool, key), Verb::Extend { token, ttl }, patience)
    }

    /// Gives a lock back. From now on this node does not hold it; whoever is next gets it when the leader knows.
    ///
    /// Should it not be confirmed in time, the node goes on telling the leader as long as the grant could last.
    ///
    /// # Errors
    ///
    /// As for [`extend_lock`](Self::extend_lock), but for the time to live, and however many operations are open.
    pub fn release_lock(
        &mut self,
        now: Instant,
        pool: &str,
        key: &str,
        token: Token,
        patience: Duration,
    ) -> Result<LockOp, LockError> {
        self.begin_lock(now, (pool, key), Verb::Release { token }, patience)
    }

    /// Asks who has a lock.
    ///
    /// # Errors
    ///
    /// As for [`acquire_lock`](Self::acquire_lock), but for the time to live.
    pub fn query_lock(&mut self, now: Instant, pool: &str, key: &str, patience: Duration) -> Result<LockOp, LockError> {
        self.begin_lock(now, (pool, key), Verb::Query, patience)
    }

    /// Gives an operation up, without a word of how it ended: a lock that it asked for is given back, whenever it
    /// comes. Tells whether the operation was under way.
    pub fn cancel_lock(&mut self, now: Instant, op: LockOp) -> bool {
        self.advance(now);
        self.locks.cancel(&mut self.cx, &self.elections, op)
    }

    /// The lock as it is this node's at this moment. Ask right before acting as the holder: when its time has run out
    /// it is `None`, whatever news was polled.
    pub fn holds_lock(&self, now: Instant, pool: &str, key: &str) -> Option<Grant> {
        self.locks.holds(now.max(self.cx.now), pool, key).filter(|_| self.cx.is_active())
    }

    /// How an operation ended, or which lock was lost, if there is news. Any other call may bring some.
    pub fn poll_lock(&mut self) -> Option<LockNews> {
        self.locks.poll()
    }

    fn begin_lock(
        &mut self,
        now: Instant,
        at: (&str, &str),
        verb: Verb,
        patience: Duration,
    ) -> Result<LockOp, LockError> {
        self.advance(now);
        self.cx.check_active()?;
        self.locks.begin(&mut self.cx, &self.elections, at, verb, patience)
    }
}
