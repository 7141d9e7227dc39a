//! What a ping and its ack cost: a node receives the one and writes the other, plain and sealed, without a socket.
//!
//! Beside it stands what it costs to refuse the same ping when it does not open: damaged, damaged in the name of a sender
//! whom the node never heard of, for whom it has to make a key, and as long as a datagram can be.
//!
//! Each turn begins with the ping of a peer, whose own work is not counted. The suites take turns, so that their figures can be
//! compared even where the machine is busy.

use std::time::{Duration, Instant as Clock};

use bytes::BytesMut;
use clap::Parser;
use gossip_core::{Channel, Config, Epoch, Identity, Instant, Key, KeyRing, Node, NodeId, Suite};
use serde_json::{Value, json};

/// Pings in one turn of one suite.
const TURN: usize = 200;

/// Where a packet has its sender.
const SENDER: usize = 8;

/// The longest datagram of UDP over IPv4.
const LONGEST: usize = 65_507;

/// Measures ping and ack of a node, plain and sealed.
#[derive(Parser)]
struct Arguments {
    /// Pings for each suite.
    #[arg(long, default_value_t = 20_000)]
    pings: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Two members, of which the first is measured.
struct Pair {
    name: &'static str,
    now: Instant,
    nodes: [Node<u8>; 2],
    buffer: BytesMut,
    spent: Vec<Duration>,
    /// For a damaged ping, for one of a stranger, and for one of the greatest length.
    refused: [Vec<Duration>; 3],
    allocations: u64,
}

impl Pair {
    fn new(name: &'static str, keys: Option<&KeyRing>) -> Self {
        let now = Instant::from_micros(1_000_000);
        let nodes = [0_u8, 1].map(|number| {
            let id = NodeId::from_u128(u128::from(number) + 1);
            let mut config = Config::lan("bench");
            config.keys = keys.cloned();
            let identity = Identity::new(id, number, Epoch::new(1_700_000_000_000, 0));
            Node::new(identity, config, [number; 32], now).expect("a preset is valid")
        });
        let mut pair = Self {
            name,
            now,
            nodes,
            buffer: BytesMut::with_capacity(1 << 16),
            spent: Vec::new(),
            refused: Default::default(),
            allocations: 0,
        };
        pair.nodes[1].join(now, 0).expect("a node that just started may join");
        pair.settle();
        pair
    }

    /// Hands packets back and forth until there are none.
    fn settle(&mut self) {
        for _ in 0..100 {
            let mut quiet = true;
            for who in 0..2 {
                while let Some((channel, mut packet)) = self.next_packet(who) {
                    quiet = false;
                    self.deliver(1 - who, channel, &mut packet);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn next_packet(&mut self, who: usize) -> Option<(Channel, BytesMut)> {
        self.buffer.clear();
        let transmit = self.nodes[who].poll_transmit(self.now, &mut self.buffer)?;
        Some((transmit.channel, self.buffer.split()))
    }

    fn deliver(&mut self, who: usize, channel: Channel, packet: &mut [u8]) {
        let from = u8::from(who == 0);
        match channel {
            Channel::Datagram => self.nodes[who].handle_datagram(self.now, from, packet),
            Channel::Stream => self.nodes[who].handle_message(self.now, from, packet),
        }
    }

    /// Lets the peer ping; what the node does then is measured.
    fn ping(&mut self) {
        let [node, peer] = &mut self.nodes;
        let mut answer = BytesMut::with_capacity(2_048);
        for _ in 0..100 {
            let due = peer.poll_timeout().into_iter().chain(node.poll_timeout()).min();
            self.now = self.now.max(due.expect("a member has something to do"));
            node.handle_timeout(self.now);
            peer.handle_timeout(self.now);
            self.buffer.clear();
            while node.poll_transmit(self.now, &mut self.buffer).is_some() {
                // The node's own probes are lost; the peer is heard all the same.
                self.buffer.clear();
            }
            while let Some(transmit) = peer.poll_transmit(self.now, &mut self.buffer) {
                if transmit.channel == Channel::Stream {
                    self.buffer.clear();
                    continue;
                }
                let (mut spent, now, packet) = (Duration::ZERO, self.now, &mut self.buffer);
                for (sort, refused) in self.refused.iter_mut().enumerate() {
                    let (mut bad, last) = (packet.clone(), packet.len() - 1);
                    bad[last] ^= 1;
                    bad[SENDER] ^= u8::from(sort == 1);
                    bad.resize(if sort == 2 { LONGEST } else { last + 1 }, 0);
                    let cost = allocation_counter::measure(|| {
                        let begin = Clock::now();
                        node.handle_datagram(now, 1, &mut bad);
                        refused.push(begin.elapsed());
                    });
                    self.allocations += cost.count_total;
                }
                let cost = allocation_counter::measure(|| {
                    let begin = Clock::now();
                    node.handle_datagram(now, 1, packet);
                    let is_answered = node.poll_transmit(now, &mut answer).is_some();
                    spent = if is_answered { begin.elapsed() } else { Duration::ZERO };
                });
                self.buffer.clear();
                if spent > Duration::ZERO {
                    peer.handle_datagram(now, 0, &mut answer);
                    self.spent.push(spent);
                    self.allocations += cost.count_total;
                    return;
                }
            }
        }
    }

    fn report(&mut self) -> Value {
        let nanos = |spent: &mut Vec<Duration>, share: usize| {
            spent.sort_unstable();
            let index = (spent.len() * share / 100).min(spent.len().saturating_sub(1));
            u64::try_from(spent.get(index).copied().unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
        };
        let [damaged, strange, long] = &mut self.refused;
        json!({
            "suite": self.name,
            "pings": self.spent.len(),
            "median_ns": nanos(&mut self.spent, 50),
            "p10_ns": nanos(&mut self.spent, 10),
            "p90_ns": nanos(&mut self.spent, 90),
            "refused_damaged_ns": nanos(damaged, 50),
            "refused_strange_ns": nanos(strange, 50),
            "refused_long_ns": nanos(long, 50),
            "allocations": self.allocations,
        })
    }
}

fn main() {
    let arguments = Arguments::parse();
    let suites = [Suite::XChaCha20Poly1305, Suite::Aes128Gcm, Suite::Aes256Gcm];
    let mut pairs = vec![Pair::new("plain", None)];
    pairs.extend(suites.map(|suite| {
        let key = Key::with_suite(suite, &[7; 32][..suite.key_length()]).expect("as long as the suite wants");
        Pair::new(suite.name(), Some(&KeyRing::new(key)))
    }));
    for pair in &mut pairs {
        // Until the news is told and all memory is there.
        (0..TURN).for_each(|_| pair.ping());
        (pair.allocations, pair.spent) = (0, Vec::with_capacity(arguments.pings + TURN));
        pair.refused = [(); 3].map(|()| Vec::with_capacity(2 * arguments.pings + TURN));
    }
    for _ in 0..arguments.pings.div_ceil(TURN) {
        for pair in &mut pairs {
            (0..TURN).for_each(|_| pair.ping());
        }
    }
    for report in pairs.iter_mut().map(Pair::report) {
        if arguments.json {
            println!("{report}");
        } else {
            let (suite, median, allocations) = (&report["suite"], &report["median_ns"], &report["allocations"]);
            let (low, high) = (&report["p10_ns"], &report["p90_ns"]);
            println!("{suite}: ping to ack {median} ns (10% {low}, 90% {high}), {allocations} allocations");
            let (damaged, strange) = (&report["refused_damaged_ns"], &report["refused_strange_ns"]);
            let long = &report["refused_long_ns"];
            println!(
                "{suite}: to refuse a damaged ping {damaged} ns, one of a stranger {strange} ns, 64 KiB {long} ns"
            );
        }
    }
}
