//! What comes over connections, and what goes over them in place of datagrams.

use std::time::Instant;

use gossip_core::{KeyId, MemberState, NodeId};
use smallvec::SmallVec;
use zeroize::Zeroize;

use crate::framing::{Frame, Kind};
use crate::link::LinkId;
use crate::links::{Inner, Parcel, Peer, Verdict};
use crate::pump::Pump;
use crate::pump::verdict::{may_hold_key, verdict};
use crate::stats::Counter;
use crate::{Member, NodeAddress, Runtime, report};

impl<R: Runtime> Pump<R> {
    pub(super) fn take_frame(&mut self, now: Instant, link: LinkId, frame: Frame) {
        let Some(from) = self.links.received(now, link) else { return };
        let Frame { kind, bytes } = frame;
        match kind {
            Kind::Message | Kind::Datagram => {
                let sender = NodeId::named_by(&bytes);
                let verdict = self.take_packet(now, &from, kind, bytes);
                self.links.judge(link, verdict);
                if let Some(sender) = sender.filter(|&id| verdict == Verdict::Valid && self.only_dials(id)) {
                    self.links.learn(link, sender);
                }
            }
            Kind::Pass => self.relay(now, link, bytes),
            Kind::Passed => self.take_passed(now, &from, bytes),
        }
    }

    /// Hands a packet to the node; what it was worth.
    fn take_packet(&mut self, now: Instant, from: &Peer, kind: Kind, mut packet: Vec<u8>) -> Verdict {
        let time = self.clock.read(now);
        let before = self.node.stats();
        let claimed = KeyId::claimed_by(&packet);
        if kind == Kind::Datagram {
            self.node.handle_framed_datagram(time, from.address.clone(), &mut packet);
        } else {
            self.node.handle_message(time, from.address.clone(), &mut packet);
        }
        let after = self.node.stats();
        report::log_drops(from, &before, &after);
        let keys = self.node.config().keys.as_ref();
        self.troubles.look_at(now, (from, claimed), keys, (&before, &after));
        if keys.is_some() && may_hold_key(&packet, &before, &after) {
            packet.zeroize();
        }
        verdict(&before, &after)
    }

    /// Whether this is a live member that only dials.
    fn only_dials(&self, id: NodeId) -> bool {
        let member = self.node.member(id);
        member.is_some_and(|it| it.state.is_live() && it.address == NodeAddress::DialOnly(id))
    }

    /// Passes a packet on between two members that only dial, and for nobody else.
    fn relay(&mut self, now: Instant, link: LinkId, bytes: Vec<u8>) {
        let Some(parcel) = Parcel::read(bytes).filter(|parcel| parcel.inner != Inner::NoWay) else {
            return self.links.judge(link, Verdict::Garbage);
        };
        match self.links.owner(link).filter(|&source| self.only_dials(source)) {
            None => self.shared.counters.count(Counter::RelaysRefused),
            Some(source) if self.only_dials(parcel.third) => self.links.relay(now, link, source, &parcel),
            Some(_) => self.links.refuse_relay(now, link, &parcel),
        }
    }

    /// Takes a packet that came by way of a neighbour, which vouches for whose it is as little as any network does.
    fn take_passed(&mut self, now: Instant, from: &Peer, bytes: Vec<u8>) {
        let parcel = Parcel::read(bytes)
            .filter(|parcel| self.links.is_keeping() && from.address.can_be_dialled() && self.only_dials(parcel.third));
        let Some(Parcel { inner, third, packet }) = parcel else {
            return self.shared.counters.count(Counter::RelaysRefused);
        };
        let address = NodeAddress::DialOnly(third);
        let kind = match inner {
            Inner::Message => Kind::Message,
            Inner::Datagram => Kind::Datagram,
            Inner::NoWay => {
                self.links.change_relay(third);
                return self.node.handle_unreachable(self.clock.read(now), &address);
            }
        };
        self.take_packet(now, &Peer::at(address), kind, packet);
    }

    /// Does to connections what the state of a member asks for.
    pub(super) fn mind_links(&mut self, member: &Member) {
        let (now, address) = (self.runtime.now(), &member.address);
        if matches!(member.state, MemberState::Suspect | MemberState::Dead) {
            // Where probes go by datagram, a silent connection says nothing.
            if !(address.takes_datagrams() && self.mailbox.is_bound()) {
                self.links.renew(now, address, self.node.config().probe_interval);
            }
            self.links.change_relay(member.id);
        }
        if !member.state.is_live() {
            self.links.let_go(address);
        } else if member.id != self.node.id() {
            self.links.keep(now, address);
        }
    }

    /// Opens connections that are missing, if this node keeps some.
    pub(super) fn keep_links(&mut self, now: Instant) {
        let (node, links) = (&self.node, &mut self.links);
        let is_member =
            |address: &NodeAddress| node.members().any(|member| member.state.is_live() && member.address == *address);
        let time = self.clock.read(now);
        for address in links.missing(now, is_member) {
            self.node.introduce(time, address);
        }
    }

    /// Sends the packet in the buffer as a datagram, or as a frame where a node on either side is without datagrams.
    pub(super) fn send_datagram(&mut self, now: Instant, mut to: SmallVec<[NodeAddress; 4]>) {
        let mut sockets = SmallVec::new();
        if self.mailbox.is_bound() {
            to.retain(|to| match to {
                NodeAddress::Socket(socket) => {
                    sockets.push(*socket);
                    false
                }
                _ => true,
            });
        }
        if !to.is_empty() {
            let frame = self.mailbox.copy_datagram();
            for to in &to {
                self.links.send_datagram(now, to, frame.clone());
            }
        }
        self.mailbox.hold(sockets);
    }
}
