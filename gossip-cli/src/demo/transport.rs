//! What the nodes of the demonstration reach each other by.

use gossip_tokio::{Config, NodeAddress};
use serde::Serialize;

use crate::args::DemoTransport;
use crate::exit::Failure;

/// Fewest nodes of which there is one of each kind.
const KINDS: usize = 3;
/// Where nodes listen for WebSocket, unless they were somewhere before.
const URL: &str = "ws://127.0.0.1:0/demo";
/// Bytes of IPv4 and UDP headers that each datagram costs.
const HEADERS: u64 = 28;

/// What the nodes reach each other by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// UDP and TCP.
    #[default]
    Udp,
    /// WebSocket alone.
    Ws,
    /// Each node by something else than the one before.
    Mixed,
}

/// How one node is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Sockets,
    WebSocket,
    /// Over connections that it opens itself.
    DialOnly,
}

impl Transport {
    /// What was asked for.
    ///
    /// # Errors
    ///
    /// Too few nodes for a mixture.
    pub(crate) fn of(wanted: DemoTransport, nodes: usize) -> Result<Self, Failure> {
        match wanted {
            DemoTransport::Udp => Ok(Self::Udp),
            DemoTransport::Ws => Ok(Self::Ws),
            DemoTransport::Mixed if nodes < KINDS => Err(Failure::Usage(format!(
                "--transport mixed shows {KINDS} kinds of node: give --nodes {KINDS} or more"
            ))),
            DemoTransport::Mixed => Ok(Self::Mixed),
        }
    }

    /// Whether this is the usual one.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::Udp
    }

    /// The settings of the node at this place, where `before` is the address that it had.
    pub(crate) fn applied(self, config: Config, at: usize, before: Option<&NodeAddress>) -> Config {
        match self.way(at) {
            Way::Sockets => match before.and_then(NodeAddress::socket_address) {
                Some(address) => config.bind(address.to_string()),
                None => config.bind("127.0.0.1:0"),
            },
            Way::WebSocket => {
                let url = before.map_or_else(|| URL.to_owned(), ToString::to_string);
                config.web_listen(url).web_only(true)
            }
            Way::DialOnly => config.dial_only(true),
        }
    }

    fn way(self, at: usize) -> Way {
        match self {
            Self::Udp => Way::Sockets,
            Self::Ws => Way::WebSocket,
            Self::Mixed => [Way::Sockets, Way::WebSocket, Way::DialOnly][at % KINDS],
        }
    }

    /// What carries a packet costs so many bytes beside it. Of a connection that is not known.
    pub(crate) fn overhead(self) -> u64 {
        if self.is_usual() { HEADERS } else { 0 }
    }

    /// Handles that connections between nodes need in this process, for each node.
    pub(crate) fn handles(self, nodes: usize) -> usize {
        // Each may have opened one to each other one, and both ends are here.
        if self.is_usual() { 0 } else { 2 * nodes }
    }

    /// What the nodes are, in the words of a headline.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Udp => "nodes on loopback",
            Self::Ws => "nodes on loopback, over WebSocket",
            Self::Mixed => "nodes on loopback: sockets, WebSocket, dial-only",
        }
    }

    /// Width of a column of addresses.
    pub(crate) fn width(self) -> usize {
        if self.is_usual() { 21 } else { 26 }
    }
}

/// An address as it is shown. That of a node which only dials is its id, by which nobody knows it here.
pub(crate) fn shown(address: &NodeAddress) -> String {
    match address {
        NodeAddress::DialOnly(_) => "dial-only".to_owned(),
        address => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_nodes_are_enough_for_one_of_each_kind_and_two_are_not() {
        let mixed = Transport::of(DemoTransport::Mixed, 3).unwrap();
        assert_eq!([0, 1, 2, 3].map(|at| mixed.way(at)), [Way::Sockets, Way::WebSocket, Way::DialOnly, Way::Sockets]);
        assert!(matches!(Transport::of(DemoTransport::Mixed, 2), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_node_that_starts_again_is_where_it_was() {
        let url: NodeAddress = "ws://127.0.0.1:4000/demo".parse().unwrap();
        let config = Transport::Ws.applied(Config::local("x"), 0, Some(&url));
        assert_eq!(config.web_listen.as_deref(), Some("ws://127.0.0.1:4000/demo"));
        let socket: NodeAddress = "127.0.0.1:4000".parse().unwrap();
        assert_eq!(Transport::Udp.applied(Config::local("x"), 0, Some(&socket)).bind, "127.0.0.1:4000");
    }
}
