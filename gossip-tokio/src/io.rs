//! tokio's sockets, timers, tasks and name lookup, as the driver wants them.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use gossip_driver::{Batch, Datagrams, Listener, Runtime, SocketBuffers, Timer};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::time::Sleep;
use tracing::debug;

use crate::offload::{Offload, Trust};

/// Connections that the kernel may hold before they are accepted.
const BACKLOG: i32 = 1_024;

/// The tokio runtime that a node runs in. Its I/O and time drivers must be enabled (`enable_all`).
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
}

impl Runtime for Tokio {
    type Datagrams = TokioDatagrams;
    type Listener = TokioListener;
    type Stream = TokioStream;
    type Timer = TokioTimer;

    fn current() -> Result<Self, String> {
        match Handle::try_current() {
            Ok(handle) => Ok(Self { handle }),
            Err(_) => Err("start was not called within a tokio runtime; call it in #[tokio::main] or block_on".into()),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn timer(&self, deadline: Instant) -> TokioTimer {
        let _context = self.handle.enter();
        TokioTimer(Box::pin(tokio::time::sleep_until(deadline.into())))
    }

    fn bind_datagrams(&self, address: SocketAddr, buffers: SocketBuffers) -> io::Result<TokioDatagrams> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        prepare(&socket, address)?;
        enlarge(&socket, buffers);
        socket.bind(&SockAddr::from(address))?;
        let _context = self.handle.enter();
        let socket = UdpSocket::from_std(socket.into())?;
        let offload = Offload::of(&socket);
        Ok(TokioDatagrams { socket, offload, trust: Trust::default() })
    }

    fn bind_listener(&self, address: SocketAddr) -> io::Result<TokioListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        prepare(&socket, address)?;
        // Elsewhere the option would let two processes share the port.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        let _context = self.handle.enter();
        Ok(TokioListener(TcpListener::from_std(socket.into())?))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        let stream = TcpStream::connect(address).await?;
        // Where nobody listens, the system may have chosen the very port as that of this end: TCP connects it to itself.
        if stream.local_addr()? == stream.peer_addr()? {
            return Err(io::Error::new(ErrorKind::ConnectionRefused, "nobody listens there"));
        }
        stream.set_nodelay(true)?;
        Ok(TokioStream(stream))
    }

    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = host.to_owned();
        // On the node's own runtime, so that handles can be used from any thread.
        let lookup = self.handle.spawn_blocking(move || (host.as_str(), port).to_socket_addrs());
        Ok(lookup.await.map_err(io::Error::other)??.collect())
    }
}

fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    Ok(())
}

fn enlarge(socket: &Socket, wanted: SocketBuffers) {
    let granted = [
        ("receive", wanted.receive, socket.set_recv_buffer_size(wanted.receive), socket.recv_buffer_size()),
        ("send", wanted.send, socket.set_send_buffer_size(wanted.send), socket.send_buffer_size()),
    ];
    for (buffer, wanted, set, size) in granted {
        match (set, size) {
            (Ok(()), Ok(size)) if size >= wanted => {}
            (set, size) => debug!(
                buffer,
                wanted,
                granted = size.unwrap_or(0),
                refused = set.is_err(),
                "the system grants a smaller UDP buffer; raise net.core.rmem_max and wmem_max to avoid loss in bursts"
            ),
        }
    }
}

/// A UDP socket of tokio's.
#[derive(Debug)]
pub struct TokioDatagrams {
    socket: UdpSocket,
    offload: Offload,
    trust: Trust,
}

impl Datagrams for TokioDatagrams {
    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let received = self.poll_receive_batch(cx, buffer);
        received.map_ok(|Batch { length, segment, from }| (length.min(segment), from))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<()>> {
        let sent = unconstrained(cx, |cx| self.socket.poll_send_to(cx, bytes, to));
        if let Poll::Ready(Ok(_)) = sent {
            self.trust.went_alone();
        }
        sent.map_ok(|_| ())
    }

    fn poll_receive_batch(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<Batch>> {
        let Self { socket, offload, .. } = self;
        unconstrained(cx, |cx| {
            loop {
                ready!(socket.poll_recv_ready(cx))?;
                match socket.try_io(Interest::READABLE, || offload.receive(socket, buffer)) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    received => return Poll::Ready(received),
                }
            }
        })
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
            let Self { socket, trust, .. } = self;
            let sent = unconstrained(cx, |cx| {
                loop {
                    ready!(socket.poll_send_ready(cx))?;
                    match socket.try_io(Interest::WRITABLE, || Offload::send(socket, bytes, segment, to)) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        sent => return Poll::Ready(sent),
                    }
                }
            });
            match sent {
                // What is refused as a batch may still go one by one.
                Poll::Ready(Err(_)) => {}
                Poll::Ready(Ok(_)) => {
                    trust.accepted();
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
        self.socket.local_addr()
    }
}

/// Polls outside of the budget that tokio has for a task: the node has budgets of its own, and would take the end of
/// tokio's for an empty or a full socket.
fn unconstrained<T>(cx: &mut Context<'_>, poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    pin!(tokio::task::unconstrained(poll_fn(poll))).poll(cx)
}

/// A TCP connection of tokio's.
#[derive(Debug)]
pub struct TokioStream(TcpStream);

impl AsyncRead for TokioStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = tokio::io::ReadBuf::new(buffer);
        let read = tokio::io::AsyncRead::poll_read(Pin::new(&mut self.0), cx, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    }
}

impl AsyncWrite for TokioStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(Pin::new(&mut self.0), cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write_vectored(Pin::new(&mut self.0), cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut self.0), cx)
    }
}

/// A TCP listener of tokio's.
#[derive(Debug)]
pub struct TokioListener(TcpListener);

impl Listener for TokioListener {
    type Stream = TokioStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, SocketAddr)>> {
        self.0.poll_accept(cx).map(|accepted| {
            let (stream, from) = accepted?;
            // Only slower without; and a peer that is gone already is found out by reading.
            let _ = stream.set_nodelay(true);
            Ok((TokioStream(stream), from))
        })
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A timer of tokio's.
#[derive(Debug)]
pub struct TokioTimer(Pin<Box<Sleep>>);

impl Timer for TokioTimer {
    fn reset(&mut self, deadline: Instant) {
        self.0.as_mut().reset(deadline.into());
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[tokio::test]
    async fn what_lies_in_the_socket_is_read_to_its_end_in_one_go() {
        const MANY: usize = 300;
        let tokio = Tokio::current().unwrap();
        let buffers = SocketBuffers { receive: 1 << 20, send: 1 << 20 };
        let mut socket = tokio.bind_datagrams(local(0), buffers).unwrap();
        let to = socket.local_address().unwrap();
        let sender = std::net::UdpSocket::bind(local(0)).unwrap();
        let mut buffer = [0; 16];
        // The first one shows that the socket is ready.
        sender.send_to(b"x", to).unwrap();
        poll_fn(|cx| socket.poll_receive(cx, &mut buffer)).await.unwrap();
        for _ in 0..MANY {
            sender.send_to(b"x", to).unwrap();
        }
        let read = poll_fn(|cx| {
            let mut read = 0;
            while socket.poll_receive(cx, &mut buffer).is_ready() {
                read += 1;
            }
            if read == 0 { Poll::Pending } else { Poll::Ready(read) }
        });
        assert_eq!(read.await, MANY);
    }

    #[tokio::test]
    async fn datagrams_that_leave_together_arrive_as_they_are() {
        let tokio = Tokio::current().unwrap();
        let buffers = SocketBuffers { receive: 1 << 20, send: 1 << 20 };
        let mut receiver = tokio.bind_datagrams(local(0), buffers).unwrap();
        let mut sender = tokio.bind_datagrams(local(0), buffers).unwrap();
        let to = receiver.local_address().unwrap();
        let from = sender.local_address().unwrap();
        let sent: Vec<Vec<u8>> =
            (0..50_u8).map(|number| vec![number; if number == 49 { 700 } else { 1_000 }]).collect();
        let mut rest = &sent.concat()[..];
        while !rest.is_empty() {
            let gone = poll_fn(|cx| sender.poll_send_batch(cx, rest, 1_000, to)).await.unwrap();
            rest = &rest[gone..];
        }
        let (mut arrived, mut buffer) = (Vec::new(), vec![0; 65_535]);
        while arrived.len() < sent.len() {
            let batch = poll_fn(|cx| receiver.poll_receive_batch(cx, &mut buffer)).await.unwrap();
            assert_eq!(batch.from, from);
            arrived.extend(buffer[..batch.length].chunks(batch.segment).map(<[u8]>::to_vec));
        }
        assert!(arrived == sent);
    }

    #[tokio::test]
    async fn a_batch_for_a_receiver_that_cannot_be_changes_nothing_for_others() {
        let tokio = Tokio::current().unwrap();
        let mut sender = tokio.bind_datagrams(local(0), SocketBuffers { receive: 1 << 20, send: 1 << 20 }).unwrap();
        let before = sender.max_batch();
        for _ in 0..100 {
            poll_fn(|cx| sender.poll_send_batch(cx, &[7; 3_000], 1_000, local(0))).await.unwrap_err();
        }
        assert_eq!(sender.max_batch(), before);
    }

    #[tokio::test]
    async fn several_frames_are_written_at_once() {
        let tokio = Tokio::current().unwrap();
        let mut listener = tokio.bind_listener(local(0)).unwrap();
        let mut stream = tokio.connect(listener.local_address().unwrap()).await.unwrap();
        let _peer = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        let slices = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        let written = poll_fn(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &slices)).await;
        assert_eq!(written.unwrap(), 6);
    }
}
