//! Which change of keys a node is waiting for: none but that one is carried out, so that two that were begun at the same time
//! cannot each shut out whom the other lets speak.
//!
//! A change asks all live members for their keys before it is told to any, and what it found must still be so when it is
//! carried out. Therefore a member that was asked holds still until it is told, or a while has passed.

use std::time::{Duration, Instant};

use gossip_core::NodeId;

/// The longest time for which a member holds still. Whoever began the change may be gone.
const LONGEST: Duration = Duration::from_mins(5);

/// A change that a member began, among those that it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) by: NodeId,
    pub(crate) number: u32,
}

/// The change that this node waits for.
#[derive(Debug, Default)]
pub(crate) struct Reservation(Option<(Ticket, Instant)>);

impl Reservation {
    /// Holds still for a change for so long.
    ///
    /// # Errors
    ///
    /// What is said to the one who wants it.
    pub(crate) fn take(&mut self, now: Instant, ticket: Ticket, span: Duration) -> Result<(), String> {
        match self.holder(now) {
            Some(holder) if holder != ticket => Err(format!(
                "another change of keys is under way, begun by {}: repeat this one when that is done",
                holder.by
            )),
            _ => {
                self.0 = Some((ticket, now + span.min(LONGEST)));
                Ok(())
            }
        }
    }

    /// Whether this node waits for this change. From now on it does not.
    pub(crate) fn redeem(&mut self, now: Instant, ticket: Ticket) -> bool {
        let is_held = self.holder(now) == Some(ticket);
        if is_held {
            self.0 = None;
        }
        is_held
    }

    fn holder(&self, now: Instant) -> Option<Ticket> {
        self.0.filter(|(_, until)| now < *until).map(|(ticket, _)| ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_change_is_waited_for_at_a_time_and_not_for_ever() {
        let ticket = |by, number| Ticket { by: NodeId::from_u128(by), number };
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut reservation = Reservation::default();
        assert!(!reservation.redeem(start, ticket(1, 1)));
        assert_eq!(reservation.take(start, ticket(1, 1), second), Ok(()));
        assert_eq!(reservation.take(start, ticket(1, 1), second), Ok(()), "it was asked again");
        for other in [ticket(1, 2), ticket(2, 1)] {
            assert!(reservation.take(start, other, second).is_err());
            assert!(!reservation.redeem(start, other));
        }
        assert!(reservation.redeem(start, ticket(1, 1)));
        assert!(!reservation.redeem(start, ticket(1, 1)), "once");
        assert_eq!(reservation.take(start, ticket(2, 1), LONGEST * 2), Ok(()));
        assert!(!reservation.redeem(start + LONGEST, ticket(2, 1)), "its time is over");
        assert_eq!(reservation.take(start + LONGEST, ticket(1, 2), second), Ok(()));
    }
}
