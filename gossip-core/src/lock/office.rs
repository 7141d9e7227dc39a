//! A leader's time in office: who remembers for it, and what it has under way.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use smallvec::SmallVec;

use crate::context::Context;
use crate::election::{Contest, Term, Voter};
use crate::identity::Address;
use crate::lock::pool::{Pool, is_alive, is_live, is_over};
use crate::lock::recovery::Gathering;
use crate::lock::session::Session;
use crate::lock::shelf::{Hold, Placed, Record};
use crate::lock::{Owner, Token};
use crate::time::Instant;
use crate::wire::{Answer, Say};

/// Most answers that wait until enough remember one record. A question beyond is not heard, and comes again.
const MOST_OWED: usize = 1_024;

/// A node that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) owner: Owner,
    pub(super) ttl: Duration,
    /// Of its latest question, and when that came.
    pub(super) stamp: u64,
    pub(super) heard: Instant,
}

/// An answer that is given as soon as enough remember the record that it rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) owner: Owner,
    pub(super) stamp: u64,
    pub(super) answer: Answer,
}

/// What is under way for one lock.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) queue: VecDeque<Waiter>,
    pub(super) owed: Vec<Owed>,
    /// The record's number in this term, if it was written in it, and who remembers it.
    pub(super) count: Option<u64>,
    pub(super) copies: SmallVec<[Voter; 4]>,
    /// When it is stored again, and how often it was.
    pub(super) next: Option<Instant>,
    pub(super) tries: u32,
}

#[derive(Debug)]
pub(super) struct Office {
    pub(super) term: Term,
    /// What was granted before is gathered; `None` from when it is known.
    pub(super) gathering: Option<Gathering>,
    pub(super) sessions: BTreeMap<Voter, Session>,
    pub(super) desks: BTreeMap<Arc<str>, Desk>,
    /// Records by their number in this term.
    pub(super) index: BTreeMap<u64, Arc<str>>,
    /// Records that were written and not sent yet.
    pub(super) fresh: BTreeSet<u64>,
    /// Those that too few remember, by when they are sent again.
    pub(super) short: BTreeSet<(Instant, u64)>,
    /// Others that are there and remember for every leader that may follow.
    pub(super) replicas: Vec<Voter>,
    /// How many of these are needed, this node's own memory counted.
    pub(super) needed: usize,
}

impl Office {
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let short = self.short.first().map(|&(at, _)| at);
        short.into_iter().chain(self.gathering.as_ref().map(|gathering| gathering.due(now))).min()
    }

    pub(super) fn postpone(&mut self, by: Duration) {
        if let Some(gathering) = &mut self.gathering {
            gathering.postpone(by);
        }
    }

    /// Whether there are enough who could remember.
    pub(super) fn can_grant(&self) -> bool {
        self.replicas.len() >= self.needed
    }

    pub(super) fn is_replicated(&self, desk: &Desk) -> bool {
        desk.copies.iter().filter(|copy| self.replicas.contains(copy)).count() >= self.needed
    }

    pub(super) fn session(&mut self, life: Voter) -> &mut Session {
        self.sessions.entry(life).or_default()
    }

    /// Whether so many wait for this record to be remembered that no more are taken.
    pub(super) fn owes_enough(&self, key: &str) -> bool {
        self.desks.get(key).is_some_and(|desk| desk.owed.len() >= MOST_OWED)
    }

    /// Plans when a record is stored again, or that it is not.
    pub(super) fn plan(&mut self, key: &str, next: Option<Instant>) {
        let Some(desk) = self.desks.get_mut(key) else { return };
        let Some(count) = desk.count else { return };
        if let Some(former) = desk.next.take() {
            self.short.remove(&(former, count));
        }
        desk.next = next;
        self.short.extend(next.map(|next| (next, count)));
    }

    /// A record is no more: what was to rest on it begins anew when it is asked for again.
    fn close_desk(&mut self, key: &str) {
        self.plan(key, None);
        let Some(desk) = self.desks.get_mut(key) else { return };
        if let Some(count) = desk.count.take() {
            self.index.remove(&count);
            self.fresh.remove(&count);
        }
        let owed = core::mem::take(&mut desk.owed);
        if desk.queue.is_empty() {
            self.desks.remove(key);
        }
        for Owed { owner, .. } in owed {
            self.session(owner.life).forget(owner.op);
        }
    }
}

impl Pool {
    pub(super) fn enter_office<A: Address>(
        &mut self,
        cx: &Context<A>,
        contest: &Contest,
        term: Term,
    ) -> Option<Office> {
        if term < self.fence {
            // Tokens of this term would be smaller than some that were seen.
            return None;
        }
        self.fence = term;
        if self.count.0 != term {
            self.count = (term, 0);
        }
        // The voters are looked at anew.
        self.settlement = None;
        Some(Office {
            term,
            gathering: Some(Gathering::new(self, cx.now, contest)),
            sessions: BTreeMap::new(),
            desks: BTreeMap::new(),
            index: BTreeMap::new(),
            fresh: BTreeSet::new(),
            short: BTreeSet::new(),
            replicas: Vec::new(),
            needed: usize::MAX,
        })
    }

    /// Who can remember may have changed.
    pub(super) fn note_replicas<A: Address>(&mut self, cx: &mut Context<A>, contest: &Contest) {
        let Some(office) = &mut self.office else { return };
        let mut voters: Vec<Voter> = contest.settled_voters().into_iter().flatten().collect();
        let place = voters.iter().position(|&voter| voter == self.me);
        // Different leaders begin with different ones.
        voters.rotate_left(place.unwrap_or(0));
        let is_settled = !voters.is_empty();
        voters.retain(|&voter| voter != self.me && is_live(cx, voter));
        voters.sort_by_key(|voter| !is_alive(cx, *voter));
        let own = usize::from(place.is_some());
        let needed = if is_settled { self.config.replicas - own } else { usize::MAX };
        if office.replicas == voters && office.needed == needed {
            return;
        }
        (office.replicas, office.needed) = (voters, needed);
        let keys: Vec<Arc<str>> = office.desks.keys().map(Arc::clone).collect();
        for key in keys {
            let Some(desk) = self.office.as_ref().and_then(|office| office.desks.get(&key)) else { continue };
            let is_waiting = !desk.queue.is_empty();
            self.note_copies(cx, &key);
            if is_waiting {
                self.serve(cx, &key);
            }
        }
    }

    /// Frees what is held by those who think of nothing any more, and forgets who is gone.
    pub(super) fn free_departed<A: Address>(&mut self, cx: &mut Context<A>) {
        let Some(office) = self.office.as_mut().filter(|office| office.gathering.is_none()) else { return };
        // Who is only thought dead may have questions on their way that were answered before.
        office.sessions.retain(|&life, _| cx.table.find(life.id).is_some() && !is_over(cx, life, false));
        let is_gone = |owner: Owner| is_over(cx, owner.life, self.config.free_dead);
        let gone: Vec<(Arc<str>, Owner)> = self
            .shelf
            .holders()
            .filter(|&(_, owner)| is_gone(owner))
            .map(|(key, owner)| (Arc::clone(key), owner))
            .collect();
        for (key, owner) in gone {
            self.write_free(cx.now, &key, owner);
            self.serve(cx, &key);
        }
    }

    /// A record has ended.
    pub(super) fn note_ended<A: Address>(&mut self, cx: &mut Context<A>, key: &Arc<str>) {
        if let Some(office) = &mut self.office {
            office.close_desk(key);
            self.serve(cx, key);
        }
    }

    /// Writes a record of this term; its edition, if there is room.
    pub(super) fn write(&mut self, key: &Arc<str>, until: Instant, hold: impl FnOnce(Token) -> Hold) -> Option<Token> {
        let office = self.office.as_mut()?;
        let count = self.count.1 + 1;
        let edition = Token { term: office.term, count };
        let placed = self.shelf.put(key, Record { edition, hold: hold(edition), until }, self.config.most_records());
        match placed {
            Placed::Yes => {}
            Placed::Instead(former) => office.close_desk(&former),
            Placed::No => return None,
        }
        self.count.1 = count;
        office.plan(key, None);
        let desk = office.desks.entry(Arc::clone(key)).or_default();
        desk.copies.clear();
        desk.tries = 0;
        if let Some(former) = desk.count.replace(count) {
            office.index.remove(&former);
            office.fresh.remove(&former);
        }
        office.index.insert(count, Arc::clone(key));
        office.fresh.insert(count);
        Some(edition)
    }

    /// Writes that a lock is free.
    pub(super) fn write_free(&mut self, now: Instant, key: &Arc<str>, by: Owner) {
        let until = now + self.remembers_free();
        self.write(key, until, |_| Hold::Free { by });
    }

    /// Gives an answer for good.
    pub(super) fn answer<A: Address>(&mut self, cx: &mut Context<A>, owner: Owner, stamp: u64, answer: Answer) {
        if let Some(office) = &mut self.office {
            office.session(owner.life).close(owner.op, stamp, answer);
        }
        self.say(cx, owner, stamp, answer);
    }

    pub(super) fn say<A: Address>(&mut self, cx: &mut Context<A>, to: Owner, stamp: u64, answer: Answer) {
        if to.life == self.me {
            self.own_answers.push_back((to.op, stamp, answer));
        } else {
            self.send(cx, &[to.life], Say::Answer { op: to.op, stamp, answer });
        }
    }
}
