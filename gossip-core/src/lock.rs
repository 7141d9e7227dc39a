//! Locks: granted by the leader of an election, for a time, with a fencing token, remembered by several members.
//! `docs/COORDINATION.md` says what holds and why.

mod client;
mod copies;
mod held;
mod news;
mod office;
mod pool;
mod recovery;
mod serving;
mod session;
mod settings;
mod shelf;
mod token;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hasher;
use core::time::Duration;

use siphasher::sip::SipHasher24;

use crate::context::{Context, Phase};
use crate::election::{Contest, Elections, Voter};
use crate::identity::Address;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::Timer;
use crate::wire::{Parcel, Wish};

pub use crate::wire::Delay;
use client::Order;
pub use news::{Grant, Holder, LockDone, LockError, LockNews, LockOp, LockStatus};
use pool::Pool;
pub use settings::{LockConfig, LockRequest, OpenLocksError};
pub(crate) use shelf::Entry;
use shelf::Owner;
pub use token::Token;

/// Most pools that a node opens.
const MOST_POOLS: usize = 64;

/// The pools of a node.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    pools: Vec<Pool>,
    /// Operations begun so far, in all pools.
    begun: u64,
}

/// What an operation is about, as the application says it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Acquire { ttl: Duration, waits: bool, keeps: bool },
    Extend { token: Token, ttl: Duration },
    Release { token: Token },
    Query,
}

impl Locks {
    pub(crate) fn open<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        elections: &Elections,
        name: &str,
        config: LockConfig,
    ) -> Result<(), OpenLocksError> {
        config.validate()?;
        if name.is_empty() || name.len() > 255 {
            return Err(OpenLocksError::Name { length: name.len() });
        }
        let Some(contest) = elections.contest(&config.election) else {
            return Err(OpenLocksError::Election { election: config.election });
        };
        config.check_against(contest.settings())?;
        if self.pools.iter().any(|pool| *pool.name == *name) {
            return Err(OpenLocksError::Opened);
        }
        if self.pools.len() >= MOST_POOLS {
            return Err(OpenLocksError::TooMany { limit: MOST_POOLS });
        }
        let mark = mark_of(name, &config, contest);
        self.pools.push(Pool::new(cx, contest, Arc::from(name), mark, config));
        self.arm(cx);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// Begins an operation. It ends with one word of it.
    pub(crate) fn begin<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        elections: &Elections,
        (pool, key): (&str, &str),
        verb: Verb,
        patience: Duration,
    ) -> Result<LockOp, LockError> {
        let Some(pool) = self.pools.iter_mut().find(|it| *it.name == *pool) else {
            return Err(LockError::UnknownPool { pool: Arc::from(pool) });
        };
        pool.check_key(key)?;
        let id = LockOp(self.begun + 1);
        let deadline = cx.now + patience;
        let (wish, keeps) = match verb {
            Verb::Acquire { ttl, waits, keeps } => {
                let ttl = pool.check_ttl(ttl)?;
                (if waits { Wish::Acquire { ttl } } else { Wish::Try { ttl } }, keeps)
            }
            Verb::Extend { token, ttl } => {
                let ttl = pool.check_ttl(ttl)?;
                pool.check_held(cx.now, key, token)?;
                (Wish::Extend { token, ttl }, false)
            }
            Verb::Release { token } => {
                pool.check_held(cx.now, key, token)?;
                (Wish::Release { token }, false)
            }
            Verb::Query => (Wish::Query, false),
        };
        if !matches!(wish, Wish::Release { .. }) {
            // What is given back makes room.
            pool.check_room()?;
        }
        self.begun = id.0;
        pool.begin(cx, Order { id: Some(id), key: Arc::from(key), wish, keeps, deadline });
        if let Some(contest) = elections.contest(&pool.config.election) {
            pool.look(cx, contest);
            pool.finish(cx, contest);
        }
        self.arm(cx);
        Ok(id)
    }

    /// Gives an operation up, without a word of how it ended. What it was granted, or will be, is given back.
    pub(crate) fn cancel<A: Address>(&mut self, cx: &mut Context<A>, elections: &Elections, op: LockOp) -> bool {
        let mut was_open = false;
        for pool in &mut self.pools {
            was_open |= pool.cancel(cx.now, op);
            if let Some(contest) = elections.contest(&pool.config.election) {
                pool.look(cx, contest);
                pool.finish(cx, contest);
            }
        }
        self.arm(cx);
        was_open
    }

    pub(crate) fn holds(&self, now: Instant, pool: &str, key: &str) -> Option<Grant> {
        self.pools.iter().find(|it| *it.name == *pool)?.holds(now, key)
    }

    pub(crate) fn poll(&mut self) -> Option<LockNews> {
        self.pools.iter_mut().find_map(|pool| pool.news.pop_front())
    }

    /// Who leads may have changed, or who is there.
    pub(crate) fn look<A: Address>(&mut self, cx: &mut Context<A>, elections: &Elections) {
        let mut has_changed = false;
        for pool in &mut self.pools {
            if let Some(contest) = elections.contest(&pool.config.election)
                && pool.look(cx, contest)
            {
                pool.finish(cx, contest);
                has_changed = true;
            }
        }
        if has_changed {
            self.arm(cx);
        }
    }

    /// Does what is due.
    pub(crate) fn step<A: Address>(&mut self, cx: &mut Context<A>, elections: &Elections) {
        for pool in &mut self.pools {
            if let Some(contest) = elections.contest(&pool.config.election) {
                pool.step(cx, contest);
            }
        }
        self.arm(cx);
    }

    pub(crate) fn handle<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        elections: &Elections,
        from: Voter,
        parcel: &Parcel<'_>,
    ) {
        // Answers can be long, so they are for members alone, and go to where these are known to be.
        if !cx.knows(from.id, from.epoch) {
            return cx.drop(DropReason::UnknownMember);
        }
        let Some(pool) = self.pools.iter_mut().find(|pool| pool.mark == parcel.mark) else {
            return cx.drop(DropReason::Unexpected);
        };
        let Some(contest) = elections.contest(&pool.config.election) else { return };
        pool.handle(cx, contest, from, parcel.say);
        self.arm(cx);
    }

    /// The node leaves: what it holds is given back, and it remembers nothing for others any more.
    pub(crate) fn leave<A: Address>(&mut self, cx: &mut Context<A>, elections: &Elections) {
        for pool in &mut self.pools {
            let leader = elections.contest(&pool.config.election).and_then(|contest| contest.leader(cx.now));
            pool.leave(cx, leader);
        }
    }

    fn arm<A: Address>(&mut self, cx: &mut Context<A>) {
        let next = self.pools.iter().map(|pool| pool.due).min().filter(|&due| due != Instant::MAX);
        let is_over = matches!(cx.phase, Phase::Leaving | Phase::Left);
        cx.timers.follow(Timer::Lock, next.filter(|_| !is_over));
    }
}

/// Pools with other settings are other pools, whatever they are called.
fn mark_of(name: &str, config: &LockConfig, contest: &Contest) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(0, 1);
    hasher.write(name.as_bytes());
    hasher.write(&[0]);
    hasher.write(&contest.mark.to_le_bytes());
    for span in [config.min_ttl, config.max_ttl] {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        hasher.write(&micros.to_le_bytes());
    }
    hasher.write(&(config.replicas as u64).to_le_bytes());
    hasher.write(&[u8::from(config.free_dead), u8::from(config.wait_when_founded)]);
    hasher.finish()
}
