//! From the purpose of a packet to its bytes, as late as possible, so that they carry the freshest news.

use bytes::{BufMut, BytesMut};

use crate::context::Context;
use crate::error::RejectReason;
use crate::identity::{Address, NodeId, Versions};
use crate::membership::{MemberState, Slot};
use crate::outbox::{BucketSet, Pending, Recipients, is_set, one};
use crate::seal::Plaintext;
use crate::stats::{DropReason, MessageKind};
use crate::transmit::{Channel, Transmit};
use crate::wire::{
    Accept, Accusers, Ack, Claim, Conflict, DeltaHeader, Difference, Digest, Envelope, HEADER, Join, Nack, Ping,
    PingRequest, Reject, Root, StoreRoot, Tail, Want, Writer,
};

/// Room kept at the end of a chunk of rows for the message that says whether more come.
const CHUNK_END: usize = 64;

impl<A: Address> Context<A> {
    /// Writes the next packet to the end of `buffer`.
    pub(crate) fn poll_transmit(&mut self, buffer: &mut BytesMut) -> Option<Transmit<A>> {
        if let Some(packet) = self.poll_fan_out(buffer) {
            return Some(packet);
        }
        while let Some(pending) = self.outbox.pop() {
            let channel = pending.channel();
            let is_greeting = matches!(pending, Pending::Greeting { .. });
            let packet = self.packet(channel, buffer, |cx, buffer, room| {
                let start = buffer.len();
                let to = cx.write_body(pending, buffer, room);
                if buffer.len() == start && !is_greeting { Recipients::new() } else { to }
            });
            if packet.is_some() {
                return packet;
            }
        }
        // A node that lost its id says nothing under it.
        if self.phase == crate::context::Phase::Contested {
            return None;
        }
        self.poll_mail(buffer)
    }

    /// Puts an envelope around the body that `write` appends; nothing is left of an empty one.
    pub(crate) fn packet(
        &mut self,
        channel: Channel,
        buffer: &mut BytesMut,
        write: impl FnOnce(&mut Self, &mut BytesMut, usize) -> Recipients<A>,
    ) -> Option<Transmit<A>> {
        let start = buffer.len();
        let limit = match channel {
            Channel::Datagram => self.config.max_datagram,
            Channel::Stream => self.config.max_message,
        };
        let envelope = Envelope { sender: self.id(), epoch: self.incarnation().epoch, counter: self.packet_counter() };
        buffer.put_slice(&envelope.header(self.cluster));
        let to = write(self, buffer, limit - HEADER - self.config.trailer());
        if to.is_empty() {
            buffer.truncate(start);
            return None;
        }
        if self.seal.is_some() && self.config.plaintext != Plaintext::Send {
            return self.seal_packet(start, channel, to, envelope, buffer);
        }
        let trailer = crate::wire::seal(self.cluster, &buffer[start..]);
        buffer.put_slice(&trailer);
        let size = buffer.len() - start;
        self.count_packet(channel, size, to.len());
        Some(Transmit { to, channel, size })
    }

    pub(crate) fn count_packet(&mut self, channel: Channel, size: usize, copies: usize) {
        let (copies, bytes) = (copies as u64, (size * copies) as u64);
        match channel {
            Channel::Datagram => {
                self.stats.datagrams_sent += copies;
                self.stats.datagram_bytes_sent += bytes;
            }
            Channel::Stream => {
                self.stats.stream_messages_sent += copies;
                self.stats.stream_bytes_sent += bytes;
            }
        }
    }

    /// Writes what `pending` is for, and news where there is room; whom it goes to.
    fn write_body(&mut self, pending: Pending<A>, buffer: &mut BytesMut, room: usize) -> Recipients<A> {
        let mut writer = Writer::new(buffer, room);
        match pending {
            Pending::Ping { to, sequence, target, near, .. } => {
                self.put(
                    &mut writer,
                    MessageKind::Ping,
                    &Ping { sequence, target: Tail::of(target), root: self.root() },
                );
                self.put_doubts(&mut writer, near, target);
                self.put_store_roots(&mut writer, false);
                self.put_news(&mut writer, 1);
                self.put_recent(&mut writer, target, near, &to);
                one(to)
            }
            Pending::Ack { to, sequence, prober, near, may_tell, .. } => {
                self.put(&mut writer, MessageKind::Ack, &Ack { sequence, root: self.root() });
                if may_tell {
                    self.put_store_roots(&mut writer, true);
                    self.put_doubts(&mut writer, near, prober);
                    self.put_news(&mut writer, 1);
                    self.put_recent(&mut writer, prober, near, &to);
                }
                one(to)
            }
            Pending::PingRequest { to, sequence, target, patience_ms } => {
                let copies = to.len();
                self.put_copies(
                    &mut writer,
                    MessageKind::PingRequest,
                    &PingRequest { sequence, target, patience_ms },
                    copies,
                );
                self.put_news(&mut writer, copies);
                to
            }
            Pending::Nack { to, sequence, may_tell } => {
                self.put(&mut writer, MessageKind::Nack, &Nack { sequence });
                if may_tell {
                    self.put_news(&mut writer, 1);
                }
                one(to)
            }
            Pending::Gossip { to, packets_left } => {
                self.put_news(&mut writer, to.len());
                if packets_left > 1 && self.news.has_untold() {
                    self.outbox.resume(Pending::Gossip { to: to.clone(), packets_left: packets_left - 1 });
                }
                to
            }
            Pending::Claim { to, subject, .. } => {
                if let Some(slot) = self.table.find(subject) {
                    self.put_claim(&mut writer, slot);
                }
                one(to)
            }
            Pending::Join { to } => {
                self.put_join(&mut writer);
                one(to)
            }
            Pending::Table { to, cursor } => self.put_table(&mut writer, to, cursor),
            Pending::Reject { to, reason } => {
                self.put_reject(&mut writer, &reason);
                one(to)
            }
            Pending::Digest { to } => {
                self.put_digest(&mut writer);
                one(to)
            }
            Pending::Difference { to, buckets, rows, wanted, cursor } => {
                self.put_difference(&mut writer, to, (buckets, rows, wanted), cursor)
            }
            Pending::MetadataRequest { to, wants } => {
                self.put_metadata_request(&mut writer, &wants);
                one(to)
            }
            Pending::Metadata { to, wants, cursor } => self.put_wanted_metadata(&mut writer, to, wants, cursor),
            Pending::Conflict { to, incarnation, address } => {
                self.put(&mut writer, MessageKind::Conflict, &Conflict { incarnation, address });
                one(to)
            }
            // It tells by its envelope alone.
            Pending::Greeting { to } => one(to),
            Pending::Ballot { to, draft, .. } => {
                let copies = to.len();
                draft.with_ballot(|ballot| self.put_copies(&mut writer, MessageKind::Ballot, ballot, copies));
                to
            }
            Pending::Lock { to, payload, .. } => {
                self.put_letter(&mut writer, MessageKind::Lock, &(), &payload, to.len());
                to
            }
            Pending::StoreSync { to, header, items } => {
                self.put_letter(&mut writer, MessageKind::StoreSync, &header, &items, 1);
                one(to)
            }
            Pending::Control { to, control, .. } => {
                self.put_control(&mut writer, &control);
                one(to)
            }
        }
    }

    fn root(&self) -> Root {
        Root(self.table.root())
    }

    fn put(&mut self, writer: &mut Writer<'_>, kind: MessageKind, payload: &impl serde::Serialize) -> bool {
        self.put_copies(writer, kind, payload, 1)
    }

    fn put_copies(
        &mut self,
        writer: &mut Writer<'_>,
        kind: MessageKind,
        payload: &impl serde::Serialize,
        copies: usize,
    ) -> bool {
        let fitted = writer.put(kind, payload);
        if fitted {
            self.stats.count_sent(kind, copies);
        }
        fitted
    }

    fn put_letter(
        &mut self,
        writer: &mut Writer<'_>,
        kind: MessageKind,
        header: &impl serde::Serialize,
        payload: &[u8],
        copies: usize,
    ) {
        if writer.put_letter(kind, header, payload) {
            self.stats.count_sent(kind, copies);
        }
    }

    /// If `listener` is not believed to be alive, tells it so first (Lifeguard's buddy system).
    fn put_doubts(&mut self, writer: &mut Writer<'_>, near: Option<Slot>, listener: NodeId) {
        if let Some(slot) = self.table.find_at(near, listener)
            && self.table.member(slot).state != MemberState::Alive
        {
            self.put_claim(writer, slot);
        }
        if self.phase == crate::context::Phase::Leaving {
            self.put_claim(writer, Slot::MYSELF);
        }
    }

    /// Tells the fingerprints of this node's stores.
    fn put_store_roots(&mut self, writer: &mut Writer<'_>, answers: bool) {
        if !self.is_active() {
            return;
        }
        let roots = core::mem::take(&mut self.store_roots);
        for &root in &roots {
            self.put(writer, MessageKind::StoreRoot, &StoreRoot { answers, ..root });
        }
        self.store_roots = roots;
    }

    /// Fills the packet with news.
    fn put_news(&mut self, writer: &mut Writer<'_>, copies: usize) {
        use crate::dissemination::Topic;
        if self.news.is_empty() {
            return;
        }
        let limit = self.retransmit_limit();
        let mut news = core::mem::take(&mut self.news);
        news.fill(u32::try_from(copies).unwrap_or(u32::MAX), limit, |topic, base| match topic {
            Topic::Claim(slot) => self.put_claim_copies(writer, slot, copies),
            // What is too large for a datagram is announced by the claim, and fetched.
            Topic::Metadata(slot) => {
                self.put_metadata(writer, slot, base, copies) || self.put_claim_copies(writer, slot, copies)
            }
        });
        self.news = news;
    }

    fn put_claim(&mut self, writer: &mut Writer<'_>, slot: Slot) -> bool {
        self.put_claim_copies(writer, slot, 1)
    }

    fn put_claim_copies(&mut self, writer: &mut Writer<'_>, slot: Slot, copies: usize) -> bool {
        let row = self.table.row(slot);
        let member = &row.member;
        let accusers = match member.state {
            MemberState::Suspect => Accusers::bytes(self.suspicions.accusers(slot)),
            MemberState::Dead => Accusers::bytes(self.table.declared_by(slot).as_slice()),
            _ => Accusers::bytes(&[]),
        };
        let age = if member.state.is_live() { 0 } else { self.now.saturating_since(member.since).as_secs() };
        let claim = Claim {
            subject: member.id,
            incarnation: member.incarnation,
            state: member.state,
            address: member.address.clone(),
            speaks: member.speaks,
            metadata: row.metadata_version(),
            age: u32::try_from(age).unwrap_or(u32::MAX),
            accusers: Accusers(&accusers),
        };
        self.put_copies(writer, MessageKind::Claim, &claim, copies)
    }

    /// Writes a member's metadata since version `base`, or all of it where the gap is too wide.
    fn put_metadata(&mut self, writer: &mut Writer<'_>, slot: Slot, base: u64, copies: usize) -> bool {
        let row = self.table.row(slot);
        let member = &row.member;
        if row.metadata_version() == 0 {
            return true;
        }
        let base = member.metadata.base_for(member.incarnation.epoch, base);
        let tags = (base == 0).then(|| u8::try_from(member.tags.len()).unwrap_or(u8::MAX));
        let header = DeltaHeader {
            subject: member.id,
            epoch: member.metadata.epoch(),
            base,
            version: member.metadata.version(),
            tags,
        };
        let fitted = writer.put_with(MessageKind::Metadata, |parts| {
            let tags = member.tags.iter().take(usize::from(tags.unwrap_or(0)));
            parts.part(&header)
                && tags.into_iter().all(|tag| parts.part(tag))
                && member.metadata.entries_after(base).all(|entry| parts.part(&entry))
        });
        if fitted {
            self.stats.count_sent(MessageKind::Metadata, copies);
        }
        fitted
    }

    fn put_join(&mut self, writer: &mut Writer<'_>) {
        let join =
            Join { speaks: Versions::SUPPORTED, cluster: &self.config.cluster, application: &self.config.application };
        if writer.put(MessageKind::Join, &join) {
            self.stats.count_sent(MessageKind::Join, 1);
        }
        self.put_claim(writer, Slot::MYSELF);
        self.put_metadata(writer, Slot::MYSELF, 0, 1);
    }

    fn put_reject(&mut self, writer: &mut Writer<'_>, reason: &RejectReason) {
        let reject = Reject { code: reason.code(), speaks: Versions::SUPPORTED, application: &self.config.application };
        if writer.put(MessageKind::Reject, &reject) {
            self.stats.count_sent(MessageKind::Reject, 1);
        }
    }

    fn put_table(&mut self, writer: &mut Writer<'_>, to: A, cursor: usize) -> Recipients<A> {
        let rest = self.put_rows(writer, cursor, true, |_, _| true);
        if rest.is_none() {
            self.put_baseline(writer);
        }
        let accept = Accept { more: rest.is_some() };
        self.put(writer, MessageKind::Accept, &accept);
        if let Some(cursor) = rest {
            self.outbox.resume(Pending::Table { to: to.clone(), cursor });
        }
        one(to)
    }

    fn put_digest(&mut self, writer: &mut Writer<'_>) {
        let count = self.bucket_count();
        let buckets: smallvec::SmallVec<[u8; 512]> = self.table.folded(count).flat_map(u64::to_be_bytes).collect();
        self.put(writer, MessageKind::Digest, &Digest { buckets: &buckets });
    }

    fn put_difference(
        &mut self,
        writer: &mut Writer<'_>,
        to: A,
        (buckets, rows, wanted): (usize, BucketSet, Option<BucketSet>),
        cursor: usize,
    ) -> Recipients<A> {
        let is_in = |context: &Self, slot: Slot| is_set(&rows, context.table.bucket_of(slot, buckets));
        let rest = self.put_rows(writer, cursor, false, is_in);
        let asked = if rest.is_none() { wanted } else { None };
        let bytes = buckets.div_ceil(8);
        let difference = Difference { wanted: asked.as_ref().map_or(&[], |set| &set[..bytes]) };
        self.put(writer, MessageKind::Difference, &difference);
        if let Some(cursor) = rest {
            self.outbox.resume(Pending::Difference { to: to.clone(), buckets, rows, wanted, cursor });
        }
        one(to)
    }

    /// Writes the rows that pass `filter`, from `cursor` on, up to the size of a chunk; where to go on, if not done.
    fn put_rows(
        &mut self,
        writer: &mut Writer<'_>,
        cursor: usize,
        with_metadata: bool,
        filter: impl Fn(&Self, Slot) -> bool,
    ) -> Option<usize> {
        let full = writer.room();
        let chunk = self.config.chunk.min(full - CHUNK_END);
        let mut cursor = cursor;
        while let Some(slot) = self.table.next_from(cursor) {
            if !self.table.row(slot).retired && filter(self, slot) {
                if full - writer.room() >= chunk || writer.room() < self.config.max_metadata * 2 + 1_024 {
                    return Some(slot.index());
                }
                self.put_claim(writer, slot);
                if with_metadata && self.table.member(slot).state.is_live() {
                    self.put_metadata(writer, slot, 0, 1);
                }
            }
            cursor = slot.index() + 1;
        }
        None
    }

    fn put_metadata_request(&mut self, writer: &mut Writer<'_>, wants: &[NodeId]) {
        let table = &self.table;
        let fitted = writer.put_with(MessageKind::MetadataRequest, |parts| {
            wants.iter().filter_map(|&id| table.find(id)).all(|slot| {
                let member = table.member(slot);
                let metadata = &member.metadata;
                parts.part(&Want { subject: member.id, epoch: metadata.epoch(), version: metadata.version() })
            })
        });
        if fitted {
            self.stats.count_sent(MessageKind::MetadataRequest, 1);
        }
    }

    fn put_wanted_metadata(
        &mut self,
        writer: &mut Writer<'_>,
        to: A,
        wants: alloc::vec::Vec<Want>,
        cursor: usize,
    ) -> Recipients<A> {
        let full = writer.room();
        for (position, want) in wants.iter().enumerate().skip(cursor) {
            if full - writer.room() >= self.config.chunk {
                self.outbox.resume(Pending::Metadata { to: to.clone(), wants, cursor: position });
                break;
            }
            let Some(slot) = self.table.find(want.subject) else { continue };
            let base = self.table.member(slot).metadata.base_for(want.epoch, want.version);
            if !self.put_metadata(writer, slot, base, 1) {
                self.drop(DropReason::Oversized);
            }
        }
        one(to)
    }
}
