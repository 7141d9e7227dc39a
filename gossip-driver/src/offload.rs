//! What the operating system does for datagrams beyond the usual, which is on Linux: several of one length in one call,
//! and answers from the address that was asked.

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
    use std::net::{IpAddr, SocketAddr};
    use std::os::fd::AsRawFd;

    use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
    use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo, UdpGroSegment, UdpGsoSegment};
    use nix::sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, getsockopt, recvmsg, sendmsg, setsockopt,
    };
    use smallvec::SmallVec;
    use tracing::debug;

    use crate::asked::Asked;
    use crate::{Batch, UdpReadiness};

    /// Most datagrams that every kernel with this feature takes at once.
    const MOST: usize = 64;

    /// What the system does for a socket: segmentation of what is sent (UDP GSO), joining of what arrives (UDP GRO), and
    /// telling to which of the host's addresses it came.
    #[derive(Debug)]
    pub(crate) struct Offload {
        sends: bool,
        /// For a socket that is bound to all addresses of the host.
        asked: Option<Asked>,
        control: Vec<u8>,
    }

    impl Offload {
        pub(crate) fn of(socket: &impl UdpReadiness) -> Self {
            let bound = socket.local_address().ok().filter(|bound| bound.ip().is_unspecified());
            let socket = socket.as_fd();
            // Older kernels know neither; then datagrams travel one by one.
            let sends = getsockopt(&socket, UdpGsoSegment).is_ok();
            let joins = setsockopt(&socket, UdpGroSegment, &true).is_ok();
            let tells = bound.is_some_and(|bound| {
                // That of IPv6 tells of the datagrams of IPv4 as well, by their mapped address.
                let set = if bound.is_ipv6() {
                    setsockopt(&socket, Ipv6RecvPacketInfo, &true)
                } else {
                    setsockopt(&socket, Ipv4PacketInfo, &true)
                };
                set.is_ok()
            });
            debug!(
                sends,
                joins, tells, "whether the system takes and gives several datagrams at once, and tells whereto"
            );
            Self { sends, asked: tells.then(Asked::default), control: nix::cmsg_space!(i32, in6_pktinfo) }
        }

        pub(crate) fn max_batch(&self) -> usize {
            if self.sends { MOST } else { 1 }
        }

        /// Sends datagrams of one length.
        pub(crate) fn send(
            &mut self,
            socket: &impl UdpReadiness,
            bytes: &[u8],
            segment: usize,
            to: SocketAddr,
        ) -> io::Result<usize> {
            let length = u16::try_from(segment).map_err(|_| ErrorKind::InvalidInput)?;
            self.send_from_asked(socket, bytes, Some(length), to)
        }

        /// Sends one datagram.
        pub(crate) fn send_one(
            &mut self,
            socket: &impl UdpReadiness,
            bytes: &[u8],
            to: SocketAddr,
        ) -> io::Result<usize> {
            if self.asked.is_none() {
                return socket.send_one(bytes, to);
            }
            self.send_from_asked(socket, bytes, None, to)
        }

        /// Sends from the address at which the receiver asked, or from any if that is no address of this host any more.
        fn send_from_asked(
            &mut self,
            socket: &impl UdpReadiness,
            bytes: &[u8],
            segment: Option<u16>,
            to: SocketAddr,
        ) -> io::Result<usize> {
            let Some((asked, from)) = self.asked.as_mut().and_then(|asked| asked.by(to).map(|from| (asked, from)))
            else {
                return send(socket, bytes, segment, to, None);
            };
            match send(socket, bytes, segment, to, Some(from)) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    let sent = send(socket, bytes, segment, to, None);
                    if sent.is_ok() {
                        asked.forget(to);
                    }
                    sent
                }
                sent => sent,
            }
        }

        pub(crate) fn receive(&mut self, socket: &impl UdpReadiness, buffer: &mut [u8]) -> io::Result<Batch> {
            let mut slices = [IoSliceMut::new(buffer)];
            let fd = socket.as_fd().as_raw_fd();
            let received = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut self.control), MsgFlags::empty())?;
            let length = received.bytes;
            let (mut segment, mut at) = (length, None);
            for message in received.cmsgs()? {
                match message {
                    ControlMessageOwned::UdpGroSegments(joined) => segment = usize::try_from(joined).unwrap_or(length),
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        at = Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()));
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => at = Some(IpAddr::from(info.ipi6_addr.s6_addr)),
                    _ => {}
                }
            }
            let from = received.address.and_then(|from| address_of(&from));
            let from = from.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "a datagram without a sender"))?;
            if let (Some(asked), Some(at)) = (&mut self.asked, at) {
                asked.note(from, at);
            }
            Ok(Batch { length, segment, from })
        }
    }

    fn send(
        socket: &impl UdpReadiness,
        bytes: &[u8],
        segment: Option<u16>,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> io::Result<usize> {
        let (mut four, mut six) = (None, None);
        match from {
            Some(IpAddr::V4(from)) => {
                four = Some(in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(from.octets()) },
                    ipi_addr: in_addr { s_addr: 0 },
                });
            }
            Some(IpAddr::V6(from)) => {
                six = Some(in6_pktinfo { ipi6_addr: in6_addr { s6_addr: from.octets() }, ipi6_ifindex: 0 });
            }
            None => {}
        }
        let mut control = SmallVec::<[_; 2]>::new();
        control.extend(segment.as_ref().map(ControlMessage::UdpGsoSegments));
        control.extend(four.as_ref().map(ControlMessage::Ipv4PacketInfo));
        control.extend(six.as_ref().map(ControlMessage::Ipv6PacketInfo));
        let to = SockaddrStorage::from(to);
        Ok(sendmsg(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], &control, MsgFlags::empty(), Some(&to))?)
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

    #[expect(clippy::unused_self, reason = "on Linux there is something to remember")]
    impl Offload {
        pub(crate) fn of(_: &impl UdpReadiness) -> Self {
            Self
        }

        pub(crate) fn max_batch(&self) -> usize {
            1
        }

        pub(crate) fn send(
            &mut self,
            socket: &impl UdpReadiness,
            bytes: &[u8],
            segment: usize,
            to: SocketAddr,
        ) -> io::Result<usize> {
            socket.send_one(&bytes[..segment.min(bytes.len())], to)
        }

        pub(crate) fn send_one(
            &mut self,
            socket: &impl UdpReadiness,
            bytes: &[u8],
            to: SocketAddr,
        ) -> io::Result<usize> {
            socket.send_one(bytes, to)
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
