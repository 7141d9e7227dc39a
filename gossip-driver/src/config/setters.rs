//! Settings, chained one to the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gossip_core::{KeyRing, NodeId, Plaintext, Value};

#[cfg(feature = "tls")]
use crate::TlsConfig;
#[cfg(feature = "websocket")]
use crate::Token;
use crate::codec::Codec;
use crate::keys::KeyKeeper;
use crate::{Acceptor, Config, Dialer, Resolver};

impl Config {
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
