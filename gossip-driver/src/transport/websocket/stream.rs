//! Messages of WebSocket as a stream of bytes.
//!
//! Binary messages carry the bytes, in pieces of any size that mean nothing. An empty one says that its sender will send
//! no more, but still reads: WebSocket itself cannot close one direction. When both have said so, the WebSocket is
//! closed.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Error, Message};
use bytes::{Buf, Bytes, BytesMut};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{Sink, Stream};

use super::MESSAGE;
use crate::runtime::{Runtime, Timer};

/// Messages without bytes for the reader, pings above all, that are taken before others have their turn.
const WORDLESS: usize = 32;

/// A connection over WebSocket.
pub struct WebStream<S, R: Runtime> {
    socket: WebSocketStream<S>,
    /// What is left of the last message.
    incoming: Bytes,
    /// The peer will send no more bytes.
    has_peer_ended: bool,
    /// This side has said that it will send no more bytes.
    has_ended: bool,
    keep_alive: KeepAlive<R>,
}

/// Nothing in it is pinned.
impl<S: Unpin, R: Runtime> Unpin for WebStream<S, R> {}

impl<S, R: Runtime> fmt::Debug for WebStream<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebStream")
            .field("has_peer_ended", &self.has_peer_ended)
            .field("has_ended", &self.has_ended)
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, R: Runtime> WebStream<S, R> {
    pub(super) fn new(socket: WebSocketStream<S>, keep_alive: KeepAlive<R>) -> Self {
        Self { socket, incoming: Bytes::new(), has_peer_ended: false, has_ended: false, keep_alive }
    }

    /// Waits until everything that was written before is gone, so that never more than one message is held.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(described)
    }

    /// Sends a message, once everything before it is gone.
    fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        if self.has_ended {
            return Err(io::Error::new(ErrorKind::BrokenPipe, "this side was closed"));
        }
        Pin::new(&mut self.socket).start_send(Message::Binary(bytes)).map_err(described)
    }

    /// Takes one message, or the end of all.
    fn take(&mut self, cx: &mut Context<'_>, message: Option<Result<Message, Error>>) -> io::Result<()> {
        match message {
            Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => {
                self.has_peer_ended = true;
                if self.has_ended {
                    // Nothing depends on it any more.
                    let _ = self.poll_close_all(cx);
                }
            }
            Some(Ok(Message::Binary(bytes))) => self.incoming = bytes,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_))) => {
                self.has_peer_ended = true;
                // The answer to it is on its way, and nothing depends on it.
                let _ = self.poll_gone(cx);
            }
            None | Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                self.has_peer_ended = true;
            }
            Some(Ok(Message::Text(_)) | Err(Error::Utf8(_))) => {
                self.fail(cx, CloseCode::Unsupported, "text");
                return Err(io::Error::new(ErrorKind::InvalidData, "the peer sends text; it is no gossip node"));
            }
            Some(Err(error)) => {
                match &error {
                    Error::Capacity(_) => self.fail(cx, CloseCode::Size, "too long"),
                    Error::Protocol(_) => self.fail(cx, CloseCode::Protocol, ""),
                    _ => {}
                }
                return Err(described(error));
            }
        }
        Ok(())
    }

    /// Tells the peer why, if there is room for that, before the connection is given up.
    fn fail(&mut self, cx: &mut Context<'_>, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame { code, reason: reason.into() };
        if Pin::new(&mut self.socket).start_send(Message::Close(Some(frame))).is_ok() {
            let _ = self.poll_gone(cx);
        }
    }

    fn poll_close_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The peer may have closed everything already, which is as good.
        let _ = ready!(Pin::new(&mut self.socket).poll_close(cx));
        Pin::new(self.socket.get_mut()).poll_close(cx)
    }

    fn poll_keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Infallible>> {
        loop {
            let is_due = ready!(self.keep_alive.poll_due(cx))?;
            // If something else fills the way, that keeps the connection alive as well.
            if is_due && Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new())).is_ok() {
                let _ = self.poll_gone(cx);
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, R: Runtime> AsyncRead for WebStream<S, R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        for _ in 0..WORDLESS {
            if !self.incoming.is_empty() || self.has_peer_ended {
                let count = self.incoming.len().min(bytes.len());
                self.incoming.copy_to_slice(&mut bytes[..count]);
                return Poll::Ready(Ok(count));
            }
            let Poll::Ready(message) = Pin::new(&mut self.socket).poll_next(cx) else {
                return self.poll_keep_alive(cx).map(|failed| failed.map(|never| match never {}));
            };
            self.keep_alive.heard();
            self.take(cx, message)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, R: Runtime> AsyncWrite for WebStream<S, R> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let piece = &bytes[..bytes.len().min(MESSAGE)];
        // An empty message would mean the end.
        if piece.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_gone(cx))?;
        Poll::Ready(self.send(Bytes::copy_from_slice(piece)).map(|()| piece.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_gone(cx))?;
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>().min(MESSAGE);
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut piece = BytesMut::with_capacity(length);
        for slice in slices {
            let room = length - piece.len();
            piece.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        Poll::Ready(self.send(piece.freeze()).map(|()| length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_gone(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_ended {
            // Who has closed the WebSocket need not be told, and cannot be.
            let said = ready!(self.poll_gone(cx)).and_then(|()| self.send(Bytes::new()));
            self.has_ended = true;
            if !self.has_peer_ended {
                said?;
            }
        }
        if self.has_peer_ended { self.poll_close_all(cx) } else { self.poll_gone(cx) }
    }
}

fn described(error: Error) -> io::Error {
    let data = |text: String| io::Error::new(ErrorKind::InvalidData, text);
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(ProtocolError::SendAfterClosing) => {
            io::Error::new(ErrorKind::BrokenPipe, "the peer closed the WebSocket")
        }
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            data(format!("the peer sends a WebSocket message of at least {size} bytes, the limit is {max_size}"))
        }
        error => data(format!("WebSocket: {error}")),
    }
}

/// Keeps proxies from closing a connection over which nothing goes, and finds out when nobody is at the other end.
pub(crate) struct KeepAlive<R: Runtime> {
    pub(super) runtime: R,
    interval: Duration,
    timer: Option<R::Timer>,
    last_heard: Instant,
    /// When the ping was sent that is not answered yet.
    pinged: Option<Instant>,
}

impl<R: Runtime> KeepAlive<R> {
    /// Sends a ping after a silence of `interval`, and gives up after another one.
    pub(crate) fn new(runtime: R, interval: Duration) -> Self {
        let last_heard = runtime.now();
        Self { runtime, interval, timer: None, last_heard, pinged: None }
    }

    /// Something came from the peer.
    fn heard(&mut self) {
        self.last_heard = self.runtime.now();
        self.pinged = None;
    }

    /// Whether a ping is to be sent. An error when the last one was not answered.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Self { runtime, interval, timer, .. } = self;
        let timer = timer.get_or_insert_with(|| runtime.timer(self.last_heard + *interval));
        ready!(timer.poll_fired(cx));
        let now = runtime.now();
        let since = self.pinged.unwrap_or(self.last_heard);
        if now < since + *interval {
            timer.reset(since + *interval);
            return Poll::Ready(Ok(false));
        }
        if self.pinged.is_some() {
            return Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "the peer does not answer pings")));
        }
        self.pinged = Some(now);
        timer.reset(now + *interval);
        Poll::Ready(Ok(true))
    }
}
