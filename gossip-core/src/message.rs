//! The vocabulary of messages: what one is about, which one it is, and how it is to travel.

mod error;

use core::fmt;

use crate::identity::{Epoch, NodeId};

pub use error::{RequestError, ReservedType, SendError};

/// Longest time that a request may wait for its answer.
pub(crate) const LONGEST_PATIENCE: core::time::Duration = core::time::Duration::from_hours(1);

/// What a message is about: a number by which the receiver finds who handles it.
///
/// | range | whose |
/// | --- | --- |
/// | 0 to 63 | the protocol's own |
/// | 64 to 127 | libraries' that build on it |
/// | from 128 | the application's |
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageType(u16);

impl MessageType {
    /// The first number of libraries.
    pub const FIRST_LIBRARY: u16 = 64;
    /// The first number of applications.
    pub const FIRST_USER: u16 = 128;

    /// Requests by which members change each other's keys. It is the driver's own, and comes as a request only.
    #[doc(hidden)]
    pub const KEYS: Self = Self(1);

    /// Writes to stores. They come as broadcasts only, and are the node's own.
    pub(crate) const STORE: Self = Self(8);

    /// A type of the application.
    ///
    /// # Errors
    ///
    /// The number is below 128.
    pub const fn user(number: u16) -> Result<Self, ReservedType> {
        if number < Self::FIRST_USER { Err(ReservedType { number }) } else { Ok(Self(number)) }
    }

    /// A type of a library that builds on this one.
    ///
    /// # Errors
    ///
    /// The number is not in 64 to 127.
    pub const fn library(number: u16) -> Result<Self, ReservedType> {
        if number < Self::FIRST_LIBRARY || number >= Self::FIRST_USER {
            Err(ReservedType { number })
        } else {
            Ok(Self(number))
        }
    }

    /// The number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// The type with a number that came from the network, unless it is the protocol's own.
    pub(crate) fn from_wire(number: u16) -> Option<Self> {
        (number >= Self::FIRST_LIBRARY).then_some(Self(number))
    }

    /// The type of a broadcast that came from the network.
    pub(crate) fn of_broadcast(number: u16) -> Option<Self> {
        if number == Self::STORE.0 { Some(Self::STORE) } else { Self::from_wire(number) }
    }

    /// The type of a request that came from the network.
    pub(crate) fn of_request(number: u16) -> Option<Self> {
        if number == Self::KEYS.0 { Some(Self::KEYS) } else { Self::from_wire(number) }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How hard a direct message is tried.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Reliability {
    /// By datagram if it fits one, otherwise by stream; nobody is told if it is lost.
    #[default]
    BestEffort,
    /// By stream, confirmed by the receiver, tried a second time where the connection breaks.
    /// [`Delivery::Delivered`](crate::Delivery::Delivered) or [`Delivery::Undelivered`](crate::Delivery::Undelivered) says
    /// how it ended.
    Reliable,
}

/// One request, or one reliable message, of this node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub(crate) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The right to answer one request, once and until its deadline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReplyToken(pub(crate) u64);

/// Why a request is not answered, as the side that was asked puts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal<'a> {
    /// Nobody here handles this type.
    NoHandler,
    /// Too much to do.
    Overloaded,
    /// The handler says no, and why; the text is cut after 1,024 bytes.
    Rejected(&'a str),
}

/// Which broadcast of which start of which node, unique for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageId {
    /// Who sent it first.
    pub origin: NodeId,
    /// In which of its starts.
    pub epoch: Epoch,
    pub(crate) lane: u64,
    /// Its number among the origin's broadcasts to the same tag, or to everybody; counts from 1.
    pub sequence: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:016x}/{}", self.origin, self.lane, self.sequence)
    }
}

/// How a broadcast is to travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BroadcastOptions<'a> {
    /// Only to members with this tag, and only by way of them.
    pub tag: Option<&'a str>,
    /// By streams, even if it fits a datagram.
    pub reliable: bool,
    /// Not before what this node broadcast earlier to the same tag, or to everybody; a message that is lost for good is
    /// given up after [`Config::order_timeout`](crate::Config::order_timeout), and reported.
    pub ordered: bool,
}

impl<'a> BroadcastOptions<'a> {
    /// To everybody, best effort, in any order.
    pub const fn new() -> Self {
        Self { tag: None, reliable: false, ordered: false }
    }

    /// The same, only to members with this tag.
    #[must_use]
    pub const fn tag(self, tag: &'a str) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// The same, by streams.
    #[must_use]
    pub const fn reliable(self) -> Self {
        Self { reliable: true, ..self }
    }

    /// The same, in order.
    #[must_use]
    pub const fn ordered(self) -> Self {
        Self { ordered: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_is_refused_to_the_others() {
        assert_eq!(MessageType::user(127), Err(ReservedType { number: 127 }));
        assert_eq!(MessageType::user(128).map(MessageType::as_u16), Ok(128));
        assert_eq!(MessageType::library(63), Err(ReservedType { number: 63 }));
        assert_eq!(MessageType::library(64).map(MessageType::as_u16), Ok(64));
        assert_eq!(MessageType::library(128), Err(ReservedType { number: 128 }));
        assert_eq!((MessageType::from_wire(63), MessageType::from_wire(1)), (None, None));
        assert_eq!((MessageType::of_request(63), MessageType::of_request(1)), (None, Some(MessageType::KEYS)));
    }
}
