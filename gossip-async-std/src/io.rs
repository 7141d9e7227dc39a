//! The sockets, timers, tasks and name lookup that async-std and smol are made of, as the driver wants them.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use gossip_driver::{
    Listener, Runtime, SocketBuffers, Timer, UdpDatagrams, UdpReadiness, bind_tcp, bind_udp, prepare_connected,
};

/// The executor and the reactor of async-std, which start by themselves when they are first needed.
#[derive(Clone, Copy, Debug)]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    type Datagrams = AsyncStdDatagrams;
    type Listener = AsyncStdListener;
    type Stream = AsyncStdStream;
    type Timer = AsyncStdTimer;

    fn current() -> Result<Self, String> {
        Ok(Self)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        async_global_executor::spawn(task).detach();
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, deadline: Instant) -> AsyncStdTimer {
        AsyncStdTimer { timer: async_io::Timer::at(deadline), has_fired: false }
    }

    fn bind_datagrams(&self, address: SocketAddr, buffers: SocketBuffers) -> io::Result<AsyncStdDatagrams> {
        Ok(UdpDatagrams::new(AsyncStdUdp(Async::new_nonblocking(bind_udp(address, buffers)?)?)))
    }

    fn bind_listener(&self, address: SocketAddr) -> io::Result<AsyncStdListener> {
        Ok(AsyncStdListener(Async::new_nonblocking(bind_tcp(address)?)?))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<AsyncStdStream> {
        let stream = Async::<TcpStream>::connect(address).await?;
        prepare_connected(&stream)?;
        Ok(AsyncStdStream(stream))
    }

    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = host.to_owned();
        let lookup = async_global_executor::spawn_blocking(move || (host.as_str(), port).to_socket_addrs());
        Ok(lookup.await?.collect())
    }
}

/// A UDP socket in the reactor of async-std, with several datagrams in one call where the system can.
pub type AsyncStdDatagrams = UdpDatagrams<AsyncStdUdp>;

/// A UDP socket in the reactor of async-std.
#[derive(Debug)]
pub struct AsyncStdUdp(Async<UdpSocket>);

#[cfg(unix)]
impl AsFd for AsyncStdUdp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl UdpReadiness for AsyncStdUdp {
    fn poll_receive_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut receive: impl FnMut(&Self) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match receive(self) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(self.0.poll_readable(cx))?,
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_send_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut send: impl FnMut(&Self) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match send(self) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(self.0.poll_writable(cx))?,
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn receive_one(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.get_ref().recv_from(buffer)
    }

    fn send_one(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.get_ref().send_to(bytes, to)
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }
}

/// A TCP connection in the reactor of async-std.
#[derive(Debug)]
pub struct AsyncStdStream(Async<TcpStream>);

impl AsyncRead for AsyncStdStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for AsyncStdStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.get_ref().shutdown(Shutdown::Write) {
            // The other side has closed it already.
            Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            closed => Poll::Ready(closed),
        }
    }
}

/// A TCP listener in the reactor of async-std.
#[derive(Debug)]
pub struct AsyncStdListener(Async<TcpListener>);

impl Listener for AsyncStdListener {
    type Stream = AsyncStdStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(AsyncStdStream, SocketAddr)>> {
        loop {
            match self.0.get_ref().accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(self.0.poll_readable(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
                Ok((stream, from)) => {
                    // Only slower without; and a peer that is gone already is found out by reading.
                    let _ = stream.set_nodelay(true);
                    return Poll::Ready(Async::new(stream).map(|stream| (AsyncStdStream(stream), from)));
                }
            }
        }
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }
}

/// A timer in the reactor of async-std.
#[derive(Debug)]
pub struct AsyncStdTimer {
    timer: async_io::Timer,
    has_fired: bool,
}

impl Timer for AsyncStdTimer {
    fn reset(&mut self, deadline: Instant) {
        self.has_fired = false;
        self.timer.set_at(deadline);
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The timer itself is ready only once.
        if !self.has_fired {
            ready!(Pin::new(&mut self.timer).poll(cx));
            self.has_fired = true;
        }
        Poll::Ready(())
    }
}
