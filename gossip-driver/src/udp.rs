//! The UDP socket of all adapters whose runtime only says when a socket of the operating system is ready.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use crate::offload::{Offload, Trust};
use crate::{Batch, Datagrams};

/// A socket whose descriptor can be had, where there are descriptors.
#[cfg(unix)]
pub trait Descriptor: AsFd {}
#[cfg(unix)]
impl<S: AsFd> Descriptor for S {}

/// A socket whose descriptor can be had, where there are descriptors.
#[cfg(not(unix))]
pub trait Descriptor {}
#[cfg(not(unix))]
impl<S> Descriptor for S {}

/// A UDP socket that does not block, and of which a runtime knows when it is ready.
pub trait UdpReadiness: Descriptor + Send + 'static {
    /// Calls `receive` when something may have arrived, until it ends otherwise than with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    fn poll_receive_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        receive: impl FnMut(&Self) -> io::Result<T>,
    ) -> Poll<io::Result<T>>;

    /// Calls `send` when there may be room, until it ends otherwise than with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    fn poll_send_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        send: impl FnMut(&Self) -> io::Result<T>,
    ) -> Poll<io::Result<T>>;

    /// Receives one datagram, if there is one.
    ///
    /// # Errors
    ///
    /// Those of the operating system; [`WouldBlock`](io::ErrorKind::WouldBlock) if there is none.
    fn receive_one(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Sends one datagram, if there is room.
    ///
    /// # Errors
    ///
    /// Those of the operating system; [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room.
    fn send_one(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize>;

    /// Where it is bound.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// A UDP socket that takes and gives several datagrams at once where the system can. Bound to all addresses of a host it
/// sends to each peer from the one at which that asked last.
#[derive(Debug)]
pub struct UdpDatagrams<S> {
    socket: S,
    offload: Offload,
    trust: Trust,
}

impl<S: UdpReadiness> UdpDatagrams<S> {
    /// Asks the system what it can do for this socket.
    pub fn new(socket: S) -> Self {
        let offload = Offload::of(&socket);
        Self { socket, offload, trust: Trust::default() }
    }
}

impl<S: UdpReadiness> Datagrams for UdpDatagrams<S> {
    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let received = self.poll_receive_batch(cx, buffer);
        received.map_ok(|Batch { length, segment, from }| (length.min(segment), from))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<()>> {
        let Self { socket, offload, .. } = self;
        let sent = socket.poll_send_with(cx, |socket| offload.send_one(socket, bytes, to));
        if let Poll::Ready(Ok(_)) = sent {
            self.trust.went_alone();
        }
        sent.map_ok(|_| ())
    }

    fn poll_receive_batch(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<Batch>> {
        let Self { socket, offload, .. } = self;
        socket.poll_receive_with(cx, |socket| offload.receive(socket, buffer))
    }

    fn max_batch(&self) -> usize {
        if self.trust.is_worth_a_try() { self.offload.max_batch() } else { 1 }
    }

    fn poll_send_batch(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        segment: usize,
        to: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let first = &bytes[..segment.min(bytes.len())];
        let is_batch = first.len() < bytes.len() && self.max_batch() > 1;
        if is_batch {
            let Self { socket, offload, .. } = self;
            let sent = socket.poll_send_with(cx, |socket| offload.send(socket, bytes, segment, to));
            match sent {
                // What is refused as a batch may still go one by one.
                Poll::Ready(Err(_)) => {}
                Poll::Ready(Ok(_)) => {
                    self.trust.accepted();
                    return sent;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        let sent = self.poll_send(cx, first, to);
        if is_batch && matches!(sent, Poll::Ready(Ok(()))) {
            self.trust.refused(bytes.len().div_ceil(segment));
        }
        sent.map_ok(|()| first.len())
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_address()
    }
}
