//! Names by DNS, as the operating system is configured for it.

mod provider;

use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData};
use hickory_resolver::system_conf::read_system_conf;
use tracing::{info, warn};

use self::provider::Provider;
use crate::resolve::SystemNames;
use crate::service::Service;
use crate::{Resolved, Resolver, Resolving, Runtime};

/// How many times a server is asked again that did not answer.
const ATTEMPTS: usize = 1;

/// Asks DNS servers.
pub(crate) struct Dns<R> {
    runtime: R,
    /// Whom to ask; those of the system if there are none.
    servers: Vec<SocketAddr>,
    /// Longest wait for one answer of one server.
    patience: Duration,
    system: SystemNames<R>,
    /// The log has it that the system's configuration cannot be read.
    is_trouble_known: AtomicBool,
}

type Asking<R> = hickory_resolver::Resolver<Provider<R>>;

/// What is to be found.
#[derive(Clone, Copy)]
enum Wanted {
    Addresses,
    Services,
}

impl<R: Runtime> Dns<R> {
    /// With `timeout` for a whole resolution.
    pub(crate) fn new(runtime: R, servers: Vec<SocketAddr>, timeout: Duration) -> Self {
        let system = SystemNames { runtime: runtime.clone() };
        // All attempts and a little more fit into the whole.
        Self { runtime, servers, patience: timeout * 2 / 5, system, is_trouble_known: AtomicBool::new(false) }
    }

    /// One who asks, and whom. It is made for each question: the system's configuration may have changed, and nothing
    /// stays open between two questions, which are rare.
    fn asking(&self) -> Result<(Asking<R>, String), NetError> {
        let (config, mut options) = if self.servers.is_empty() {
            read_system_conf()?
        } else {
            let servers = self.servers.iter().map(|&server| name_server(server)).collect();
            (ResolverConfig::from_parts(None, Vec::new(), servers), ResolverOpts::default())
        };
        options.attempts = options.attempts.min(ATTEMPTS);
        options.timeout = options.timeout.min(self.patience);
        options.cache_size = 0;
        let asked = asked(config.name_servers());
        let mut builder = Asking::builder_with_config(config, Provider::new(self.runtime.clone()));
        *builder.options_mut() = options;
        Ok((builder.build()?, asked))
    }

    /// Tells of a configuration that cannot be read once, and once that it can be read again.
    fn note(&self, asking: Result<(Asking<R>, String), NetError>) -> io::Result<(Asking<R>, String)> {
        let is_new = self.is_trouble_known.swap(asking.is_err(), Ordering::Relaxed) != asking.is_err();
        match asking {
            Ok(asking) => {
                if is_new {
                    info!("the DNS configuration of the system can be read again");
                }
                Ok(asking)
            }
            Err(error) => {
                if is_new {
                    warn!(%error, "cannot read the DNS configuration of the system; the system itself resolves names");
                }
                let reason = format!(
                    "the DNS configuration of the system cannot be read: {error}; correct it (/etc/resolv.conf), or \
                     set dns_servers"
                );
                Err(io::Error::other(reason))
            }
        }
    }

    async fn addresses(&self, host: &str, port: u16) -> io::Result<Resolved<SocketAddr>> {
        let name = name_of(host)?;
        let Ok((asking, asked)) = self.note(self.asking()) else { return self.system.resolve(host, port).await };
        let found = told(name, move |name| {
            let asking = asking.clone();
            async move { asking.lookup_ip(name).await }
        });
        match in_runtime(&self.runtime, found).await? {
            Ok(ips) => {
                let found = ips.iter().map(|ip| SocketAddr::new(ip, port)).collect();
                Ok(Resolved { found, ttl: Some(time_to_live(ips.as_lookup())) })
            }
            Err(error) => {
                // The system may know more than the hosts file and DNS: names of the neighbourhood, or of a directory.
                if self.servers.is_empty()
                    && error.is_no_records_found()
                    && let Ok(answer) = self.system.resolve(host, port).await
                {
                    return Ok(answer);
                }
                Err(explained(&error, Wanted::Addresses, &asked))
            }
        }
    }

    async fn records(&self, name: &str) -> io::Result<Resolved<Service>> {
        let name = name_of(name)?;
        let (asking, asked) = self.note(self.asking())?;
        let found = told(name, move |name| {
            let asking = asking.clone();
            async move { asking.srv_lookup(name).await }
        });
        let records =
            in_runtime(&self.runtime, found).await?.map_err(|error| explained(&error, Wanted::Services, &asked))?;
        let services = records.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_utf8(),
            }),
            _ => None,
        });
        Ok(Resolved { found: services.collect(), ttl: Some(time_to_live(&records)) })
    }
}

impl<R: Runtime> Resolver for Dns<R> {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a, SocketAddr> {
        Box::pin(self.addresses(host, port))
    }

    fn services<'a>(&'a self, name: &'a str) -> Resolving<'a, Service> {
        Box::pin(self.records(name))
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    server.connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(ConnectionConfig::new).into();
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

/// The servers that are asked, for people.
fn asked(servers: &[NameServerConfig]) -> String {
    let mut text = String::new();
    for server in servers {
        let separator = if text.is_empty() { "" } else { ", " };
        let port = server.connections.first().map_or(53, |connection| connection.port);
        write!(text, "{separator}{}", SocketAddr::new(server.ip, port)).expect("a string takes all");
    }
    text
}

fn name_of(text: &str) -> io::Result<Name> {
    Name::from_str_relaxed(text).map_err(|error| {
        let reason = format!("no host can have this name: {error}; correct it");
        io::Error::new(ErrorKind::InvalidInput, reason)
    })
}

/// What is said of a name, completed by the search list of the system. Of several names that do not lead anywhere it is
/// the one that was written.
async fn told<T, W: Future<Output = Result<T, NetError>>>(name: Name, ask: impl Fn(Name) -> W) -> Result<T, NetError> {
    let mut written = name.clone();
    written.set_fqdn(true);
    match ask(name).await {
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) if *none.query.name() != written => ask(written).await,
        outcome => outcome,
    }
}

/// Runs `work` in a task of the runtime, where its timers and sockets are at home, until nobody waits for it any more.
async fn in_runtime<R, T>(runtime: &R, work: impl Future<Output = T> + Send + 'static) -> io::Result<T>
where
    R: Runtime,
    T: Send + 'static,
{
    let (mut tell, told) = oneshot::channel();
    runtime.spawn(async move {
        let work = pin!(work);
        let outcome = match select(work, tell.cancellation()).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => return,
        };
        // Whoever waited may just have gone.
        let _ = tell.send(outcome);
    });
    told.await.map_err(|_| io::Error::other("the look-up ended without an answer; the log of this program says more"))
}

fn time_to_live(lookup: &Lookup) -> Duration {
    lookup.valid_until().saturating_duration_since(Instant::now())
}

/// What went wrong, where, and what to do about it.
fn explained(error: &NetError, wanted: Wanted, asked: &str) -> io::Error {
    let what = match wanted {
        Wanted::Addresses => "an address",
        Wanted::Services => "an SRV record",
    };
    let (kind, reason) = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NXDomain => {
            (ErrorKind::NotFound, format!("no such name, says {asked}; check how it is written, or add it there"))
        }
        NetError::Dns(DnsError::NoRecordsFound(_)) => {
            (ErrorKind::NotFound, format!("the name does not have {what}, says {asked}; add one there"))
        }
        NetError::Dns(DnsError::ResponseCode(code)) => {
            (ErrorKind::Other, format!("{asked} cannot say: {code}; look into its log"))
        }
        NetError::Timeout | NetError::NoConnections => {
            (ErrorKind::TimedOut, format!("no answer from {asked}; check that it is a DNS server that can be reached"))
        }
        NetError::Io(error) => (error.kind(), format!("cannot ask {asked}: {error}; check that it can be reached")),
        error => (ErrorKind::InvalidData, format!("the answer of {asked} is of no use: {error}; is it a DNS server?")),
    };
    io::Error::new(kind, reason)
}
