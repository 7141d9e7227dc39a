//! Comparing a store with another node's: from the fingerprint of all down to the rows that differ, which are
//! exchanged.
//!
//! Who finds at the answer to its probe that fingerprints differ begins. The two take turns: each step answers, for
//! every bucket that differs, with the fingerprints of its children, or with a list of its rows where there are few, or
//! with the rows themselves. Who is asked keeps nothing in mind.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::context::Context;
use crate::dispute::Disputes;
use crate::identity::{Address, NodeId};
use crate::kv::store::{Store, micros};
use crate::kv::tree::{Bucket, LEVELS};
use crate::kv::watch::Changes;
use crate::outbox::Pending;
use crate::time::Instant;
use crate::wire::{Listed, StoreRoot, Sync, SyncHeader, SyncItem, append};

/// Rows that are listed rather than divided further.
const FEW: usize = 16;

/// Steps of one comparison: down all levels, and the rows.
const STEPS: u8 = 40;

/// After how long without an answer another comparison may begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// A comparison that this node began.
#[derive(Debug)]
struct Exchange {
    id: u32,
    peer: NodeId,
    heard: Instant,
    /// When it began, in microseconds since 1970.
    began: u64,
    /// This node's fingerprint and theirs, in the beginning.
    roots: (u64, Option<u64>),
    /// Own rows in the beginning: later ones may not be compared.
    own: u64,
    /// What did not fit, or was not taken, at either side.
    missing: u8,
}

#[derive(Debug)]
pub(super) struct Reconciler {
    disputes: Disputes,
    exchange: Option<Exchange>,
}

impl Reconciler {
    pub(super) fn new(now: Instant) -> Self {
        Self { disputes: Disputes::new(now), exchange: None }
    }
}

/// A step that is put together.
struct Reply {
    items: Vec<u8>,
    limit: usize,
    /// Nothing more fits.
    is_full: bool,
    /// What was left out, as it is told.
    missing: u8,
}

impl Reply {
    fn new(limit: usize) -> Self {
        Self { items: Vec::new(), limit, is_full: false, missing: 0 }
    }

    /// Appends an item, if it fits or is the only one.
    fn push(&mut self, item: &SyncItem<'_>) {
        let start = self.items.len();
        if !self.is_full {
            append(&mut self.items, item);
            if start > 0 && self.items.len() > self.limit {
                self.items.truncate(start);
                self.is_full = true;
            }
        }
        if self.is_full {
            self.cut();
        }
    }

    /// Not all is said.
    fn cut(&mut self) {
        self.missing |= SyncHeader::CUT;
    }

    /// More rows than this do not fit.
    fn most_rows(&self) -> usize {
        /// Of a row with the shortest key and no value.
        const SMALLEST: usize = 32;
        self.limit / SMALLEST + 1
    }
}

/// Where the other side of a comparison stands.
#[derive(Clone, Copy)]
struct Other {
    /// Since when it knows of all deletions, in microseconds since 1970.
    since: u64,
}

impl Store {
    /// A member told its fingerprint.
    pub(super) fn handle_root<A: Address>(&mut self, cx: &mut Context<A>, unix: u64, peer: NodeId, root: StoreRoot) {
        let mine = self.table.tree().root();
        if root.root == mine {
            self.reconciler.disputes.note_match(cx.now);
            // What answers no question may have waited for long, as in the socket of a machine that stood still.
            if let Some(asked) = cx.asked {
                let age = micros(cx.now.saturating_since(asked));
                self.note_shared(unix, unix.saturating_sub(age), root.since, self.own);
            }
            return;
        }
        let is_busy = |exchange: &Exchange| cx.now.saturating_since(exchange.heard) < PATIENCE;
        if !root.answers || !cx.is_active() || self.reconciler.exchange.as_ref().is_some_and(is_busy) {
            return;
        }
        let spread = cx.spread_time();
        if self.reconciler.disputes.admit(cx.now, (root.root, mine), self.changed, spread)
            && let Some(slot) = cx.table.find(peer)
        {
            let to = cx.table.member(slot).address.clone();
            self.begin(cx, unix, peer, to);
        }
    }

    fn begin<A: Address>(&mut self, cx: &mut Context<A>, unix: u64, peer: NodeId, to: A) {
        self.reconciler.disputes.note_begin(cx.now);
        cx.stats.store_exchanges += 1;
        let id = cx.rng.next_u32();
        let (roots, own) = ((self.table.tree().root(), None), self.own);
        self.reconciler.exchange = Some(Exchange { id, peer, heard: cx.now, began: unix, roots, own, missing: 0 });
        let mut reply = Reply::new(cx.config.chunk);
        self.describe(Bucket::ROOT, &mut reply);
        self.send(cx, unix, to, (id, 0), reply);
    }

    /// A step of a comparison came.
    pub(super) fn handle_sync<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        unix: u64,
        (peer, from): (NodeId, A),
        sync: &Sync<'_>,
        changes: &mut Changes,
    ) {
        let SyncHeader { exchange: id, step, since, missing, root, .. } = sync.header;
        let other = Other { since: u64::from(since) * 1_000_000 };
        let mut reply = Reply::new(cx.config.chunk);
        for item in sync.items.clone() {
            self.handle_item(cx, unix, other, item, &mut reply, changes);
        }
        if step.is_multiple_of(2) {
            if step < STEPS {
                self.send(cx, unix, from, (id, step + 1), reply);
            }
            return;
        }
        let mine = |exchange: &&mut Exchange| exchange.id == id && exchange.peer == peer;
        let Some(exchange) = self.reconciler.exchange.as_mut().filter(mine) else { return };
        exchange.heard = cx.now;
        exchange.missing |= missing | reply.missing;
        let before = *exchange.roots.1.get_or_insert(root);
        if !reply.items.is_empty() && step < STEPS {
            self.send(cx, unix, from, (id, step + 1), reply);
            return;
        }
        let (missing, was) = (exchange.missing, (exchange.roots.0, before));
        let (began, own) = (exchange.began, exchange.own);
        self.reconciler.exchange = None;
        if missing & SyncHeader::CUT == 0 && reply.items.is_empty() {
            // What somebody refused, as what is too large for it, is not the same now.
            if missing == 0 {
                self.note_shared(unix, began, since, own);
            }
        } else if was != (self.table.tree().root(), root) && cx.is_active() {
            // There is more, and it is getting less.
            self.begin(cx, unix, peer, from);
        }
    }

    fn handle_item<A: Address>(
        &mut self,
        cx: &mut Context<A>,
        unix: u64,
        other: Other,
        item: SyncItem<'_>,
        reply: &mut Reply,
        changes: &mut Changes,
    ) {
        let mut give = Vec::new();
        match item {
            SyncItem::Row(row) => {
                if let Err(reason) = self.take(cx.now, unix, &row, changes) {
                    reply.missing |= SyncHeader::REFUSED;
                    cx.drop(reason);
                }
            }
            SyncItem::Want(place) => give.extend(self.table.tree().at(place).cloned()),
            SyncItem::Sums { level, prefix, sums } => {
                let Some(bucket) = Bucket::new(level.into(), prefix) else { return };
                for (child, theirs) in bucket.children().zip(sums.chunks_exact(8)) {
                    if theirs == self.table.tree().sum(child).to_be_bytes() {
                        continue;
                    }
                    if theirs == [0; 8] {
                        let rows = self.table.tree().rows(child).map(|(_, key, _)| key.clone());
                        give.extend(rows.take(reply.most_rows().saturating_sub(give.len())));
                        if give.len() == reply.most_rows() {
                            reply.cut();
                        }
                    } else {
                        self.describe(child, reply);
                    }
                }
            }
            SyncItem::List { level, prefix, rows } => {
                let Some(bucket) = Bucket::new(level.into(), prefix) else { return };
                give = self.compare(bucket, rows, reply);
            }
        }
        for key in give {
            if reply.is_full {
                return;
            }
            self.give(cx.now, unix, other, &key, reply, changes);
        }
    }

    /// Says of a bucket that differs what is in it: a few rows, or the fingerprints of its children.
    fn describe(&self, bucket: Bucket, reply: &mut Reply) {
        let tree = self.table.tree();
        let level = u8::try_from(bucket.level).unwrap_or(u8::MAX);
        if bucket.level == LEVELS || tree.rows(bucket).nth(FEW).is_none() {
            let mut rows = Vec::new();
            for (place, key, fingerprint) in tree.rows(bucket) {
                let stamp = self.table.find(key).map_or(0, |row| row.version.stamp.as_u64());
                Listed { place, stamp, tag: tag_of(fingerprint) }.write(&mut rows);
            }
            reply.push(&SyncItem::List { level, prefix: bucket.prefix, rows: &rows });
        } else {
            let sums: Vec<u8> = bucket.children().flat_map(|child| tree.sum(child).to_be_bytes()).collect();
            reply.push(&SyncItem::Sums { level, prefix: bucket.prefix, sums: &sums });
        }
    }

    /// Compares a bucket with a list of theirs: asks for what is newer there, and returns the keys that are newer here.
    fn compare(&self, bucket: Bucket, rows: &[u8], reply: &mut Reply) -> Vec<Arc<str>> {
        let mut theirs: BTreeMap<u64, Listed> = Listed::all(rows).map(|row| (row.place, row)).collect();
        let mut newer = Vec::new();
        for (place, key, fingerprint) in self.table.tree().rows(bucket) {
            if newer.len() == reply.most_rows() {
                reply.cut();
                theirs.retain(|&listed, _| listed < place);
                break;
            }
            let Some(listed) = theirs.get(&place).copied() else {
                newer.push(key.clone());
                continue;
            };
            let stamp = self.table.find(key).map_or(0, |row| row.version.stamp.as_u64());
            let is_same = stamp == listed.stamp && tag_of(fingerprint) == listed.tag;
            if !is_same && stamp >= listed.stamp {
                newer.push(key.clone());
            }
            if is_same || stamp > listed.stamp {
                theirs.remove(&place);
            }
        }
        for place in theirs.into_keys() {
            reply.push(&SyncItem::Want(place));
        }
        newer
    }

    /// Gives a row to somebody who lacks it, unless that is because it was deleted there while this node was away.
    fn give(&mut self, now: Instant, unix: u64, other: Other, key: &str, reply: &mut Reply, changes: &mut Changes) {
        let Some(row) = self.table.find(key) else { return };
        // By clocks that may differ.
        let knew = other.since <= self.shared.saturating_sub(micros(self.config.max_ahead));
        if self.is_outdated(unix) && knew && self.is_shared(row) {
            self.discard(now, key, changes);
        } else {
            reply.push(&SyncItem::Row(row.wire(key)));
        }
    }

    /// Table and other's were the same at `shared` or later, but for own rows after that number: what either knows of
    /// deletions, both do.
    fn note_shared(&mut self, unix: u64, shared: u64, since: u32, own: u64) {
        let theirs = u64::from(since) * 1_000_000;
        self.since = if self.is_outdated(unix) { theirs } else { self.since.min(theirs) };
        self.shared = self.shared.max(shared);
        self.own_shared = self.own_shared.max(own);
    }

    fn send<A: Address>(&self, cx: &mut Context<A>, unix: u64, to: A, (exchange, step): (u32, u8), reply: Reply) {
        let (mark, root, since) = (self.mark, self.table.tree().root(), self.told_since(unix));
        let header = SyncHeader { mark, exchange, step, root, since, missing: reply.missing };
        cx.outbox.push(Pending::StoreSync { to, header, items: reply.items });
    }
}

fn tag_of(fingerprint: u64) -> u16 {
    (fingerprint & 0xffff) as u16
}
