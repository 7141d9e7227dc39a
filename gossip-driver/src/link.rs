//! One connection: a task that reads and writes it, bounded in both directions, and reports to the node's task.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::Context;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures_channel::oneshot;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::{Either, FutureExt, select};
use futures_util::io::AsyncReadExt;
use tracing::error;

use crate::NodeAddress;
use crate::callback::text_of;
use crate::framing::{Foreign, Frame, FrameError, FrameReader, FrameWriter};
use crate::queue::{Budget, Level, Queued, Reservation};
use crate::runtime::{Patience, Runtime, within};
use crate::transport::{Carrier, Gate, Transport, answer};

/// How many times as long as a peer may pause within a message it may take for the whole: one that sends a byte now and
/// then would else hold the memory of its message for ever.
const WHOLE: u32 = 12;

/// Names a connection for the life of the node. A later connection has a greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId(pub(crate) u64);

/// What connections tell the node's task.
#[derive(Debug)]
pub(crate) enum News {
    /// A whole frame arrived. Its memory counts until this is dropped.
    Message { link: LinkId, frame: Frame, held: Reservation },
    /// The peer will send no more, but may still read.
    PeerClosed { link: LinkId },
    /// Nothing is left to write, and somebody waits for that.
    Drained,
    /// The connection is gone, and so is its socket. Exactly one for each connection.
    Ended { link: LinkId, end: End },
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// In order: everything was written, and the peer closed as well or had its time for it.
    Done,
    /// The node's task had it ended.
    Killed,
    /// It could not be opened.
    NotOpened(io::Error),
    /// It broke.
    Broken {
        error: LinkError,
        /// Something that was queued is not written.
        unsent: bool,
    },
}

/// What breaks a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("it ended in the middle of a message")]
    Truncated,
    #[error("a message did not go on arriving in time")]
    ReadTimeout,
    #[error("the peer took no more bytes in time")]
    WriteTimeout,
    #[error("too much is held of messages that are still arriving")]
    ReceiveQueue,
    #[error("the task of the connection panicked")]
    Panicked,
}

/// Limits that hold for each connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_message: usize,
    pub(crate) dial_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

/// The ends of a connection's task that it works with; the node's task has the others.
pub(crate) struct Wires<R> {
    pub(crate) transport: Transport<R>,
    pub(crate) link: LinkId,
    pub(crate) limits: Limits,
    /// Frames to write. Closed when the connection is to be closed after them.
    pub(crate) queue: Receiver<Queued>,
    /// Bytes in the queue and on their way out of it.
    pub(crate) queued: Level,
    pub(crate) budget: Budget,
    /// Whether something valid came over the connection, or this node opened it.
    pub(crate) is_proven: Arc<AtomicBool>,
    /// Somebody waits for a connection that has nothing to write any more.
    pub(crate) is_crowded: Arc<AtomicBool>,
    pub(crate) news: Sender<News>,
}

/// Where a connection comes from.
pub(crate) enum Origin<S> {
    Accepted(Carrier<S>, Gate),
    Dial(NodeAddress),
}

/// Runs a connection to its end and reports it. Dropping the other end of `kill` ends it at once.
pub(crate) async fn run<R: Runtime>(origin: Origin<R::Stream>, wires: Wires<R>, kill: oneshot::Receiver<Infallible>) {
    let (link, news) = (wires.link, wires.news.clone());
    let unwound = AssertUnwindSafe(until_killed(origin, wires, kill)).catch_unwind().await;
    let end = unwound.unwrap_or_else(|panic| {
        error!(panic = text_of(&*panic), "the task of a connection panicked; the connection is closed");
        End::Broken { error: LinkError::Panicked, unsent: true }
    });
    // Failure means that the node's task is gone.
    let _ = news.send(News::Ended { link, end }).await;
}

async fn until_killed<R: Runtime>(
    origin: Origin<R::Stream>,
    wires: Wires<R>,
    kill: oneshot::Receiver<Infallible>,
) -> End {
    let work = pin!(async {
        let stream = match origin {
            // The time of it is that for the first message.
            Origin::Accepted(stream, gate) => wires.transport.welcome(stream, gate).await,
            Origin::Dial(address) => wires.transport.open(&address, wires.limits.dial_timeout).await,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => return End::NotOpened(error),
        };
        converse(stream, &wires).await
    });
    match select(kill, work).await {
        Either::Left(_) => End::Killed,
        Either::Right((end, _)) => end,
    }
}

/// Reads and writes until both directions are closed or one breaks. A request of HTTP is answered as such.
async fn converse<R: Runtime>(stream: Carrier<R::Stream>, wires: &Wires<R>) -> End {
    let (mut read, mut write) = stream.split();
    let end = exchange(&mut read, &mut write, wires).await;
    if matches!(end, End::Broken { error: LinkError::Frame(FrameError::Foreign(Foreign::Request)), .. })
        && let Ok(mut stream) = read.reunite(write)
    {
        let reason = "This is a gossip port: it does not speak HTTP.";
        answer::refuse(&wires.transport.runtime, &mut stream, "400 Bad Request", &[], reason).await;
    }
    end
}

async fn exchange<R: Runtime>(read: impl AsyncRead + Unpin, write: impl AsyncWrite + Unpin, wires: &Wires<R>) -> End {
    let mut frames = FrameWriter::new();
    let reader = pin!(read_all(read, wires));
    let writer = pin!(write_all(write, &mut frames, wires));
    let broken = |error| End::Broken { error, unsent: wires.queued.bytes() > 0 };
    match select(reader, writer).await {
        Either::Left((Err(error), _)) | Either::Right((Err(error), _)) => broken(error),
        Either::Left((Ok(()), writer)) => writer.await.map_or_else(broken, |()| End::Done),
        Either::Right((Ok(()), reader)) => {
            // The peer has this long to say what it still has to say. What it says then is of use, how it ends is not.
            let _ = within(&wires.transport.runtime, wires.limits.write_timeout, reader).await;
            End::Done
        }
    }
}

/// Hands in each message that arrives, and waits while the node's task has no room for it.
async fn read_all<R: Runtime>(mut stream: impl AsyncRead + Unpin, wires: &Wires<R>) -> Result<(), LinkError> {
    let mut patience = Patience::new(wires.transport.runtime.clone());
    let mut frames = FrameReader::new(wires.limits.max_message);
    let mut held = wires.budget.reservation(&wires.is_proven);
    let mut begun = None;
    loop {
        if !held.cover(frames.capacity()) {
            return Err(LinkError::ReceiveQueue);
        }
        let in_message = frames.is_in_message();
        let now = wires.transport.runtime.now();
        begun = in_message.then(|| begun.unwrap_or(now));
        if begun.is_some_and(|begun| now.saturating_duration_since(begun) > wires.limits.read_timeout * WHOLE) {
            return Err(LinkError::ReadTimeout);
        }
        let space = frames.space();
        let mut read = |cx: &mut Context<'_>| Pin::new(&mut stream).poll_read(cx, space);
        let outcome = if in_message {
            let outcome = patience.wait(wires.limits.read_timeout, read).await;
            outcome.ok_or(LinkError::ReadTimeout)?
        } else {
            poll_fn(&mut read).await
        };
        let count = match outcome {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
            Ok(count) => count,
        };
        if count == 0 && in_message {
            return Err(LinkError::Truncated);
        }
        if count == 0 {
            let _ = wires.news.send(News::PeerClosed { link: wires.link }).await;
            return Ok(());
        }
        if let Some(frame) = frames.filled(count)? {
            let held = std::mem::replace(&mut held, wires.budget.reservation(&wires.is_proven));
            if wires.news.send(News::Message { link: wires.link, frame, held }).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Writes each frame of the queue; when the queue is closed, closes this direction of the stream.
async fn write_all<R: Runtime>(
    mut stream: impl AsyncWrite + Unpin,
    frames: &mut FrameWriter<Queued>,
    wires: &Wires<R>,
) -> Result<(), LinkError> {
    let span = wires.limits.write_timeout;
    let mut patience = Patience::new(wires.transport.runtime.clone());
    while let Ok(frame) = wires.queue.recv().await {
        frames.push(frame);
        while !frames.is_empty() {
            while !frames.is_full()
                && let Ok(frame) = wires.queue.try_recv()
            {
                frames.push(frame);
            }
            let slices = frames.slices();
            let written = patience.wait(span, |cx| Pin::new(&mut stream).poll_write_vectored(cx, &slices)).await;
            match written.ok_or(LinkError::WriteTimeout)? {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                taken => frames.advance(taken?),
            }
        }
        let flushed = patience.wait(span, |cx| Pin::new(&mut stream).poll_flush(cx)).await;
        flushed.ok_or(LinkError::WriteTimeout)??;
        // Either this sees that it is crowded, or who makes it so sees that the queue is empty.
        fence(Ordering::SeqCst);
        if wires.is_crowded.load(Ordering::Relaxed) && wires.queued.bytes() == 0 {
            // Failure means that the node's task is gone.
            let _ = wires.news.send(News::Drained).await;
        }
    }
    let closed = patience.wait(span, |cx| Pin::new(&mut stream).poll_close(cx)).await;
    Ok(closed.ok_or(LinkError::WriteTimeout)??)
}
