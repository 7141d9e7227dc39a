//! Connections in memory.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    closed: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
        self.writer.take().into_iter().for_each(Waker::wake);
    }
}

/// One end of a connection. Dropping it with bytes unread resets the connection, as TCP does.
pub(crate) struct Stream {
    inward: Arc<Mutex<Pipe>>,
    outward: Arc<Mutex<Pipe>>,
}

fn locked(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream {
    /// Bytes that a connection holds before its writer has to wait.
    pub(crate) const ROOM: usize = 64 << 10;

    pub(crate) fn pair() -> (Self, Self) {
        let [a, b] = [(); 2].map(|()| Arc::<Mutex<Pipe>>::default());
        (Self { inward: Arc::clone(&a), outward: Arc::clone(&b) }, Self { inward: b, outward: a })
    }

    /// Breaks both directions, as a peer's crash does.
    pub(crate) fn reset(&self) {
        for pipe in [&self.inward, &self.outward] {
            let mut pipe = locked(pipe);
            pipe.reset = true;
            pipe.wake();
        }
    }

    /// Waits for exactly `count` bytes, or fewer if the stream ends.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        let mut taken = vec![0; count];
        let mut filled = 0;
        while filled < count {
            let space = &mut taken[filled..];
            match poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, space)).await {
                Ok(0) | Err(_) => break,
                Ok(more) => filled += more,
            }
        }
        taken.truncate(filled);
        taken
    }

    /// Ends this direction: the peer has everything, and may still write.
    pub(crate) fn close(&mut self) {
        let mut pipe = locked(&self.outward);
        pipe.closed = true;
        pipe.wake();
    }

    /// Whether the other end was dropped, or has ended its direction.
    pub(crate) fn is_closed_by_peer(&self) -> bool {
        let inward = locked(&self.inward);
        inward.closed || inward.reset
    }

    /// Writes what there is room for without waiting.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(self).poll_write(&mut cx, bytes) {
            Poll::Ready(Ok(count)) => count,
            _ => 0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = locked(&self.inward);
        if pipe.reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let count = buffer.len().min(pipe.bytes.len());
        if count == 0 && !pipe.closed {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        for (slot, byte) in buffer.iter_mut().zip(pipe.bytes.drain(..count)) {
            *slot = byte;
        }
        pipe.wake();
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = locked(&self.outward);
        if pipe.reset || pipe.closed {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(Self::ROOM - pipe.bytes.len());
        if count == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.bytes.extend(&bytes[..count]);
        pipe.wake();
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, &slices.iter().map(|slice| &**slice).collect::<Vec<&[u8]>>().concat())
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = locked(&self.outward);
        pipe.closed = true;
        pipe.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let unread = !locked(&self.inward).bytes.is_empty();
        let mut outward = locked(&self.outward);
        outward.closed = true;
        outward.reset |= unread;
        outward.wake();
        drop(outward);
        let mut inward = locked(&self.inward);
        inward.reset = true;
        inward.wake();
    }
}
