//! The node's own two sockets: datagrams in and out, and connections that come in. Their errors end here.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;
use tracing::{debug, warn};

use crate::address::{for_family, unmapped};
use crate::framing::{PREFIX, prefix};
use crate::stats::{Counter, Counters};
use crate::{Datagrams, Listener, Runtime};

/// No datagram is longer.
const LONGEST_DATAGRAM: usize = 65_535;
/// Pause after an error of a socket that may last.
const PAUSE: Duration = Duration::from_millis(100);
/// Errors in a row, with pauses, after which the UDP socket is given up.
const LOST_AFTER: u32 = 100;
/// Connections in a row that may be gone before they are accepted; then others get their turn.
const LOST_IN_A_ROW: u32 = 16;

/// The UDP socket, and the one packet on its way to it.
pub(crate) struct Mailbox<R: Runtime> {
    socket: R::Datagrams,
    is_ipv6: bool,
    counters: Arc<Counters>,
    inbound: Box<[u8]>,
    /// The packet to be sent, after room for its length.
    outbound: BytesMut,
    /// Where the packet has still to go, the last one first.
    held: SmallVec<[SocketAddr; 4]>,
    blocked: bool,
    failures: u32,
    resume: Option<Instant>,
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
    pub(crate) fn new(socket: R::Datagrams, bound: SocketAddr, counters: Arc<Counters>) -> Self {
        Self {
            socket,
            is_ipv6: bound.is_ipv6(),
            counters,
            inbound: vec![0; LONGEST_DATAGRAM].into_boxed_slice(),
            outbound: BytesMut::new(),
            held: SmallVec::new(),
            blocked: false,
            failures: 0,
            resume: None,
        }
    }

    pub(crate) fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> Received<'_> {
        if self.resume.is_some_and(|at| now < at) {
            return Received::Nothing;
        }
        self.resume = None;
        match self.socket.poll_receive(cx, &mut self.inbound) {
            Poll::Pending => {
                self.failures = 0;
                Received::Nothing
            }
            Poll::Ready(Ok((length, from))) => {
                self.failures = 0;
                Received::Datagram { from: unmapped(from), packet: &mut self.inbound[..length] }
            }
            Poll::Ready(Err(error)) => self.receive_error(now, &error),
        }
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

    /// Sends what is held.
    pub(crate) fn send_held(&mut self, cx: &mut Context<'_>) -> Sent {
        while let Some(&to) = self.held.last() {
            let packet = &self.outbound[PREFIX..];
            match self.socket.poll_send(cx, packet, for_family(to, self.is_ipv6)) {
                Poll::Pending => {
                    if !self.blocked {
                        self.counters.count(Counter::DatagramsHeld);
                    }
                    self.blocked = true;
                    return Sent::Blocked;
                }
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

    /// The buffer for the next packet, with room before it for its length. Nothing may be held.
    pub(crate) fn empty_buffer(&mut self) -> &mut BytesMut {
        debug_assert!(self.held.is_empty(), "the packet that is held would be lost");
        self.outbound.clear();
        self.outbound.put_bytes(0, PREFIX);
        &mut self.outbound
    }

    /// The packet in the buffer is to go to these addresses, in this order.
    pub(crate) fn hold(&mut self, to: SmallVec<[SocketAddr; 4]>) {
        self.held = to;
        self.held.reverse();
    }

    /// Takes the packet in the buffer as a frame, with its length before it.
    pub(crate) fn take_frame(&mut self) -> Bytes {
        let mut frame = self.outbound.split();
        let prefix = prefix(frame.len() - PREFIX).expect("max_message is at most 64 MiB, so the length fits 32 bits");
        frame[..PREFIX].copy_from_slice(&prefix);
        frame.freeze()
    }

    /// When receiving goes on after an error.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.resume
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

/// The TCP listener.
pub(crate) struct Acceptor<R: Runtime> {
    listener: R::Listener,
    counters: Arc<Counters>,
    /// Connections in a row that were gone before they could be accepted.
    failures: u32,
    /// The present trouble is in the log.
    warned: bool,
    resume: Option<Instant>,
}

impl<R: Runtime> Acceptor<R> {
    pub(crate) fn new(listener: R::Listener, counters: Arc<Counters>) -> Self {
        Self { listener, counters, failures: 0, warned: false, resume: None }
    }

    /// The next connection that has come in.
    pub(crate) fn accept(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<(R::Stream, SocketAddr)> {
        if self.resume.is_some_and(|at| now < at) {
            return None;
        }
        self.resume = None;
        loop {
            match self.listener.poll_accept(cx) {
                Poll::Pending => return None,
                Poll::Ready(Ok((stream, from))) => {
                    self.failures = 0;
                    self.warned = false;
                    return Some((stream, unmapped(from)));
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
