//! Why there is no WebSocket with a peer, and what to do about it.

use std::io;

/// Why a WebSocket connection could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The peer asked for something else than is offered here. It was told so.
    #[error("refused the peer's request: {0}")]
    Refused(Refusal),
    /// The peer does not let this node in.
    #[error("the peer answers with status {status}: {advice}", advice = advice(*.status))]
    Status {
        /// The status of HTTP.
        status: u16,
    },
    /// The peer names another place.
    #[error(
        "the peer answers with status {status} and names another place: {location:?}; use its URL if it can be trusted"
    )]
    Moved {
        /// The status of HTTP.
        status: u16,
        /// Where it says that the service is.
        location: String,
    },
    /// The peer agrees, but not as the standard demands.
    #[error("the peer's answer is no upgrade to WebSocket: {0}; is there a proxy on the way that does not pass it on?")]
    NotUpgraded(&'static str),
    /// What the peer says is not HTTP.
    #[error("the peer does not speak HTTP; is the URL that of a WebSocket listener? host:port is for UDP and TCP")]
    NotHttp,
    /// The peer begins with a handshake of TLS.
    #[error("the peer speaks TLS, this port does not: use ws:// in place of wss://, or configure a certificate here")]
    Tls,
    /// What the peer sends first is too long.
    #[error("the peer's answer has headers of more than {limit} bytes or too many of them; it is no gossip node")]
    TooLarge {
        /// Bytes that are read.
        limit: usize,
    },
    /// The peer closed the connection before it said anything.
    #[error("the peer closed the connection before it said anything; is the URL that of a WebSocket listener?")]
    Silent,
    /// The peer closed the connection in the middle of its headers.
    #[error("the peer closed the connection in the middle of the handshake")]
    Ended,
    /// The operating system gives no random numbers.
    #[error("no random numbers from the operating system: {0}")]
    Randomness(String),
    /// The connection below broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<WebError> for io::Error {
    fn from(error: WebError) -> Self {
        match error {
            WebError::Io(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        400 => "it does not understand the request; does the port want TLS? Then use wss://",
        401 | 403 => "it does not accept the token of this node, or misses one; configure the token of the cluster",
        404 | 405 => "it has no gossip at this path; correct the path of the URL",
        426 => "the request to upgrade got lost on the way; is there a proxy that does not pass on WebSocket?",
        429 | 503 => "it has no room now",
        502 | 504 => "a proxy on the way does not reach the node",
        _ => "it is no gossip node, or something on the way is in trouble",
    }
}

/// Why a request is not answered with an upgrade. Its text is sent to the peer, and so contains nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not a request of HTTP/1.1 as it should be.
    #[error("The request is malformed.")]
    Malformed,
    /// The headers are too long, or too many.
    #[error("The request has headers that are too long or too many.")]
    TooLarge,
    /// Nothing is at this path.
    #[error("There is nothing at this path.")]
    Path,
    /// The wrong method.
    #[error("Only GET is possible here.")]
    Method,
    /// A plain request.
    #[error("This is a gossip port: it expects WebSocket.")]
    Plain,
    /// Another version of WebSocket.
    #[error("Only version 13 of WebSocket is possible here.")]
    Version,
    /// The key of the handshake is none.
    #[error("The key of the WebSocket handshake is malformed.")]
    Key,
    /// No token.
    #[error("A bearer token is needed here.")]
    TokenMissing,
    /// The wrong token.
    #[error("The bearer token is not accepted.")]
    TokenWrong,
}

impl Refusal {
    /// The status of HTTP.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::Key => 400,
            Self::TokenMissing | Self::TokenWrong => 401,
            Self::Path => 404,
            Self::Method => 405,
            Self::Plain | Self::Version => 426,
            Self::TooLarge => 431,
        }
    }

    pub(super) fn status_line(self) -> &'static str {
        match self {
            Self::Malformed | Self::Key => "400 Bad Request",
            Self::TokenMissing | Self::TokenWrong => "401 Unauthorized",
            Self::Path => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::Plain | Self::Version => "426 Upgrade Required",
            Self::TooLarge => "431 Request Header Fields Too Large",
        }
    }

    /// What goes with the status.
    pub(super) fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::TokenMissing | Self::TokenWrong => &[("WWW-Authenticate", "Bearer")],
            Self::Method => &[("Allow", "GET")],
            Self::Plain => &[("Upgrade", "websocket")],
            Self::Version => &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
            Self::Malformed | Self::Key | Self::Path | Self::TooLarge => &[],
        }
    }
}
