//! The sockets, timers and tasks of a [`Runtime`], as hickory wants them.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};
use hickory_resolver::net::runtime::{DnsTcpStream, DnsUdpSocket, RuntimeProvider, Spawn, Time};

use crate::runtime::{Datagrams, Runtime, SocketBuffers, sleep, within};

/// One question and its answer are all that these hold.
const BUFFERS: SocketBuffers = SocketBuffers { receive: 64 << 10, send: 16 << 10 };
/// Longest wait for a connection where none is asked for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A runtime for hickory.
#[derive(Clone)]
pub(super) struct Provider<R>(Arc<R>);

impl<R: Runtime> Provider<R> {
    pub(super) fn new(runtime: R) -> Self {
        Self(Arc::new(runtime))
    }
}

type Opening<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl<R: Runtime> RuntimeProvider for Provider<R> {
    type Handle = Self;
    type Timer = Clock<R>;
    type Udp = Udp<R>;
    type Tcp = Tcp<R>;

    fn create_handle(&self) -> Self {
        self.clone()
    }

    fn connect_tcp(&self, server: SocketAddr, _bind: Option<SocketAddr>, wait: Option<Duration>) -> Opening<Self::Tcp> {
        let runtime = Arc::clone(&self.0);
        Box::pin(async move {
            let connected = within(&*runtime, wait.unwrap_or(PATIENCE), runtime.connect(server)).await;
            Ok(Tcp(Mutex::new(connected.unwrap_or_else(|| Err(ErrorKind::TimedOut.into()))?)))
        })
    }

    fn bind_udp(&self, local: SocketAddr, _server: SocketAddr) -> Opening<Self::Udp> {
        let bound = self.0.bind_datagrams(local, BUFFERS);
        Box::pin(async { Ok(Udp(Mutex::new(Box::new(bound?)))) })
    }
}

impl<R: Runtime> Spawn for Provider<R> {
    fn spawn_bg(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}

/// A UDP socket that is polled by reference, which the lock is for.
pub(super) struct Udp<R: Runtime>(Mutex<Box<R::Datagrams>>);

impl<R: Runtime> DnsUdpSocket for Udp<R> {
    type Time = Clock<R>;

    fn poll_recv_from(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_receive(cx, buffer)
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_send(cx, bytes, to);
        sent.map_ok(|()| bytes.len())
    }
}

/// A TCP connection. Nobody waits for its lock, which is there to make it `Sync`.
pub(super) struct Tcp<R: Runtime>(Mutex<R::Stream>);

impl<R: Runtime> Tcp<R> {
    fn stream(&mut self) -> Pin<&mut R::Stream> {
        Pin::new(self.0.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<R: Runtime> AsyncRead for Tcp<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl<R: Runtime> AsyncWrite for Tcp<R> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_close(cx)
    }
}

impl<R: Runtime> DnsTcpStream for Tcp<R> {
    type Time = Clock<R>;
}

/// The timers of the runtime that the calling task runs in.
pub(super) struct Clock<R>(PhantomData<fn() -> R>);

fn running<R: Runtime>() -> R {
    R::current().expect("questions are asked in tasks of the runtime")
}

#[async_trait]
impl<R: Runtime> Time for Clock<R> {
    async fn delay_for(span: Duration) {
        sleep(&running::<R>(), span).await;
    }

    async fn timeout<F: Future + Send + 'static>(span: Duration, work: F) -> io::Result<F::Output> {
        within(&running::<R>(), span, work).await.ok_or_else(|| ErrorKind::TimedOut.into())
    }
}
