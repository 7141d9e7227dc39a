//! What lies between a connection and its frames: TLS, and WebSocket.

use std::fmt;
use std::io::{self, ErrorKind};

#[cfg(feature = "websocket")]
use std::time::Duration;

use super::Carrier;
#[cfg(feature = "tls")]
use super::answer;
#[cfg(feature = "websocket")]
use super::websocket::{self, Doorway, KeepAlive};
#[cfg(feature = "tls")]
use crate::TlsConfig;
use crate::runtime::Runtime;
use crate::{Config, NodeAddress};
#[cfg(feature = "websocket")]
use crate::{Token, WebAddress};

/// What a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// The TCP listener, or what the application gave in its place.
    Tcp,
    /// The listener for WebSocket.
    #[cfg(feature = "websocket")]
    Web,
    /// A server of the application, which has made it a WebSocket.
    #[cfg(feature = "websocket")]
    Mounted,
}

/// The layers that a node puts under its frames.
pub(crate) struct Layers {
    #[cfg(feature = "tls")]
    tls: Option<TlsConfig>,
    #[cfg(feature = "tls")]
    tcp_tls: bool,
    #[cfg(feature = "websocket")]
    listens_at: Option<WebAddress>,
    #[cfg(feature = "websocket")]
    token: Option<Token>,
    #[cfg(feature = "websocket")]
    ping_interval: Duration,
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers").finish_non_exhaustive()
    }
}

impl Layers {
    pub(crate) fn new(config: &Config, #[cfg(feature = "websocket")] listens_at: Option<WebAddress>) -> Self {
        #[cfg(not(any(feature = "tls", feature = "websocket")))]
        let _ = config;
        Self {
            #[cfg(feature = "tls")]
            tls: config.tls.clone(),
            #[cfg(feature = "tls")]
            tcp_tls: config.tcp_tls,
            #[cfg(feature = "websocket")]
            listens_at,
            #[cfg(feature = "websocket")]
            token: config.token.clone(),
            #[cfg(feature = "websocket")]
            ping_interval: config.web_ping_interval,
        }
    }

    /// Over a connection that this node has opened.
    pub(super) async fn dialled<R: Runtime>(
        &self,
        runtime: &R,
        stream: Carrier<R::Stream>,
        to: &NodeAddress,
    ) -> io::Result<Carrier<R::Stream>> {
        let (host, is_secure) = match to {
            NodeAddress::Web(web) => (web.certificate_name().to_owned(), web.is_secure()),
            to => (to.socket_address().map(|address| address.ip().to_string()).unwrap_or_default(), self.has_tcp_tls()),
        };
        let stream = if is_secure { self.tls_client(stream, &host).await? } else { stream };
        let NodeAddress::Web(web) = to else { return Ok(stream) };
        #[cfg(feature = "websocket")]
        {
            let keep_alive = KeepAlive::new(runtime.clone(), self.ping_interval);
            let stream = websocket::connect(stream, web, self.token.as_ref(), keep_alive).await?;
            Ok(Carrier::Boxed(Box::new(stream)))
        }
        #[cfg(not(feature = "websocket"))]
        {
            let _ = runtime;
            Err(lacking(&format!("{web} needs the feature \"websocket\"")))
        }
    }

    /// Over a connection that this node has accepted.
    pub(super) async fn accepted<R: Runtime>(
        &self,
        runtime: &R,
        stream: Carrier<R::Stream>,
        gate: Gate,
    ) -> io::Result<Carrier<R::Stream>> {
        let is_secure = match gate {
            Gate::Tcp => self.has_tcp_tls(),
            #[cfg(feature = "websocket")]
            Gate::Web => self.listens_at.as_ref().is_some_and(WebAddress::is_secure),
            #[cfg(feature = "websocket")]
            Gate::Mounted => false,
        };
        let stream = if is_secure { self.tls_server(runtime, stream).await? } else { stream };
        match gate {
            Gate::Tcp => {
                let _ = runtime;
                Ok(stream)
            }
            #[cfg(feature = "websocket")]
            Gate::Web => {
                let path = self.listens_at.as_ref().map(WebAddress::path);
                let doorway = Doorway { path: path.as_deref(), token: self.token.as_ref() };
                let keep_alive = KeepAlive::new(runtime.clone(), self.ping_interval);
                Ok(Carrier::Boxed(Box::new(websocket::accept(stream, &doorway, keep_alive).await?)))
            }
            #[cfg(feature = "websocket")]
            Gate::Mounted => {
                let keep_alive = KeepAlive::new(runtime.clone(), self.ping_interval);
                Ok(Carrier::Boxed(Box::new(websocket::upgraded(stream, keep_alive).await)))
            }
        }
    }

    #[cfg(feature = "tls")]
    fn has_tcp_tls(&self) -> bool {
        self.tcp_tls
    }

    #[cfg(feature = "tls")]
    async fn tls_client<S: super::Bytewise>(&self, stream: Carrier<S>, host: &str) -> io::Result<Carrier<S>> {
        let Some(tls) = &self.tls else {
            return Err(lacking(
                "this node has no TLS configuration, which it needs to dial wss:// addresses: set tls (--tls-ca on the \
                 command line)",
            ));
        };
        Ok(Carrier::Boxed(Box::new(tls.client(stream, host).await?)))
    }

    #[cfg(feature = "tls")]
    async fn tls_server<R: Runtime>(&self, runtime: &R, stream: Carrier<R::Stream>) -> io::Result<Carrier<R::Stream>> {
        let Some(tls) = &self.tls else { return Err(lacking("this node has no TLS configuration")) };
        match tls.accept(stream).await {
            Ok(stream) => Ok(Carrier::Boxed(Box::new(stream))),
            Err((error, mut stream)) => {
                answer::linger(runtime, &mut stream).await;
                Err(error.into())
            }
        }
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_self, reason = "it is asked of a node that could have TLS")]
    fn has_tcp_tls(&self) -> bool {
        false
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "it stands in for what has to wait")]
    async fn tls_client<S>(&self, _stream: Carrier<S>, host: &str) -> io::Result<Carrier<S>> {
        Err(lacking(&format!("TLS to {host} needs the feature \"tls\"")))
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "it stands in for what has to wait")]
    async fn tls_server<R: Runtime>(
        &self,
        _runtime: &R,
        _stream: Carrier<R::Stream>,
    ) -> io::Result<Carrier<R::Stream>> {
        Err(lacking("TLS needs the feature \"tls\""))
    }
}

fn lacking(what: &str) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, what)
}
