//! How long the dead and departed are remembered.
//!
//! A tombstone is told to others for three quarters of the retention time only: nodes forget at slightly different
//! moments, and one that has forgotten must not be told again by one that is about to.

use core::time::Duration;

use crate::context::Context;
use crate::event::{Cause, Event, MemberChange};
use crate::identity::Address;
use crate::membership::{MemberState, Slot};
use crate::timer::Timer;

/// Age up to which a tombstone is told to others.
pub(crate) fn telling_age(retention: Duration) -> Duration {
    retention / 4 * 3
}

impl<A: Address> Context<A> {
    /// Begins to remember a member that is dead or gone.
    pub(crate) fn bury(&mut self, slot: Slot) {
        let since = self.table.member(slot).since;
        self.tombstones.set(slot, (since + telling_age(self.config.retention)).max(self.now));
        self.timers.follow(Timer::Tombstone, self.tombstones.next());
    }

    /// Stops the clock of a tombstone: the member is back.
    pub(crate) fn unbury(&mut self, slot: Slot) {
        self.tombstones.remove(slot);
        self.timers.follow(Timer::Tombstone, self.tombstones.next());
    }

    /// Retires the tombstones that are too old to be told, and drops those that are too old to be remembered.
    pub(crate) fn reap(&mut self) {
        while let Some(slot) = self.tombstones.expire(self.now) {
            let ends = self.table.member(slot).since + self.config.retention;
            if self.now < ends {
                self.table.change(slot, self.now, |row| row.retired = true);
                self.news.forget(slot);
                self.tombstones.set(slot, ends);
            } else {
                self.drop_row(slot, Cause::Reaped);
            }
        }
        self.timers.follow(Timer::Tombstone, self.tombstones.next());
    }

    fn drop_row(&mut self, slot: Slot, cause: Cause) {
        self.take_out(slot);
        self.news.forget(slot);
        let Some(row) = self.table.remove(slot, self.now) else { return };
        let mut member = row.member;
        let previous = member.state;
        if row.hidden || previous == MemberState::Removed {
            return;
        }
        member.state = MemberState::Removed;
        self.events.push(Event::Member(MemberChange { member, previous: Some(previous), cause }));
    }
}
