//! Which messages that are to be confirmed came, so that one that is sent again is not delivered again.

use alloc::collections::BTreeMap;

use crate::identity::{Epoch, NodeId};
use crate::lane::{Heard, Window};
use crate::time::Instant;

/// Numbers of one sender that may be open at the same time.
const OPEN: u64 = 65_536;

/// Numbers beyond this are nobody's.
const LAST: u64 = 1 << 62;

/// Senders that are no members.
const STRANGERS: usize = 1_024;

/// Who sends, as the envelope says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) id: NodeId,
    pub(crate) epoch: Epoch,
    /// It is a member, in the start that it is in.
    pub(crate) is_member: bool,
}

/// What a number says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    New,
    /// It was delivered before.
    Before,
    /// It cannot be told apart from one that was delivered.
    Unclear,
}

#[derive(Debug)]
struct Record {
    epoch: Epoch,
    window: Window,
    /// Until when messages that came may be sent again.
    until: Instant,
}

/// The numbers by sender. The senders say which of theirs are over, so this takes a few bytes for each.
#[derive(Debug, Default)]
pub(super) struct Confirmed(BTreeMap<NodeId, Record>);

impl Confirmed {
    /// Whether a message came before. `lowest`: the first number of the sender's that is still open.
    pub(super) fn find(&mut self, sender: Sender, number: u64, lowest: u64) -> Number {
        if number > LAST {
            return Number::Unclear;
        }
        let Some(record) = self.0.get_mut(&sender.id) else { return Number::New };
        if record.epoch < sender.epoch || number < record.window.base().saturating_sub(OPEN) {
            // Another start; or the numbers that were heard before were not this sender's.
            self.0.remove(&sender.id);
            return Number::New;
        }
        if record.epoch > sender.epoch {
            return Number::Unclear;
        }
        record.window.skip_to(lowest);
        if number.saturating_sub(record.window.base()) >= OPEN {
            return Number::Unclear;
        }
        if !record.window.contains(number) {
            return Number::New;
        }
        if record.window.hear(number) == Heard::Before { Number::Before } else { Number::Unclear }
    }

    /// Whether one more message of this sender can be remembered.
    pub(super) fn has_room(&mut self, now: Instant, members: usize, sender: Sender) -> bool {
        let limit = members + STRANGERS;
        if self.0.contains_key(&sender.id) || self.0.len() < limit {
            return true;
        }
        if sender.is_member {
            // Only those who are no members, or not any more, can have filled it.
            self.0.retain(|_, record| record.until > now);
            return self.0.len() < limit + members;
        }
        let over = self.0.iter().find(|(_, record)| record.until <= now).map(|(&id, _)| id);
        over.is_some_and(|id| self.0.remove(&id).is_some())
    }

    /// Remembers a message that was delivered.
    pub(super) fn note(&mut self, sender: Sender, number: u64, lowest: u64, until: Instant) {
        let window = || Window::beginning_at(lowest.max(number.saturating_sub(OPEN / 2)));
        let record = self.0.entry(sender.id);
        let record = record.or_insert_with(|| Record { epoch: sender.epoch, window: window(), until });
        record.window.hear(number);
        record.until = record.until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn sender(id: u128, epoch: u64) -> Sender {
        Sender { id: NodeId::from_u128(id), epoch: Epoch::from_u64(epoch), is_member: true }
    }

    fn take_in(confirmed: &mut Confirmed, epoch: u64, number: u64, lowest: u64) -> Number {
        let found = confirmed.find(sender(1, epoch), number, lowest);
        if found == Number::New {
            confirmed.note(sender(1, epoch), number, lowest, Instant::ZERO);
        }
        found
    }

    #[test]
    fn each_number_is_new_once_in_each_start() {
        let mut confirmed = Confirmed::default();
        for epoch in 5..7 {
            for number in (1_000..9_000).rev() {
                assert_eq!(take_in(&mut confirmed, epoch, number, 1_000), Number::New);
            }
            for number in 1_000..9_000 {
                assert_eq!(take_in(&mut confirmed, epoch, number, 1_000), Number::Before);
            }
        }
        assert_eq!(take_in(&mut confirmed, 5, 9_000, 9_000), Number::Unclear, "of a start that is over");
    }

    #[test]
    fn a_number_that_its_sender_gave_up_is_not_taken_for_delivered() {
        let mut confirmed = Confirmed::default();
        assert_eq!(take_in(&mut confirmed, 5, 10, 10), Number::New);
        assert_eq!(take_in(&mut confirmed, 5, 30, 20), Number::New);
        assert_eq!(take_in(&mut confirmed, 5, 15, 10), Number::Unclear);
    }

    #[test]
    fn an_invented_number_mutes_nobody_for_ever() {
        let mut confirmed = Confirmed::default();
        assert_eq!(take_in(&mut confirmed, 5, 10, 10), Number::New);
        assert_eq!(take_in(&mut confirmed, 5, u64::MAX, u64::MAX), Number::Unclear);
        take_in(&mut confirmed, 5, 1 << 62, 1 << 62);
        assert_eq!(
            [11, 12, 11].map(|number| take_in(&mut confirmed, 5, number, 11)),
            [Number::New, Number::New, Number::Before]
        );
    }

    #[test]
    fn those_who_are_no_members_are_bounded_and_give_way() {
        let mut confirmed = Confirmed::default();
        let at = Instant::from_micros;
        let mut accepted = 0;
        for id in 0..5_000_u128 {
            let stranger = Sender { is_member: false, ..sender(id, 1) };
            if confirmed.has_room(at(1), 10, stranger) {
                confirmed.note(stranger, 1, 1, at(10));
                accepted += 1;
            }
        }
        assert_eq!(accepted, STRANGERS + 10);
        assert!(confirmed.has_room(at(1), 10, sender(9_999, 1)), "members have their room");
        assert!(confirmed.has_room(at(20), 10, Sender { is_member: false, ..sender(9_998, 1) }));
    }
}
