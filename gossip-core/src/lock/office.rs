//! What a leader decides.

use alloc::sync::Arc;
use core::time::Duration;

use crate::context::Context;
use crate::election::{Contest, Term, Voter};
use crate::identity::Address;
use crate::lock::pool::Pool;
use crate::time::Instant;
use crate::wire::{Answer, Delay, Records, Say, Wish};

/// The time in office of one leader.
#[derive(Debug)]
pub(super) struct Office {
    pub(super) term: Term,
}

impl Office {
    pub(super) fn due(&self) -> Option<Instant> {
        None
    }

    pub(super) fn postpone(&mut self, _by: Duration) {}
}

impl Pool {
    pub(super) fn enter_office<A: Address>(&mut self, _cx: &mut Context<A>, _contest: &Contest, term: Term) -> Office {
        self.fence = self.fence.max(term);
        Office { term }
    }

    pub(super) fn note_voters<A: Address>(&mut self, _cx: &mut Context<A>, _contest: &Contest) -> bool {
        false
    }

    pub(super) fn free_departed<A: Address>(&mut self, _cx: &mut Context<A>, _contest: &Contest) {}

    pub(super) fn note_expired<A: Address>(
        &mut self,
        _cx: &mut Context<A>,
        _contest: &Contest,
        _key: &Arc<str>,
        _was_held: bool,
    ) {
    }

    pub(super) fn take_question<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        _contest: &Contest,
        (who, _floor): (Voter, u64),
        (op, stamp): (u64, u64),
        _wish: Wish,
        _key: &str,
    ) {
        let answer = Answer::Wait(Delay::Recovering);
        if who == self.me {
            self.own_answers.push_back((op, stamp, answer));
        } else {
            self.send(cx, &[who], Say::Answer { op, stamp, answer });
        }
    }

    pub(super) fn store_again<A: Address>(&mut self, _cx: &mut Context<A>) {}

    pub(super) fn remember<A: Address>(&mut self, _cx: &mut Context<A>, _term: Term, _entries: Records<'_>) {}

    pub(super) fn note_stored<A: Address>(
        &mut self,
        _cx: &mut Context<A>,
        _contest: &Contest,
        _from: Voter,
        _term: Term,
        _counts: &[u8],
    ) {
    }

    pub(super) fn go_on_recovering<A: Address>(&mut self, _cx: &mut Context<A>, _contest: &Contest) {}

    pub(super) fn tell_known<A: Address>(&mut self, _cx: &mut Context<A>, _to: Voter, _term: Term, _after: &str) {}

    pub(super) fn take_known<A: Address>(
        &mut self,
        _cx: &mut Context<A>,
        _from: Voter,
        _term: Term,
        _page: (&str, bool),
        _entries: Records<'_>,
    ) {
    }
}
