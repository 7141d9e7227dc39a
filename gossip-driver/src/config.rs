//! Settings of a node and its sockets, and the presets.

mod check;
mod setters;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gossip_core::{NodeId, Value};

#[cfg(feature = "tls")]
use crate::TlsConfig;
#[cfg(feature = "websocket")]
use crate::Token;
use crate::codec::{Codec, Postcard};
use crate::keys::KeyKeeper;
use crate::resolve::Resolver;
use crate::transport::{Acceptor, Dialer};

/// Settings of a node. Start from a preset, change what differs, and hand it to
/// [`Cluster::start`](crate::Cluster::start), which validates the whole.
///
/// Each field has a method of the same name, so that settings can be chained.
#[derive(Clone)]
#[non_exhaustive]
#[cfg_attr(
    any(feature = "tls", feature = "websocket"),
    expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")
)]
pub struct Config {
    /// Settings of the protocol itself: the cluster's name, probing, suspicion, gossip, limits.
    pub protocol: gossip_core::Config,

    /// Where to listen, UDP and TCP on the same port: `ip:port`, `[v6]:port`, `host:port`, or `:port` for all
    /// interfaces. Port 0 takes a free one.
    pub bind: String,
    /// Where peers reach this node, if that is not where it is bound: `host`, or `host:port`. Without a port, the bound
    /// one. `None` advertises the bound address, or the address of an interface when bound to all of them.
    pub advertise: Option<String>,
    /// The node's id. `None` makes a new one; keep it over restarts so that peers see a restart and not a stranger.
    pub id: Option<NodeId>,
    /// Labels of this node; they do not change while it runs.
    pub tags: Vec<String>,
    /// Metadata that the node starts with.
    pub metadata: Vec<(String, Value)>,
    /// Nodes to join through, tried for ever: `host:port`, `host` for the default port, or `srv+name` for a service.
    pub seeds: Vec<String>,
    /// What turns names into addresses. `None` is the default that [`Resolver`] tells of.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// DNS servers to ask, after the hosts file, in place of those of the operating system; names are then taken to be
    /// complete. Empty asks those of the operating system. Of no use beside `resolver`, and without the feature `dns`.
    pub dns_servers: Vec<SocketAddr>,
    /// Whether the IPv6 addresses of a name come first, and whether `:port` binds all IPv6 interfaces.
    pub prefer_ipv6: bool,
    /// How long the answer for the name of a seed holds at least, if its time to live is shorter. 100 ms to 1 h.
    ///
    /// Small asks often where the time to live is short; large finds a seed late that has moved but still answers.
    pub min_name_ttl: Duration,
    /// How long it holds at most. From `min_name_ttl` up to 24 h. It is asked for earlier if it leads nowhere.
    pub max_name_ttl: Duration,

    /// Whether this node lives without datagrams: it binds no UDP socket, advertises `tcp://` addresses, and what others
    /// send as datagrams travels over connections, dropped where a connection has little room. Nodes with and without
    /// may be in one cluster.
    ///
    /// For networks that carry TCP alone. Each node then has a connection with each, up to `max_connections`; in a
    /// larger cluster connections are opened and closed all the time.
    pub stream_only: bool,
    /// Whether nobody can connect to this node: it listens nowhere, has no UDP socket, and keeps a connection to each
    /// member that can be connected to, over which others reach it. What it exchanges with another such node goes by way
    /// of a member that both are connected to. `bind`, `advertise` and `acceptor` are of no use then.
    ///
    /// For nodes behind a firewall or a NAT. A cluster needs a node that can be connected to. An eighth of
    /// `max_connections` is left for other purposes than these connections: in a cluster with more members than the rest,
    /// some do not reach this node directly.
    pub dial_only: bool,
    /// What opens connections in place of the runtime's TCP. With it the node lives without datagrams, as with
    /// `stream_only`.
    pub dialer: Option<Arc<dyn Dialer>>,
    /// What connections come from in place of a TCP listener at `bind`, which is not used then: `advertise` must say
    /// what the dialers of peers take for this node. With it the node lives without datagrams, as with `stream_only`.
    pub acceptor: Option<Arc<dyn Acceptor>>,

    /// Certificates and trust for TLS: for `wss://` addresses, and with `tcp_tls` for all connections.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsConfig>,
    /// Whether TCP connections, or what dialer and acceptor put in their place, use TLS as well. The same at all nodes
    /// that connect to each other so. Datagrams stay as they are: seal packets with keys, or live without datagrams.
    #[cfg(feature = "tls")]
    pub tcp_tls: bool,
    /// Where to listen for WebSocket: `ws://ip:port/path`, or `wss://` with `tls`. Port 0 takes a free one.
    ///
    /// The node is known under this URL, and lives without UDP and TCP, if `web_only` is set; under another one if
    /// `advertise` is a URL. Else it listens there besides UDP and TCP, for those who can reach nothing else.
    #[cfg(feature = "websocket")]
    pub web_listen: Option<String>,
    /// Whether the node binds neither UDP nor TCP and is known under the URL in `web_listen`. One with a URL in
    /// `advertise` does so in any case.
    #[cfg(feature = "websocket")]
    pub web_only: bool,
    /// What a peer must show that connects by WebSocket, and what this node shows to its peers.
    #[cfg(feature = "websocket")]
    pub token: Option<Token>,
    /// After how long a silence on a WebSocket a ping is sent, so that proxies do not close it; after as long without
    /// an answer the connection is given up. 1 s to 1 h.
    ///
    /// Proxies close what is silent for a minute, some sooner.
    #[cfg(feature = "websocket")]
    pub web_ping_interval: Duration,

    /// What keeps the keys in [`protocol.keys`](gossip_core::Config::keys) for the next start when they are changed while the node
    /// runs. `None` keeps nothing: a node that starts again has the keys that it is started with.
    pub key_keeper: Option<Arc<dyn KeyKeeper>>,

    /// Longest wait for a connection to be made. 10 ms up to `protocol.join_timeout`.
    ///
    /// Too short fails on slow paths; too long delays the news that a peer cannot be reached.
    pub dial_timeout: Duration,
    /// Longest wait for a peer to take more bytes of a stream message before its connection is closed. 10 ms to 10 min.
    pub write_timeout: Duration,
    /// Longest time in which a new connection must show its first whole and valid message, and longest silence within
    /// any message; twelve times as long for a whole message. 10 ms to 10 min.
    ///
    /// Too short drops peers on slow paths; too long lets strangers hold more of the places for new connections.
    pub first_frame_timeout: Duration,
    /// How long an unused connection is kept by the node that opened it; the other keeps it twice as long. One that an
    /// answer is to come over is in use. Longer than `first_frame_timeout`, up to 24 h.
    ///
    /// Shorter saves file handles; longer saves dials.
    pub idle_timeout: Duration,

    /// Most incoming connections, and apart from them most outgoing ones; the one that was unused for longest gives
    /// way, unless something waits to be written to it or an answer is to come over it. Where none gives way, incoming
    /// ones are refused, and messages wait for a free one: requests until they end, others for about `write_timeout`.
    /// 4 to 1 million.
    pub max_connections: usize,
    /// Most incoming connections that have not shown a valid message yet; the oldest gives way. 1 up to
    /// `max_connections`.
    pub max_unproven: usize,
    /// Most bytes waiting for one peer. At least one message of `protocol.max_message`, up to `total_queue_bytes`. What
    /// exceeds it closes the connection.
    pub link_queue_bytes: usize,
    /// Most bytes waiting for all peers together.
    pub total_queue_bytes: usize,
    /// Most bytes held for large stream messages that are still arriving, beyond 64 KiB for each connection. At least
    /// one message of `protocol.max_message`. A connection that would exceed it is closed.
    pub receive_queue_bytes: usize,
    /// Commands waiting for the node; callers wait beyond it. Apart from them, messages and requests to be sent; beyond
    /// it sending is an error, or waits if the handle is [`patient`](crate::Cluster::patient). 1 to 1 million. The bytes of
    /// the latter are bounded by `protocol.max_queued_bytes`.
    ///
    /// Small refuses bursts that the node could take; large lets bursts overrun the sockets of receivers.
    pub command_queue: usize,
    /// Events waiting for each subscriber or callback; beyond it the oldest are dropped and the loss is reported. 1 to
    /// 1 million.
    pub event_queue: usize,
    /// Time between two calls of a gossip callback while it is quick; see [`Cluster::on_gossip`](crate::Cluster::on_gossip).
    /// 10 ms to 1 h.
    pub on_gossip_interval: Duration,
    /// The same while it is slow. At least `on_gossip_interval`, up to 24 h.
    pub on_gossip_max_interval: Duration,
    /// What writes and reads the values in messages; the same at all nodes.
    pub codec: Arc<dyn Codec>,
    /// Message content of at least so many bytes is compressed if that makes it smaller. `None` never compresses.
    pub compress_from: Option<usize>,
    /// Messages, or requests, waiting for each handler, and messages for each reader; beyond it messages are dropped and
    /// the loss is reported, requests are refused as overloaded. 1 to 1 million. Their bytes, for each handler and reader
    /// and with those whose calls are under way, are bounded by `protocol.max_delivery_bytes`.
    pub message_queue: usize,
    /// Calls of each handler that are under way at the same time. 1 to 1 million.
    ///
    /// Small makes others wait for those that wait; large takes memory for each.
    pub max_handlers: usize,
    /// Datagrams, and stream messages, handled before the node looks at anything else. 1 to 10,000.
    ///
    /// Small adds overhead under load; large delays timers.
    pub receive_budget: usize,
    /// Kernel buffer to ask for on the UDP socket, in bytes, for receiving. Up to 1 GiB; less may be granted.
    pub socket_receive_buffer: usize,
    /// Kernel buffer to ask for on the UDP socket, in bytes, for sending. Up to 1 GiB; less may be granted.
    pub socket_send_buffer: usize,
}

impl Config {
    /// For one data centre. Binds port 7979 on all interfaces.
    pub fn lan(cluster: impl Into<String>) -> Self {
        Self {
            protocol: gossip_core::Config::lan(cluster),
            bind: format!("0.0.0.0:{}", crate::DEFAULT_PORT),
            advertise: None,
            id: None,
            tags: Vec::new(),
            metadata: Vec::new(),
            seeds: Vec::new(),
            resolver: None,
            dns_servers: Vec::new(),
            prefer_ipv6: false,
            min_name_ttl: Duration::from_secs(5),
            max_name_ttl: Duration::from_hours(1),
            stream_only: false,
            dial_only: false,
            dialer: None,
            acceptor: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            tcp_tls: false,
            #[cfg(feature = "websocket")]
            web_listen: None,
            #[cfg(feature = "websocket")]
            web_only: false,
            #[cfg(feature = "websocket")]
            token: None,
            #[cfg(feature = "websocket")]
            web_ping_interval: Duration::from_secs(25),
            key_keeper: None,
            dial_timeout: Duration::from_secs(2),
            write_timeout: Duration::from_secs(2),
            first_frame_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_mins(1),
            max_connections: 1_024,
            max_unproven: 128,
            link_queue_bytes: 16 << 20,
            total_queue_bytes: 128 << 20,
            receive_queue_bytes: 64 << 20,
            command_queue: 256,
            event_queue: 4_096,
            on_gossip_interval: Duration::from_secs(5),
            on_gossip_max_interval: Duration::from_secs(20),
            codec: Arc::new(Postcard),
            compress_from: Some(256),
            message_queue: 4_096,
            max_handlers: 1_024,
            receive_budget: 64,
            socket_receive_buffer: 2 << 20,
            socket_send_buffer: 1 << 20,
        }
    }

    /// For members on several continents. Binds port 7979 on all interfaces.
    pub fn wan(cluster: impl Into<String>) -> Self {
        Self {
            protocol: gossip_core::Config::wan(cluster),
            dial_timeout: Duration::from_secs(6),
            write_timeout: Duration::from_secs(6),
            first_frame_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_mins(3),
            ..Self::lan("")
        }
    }

    /// For one machine, as in tests and demonstrations. Binds a free port on 127.0.0.1.
    pub fn local(cluster: impl Into<String>) -> Self {
        Self {
            protocol: gossip_core::Config::local(cluster),
            bind: "127.0.0.1:0".to_owned(),
            dial_timeout: Duration::from_secs(1),
            ..Self::lan("")
        }
    }

    /// Whether the node is to have a UDP socket.
    pub(crate) fn has_datagrams(&self) -> bool {
        !self.stream_only && !self.dial_only && self.dialer.is_none() && self.acceptor.is_none()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("protocol", &self.protocol)
            .field("bind", &self.bind)
            .field("advertise", &self.advertise)
            .field("id", &self.id)
            .field("stream_only", &self.stream_only)
            .field("dial_only", &self.dial_only)
            .field("tags", &self.tags)
            .field("seeds", &self.seeds)
            .field("dial_timeout", &self.dial_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("first_frame_timeout", &self.first_frame_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_connections", &self.max_connections)
            .field("max_unproven", &self.max_unproven)
            .finish_non_exhaustive()
    }
}
