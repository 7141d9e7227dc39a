//! The node's own two sockets: datagrams in and out, and connections that come in. Their errors end here.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_channel::Receiver;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::Stream as _;
use smallvec::SmallVec;
use tracing::{debug, warn};

use crate::address::{for_family, unmapped};
use crate::framing::{Kind, PREFIX, prefix};
use crate::stats::{Counter, Counters};
use crate::transport::{ByteStream, Carrier};
use crate::{Batch, Datagrams, Listener, Runtime};

/// No datagram is longer.
const LONGEST_DATAGRAM: usize = 65_535;
/// Longer datagrams leave one by one: they may not fit the network unless they are fragmented.
const LONGEST_IN_BATCH: usize = 1_400;
/// Most bytes that leave together.
const LONGEST_BATCH: usize = 64_000;
/// Pause after an error of a socket that may last.
const PAUSE: Duration = Duration::from_millis(100);
/// Errors in a row, with pauses, after which the UDP socket is given up.
const LOST_AFTER: u32 = 100;
/// Connections in a row that may be gone before they are accepted; then others get their turn.
const LOST_IN_A_ROW: u32 = 16;

/// What a batch is for before there was one.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The UDP socket, and the one packet on its way to it.
pub(crate) struct Mailbox<R: Runtime> {
    /// `None` for a node without datagrams.
    socket: Option<R::Datagrams>,
    is_ipv6: bool,
    counters: Arc<Counters>,
    inbound: Box<[u8]>,
    /// Which part of it is not handed out yet, in datagrams of which length, from whom.
    unread: Option<Unread>,
    /// The packet to be sent, after room for its length.
    outbound: BytesMut,
    /// Where the packet has still to go, the last one first.
    held: SmallVec<[SocketAddr; 4]>,
    /// Packets of one length to one address, which go before the one that is held.
    batch: Outgoing,
    blocked: bool,
    failures: u32,
    resume: Option<Instant>,
}

/// Datagrams that arrived together.
#[derive(Clone, Copy, Debug)]
struct Unread {
    at: usize,
    end: usize,
    segment: usize,
    from: SocketAddr,
}

/// Packets that may leave together.
#[derive(Debug)]
struct Outgoing {
    bytes: BytesMut,
    to: SocketAddr,
    segment: usize,
    /// Its last packet is shorter, or it is wanted away.
    is_closed: bool,
}

/// What came of receiving.
#[derive(Debug)]
pub(crate) enum Received<'a> {
    Datagram {
        from: SocketAddr,
        packet: &'a mut [u8],
    },
    /// An error that means nothing for the socket.
    Noise,
    Nothing,
    /// The socket is of no use any more.
    Failed(String),
}

/// What came of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    /// The socket is full; the rest is held.
    Blocked,
}

impl<R: Runtime> Mailbox<R> {
    pub(crate) fn new(socket: Option<R::Datagrams>, bound: Option<SocketAddr>, counters: Arc<Counters>) -> Self {
        let inbound = if socket.is_some() { LONGEST_DATAGRAM } else { 0 };
        let bound = bound.unwrap_or(NOWHERE);
        Self {
            socket,
            is_ipv6: bound.is_ipv6(),
            counters,
            inbound: vec![0; inbound].into_boxed_slice(),
            unread: None,
            outbound: BytesMut::new(),
            held: SmallVec::new(),
            batch: Outgoing { bytes: BytesMut::new(), to: bound, segment: 0, is_closed: false },
            blocked: false,
            failures: 0,
            resume: None,
        }
    }

    /// Whether this node has a socket for datagrams.
    pub(crate) fn is_bound(&self) -> bool {
        self.socket.is_some()
    }

    pub(crate) fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> Received<'_> {
        let Some(socket) = &mut self.socket else { return Received::Nothing };
        if self.resume.is_some_and(|at| now < at) {
            return Received::Nothing;
        }
        self.resume = None;
        if self.unread.is_none() {
            match socket.poll_receive_batch(cx, &mut self.inbound) {
                Poll::Pending => {
                    self.failures = 0;
                    return Received::Nothing;
                }
                Poll::Ready(Ok(Batch { length, segment, from })) => {
                    self.failures = 0;
                    self.unread = Some(Unread { at: 0, end: length, segment, from: unmapped(from) });
                }
                Poll::Ready(Err(error)) => return self.receive_error(now, &error),
            }
        }
        let Some(Unread { at, end, segment, from }) = self.unread else { return Received::Nothing };
        let next = end.min(at + segment);
        // An empty datagram is one too.
        self.unread = (next < end && next > at).then_some(Unread { at: next, end, segment, from });
        Received::Datagram { from, packet: &mut self.inbound[at..next] }
    }

    fn receive_error(&mut self, now: Instant, error: &io::Error) -> Received<'static> {
        self.counters.count(Counter::DatagramReceiveErrors);
        if is_about_a_peer(error.kind()) {
            return Received::Noise;
        }
        self.failures += 1;
        if self.failures >= LOST_AFTER {
            return Received::Failed(error.to_string());
        }
        if self.failures == 1 {
            warn!(%error, "cannot receive datagrams; trying again");
        }
        self.resume = Some(now + PAUSE);
        Received::Nothing
    }

    /// Sends what is held, and before it the batch if that is complete.
    pub(crate) fn send_held(&mut self, cx: &mut Context<'_>) -> Sent {
        if (self.batch.is_closed || !self.held.is_empty()) && self.send_batch(cx) == Sent::Blocked {
            return Sent::Blocked;
        }
        while let Some(&to) = self.held.last()
            && let Some(socket) = &mut self.socket
        {
            let packet = &self.outbound[PREFIX..];
            match socket.poll_send(cx, packet, for_family(to, self.is_ipv6)) {
                Poll::Pending => return self.block(),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.counters.count(Counter::DatagramSendErrors);
                    debug!(%to, length = packet.len(), %error, "a datagram was not sent");
                }
            }
            self.blocked = false;
            self.held.pop();
        }
        Sent::All
    }

    /// Sends the batch, complete or not.
    pub(crate) fn send_batch(&mut self, cx: &mut Context<'_>) -> Sent {
        while !self.batch.bytes.is_empty()
            && let Some(socket) = &mut self.socket
        {
            let Outgoing { bytes, to, segment, .. } = &mut self.batch;
            let address = for_family(*to, self.is_ipv6);
            let gone = match socket.poll_send_batch(cx, bytes, *segment, address) {
                Poll::Pending => return self.block(),
                Poll::Ready(Ok(gone)) => gone,
                Poll::Ready(Err(error)) => {
                    self.counters.count(Counter::DatagramSendErrors);
                    debug!(%to, length = segment, %error, "a datagram was not sent");
                    *segment
                }
            };
            self.blocked = false;
            bytes.advance(gone.min(bytes.len()));
        }
        self.batch.is_closed = false;
        Sent::All
    }

    fn block(&mut self) -> Sent {
        if !self.blocked {
            self.counters.count(Counter::DatagramsHeld);
        }
        self.blocked = true;
        Sent::Blocked
    }

    /// The buffer for the next packet, with room before it for its length. Nothing may be held.
    pub(crate) fn empty_buffer(&mut self) -> &mut BytesMut {
        debug_assert!(self.held.is_empty(), "the packet that is held would be lost");
        self.outbound.clear();
        self.outbound.put_bytes(0, PREFIX);
        &mut self.outbound
    }

    /// The packet in the buffer is to go to these addresses, in this order.
    pub(crate) fn hold(&mut self, to: SmallVec<[SocketAddr; 4]>) {
        let max_batch = self.socket.as_ref().map_or(1, Datagrams::max_batch);
        if let [to] = to[..]
            && self.batch.take(&self.outbound[PREFIX..], to, max_batch)
        {
            return;
        }
        self.held = to;
        self.held.reverse();
    }

    /// Takes the packet in the buffer as a frame, with its length before it.
    pub(crate) fn take_frame(&mut self) -> Bytes {
        framed(Kind::Message, self.outbound.split())
    }

    /// The packet in the buffer as a frame of a datagram; it stays there.
    pub(crate) fn copy_datagram(&self) -> Bytes {
        framed(Kind::Datagram, self.outbound.clone())
    }

    /// When receiving goes on after an error.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.resume
    }
}

/// A packet with room before it for its prefix, as a frame.
fn framed(kind: Kind, mut packet: BytesMut) -> Bytes {
    let prefix = prefix(kind, packet.len() - PREFIX).expect("max_message is at most 64 MiB, so the length fits");
    packet[..PREFIX].copy_from_slice(&prefix);
    packet.freeze()
}

impl Outgoing {
    /// Takes a packet in if it can leave together with the others.
    fn take(&mut self, packet: &[u8], to: SocketAddr, most: usize) -> bool {
        if most < 2 || packet.len() > LONGEST_IN_BATCH || self.is_closed {
            return false;
        }
        if self.bytes.is_empty() {
            (self.to, self.segment) = (to, packet.len());
        } else if self.to != to || packet.len() > self.segment {
            return false;
        }
        self.bytes.extend_from_slice(packet);
        let is_full = self.bytes.len() + self.segment > LONGEST_BATCH.min(most * self.segment);
        self.is_closed = is_full || packet.len() < self.segment;
        true
    }
}

/// Whether an error says something about a peer or the way to it, and nothing about the socket itself: on a UDP socket
/// it is late news about a datagram sent earlier.
fn is_about_a_peer(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::AddrNotAvailable
            | ErrorKind::PermissionDenied
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
    )
}

/// Where connections come in.
pub(crate) enum Entrance<R: Runtime> {
    /// The TCP listener.
    Listener(R::Listener),
    /// What the application accepts.
    Custom(Pin<Box<Receiver<ByteStream>>>),
}

/// A connection that came in, and where from.
type Incoming<R> = (Carrier<<R as Runtime>::Stream>, Option<SocketAddr>);

/// Takes in connections.
pub(crate) struct Porter<R: Runtime> {
    entrance: Option<Entrance<R>>,
    counters: Arc<Counters>,
    /// Connections in a row that were gone before they could be accepted.
    failures: u32,
    /// The present trouble is in the log.
    warned: bool,
    resume: Option<Instant>,
}

impl<R: Runtime> Porter<R> {
    pub(crate) fn new(entrance: Option<Entrance<R>>, counters: Arc<Counters>) -> Self {
        Self { entrance, counters, failures: 0, warned: false, resume: None }
    }

    /// The next connection that has come in, and where from if that is known.
    pub(crate) fn accept(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<Incoming<R>> {
        let listener = match self.entrance.as_mut()? {
            Entrance::Listener(listener) => listener,
            Entrance::Custom(streams) => {
                let Poll::Ready(Some(stream)) = streams.as_mut().poll_next(cx) else { return None };
                return Some((Carrier::Boxed(stream), None));
            }
        };
        if self.resume.is_some_and(|at| now < at) {
            return None;
        }
        self.resume = None;
        loop {
            match listener.poll_accept(cx) {
                Poll::Pending => return None,
                Poll::Ready(Ok((stream, from))) => {
                    self.failures = 0;
                    self.warned = false;
                    return Some((Carrier::Socket(stream), Some(unmapped(from))));
                }
                Poll::Ready(Err(error)) => {
                    self.counters.count(Counter::AcceptErrors);
                    self.failures += 1;
                    let is_lasting = !is_about_a_peer(error.kind());
                    if is_lasting && !self.warned {
                        warn!(%error, "cannot accept connections; trying again (check the limit of open files)");
                    }
                    self.warned |= is_lasting;
                    if is_lasting || self.failures >= LOST_IN_A_ROW {
                        self.failures = 0;
                        self.resume = Some(now + PAUSE);
                        return None;
                    }
                }
            }
        }
    }

    /// When accepting goes on after an error.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.resume
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn empty() -> Outgoing {
        Outgoing { bytes: BytesMut::new(), to: address(0), segment: 0, is_closed: false }
    }

    #[test]
    fn packets_of_one_length_to_one_address_leave_together() {
        let mut batch = empty();
        assert!(batch.take(&[1; 100], address(1), 64) && batch.take(&[2; 100], address(1), 64));
        assert!(!batch.take(&[3; 100], address(2), 64), "another address");
        assert!(!batch.take(&[3; 101], address(1), 64), "a longer packet");
        assert!(batch.take(&[4; 99], address(1), 64), "the last may be shorter");
        assert!(!batch.take(&[5; 99], address(1), 64), "nothing goes behind a shorter one");
        assert_eq!((batch.bytes.len(), batch.segment), (299, 100));
    }

    #[test]
    fn a_batch_is_bounded_in_number_and_bytes() {
        for (length, most, expected) in [(10, 64, 64), (1_400, 64, 45), (10, 2, 2)] {
            let mut batch = empty();
            let taken = (0..100).take_while(|_| batch.take(&vec![0; length], address(1), most)).count();
            assert_eq!(taken, expected, "{length} bytes, at most {most}");
            assert!(batch.is_closed);
        }
        assert!(!empty().take(&[0; 10], address(1), 1), "the system takes one at a time");
        assert!(!empty().take(&[0; LONGEST_IN_BATCH + 1], address(1), 64), "it may have to be fragmented");
    }
}
