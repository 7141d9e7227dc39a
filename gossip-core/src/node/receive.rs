//! What comes from the network: checked as a whole, then acted on message by message.

use crate::claims::Hearsay;
use crate::context::Phase;
use crate::election::Voter;
use crate::error::{JoinError, RejectReason};
use crate::event::Event;
use crate::identity::{Address, Incarnation, Versions};
use crate::join;
use crate::membership::Slot;
use crate::node::Node;
use crate::outbox::Pending;
use crate::probe::Asker;
use crate::stats::{DropReason, MessageKind};
use crate::time::Instant;
use crate::transmit::Channel;
use crate::wire::{self, Envelope, Message, Messages, Opened, Tail};

/// Where a packet came from, and how.
pub(super) struct Origin<A> {
    pub(super) address: A,
    pub(super) channel: Channel,
    /// An answer reaches who sent the packet, and nobody else: it came over a connection.
    pub(super) is_connected: bool,
    pub(super) envelope: Envelope,
    /// Where the sender stood in the table when the packet came.
    pub(super) near: Option<Slot>,
}

impl<A: Address> Node<A> {
    pub(super) fn receive(
        &mut self,
        now: Instant,
        from: A,
        (channel, is_connected): (Channel, bool),
        packet: &mut [u8],
    ) {
        self.advance(now);
        let Opened { envelope, body, sealed } = match self.cx.open(channel, packet) {
            Ok(opened) => opened,
            Err(reason) => {
                self.cx.drop(reason);
                if channel == Channel::Stream && !self.cx.is_guarded() {
                    self.receive_foreign(&from, reason, packet);
                }
                return;
            }
        };
        if let Some(sealed) = sealed {
            if !self.admits_sealed(&from, channel, &sealed, body) {
                return;
            }
            self.cx.outbox.answer(Some((from.clone(), sealed.asker())));
        }
        self.receive_opened(from, (channel, is_connected), envelope, body);
        self.cx.outbox.answer(None);
    }

    fn receive_opened(&mut self, from: A, (channel, is_connected): (Channel, bool), envelope: Envelope, body: &[u8]) {
        let messages = Messages::new(body);
        if !messages.are_valid() {
            self.cx.drop(DropReason::Malformed);
            return;
        }
        if self.cx.phase == Phase::Left {
            self.cx.drop(DropReason::Quiet);
            return;
        }
        let origin = self.origin(from, (channel, is_connected), envelope);
        let near = origin.near;
        if envelope.sender == self.cx.id() {
            self.receive_from_same_id(&origin, messages);
        } else if near.is_some_and(|slot| self.cx.table.member(slot).incarnation.epoch > envelope.epoch) {
            if channel == Channel::Datagram && self.cx.is_guarded() {
                self.cx.drop(DropReason::StaleEpoch);
            } else {
                self.receive_stale(&origin, messages);
            }
        } else {
            self.receive_valid(&origin, messages);
            self.cx.note_heard(&origin.envelope, near);
        }
        self.follow_up();
    }

    pub(super) fn origin(&self, address: A, (channel, is_connected): (Channel, bool), envelope: Envelope) -> Origin<A> {
        let near = self.cx.table.find_at(self.prober.asked(), envelope.sender);
        Origin { address, channel, is_connected, envelope, near }
    }

    /// A packet of another cluster or protocol version: the end of an attempt to join there, or the begin of one here.
    fn receive_foreign(&mut self, from: &A, reason: DropReason, packet: &[u8]) {
        let (theirs, ours) = match reason {
            DropReason::Cluster => (RejectReason::Cluster, RejectReason::Cluster),
            DropReason::Version => {
                let speaks = Versions { min: packet[0], max: packet[0] };
                (RejectReason::Versions(speaks), RejectReason::Versions(Versions::SUPPORTED))
            }
            _ => return,
        };
        if self.joining.is_waiting_for(from) {
            self.joining.fail(&mut self.cx, from, JoinError::Rejected(theirs));
        } else if packet.get(wire::HEADER) == Some(&MessageKind::Join.code()) {
            self.cx.outbox.push(Pending::Reject { to: from.clone(), reason: ours });
        }
    }

    /// From an earlier start of a member: it is told what is known of its id, if it asks for anything. That may be more than it
    /// asked with, so by datagram it goes to where the member is known to be.
    pub(super) fn receive_stale(&mut self, origin: &Origin<A>, messages: Messages<'_, A>) {
        self.cx.drop(DropReason::StaleEpoch);
        let (to, channel, subject) = (origin.address.clone(), origin.channel, origin.envelope.sender);
        if !origin.is_connected && !self.cx.may_be_told(subject, origin.near, &to) {
            return;
        }
        let asks = |message| matches!(message, Message::Ping(_) | Message::Join(_) | Message::Digest(_));
        if messages.flatten().any(asks) {
            self.cx.outbox.push(Pending::Claim { to, channel, subject });
        }
    }

    /// From this very node, by a detour; or from another one that has its id.
    fn receive_from_same_id(&mut self, origin: &Origin<A>, messages: Messages<'_, A>) {
        let is_myself = origin.envelope.epoch == self.cx.incarnation().epoch;
        let theirs = Incarnation { epoch: origin.envelope.epoch, refutations: 0 };
        let mut rival = None;
        for message in messages.flatten() {
            let is_for_streams = message.kind().is_some_and(MessageKind::is_for_streams);
            match message {
                _ if is_for_streams && origin.channel == Channel::Datagram => self.cx.drop(DropReason::Channel),
                Message::Join(_) => {
                    let reason = if is_myself { RejectReason::Myself } else { RejectReason::IdConflict };
                    self.cx.outbox.push(Pending::Reject { to: origin.address.clone(), reason });
                }
                Message::Reject(_) if !is_myself => {
                    let error = JoinError::Rejected(RejectReason::IdConflict);
                    if self.joining.fail(&mut self.cx, &origin.address, error) {
                        rival = Some((origin.address.clone(), theirs));
                    }
                }
                Message::Reject(_) => {
                    let error = JoinError::Rejected(RejectReason::Myself);
                    self.joining.fail(&mut self.cx, &origin.address, error);
                    self.healing.note_answer(&origin.address, self.cx.id());
                }
                // The same address is this node's own past, by a detour.
                Message::Claim(claim)
                    if claim.subject == self.cx.id() && !is_myself && claim.address != *self.address() =>
                {
                    rival = Some((claim.address, claim.incarnation));
                }
                Message::Conflict(conflict) if !is_myself => rival = Some((conflict.address, conflict.incarnation)),
                _ => self.cx.drop(DropReason::Myself),
            }
        }
        if let Some((address, incarnation)) = rival
            && self.impostor.as_ref().is_none_or(|(known, _)| *known != address)
        {
            self.impostor = Some((address.clone(), incarnation));
            let quiet = self.cx.phase == Phase::Contested;
            self.cx.events.push(Event::IdConflict { rival: address, incarnation, quiet });
        }
    }

    fn receive_valid(&mut self, origin: &Origin<A>, messages: Messages<'_, A>) {
        let epoch = self.cx.incarnation().epoch;
        let hearsay = self.hearsay(origin, &messages);
        if !self.admits(origin, &messages) {
            return;
        }
        self.broadcaster.begin_packet();
        self.cx.asked = None;
        let mut has_asked = false;
        for message in messages.flatten() {
            let Some(kind) = message.kind() else {
                self.cx.drop(DropReason::UnknownKind);
                continue;
            };
            self.cx.stats.count_received(kind);
            if kind.is_request() && core::mem::replace(&mut has_asked, true) {
                self.cx.drop(DropReason::Repeated);
                continue;
            }
            match message {
                _ if origin.channel == Channel::Datagram && kind.is_for_streams() => self.cx.drop(DropReason::Channel),
                // Its table is queued before what the packet tells is known, but written after.
                Message::Join(_) => self.cx.draw_table(&origin.address),
                Message::Claim(claim) => self.cx.hear(&claim, origin.envelope.sender, hearsay),
                Message::Accept(accept) => self.receive_accept(origin, accept),
                Message::Reject(reject) => {
                    let reason = RejectReason::from_code(reject.code, reject.speaks, reject.application);
                    if !self.joining.fail(&mut self.cx, &origin.address, JoinError::Rejected(reason)) {
                        self.cx.drop(DropReason::Unexpected);
                    }
                }
                Message::Ack(ack) => self.receive_ack(origin, ack),
                _ if self.cx.phase == Phase::Contested => self.cx.drop(DropReason::Quiet),
                Message::Metadata(delta) => self.cx.hear_metadata(&delta),
                other => self.receive_request(origin, other),
            }
        }
        if self.cx.incarnation().epoch != epoch {
            self.joining.repeat(&mut self.cx);
        }
        self.fetch_behind(origin);
    }

    /// How the claims in a packet are to be taken.
    fn hearsay(&self, origin: &Origin<A>, messages: &Messages<'_, A>) -> Hearsay {
        let is_table = |message| matches!(message, Message::Accept(_) | Message::Difference(_));
        if origin.channel == Channel::Datagram || !messages.clone().flatten().any(is_table) {
            Hearsay::News
        } else if self.joining.is_newcomer_at(&origin.address) {
            Hearsay::Welcome
        } else {
            Hearsay::Row
        }
    }

    /// Whether a packet may be acted on: one whose sender wants to join and may not tells nothing either.
    fn admits(&mut self, origin: &Origin<A>, messages: &Messages<'_, A>) -> bool {
        if origin.channel == Channel::Datagram {
            return true;
        }
        for message in messages.clone().flatten() {
            let Message::Join(join) = message else { continue };
            if self.cx.phase == Phase::Contested {
                self.cx.drop(DropReason::Quiet);
                return false;
            }
            if let Err(reason) = join::admit(&self.cx, origin.envelope.sender, &join) {
                self.cx.outbox.push(Pending::Reject { to: origin.address.clone(), reason });
                return false;
            }
        }
        true
    }

    fn receive_accept(&mut self, origin: &Origin<A>, accept: wire::Accept) {
        let by = origin.envelope.sender;
        self.healing.note_answer(&origin.address, by);
        if !accept.more && self.joining.is_newcomer_at(&origin.address) {
            self.broadcaster.note_joined(&self.cx);
        }
        let began = self.joining.began_at(&origin.address);
        self.joining.handle_accept(&mut self.cx, &origin.address, by, accept.more);
        if accept.more {
            return;
        }
        if self.cx.phase == Phase::Contested && began.is_some_and(|began| began > self.cx.rival_heard) {
            // Nobody there knows of the rival any more.
            let incarnation = self.cx.incarnation();
            self.cx.renew(incarnation.refuted());
        }
        if self.cx.is_active() {
            self.anti_entropy.plan(&mut self.cx, by);
        }
    }

    fn receive_ack(&mut self, origin: &Origin<A>, ack: wire::Ack) {
        let sender = origin.envelope.sender;
        if self.leave.handle_ack(&mut self.cx, ack.sequence) {
            return;
        }
        if !self.prober.handle_ack(&mut self.cx, sender, ack.sequence) {
            self.cx.drop(DropReason::Unexpected);
        }
        if self.cx.is_active() {
            self.anti_entropy.handle_root(&mut self.cx, sender, ack.root.0);
        }
    }

    /// A message that wants an answer, or is one to such.
    fn receive_request(&mut self, origin: &Origin<A>, message: Message<'_, A>) {
        let from = &origin.address;
        let sender = origin.envelope.sender;
        match message {
            Message::Ping(ping) => {
                if ping.target != Tail::of(self.cx.id()) {
                    self.cx.drop(DropReason::WrongTarget);
                    return;
                }
                let (to, channel, sequence) = (from.clone(), origin.channel, ping.sequence);
                let near = origin.near;
                let may_tell = origin.is_connected || self.cx.may_be_told(sender, near, &to);
                self.cx.outbox.push(Pending::Ack { to, channel, sequence, prober: sender, near, may_tell });
                if self.cx.is_active() {
                    self.anti_entropy.handle_root(&mut self.cx, sender, ping.root.0);
                }
            }
            Message::PingRequest(request) => {
                let wire::PingRequest { sequence, target, patience_ms } = request;
                let Some(asker) = self.asker_of(origin) else { return self.cx.drop(DropReason::UnknownMember) };
                let returns = origin.is_connected && asker == origin.address;
                let may_tell = returns || self.cx.may_be_told(sender, origin.near, &asker);
                self.prober.handle_request(
                    &mut self.cx,
                    Asker { address: asker, may_tell },
                    sequence,
                    target,
                    patience_ms,
                );
            }
            Message::Nack(nack) => self.prober.handle_nack(&mut self.cx, nack.sequence),
            Message::MetadataRequest(wants) => self.cx.handle_metadata_request(from, wants),
            Message::Digest(digest) => self.cx.handle_digest(from, digest.buckets),
            Message::Difference(difference) => self.cx.handle_difference(from, difference.wanted),
            // Only a node that has this one's id sends it, and that case is handled before.
            Message::Conflict(_) => self.cx.drop(DropReason::Unexpected),
            Message::Ballot(ballot) => {
                let from = Voter { id: sender, epoch: origin.envelope.epoch };
                self.elections.handle(&mut self.cx, from, &ballot);
            }
            Message::Lock(parcel) => {
                let from = Voter { id: sender, epoch: origin.envelope.epoch };
                self.locks.handle(&mut self.cx, &self.elections, from, &parcel);
            }
            Message::StoreRoot(root) => {
                self.stores.handle_root(&mut self.cx, (sender, origin.envelope.epoch), root);
            }
            Message::StoreSync(sync) => {
                self.stores.handle_sync(&mut self.cx, (sender, origin.envelope.epoch), from, &sync);
            }
            other => self.receive_application(origin, other),
        }
    }

    /// Where those are answered who may be answered twice: under a seal not where their packet seems to come from.
    fn asker_of(&self, origin: &Origin<A>) -> Option<A> {
        if !self.cx.is_guarded() {
            return Some(origin.address.clone());
        }
        let slot = self.cx.table.find_at(origin.near, origin.envelope.sender)?;
        Some(self.cx.table.member(slot).address.clone())
    }

    /// Asks the sender for metadata that it mentioned and this node lacks.
    fn fetch_behind(&mut self, origin: &Origin<A>) {
        let behind = core::mem::take(&mut self.cx.behind);
        if behind.is_empty() || !self.cx.is_active() {
            return;
        }
        let to = match (origin.channel, self.cx.table.find_at(origin.near, origin.envelope.sender)) {
            (Channel::Stream, _) => origin.address.clone(),
            (Channel::Datagram, Some(slot)) if slot != Slot::MYSELF => self.cx.table.member(slot).address.clone(),
            (Channel::Datagram, _) => return,
        };
        self.anti_entropy.fetch_metadata(&mut self.cx, &to, &behind);
    }
}
