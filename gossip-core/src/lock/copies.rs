//! Records that others remember for the leader.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::context::Context;
use crate::election::{Term, Voter};
use crate::identity::Address;
use crate::lock::office::Owed;
use crate::lock::pool::Pool;
use crate::lock::shelf::{Entry, Placed, Record};
use crate::time::Instant;
use crate::wire::{HEADER, Records, Say, counts};

/// A record that is not confirmed is sent again after this time, and then less and less often.
const FIRST_WAIT: Duration = Duration::from_millis(40);

/// The same for many at once, which take longer.
const WAIT_FOR_MANY: Duration = Duration::from_millis(500);

/// Most records that are sent again in one step.
const MOST_AT_ONCE: usize = 2_048;

/// More records than this go over streams.
const FEW: usize = 64;

/// Bytes of a message with records besides these, and of what surrounds it.
const BESIDE_RECORDS: usize = HEADER + 80;

impl Pool {
    /// Sends what was written.
    pub(super) fn send_fresh<A: Address>(&mut self, cx: &mut Context<A>) {
        let Some(office) = &mut self.office else { return };
        if office.fresh.is_empty() {
            return;
        }
        let fresh = core::mem::take(&mut office.fresh);
        let keys: Vec<Arc<str>> = fresh.iter().filter_map(|count| office.index.get(count).cloned()).collect();
        // One more than needed, so that one lost datagram delays nothing.
        let targets = office.needed.saturating_add(usize::from(office.needed > 0)).min(office.replicas.len());
        let (term, to) = (office.term, office.replicas[..targets].to_vec());
        let wait = if keys.len() > FEW { WAIT_FOR_MANY } else { FIRST_WAIT };
        for key in &keys {
            office.plan(key, Some(cx.now + wait));
        }
        self.send_records(cx, term, &to, &keys);
        for key in &keys {
            self.note_copies(cx, key);
        }
    }

    /// Sends again what too few have confirmed.
    pub(super) fn store_again<A: Address>(&mut self, cx: &mut Context<A>) {
        let Some(office) = &mut self.office else { return };
        let mut batches: BTreeMap<Voter, Vec<Arc<str>>> = BTreeMap::new();
        for _ in 0..MOST_AT_ONCE {
            let Some(&(_, count)) = office.short.first().filter(|&&(at, _)| at <= cx.now) else { break };
            let Some(key) = office.index.get(&count).cloned() else { break };
            let Some(desk) = office.desks.get_mut(&key) else { break };
            for &replica in office.replicas.iter().filter(|replica| !desk.copies.contains(replica)) {
                batches.entry(replica).or_default().push(Arc::clone(&key));
            }
            let wait = FIRST_WAIT * (1 << desk.tries.min(5));
            desk.tries = desk.tries.saturating_add(1);
            office.plan(&key, Some(cx.now + wait));
        }
        let term = office.term;
        for (replica, keys) in batches {
            self.send_records(cx, term, &[replica], &keys);
        }
    }

    fn send_records<A: Address>(&self, cx: &mut Context<A>, term: Term, to: &[Voter], keys: &[Arc<str>]) {
        if to.is_empty() {
            return;
        }
        let datagram = cx.config.max_datagram.saturating_sub(BESIDE_RECORDS + cx.config.trailer());
        let room = if keys.len() > FEW { cx.config.chunk } else { datagram };
        let mut bytes = Vec::new();
        for key in keys {
            let Some(record) = self.shelf.find(key) else { continue };
            let start = bytes.len();
            append(&mut bytes, &record.entry(cx.now, key));
            if start > 0 && bytes.len() > room {
                let rest = bytes.split_off(start);
                self.send(cx, to, Say::Store { term, records: Records(&bytes) });
                bytes = rest;
            }
        }
        if !bytes.is_empty() {
            self.send(cx, to, Say::Store { term, records: Records(&bytes) });
        }
    }

    /// Remembers what a leader says.
    pub(super) fn remember<A: Address>(&mut self, cx: &mut Context<A>, term: Term, records: Records<'_>) {
        let mut stored = Vec::new();
        for entry in records.iter().filter(|entry| entry.is_valid() && entry.edition.term == term) {
            if self.keep(cx.now, &entry, self.config.most_records()) {
                stored.extend_from_slice(&entry.edition.count.to_be_bytes());
            }
        }
        if !stored.is_empty() {
            self.send(cx, &[term.candidate], Say::Stored { term, counts: &stored });
        }
    }

    /// Keeps a record unless a later one is known; whether this one or a later one is kept now.
    pub(super) fn keep(&mut self, now: Instant, entry: &Entry<'_>, limit: usize) -> bool {
        let Entry { key, edition, left, hold } = *entry;
        let known = self.shelf.find(key);
        if known.is_some_and(|known| known.edition >= edition) {
            return true;
        }
        let left = Duration::from_micros(left).min(self.remembers_free());
        let record = Record { edition, hold, until: now + left };
        !matches!(self.shelf.put(&Arc::from(key), record, limit), Placed::No)
    }

    pub(super) fn note_stored<A: Address>(&mut self, cx: &mut Context<A>, from: Voter, term: Term, stored: &[u8]) {
        for count in counts(stored) {
            let Some(office) = self.office.as_mut().filter(|office| office.term == term) else { return };
            let Some(key) = office.index.get(&count).cloned() else { continue };
            let Some(desk) = office.desks.get_mut(&key).filter(|desk| !desk.copies.contains(&from)) else { continue };
            desk.copies.push(from);
            self.note_copies(cx, &key);
        }
    }

    /// Gives the answers that rest on a record which enough remember; sees to it that they do.
    pub(super) fn note_copies<A: Address>(&mut self, cx: &mut Context<A>, key: &Arc<str>) {
        let Some(office) = &mut self.office else { return };
        let Some(desk) = office.desks.get_mut(key) else { return };
        let Some(count) = desk.count else { return };
        let owed = core::mem::take(&mut desk.owed);
        let Some(desk) = office.desks.get(key) else { return };
        if office.is_replicated(desk) {
            office.plan(key, None);
            for Owed { owner, stamp, answer } in owed {
                self.answer(cx, owner, stamp, answer);
            }
            return;
        }
        if desk.next.is_none() && !office.fresh.contains(&count) {
            office.plan(key, Some(cx.now));
        }
        if let Some(desk) = office.desks.get_mut(key) {
            desk.owed = owed;
        }
    }
}

/// Writes a record as it travels.
pub(super) fn append(bytes: &mut Vec<u8>, entry: &Entry<'_>) {
    *bytes = postcard::to_extend(entry, core::mem::take(bytes)).expect("a vector takes every byte");
}
