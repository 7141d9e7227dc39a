//! Several datagrams in one call of the operating system, where it can do that: Linux, for datagrams of one length.

use tracing::debug;

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::Offload;
#[cfg(target_os = "linux")]
pub(crate) use linux::Offload;

/// Batches refused in a row, each of which went one by one then, after which the system is taken to take none.
const REFUSALS: u32 = 16;
/// Datagrams that go one by one before that is tried again: a card or a route may change.
const REST: u32 = 10_000;

/// Whether batches are worth a try.
///
/// The error that a batch is refused with says little: on Linux EINVAL stands for a receiver with port 0 as well as for
/// what a card cannot do, EMSGSIZE for a route with smaller packets. So it is a refusal of batches only if the first
/// datagram then goes alone, and is believed only if there are many in a row, whoever they are for.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    refused: u32,
    rest: u32,
}

impl Trust {
    pub(crate) fn is_worth_a_try(&self) -> bool {
        self.rest == 0
    }

    pub(crate) fn accepted(&mut self) {
        self.refused = 0;
    }

    /// A batch of so many was refused, and its first went alone.
    pub(crate) fn refused(&mut self, count: usize) {
        self.refused += 1;
        let others = u32::try_from(count).unwrap_or(REST).saturating_sub(1);
        self.rest = if self.refused < REFUSALS { others } else { REST };
        if self.refused == REFUSALS {
            debug!(rest = REST, "the system refuses several datagrams at once; they go one by one for a while");
        }
        self.refused = self.refused.min(REFUSALS);
    }

    /// A datagram went alone.
    pub(crate) fn went_alone(&mut self) {
        self.rest = self.rest.saturating_sub(1);
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;

    use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
    use nix::sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, getsockopt, recvmsg, sendmsg, setsockopt,
    };
    use tracing::debug;

    use crate::{Batch, UdpReadiness};

    /// Most datagrams that every kernel with this feature takes at once.
    const MOST: usize = 64;

    /// What the system does for a socket: segmentation of what is sent (UDP GSO), and joining of what arrives (UDP GRO).
    #[derive(Debug)]
    pub(crate) struct Offload {
        sends: bool,
        control: Vec<u8>,
    }

    impl Offload {
        pub(crate) fn of(socket: &impl UdpReadiness) -> Self {
            let socket = socket.as_fd();
            // Older kernels know neither; then datagrams travel one by one.
            let sends = getsockopt(&socket, UdpGsoSegment).is_ok();
            let joins = setsockopt(&socket, UdpGroSegment, &true).is_ok();
            debug!(sends, joins, "whether the system takes and gives several datagrams at once");
            Self { sends, control: nix::cmsg_space!(i32) }
        }

        pub(crate) fn max_batch(&self) -> usize {
            if self.sends { MOST } else { 1 }
        }

        pub(crate) fn send(
            socket: &impl UdpReadiness,
            bytes: &[u8],
            segment: usize,
            to: SocketAddr,
        ) -> io::Result<usize> {
            let length = u16::try_from(segment).map_err(|_| ErrorKind::InvalidInput)?;
            let (slices, control) = ([IoSlice::new(bytes)], [ControlMessage::UdpGsoSegments(&length)]);
            let to = SockaddrStorage::from(to);
            Ok(sendmsg(socket.as_fd().as_raw_fd(), &slices, &control, MsgFlags::empty(), Some(&to))?)
        }

        pub(crate) fn receive(&mut self, socket: &impl UdpReadiness, buffer: &mut [u8]) -> io::Result<Batch> {
            let mut slices = [IoSliceMut::new(buffer)];
            let fd = socket.as_fd().as_raw_fd();
            let received = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut self.control), MsgFlags::empty())?;
            let length = received.bytes;
            let joined = received.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::UdpGroSegments(segment) => usize::try_from(segment).ok(),
                _ => None,
            });
            let from = received.address.and_then(|from| address_of(&from));
            let from = from.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "a datagram without a sender"))?;
            Ok(Batch { length, segment: joined.unwrap_or(length), from })
        }
    }

    fn address_of(from: &SockaddrStorage) -> Option<SocketAddr> {
        let v4 = from.as_sockaddr_in().map(|&from| SocketAddr::V4(from.into()));
        v4.or_else(|| from.as_sockaddr_in6().map(|&from| SocketAddr::V6(from.into())))
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::io;
    use std::net::SocketAddr;

    use crate::{Batch, UdpReadiness};

    /// Nothing: datagrams travel one by one.
    #[derive(Debug)]
    pub(crate) struct Offload;

    impl Offload {
        pub(crate) fn of(_: &impl UdpReadiness) -> Self {
            Self
        }

        pub(crate) fn max_batch(&self) -> usize {
            1
        }

        pub(crate) fn send(
            socket: &impl UdpReadiness,
            bytes: &[u8],
            segment: usize,
            to: SocketAddr,
        ) -> io::Result<usize> {
            socket.send_one(&bytes[..segment.min(bytes.len())], to)
        }

        pub(crate) fn receive(&mut self, socket: &impl UdpReadiness, buffer: &mut [u8]) -> io::Result<Batch> {
            let (length, from) = socket.receive_one(buffer)?;
            Ok(Batch { length, segment: length, from })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_refused_batch_goes_alone_and_then_batches_are_tried_again() {
        let mut trust = Trust::default();
        for _ in 0..3 * REFUSALS {
            trust.refused(3);
            assert!(!trust.is_worth_a_try());
            trust.went_alone();
            assert!(!trust.is_worth_a_try());
            trust.went_alone();
            assert!(trust.is_worth_a_try());
            trust.accepted();
        }
    }

    #[test]
    fn many_refusals_in_a_row_are_believed_for_a_while() {
        let mut trust = Trust::default();
        (0..REFUSALS).for_each(|_| trust.refused(2));
        for _ in 0..2 {
            (0..REST - 1).for_each(|_| trust.went_alone());
            assert!(!trust.is_worth_a_try());
            trust.went_alone();
            assert!(trust.is_worth_a_try());
            trust.refused(2);
        }
    }
}
