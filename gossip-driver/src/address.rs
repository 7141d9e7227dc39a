//! Addresses as people write them, and which one to advertise.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::node_address::STREAM;
use crate::{NodeAddress, WebAddress};

/// The port used where none is given.
pub const DEFAULT_PORT: u16 = 7979;

/// What the name of a service follows.
const SERVICE: &str = "srv+";

/// A host and a port, as written: `10.0.0.1:7979`, `[fd00::1]:7979`, `host.example:7979`, or any of the hosts alone,
/// which means port [`DEFAULT_PORT`]. An IPv6 address with a port needs its brackets. With `tcp://` before it, it is
/// that of a node that is reached by connections alone. Or a URL, `ws://host/path` or `wss://host/path`. Or `srv+` and
/// the name of a service, as in `srv+_gossip._tcp.example`, whose SRV records name hosts and ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    text: String,
    /// Reached by connections alone.
    is_stream: bool,
    /// The whole, if it is the URL of a WebSocket.
    web: Option<WebAddress>,
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    Ip(IpAddr),
    Name(String),
    /// What SRV records are asked for.
    Service(String),
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address {given:?}: {problem}")]
pub struct AddressError {
    /// The text.
    pub given: String,
    /// What is wrong with it.
    pub problem: AddressProblem,
}

/// What is wrong with the text of an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressProblem {
    /// Nothing but spaces.
    #[error("it is empty; expected host:port")]
    Empty,
    /// What follows the last colon is not a port.
    #[error("{0:?} is not a port, expected a number from 0 to 65535")]
    Port(String),
    /// There is a port but no host, where only a bind address may leave it out.
    #[error("the host is missing; only a bind address may be :port alone")]
    NoHost,
    /// Brackets do not match, or hold something else than an IPv6 address.
    #[error("expected an IPv6 address in the brackets, as in [::1]:7979")]
    Brackets,
    /// A character that no host name has.
    #[error("{0:?} cannot be in the name of a host")]
    Character(char),
    /// A kind of address that no node has.
    #[error("addresses of nodes do not begin with {0:?}; write host:port, or srv+name for a service")]
    Unsupported(String),
    /// What follows `srv+` is not the name of a service.
    #[error("expected srv+ and the name of a service, as in srv+_gossip._tcp.example; its SRV records tell the ports")]
    Service,
    /// A service, where only one address can stand.
    #[error("a service stands for several nodes; write the address of this one")]
    NotOne,
    /// The address of a node that is not numeric.
    #[error("expected an IP address and a port, as in 10.0.0.1:7979 or [::1]:7979")]
    NotNumeric,
    /// What follows `dial-only:` is not the id of a node.
    #[error("expected dial-only: and the id of the node")]
    NodeId,
    /// Not the URL of a WebSocket.
    #[error("expected a URL that begins with ws:// or wss://")]
    Url,
    /// A URL that is too long to travel.
    #[error("the URL is longer than {} bytes", crate::WebAddress::LONGEST)]
    UrlTooLong,
}

impl Endpoint {
    /// The host: an IP address or a name.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The port, [`DEFAULT_PORT`] if none was written.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    /// The port that was written.
    pub fn explicit_port(&self) -> Option<u16> {
        self.port
    }

    /// The address, if it was written as one and needs no lookup.
    pub fn as_socket_address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port())),
            Host::Name(_) | Host::Service(_) => None,
        }
    }

    /// The URL, if it is that of a WebSocket.
    pub fn as_web_address(&self) -> Option<&WebAddress> {
        self.web.as_ref()
    }

    /// The node's address, if the host was written as an address and needs no lookup, or as a URL, whose host is looked up
    /// whenever a connection is opened.
    pub fn as_node_address(&self) -> Option<NodeAddress> {
        if let Some(web) = &self.web {
            return Some(NodeAddress::Web(web.clone()));
        }
        self.as_socket_address().map(|address| self.node_address(address))
    }

    /// The node's address, if this is what the host stands for.
    pub(crate) fn node_address(&self, resolved: SocketAddr) -> NodeAddress {
        if self.is_stream { NodeAddress::Stream(resolved) } else { NodeAddress::Socket(resolved) }
    }

    /// What was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Reads the address that a node is to bind: `:port` alone means all interfaces.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse_bind(text: &str, prefer_ipv6: bool) -> Result<Self, AddressError> {
        let Some(port) = text.trim().strip_prefix(':').filter(|rest| !rest.contains(':')) else {
            return Self::parse_advertise(text);
        };
        let any = if prefer_ipv6 { "[::]" } else { "0.0.0.0" };
        format!("{any}:{port}").parse().map_err(|error: AddressError| AddressError { given: text.to_owned(), ..error })
    }

    /// Reads the address at which peers are to reach a node.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse_advertise(text: &str) -> Result<Self, AddressError> {
        let endpoint: Self = text.parse()?;
        match endpoint.host {
            Host::Service(_) => Err(AddressError { given: endpoint.text, problem: AddressProblem::NotOne }),
            Host::Ip(_) | Host::Name(_) => Ok(endpoint),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<WebAddress> for Endpoint {
    fn from(web: WebAddress) -> Self {
        let host = web.host().parse().map_or_else(|_| Host::Name(web.host().to_owned()), Host::Ip);
        let (text, port) = (web.as_str().to_owned(), Some(web.port()));
        Self { text, is_stream: false, web: Some(web), host, port }
    }
}

impl FromStr for Endpoint {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if WebAddress::is_meant_by(text) {
            return Ok(Self { text: text.to_owned(), ..text.parse::<WebAddress>()?.into() });
        }
        let service = text.strip_prefix(SERVICE);
        let rest = service.unwrap_or(text);
        let stream = rest.strip_prefix(STREAM);
        let rest = stream.unwrap_or(rest);
        let parsed = if service.is_some() { parse_service(rest) } else { parse(rest) };
        parsed
            .map(|(host, port)| Self { text: text.to_owned(), is_stream: stream.is_some(), web: None, host, port })
            .map_err(|problem| AddressError { given: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<(Host, Option<u16>), AddressProblem> {
    if text.is_empty() {
        return Err(AddressProblem::Empty);
    }
    if let Some(scheme) = text.find("://") {
        return Err(AddressProblem::Unsupported(text[..scheme + 3].to_owned()));
    }
    if let Some(rest) = text.strip_prefix('[') {
        return parse_bracketed(rest);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok((Host::Ip(ip), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (text, None),
    };
    if host.is_empty() {
        return Err(AddressProblem::NoHost);
    }
    if host.contains(':') {
        return Err(AddressProblem::Brackets);
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok((Host::Ip(ip), port));
    }
    match host.chars().find(|&character| !(character.is_alphanumeric() || matches!(character, '.' | '-' | '_'))) {
        Some(character) => Err(AddressProblem::Character(character)),
        None => Ok((Host::Name(host.to_owned()), port)),
    }
}

/// The service that SRV records are asked for. They tell the ports.
fn parse_service(text: &str) -> Result<(Host, Option<u16>), AddressProblem> {
    match parse(text) {
        Ok((Host::Name(name), None)) => Ok((Host::Service(name), None)),
        Err(problem @ (AddressProblem::Character(_) | AddressProblem::Unsupported(_))) => Err(problem),
        _ => Err(AddressProblem::Service),
    }
}

fn parse_bracketed(rest: &str) -> Result<(Host, Option<u16>), AddressProblem> {
    let (inside, after) = rest.split_once(']').ok_or(AddressProblem::Brackets)?;
    let ip = inside.parse().map_err(|_| AddressProblem::Brackets)?;
    let port = match after.strip_prefix(':') {
        Some(port) => Some(parse_port(port)?),
        None if after.is_empty() => None,
        None => return Err(AddressProblem::Brackets),
    };
    Ok((Host::Ip(IpAddr::V6(ip)), port))
}

pub(crate) fn parse_port(text: &str) -> Result<u16, AddressProblem> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| AddressProblem::Port(text.to_owned()))
}

/// The address without the disguise of an IPv4 address on an IPv6 socket.
pub(crate) fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The address as a socket of this family must be told.
pub(crate) fn for_family(address: SocketAddr, socket_is_ipv6: bool) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if socket_is_ipv6 => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        _ => address,
    }
}

/// Whether a socket bound to `local` can talk to `remote`: the same family, or an IPv6 socket bound to all interfaces.
pub(crate) fn reachable_from(local: SocketAddr, remote: SocketAddr) -> bool {
    local.is_ipv6() == remote.is_ipv6() || (local.is_ipv6() && local.ip().is_unspecified())
}

/// The best address of this machine for peers to use, when the node is bound to all interfaces.
///
/// Private addresses before public ones: members are more often inside one network than spread over the open one.
/// Loopback and link-local addresses are of no use to anybody else.
pub(crate) fn routable(candidates: impl IntoIterator<Item = IpAddr>, want_ipv6: bool) -> Option<IpAddr> {
    let mut usable: Vec<IpAddr> = candidates
        .into_iter()
        .filter(|ip| ip.is_ipv6() == want_ipv6)
        .filter(|ip| !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast() && !is_link_local(*ip))
        .collect();
    usable.sort_by_key(|ip| !is_private(*ip));
    usable.first().copied()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (String, Option<u16>) {
        let endpoint: Endpoint = text.parse().unwrap();
        let host = match endpoint.host() {
            Host::Ip(ip) => format!("ip {ip}"),
            Host::Name(name) => format!("name {name}"),
            Host::Service(name) => format!("service {name}"),
        };
        (host, endpoint.explicit_port())
    }

    #[test]
    fn every_supported_form_is_read() {
        assert_eq!(written("10.0.0.1:80"), ("ip 10.0.0.1".to_owned(), Some(80)));
        assert_eq!(written("10.0.0.1"), ("ip 10.0.0.1".to_owned(), None));
        assert_eq!(written("[::1]:80"), ("ip ::1".to_owned(), Some(80)));
        assert_eq!(written("[::1]"), ("ip ::1".to_owned(), None));
        assert_eq!(written("fd00::1"), ("ip fd00::1".to_owned(), None));
        assert_eq!(written(" node-1.example:80 "), ("name node-1.example".to_owned(), Some(80)));
        assert_eq!(written("localhost"), ("name localhost".to_owned(), None));
        assert_eq!(written("srv+_gossip._tcp.example"), ("service _gossip._tcp.example".to_owned(), None));
        assert_eq!("localhost".parse::<Endpoint>().unwrap().port(), DEFAULT_PORT);
    }

    #[test]
    fn each_wrong_form_is_told_from_the_others() {
        let problem = |text: &str| text.parse::<Endpoint>().unwrap_err().problem;
        assert_eq!(problem("  "), AddressProblem::Empty);
        assert_eq!(problem("host:65536"), AddressProblem::Port("65536".to_owned()));
        assert_eq!(problem("host:"), AddressProblem::Port(String::new()));
        assert_eq!(problem("host:+1"), AddressProblem::Port("+1".to_owned()));
        assert_eq!(problem(":80"), AddressProblem::NoHost);
        assert_eq!(problem("fd00::x:80"), AddressProblem::Brackets);
        assert_eq!(problem("[::1:80"), AddressProblem::Brackets);
        assert_eq!(problem("[::1]80"), AddressProblem::Brackets);
        assert_eq!(problem("[host]:80"), AddressProblem::Brackets);
        assert_eq!(problem("a b:80"), AddressProblem::Character(' '));
        for text in ["srv+", "srv+name:80", "srv+10.0.0.1", "srv+[::1]", "srv+:80"] {
            assert_eq!(problem(text), AddressProblem::Service, "{text}");
        }
        assert_eq!(problem("srv+a b"), AddressProblem::Character(' '));
        assert_eq!(problem("srv+srv+name"), AddressProblem::Character('+'));
        assert_eq!(problem("ftp://name"), AddressProblem::Unsupported("ftp://".to_owned()));
        assert_eq!(problem("ws:///path"), AddressProblem::NoHost);
        assert_eq!(problem("srv+wss://name"), AddressProblem::Unsupported("wss://".to_owned()));
    }

    #[test]
    fn a_bind_address_may_be_a_port_alone() {
        let bind = |text: &str, six: bool| Endpoint::parse_bind(text, six).map(|it| it.as_socket_address().unwrap());
        assert_eq!(bind(":80", false).unwrap(), "0.0.0.0:80".parse().unwrap());
        assert_eq!(bind(":80", true).unwrap(), "[::]:80".parse().unwrap());
        assert_eq!(bind("::1", false).unwrap(), "[::1]:7979".parse().unwrap());
        assert_eq!(Endpoint::parse_bind("srv+name", false).unwrap_err().problem, AddressProblem::NotOne);
        let error = Endpoint::parse_bind(":x", false).unwrap_err();
        assert_eq!(error.to_string(), "address \":x\": \"x\" is not a port, expected a number from 0 to 65535");
    }

    #[test]
    fn private_addresses_are_advertised_first_and_useless_ones_never() {
        let ips = |text: &[&str]| text.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let all = ips(&["127.0.0.1", "169.254.3.4", "8.8.4.4", "192.168.1.5", "10.0.0.1", "::1", "fe80::1", "fd00::2"]);
        assert_eq!(routable(all.clone(), false), Some("192.168.1.5".parse().unwrap()));
        assert_eq!(routable(all, true), Some("fd00::2".parse().unwrap()));
        assert_eq!(routable(ips(&["127.0.0.1", "0.0.0.0", "224.0.0.1"]), false), None);
    }

    #[test]
    fn an_ipv4_peer_keeps_one_name_on_an_ipv6_socket() {
        let peer: SocketAddr = "10.0.0.1:80".parse().unwrap();
        let mapped = for_family(peer, true);
        assert_eq!(mapped, "[::ffff:10.0.0.1]:80".parse().unwrap());
        assert_eq!(unmapped(mapped), peer);
        assert_eq!(for_family(peer, false), peer);
    }
}
