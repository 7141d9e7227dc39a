//! tokio's sockets, timers, tasks and name lookup, as the driver wants them.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use gossip_driver::{Datagrams, Listener, Runtime, SocketBuffers, Timer};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::time::Sleep;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use tracing::debug;

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
    type Stream = Compat<TcpStream>;
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
        Ok(TokioDatagrams(UdpSocket::from_std(socket.into())?))
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
        stream.set_nodelay(true)?;
        Ok(stream.compat())
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
pub struct TokioDatagrams(UdpSocket);

impl Datagrams for TokioDatagrams {
    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = tokio::io::ReadBuf::new(buffer);
        self.0.poll_recv_from(cx, &mut buffer).map_ok(|from| (buffer.filled().len(), from))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<()>> {
        self.0.poll_send_to(cx, bytes, to).map_ok(|_| ())
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A TCP listener of tokio's.
#[derive(Debug)]
pub struct TokioListener(TcpListener);

impl Listener for TokioListener {
    type Stream = Compat<TcpStream>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, SocketAddr)>> {
        self.0.poll_accept(cx).map(|accepted| {
            let (stream, from) = accepted?;
            // Only slower without; and a peer that is gone already is found out by reading.
            let _ = stream.set_nodelay(true);
            Ok((stream.compat(), from))
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
