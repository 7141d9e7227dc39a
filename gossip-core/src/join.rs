//! Joining: one exchange over a stream, in which the joiner is checked and receives the whole member table.

use alloc::vec::Vec;

use crate::context::{Context, Phase};
use crate::error::{JoinError, PhaseError, RejectReason};
use crate::event::Event;
use crate::identity::{Address, NodeId, Versions};
use crate::outbox::Pending;
use crate::seal::Addressee;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::Timer;
use crate::wire;

/// Attempts under way at once.
const ATTEMPTS: usize = 256;

#[derive(Debug)]
struct Attempt<A> {
    address: A,
    began: Instant,
    ends: Instant,
    /// This node knew nobody when it began.
    is_newcomer: bool,
    /// The application is to know how it ends.
    is_reported: bool,
    /// It asked, under a seal, whom to ask, and was not told yet.
    awaits_greeting: bool,
}

/// The attempts of this node to join through others.
#[derive(Debug)]
pub(crate) struct Joining<A> {
    attempts: Vec<Attempt<A>>,
}

impl<A: Address> Joining<A> {
    pub(crate) fn new() -> Self {
        Self { attempts: Vec::new() }
    }

    /// Begins to join through `address`; one that is under way already answers for both.
    pub(crate) fn begin(&mut self, cx: &mut Context<A>, address: A) -> Result<(), JoinError> {
        if matches!(cx.phase, Phase::Leaving | Phase::Left) {
            return Err(PhaseError::Leaving.into());
        }
        if address == cx.table.myself().address {
            return Err(JoinError::Rejected(RejectReason::Myself));
        }
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.address == address) {
            attempt.is_reported = true;
            return Ok(());
        }
        if self.attempts.len() == ATTEMPTS {
            return Err(JoinError::Busy);
        }
        let ends = cx.now + cx.config.join_timeout;
        cx.outbox.push(Pending::Join { to: address.clone() });
        let is_newcomer = cx.view.live().is_empty();
        let began = cx.now;
        self.attempts.push(Attempt { address, began, ends, is_newcomer, is_reported: true, awaits_greeting: true });
        self.arm(cx);
        Ok(())
    }

    /// Asks at `address` what is known there of this node's id; the application does not hear of it.
    pub(crate) fn inquire(&mut self, cx: &mut Context<A>, address: A) {
        if !self.is_waiting_for(&address)
            && self.begin(cx, address).is_ok()
            && let Some(attempt) = self.attempts.last_mut()
        {
            attempt.is_reported = false;
        }
    }

    pub(crate) fn is_waiting_for(&self, address: &A) -> bool {
        self.attempts.iter().any(|attempt| attempt.address == *address)
    }

    /// Since when an answer from `address` is waited for.
    pub(crate) fn began_at(&self, address: &A) -> Option<Instant> {
        self.attempts.iter().find(|attempt| attempt.address == *address).map(|attempt| attempt.began)
    }

    /// Whether this node knew nobody when it began to join through `address`.
    pub(crate) fn is_newcomer_at(&self, address: &A) -> bool {
        self.attempts.iter().any(|attempt| attempt.address == *address && attempt.is_newcomer)
    }

    /// Whether this node is being let in for the first time.
    pub(crate) fn is_newcomer(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.is_newcomer)
    }

    /// Asks again under the node's new incarnation: a node that heard of an older life of this one answered so.
    pub(crate) fn repeat(&mut self, cx: &mut Context<A>) {
        for attempt in &mut self.attempts {
            attempt.awaits_greeting = true;
            cx.outbox.push(Pending::Join { to: attempt.address.clone() });
        }
    }

    /// The node at `from` said whom a request to join is to be sealed for.
    ///
    /// Whoever repeats a request draws more greetings, and each would draw a whole table: one is followed for each request.
    pub(crate) fn handle_greeting(&mut self, cx: &mut Context<A>, from: &A, by: Addressee) {
        let asks = |attempt: &&mut Attempt<A>| attempt.address == *from && attempt.awaits_greeting;
        if let Some(attempt) = self.attempts.iter_mut().find(asks) {
            attempt.awaits_greeting = false;
            cx.outbox.push_for(by, Pending::Join { to: from.clone() });
        } else {
            cx.drop(DropReason::Unexpected);
        }
    }

    /// A part of a member table came; more of it may follow.
    pub(crate) fn handle_accept(&mut self, cx: &mut Context<A>, from: &A, by: NodeId, more: bool) {
        let Some(index) = self.attempts.iter().position(|attempt| attempt.address == *from) else {
            cx.drop(DropReason::Unexpected);
            return;
        };
        if more {
            self.attempts[index].ends = cx.now + cx.config.join_timeout;
        } else {
            let Attempt { address, is_reported, .. } = self.attempts.swap_remove(index);
            if is_reported {
                cx.events.push(Event::JoinAccepted { address, by, members: cx.view.cluster_size() });
            }
        }
        self.arm(cx);
    }

    /// The attempt through `address` failed; nothing happens if there is none.
    pub(crate) fn fail(&mut self, cx: &mut Context<A>, address: &A, error: JoinError) -> bool {
        let Some(index) = self.attempts.iter().position(|attempt| attempt.address == *address) else { return false };
        let Attempt { address, is_reported, .. } = self.attempts.swap_remove(index);
        if is_reported {
            cx.events.push(Event::JoinFailed { address, error });
        }
        self.arm(cx);
        true
    }

    /// Gives up every attempt: this node leaves.
    pub(crate) fn abandon(&mut self, cx: &mut Context<A>) {
        for Attempt { address, .. } in self.attempts.drain(..).filter(|attempt| attempt.is_reported) {
            cx.events.push(Event::JoinFailed { address, error: PhaseError::Leaving.into() });
        }
        self.arm(cx);
    }

    /// The first of the attempts that took too long, if any.
    pub(crate) fn overdue(&self, now: Instant) -> Option<A> {
        self.attempts.iter().find(|attempt| attempt.ends <= now).map(|attempt| attempt.address.clone())
    }

    fn arm(&self, cx: &mut Context<A>) {
        cx.timers.follow(Timer::Join, self.attempts.iter().map(|attempt| attempt.ends).min());
    }
}

/// Whether a node may join this one, and if not, why.
pub(crate) fn admit<A: Address>(cx: &Context<A>, joiner: NodeId, join: &wire::Join<'_>) -> Result<(), RejectReason> {
    if join.cluster != cx.config.cluster {
        return Err(RejectReason::Cluster);
    }
    if !join.speaks.overlaps(Versions::SUPPORTED) {
        return Err(RejectReason::Versions(Versions::SUPPORTED));
    }
    if !(cx.config.accept_application)(join.application) {
        return Err(RejectReason::Application(cx.config.application.clone()));
    }
    if matches!(cx.phase, Phase::Leaving | Phase::Left) {
        return Err(RejectReason::Leaving);
    }
    if cx.table.find(joiner).is_none() && cx.table.len() >= cx.config.max_members {
        return Err(RejectReason::Full);
    }
    Ok(())
}
