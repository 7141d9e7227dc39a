//! Which change of keys a node is waiting for: none but that one is carried out, so that two that were begun at the same time
//! cannot each shut out whom the other lets speak.
//!
//! A change asks all live members for their keys before it is told to any, and what it found must still be so when it is
//! carried out. Therefore a member that was asked holds still until it is told, or a while has passed. It also notes who is
//! there: who comes in through it later was not asked, and may have nothing but the key that is to be removed.

use std::collections::BTreeSet;
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

/// The live members when this node began to wait for a change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Known(BTreeSet<NodeId>);

impl Known {
    pub(crate) fn of(live: impl IntoIterator<Item = NodeId>) -> Self {
        Self(live.into_iter().collect())
    }

    /// What two nodes that know the same members agree upon.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        Fingerprint { count, ids: self.0.iter().fold(0, |ids, id| ids ^ u128::from_be_bytes(*id.as_bytes())) }
    }

    /// One of these who was not there then.
    pub(crate) fn newcomer(&self, live: &[NodeId]) -> Option<NodeId> {
        live.iter().copied().find(|id| !self.0.contains(id))
    }
}

/// How many members are known, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) count: u32,
    /// Their ids, added without carrying.
    pub(crate) ids: u128,
}

/// The change that this node waits for.
#[derive(Debug, Default)]
pub(crate) struct Reservation(Option<Held>);

#[derive(Debug)]
struct Held {
    ticket: Ticket,
    until: Instant,
    known: Known,
}

impl Reservation {
    /// Holds still for a change for so long, among these members.
    ///
    /// # Errors
    ///
    /// What is said to the one who wants it.
    pub(crate) fn take(&mut self, now: Instant, ticket: Ticket, span: Duration, known: Known) -> Result<(), String> {
        let until = now + span.min(LONGEST);
        match &mut self.0 {
            Some(held) if now < held.until && held.ticket != ticket => {
                return Err(format!(
                    "another change of keys is under way, begun by {}: repeat this one when that is done",
                    held.ticket.by
                ));
            }
            // Which of its answers is believed is not known here, so who was there at the first.
            Some(held) if now < held.until => held.until = until,
            _ => self.0 = Some(Held { ticket, until, known }),
        }
        Ok(())
    }

    /// Who was there when this node began to wait for this change, if it does. From now on it does not.
    pub(crate) fn redeem(&mut self, now: Instant, ticket: Ticket) -> Option<Known> {
        self.0.take_if(|held| held.ticket == ticket).filter(|held| now < held.until).map(|held| held.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_change_is_waited_for_at_a_time_and_not_for_ever() {
        let ticket = |by, number| Ticket { by: NodeId::from_u128(by), number };
        let known = |ids: &[u128]| Known::of(ids.iter().copied().map(NodeId::from_u128));
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut reservation = Reservation::default();
        assert_eq!(reservation.redeem(start, ticket(1, 1)), None);
        assert_eq!(reservation.take(start, ticket(1, 1), second, known(&[1])), Ok(()));
        assert_eq!(reservation.take(start, ticket(1, 1), second, known(&[1, 2])), Ok(()), "it was asked again");
        for other in [ticket(1, 2), ticket(2, 1)] {
            assert!(reservation.take(start, other, second, known(&[1])).is_err());
            assert_eq!(reservation.redeem(start, other), None);
        }
        assert_eq!(reservation.redeem(start, ticket(1, 1)), Some(known(&[1])), "as it was at first");
        assert_eq!(reservation.redeem(start, ticket(1, 1)), None, "once");
        assert_eq!(reservation.take(start, ticket(2, 1), LONGEST * 2, known(&[])), Ok(()));
        assert_eq!(reservation.redeem(start + LONGEST, ticket(2, 1)), None, "its time is over");
        assert_eq!(reservation.take(start + LONGEST, ticket(1, 2), second, known(&[])), Ok(()));
    }

    #[test]
    fn who_was_not_there_when_the_keys_were_asked_for_is_found() {
        let ids = [1, 2, 3].map(NodeId::from_u128);
        assert_eq!(Known::of(ids).newcomer(&ids[1..]), None, "it may have gone");
        assert_eq!(Known::of(ids[..2].to_vec()).newcomer(&ids), Some(ids[2]));
    }
}
