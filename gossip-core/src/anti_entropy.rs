//! Anti-entropy: tables that differ are found by their fingerprints, and only what differs is exchanged.
//!
//! Pings and acks carry the fingerprint of the sender's whole table. Where two differ for longer than news needs to
//! spread, the fingerprints of buckets of rows are compared over a stream, and the rows of differing buckets are
//! exchanged. Metadata that turns out to be behind is asked for.

use alloc::vec::Vec;
use core::time::Duration;

use crate::context::Context;
use crate::dispute::Disputes;
use crate::identity::{Address, NodeId};
use crate::membership::{BUCKETS, Slot};
use crate::metadata::Refused;
use crate::outbox::{BucketSet, Pending};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::Timer;
use crate::wire::{Delta, FEWEST_BUCKETS, MetadataWantList, Want};

/// Members whose metadata one request may ask for.
const WANTS: usize = 256;

/// Metadata requests remembered, so that the same is not asked of every peer that mentions it.
const REQUESTS: usize = 1_024;

#[derive(Debug)]
struct Request {
    subject: NodeId,
    version: u64,
    until: Instant,
}

#[derive(Debug)]
pub(crate) struct AntiEntropy {
    disputes: Disputes,
    /// Who let this node in.
    host: Option<NodeId>,
    requests: Vec<Request>,
}

impl AntiEntropy {
    pub(crate) fn new(now: Instant) -> Self {
        Self { disputes: Disputes::new(now), host: None, requests: Vec::new() }
    }

    /// A peer told the fingerprint of its table.
    pub(crate) fn handle_root<A: Address>(&mut self, cx: &mut Context<A>, peer: NodeId, root: u64) {
        if root == cx.table.root() {
            self.disputes.note_match(cx.now);
            return;
        }
        let (roots, changed, spread) = ((root, cx.table.root()), cx.table.root_since(), cx.spread_time());
        if self.disputes.admit(cx.now, roots, changed, spread) {
            self.begin(cx, peer);
        }
    }

    /// The node was let in by `host`: the two compare tables once more when the news of this moment has settled, because
    /// those who join at the same time hear of each other last.
    pub(crate) fn plan<A: Address>(&mut self, cx: &mut Context<A>, host: NodeId) {
        self.host = Some(host);
        let wait = cx.rng.jitter(cx.config.gossip_interval * 2);
        cx.timers.set(Timer::Compare, cx.now + wait);
    }

    /// Compares tables with the member that let this node in.
    pub(crate) fn compare<A: Address>(&mut self, cx: &mut Context<A>) {
        if let Some(host) = self.host.take().filter(|_| cx.is_active()) {
            self.begin(cx, host);
        }
    }

    /// Begins an exchange with a member.
    pub(crate) fn begin<A: Address>(&mut self, cx: &mut Context<A>, peer: NodeId) {
        let Some(slot) = cx.table.find(peer).filter(|&slot| slot != Slot::MYSELF) else { return };
        self.disputes.note_begin(cx.now);
        cx.stats.exchanges += 1;
        let to = cx.table.member(slot).address.clone();
        cx.outbox.push(Pending::Digest { to });
    }

    /// Asks `from` for the metadata of the members found to be behind.
    pub(crate) fn fetch_metadata<A: Address>(&mut self, cx: &mut Context<A>, from: &A, claimed: &[(Slot, u64)]) {
        /// Time after which an unanswered request is made again.
        const PATIENCE: Duration = Duration::from_secs(2);
        let now = cx.now;
        self.requests.retain(|request| request.until > now);
        let mut wants = MetadataWantList::new();
        for &(slot, version) in claimed {
            let row = cx.table.row(slot);
            if row.metadata_version() >= version {
                continue;
            }
            let subject = row.member.id;
            if self.requests.iter().any(|request| request.subject == subject && request.version >= version) {
                continue;
            }
            if self.requests.len() < REQUESTS {
                self.requests.push(Request { subject, version, until: now + PATIENCE });
            }
            wants.push(subject);
            if wants.len() == WANTS {
                let wants = core::mem::take(&mut wants);
                cx.outbox.push(Pending::MetadataRequest { to: from.clone(), wants });
            }
        }
        if !wants.is_empty() {
            cx.outbox.push(Pending::MetadataRequest { to: from.clone(), wants });
        }
    }
}

impl<A: Address> Context<A> {
    /// Buckets that suit the size of the table: a few rows each.
    pub(crate) fn bucket_count(&self) -> usize {
        (self.table.len() / 4).next_power_of_two().clamp(FEWEST_BUCKETS, BUCKETS)
    }

    /// Somebody's fingerprints: answers with the rows that may differ, and asks for theirs.
    pub(crate) fn handle_digest(&mut self, from: &A, buckets: &[u8]) {
        if !self.may_draw(from) {
            return;
        }
        let count = buckets.len() / 8;
        let mut rows: BucketSet = [0; BUCKETS / 8];
        for (bucket, (mine, theirs)) in self.table.folded(count).zip(buckets.chunks_exact(8)).enumerate() {
            if mine.to_be_bytes() != theirs {
                rows[bucket / 8] |= 1 << (bucket % 8);
            }
        }
        if rows.iter().any(|&byte| byte != 0) {
            self.draw_rows(from, count, rows, Some(rows));
        }
    }

    /// Somebody sent rows and asks for this node's in the same buckets.
    pub(crate) fn handle_difference(&mut self, from: &A, wanted: &[u8]) {
        if wanted.is_empty() || !self.may_draw(from) {
            return;
        }
        let buckets = wanted.len() * 8;
        let mut rows: BucketSet = [0; BUCKETS / 8];
        rows[..wanted.len()].copy_from_slice(wanted);
        self.draw_rows(from, buckets, rows, None);
    }

    /// Somebody asks for metadata.
    pub(crate) fn handle_metadata_request(&mut self, from: &A, wants: impl Iterator<Item = Want>) {
        if !self.may_draw(from) {
            return;
        }
        let mut wants: Vec<Want> = wants.take(WANTS).filter(|want| self.table.find(want.subject).is_some()).collect();
        wants.sort_unstable_by_key(|want| want.subject);
        wants.dedup_by_key(|want| want.subject);
        if wants.is_empty() {
            self.drop(DropReason::UnknownMember);
            return;
        }
        self.draw_metadata(from, wants);
    }

    /// Metadata of a member came.
    pub(crate) fn hear_metadata(&mut self, delta: &Delta<'_>) {
        let Some(slot) = self.table.find(delta.subject) else {
            self.drop(DropReason::UnknownMember);
            return;
        };
        let row = self.table.row(slot);
        if slot == Slot::MYSELF || row.member.incarnation.epoch != delta.epoch {
            return;
        }
        let known = row.metadata_version();
        let mut metadata = row.member.metadata.clone();
        match metadata.apply(delta, self.config.max_metadata) {
            Ok(keys) => {
                self.table.set_metadata(slot, metadata, self.now);
                if let Some(tags) = &delta.tags {
                    let tags = tags.clone().collect();
                    self.set_tags(slot, tags);
                }
                self.tell_metadata(slot, known);
                if !keys.is_empty() || delta.tags.is_some() {
                    let member = self.table.member(slot).clone();
                    self.events.push(crate::event::Event::Metadata { member, keys });
                }
            }
            Err(Refused::Known) => {}
            Err(Refused::Gap) => {
                self.behind.push((slot, delta.version));
            }
            Err(Refused::TooLarge) => self.drop(DropReason::MetadataTooLarge),
        }
    }
}
