//! Names to addresses.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tracing::{debug, warn};

use crate::address::Host;
use crate::callback::text_of;
use crate::runtime::{Runtime, within};
use crate::service::{self, Service};
use crate::{Config, Endpoint, NodeAddress, ResolveError, WebAddress};

/// Most addresses of one name that are used.
const MOST: usize = 256;

/// A resolution under way.
pub type Resolving<'a, T> = Pin<Box<dyn Future<Output = io::Result<Resolved<T>>> + Send + 'a>>;

/// What a resolver found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<T> {
    /// All of it.
    pub found: Vec<T>,
    /// How long it holds. `None` is for as long as it leads somewhere.
    pub ttl: Option<Duration>,
}

impl<T> From<Vec<T>> for Resolved<T> {
    fn from(found: Vec<T>) -> Self {
        Self { found, ttl: None }
    }
}

/// Turns names into addresses. Replace the default with [`Config::resolver`](crate::Config::resolver), for a service
/// registry or a test.
///
/// The default asks the DNS servers of the operating system's configuration, which is read anew each time, after the
/// hosts file; and the operating system itself for names that neither knows. Without the feature `dns` the operating
/// system is asked at once, which tells neither how long an address holds nor what a service is.
///
/// A resolver is asked again whenever a seed that came from a name cannot be reached, and when the time to live of its
/// answer is over, so it need not cache. A panic is an error of the name that it was asked for.
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of `host`, each with `port` unless the resolver knows better.
    ///
    /// The error should say what is wrong and what to do about it; the name is told beside it.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a, SocketAddr>;

    /// The SRV records of a name, in any order. A resolver that has none need not write this: then it is an error.
    fn services<'a>(&'a self, _name: &'a str) -> Resolving<'a, Service> {
        Box::pin(async { Err(io::Error::new(io::ErrorKind::Unsupported, NO_SERVICES)) })
    }
}

const NO_SERVICES: &str = "this resolver knows no SRV records; write host:port instead of srv+name";

/// What the default resolver of a node is.
fn resolver_of<R: Runtime>(runtime: &R, config: &Config) -> Arc<dyn Resolver> {
    if let Some(resolver) = &config.resolver {
        return Arc::clone(resolver);
    }
    #[cfg(feature = "dns")]
    let resolver = crate::dns::Dns::new(runtime.clone(), config.dns_servers.clone(), config.protocol.join_timeout);
    #[cfg(not(feature = "dns"))]
    let resolver = SystemNames { runtime: runtime.clone() };
    Arc::new(resolver)
}

/// The operating system's own look-up.
pub(crate) struct SystemNames<R> {
    pub(crate) runtime: R,
}

impl<R: Runtime> Resolver for SystemNames<R> {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a, SocketAddr> {
        Box::pin(async move { self.runtime.lookup(host, port).await.map(Resolved::from) })
    }

    fn services<'a>(&'a self, _name: &'a str) -> Resolving<'a, Service> {
        const REASON: &str = "SRV records need the feature `dns` of this library, which this program was built \
                              without; write host:port, or build it with the feature";
        Box::pin(async { Err(io::Error::new(io::ErrorKind::Unsupported, REASON)) })
    }
}

/// The resolver in use, and what becomes of its answers.
#[derive(Clone)]
pub(crate) struct Lookup<R> {
    pub(crate) runtime: R,
    resolver: Arc<dyn Resolver>,
    prefer_ipv6: bool,
    timeout: Duration,
    /// For how long an answer holds at least and at most, whatever its time to live.
    bounds: RangeInclusive<Duration>,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found<A = SocketAddr> {
    /// The best first, without repetition; never empty.
    pub(crate) addresses: Vec<A>,
    /// When to ask again, from now. `None`: when none of them leads anywhere.
    pub(crate) holds: Option<Duration>,
    /// There may be more: a part of it was not found.
    pub(crate) is_partial: bool,
}

impl<R> fmt::Debug for Lookup<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl<R: Runtime> Lookup<R> {
    pub(crate) fn new(runtime: R, config: &Config) -> Self {
        Self {
            resolver: resolver_of(&runtime, config),
            runtime,
            prefer_ipv6: config.prefer_ipv6,
            timeout: config.protocol.join_timeout,
            bounds: config.min_name_ttl..=config.max_name_ttl,
        }
    }

    /// Where the nodes at an endpoint may be.
    pub(crate) async fn resolve_nodes(&self, endpoint: &Endpoint) -> Result<Found<NodeAddress>, ResolveError> {
        if let Some(address) = endpoint.as_web_address() {
            let addresses = vec![NodeAddress::Web(address.clone())];
            return Ok(Found { addresses, holds: None, is_partial: false });
        }
        if let (Some((url, domain)), Host::Service(name)) = (endpoint.offered(), endpoint.host()) {
            return self.bounded(name, Box::pin(self.service_urls(name, url, domain))).await;
        }
        let Found { addresses, holds, is_partial } = self.resolve(endpoint).await?;
        let addresses = addresses.into_iter().map(|address| endpoint.node_address(address)).collect();
        Ok(Found { addresses, holds, is_partial })
    }

    /// The addresses of an endpoint.
    pub(crate) async fn resolve(&self, endpoint: &Endpoint) -> Result<Found, ResolveError> {
        let name = match endpoint.host() {
            Host::Ip(ip) => {
                let addresses = vec![SocketAddr::new(*ip, endpoint.port())];
                return Ok(Found { addresses, holds: None, is_partial: false });
            }
            Host::Name(name) | Host::Service(name) => name,
        };
        // Apart, because whatever waits for a name would otherwise be as large as this.
        let work = Box::pin(async {
            match endpoint.host() {
                Host::Service(_) => self.service(name).await,
                _ => self.addresses(name, endpoint.port()).await,
            }
        });
        self.bounded(name, work).await
    }

    /// Bounds what a resolver does, in time and in what it finds.
    async fn bounded<A>(
        &self,
        name: &str,
        work: impl Future<Output = io::Result<Found<A>>>,
    ) -> Result<Found<A>, ResolveError> {
        let failed = |reason: String| ResolveError { name: name.to_owned(), reason };
        // The resolver may be the application's.
        let work = AssertUnwindSafe(work).catch_unwind();
        let mut found = match within(&self.runtime, self.timeout, work).await {
            Some(Ok(Ok(found))) => found,
            Some(Ok(Err(error))) => return Err(failed(error.to_string())),
            Some(Err(panic)) => return Err(failed(format!("the resolver panicked: {}", text_of(&*panic)))),
            None => {
                let reason =
                    format!("no answer within {:?}; check the DNS servers, or write an IP address", self.timeout);
                return Err(failed(reason));
            }
        };
        if found.addresses.len() > MOST {
            debug!(%name, addresses = found.addresses.len(), "left out addresses of a name beyond the first {MOST}");
            found.addresses.truncate(MOST);
        }
        found.holds = found.holds.map(|ttl| ttl.clamp(*self.bounds.start(), *self.bounds.end()));
        Ok(found)
    }

    /// The addresses of a host, with the time to live as it is.
    async fn addresses(&self, host: &str, port: u16) -> io::Result<Found> {
        let Resolved { found, ttl } = self.resolver.resolve(host, port).await?;
        let addresses = in_order(found, self.prefer_ipv6);
        if addresses.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "it has no address; give it one, or write another name",
            ));
        }
        Ok(Found { addresses, holds: ttl, is_partial: false })
    }

    /// The URLs of those that offer a service by WebSocket. Their hosts are looked up when they are connected to.
    async fn service_urls(&self, name: &str, url: &WebAddress, domain: &str) -> io::Result<Found<NodeAddress>> {
        let Resolved { found, ttl } = self.resolver.services(name).await?;
        let mut all = Found { addresses: Vec::new(), holds: ttl, is_partial: false };
        let mut first_error = None;
        for Service { target, port, .. } in service::usable(name, found)? {
            match url.offered(domain, &target, port) {
                Ok(url) => {
                    let address = NodeAddress::Web(url);
                    if !all.addresses.contains(&address) {
                        all.addresses.push(address);
                    }
                }
                Err(error) => {
                    warn!(service = %name, %target, %error, "left out an SRV record whose target is no host in a URL");
                    first_error.get_or_insert_with(|| format!("its SRV record leads to {target}: {error}"));
                }
            }
        }
        match first_error {
            Some(error) if all.addresses.is_empty() => Err(io::Error::other(error)),
            _ => Ok(all),
        }
    }

    /// The addresses of those that offer a service, with the shortest time to live of all that was asked.
    async fn service(&self, name: &str) -> io::Result<Found> {
        let Resolved { found, ttl } = self.resolver.services(name).await?;
        let services = service::usable(name, found)?;
        let targets = join_all(services.iter().map(|service| self.addresses(&service.target, service.port))).await;
        let mut all = Found { addresses: Vec::new(), holds: ttl, is_partial: false };
        let mut first_error = None;
        for (Service { target, .. }, found) in services.iter().zip(targets) {
            match found {
                Ok(found) => {
                    all.holds = all.holds.into_iter().chain(found.holds).min();
                    let new = found.addresses.into_iter().filter(|address| !all.addresses.contains(address));
                    let new: Vec<SocketAddr> = new.collect();
                    all.addresses.extend(new);
                }
                Err(error) => {
                    all.is_partial = true;
                    warn!(service = %name, %target, %error, "cannot resolve one of those that offer a service");
                    first_error.get_or_insert_with(|| format!("its SRV record leads to {target}: {error}"));
                }
            }
        }
        match first_error {
            Some(error) if all.addresses.is_empty() => Err(io::Error::other(error)),
            _ => Ok(all),
        }
    }
}

/// Drops repetitions and puts the preferred family first, else keeps the resolver's order.
fn in_order(found: Vec<SocketAddr>, prefer_ipv6: bool) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::with_capacity(found.len());
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.sort_by_key(|address| address.is_ipv6() != prefer_ipv6);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[test]
    fn the_operating_system_alone_says_what_is_missing_for_a_service() {
        let system = SystemNames { runtime: Memory::new() };
        let error = system.services("_gossip._tcp.example").now_or_never().unwrap().unwrap_err();
        assert!(error.to_string().contains("the feature `dns`"), "{error}");
    }

    #[test]
    fn the_preferred_family_comes_first_and_nothing_twice() {
        let text = ["10.0.0.1:1", "[fd00::1]:1", "10.0.0.2:1", "10.0.0.1:1"];
        let found: Vec<SocketAddr> = text.iter().map(|text| text.parse().unwrap()).collect();
        let four = in_order(found.clone(), false);
        assert_eq!(four, [found[0], found[2], found[1]]);
        let six = in_order(found.clone(), true);
        assert_eq!(six, [found[1], found[0], found[2]]);
    }
}
