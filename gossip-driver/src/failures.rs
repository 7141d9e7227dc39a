//! Why connections that this node opened were of no use, for those who ask why a node cannot be reached.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::NodeAddress;

/// Addresses that are remembered; when there are more, all are forgotten.
const MOST: usize = 1_024;

/// The latest failure for each address.
#[derive(Debug)]
pub(crate) struct Failures {
    /// For how long one explains why its address cannot be joined through.
    span: Duration,
    latest: Mutex<HashMap<NodeAddress, Failure>>,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    reason: String,
}

impl Failures {
    /// For a node whose joins take as long as this at most.
    pub(crate) fn new(join_timeout: Duration) -> Self {
        Self { span: join_timeout * 2, latest: Mutex::default() }
    }

    pub(crate) fn note(&self, now: Instant, address: NodeAddress, reason: String) {
        let mut failures = self.lock();
        if failures.len() >= MOST && !failures.contains_key(&address) {
            failures.clear();
        }
        failures.insert(address, Failure { at: now, reason });
    }

    /// The address was of use.
    pub(crate) fn forget(&self, address: &NodeAddress) {
        self.lock().remove(address);
    }

    /// Why the latest connection to this address was of no use, if that was lately.
    pub(crate) fn reason(&self, now: Instant, address: &NodeAddress) -> Option<String> {
        self.find(address, |failure| now.saturating_duration_since(failure.at) <= self.span)
    }

    /// The same, if it was not before this.
    pub(crate) fn reason_since(&self, begun: Instant, address: &NodeAddress) -> Option<String> {
        self.find(address, |failure| failure.at >= begun)
    }

    fn find(&self, address: &NodeAddress, is_meant: impl Fn(&Failure) -> bool) -> Option<String> {
        self.lock().get(address).filter(|failure| is_meant(failure)).map(|failure| failure.reason.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeAddress, Failure>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOIN: Duration = Duration::from_secs(5);

    fn address(port: u16) -> NodeAddress {
        NodeAddress::Socket(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn the_latest_reason_counts_until_the_address_was_of_use_or_it_is_old() {
        let (failures, now) = (Failures::new(JOIN), Instant::now());
        failures.note(now, address(1), "refused".to_owned());
        failures.note(now, address(1), "expired".to_owned());
        let later = now + Duration::from_secs(1);
        assert_eq!(failures.reason(later, &address(1)).as_deref(), Some("expired"));
        assert_eq!(failures.reason(now + 3 * JOIN, &address(1)), None);
        assert_eq!(failures.reason_since(now, &address(1)).as_deref(), Some("expired"));
        assert_eq!(failures.reason_since(later, &address(1)), None);
        failures.forget(&address(1));
        assert_eq!(failures.reason(later, &address(1)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let (failures, now) = (Failures::new(JOIN), Instant::now());
        for port in 0..2_500 {
            failures.note(now, address(port), "refused".to_owned());
            assert!(failures.lock().len() <= MOST && failures.reason(now, &address(port)).is_some());
        }
    }
}
