//! What an async runtime must offer: tasks, time, sockets, and the lookup of names.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::{Either, select};

/// An async runtime, as the driver sees it.
///
/// An adapter implements this and the socket traits; it decides nothing. A value is a cheap handle to a runtime that is
/// running, so that tasks can be spawned from any thread.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A UDP socket.
    type Datagrams: Datagrams;
    /// A TCP listener.
    type Listener: Listener<Stream = Self::Stream>;
    /// A TCP connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// A timer that can be set again.
    type Timer: Timer;

    /// The runtime that the calling code runs in.
    ///
    /// # Errors
    ///
    /// A sentence about what is missing, when called outside of a runtime.
    fn current() -> Result<Self, String>;

    /// Runs a future to its end in the background. Must not block and must work on any thread.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// The present on the clock that the timers go by.
    fn now(&self) -> Instant;

    /// A timer that fires at `deadline`, or at once if that has passed.
    fn timer(&self, deadline: Instant) -> Self::Timer;

    /// Binds a UDP socket and asks for kernel buffers of the size in `buffers`; smaller ones are no error.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn bind_datagrams(&self, address: SocketAddr, buffers: SocketBuffers) -> io::Result<Self::Datagrams>;

    /// Binds a TCP listener, with addresses reusable after a restart where the platform needs to be told.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn bind_listener(&self, address: SocketAddr) -> io::Result<Self::Listener>;

    /// Opens a TCP connection. The caller bounds the time that it takes.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// The addresses of a name, as the operating system resolves it.
    fn lookup(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// Kernel buffer sizes to ask for, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketBuffers {
    /// For what arrived and was not read yet.
    pub receive: usize,
    /// For what was sent and is not on the wire yet.
    pub send: usize,
}

/// A UDP socket.
pub trait Datagrams: Send + 'static {
    /// Receives one datagram into `buffer`: its length and sender.
    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>;

    /// Sends one datagram.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<()>>;

    /// Receives one datagram, or several of the same sender that lie one after the other in `buffer`.
    ///
    /// An adapter for which the system puts datagrams together says so here; others need not do anything.
    fn poll_receive_batch(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<Batch>> {
        let received = self.poll_receive(cx, buffer);
        received.map_ok(|(length, from)| Batch { length, segment: length, from })
    }

    /// How many datagrams [`poll_send_batch`](Self::poll_send_batch) takes at once.
    fn max_batch(&self) -> usize {
        1
    }

    /// Sends up to [`max_batch`](Self::max_batch) datagrams of `segment` bytes each, of which the last may be shorter,
    /// that lie one after the other in `bytes`, to one address; how many bytes of them are gone. After an error the
    /// first of them counts as gone.
    fn poll_send_batch(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        segment: usize,
        to: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let first = &bytes[..segment.min(bytes.len())];
        self.poll_send(cx, first, to).map_ok(|()| first.len())
    }

    /// Where it is bound.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// Datagrams of one sender that arrived together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Bytes of all of them.
    pub length: usize,
    /// Bytes of each; the last may be shorter.
    pub segment: usize,
    /// Who sent them.
    pub from: SocketAddr,
}

/// A TCP listener.
pub trait Listener: Send + 'static {
    /// What it accepts.
    type Stream;

    /// Accepts one connection: it and its remote address.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, SocketAddr)>>;

    /// Where it is bound.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// A timer that can be set again.
pub trait Timer: Send + Unpin + 'static {
    /// Makes it fire at `deadline` instead.
    fn reset(&mut self, deadline: Instant);

    /// Ready once the deadline has passed, and then until it is set again.
    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Waits for `span`.
pub(crate) async fn sleep<R: Runtime>(runtime: &R, span: Duration) {
    let mut timer = runtime.timer(runtime.now() + span);
    poll_fn(|cx| timer.poll_fired(cx)).await;
}

/// The output of `work`, or `None` if it takes longer than `span`.
pub(crate) async fn within<R: Runtime, T>(runtime: &R, span: Duration, work: impl Future<Output = T>) -> Option<T> {
    let work = std::pin::pin!(work);
    let alarm = std::pin::pin!(sleep(runtime, span));
    match select(work, alarm).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}

/// A timer for one wait after another, made when first needed.
pub(crate) struct Patience<R: Runtime> {
    runtime: R,
    timer: Option<R::Timer>,
}

impl<R: Runtime> Patience<R> {
    pub(crate) fn new(runtime: R) -> Self {
        Self { runtime, timer: None }
    }

    /// Polls until that is ready, or gives up after `span`. The timer is only set if it has to wait.
    pub(crate) async fn wait<T>(
        &mut self,
        span: Duration,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        let mut waiting = false;
        poll_fn(|cx| {
            if let Poll::Ready(output) = poll(cx) {
                return Poll::Ready(Some(output));
            }
            let Self { runtime, timer } = self;
            let deadline = runtime.now() + span;
            let timer = timer.get_or_insert_with(|| runtime.timer(deadline));
            if !waiting {
                waiting = true;
                timer.reset(deadline);
            }
            timer.poll_fired(cx).map(|()| None)
        })
        .await
    }
}
