//! What a leader makes of questions.

use alloc::sync::Arc;
use core::time::Duration;

use crate::context::Context;
use crate::election::Voter;
use crate::identity::Address;
use crate::lock::client::MOST_OPEN;
use crate::lock::office::{Owed, Waiter};
use crate::lock::pool::{Pool, is_over};
use crate::lock::session::Progress;
use crate::lock::shelf::{Hold, Record};
use crate::lock::{Owner, Token};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::{Answer, Delay, Holding, Wish};

impl Pool {
    /// A question came, perhaps again.
    pub(super) fn take_question<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        (life, floor): (Voter, u64),
        (op, stamp): (u64, u64),
        wish: Wish,
        key: &str,
    ) {
        let owner = Owner { life, op };
        let Some(office) = &mut self.office else { return };
        if office.gathering.is_some() {
            return self.say(cx, owner, stamp, Answer::Wait(Delay::Recovering));
        }
        let (can_grant, owes_enough) = (office.can_grant(), office.owes_enough(key));
        let session = office.session(life);
        session.raise(floor);
        if session.is_over(op) {
            return cx.drop(DropReason::LateAnswer);
        }
        match session.find(op) {
            Some(Progress::Done { stamp, answer }) => return self.say(cx, owner, stamp, answer),
            Some(Progress::Open) => {
                if let Some(delay) = self.note_repeated(cx.now, owner, stamp, key) {
                    return self.say(cx, owner, stamp, Answer::Wait(delay));
                }
            }
            None => {}
        }
        if !can_grant && !matches!(wish, Wish::Query | Wish::Withdraw { .. }) {
            return self.say(cx, owner, stamp, Answer::Wait(Delay::Replicas));
        }
        if owes_enough && matches!(wish, Wish::Query | Wish::Extend { .. }) {
            return cx.drop(DropReason::Busy);
        }
        let key = &Arc::from(key);
        let ttl = |micros| self.check_ttl(Duration::from_micros(micros)).map(Duration::from_micros);
        match wish {
            Wish::Acquire { ttl: micros } | Wish::Try { ttl: micros } => {
                let Ok(ttl) = ttl(micros) else { return cx.drop(DropReason::Contradiction) };
                let waiter = Waiter { owner, ttl, stamp, heard: cx.now };
                self.acquire(cx, waiter, matches!(wish, Wish::Acquire { .. }), key);
            }
            Wish::Extend { token, ttl: micros } => {
                let Ok(ttl) = ttl(micros) else { return cx.drop(DropReason::Contradiction) };
                self.extend(cx, (owner, stamp), token, ttl, key);
            }
            Wish::Release { token } => self.release(cx, (owner, stamp), token, key),
            Wish::Query => self.query(cx, (owner, stamp), key),
            Wish::Withdraw { of } => self.withdraw(cx, (owner, stamp), of, key),
        }
    }

    /// What is in the way of an operation that is under way; `None` if it is not.
    fn note_repeated(&mut self, now: Instant, owner: Owner, stamp: u64, key: &str) -> Option<Delay> {
        let desk = self.office.as_mut()?.desks.get_mut(key)?;
        if desk.owed.iter().any(|owed| owed.owner == owner) {
            return Some(Delay::Replicas);
        }
        let waiter = desk.queue.iter_mut().find(|waiter| waiter.owner == owner)?;
        (waiter.stamp, waiter.heard) = (waiter.stamp.max(stamp), now);
        let is_held = self.shelf.find(key).is_some_and(|record| record.is_held());
        Some(if is_held { Delay::Held } else { Delay::Replicas })
    }

    fn acquire<A: Address>(&mut self, cx: &mut Context<A>, waiter: Waiter, waits: bool, key: &Arc<str>) {
        let Waiter { owner, stamp, .. } = waiter;
        if is_over(cx, owner.life, true) {
            return;
        }
        let is_own = |record: &Record| matches!(record.hold, Hold::Held { owner: holder, .. } if holder == owner);
        if self.shelf.find(key).as_ref().is_some_and(is_own) {
            // Nobody was told of the grant by the leader that wrote it, or the answer was lost long ago.
            return self.grant(cx, waiter, key);
        }
        self.serve(cx, key);
        let Some(office) = &mut self.office else { return };
        if let Some(desk) = office.desks.get_mut(key) {
            // It asks anew, because it was believed to be dead for a while.
            desk.queue.retain(|waiter| waiter.owner != owner);
        }
        let waiting = office.desks.get(key).map_or(0, |desk| desk.queue.len());
        if !self.shelf.find(key).is_some_and(|record| record.is_held()) && waiting == 0 {
            self.grant(cx, waiter, key);
        } else if !waits {
            self.answer(cx, owner, stamp, Answer::Busy);
        } else if waiting >= self.config.max_waiters || office.session(owner.life).len() >= MOST_OPEN {
            self.answer(cx, owner, stamp, Answer::Crowded);
        } else {
            office.session(owner.life).open(owner.op);
            office.desks.entry(Arc::clone(key)).or_default().queue.push_back(waiter);
            self.say(cx, owner, stamp, Answer::Wait(Delay::Held));
        }
    }

    fn grant<A: Address>(&mut self, cx: &mut Context<A>, waiter: Waiter, key: &Arc<str>) {
        let Waiter { owner, ttl, stamp, .. } = waiter;
        let is_held = self.shelf.find(key).is_some_and(|record| record.is_held());
        let has_room = is_held || self.shelf.held_count() < self.config.max_locks;
        let until = cx.now + self.clock.full(ttl);
        let hold = |token| Hold::Held { owner, token };
        match has_room.then(|| self.write(key, until, hold)).flatten() {
            Some(token) => self.owe(key, Owed { owner, stamp, answer: Answer::Granted { token } }),
            None => self.answer(cx, owner, stamp, Answer::Full),
        }
    }

    /// Gives a free lock to who is next. One that was not heard of for half of the time that it wants the lock for
    /// loses its place.
    pub(super) fn serve<A: Address>(&mut self, cx: &mut Context<A>, key: &Arc<str>) {
        let can_grant = self.office.as_ref().is_some_and(|office| office.gathering.is_none() && office.can_grant());
        while can_grant && !self.shelf.find(key).is_some_and(|record| record.is_held()) {
            let Some(office) = &mut self.office else { return };
            let Some(waiter) = office.desks.get_mut(key).and_then(|desk| desk.queue.pop_front()) else { return };
            let Owner { life, op } = waiter.owner;
            let session = office.session(life);
            let is_silent = cx.now.saturating_since(waiter.heard) > waiter.ttl / 2;
            if is_silent || is_over(cx, life, true) {
                session.forget(op);
            } else if matches!(session.find(op), Some(Progress::Open)) {
                self.grant(cx, waiter, key);
            }
        }
    }

    fn extend<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        (owner, stamp): (Owner, u64),
        token: Token,
        ttl: Duration,
        key: &Arc<str>,
    ) {
        let Some((holder, until)) = self.holder_under(owner.life, token, key) else {
            return self.answer(cx, owner, stamp, Answer::NotHeld);
        };
        let until = until.max(cx.now + self.clock.full(ttl));
        if self.write(key, until, |_| Hold::Held { owner: holder, token }).is_some() {
            self.owe(key, Owed { owner, stamp, answer: Answer::Extended });
        }
    }

    fn release<A: Address>(&mut self, cx: &mut Context<A>, (owner, stamp): (Owner, u64), token: Token, key: &Arc<str>) {
        let was_released = |record: Record| record.hold == Hold::Free { by: owner };
        if self.holder_under(owner.life, token, key).is_some() {
            self.write_free(cx.now, key, owner);
        } else if self.shelf.find(key).is_some_and(was_released) {
            // By a former leader, whose answer was lost.
            self.write_anew(key);
        } else {
            return self.answer(cx, owner, stamp, Answer::NotHeld);
        }
        self.owe(key, Owed { owner, stamp, answer: Answer::Released });
        self.serve(cx, key);
    }

    fn withdraw<A: Address>(&mut self, cx: &mut Context<A>, (owner, stamp): (Owner, u64), of: u64, key: &Arc<str>) {
        let withdrawn = Owner { op: of, ..owner };
        let Some(office) = &mut self.office else { return };
        if let Some(desk) = office.desks.get_mut(key) {
            desk.queue.retain(|waiter| waiter.owner != withdrawn);
            desk.owed.retain(|owed| owed.owner != withdrawn);
        }
        // A question that was on its way shall not ask for it again.
        office.session(owner.life).close(of, stamp, Answer::Withdrawn);
        let holds = |record: Record| matches!(record.hold, Hold::Held { owner, .. } if owner == withdrawn);
        if self.shelf.find(key).is_some_and(holds) {
            self.write_free(cx.now, key, owner);
            self.owe(key, Owed { owner, stamp, answer: Answer::Withdrawn });
            self.serve(cx, key);
        } else {
            self.answer(cx, owner, stamp, Answer::Withdrawn);
        }
    }

    fn query<A: Address>(&mut self, cx: &mut Context<A>, (owner, stamp): (Owner, u64), key: &Arc<str>) {
        let record = self.shelf.find(key);
        let desk = self.office.as_ref().and_then(|office| office.desks.get(key));
        let waiting = desk.map_or(0, |desk| u32::try_from(desk.queue.len()).unwrap_or(u32::MAX));
        let is_written = desk.is_some_and(|desk| desk.count.is_some());
        let holder = record.and_then(|record| match record.hold {
            Hold::Held { owner, token } => {
                Some(Holding { holder: owner.life.id, token, left: record.entry(cx.now, key).left })
            }
            Hold::Free { .. } => None,
        });
        let answer = Answer::Standing { holder, waiting };
        if record.is_none() {
            return self.answer(cx, owner, stamp, answer);
        }
        if !is_written {
            self.write_anew(key);
        }
        self.owe(key, Owed { owner, stamp, answer });
        self.note_copies(cx, key);
    }

    /// Who holds a lock in this life under this token, and until when.
    fn holder_under(&self, life: Voter, token: Token, key: &str) -> Option<(Owner, Instant)> {
        let record = self.shelf.find(key)?;
        match record.hold {
            Hold::Held { owner, token: held } if owner.life == life && held == token => Some((owner, record.until)),
            _ => None,
        }
    }

    /// Writes what was known from a former leader as a record of this term.
    fn write_anew(&mut self, key: &Arc<str>) {
        if let Some(record) = self.shelf.find(key) {
            self.write(key, record.until, |_| record.hold);
        }
    }

    /// Answers as soon as enough remember the record as it is now.
    fn owe(&mut self, key: &Arc<str>, owed: Owed) {
        let Some(office) = &mut self.office else { return };
        office.session(owed.owner.life).open(owed.owner.op);
        office.desks.entry(Arc::clone(key)).or_default().owed.push(owed);
    }
}
