//! Settings of a node and its sockets, the presets, and what makes a setting invalid.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gossip_core::{ConfigError, KeyRing, NodeId, Plaintext, Value, within};

#[cfg(feature = "tls")]
use crate::TlsConfig;
#[cfg(feature = "websocket")]
use crate::Token;
use crate::codec::{self, Codec, Postcard};
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

    /// Changes settings of the protocol: `config.protocol(|it| it.max_members = 50)`.
    #[must_use]
    pub fn protocol(mut self, change: impl FnOnce(&mut gossip_core::Config)) -> Self {
        change(&mut self.protocol);
        self
    }

    /// Sets where to listen; see [`Config::bind`](#structfield.bind).
    #[must_use]
    pub fn bind(mut self, address: impl Into<String>) -> Self {
        self.bind = address.into();
        self
    }

    /// Sets where peers reach this node; see [`Config::advertise`](#structfield.advertise).
    #[must_use]
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.advertise = Some(address.into());
        self
    }

    /// Sets the node's id; see [`Config::id`](#structfield.id).
    #[must_use]
    pub fn id(mut self, id: NodeId) -> Self {
        self.id = Some(id);
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds labels.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Adds a metadata value that the node starts with.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Adds a node to join through.
    #[must_use]
    pub fn seed(mut self, address: impl Into<String>) -> Self {
        self.seeds.push(address.into());
        self
    }

    /// Adds nodes to join through.
    #[must_use]
    pub fn seeds(mut self, addresses: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.seeds.extend(addresses.into_iter().map(Into::into));
        self
    }

    /// Sets what turns names into addresses.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolver) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Adds DNS servers to ask in place of those of the operating system.
    #[must_use]
    pub fn dns_servers(mut self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.dns_servers.extend(servers);
        self
    }

    /// Sets what opens connections in place of TCP; see [`Config::dialer`](#structfield.dialer).
    #[must_use]
    pub fn dialer(mut self, dialer: impl Dialer) -> Self {
        self.dialer = Some(Arc::new(dialer));
        self
    }

    /// Sets what connections come from in place of TCP; see [`Config::acceptor`](#structfield.acceptor).
    #[must_use]
    pub fn acceptor(mut self, acceptor: impl Acceptor) -> Self {
        self.acceptor = Some(Arc::new(acceptor));
        self
    }

    /// Sets certificates and trust for TLS; see [`Config::tls`](#structfield.tls).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets whether TCP connections use TLS; see [`Config::tcp_tls`](#structfield.tcp_tls).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tcp_tls(mut self, tcp_tls: bool) -> Self {
        self.tcp_tls = tcp_tls;
        self
    }

    /// Sets where to listen for WebSocket; see [`Config::web_listen`](#structfield.web_listen).
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn web_listen(mut self, url: impl Into<String>) -> Self {
        self.web_listen = Some(url.into());
        self
    }

    /// Sets whether WebSocket is all that there is; see [`Config::web_only`](#structfield.web_only).
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn web_only(mut self, web_only: bool) -> Self {
        self.web_only = web_only;
        self
    }

    /// Sets what peers must show that connect by WebSocket; see [`Config::token`](#structfield.token).
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Sets after how long a silence a WebSocket is pinged; see
    /// [`Config::web_ping_interval`](#structfield.web_ping_interval).
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn web_ping_interval(mut self, interval: Duration) -> Self {
        self.web_ping_interval = interval;
        self
    }

    /// Sets the keys that packets are sealed with, and what becomes of those that are not sealed.
    #[must_use]
    pub fn keys(mut self, ring: KeyRing, plaintext: Plaintext) -> Self {
        self.protocol.keys = Some(ring);
        self.protocol.plaintext = plaintext;
        self
    }

    /// Sets what keeps changed keys for the next start.
    #[must_use]
    pub fn key_keeper(mut self, keeper: impl KeyKeeper) -> Self {
        self.key_keeper = Some(Arc::new(keeper));
        self
    }

    /// Sets what writes and reads the values in messages.
    #[must_use]
    pub fn codec(mut self, codec: impl Codec) -> Self {
        self.codec = Arc::new(codec);
        self
    }

    /// Whether the node is to have a UDP socket.
    pub(crate) fn has_datagrams(&self) -> bool {
        !self.stream_only && !self.dial_only && self.dialer.is_none() && self.acceptor.is_none()
    }

    /// Checks every setting and how they fit together. Addresses are checked when the node starts.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range, by name.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const GIB: usize = 1 << 30;
        const MOST: usize = usize::MAX / 2;
        let ms = Duration::from_millis;
        let longest = ms(600_000);
        let protocol = &self.protocol;
        protocol.validate()?;
        self.validate_names()?;
        if self.dial_only && (self.acceptor.is_some() || self.advertise.is_some()) {
            let reason =
                "expected neither an acceptor nor an advertise address with it: nobody connects to such a node";
            return Err(ConfigError { field: "dial_only", reason: reason.to_owned() });
        }
        within("dial_timeout", &self.dial_timeout, ms(10)..=protocol.join_timeout)?;
        within("write_timeout", &self.write_timeout, ms(10)..=longest)?;
        within("first_frame_timeout", &self.first_frame_timeout, ms(10)..=longest)?;
        within("idle_timeout", &self.idle_timeout, self.first_frame_timeout + ms(1)..=ms(86_400_000))?;
        within("max_connections", &self.max_connections, 4..=1_000_000)?;
        within("max_unproven", &self.max_unproven, 1..=self.max_connections)?;
        #[cfg(feature = "websocket")]
        within("web_ping_interval", &self.web_ping_interval, ms(1_000)..=ms(3_600_000))?;
        #[cfg(feature = "tls")]
        if self.tcp_tls && self.tls.is_none() {
            let reason = "expected a TLS configuration in tls, which it needs".to_owned();
            return Err(ConfigError { field: "tcp_tls", reason });
        }
        let message = protocol.max_message.saturating_add(crate::framing::PREFIX);
        within("total_queue_bytes", &self.total_queue_bytes, message..=MOST)?;
        within("link_queue_bytes", &self.link_queue_bytes, message..=self.total_queue_bytes)?;
        within("receive_queue_bytes", &self.receive_queue_bytes, message..=MOST)?;
        within("command_queue", &self.command_queue, 1..=1_000_000)?;
        within("event_queue", &self.event_queue, 1..=1_000_000)?;
        let hour = Duration::from_hours(1);
        within("on_gossip_interval", &self.on_gossip_interval, ms(10)..=hour)?;
        within("on_gossip_max_interval", &self.on_gossip_max_interval, self.on_gossip_interval..=24 * hour)?;
        within("message_queue", &self.message_queue, 1..=1_000_000)?;
        within("max_handlers", &self.max_handlers, 1..=1_000_000)?;
        codec::validate(&*self.codec)?;
        within("receive_budget", &self.receive_budget, 1..=10_000)?;
        within("socket_receive_buffer", &self.socket_receive_buffer, 0..=GIB)?;
        within("socket_send_buffer", &self.socket_send_buffer, 0..=GIB)
    }

    fn validate_names(&self) -> Result<(), ConfigError> {
        let wrong = |reason: String| Err(ConfigError { field: "dns_servers", reason });
        match self.dns_servers.iter().find(|server| server.port() == 0 || server.ip().is_unspecified()) {
            Some(server) => return wrong(format!("is {server}, expected the address and the port of a DNS server")),
            None if cfg!(not(feature = "dns")) && !self.dns_servers.is_empty() => {
                return wrong("is set, expected none in a program that is built without the feature `dns`".to_owned());
            }
            None if self.dns_servers.len() > 8 => {
                return wrong(format!("has {} servers, expected at most 8", self.dns_servers.len()));
            }
            None => {}
        }
        let hour = Duration::from_hours(1);
        within("min_name_ttl", &self.min_name_ttl, Duration::from_millis(100)..=hour)?;
        within("max_name_ttl", &self.max_name_ttl, self.min_name_ttl..=24 * hour)
    }
}

macro_rules! setters {
    ($($field:ident: $type:ty,)*) => {
        impl Config {
            $(
                #[doc = concat!("Sets [`Config::", stringify!($field), "`](#structfield.", stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

setters! {
    stream_only: bool,
    dial_only: bool,
    prefer_ipv6: bool,
    min_name_ttl: Duration,
    max_name_ttl: Duration,
    dial_timeout: Duration,
    write_timeout: Duration,
    first_frame_timeout: Duration,
    idle_timeout: Duration,
    max_connections: usize,
    max_unproven: usize,
    link_queue_bytes: usize,
    total_queue_bytes: usize,
    receive_queue_bytes: usize,
    command_queue: usize,
    event_queue: usize,
    on_gossip_interval: Duration,
    on_gossip_max_interval: Duration,
    compress_from: Option<usize>,
    message_queue: usize,
    max_handlers: usize,
    receive_budget: usize,
    socket_receive_buffer: usize,
    socket_send_buffer: usize,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid() {
        for config in [Config::lan("x"), Config::wan("x"), Config::local("x")] {
            assert_eq!(config.validate(), Ok(()));
        }
    }

    #[test]
    fn an_error_names_the_field_and_the_range() {
        type Spoil = fn(&mut Config);
        let cases: [(&str, Spoil); 24] = [
            ("dns_servers", |c| c.dns_servers = vec!["10.0.0.1:0".parse().unwrap()]),
            ("min_name_ttl", |c| c.min_name_ttl = Duration::ZERO),
            ("max_name_ttl", |c| c.max_name_ttl = c.min_name_ttl / 2),
            ("dial_only", |c| (c.dial_only, c.advertise) = (true, Some("10.0.0.1".to_owned()))),
            ("probe_interval", |c| c.protocol.probe_interval = Duration::ZERO),
            ("dial_timeout", |c| c.dial_timeout = c.protocol.join_timeout * 2),
            ("write_timeout", |c| c.write_timeout = Duration::ZERO),
            ("first_frame_timeout", |c| c.first_frame_timeout = Duration::ZERO),
            ("idle_timeout", |c| c.idle_timeout = c.first_frame_timeout),
            ("max_connections", |c| c.max_connections = 1),
            ("max_unproven", |c| c.max_unproven = c.max_connections + 1),
            ("link_queue_bytes", |c| c.link_queue_bytes = c.protocol.max_message),
            ("link_queue_bytes", |c| c.link_queue_bytes = c.total_queue_bytes + 1),
            ("total_queue_bytes", |c| c.total_queue_bytes = 0),
            ("receive_queue_bytes", |c| c.receive_queue_bytes = 0),
            ("command_queue", |c| c.command_queue = 0),
            ("event_queue", |c| c.event_queue = 0),
            ("on_gossip_interval", |c| c.on_gossip_interval = Duration::ZERO),
            ("on_gossip_max_interval", |c| c.on_gossip_max_interval = c.on_gossip_interval / 2),
            ("message_queue", |c| c.message_queue = 0),
            ("max_handlers", |c| c.max_handlers = 0),
            ("receive_budget", |c| c.receive_budget = 0),
            ("socket_receive_buffer", |c| c.socket_receive_buffer = usize::MAX),
            ("socket_send_buffer", |c| c.socket_send_buffer = usize::MAX),
        ];
        for (field, spoil) in cases {
            let mut config = Config::lan("x");
            spoil(&mut config);
            let error = config.validate().unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.reason.contains("expected"), "{error}");
        }
    }
}
