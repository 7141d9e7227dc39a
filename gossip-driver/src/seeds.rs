//! Keeps the addresses of the seeds: resolves their names, and again when a seed cannot be reached.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use futures_channel::oneshot;
use futures_util::stream::{FuturesUnordered, Stream};
use tracing::{debug, info, warn};

use crate::address::reachable_from;
use crate::resolve::Lookup;
use crate::runtime::{Runtime, Timer};
use crate::stats::{Counter, Counters};
use crate::{Endpoint, NodeAddress, ResolveError};

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_mins(1);

/// Word to the keeper of the seeds. Words are few; where there is no room for one, it is not needed.
#[derive(Debug)]
pub(crate) enum SeedWord {
    /// These are the seeds from now on.
    Replace { seeds: Vec<Endpoint>, done: oneshot::Sender<()> },
    /// A node answered at this address.
    Accepted(NodeAddress),
    /// Nobody let this node in at this address.
    Failed(NodeAddress),
}

/// What the keeper needs to know of its node.
#[derive(Debug)]
pub(crate) struct SeedWires<R> {
    pub(crate) lookup: Lookup<R>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) words: Receiver<SeedWord>,
    /// Where the addresses go: the newest list replaces one that was not read. Closed when the node stops.
    pub(crate) addresses: Sender<Vec<NodeAddress>>,
    /// Where the node is bound, if it can reach addresses of that family alone.
    pub(crate) bound: Option<SocketAddr>,
    pub(crate) advertised: NodeAddress,
}

/// One seed as configured, and what is known of it.
#[derive(Debug)]
struct Seed {
    endpoint: Endpoint,
    addresses: Vec<NodeAddress>,
    next: Next,
    delay: Duration,
    /// The log has it that the name cannot be resolved, and not yet that it can.
    is_trouble_known: bool,
}

/// When the name of a seed is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// When it cannot be reached any more.
    OnFailure,
    At(Instant),
    UnderWay,
}

/// Runs until the node stops; `_task` is held for as long.
pub(crate) async fn keep<R: Runtime>(seeds: Vec<Endpoint>, wires: SeedWires<R>, _task: Sender<Infallible>) {
    let now = wires.lookup.runtime.now();
    let mut keeper =
        Keeper { resolving: FuturesUnordered::new(), timer: None, seeds: Vec::new(), generation: 0, wires };
    keeper.replace(now, seeds);
    while let Some(happening) = keeper.next().await {
        keeper.act(happening);
    }
}

type Resolution = Pin<Box<dyn Future<Output = Happening> + Send>>;

struct Keeper<R: Runtime> {
    wires: SeedWires<R>,
    seeds: Vec<Seed>,
    /// Grows when the seeds are replaced, so that answers about earlier ones are told apart.
    generation: u64,
    resolving: FuturesUnordered<Resolution>,
    timer: Option<R::Timer>,
}

enum Happening {
    Word(SeedWord),
    Due,
    Resolved { generation: u64, at: usize, result: Result<Vec<NodeAddress>, ResolveError> },
}

impl<R: Runtime> Keeper<R> {
    /// Waits for something to do; `None` when the node has stopped.
    async fn next(&mut self) -> Option<Happening> {
        let runtime = self.wires.lookup.runtime.clone();
        let due = self.seeds.iter().filter_map(|seed| if let Next::At(at) = seed.next { Some(at) } else { None }).min();
        if let Some(due) = due {
            self.timer.get_or_insert_with(|| runtime.timer(due)).reset(due);
        }
        let mut gone = std::pin::pin!(self.wires.addresses.closed());
        let mut words = std::pin::pin!(self.wires.words.recv());
        poll_fn(|cx| {
            if gone.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(word) = words.as_mut().poll(cx) {
                return Poll::Ready(word.ok().map(Happening::Word));
            }
            if let Poll::Ready(Some(resolved)) = Pin::new(&mut self.resolving).poll_next(cx) {
                return Poll::Ready(Some(resolved));
            }
            match &mut self.timer {
                Some(timer) if due.is_some() => timer.poll_fired(cx).map(|()| Some(Happening::Due)),
                _ => Poll::Pending,
            }
        })
        .await
    }

    fn act(&mut self, happening: Happening) {
        let now = self.wires.lookup.runtime.now();
        match happening {
            Happening::Word(SeedWord::Replace { seeds, done }) => {
                self.replace(now, seeds);
                // Nobody may be waiting any more.
                let _ = done.send(());
            }
            Happening::Word(SeedWord::Accepted(address)) => self.accepted(&address),
            Happening::Word(SeedWord::Failed(address)) => self.failed(now, &address),
            Happening::Due => self.resolve_due(now),
            Happening::Resolved { generation, at, result } if generation == self.generation => {
                self.resolved(now, at, result);
            }
            Happening::Resolved { .. } => {}
        }
    }

    fn replace(&mut self, now: Instant, seeds: Vec<Endpoint>) {
        self.generation += 1;
        self.resolving = FuturesUnordered::new();
        self.seeds = seeds.into_iter().map(|endpoint| Seed::new(now, endpoint)).collect();
        self.tell();
        self.resolve_due(now);
    }

    fn resolve_due(&mut self, now: Instant) {
        for (at, seed) in self.seeds.iter_mut().enumerate() {
            if !matches!(seed.next, Next::At(due) if due <= now) {
                continue;
            }
            seed.next = Next::UnderWay;
            let (lookup, endpoint, generation) = (self.wires.lookup.clone(), seed.endpoint.clone(), self.generation);
            self.resolving.push(Box::pin(async move {
                let result = lookup.resolve_nodes(&endpoint).await;
                Happening::Resolved { generation, at, result }
            }));
        }
    }

    fn resolved(&mut self, now: Instant, at: usize, result: Result<Vec<NodeAddress>, ResolveError>) {
        let Some(seed) = self.seeds.get_mut(at) else { return };
        match result {
            Ok(addresses) => {
                seed.next = Next::OnFailure;
                let is_new = addresses != seed.addresses;
                if is_new || seed.is_trouble_known {
                    info!(seed = %seed.endpoint, ?addresses, "resolved the name of a seed");
                }
                seed.is_trouble_known = false;
                if is_new {
                    seed.addresses = addresses;
                    self.tell();
                }
            }
            Err(error) => {
                let again = seed.postpone(now);
                self.wires.counters.count(Counter::ResolveFailures);
                let (name, reason) = (&seed.endpoint, &error.reason);
                if seed.is_trouble_known {
                    debug!(seed = %name, %reason, "still cannot resolve a seed; trying again in {again:?}");
                } else {
                    seed.is_trouble_known = true;
                    warn!(seed = %name, %reason, "cannot resolve a seed; trying again until it works");
                }
            }
        }
    }

    fn accepted(&mut self, address: &NodeAddress) {
        for seed in self.seeds.iter_mut().filter(|seed| seed.addresses.contains(address)) {
            seed.delay = FIRST_DELAY;
        }
    }

    fn failed(&mut self, now: Instant, address: &NodeAddress) {
        for seed in self.seeds.iter_mut().filter(|seed| seed.addresses.contains(address)) {
            if seed.next == Next::OnFailure && seed.endpoint.as_node_address().is_none() {
                let again = seed.postpone(now);
                let name = &seed.endpoint;
                debug!(seed = %name, %address, "a seed does not answer; resolving its name again in {again:?}");
            }
        }
    }

    /// Hands the addresses of all seeds to the node, without its own.
    fn tell(&self) {
        let SeedWires { bound, advertised, .. } = &self.wires;
        let mut addresses: Vec<NodeAddress> = Vec::new();
        let own = [*bound, advertised.socket_address()];
        for address in self.seeds.iter().flat_map(|seed| &seed.addresses) {
            let socket = address.socket_address();
            let is_own = socket.is_some() && own.contains(&socket);
            if let (Some(bound), Some(socket)) = (bound, socket)
                && !reachable_from(*bound, socket)
            {
                debug!(%address, %bound, "left out a seed's address: it is of another family than this node's");
            } else if !is_own && !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        // Failure means that the node has stopped, which is noticed elsewhere.
        let _ = self.wires.addresses.force_send(addresses);
    }
}

impl Seed {
    fn new(now: Instant, endpoint: Endpoint) -> Self {
        let address = endpoint.as_node_address();
        let next = if address.is_some() { Next::OnFailure } else { Next::At(now) };
        Self { endpoint, addresses: address.into_iter().collect(), next, delay: FIRST_DELAY, is_trouble_known: false }
    }

    /// Resolves the name after a delay that doubles each time.
    fn postpone(&mut self, now: Instant) -> Duration {
        let delay = self.delay;
        self.next = Next::At(now + delay);
        self.delay = (delay * 2).min(LONGEST_DELAY);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_a_minute() {
        let now = Instant::now();
        let mut seed = Seed::new(now, "name".parse().unwrap());
        assert_eq!(seed.next, Next::At(now));
        let delays: Vec<u64> = (0..8).map(|_| seed.postpone(now).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(seed.next, Next::At(now + LONGEST_DELAY));
    }

    #[test]
    fn an_address_needs_no_lookup() {
        let seed = Seed::new(Instant::now(), "10.0.0.1:80".parse().unwrap());
        assert_eq!((seed.addresses.as_slice(), seed.next), (&["10.0.0.1:80".parse().unwrap()][..], Next::OnFailure));
    }
}
