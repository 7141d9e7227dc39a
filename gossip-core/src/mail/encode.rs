//! From waiting mail to packets; small messages to the same address share one.

use bytes::BytesMut;

use crate::context::Context;
use crate::identity::Address;
use crate::mail::{Content, Mail};
use crate::outbox::Recipients;
use crate::stats::{DropReason, MessageKind};
use crate::transmit::{Channel, Transmit};
use crate::wire::{DirectHeader, ReplyHeader, RequestHeader, Tail, Writer};

impl<A: Address> Context<A> {
    /// Writes the next packet of mail to the end of `buffer`.
    pub(crate) fn poll_mail(&mut self, buffer: &mut BytesMut) -> Option<Transmit<A>> {
        while let Some(first) = self.mail.front() {
            let (to, channel) = (first.to.clone(), first.channel);
            let packet = self.packet(channel, buffer, |cx, buffer, room| {
                let start = buffer.len();
                cx.write_mail(&to, channel, &mut Writer::new(buffer, room));
                if buffer.len() == start { Recipients::new() } else { to }
            });
            if packet.is_some() {
                return packet;
            }
        }
        None
    }

    /// Writes the first piece of mail, and those that follow it to the same address as long as they fit.
    fn write_mail(&mut self, to: &Recipients<A>, channel: Channel, writer: &mut Writer<'_>) {
        let full = writer.room();
        loop {
            let before = writer.room();
            let is_first = full == before;
            let Some(mail) = self.mail.front().filter(|mail| mail.to == *to && mail.channel == channel) else { return };
            if !is_first && channel == Channel::Stream && full - before >= self.config.chunk {
                return;
            }
            let Some((kind, fitted)) = put(mail, writer, self.now) else {
                self.mail.pop();
                continue;
            };
            if !fitted && !is_first {
                return;
            }
            let Some(mail) = self.mail.pop() else { return };
            if fitted {
                self.stats.count_sent(kind, to.len());
                self.count_bytes(&mail.content, before - writer.room(), to.len());
            } else {
                self.drop(DropReason::Oversized);
            }
        }
    }
}

impl<A> Context<A> {
    fn count_bytes(&mut self, content: &Content, written: usize, addresses: usize) {
        let payload = content.payload().len();
        let times = |bytes: usize| (bytes * addresses) as u64;
        self.stats.payload_bytes_sent += times(payload);
        match content {
            Content::Copy(copy) if copy.is_offer => self.stats.broadcast_control_bytes_sent += times(written),
            Content::Copy(_) => {
                self.stats.copy_payload_bytes_sent += times(payload);
                self.stats.copy_header_bytes_sent += times(written - payload);
            }
            Content::Direct { .. } | Content::Request { .. } | Content::Reply { .. } | Content::Nothing { .. } => {}
        }
    }
}

/// Writes one message; its kind, and whether it fitted. Nothing where nobody waits for it any more.
fn put<A>(mail: &Mail<A>, writer: &mut Writer<'_>, now: crate::time::Instant) -> Option<(MessageKind, bool)> {
    let payload = mail.content.payload();
    match &mail.content {
        Content::Nothing { .. } => None,
        Content::Direct { member, kind, .. } => {
            let header = DirectHeader { target: Tail::of(*member), kind: kind.as_u16() };
            Some((MessageKind::Direct, writer.put_letter(MessageKind::Direct, &header, payload)))
        }
        Content::Request { member, id, kind, deadline, number, .. } => {
            let patience_ms = u32::try_from(deadline.saturating_since(now).as_millis()).unwrap_or(u32::MAX);
            if patience_ms == 0 {
                return None;
            }
            let (number, before) = number.map_or((0, 0), |number| (number.own, number.own - number.lowest));
            let header = RequestHeader { target: *member, id: *id, kind: kind.as_u16(), patience_ms, number, before };
            Some((MessageKind::Request, writer.put_letter(MessageKind::Request, &header, payload)))
        }
        Content::Reply { id, outcome, .. } => {
            let header = ReplyHeader { id: *id, outcome: *outcome };
            Some((MessageKind::Reply, writer.put_letter(MessageKind::Reply, &header, payload)))
        }
        Content::Copy(copy) => Some((MessageKind::Copy, writer.put_letter(MessageKind::Copy, &copy.header(), payload))),
    }
}
