//! What a node wants sent, and how.

use core::fmt;

use smallvec::SmallVec;

/// How a packet travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Channel {
    /// One datagram: it may be lost, and nobody is told.
    Datagram,
    /// One whole message over a connection: it arrives, or the driver calls
    /// [`Node::handle_unreachable`](crate::Node::handle_unreachable).
    Stream,
}

/// One packet to be sent; its bytes are the last `size` in the buffer handed to
/// [`Node::poll_transmit`](crate::Node::poll_transmit).
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit<A> {
    /// Where to: the same bytes go to each address. Never empty.
    pub to: SmallVec<[A; 4]>,
    /// How.
    pub channel: Channel,
    /// Length of the packet in bytes.
    pub size: usize,
}

impl<A: fmt::Debug> fmt::Debug for Transmit<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit")
            .field("to", &self.to.as_slice())
            .field("channel", &self.channel)
            .field("size", &self.size)
            .finish()
    }
}
