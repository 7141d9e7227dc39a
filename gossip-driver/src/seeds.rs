//! Keeps the addresses of the seeds: resolves their names, and again when a seed cannot be reached and when the time to
//! live of an answer is over. What was found stays until something else is.

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
use crate::resolve::{Found, Lookup};
use crate::runtime::{Runtime, Timer};
use crate::stats::{Counter, Counters};
use crate::{Endpoint, NodeAddress, ResolveError};

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_mins(1);
/// Most addresses of one seed.
const MOST: usize = 512;

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
    /// When it cannot be reached any more, or when the answer is over.
    OnFailure {
        until: Option<Instant>,
    },
    At(Instant),
    UnderWay,
}

impl Next {
    fn due(self) -> Option<Instant> {
        match self {
            Self::OnFailure { until } => until,
            Self::At(at) => Some(at),
            Self::UnderWay => None,
        }
    }
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
    Resolved { generation: u64, at: usize, result: Result<Found<NodeAddress>, ResolveError> },
}

impl<R: Runtime> Keeper<R> {
    /// Waits for something to do; `None` when the node has stopped.
    async fn next(&mut self) -> Option<Happening> {
        let runtime = self.wires.lookup.runtime.clone();
        let due = self.seeds.iter().filter_map(|seed| seed.next.due()).min();
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
            if seed.next.due().is_none_or(|due| due > now) {
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

    fn resolved(&mut self, now: Instant, at: usize, result: Result<Found<NodeAddress>, ResolveError>) {
        let Some(seed) = self.seeds.get_mut(at) else { return };
        match result {
            Ok(found) => {
                let addresses = seed.settle(now, found);
                // Those of equal standing may come in another order each time.
                let is_new = addresses.len() != seed.addresses.len()
                    || addresses.iter().any(|address| !seed.addresses.contains(address));
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
            if matches!(seed.next, Next::OnFailure { .. }) && seed.endpoint.as_node_address().is_none() {
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
            let is_own = address.is_where(advertised) || socket.is_some() && own.contains(&socket);
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
        let next = if address.is_some() { Next::OnFailure { until: None } } else { Next::At(now) };
        Self { endpoint, addresses: address.into_iter().collect(), next, delay: FIRST_DELAY, is_trouble_known: false }
    }

    /// Plans the next look-up after one that found something; the addresses to use from now on. Where a part was not
    /// found, those that were known are kept, and it is looked for again soon.
    fn settle(&mut self, now: Instant, found: Found<NodeAddress>) -> Vec<NodeAddress> {
        let Found { mut addresses, holds, is_partial } = found;
        if is_partial {
            self.postpone(now);
            let known: Vec<_> = self.addresses.iter().filter(|it| !addresses.contains(it)).cloned().collect();
            addresses.extend(known);
            addresses.truncate(MOST);
        } else {
            self.next = Next::OnFailure { until: holds.map(|holds| now + holds) };
        }
        addresses
    }

    /// Resolves the name after a delay that doubles each time, or earlier if the answer is over before.
    fn postpone(&mut self, now: Instant) -> Duration {
        let delay = match self.next {
            Next::OnFailure { until: Some(until) } => self.delay.min(until.saturating_duration_since(now)),
            _ => self.delay,
        };
        self.next = Next::At(now + delay);
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
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

    fn found(addresses: &[&str], holds: Option<u64>, is_partial: bool) -> Found<NodeAddress> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Found { addresses, holds: holds.map(Duration::from_secs), is_partial }
    }

    #[test]
    fn an_answer_holds_for_its_time_and_no_longer_than_it_leads_somewhere() {
        let now = Instant::now();
        let mut seed = Seed::new(now, "name".parse().unwrap());
        seed.addresses = seed.settle(now, found(&["10.0.0.1:80"], Some(30), false));
        let end = now + Duration::from_secs(30);
        assert_eq!(seed.next, Next::OnFailure { until: Some(end) });
        assert_eq!(seed.postpone(now), FIRST_DELAY);
        seed.addresses = seed.settle(now, found(&["10.0.0.1:80"], None, false));
        assert_eq!((seed.next, seed.next.due()), (Next::OnFailure { until: None }, None));
        seed.addresses = seed.settle(now, found(&["10.0.0.1:80"], Some(1), false));
        assert_eq!(seed.postpone(now), FIRST_DELAY, "it would be two seconds if the answer was good for longer");
    }

    #[test]
    fn what_was_known_is_kept_where_only_a_part_was_found() {
        let now = Instant::now();
        let mut seed = Seed::new(now, "srv+name".parse().unwrap());
        seed.addresses = seed.settle(now, found(&["10.0.0.1:80", "10.0.0.2:80"], Some(30), false));
        seed.addresses = seed.settle(now, found(&["10.0.0.3:80", "10.0.0.2:80"], Some(30), true));
        let all = found(&["10.0.0.3:80", "10.0.0.2:80", "10.0.0.1:80"], None, false).addresses;
        assert_eq!(seed.addresses, all);
        assert_eq!(seed.next, Next::At(now + FIRST_DELAY));
        seed.addresses = seed.settle(now, found(&["10.0.0.3:80"], Some(30), false));
        assert_eq!(seed.addresses, ["10.0.0.3:80".parse().unwrap()]);
    }

    #[test]
    fn an_address_needs_no_lookup() {
        let seed = Seed::new(Instant::now(), "10.0.0.1:80".parse().unwrap());
        assert_eq!(
            (seed.addresses.as_slice(), seed.next),
            (&["10.0.0.1:80".parse().unwrap()][..], Next::OnFailure { until: None })
        );
    }
}
