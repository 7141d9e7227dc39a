//! How a new leader learns what was granted before.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::context::Context;
use crate::election::{Contest, Term, Voter};
use crate::identity::Address;
use crate::lock::copies::append;
use crate::lock::pool::{Pool, is_alive};
use crate::time::Instant;
use crate::wire::{Records, Say};

/// A question that is not answered is repeated after this time, and then less and less often.
const FIRST_WAIT: Duration = Duration::from_millis(40);

/// How much of what one member remembers is known.
#[derive(Debug)]
struct Page {
    after: String,
    next: Instant,
    tries: u32,
    is_whole: bool,
}

#[derive(Debug)]
pub(super) struct Gathering {
    /// Those of whom enough have to be heard.
    voters: Vec<Voter>,
    enough: usize,
    pages: BTreeMap<Voter, Page>,
    /// Until then, all that are there are waited for.
    patient_until: Instant,
    /// By then every grant of another leader has run out by every clock.
    over_at: Instant,
    /// Only that counts.
    waits_for_end: bool,
}

impl Gathering {
    pub(super) fn new(pool: &Pool, now: Instant, contest: &Contest) -> Self {
        let is_first = contest.voters_before().is_empty();
        let voters = if is_first { contest.voters() } else { contest.voters_before() }.to_vec();
        // Whoever was granted something has it remembered by `replicas` of them, so one of these is heard. Half of
        // them, because one of a majority that agreed to another electorate is among these.
        let enough = voters.len().saturating_sub(pool.config.replicas - 1).max(voters.len().div_ceil(2));
        let asked = voters.iter().chain(contest.voters()).chain(pool.former.iter().map(|(voter, _)| voter));
        let page = || Page { after: String::new(), next: now, tries: 0, is_whole: false };
        Self {
            pages: asked.filter(|&&voter| voter != pool.me).map(|&voter| (voter, page())).collect(),
            voters,
            enough,
            patient_until: now + contest.settings().lease / 8,
            over_at: now + pool.clock.full(pool.config.max_ttl),
            waits_for_end: is_first && pool.config.wait_when_founded,
        }
    }

    /// When it goes on by itself; after the end of all grants it waits for others alone.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let open = self.pages.values().filter(|page| !page.is_whole).map(|page| page.next);
        let over = Some(self.over_at).filter(|&at| at > now);
        open.chain(over).min().unwrap_or(Instant::MAX)
    }

    pub(super) fn postpone(&mut self, by: Duration) {
        self.over_at = self.over_at + by;
    }

    fn is_done<A: Address>(&self, cx: &Context<A>, me: Voter) -> bool {
        if cx.now >= self.over_at {
            return true;
        }
        let is_whole = |voter: &Voter| *voter == me || self.pages.get(voter).is_some_and(|page| page.is_whole);
        let heard = self.voters.iter().filter(|voter| is_whole(voter)).count();
        let are_all = || self.pages.iter().all(|(&voter, page)| page.is_whole || !is_alive(cx, voter));
        !self.waits_for_end && heard >= self.enough && (cx.now >= self.patient_until || are_all())
    }
}

impl Pool {
    pub(super) fn go_on_recovering<A: Address>(&mut self, cx: &mut Context<A>, contest: &Contest) {
        let Some(office) = &mut self.office else { return };
        let Some(gathering) = &mut office.gathering else { return };
        let mut asked: Vec<(Voter, String)> = Vec::new();
        for (&voter, page) in gathering.pages.iter_mut().filter(|(_, page)| !page.is_whole && page.next <= cx.now) {
            page.next = cx.now + FIRST_WAIT * (1 << page.tries.min(3));
            page.tries = page.tries.saturating_add(1);
            asked.push((voter, page.after.clone()));
        }
        let is_done = gathering.is_done(cx, self.me) && contest.settled_voters().is_some();
        let term = office.term;
        if is_done {
            office.gathering = None;
            self.take_over(cx);
            return;
        }
        for (voter, after) in asked {
            self.send(cx, &[voter], Say::Fetch { term, after: &after });
        }
    }

    /// From now on it serves. What is held is written anew, so that enough remember it who are there now.
    fn take_over<A: Address>(&mut self, cx: &mut Context<A>) {
        let held: Vec<Arc<str>> = self.shelf.holders().map(|(key, _)| Arc::clone(key)).collect();
        for key in held {
            let Some(record) = self.shelf.find(&key) else { continue };
            self.write(&key, record.until, |_| record.hold);
        }
        self.free_departed(cx);
    }

    /// Tells a new leader what is remembered of keys after this one.
    pub(super) fn tell_known<A: Address>(&self, cx: &mut Context<A>, term: Term, after: &str) {
        let (mut bytes, mut more) = (Vec::new(), false);
        for (key, record) in self.shelf.after(after).filter(|(_, record)| record.until > cx.now) {
            if bytes.len() >= cx.config.chunk {
                more = true;
                break;
            }
            append(&mut bytes, &record.entry(cx.now, key));
        }
        self.send(cx, &[term.candidate], Say::Known { term, after, more, records: Records(&bytes) });
    }

    pub(super) fn take_known<A: Address>(
        &mut self,
        cx: &Context<A>,
        from: Voter,
        term: Term,
        (after, more): (&str, bool),
        records: Records<'_>,
    ) {
        let Some(office) = self.office.as_mut().filter(|office| office.term == term) else { return };
        let Some(page) = office.gathering.as_mut().and_then(|gathering| gathering.pages.get_mut(&from)) else { return };
        let last = records.iter().last();
        let goes_on = last.is_some_and(|last| last.key > after);
        if page.is_whole || page.after != after || more && !goes_on {
            return;
        }
        page.is_whole = !more;
        if let Some(last) = last {
            (page.after, page.next, page.tries) = (last.key.into(), cx.now, 0);
        }
        for entry in records.iter().filter(|entry| entry.is_valid() && entry.edition.term < term) {
            // What others had room for is not refused where limits differ a little; more than that no leader wrote.
            self.keep(cx.now, &entry, self.config.most_found());
        }
    }
}
