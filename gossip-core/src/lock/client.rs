//! What a node asks of the leader, and what it makes of the answers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::time::Duration;

use crate::context::Context;
use crate::election::{Contest, Term, Voter};
use crate::error::PhaseError;
use crate::identity::Address;
use crate::lock::held::{Held, HeldLocks};
use crate::lock::pool::Pool;
use crate::lock::{Grant, Holder, LockDone, LockError, LockNews, LockOp, LockStatus, Token};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::{Answer, Delay, Say, Wish};

/// Operations and locks of one pool that a node has open, and words of them that were not polled.
pub(super) const MOST_OPEN: usize = 16_384;

/// The first question is repeated after this time, the others after up to [`SLOWEST`].
const FIRST_WAIT: Duration = Duration::from_millis(40);

const SLOWEST: Duration = Duration::from_millis(250);

/// A leader that gathers, or waits for other members, is asked again after this time, and then less often.
const SHORT_WAIT: Duration = Duration::from_millis(25);

/// What a node asks for.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// `None`: it is the pool's own business.
    pub(super) id: Option<LockOp>,
    pub(super) key: Arc<str>,
    pub(super) wish: Wish,
    /// It is extended again and again.
    pub(super) keeps: bool,
    pub(super) deadline: Instant,
}

#[derive(Debug)]
struct Op {
    order: Order,
    next: Instant,
    tries: u32,
    /// Whom it was asked of last, and since when.
    asked: Option<(Term, Instant)>,
    /// It was asked of several leaders.
    has_moved: bool,
    delay: Delay,
}

impl Op {
    fn due(&self) -> Instant {
        self.next.min(self.order.deadline)
    }

    /// Waits that grow from this one, short enough that little of the time to live is lost.
    fn wait(&self, first: Duration) -> Duration {
        let wait = SLOWEST.min(first * (1 << self.tries.saturating_sub(1).min(4)));
        ttl_of(self.order.wish).map_or(wait, |ttl| wait.min(ttl / 8))
    }
}

#[derive(Debug, Default)]
pub(super) struct Client {
    /// Operations begun so far.
    numbers: u64,
    ops: BTreeMap<u64, Op>,
    by_id: BTreeMap<LockOp, u64>,
    /// When there is something to do for each.
    order: BTreeSet<(Instant, u64)>,
    held: HeldLocks,
}

impl Client {
    fn begin(&mut self, now: Instant, order: Order) -> u64 {
        self.numbers += 1;
        let number = self.numbers;
        self.by_id.extend(order.id.map(|id| (id, number)));
        let op = Op { order, next: now, tries: 0, asked: None, has_moved: false, delay: Delay::NoLeader };
        self.order.insert((op.due(), number));
        self.ops.insert(number, op);
        number
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut Op)) {
        if let Some(op) = self.ops.get_mut(&number) {
            self.order.remove(&(op.due(), number));
            change(op);
            self.order.insert((op.due(), number));
        }
    }

    fn end(&mut self, number: u64) -> Option<Op> {
        let op = self.ops.remove(&number)?;
        self.order.remove(&(op.due(), number));
        if let Some(id) = op.order.id {
            self.by_id.remove(&id);
        }
        Some(op)
    }

    /// There is another leader.
    pub(super) fn ask_again(&mut self, now: Instant) {
        for op in self.ops.values_mut() {
            op.next = now;
        }
        self.order = self.ops.iter().map(|(&number, op)| (op.due(), number)).collect();
    }

    pub(super) fn holds_any(&self) -> bool {
        self.held.len() > 0
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let first = self.order.first().map(|&(at, _)| at);
        first.into_iter().chain(self.held.due()).min()
    }

    /// All operations below this one have ended.
    fn floor(&self) -> u64 {
        self.ops.keys().next().copied().unwrap_or(self.numbers + 1)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn ttl_of(wish: Wish) -> Option<Duration> {
    match wish {
        Wish::Acquire { ttl } | Wish::Try { ttl } | Wish::Extend { ttl, .. } => Some(Duration::from_micros(ttl)),
        Wish::Release { .. } | Wish::Query | Wish::Withdraw { .. } => None,
    }
}

impl Pool {
    pub(super) fn check_held(&self, now: Instant, key: &str, token: Token) -> Result<(), LockError> {
        let held = self.client.held.grant(now, key).filter(|grant| grant.token == token);
        held.map(|_| ()).ok_or(LockError::NotHeld)
    }

    pub(super) fn check_room(&self) -> Result<(), LockError> {
        let open = self.client.ops.len() + self.client.held.len() + self.news.len();
        if open < MOST_OPEN { Ok(()) } else { Err(LockError::TooManyOperations { limit: MOST_OPEN }) }
    }

    pub(super) fn holds(&self, now: Instant, key: &str) -> Option<Grant> {
        self.client.held.grant(now, key)
    }

    pub(super) fn begin<A: Address>(&mut self, cx: &Context<A>, order: Order) {
        if let Wish::Release { token } = order.wish {
            // From now on the node does not think that it holds the lock.
            self.drop_held(&order.key, token);
        }
        self.client.begin(cx.now, order);
    }

    pub(super) fn cancel(&mut self, now: Instant, id: LockOp) -> bool {
        let number = self.client.by_id.get(&id).copied();
        number.and_then(|number| self.give_up(now, number)).is_some()
    }

    /// Ends an operation whose outcome nobody waits for any more: what it is granted is given back.
    fn give_up(&mut self, now: Instant, number: u64) -> Option<Op> {
        let op = self.client.end(number)?;
        let wish = match op.order.wish {
            Wish::Acquire { .. } | Wish::Try { .. } if op.asked.is_some() => Wish::Withdraw { of: number },
            Wish::Release { token } => Wish::Release { token },
            _ => return Some(op),
        };
        if op.order.id.is_some() {
            self.see_to(now, &op.order.key, wish);
        }
        Some(op)
    }

    /// Begins an operation of the pool's own, for as long as a grant can last.
    fn see_to(&mut self, now: Instant, key: &Arc<str>, wish: Wish) {
        let deadline = now + self.clock.full(self.config.max_ttl);
        self.client.begin(now, Order { id: None, key: Arc::clone(key), wish, keeps: false, deadline });
    }

    fn tell(&mut self, id: Option<LockOp>, result: Result<LockDone, LockError>) {
        if let Some(op) = id {
            self.news.push_back(LockNews::Done { op, result });
        }
    }

    /// Forgets a grant; whether it was there.
    fn drop_held(&mut self, key: &str, token: Token) -> bool {
        let Some((_, held)) = self.client.held.remove_if(key, token) else { return false };
        held.extending.and_then(|number| self.client.end(number));
        true
    }

    fn lose(&mut self, key: &Arc<str>, token: Token) {
        if self.drop_held(key, token) {
            self.news.push_back(LockNews::Lost { pool: Arc::clone(&self.name), key: Arc::clone(key), token });
        }
    }

    /// What was granted to an earlier life is not this one's; what was asked for is asked for again.
    pub(super) fn lose_all(&mut self, now: Instant) {
        for (key, held) in self.client.held.take() {
            held.extending.and_then(|number| self.client.end(number));
            self.news.push_back(LockNews::Lost { pool: Arc::clone(&self.name), key, token: held.token });
        }
        for op in self.client.ops.values_mut() {
            op.asked = None;
        }
        self.client.ask_again(now);
    }

    /// Ends what has run out of time, and extends what is to be kept.
    pub(super) fn see_to_held(&mut self, now: Instant) {
        while let Some((key, held)) = self.client.held.first_due(now) {
            let (token, ttl, until) = (held.token, held.ttl, held.until);
            if until <= now {
                self.lose(&key, token);
                continue;
            }
            let wish = Wish::Extend { token, ttl };
            let order = Order { id: None, key: Arc::clone(&key), wish, keeps: true, deadline: until };
            let number = self.client.begin(now, order);
            self.client.held.change(&key, token, |held| (held.renew, held.extending) = (None, Some(number)));
        }
    }

    /// Asks what is due, and ends what waited long enough; whether there was any.
    pub(super) fn see_to_ops<A: Address>(&mut self, cx: &mut Context<A>, contest: &Contest) -> bool {
        let leader = contest.leader(cx.now).filter(|_| cx.is_active());
        let mut is_any = false;
        while let Some(&(_, number)) = self.client.order.first().filter(|&&(at, _)| at <= cx.now) {
            is_any = true;
            if self.client.ops.get(&number).is_some_and(|op| op.order.deadline <= cx.now) {
                if let Some(op) = self.give_up(cx.now, number) {
                    self.tell(op.order.id, Err(LockError::Timeout { delay: op.delay }));
                }
            } else {
                self.ask(cx, leader, number);
            }
        }
        is_any
    }

    fn ask<A: Address>(&mut self, cx: &mut Context<A>, leader: Option<Term>, number: u64) {
        let now = cx.now;
        self.client.change(number, |op| {
            let Some(term) = leader else {
                (op.next, op.delay) = (Instant::MAX, Delay::NoLeader);
                return;
            };
            if op.asked.is_none_or(|(asked, _)| asked != term) {
                op.has_moved |= op.asked.is_some();
                (op.asked, op.tries, op.delay) = (Some((term, now)), 0, Delay::Unanswered);
            }
            op.tries = op.tries.saturating_add(1);
            op.next = now + op.wait(FIRST_WAIT);
        });
        let Some((term, op)) = leader.zip(self.client.ops.get(&number)) else { return };
        let (floor, stamp, wish, key) =
            (self.client.floor(), now.as_micros(), op.order.wish, Arc::clone(&op.order.key));
        if term.candidate == self.me {
            self.take_question(cx, (self.me, floor), (number, stamp), wish, &key);
        } else {
            self.send(cx, &[term.candidate], Say::Ask { term, op: number, floor, stamp, wish, key: &key });
        }
    }

    pub(super) fn take_answer<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        from: Voter,
        (number, stamp): (u64, u64),
        answer: Answer,
    ) {
        let sent = Instant::from_micros(stamp);
        let fits = |&(term, since): &(Term, Instant)| term.candidate == from && (since..=cx.now).contains(&sent);
        if !self.client.ops.get(&number).is_some_and(|op| op.asked.as_ref().is_some_and(fits)) {
            return cx.drop(DropReason::LateAnswer);
        }
        if let Answer::Wait(delay) = answer {
            self.client.change(number, |op| {
                op.delay = delay;
                op.next = cx.now + op.wait(if delay == Delay::Held { SLOWEST } else { SHORT_WAIT });
            });
            return;
        }
        let Some(Op { order, has_moved, .. }) = self.client.end(number) else { return };
        if let Some(result) = self.conclude(cx.now, sent, &order, answer, has_moved) {
            self.tell(order.id, result);
        } else {
            // It came too late to be of use: given back, and asked for anew.
            self.see_to(cx.now, &order.key, Wish::Withdraw { of: number });
            self.client.begin(cx.now, order);
        }
    }

    /// What an answer means; `None` if a grant has run out already.
    fn conclude(
        &mut self,
        now: Instant,
        sent: Instant,
        order: &Order,
        answer: Answer,
        has_moved: bool,
    ) -> Option<Result<LockDone, LockError>> {
        Some(match (answer, order.wish) {
            (Answer::Granted { token }, Wish::Acquire { .. } | Wish::Try { .. }) => {
                return self.take_grant(now, sent, order, token).map(|grant| Ok(LockDone::Acquired(grant)));
            }
            (Answer::Extended, Wish::Extend { token, ttl }) => {
                let ttl = Duration::from_micros(ttl);
                let until = sent + self.clock.own(ttl);
                let grant = self.client.held.change(&order.key, token, |held| {
                    held.until = held.until.max(until);
                    if order.keeps {
                        (held.renew, held.extending) = (Some(sent + ttl / 3), None);
                    }
                    Grant { token, until: held.until }
                });
                grant.map(LockDone::Extended).ok_or(LockError::NotHeld)
            }
            (Answer::Released, _) => Ok(LockDone::Released),
            // The answer of the former leader was lost, and another one has the lock since.
            (Answer::NotHeld, Wish::Release { .. }) if has_moved => Ok(LockDone::Released),
            (Answer::NotHeld, wish) => {
                if let Wish::Extend { token, .. } = wish {
                    self.lose(&order.key, token);
                }
                Err(LockError::NotHeld)
            }
            (Answer::Full, _) => Err(LockError::Full { limit: self.config.max_locks }),
            (Answer::Crowded, _) => Err(LockError::TooManyWaiters),
            (Answer::Standing { holder, waiting }, _) => {
                let holder =
                    holder.map(|it| Holder { node: it.holder, token: it.token, left: Duration::from_micros(it.left) });
                Ok(LockDone::Status(LockStatus { holder, waiting }))
            }
            // The rest answers nothing that could have been asked.
            (Answer::Busy | Answer::Granted { .. } | Answer::Extended | Answer::Withdrawn | Answer::Wait(_), _) => {
                Err(LockError::Busy)
            }
        })
    }

    fn take_grant(&mut self, now: Instant, sent: Instant, order: &Order, token: Token) -> Option<Grant> {
        let ttl = ttl_of(order.wish).unwrap_or_default();
        let until = sent + self.clock.own(ttl);
        let former = self.client.held.token(&order.key);
        if until <= now || former.is_some_and(|former| former > token) {
            return None;
        }
        if let Some(former) = former {
            // The leader took it back, or it could not grant the lock again.
            self.lose(&order.key, former);
        }
        let renew = order.keeps.then(|| sent + ttl / 3);
        self.client.held.put(&order.key, Held { token, ttl: micros(ttl), until, renew, extending: None });
        Some(Grant { token, until })
    }

    pub(super) fn leave<A: Address>(&mut self, cx: &mut Context<A>, leader: Option<Term>) {
        self.office = None;
        let client = core::mem::take(&mut self.client);
        for op in client.ops.into_values() {
            self.tell(op.order.id, Err(PhaseError::Leaving.into()));
        }
        self.client.numbers = client.numbers;
        let mut held = client.held;
        for (key, Held { token, .. }) in held.take() {
            self.news.push_back(LockNews::Lost { pool: Arc::clone(&self.name), key: Arc::clone(&key), token });
            if let Some(term) = leader {
                self.client.numbers += 1;
                let (op, stamp) = (self.client.numbers, cx.now.as_micros());
                let ask = Say::Ask { term, op, floor: op, stamp, wish: Wish::Release { token }, key: &key };
                self.send(cx, &[term.candidate], ask);
            }
        }
    }
}
