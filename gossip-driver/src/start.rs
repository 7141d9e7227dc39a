//! From a configuration to a running node.

#[cfg(feature = "websocket")]
mod web;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use async_channel::Sender;
use gossip_core::{Epoch, Identity, Node, NodeId, Seed};
use tracing::{debug, info};

use crate::address::{Host, routable};
use crate::callback::Callbacks;
#[cfg(feature = "websocket")]
use crate::cluster;
use crate::cluster::Handle;
use crate::keys::change::{self, KeyChanges};
use crate::pump::{self, Clock, Parts, Pump};
use crate::resolve::Lookup;
use crate::round::Pace;
use crate::seeds::{self, SeedWires};
use crate::shared::Shared;
use crate::sockets::Entrance;
use crate::transport::{self, Gate, Layers, Transport};
use crate::web_address::{WEB_KEY, WebAddress};
use crate::{Config, DEFAULT_PORT, Endpoint, Listener, NodeAddress, Runtime, SocketBuffers, StartError};

/// How many ports are tried until one is free for both UDP and TCP.
const PORT_ATTEMPTS: usize = 64;
/// Words to the keeper of the seeds that may wait.
const SEED_WORDS: usize = 64;

/// The sockets of a node, on the same port.
struct Sockets<R: Runtime> {
    datagrams: Option<R::Datagrams>,
    listener: R::Listener,
    bound: SocketAddr,
}

/// Starts a node.
pub(crate) async fn start<R: Runtime>(
    #[cfg_attr(not(feature = "websocket"), expect(unused_mut, reason = "only web addresses are filled in"))] mut config: Config,
) -> Result<Handle<R>, StartError> {
    config.validate()?;
    let runtime = R::current().map_err(StartError::NoRuntime)?;
    let bind = Endpoint::parse_bind(&config.bind, config.prefer_ipv6).map_err(StartError::BindAddress)?;
    let advertise = config.advertise.as_deref().map(Endpoint::parse_advertise).transpose();
    let advertise = advertise.map_err(StartError::AdvertiseAddress)?;
    let seeds: Result<Vec<Endpoint>, _> = config.seeds.iter().map(|text| text.parse()).collect();
    let seeds = seeds.map_err(StartError::SeedAddress)?;
    let lookup = Lookup::new(runtime.clone(), &config);

    let id = match config.id {
        Some(id) => id,
        None => NodeId::v7(unix_ms(), u128::from_ne_bytes(random()?)),
    };
    let places = Places::taken(&lookup, &config, (&bind, advertise), id).await?;
    let Places { datagrams, listener, bound, address, .. } = places;
    // What opens connections in place of TCP may reach anything.
    let reach = bound.filter(|_| config.dialer.is_none());

    let clock = Clock::new(runtime.now());
    #[cfg(feature = "websocket")]
    if address.socket_address().is_some()
        && let Some(url) = web::shown_besides(places.web.as_ref(), &config)?
    {
        config.metadata.push((WEB_KEY.to_owned(), url.as_str().into()));
    }
    let node = new_node(&config, (id, address.clone()), clock.read(runtime.now()))?;
    let (shared, running) = Shared::new(&node, &config);
    let (commands, orders) = async_channel::bounded(config.command_queue);
    let (tasks, tasks_ended) = async_channel::bounded(1);
    let (seed_words, words) = async_channel::bounded(SEED_WORDS);
    let (seed_addresses, resolved_seeds) = async_channel::bounded(1);
    let seed_wires = SeedWires {
        lookup: lookup.clone(),
        counters: Arc::clone(&shared.counters),
        words,
        addresses: seed_addresses,
        bound: reach,
        advertised: address.clone(),
    };
    let mut entrances: Vec<(Gate, Entrance<R>)> = Vec::new();
    entrances.extend(entrance(&runtime, &config, listener, &shared, &tasks).map(|entrance| (Gate::Tcp, entrance)));
    #[cfg(feature = "websocket")]
    let (mounted, upgraded) = async_channel::bounded(1);
    #[cfg(feature = "websocket")]
    entrances.push((Gate::Mounted, Entrance::Custom(Box::pin(upgraded))));
    #[cfg(feature = "websocket")]
    let web = places.web.map(|web::Listening { listener, url, .. }| {
        entrances.push((Gate::Web, Entrance::Listener(listener)));
        url
    });
    let layers = Layers::new(
        &config,
        #[cfg(feature = "websocket")]
        web.clone(),
    );
    let parts = Parts {
        runtime: runtime.clone(),
        clock,
        node,
        shared: Arc::clone(&shared),
        datagrams,
        entrances,
        transport: Transport::new(lookup.clone(), layers, elsewhere(&shared, &config), &config),
        bound,
        commands: orders,
        seed_words: seed_words.clone(),
        seed_addresses: resolved_seeds,
        tasks: tasks.clone(),
    };
    let pump = Pump::new(parts, &config);
    runtime.spawn(seeds::keep(seeds, seed_wires, tasks.clone()));
    runtime.spawn(pump::run(pump, running, tasks));
    info!(node = %id, cluster = config.protocol.cluster, ?bound, %address, "the node runs");
    change::warn_of_plaintext(config.protocol.plaintext);
    #[cfg(feature = "websocket")]
    web::warn_of_token(&config, bound);
    #[cfg(feature = "tls")]
    config.tls.iter().for_each(crate::TlsConfig::warn_if_unverified);
    let keeper = config.key_keeper.clone();
    let keys = KeyChanges::new(runtime.clone(), Arc::clone(&shared), commands.downgrade(), keeper);
    Ok(Handle {
        runtime,
        keys: Arc::new(keys),
        shared,
        commands,
        seed_words,
        lookup,
        clock,
        callbacks: Arc::new(Callbacks::new()),
        pace: Pace::new(config.on_gossip_interval, config.on_gossip_max_interval),
        tasks: tasks_ended,
        id,
        address,
        max_datagram: config.protocol.max_datagram,
        bind_address: bound,
        reach,
        #[cfg(feature = "websocket")]
        web: cluster::Web { url: web, token: config.token.clone(), mounted },
    })
}

/// Finds the URLs that members with sockets show besides their addresses.
fn elsewhere(shared: &Arc<Shared>, config: &Config) -> transport::Elsewhere {
    let shared = Arc::clone(shared);
    #[cfg(feature = "tls")]
    let needs_tls = config.tcp_tls;
    #[cfg(not(feature = "tls"))]
    let (needs_tls, _) = (false, config);
    Arc::new(move |to| {
        to.socket_address()?;
        let snapshot = shared.snapshot.load();
        let url = snapshot.live().find(|member| member.address == *to)?.metadata.str(WEB_KEY)?;
        let url: WebAddress = url.parse().ok()?;
        // Who is on the way and cuts a connection over TLS is not to get one without it.
        (url.is_secure() || !needs_tls).then_some(NodeAddress::Web(url))
    })
}

/// Where a node listens, and is known.
struct Places<R: Runtime> {
    datagrams: Option<R::Datagrams>,
    listener: Option<R::Listener>,
    bound: Option<SocketAddr>,
    address: NodeAddress,
    #[cfg(feature = "websocket")]
    web: Option<web::Listening<R>>,
}

impl<R: Runtime> Places<R> {
    async fn taken(
        lookup: &Lookup<R>,
        config: &Config,
        (bind, advertise): (&Endpoint, Option<Endpoint>),
        id: NodeId,
    ) -> Result<Self, StartError> {
        #[cfg(feature = "websocket")]
        let web = web::listen(lookup, config).await?;
        #[cfg(feature = "websocket")]
        let web_only = config.web_only;
        #[cfg(not(feature = "websocket"))]
        let web_only = false;
        let is_url = advertise.as_ref().is_some_and(|endpoint| endpoint.as_web_address().is_some());
        let without_sockets = config.acceptor.is_some() || config.dial_only || web_only || is_url;
        let (datagrams, listener, bound) = if without_sockets {
            (None, None, None)
        } else {
            let wanted = resolved(lookup, bind, "bind").await?;
            let Sockets { datagrams, listener, bound } = Sockets::bind(&lookup.runtime, wanted, config)?;
            (datagrams, Some(listener), Some(bound))
        };
        let address = match (advertise, bound) {
            (Some(endpoint), _) if is_url => endpoint.as_node_address().ok_or(StartError::NoWebListener)?,
            #[cfg(feature = "websocket")]
            (None, _) if web_only => NodeAddress::Web(web::advertised(web.as_ref())?),
            (Some(endpoint), _) => endpoint.node_address(advertised(lookup, &endpoint, bound).await?),
            (None, Some(bound)) => NodeAddress::Socket(advertised_by_default(bound)?),
            (None, None) if config.dial_only => NodeAddress::DialOnly(id),
            (None, None) => return Err(StartError::NotAdvertised),
        };
        let address = match address {
            NodeAddress::Socket(address) if !config.has_datagrams() => NodeAddress::Stream(address),
            address => address,
        };
        Ok(Self {
            datagrams,
            listener,
            bound,
            address,
            #[cfg(feature = "websocket")]
            web,
        })
    }
}

/// The first address of an endpoint.
async fn resolved<R: Runtime>(
    lookup: &Lookup<R>,
    endpoint: &Endpoint,
    setting: &'static str,
) -> Result<SocketAddr, StartError> {
    let found = lookup.resolve(endpoint).await.map_err(|error| StartError::Unresolvable { setting, error })?;
    Ok(found.addresses[0])
}

impl<R: Runtime> Sockets<R> {
    fn bind(runtime: &R, wanted: SocketAddr, config: &Config) -> Result<Self, StartError> {
        let buffers = SocketBuffers { receive: config.socket_receive_buffer, send: config.socket_send_buffer };
        let any_port = wanted.port() == 0;
        let attempts = if any_port { PORT_ATTEMPTS } else { 1 };
        for _ in 0..attempts {
            let listener = runtime.bind_listener(wanted).map_err(|error| bind_error(wanted, "TCP", error))?;
            let bound = listener.local_address().map_err(|error| bind_error(wanted, "TCP", error))?;
            if !config.has_datagrams() {
                return Ok(Self { datagrams: None, listener, bound });
            }
            match runtime.bind_datagrams(bound, buffers) {
                Ok(datagrams) => return Ok(Self { datagrams: Some(datagrams), listener, bound }),
                Err(error) if any_port && error.kind() == ErrorKind::AddrInUse => {
                    debug!(%bound, "the port is free for TCP but not for UDP; trying another one");
                }
                Err(error) => return Err(bind_error(bound, "UDP", error)),
            }
        }
        Err(StartError::NoCommonPort { address: wanted, attempts })
    }
}

/// Where connections come in: the listener, or what the application gave in its place.
fn entrance<R: Runtime>(
    runtime: &R,
    config: &Config,
    listener: Option<R::Listener>,
    shared: &Shared,
    tasks: &Sender<Infallible>,
) -> Option<Entrance<R>> {
    let Some(acceptor) = config.acceptor.clone() else { return listener.map(Entrance::Listener) };
    let (accepted, streams) = async_channel::bounded(1);
    let counters = Arc::clone(&shared.counters);
    runtime.spawn(transport::accept_all(runtime.clone(), acceptor, accepted, counters, tasks.clone()));
    Some(Entrance::Custom(Box::pin(streams)))
}

fn bind_error(address: SocketAddr, protocol: &'static str, error: std::io::Error) -> StartError {
    match error.kind() {
        ErrorKind::AddrInUse => StartError::AddressInUse { address, protocol },
        _ => StartError::Bind { address, protocol, error },
    }
}

async fn advertised<R: Runtime>(
    lookup: &Lookup<R>,
    endpoint: &Endpoint,
    bound: Option<SocketAddr>,
) -> Result<SocketAddr, StartError> {
    let ip = match endpoint.host() {
        Host::Ip(ip) => *ip,
        Host::Name(_) | Host::Service(_) => resolved(lookup, endpoint, "advertise").await?.ip(),
    };
    if ip.is_unspecified() {
        return Err(StartError::AdvertiseUnspecified { given: endpoint.as_str().to_owned() });
    }
    let port = endpoint.explicit_port().filter(|&port| port != 0);
    let port = port.or(bound.map(|bound| bound.port())).unwrap_or(DEFAULT_PORT);
    Ok(SocketAddr::new(ip, port))
}

fn advertised_by_default(bound: SocketAddr) -> Result<SocketAddr, StartError> {
    if !bound.ip().is_unspecified() {
        return Ok(bound);
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let candidates: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).collect();
    let ip = routable(candidates.iter().copied(), bound.is_ipv6());
    let ip = ip.or_else(|| if bound.is_ipv6() { routable(candidates.iter().copied(), false) } else { None });
    let ip = ip.ok_or(StartError::NotRoutable { bound })?;
    info!(%bound, advertised = %ip, ?candidates, "advertising an interface's address; set advertise to choose another");
    Ok(SocketAddr::new(ip, bound.port()))
}

fn new_node(
    config: &Config,
    (id, address): (NodeId, NodeAddress),
    now: gossip_core::Instant,
) -> Result<Node<NodeAddress>, StartError> {
    let epoch: [u8; 4] = random()?;
    let seed: Seed = random()?;
    let epoch = Epoch::new(unix_ms(), u32::from_ne_bytes(epoch));
    let identity = Identity::new(id, address, epoch).with_tags(config.tags.iter().cloned());
    let mut node = Node::new(identity, config.protocol.clone(), seed, now)?;
    for (key, value) in &config.metadata {
        node.set_metadata(now, key, value.clone()).map_err(|error| StartError::Metadata { key: key.clone(), error })?;
    }
    Ok(node)
}

/// The wall clock.
fn unix_ms() -> u64 {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}

fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StartError::Randomness(error.to_string()))?;
    Ok(bytes)
}
