//! What a node holds, by its own clock.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use crate::lock::{Grant, Token};
use crate::time::Instant;

/// A lock that is this node's.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) token: Token,
    /// In microseconds.
    pub(super) ttl: u64,
    pub(super) until: Instant,
    /// When it is extended, if it is.
    pub(super) renew: Option<Instant>,
    /// The operation that extends it.
    pub(super) extending: Option<u64>,
}

impl Held {
    fn due(&self) -> Instant {
        self.renew.map_or(self.until, |renew| renew.min(self.until))
    }
}

/// The locks that are this node's: at most one grant of each.
#[derive(Debug, Default)]
pub(super) struct HeldLocks {
    by_key: BTreeMap<Arc<str>, Held>,
    order: BTreeSet<(Instant, Arc<str>)>,
}

impl HeldLocks {
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The lock, as long as its time has not run out.
    pub(super) fn grant(&self, now: Instant, key: &str) -> Option<Grant> {
        let held = self.by_key.get(key).filter(|held| held.until > now)?;
        Some(Grant { token: held.token, until: held.until })
    }

    pub(super) fn token(&self, key: &str) -> Option<Token> {
        self.by_key.get(key).map(|held| held.token)
    }

    pub(super) fn put(&mut self, key: &Arc<str>, held: Held) {
        self.remove(key);
        self.order.insert((held.due(), Arc::clone(key)));
        self.by_key.insert(Arc::clone(key), held);
    }

    /// Changes what is held under this token.
    pub(super) fn change<R>(&mut self, key: &str, token: Token, change: impl FnOnce(&mut Held) -> R) -> Option<R> {
        let (key, held) = self.remove_if(key, token)?;
        let mut held = held;
        let result = change(&mut held);
        self.put(&key, held);
        Some(result)
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Held> {
        let (key, held) = self.by_key.remove_entry(key)?;
        self.order.remove(&(held.due(), key));
        Some(held)
    }

    pub(super) fn remove_if(&mut self, key: &str, token: Token) -> Option<(Arc<str>, Held)> {
        let (key, _) = self.by_key.get_key_value(key).filter(|(_, held)| held.token == token)?;
        let key = Arc::clone(key);
        self.remove(&key).map(|held| (key, held))
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.order.first().map(|&(at, _)| at)
    }

    /// One whose time has run out, or that is to be extended.
    pub(super) fn first_due(&self, now: Instant) -> Option<(Arc<str>, &Held)> {
        let (_, key) = self.order.first().filter(|&&(at, _)| at <= now)?;
        Some((Arc::clone(key), self.by_key.get(key)?))
    }

    /// All of them, which are this node's no more.
    pub(super) fn take(&mut self) -> BTreeMap<Arc<str>, Held> {
        self.order.clear();
        core::mem::take(&mut self.by_key)
    }
}
