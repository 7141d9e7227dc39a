//! What carries the bytes of connections: sockets of the runtime, or streams that the application opens and accepts.

pub(crate) mod answer;
mod layers;
mod stream;
#[cfg(test)]
#[cfg(any(feature = "tls", feature = "websocket"))]
mod talk;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(feature = "websocket")]
pub(crate) mod websocket;

use std::convert::Infallible;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_channel::Sender;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::FutureExt;
use futures_util::future::{Either, ready, select};
use tracing::{error, warn};

use crate::callback::text_of;
use crate::resolve::Lookup;
use crate::runtime::{Runtime, sleep, within};
use crate::stats::{Counter, Counters};
use crate::{Config, NodeAddress};

pub(crate) use layers::{Gate, Layers};
pub use stream::{Accepting, Acceptor, ByteStream, Bytewise, Dialer, Dialing};

/// Pause after an error of an acceptor.
const PAUSE: Duration = Duration::from_millis(100);

/// The part of the time for a connection that an address has to itself, if there is a second one.
const HEAD_START: u32 = 4;

/// How this node opens connections.
#[derive(Clone)]
pub(crate) struct Transport<R> {
    pub(crate) runtime: R,
    dialer: Option<Arc<dyn Dialer>>,
    lookup: Lookup<R>,
    layers: Arc<Layers>,
    elsewhere: Elsewhere,
}

/// Where else a member can be reached than at its address.
pub(crate) type Elsewhere = Arc<dyn Fn(&NodeAddress) -> Option<NodeAddress> + Send + Sync>;

impl<R: Runtime> Transport<R> {
    pub(crate) fn new(lookup: Lookup<R>, layers: Layers, elsewhere: Elsewhere, config: &Config) -> Self {
        let (runtime, dialer) = (lookup.runtime.clone(), config.dialer.clone());
        Self { runtime, dialer, lookup, layers: Arc::new(layers), elsewhere }
    }

    /// Opens a connection to whoever has this address, within so much time: there, or elsewhere if that fails or takes
    /// too long.
    pub(crate) async fn open(&self, to: &NodeAddress, span: Duration) -> io::Result<Carrier<R::Stream>> {
        let opening = async {
            let (first, head_start) = (pin!(self.open_at(to)), pin!(sleep(&self.runtime, span / HEAD_START)));
            let first = match select(first, head_start).await {
                Either::Left((Ok(stream), _)) => return Ok(stream),
                Either::Left((Err(error), _)) => Either::Left(ready(Err(error))),
                Either::Right(((), first)) => Either::Right(first),
            };
            // Of a member that was heard of a moment ago it may not have been known before.
            let Some(second) = (self.elsewhere)(to) else { return first.await };
            let both = |first: io::Error, error: io::Error| {
                io::Error::new(first.kind(), format!("{first}; and at {second}: {error}"))
            };
            match select(first, pin!(self.open_at(&second))).await {
                Either::Left((Ok(stream), _)) | Either::Right((Ok(stream), _)) => Ok(stream),
                Either::Left((Err(first), second)) => second.await.map_err(|error| both(first, error)),
                Either::Right((Err(error), first)) => first.await.map_err(|first| both(first, error)),
            }
        };
        let opened = within(&self.runtime, span, opening).await;
        opened.unwrap_or_else(|| Err(io::Error::new(ErrorKind::TimedOut, format!("no connection within {span:?}"))))
    }

    async fn open_at(&self, to: &NodeAddress) -> io::Result<Carrier<R::Stream>> {
        let stream = match &self.dialer {
            Some(dialer) => Carrier::Boxed(dialer.dial(to).await?),
            None => Carrier::Socket(self.connect(to).await?),
        };
        self.layers.dialled(&self.runtime, stream, to).await
    }

    /// Makes an accepted connection one that frames can go over. The caller bounds the time that it takes.
    pub(crate) async fn welcome(&self, stream: Carrier<R::Stream>, gate: Gate) -> io::Result<Carrier<R::Stream>> {
        self.layers.accepted(&self.runtime, stream, gate).await
    }

    async fn connect(&self, to: &NodeAddress) -> io::Result<R::Stream> {
        let unable = |reason: String| io::Error::new(ErrorKind::Unsupported, reason);
        let web = match to {
            NodeAddress::Web(web) => web,
            to => match to.socket_address() {
                Some(address) => return self.runtime.connect(address).await,
                None => return Err(unable(format!("this node cannot connect to {to}"))),
            },
        };
        let found = self.lookup.resolve(&web.clone().into()).await.map_err(|error| unable(error.to_string()))?;
        let mut last = None;
        for address in found.addresses {
            match self.runtime.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| unable(format!("{to} has no address"))))
    }
}

impl<R> fmt::Debug for Transport<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("custom", &self.dialer.is_some()).finish_non_exhaustive()
    }
}

/// Hands over each connection that the application accepts, until the node stops. `_task` is held for as long.
pub(crate) async fn accept_all<R: Runtime>(
    runtime: R,
    acceptor: Arc<dyn Acceptor>,
    accepted: Sender<ByteStream>,
    counters: Arc<Counters>,
    _task: Sender<Infallible>,
) {
    let work = async {
        let mut is_trouble_known = false;
        loop {
            match acceptor.accept().await {
                Ok(stream) => {
                    is_trouble_known = false;
                    if accepted.send(stream).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    counters.count(Counter::AcceptErrors);
                    if !is_trouble_known {
                        warn!(%error, "cannot accept connections; trying again");
                    }
                    is_trouble_known = true;
                    sleep(&runtime, PAUSE).await;
                }
            }
        }
    };
    // It is the application's.
    let work = pin!(AssertUnwindSafe(work).catch_unwind());
    if let Either::Right((Err(panic), _)) = select(pin!(accepted.closed()), work).await {
        error!(panic = text_of(&*panic), "the acceptor panicked; no more connections are accepted");
    }
}

/// What the frames of a connection go over. A socket of the runtime needs no box.
pub(crate) enum Carrier<S> {
    Socket(S),
    Boxed(ByteStream),
}

impl<S: Bytewise> Carrier<S> {
    fn inner(&mut self) -> Pin<&mut dyn Bytewise> {
        match self {
            Self::Socket(stream) => Pin::new(stream),
            Self::Boxed(stream) => Pin::new(&mut **stream),
        }
    }
}

impl<S: Bytewise> AsyncRead for Carrier<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_read(cx, bytes)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_read_vectored(cx, slices)
    }
}

impl<S: Bytewise> AsyncWrite for Carrier<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_close(cx)
    }
}
