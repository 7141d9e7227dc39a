//! tokio's sockets, timers, tasks and name lookup, as the driver wants them.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::{SocketAddr, ToSocketAddrs as _};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use gossip_driver::{
    Listener, Runtime, SocketBuffers, Timer, UdpDatagrams, UdpReadiness, bind_tcp, bind_udp, prepare_connected,
};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::time::Sleep;

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
        let socket = bind_udp(address, buffers)?;
        let _context = self.handle.enter();
        Ok(UdpDatagrams::new(TokioUdp(UdpSocket::from_std(socket)?)))
    }

    fn bind_listener(&self, address: SocketAddr) -> io::Result<TokioListener> {
        let listener = bind_tcp(address)?;
        let _context = self.handle.enter();
        Ok(TokioListener(TcpListener::from_std(listener)?))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TokioStream> {
        let stream = TcpStream::connect(address).await?;
        prepare_connected(&stream)?;
        Ok(TokioStream(stream))
    }

    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = host.to_owned();
        // On the node's own runtime, so that handles can be used from any thread.
        let lookup = self.handle.spawn_blocking(move || (host.as_str(), port).to_socket_addrs());
        Ok(lookup.await.map_err(io::Error::other)??.collect())
    }
}

/// A UDP socket of tokio's, with several datagrams in one call where the system can.
pub type TokioDatagrams = UdpDatagrams<TokioUdp>;

/// A UDP socket of tokio's.
#[derive(Debug)]
pub struct TokioUdp(UdpSocket);

#[cfg(unix)]
impl AsFd for TokioUdp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl UdpReadiness for TokioUdp {
    fn poll_receive_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut receive: impl FnMut(&Self) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        unconstrained(cx, |cx| {
            loop {
                ready!(self.0.poll_recv_ready(cx))?;
                match self.0.try_io(Interest::READABLE, || receive(self)) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    outcome => return Poll::Ready(outcome),
                }
            }
        })
    }

    fn poll_send_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(&Self) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        unconstrained(cx, |cx| {
            loop {
                ready!(self.0.poll_send_ready(cx))?;
                match self.0.try_io(Interest::WRITABLE, || send(self)) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    outcome => return Poll::Ready(outcome),
                }
            }
        })
    }

    fn receive_one(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.try_recv_from(buffer)
    }

    fn send_one(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.try_send_to(bytes, to)
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
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
