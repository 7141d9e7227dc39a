//! What is written about broadcasts.

use alloc::vec::Vec;
use core::time::Duration;

use smallvec::SmallVec;

use crate::broadcast::{Control, RIDING, TICKING};
use crate::config::Config;
use crate::context::Context;
use crate::identity::{Address, NodeId};
use crate::lane::{LaneKey, Run};
use crate::mail::Copy;
use crate::membership::Slot;
use crate::stats::MessageKind;
use crate::transmit::Channel;
use crate::wire::{CopyHeader, HEADER, RunEntry, Writer};

/// Most runs that came lately among which those are that one packet tells of.
const TOLD: usize = 512;

/// Most lanes that a newcomer is told of.
const BASELINE: usize = 4_096;

/// Room kept for what ends a table.
const END: usize = 16;

impl Copy {
    pub(crate) fn header(&self) -> CopyHeader<'_> {
        let parcel = &self.parcel;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        CopyHeader {
            hop: self.hop,
            origin: parcel.origin,
            epoch: parcel.epoch,
            sequence: parcel.sequence,
            flags: flag(self.is_offer, CopyHeader::OFFER)
                | flag(parcel.reliable, CopyHeader::RELIABLE)
                | flag(parcel.ordered, CopyHeader::ORDERED),
            hops: self.hops,
            recent: parcel.recent,
            age_ms: self.age_ms.unwrap_or(0),
            kind: parcel.kind.as_u16(),
            tag: parcel.tag(),
            arcs: &self.arcs.0,
            path: &self.path,
        }
    }

    /// How it travels.
    pub(crate) fn channel(&self, config: &Config) -> Channel {
        /// The fixed fields and all lengths, at the most.
        const FIXED: usize = 66;
        let header = FIXED + self.parcel.tag().len() + self.arcs.0.len() + self.path.len();
        let fits = HEADER + header + self.parcel.payload.len() + config.trailer() <= config.max_datagram;
        if self.is_offer || (fits && !self.parcel.reliable) { Channel::Datagram } else { Channel::Stream }
    }
}

impl<A: Address> Context<A> {
    pub(crate) fn put_control(&mut self, writer: &mut Writer<'_>, control: &Control) {
        match control {
            Control::Ack { hops } => self.put_copy_ack(writer, hops),
            Control::Compare { peer, trouble_ms } => self.put_compare(writer, *peer, *trouble_ms),
            Control::Recent { runs } => self.put_runs(writer, MessageKind::Recent, true, runs),
            Control::Pull { runs } => self.put_runs(writer, MessageKind::Pull, true, runs),
        }
    }

    fn put_copy_ack(&mut self, writer: &mut Writer<'_>, hops: &[u32]) {
        let room = writer.room();
        if writer.put_with(MessageKind::CopyAck, |parts| hops.iter().all(|hop| parts.part(hop))) {
            self.stats.count_sent(MessageKind::CopyAck, 1);
        }
        self.count_control(room - writer.room(), true);
    }

    /// Tells the member to which a packet goes anyhow what came lately, if anything did.
    ///
    /// Only to a member at its own address: whoever else asks gets no more than was asked for.
    pub(crate) fn put_recent(&mut self, writer: &mut Writer<'_>, peer: NodeId, near: Option<Slot>, to: &A) {
        // An answer that is handed on names the node itself; whom it reaches is not known here.
        let is_there = |slot: Slot| slot != Slot::MYSELF && self.table.member(slot).address == *to;
        if !self.lanes.is_fresh(self.now - RIDING) {
            return;
        }
        let Some(slot) = self.table.find_at(near, peer).filter(|&slot| is_there(slot)) else { return };
        let runs = self.told_at(Some(slot), RIDING);
        if !runs.is_empty() {
            self.put_runs(writer, MessageKind::Recent, false, &runs);
        }
    }

    /// Tells a member what came lately, to be compared.
    fn put_compare(&mut self, writer: &mut Writer<'_>, peer: NodeId, trouble_ms: u32) {
        let mut runs = self.told(peer, TICKING);
        let before = writer.room();
        let room = before - size_of::<u64>();
        if fitting(room, &runs) < runs.len() {
            // Each time another part of it is told.
            let start = self.rng.below(runs.len());
            runs.rotate_left(start);
        }
        let fitting = fitting(room, &runs);
        let fitted = writer.put_with(MessageKind::Compare, |parts| {
            parts.part(&trouble_ms) && runs[..fitting].iter().all(|&run| parts.part(&RunEntry::from(run)))
        });
        if fitted {
            self.stats.count_sent(MessageKind::Compare, 1);
        }
        self.count_control(before - writer.room(), true);
    }

    /// What came since `span` ago that a member may have missed.
    pub(crate) fn told(&self, peer: NodeId, span: Duration) -> SmallVec<[Run; 16]> {
        self.told_at(self.table.find(peer), span)
    }

    fn told_at(&self, slot: Option<Slot>, span: Duration) -> SmallVec<[Run; 16]> {
        let since = self.now - span;
        if !self.lanes.is_fresh(since) {
            return SmallVec::new();
        }
        let tags = slot.map(|slot| self.table.member(slot).tags.clone()).unwrap_or_default();
        self.lanes.told(since, &tags).take(TOLD).collect()
    }

    /// Writes as many runs as there is room for. `alone`: they are what the packet is for.
    fn put_runs(&mut self, writer: &mut Writer<'_>, kind: MessageKind, alone: bool, runs: &[Run]) {
        let before = writer.room();
        let runs = &runs[..fitting(before, runs)];
        if !runs.is_empty() && writer.put_with(kind, |parts| runs.iter().all(|&run| parts.part(&RunEntry::from(run)))) {
            self.stats.count_sent(kind, 1);
        }
        self.count_control(before - writer.room(), alone);
    }

    /// Tells a newcomer what was before its time.
    pub(crate) fn put_baseline(&mut self, writer: &mut Writer<'_>) {
        let run = |(lane, first): (LaneKey, u64)| Run { lane, first, count: 0 };
        let runs: Vec<Run> = self.lanes.tops().take(BASELINE).map(run).collect();
        let room = writer.room().saturating_sub(END).min(self.config.chunk);
        self.put_runs(writer, MessageKind::Baseline, false, &runs[..fitting(room, &runs)]);
    }

    fn count_control(&mut self, bytes: usize, with_packet: bool) {
        let packet = if with_packet { HEADER + self.config.trailer() } else { 0 };
        self.stats.broadcast_control_bytes_sent += (bytes + packet) as u64;
    }
}

/// How many of the runs fit.
fn fitting(room: usize, runs: &[Run]) -> usize {
    /// Kind and length.
    const FRAME: usize = 4;
    let mut left = room.saturating_sub(FRAME);
    let fits = |run: &&Run| {
        let size = RunEntry::from(**run).size();
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    };
    runs.iter().take_while(fits).count()
}
