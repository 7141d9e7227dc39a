//! A model of the alternative to the tree of arcs: an eager/lazy push tree (Leitão et al., Plumtree, 2007).
//!
//! Every node has the same number of neighbours in a random graph that does not change. A message is pushed to the eager ones
//! and announced to the lazy ones. A duplicate makes the link that brought it lazy; an announcement that is not followed
//! by its message in time makes the link eager again and fetches the message. Latency, loss, rate and size are those of
//! `tests/broadcast_measures.rs`, so the figures can be laid side by side; see `docs/BROADCAST.md`.
//!
//! ```text
//! cargo run --release -p gossip-core --example push_tree
//! ```

use std::collections::{BTreeMap, BTreeSet};

const NODES: usize = 1_000;
const MESSAGES: usize = 200;
/// Messages at the begin that shape the tree and are not counted.
const WARMING_UP: usize = 100;
const NEIGHBOURS: usize = 6;
const SIZE: u64 = 1_024;
/// Bytes around a payload, and of a packet without one: envelope, kind, message id.
const HEADER: u64 = 80;
/// Microseconds between two messages, between announcement and fetching, and between two attempts at that.
const INTERVAL: u64 = 100_000;

#[derive(Clone, Copy)]
struct Links {
    shortest: u64,
    jitter: u64,
    loss: u64,
    /// How long an announced message is waited for.
    patience: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Begin { message: usize },
    Payload { from: usize, to: usize, message: usize, hops: u8 },
    Announcement { from: usize, to: usize, message: usize, hops: u8 },
    Graft { from: usize, to: usize, message: usize },
    Prune { from: usize, to: usize },
    Overdue { at: usize, message: usize },
}

#[derive(Default)]
struct Node {
    eager: BTreeSet<usize>,
    lazy: BTreeSet<usize>,
    heard: BTreeMap<usize, u8>,
    announced: BTreeMap<usize, Vec<usize>>,
}

struct World {
    now: u64,
    links: Links,
    nodes: Vec<Node>,
    queue: BTreeSet<(u64, u64, Happening)>,
    tickets: u64,
    random: u64,
    began: Vec<u64>,
    took: Vec<u64>,
    copies: u64,
    control: u64,
    last_hop: u8,
}

impl World {
    fn new(links: Links, seed: u64) -> Self {
        let mut world = Self {
            now: 0,
            links,
            nodes: (0..NODES).map(|_| Node::default()).collect(),
            queue: BTreeSet::new(),
            tickets: 0,
            random: seed | 1,
            began: vec![0; MESSAGES + WARMING_UP],
            took: Vec::new(),
            copies: 0,
            control: 0,
            last_hop: 0,
        };
        for node in 0..NODES {
            while world.nodes[node].eager.len() < NEIGHBOURS / 2 {
                let other = world.below(NODES as u64);
                let other = usize::try_from(other).expect("small");
                if other != node {
                    world.nodes[node].eager.insert(other);
                }
            }
        }
        for node in 0..NODES {
            for other in world.nodes[node].eager.clone() {
                world.nodes[other].eager.insert(node);
            }
        }
        world
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }

    fn at(&mut self, time: u64, happening: Happening) {
        self.tickets += 1;
        self.queue.insert((time, self.tickets, happening));
    }

    fn send(&mut self, happening: Happening, message: usize) {
        if message >= WARMING_UP {
            match happening {
                Happening::Payload { .. } => self.copies += 1,
                _ => self.control += HEADER,
            }
        }
        if self.below(100) >= self.links.loss {
            let delay = self.links.shortest + self.below(self.links.jitter);
            self.at(self.now + delay, happening);
        }
    }

    fn hear(&mut self, node: usize, from: Option<usize>, message: usize, hops: u8) {
        self.nodes[node].heard.insert(message, hops);
        if from.is_some() && message >= WARMING_UP {
            self.took.push(self.now - self.began[message]);
            self.last_hop = self.last_hop.max(hops);
        }
        for to in self.nodes[node].eager.clone().into_iter().filter(|&to| Some(to) != from) {
            self.send(Happening::Payload { from: node, to, message, hops: hops + 1 }, message);
        }
        for to in self.nodes[node].lazy.clone().into_iter().filter(|&to| Some(to) != from) {
            self.send(Happening::Announcement { from: node, to, message, hops }, message);
        }
    }

    fn link(&mut self, node: usize, other: usize, eager: bool) {
        let node = &mut self.nodes[node];
        let (to, from) = if eager { (&mut node.eager, &mut node.lazy) } else { (&mut node.lazy, &mut node.eager) };
        from.remove(&other);
        to.insert(other);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Begin { message } => {
                self.began[message] = self.now;
                let origin = usize::try_from(self.below(NODES as u64)).expect("small");
                self.hear(origin, None, message, 0);
            }
            Happening::Payload { from, to, message, hops } => {
                if self.nodes[to].heard.contains_key(&message) {
                    self.link(to, from, false);
                    self.send(Happening::Prune { from: to, to: from }, message);
                } else {
                    self.link(to, from, true);
                    self.hear(to, Some(from), message, hops);
                }
            }
            Happening::Announcement { from, to, message, .. } => {
                if !self.nodes[to].heard.contains_key(&message) {
                    let sources = self.nodes[to].announced.entry(message).or_default();
                    sources.push(from);
                    if sources.len() == 1 {
                        self.at(self.now + self.links.patience, Happening::Overdue { at: to, message });
                    }
                }
            }
            Happening::Overdue { at, message } => {
                if self.nodes[at].heard.contains_key(&message) {
                    return;
                }
                let Some(sources) = self.nodes[at].announced.get_mut(&message).filter(|sources| !sources.is_empty())
                else {
                    return;
                };
                let source = sources.remove(0);
                self.link(at, source, true);
                self.send(Happening::Graft { from: at, to: source, message }, message);
                self.at(self.now + self.links.patience, Happening::Overdue { at, message });
            }
            Happening::Graft { from, to, message } => {
                self.link(to, from, true);
                if let Some(&hops) = self.nodes[to].heard.get(&message) {
                    self.send(Happening::Payload { from: to, to: from, message, hops: hops + 1 }, message);
                }
            }
            Happening::Prune { from, to } => self.link(to, from, false),
        }
    }

    fn run(&mut self) {
        for message in 0..MESSAGES + WARMING_UP {
            self.at(message as u64 * INTERVAL, Happening::Begin { message });
        }
        while let Some((time, _, happening)) = self.queue.pop_first() {
            self.now = time;
            self.happen(happening);
        }
    }
}

fn main() {
    println!("links     loss  delivered  copies  last hop  p50 ms  p99 ms  max ms  control");
    for (name, shortest, jitter, patience) in [("lan", 100, 900, 10_000), ("10-50 ms", 10_000, 40_000, 150_000)] {
        for loss in [0, 5, 25] {
            let mut world = World::new(Links { shortest, jitter, loss, patience }, 42);
            world.run();
            world.took.sort_unstable();
            let wanted = ((NODES - 1) * MESSAGES) as f64;
            let millis = |percent: usize| world.took[(world.took.len() - 1) * percent / 100] as f64 / 1e3;
            println!(
                "{name:9} {loss:3}%  {:8.4}%  {:6.3}  {:8}  {:6.1}  {:6.1}  {:6.1}  {:6.1}%",
                world.took.len() as f64 / wanted * 100.0,
                world.copies as f64 / wanted,
                world.last_hop,
                millis(50),
                millis(99),
                millis(100),
                world.control as f64 / (world.took.len() as u64 * SIZE) as f64 * 100.0,
            );
        }
    }
}
