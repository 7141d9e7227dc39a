//! What carries the bytes of connections, in layers that work on any stream.

#[cfg(any(feature = "tls", feature = "websocket"))]
mod answer;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(feature = "websocket")]
pub(crate) mod websocket;
