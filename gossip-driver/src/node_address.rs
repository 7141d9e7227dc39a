//! Where a node is reached, and over what.

use std::borrow::Cow;
use std::fmt;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::str::FromStr;

use gossip_core::NodeId;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{AddressError, AddressProblem, WebAddress};

/// The scheme of [`NodeAddress::Stream`] in text.
pub(crate) const STREAM: &str = "tcp://";
/// What goes before the id of [`NodeAddress::DialOnly`] in text.
pub(crate) const DIAL_ONLY: &str = "dial-only:";

/// Where a node is reached, and over what. Cloning is cheap.
///
/// Written as `10.0.0.1:7979`, `tcp://10.0.0.1:7979`, `wss://node.example/gossip` or `dial-only:` and the node's id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NodeAddress {
    /// Datagrams and connections: UDP and TCP at the same address and port.
    Socket(SocketAddr),
    /// Connections alone: TCP, or whatever the node's dialer makes of the address.
    Stream(SocketAddr),
    /// WebSocket connections alone.
    Web(WebAddress),
    /// Nowhere: this node is reached over connections that it opens itself.
    DialOnly(NodeId),
    /// The other end of a connection that was accepted, by a number that is not used again. It means something at this
    /// node alone and never travels.
    Accepted(u64),
}

impl NodeAddress {
    /// The address and port, where there is one.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Socket(address) | Self::Stream(address) => Some(*address),
            Self::Web(_) | Self::DialOnly(_) | Self::Accepted(_) => None,
        }
    }

    /// Whether datagrams can be sent there.
    pub fn takes_datagrams(&self) -> bool {
        matches!(self, Self::Socket(_))
    }

    /// Whether both lead to the same place, by whatever name it proves itself there.
    pub(crate) fn is_where(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Web(one), Self::Web(other)) => one.as_str() == other.as_str(),
            (one, other) => one == other,
        }
    }

    /// Whether a connection can be opened to it.
    pub fn can_be_dialled(&self) -> bool {
        !matches!(self, Self::DialOnly(_) | Self::Accepted(_))
    }
}

impl From<SocketAddr> for NodeAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(address)
    }
}

impl From<WebAddress> for NodeAddress {
    fn from(address: WebAddress) -> Self {
        Self::Web(address)
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Stream(address) => write!(f, "{STREAM}{address}"),
            Self::Web(address) => address.fmt(f),
            Self::DialOnly(id) => write!(f, "{DIAL_ONLY}{id}"),
            Self::Accepted(number) => write!(f, "accepted:{number}"),
        }
    }
}

impl fmt::Debug for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |problem| AddressError { given: text.to_owned(), problem };
        let socket = |text: &str| text.parse().map_err(|_| wrong(AddressProblem::NotNumeric));
        if let Some(id) = text.strip_prefix(DIAL_ONLY) {
            return id.parse().map(Self::DialOnly).map_err(|_| wrong(AddressProblem::NodeId));
        }
        match text.strip_prefix(STREAM) {
            Some(address) => socket(address).map(Self::Stream),
            None if text.contains("://") => text.parse().map(Self::Web),
            None => socket(text).map(Self::Socket),
        }
    }
}

/// The form on the wire: the first two are those of [`SocketAddr`].
#[derive(Serialize, Deserialize)]
#[serde(rename = "NodeAddress")]
enum Wire<'a> {
    V4(SocketAddrV4),
    V6(SocketAddrV6),
    StreamV4(SocketAddrV4),
    StreamV6(SocketAddrV6),
    #[serde(borrow)]
    Web(Cow<'a, str>),
    DialOnly(NodeId),
}

impl Serialize for NodeAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        let wire = match self {
            Self::Socket(SocketAddr::V4(address)) => Wire::V4(*address),
            Self::Socket(SocketAddr::V6(address)) => Wire::V6(*address),
            Self::Stream(SocketAddr::V4(address)) => Wire::StreamV4(*address),
            Self::Stream(SocketAddr::V6(address)) => Wire::StreamV6(*address),
            Self::Web(address) => Wire::Web(Cow::Borrowed(address.as_str())),
            Self::DialOnly(id) => Wire::DialOnly(*id),
            Self::Accepted(_) => {
                return Err(S::Error::custom("a connection that was accepted is no address for others"));
            }
        };
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NodeAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(D::Error::custom);
        }
        Ok(match Wire::deserialize(deserializer)? {
            Wire::V4(address) => Self::Socket(address.into()),
            Wire::V6(address) => Self::Socket(address.into()),
            Wire::StreamV4(address) => Self::Stream(address.into()),
            Wire::StreamV6(address) => Self::Stream(address.into()),
            Wire::Web(url) => {
                let address: WebAddress = url.parse().map_err(D::Error::custom)?;
                if address.as_str() != url {
                    return Err(D::Error::custom("scheme and host of a URL are in lower case"));
                }
                Self::Web(address)
            }
            Wire::DialOnly(id) => Self::DialOnly(id),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn sockets() -> impl Strategy<Value = SocketAddr> {
        (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
    }

    fn addresses() -> impl Strategy<Value = NodeAddress> {
        let web = "wss?://[a-z0-9.-]{1,40}(:[1-9][0-9]{0,3})?(/[a-zA-Z0-9%_=&~.-]{0,90}){0,2}";
        prop_oneof![
            sockets().prop_map(NodeAddress::Socket),
            sockets().prop_map(NodeAddress::Stream),
            web.prop_map(|url| NodeAddress::Web(url.parse().expect("it has the form of a URL"))),
            any::<u128>().prop_map(|id| NodeAddress::DialOnly(NodeId::from_u128(id))),
        ]
    }

    #[test]
    fn each_kind_has_its_text() {
        let id = "00000000-0000-0000-0000-000000000007";
        let texts = [
            "10.0.0.1:7979",
            "[fd00::1]:7979",
            "tcp://10.0.0.1:7979",
            "tcp://[fd00::1]:7979",
            "wss://node.example/gossip",
            &format!("dial-only:{id}"),
        ];
        for text in texts {
            assert_eq!(text.parse::<NodeAddress>().unwrap().to_string(), text);
        }
        let problem = |text: &str| text.parse::<NodeAddress>().unwrap_err().problem;
        assert_eq!(problem("node.example:1"), AddressProblem::NotNumeric);
        assert_eq!(problem("tcp://node.example:1"), AddressProblem::NotNumeric);
        assert_eq!(problem("dial-only:me"), AddressProblem::NodeId);
        assert_eq!(problem("udp://10.0.0.1:1"), AddressProblem::Url);
    }

    #[test]
    fn the_form_on_the_wire_is_fixed() {
        let bytes = |text: &str| postcard::to_allocvec(&text.parse::<NodeAddress>().unwrap()).unwrap();
        assert_eq!(bytes("10.0.0.1:80"), [0, 10, 0, 0, 1, 80]);
        assert_eq!(bytes("tcp://10.0.0.1:80"), [2, 10, 0, 0, 1, 80]);
        assert_eq!(bytes("tcp://[::1]:80"), [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 80]);
        assert_eq!(bytes("ws://a"), [4, 6, b'w', b's', b':', b'/', b'/', b'a']);
        let id = bytes("dial-only:01000000-0000-0000-0000-000000000002");
        assert_eq!(id, [5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn a_connection_that_was_accepted_does_not_travel() {
        assert!(postcard::to_allocvec(&NodeAddress::Accepted(7)).is_err());
    }

    #[test]
    fn what_is_no_url_on_the_wire_is_no_address() {
        assert!(postcard::from_bytes::<NodeAddress>(&[4, 4, b'w', b's', b':', b'/']).is_err());
        assert!(postcard::from_bytes::<NodeAddress>(&[4, 6, b'W', b's', b':', b'/', b'/', b'a']).is_err());
        assert!(postcard::from_bytes::<NodeAddress>(&[6, 0]).is_err());
    }

    proptest! {
        #[test]
        fn text_and_bytes_give_back_what_was_put_in(address in addresses()) {
            prop_assert_eq!(address.to_string().parse::<NodeAddress>(), Ok(address.clone()));
            let bytes = postcard::to_allocvec(&address).unwrap();
            prop_assert_eq!(postcard::from_bytes::<NodeAddress>(&bytes), Ok(address));
        }

        #[test]
        fn a_socket_has_the_bytes_and_the_order_of_a_socket_address(one in sockets(), other in sockets()) {
            let address = NodeAddress::Socket(one);
            prop_assert_eq!(postcard::to_allocvec(&address), postcard::to_allocvec(&one));
            prop_assert_eq!(address.to_string(), one.to_string());
            prop_assert_eq!(address.cmp(&NodeAddress::Socket(other)), one.cmp(&other));
        }

        #[test]
        fn random_bytes_and_texts_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,60}") {
            if let Ok(address) = postcard::from_bytes::<NodeAddress>(&bytes) {
                prop_assert_eq!(address.to_string().parse::<NodeAddress>(), Ok(address));
            }
            let _ = text.parse::<NodeAddress>();
        }
    }
}
