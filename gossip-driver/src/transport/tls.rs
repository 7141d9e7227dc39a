//! TLS under connections: what a node shows, whom it trusts, and the handshakes over any stream of bytes.

mod builder;
mod error;
mod stream;
mod verify;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::{TlsAcceptor, TlsConnector};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tracing::warn;

pub use builder::{Pem, TlsBuilder, TlsConfigError};
pub use error::TlsError;
pub use stream::TlsStream;

use super::answer;
use stream::Prefixed;

/// The first byte of every handshake of TLS.
const HANDSHAKE: u8 = 0x16;
/// An alert that ends the connection: what came is no message of TLS (RFC 8446, section 6.2).
const UNEXPECTED: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 10];
/// Pieces of a failed handshake that are thrown away.
const DRAINS: usize = 16;

/// Certificates and trust of a node, checked and ready for use. Made by [`TlsConfig::builder`]; cloning is cheap.
#[derive(Clone)]
pub struct TlsConfig {
    connector: TlsConnector,
    /// Without a certificate there is nothing to accept with.
    acceptor: Option<TlsAcceptor>,
    server_name: Option<ServerName<'static>>,
    skips_verification: bool,
    requires_client_certificate: bool,
}

impl TlsConfig {
    /// A configuration to be filled in. Without anything it trusts what the operating system trusts and shows no
    /// certificate, which is enough to dial `wss://` addresses with certificates of public authorities.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::new()
    }

    fn new(client: ClientConfig, server: Option<ServerConfig>, builder: &TlsBuilder) -> Result<Self, TlsConfigError> {
        Ok(Self {
            connector: Arc::new(client).into(),
            acceptor: server.map(|server| Arc::new(server).into()),
            server_name: builder.expected_name()?,
            skips_verification: builder.skips_verification(),
            requires_client_certificate: builder.requires_client_certificate(),
        })
    }

    /// Whether it has a certificate to show, so that connections can be accepted with it.
    pub fn can_accept(&self) -> bool {
        self.acceptor.is_some()
    }

    /// Whether certificates of peers are not verified.
    pub fn skips_verification(&self) -> bool {
        self.skips_verification
    }

    /// Says in the log that peers are not verified, if that is so.
    pub(crate) fn warn_if_unverified(&self) {
        if self.skips_verification {
            warn!(
                "certificates of peers are NOT verified: anybody on the way can read and change what this node sends; \
                 configure the certificate of your authority instead"
            );
        }
    }

    /// Speaks TLS as the one who opened the connection. `host` is the name or IP address that the certificate must be
    /// for, unless another was configured. The caller bounds the time.
    ///
    /// # Errors
    ///
    /// Why there is no connection, and what to do about it.
    pub async fn client<S>(&self, stream: S, host: &str) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?,
        };
        match self.connector.connect(name, Prefixed::nothing(stream)).into_fallible().await {
            Ok(stream) => Ok(TlsStream::new(stream.into())),
            Err((error, stream)) => {
                drain(stream).await;
                Err(TlsError::of_dialled(error))
            }
        }
    }

    /// Speaks TLS as the one who accepted the connection. A request of plain HTTP is answered as such, other peers without
    /// TLS get an alert. The caller bounds the time.
    ///
    /// # Errors
    ///
    /// Why there is no connection, and what to do about it.
    pub async fn server<S>(&self, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        match self.accept(stream).await {
            Ok(stream) => Ok(stream),
            Err((error, stream)) => {
                drain(stream).await;
                Err(error)
            }
        }
    }

    /// The same; with an error comes the stream, over which the peer was told why and may still be sending.
    pub(crate) async fn accept<S>(
        &self,
        mut stream: S,
    ) -> Result<TlsStream<S>, (TlsError, impl AsyncRead + AsyncWrite + Unpin + Send + use<S>)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let Some(acceptor) = &self.acceptor else { return Err((TlsError::NoCertificate, Prefixed::nothing(stream))) };
        let mut first = [0];
        let refused = match stream.read(&mut first).await {
            Err(error) => TlsError::Io(error),
            Ok(0) => TlsError::Silent,
            // Whether an answer arrives makes no difference here.
            Ok(_) if answer::may_be_http(first[0]) => {
                let reason = "This port speaks TLS: use https:// or wss://.";
                let _ = answer::tell(&mut stream, "400 Bad Request", &[], reason).await;
                TlsError::PlainHttp
            }
            Ok(_) if first[0] != HANDSHAKE => {
                let _ = stream.write_all(&UNEXPECTED).await;
                let _ = stream.flush().await;
                TlsError::Plain
            }
            Ok(_) => {
                let shaken = acceptor.accept(Prefixed::new(first[0], stream)).into_fallible().await;
                return match shaken {
                    Ok(stream) => Ok(TlsStream::new(stream.into())),
                    Err((error, stream)) => Err((TlsError::of_accepted(error), stream)),
                };
            }
        };
        Err((refused, Prefixed::nothing(stream)))
    }
}

/// Reads what has come, and throws it away: else the system would take back the alert that tells the peer what is wrong.
async fn drain(mut stream: impl AsyncRead + Unpin) {
    let mut rest = [0; 4096];
    poll_fn(|cx| {
        for _ in 0..DRAINS {
            if !matches!(Pin::new(&mut stream).poll_read(cx, &mut rest), Poll::Ready(Ok(1..))) {
                break;
            }
        }
        Poll::Ready(())
    })
    .await;
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("can_accept", &self.can_accept())
            .field("server_name", &self.server_name)
            .field("requires_client_certificate", &self.requires_client_certificate)
            .field("skips_verification", &self.skips_verification)
            .finish_non_exhaustive()
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Io(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

#[cfg(test)]
mod tests;
