//! Several datagrams in one call of the operating system, where it can do that: Linux, for datagrams of one length.

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::Offload;
#[cfg(target_os = "linux")]
pub(crate) use linux::Offload;

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
    use std::net::SocketAddr;
    use std::os::fd::{AsFd, AsRawFd};

    use gossip_driver::Batch;
    use nix::errno::Errno;
    use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
    use nix::sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, getsockopt, recvmsg, sendmsg, setsockopt,
    };
    use tokio::net::UdpSocket;
    use tracing::debug;

    /// Most datagrams that every kernel with this feature takes at once.
    const MOST: usize = 64;

    /// What the system does for a socket: segmentation of what is sent (UDP GSO), and joining of what arrives (UDP GRO).
    #[derive(Debug)]
    pub(crate) struct Offload {
        sends: bool,
        control: Vec<u8>,
    }

    impl Offload {
        pub(crate) fn of(socket: &UdpSocket) -> Self {
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
            &mut self,
            socket: &UdpSocket,
            bytes: &[u8],
            segment: usize,
            to: SocketAddr,
        ) -> io::Result<usize> {
            let length = u16::try_from(segment).map_err(|_| ErrorKind::InvalidInput)?;
            let (slices, control) = ([IoSlice::new(bytes)], [ControlMessage::UdpGsoSegments(&length)]);
            let to = SockaddrStorage::from(to);
            let sent = sendmsg(socket.as_raw_fd(), &slices, &control, MsgFlags::empty(), Some(&to));
            // What a card or a route cannot do; other errors are about the receiver.
            if let Err(error @ (Errno::EINVAL | Errno::EIO | Errno::EMSGSIZE | Errno::EOPNOTSUPP)) = sent {
                debug!(%error, segment, "the system does not take several datagrams at once; they go one by one");
                self.sends = false;
            }
            Ok(sent?)
        }

        pub(crate) fn receive(&mut self, socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Batch> {
            let mut slices = [IoSliceMut::new(buffer)];
            let fd = socket.as_raw_fd();
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

    use gossip_driver::Batch;
    use tokio::net::UdpSocket;

    /// Nothing: datagrams travel one by one.
    #[derive(Debug)]
    pub(crate) struct Offload;

    impl Offload {
        pub(crate) fn of(_: &UdpSocket) -> Self {
            Self
        }

        pub(crate) fn max_batch(&self) -> usize {
            1
        }

        pub(crate) fn send(
            &mut self,
            socket: &UdpSocket,
            bytes: &[u8],
            segment: usize,
            to: SocketAddr,
        ) -> io::Result<usize> {
            socket.try_send_to(&bytes[..segment.min(bytes.len())], to)
        }

        pub(crate) fn receive(&mut self, socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Batch> {
            let (length, from) = socket.try_recv_from(buffer)?;
            Ok(Batch { length, segment: length, from })
        }
    }
}
