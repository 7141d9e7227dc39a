//! Sockets of the operating system, made as a node wants them, for a runtime to watch.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tracing::debug;

use crate::SocketBuffers;

/// Connections that the kernel may hold before they are accepted.
const BACKLOG: i32 = 1_024;

/// Binds a UDP socket that does not block. On all interfaces of IPv6 it serves IPv4 as well. Kernel buffers that are
/// smaller than asked for are told in the log.
///
/// # Errors
///
/// Those of the operating system.
pub fn bind_udp(address: SocketAddr, buffers: SocketBuffers) -> io::Result<UdpSocket> {
    let socket = prepared(address, Type::DGRAM, Protocol::UDP)?;
    enlarge(&socket, buffers);
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

/// Binds a TCP listener that does not block. On all interfaces of IPv6 it serves IPv4 as well.
///
/// # Errors
///
/// Those of the operating system.
pub fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = prepared(address, Type::STREAM, Protocol::TCP)?;
    // Elsewhere the option would let two processes share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What a connection needs that was just made.
///
/// # Errors
///
/// [`ConnectionRefused`](ErrorKind::ConnectionRefused) if it leads to itself: where nobody listens, the system may have
/// chosen the very port as that of this end. And those of the operating system.
pub fn prepare_connected<'a>(stream: impl Into<SockRef<'a>>) -> io::Result<()> {
    let stream = stream.into();
    if stream.local_addr()?.as_socket() == stream.peer_addr()?.as_socket() {
        return Err(io::Error::new(ErrorKind::ConnectionRefused, "nobody listens there"));
    }
    stream.set_tcp_nodelay(true)
}

fn prepared(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    Ok(socket)
}

fn enlarge(socket: &Socket, wanted: SocketBuffers) {
    let granted = [
        ("receive", wanted.receive, socket.set_recv_buffer_size(wanted.receive), socket.recv_buffer_size()),
        ("send", wanted.send, socket.set_send_buffer_size(wanted.send), socket.send_buffer_size()),
    ];
    for (buffer, wanted, set, size) in granted {
        match (set, size) {
            (Ok(()), Ok(size)) if size >= wanted => {}
            (set, size) => debug!(
                buffer,
                wanted,
                granted = size.unwrap_or(0),
                refused = set.is_err(),
                "the system grants a smaller UDP buffer; raise net.core.rmem_max and wmem_max to avoid loss in bursts"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_connection_that_leads_to_itself_is_refused() {
        let local = |port| SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&local(0)).unwrap();
        let own = socket.local_addr().unwrap().as_socket().unwrap().port();
        socket.connect(&local(own)).unwrap();
        assert_eq!(prepare_connected(&socket).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn all_interfaces_of_ipv6_mean_those_of_ipv4_too_and_one_address_means_itself() {
        let Ok(all) = bind_tcp("[::]:0".parse().unwrap()) else { return };
        let port = all.local_addr().unwrap().port();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        let one = bind_tcp("[::1]:0".parse().unwrap()).unwrap();
        assert!(SockRef::from(&one).only_v6().unwrap());
    }
}
