//! The locks of a node, and who asked for them, held by its task; they end with it.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures_util::Stream;
use gossip_core::{Grant, Instant, LockConfig, LockDone, LockError, LockNews, LockOp, LockStatus, LockToken, Node};

use crate::NodeAddress;
use crate::command::Reply;
use crate::lock::{Hold, HoldState, LockWord, Pool};

/// The shortest time between two looks whether a lock that is kept alive was extended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Which grant it is: tokens of several pools can be the same.
type GrantKey = (Arc<str>, LockToken);

#[derive(Debug)]
pub(crate) struct Holds {
    pools: Vec<Arc<Pool>>,
    words: (Sender<LockWord>, Pin<Box<Receiver<LockWord>>>),
    askers: HashMap<LockOp, Asker>,
    /// Locks that are asked for, by the numbers under which those who ask can withdraw.
    tickets: HashMap<u64, LockOp>,
    held: HashMap<GrantKey, Held>,
    /// When to look again at those that are kept alive.
    looks: BTreeSet<(Instant, GrantKey)>,
}

/// Who waits for the end of an operation.
#[derive(Debug)]
pub(crate) enum Asker {
    Acquire { pool: Arc<str>, key: Arc<str>, keeps: bool, ticket: u64, reply: Reply<Hold, LockError> },
    Extend { pool: Arc<str>, reply: Reply<(), LockError> },
    Release { reply: Reply<(), LockError> },
    Query { reply: Reply<LockStatus, LockError> },
}

#[derive(Debug)]
struct Held {
    state: Arc<HoldState>,
    look: Option<Instant>,
    #[expect(dead_code, reason = "dropping it tells of the loss")]
    lost: Sender<Infallible>,
}

impl Default for Holds {
    fn default() -> Self {
        // Each word is the last one of a lock or a question, of which the node has a bounded number.
        let (words, heard) = async_channel::unbounded();
        Self {
            pools: Vec::new(),
            words: (words, Box::pin(heard)),
            askers: HashMap::new(),
            tickets: HashMap::new(),
            held: HashMap::new(),
            looks: BTreeSet::new(),
        }
    }
}

impl Holds {
    /// A pool that is open with the same settings.
    pub(crate) fn alike(&self, name: &str, config: &LockConfig) -> Option<Arc<Pool>> {
        let alike = |pool: &&Arc<Pool>| *pool.name == *name && pool.config == *config;
        self.pools.iter().find(alike).cloned()
    }

    pub(crate) fn add(&mut self, name: &str, config: LockConfig) -> Arc<Pool> {
        let pool = Arc::new(Pool { name: Arc::from(name), config, words: self.words.0.clone() });
        self.pools.push(Arc::clone(&pool));
        pool
    }

    /// The next word of those who do not wait for an answer.
    pub(crate) fn poll_word(&mut self, cx: &mut Context<'_>) -> Option<LockWord> {
        if self.pools.is_empty() {
            return None;
        }
        match self.words.1.as_mut().poll_next(cx) {
            Poll::Ready(word) => word,
            Poll::Pending => None,
        }
    }

    /// Somebody waits for an operation.
    pub(crate) fn wait(&mut self, op: LockOp, asker: Asker) {
        if let Asker::Acquire { ticket, .. } = &asker {
            self.tickets.insert(*ticket, op);
        }
        self.askers.insert(op, asker);
    }

    /// Nobody waits any more for what was asked for under this number; what it is, if it is not over.
    pub(crate) fn withdraw(&mut self, ticket: u64) -> Option<LockOp> {
        let op = self.tickets.remove(&ticket)?;
        self.askers.remove(&op);
        Some(op)
    }

    /// A lock is given back; until when it would have been held, or nothing if it is given back or lost already.
    pub(crate) fn forget(&mut self, pool: &Arc<str>, token: LockToken) -> Option<Instant> {
        let grant = (Arc::clone(pool), token);
        let held = self.held.remove(&grant)?;
        if let Some(at) = held.look {
            self.looks.remove(&(at, grant));
        }
        let until = held.state.until();
        held.state.show(Instant::from_micros(0));
        Some(until)
    }

    /// Takes note of what happened, and tells those who wait for it.
    pub(crate) fn follow(&mut self, now: Instant, news: LockNews) {
        match news {
            LockNews::Done { op, result } => {
                // What was given back in the background nobody waits for.
                let Some(asker) = self.askers.remove(&op) else { return };
                self.tell(now, asker, result);
            }
            LockNews::Lost { pool, token, .. } => {
                self.forget(&pool, token);
            }
            _ => {}
        }
    }

    /// Nobody may be waiting any more.
    fn tell(&mut self, now: Instant, asker: Asker, result: Result<LockDone, LockError>) {
        match asker {
            Asker::Acquire { pool, key, keeps, ticket, reply } => {
                self.tickets.remove(&ticket);
                let hold = result.and_then(|done| match done {
                    LockDone::Acquired(grant) => Ok(self.hold(now, (pool, key), grant, keeps)),
                    _ => Err(LockError::NotHeld),
                });
                let _ = reply.send(hold);
            }
            Asker::Extend { pool, reply } => {
                let _ = reply.send(result.and_then(|done| match done {
                    LockDone::Extended(grant) => self.extended(&(pool, grant.token), grant.until),
                    _ => Err(LockError::NotHeld),
                }));
            }
            Asker::Release { reply } => {
                let _ = reply.send(result.map(|_| ()));
            }
            Asker::Query { reply } => {
                let _ = reply.send(result.and_then(|done| match done {
                    LockDone::Status(status) => Ok(status),
                    _ => Err(LockError::NotHeld),
                }));
            }
        }
    }

    fn hold(&mut self, now: Instant, (pool, key): (Arc<str>, Arc<str>), grant: Grant, keeps: bool) -> Hold {
        let until = AtomicU64::new(grant.until.as_micros());
        let state = Arc::new(HoldState { pool: Arc::clone(&pool), key, token: grant.token, until });
        let (sender, lost) = async_channel::bounded(1);
        let look = keeps.then(|| next_look(now, grant.until));
        let key = (pool, grant.token);
        if let Some(at) = look {
            self.looks.insert((at, key.clone()));
        }
        self.held.insert(key, Held { state: Arc::clone(&state), look, lost: sender });
        Hold { state, words: self.words.0.clone(), lost }
    }

    fn extended(&mut self, grant: &GrantKey, until: Instant) -> Result<(), LockError> {
        let held = self.held.get(grant).ok_or(LockError::NotHeld)?;
        held.state.show(until);
        Ok(())
    }

    /// Looks at those that the node may have extended by itself, of which it does not tell.
    pub(crate) fn look(&mut self, now: Instant, node: &Node<NodeAddress>) {
        while let Some((at, _)) = self.looks.first()
            && *at <= now
        {
            let Some((_, grant)) = self.looks.pop_first() else { return };
            let Some(held) = self.held.get_mut(&grant) else { continue };
            let known = node.holds_lock(now, &grant.0, &held.state.key).filter(|known| known.token == grant.1);
            // That it is lost is told in another place.
            held.look = known.map(|known| next_look(now, known.until));
            if let Some((known, at)) = known.zip(held.look) {
                held.state.show(known.until);
                self.looks.insert((at, grant));
            }
        }
    }

    /// When to look next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.looks.first().map(|&(at, _)| at)
    }
}

/// A third of the time is over when the node asks for more. What is left of the rest is looked at less than ten times.
fn next_look(now: Instant, until: Instant) -> Instant {
    now + (until.saturating_since(now) * 3 / 8).max(LOOK_EVERY)
}

impl Drop for Holds {
    fn drop(&mut self) {
        for held in self.held.values() {
            held.state.show(Instant::from_micros(0));
        }
    }
}
