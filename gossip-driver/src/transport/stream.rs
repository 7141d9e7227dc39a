//! Streams of bytes that the application opens and accepts: Unix sockets, proxies, an overlay network.

use std::future::Future;
use std::io;
use std::pin::Pin;

use futures_io::{AsyncRead, AsyncWrite};

use crate::NodeAddress;

/// What the frames of a connection can go over. Implemented for every type that fits.
pub trait Bytewise: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Bytewise for T {}

/// A connection of whatever kind: bytes in order, both ways.
pub type ByteStream = Box<dyn Bytewise>;

/// A connection being opened.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<ByteStream>> + Send + 'a>>;

/// A connection being waited for.
pub type Accepting<'a> = Pin<Box<dyn Future<Output = io::Result<ByteStream>> + Send + 'a>>;

/// Opens connections in place of the runtime's TCP; see [`Config::dialer`](crate::Config#structfield.dialer).
pub trait Dialer: Send + Sync + 'static {
    /// Opens a connection to a node. It is given up after
    /// [`Config::dial_timeout`](crate::Config#structfield.dial_timeout).
    ///
    /// The stream should pass on what is written without waiting for more, and hold little: what it took counts as sent.
    fn dial<'a>(&'a self, to: &'a NodeAddress) -> Dialing<'a>;
}

/// Waits for connections in place of the runtime's TCP listener; see
/// [`Config::acceptor`](crate::Config#structfield.acceptor).
pub trait Acceptor: Send + Sync + 'static {
    /// The next connection of a peer. It is called again when it has returned, after a pause if that was an error, until
    /// the node stops; then the call under way is dropped.
    ///
    /// What takes a while, such as a handshake, belongs in the stream's first read and write: meanwhile nobody else is
    /// accepted.
    fn accept(&self) -> Accepting<'_>;
}
