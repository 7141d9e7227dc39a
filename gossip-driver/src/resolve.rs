//! Names to addresses.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use crate::address::Host;
use crate::callback::text_of;
use crate::runtime::{Runtime, within};
use crate::{Endpoint, NodeAddress, ResolveError};

/// A resolution under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Turns the name of a host into addresses. Replace the system's with
/// [`Config::resolver`](crate::Config::resolver), for a service registry or a test.
///
/// It is asked again whenever a seed that came from a name cannot be reached, so it should not cache for long.
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of `host`, each with `port` unless the resolver knows better.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// The resolver in use: the configured one, or the runtime's.
#[derive(Clone)]
pub(crate) struct Lookup<R> {
    pub(crate) runtime: R,
    pub(crate) resolver: Option<Arc<dyn Resolver>>,
    pub(crate) prefer_ipv6: bool,
    pub(crate) timeout: Duration,
}

impl<R> fmt::Debug for Lookup<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("custom", &self.resolver.is_some()).finish_non_exhaustive()
    }
}

impl<R: Runtime> Lookup<R> {
    /// Where the nodes at an endpoint may be, the preferred family first, without repetition; never empty.
    pub(crate) async fn resolve_nodes(&self, endpoint: &Endpoint) -> Result<Vec<NodeAddress>, ResolveError> {
        if let Some(address) = endpoint.as_web_address() {
            return Ok(vec![NodeAddress::Web(address.clone())]);
        }
        let addresses = self.resolve(endpoint).await?;
        Ok(addresses.into_iter().map(|address| endpoint.node_address(address)).collect())
    }

    /// The addresses of an endpoint, the preferred family first, without repetition; never empty.
    pub(crate) async fn resolve(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, ResolveError> {
        let name = match endpoint.host() {
            Host::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, endpoint.port())]),
            Host::Name(name) => name,
        };
        let failed = |reason: String| ResolveError { name: name.clone(), reason };
        let work = async {
            match &self.resolver {
                Some(resolver) => resolver.resolve(name, endpoint.port()).await,
                None => self.runtime.lookup(name, endpoint.port()).await,
            }
        };
        // The resolver may be the application's.
        let work = AssertUnwindSafe(work).catch_unwind();
        let found = match within(&self.runtime, self.timeout, work).await {
            Some(Ok(Ok(found))) => found,
            Some(Ok(Err(error))) => return Err(failed(error.to_string())),
            Some(Err(panic)) => return Err(failed(format!("the resolver panicked: {}", text_of(&*panic)))),
            None => return Err(failed(format!("no answer within {:?}", self.timeout))),
        };
        let addresses = in_order(found, self.prefer_ipv6);
        if addresses.is_empty() { Err(failed("it has no address".to_owned())) } else { Ok(addresses) }
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
