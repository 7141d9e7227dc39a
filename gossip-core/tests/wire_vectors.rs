//! The test vectors of `docs/WIRE.md`: what nodes with fixed seeds write is what the document says.

#![expect(clippy::unwrap_used, reason = "constants of the test are right")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gossip_core::{
    BroadcastOptions, Config, Delivery, DropReason, ElectionConfig, Epoch, Identity, Instant, Key, KeyRing, LockConfig,
    LockRequest, MessageType, Node, NodeId, Reliability, StoreConfig, Value,
};

/// Name in the document, sender, and kind of the first message.
const NAMES: [(&str, (usize, u8)); 6] =
    [("join", (1, 8)), ("table", (0, 5)), ("ping", (0, 1)), ("ack", (1, 2)), ("digest", (1, 11)), ("metadata", (1, 6))];

/// The same of the messages of applications.
const MESSAGES: [(&str, (usize, u8)); 9] = [
    ("baseline", (0, 5)),
    ("direct", (0, 16)),
    ("request", (0, 17)),
    ("reply", (1, 18)),
    ("copy", (0, 19)),
    ("copyack", (1, 20)),
    ("recent", (0, 21)),
    ("pull", (1, 22)),
    ("compare", (1, 24)),
];

const DOCUMENT: &str = include_str!("../../docs/WIRE.md");

struct Pair {
    now: Instant,
    nodes: [Node<SocketAddr>; 2],
    /// Packets by sender and the kind of their first message, the first of each.
    seen: BTreeMap<(usize, u8), Vec<u8>>,
    /// The kind of those that get lost.
    lost: Option<u8>,
}

fn address(host: usize) -> SocketAddr {
    format!("192.0.2.{}:7979", host + 1).parse().unwrap()
}

impl Pair {
    fn new() -> Self {
        let now = Instant::from_micros(1_000_000);
        let nodes = [0, 1].map(|host: usize| {
            let id = NodeId::from_u128(0x0192_f0c1_2345_7abc_8def_0000_0000_0001 + host as u128);
            let epoch = Epoch::new(1_700_000_000_000 + host as u64, 0);
            let identity = Identity::new(id, address(host), epoch).with_tags(["blue"]);
            Node::new(identity, Config::lan("vectors"), [u8::try_from(host).unwrap(); 32], now).unwrap()
        });
        Self { now, nodes, seen: BTreeMap::new(), lost: None }
    }

    /// Both know each other for a while.
    fn joined() -> Self {
        let mut pair = Self::new();
        pair.nodes[1].join(pair.now, address(0)).unwrap();
        pair.settle();
        pair.run(Duration::from_secs(5));
        pair
    }

    fn settle(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for host in 0..2 {
                let mut buffer = BytesMut::new();
                while let Some(transmit) = self.nodes[host].poll_transmit(self.now, &mut buffer) {
                    quiet = false;
                    let mut packet = buffer.split();
                    self.seen.entry((host, packet[40])).or_insert_with(|| packet.to_vec());
                    if self.lost == Some(packet[40]) {
                        continue;
                    }
                    let peer = &mut self.nodes[1 - host];
                    match transmit.channel {
                        gossip_core::Channel::Datagram => peer.handle_datagram(self.now, address(host), &mut packet),
                        gossip_core::Channel::Stream => peer.handle_message(self.now, address(host), &mut packet),
                    }
                }
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.nodes.iter().filter_map(Node::poll_timeout).min().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.nodes.iter_mut().for_each(|node| node.handle_timeout(self.now));
            self.settle();
        }
        self.now = end;
    }
}

fn written() -> BTreeMap<&'static str, Vec<u8>> {
    let mut pair = Pair::new();
    let now = pair.now;
    for (key, value) in [("zone", Value::from("eu")), ("cpu", Value::from(8_i64)), ("load", Value::from(0.5))] {
        pair.nodes[1].set_metadata(now, key, value).unwrap();
    }
    pair.nodes[1].join(now, address(0)).unwrap();
    pair.settle();
    pair.run(Duration::from_secs(5));
    pair.nodes[1].set_metadata(pair.now, "load", 0.75).unwrap();
    pair.run(Duration::from_secs(1));
    pair.nodes[1].leave(pair.now).unwrap();
    pair.settle();
    NAMES
        .into_iter()
        .map(|(name, key)| (name, pair.seen.remove(&key).expect("a packet of each kind was sent")))
        .collect()
}

/// A broadcasts while it is alone; B joins; they talk; then all copies get lost.
fn written_messages() -> BTreeMap<&'static str, Vec<u8>> {
    let mut pair = Pair::new();
    let (kind, plain) = (MessageType::user(200).unwrap(), BroadcastOptions::new());
    let text = Bytes::from_static;
    pair.nodes[0].broadcast(pair.now, kind, text(b"before"), plain).unwrap();
    pair.nodes[1].join(pair.now, address(0)).unwrap();
    pair.settle();
    pair.run(Duration::from_secs(5));
    let (now, other) = (pair.now, pair.nodes[1].id());
    pair.nodes[0].send(now, other, kind, text(b"hello"), Reliability::BestEffort).unwrap();
    pair.nodes[0].request(now, other, kind, text(b"question"), now + Duration::from_secs(2)).unwrap();
    pair.settle();
    let token = std::iter::from_fn(|| pair.nodes[1].poll_delivery()).find_map(|delivery| match delivery {
        Delivery::Request { token, .. } => Some(token),
        _ => None,
    });
    pair.nodes[1].reply(now, token.unwrap(), text(b"answer")).unwrap();
    pair.nodes[0].broadcast(now, kind, text(b"to all"), plain.ordered().tag("blue")).unwrap();
    pair.settle();
    pair.run(Duration::from_millis(100));
    pair.lost = Some(19);
    pair.nodes[0].broadcast(pair.now, kind, text(b"lost"), plain.tag("blue")).unwrap();
    pair.settle();
    pair.run(Duration::from_secs(4));
    let named = |(name, key)| (name, pair.seen.remove(&key).unwrap_or_else(|| panic!("no {name} was sent")));
    MESSAGES.into_iter().map(named).collect()
}

/// Both take part in an election, and one of them asks for the other's vote.
fn written_ballots() -> [(&'static str, Vec<u8>); 2] {
    let mut pair = Pair::joined();
    for node in &mut pair.nodes {
        node.enter_election(pair.now, "chief", ElectionConfig::new(2)).unwrap();
    }
    pair.run(Duration::from_secs(5));
    let asker = usize::from(pair.nodes[1].leads(pair.now, "chief").is_some());
    let ballot = |host: usize| pair.seen.get(&(host, 25)).cloned().expect("both said something");
    [("canvass", ballot(asker)), ("would", ballot(1 - asker))]
}

/// One leads, and asks what the other remembers; that one then acquires a lock.
fn written_locks() -> [(&'static str, Vec<u8>); 4] {
    let mut pair = Pair::joined();
    for node in &mut pair.nodes {
        node.enter_election(pair.now, "chief", ElectionConfig::new(2)).unwrap();
        node.open_locks(pair.now, "jobs", LockConfig::new("chief")).unwrap();
    }
    pair.run(Duration::from_secs(5));
    let leader = usize::from(pair.nodes[1].leads(pair.now, "chief").is_some());
    let fetch = pair.seen.remove(&(leader, 26)).expect("the leader asked what is remembered");
    let known = pair.seen.remove(&(1 - leader, 26)).expect("the other answered");
    let request =
        LockRequest { ttl: Duration::from_secs(10), patience: Duration::from_secs(5), waits: true, keeps: false };
    pair.nodes[1 - leader].acquire_lock(pair.now, "jobs", "nightly", request).unwrap();
    pair.settle();
    let lock = |host: usize| pair.seen.get(&(host, 26)).cloned().expect("both said something");
    [("lock-fetch", fetch), ("lock-known", known), ("lock-ask", lock(1 - leader)), ("lock-store", lock(leader))]
}

/// Both open a store and write to it so many keys each, of which no copy arrives, until they have compared.
fn compared(keys: usize) -> Pair {
    let mut pair = Pair::joined();
    pair.seen.clear();
    pair.lost = Some(19);
    for (host, name) in ["color", "size"].into_iter().enumerate() {
        let (now, node) = (pair.now, &mut pair.nodes[host]);
        node.set_wall_clock(now, 1_800_000_000_000_000);
        node.open_store(now, "shared", StoreConfig::default()).unwrap();
        let ttl = (host == 1).then_some(Duration::from_hours(1));
        for number in 1..=keys {
            let mut store = node.store_mut(now, "shared").unwrap();
            store.set(&format!("{name}/{number}"), Bytes::from_static(b"red"), ttl).unwrap();
        }
    }
    pair.settle();
    pair.run(Duration::from_secs(20));
    let fingerprint = |host: usize| pair.nodes[host].store(pair.now, "shared").unwrap().fingerprint();
    assert_eq!(fingerprint(0), fingerprint(1), "they have compared");
    pair
}

/// Stores with one key each, and with so many that not all are listed.
fn written_stores() -> [(&'static str, Vec<u8>); 5] {
    let (few, many) = (compared(1), compared(17));
    let first = |pair: &Pair, host: usize, kind: u8| pair.seen.get(&(host, kind)).cloned().expect("it was sent");
    let names = [("store-write", 0, 19), ("store-ping", 0, 1), ("store-list", 1, 33), ("store-rows", 0, 33)];
    let [write, ping, list, rows] = names.map(|(name, host, kind)| (name, first(&few, host, kind)));
    [write, ping, list, rows, ("store-sums", first(&many, 1, 33))]
}

/// The packet in the block of this name.
fn documented(name: &str) -> Vec<u8> {
    let (_, rest) = DOCUMENT.split_once(&format!("```{name}\n")).expect("the document has a block of this name");
    let (block, _) = rest.split_once("```").expect("the block ends");
    let digits: Vec<_> = block.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

#[test]
fn the_document_shows_what_nodes_write() {
    for (name, packet) in written()
        .into_iter()
        .chain(written_messages())
        .chain(written_ballots())
        .chain(written_locks())
        .chain(written_stores())
    {
        assert_eq!(packet, documented(name), "{name} is now {packet:02x?}");
    }
}

#[test]
fn a_node_takes_in_what_the_document_shows() {
    let mut node = Pair::new().nodes.into_iter().next().unwrap();
    let now = Instant::from_micros(2_000_000);
    node.handle_message(now, address(1), &mut documented("join"));
    let joiner = node.members().nth(1).cloned().expect("the joiner was let in");
    assert_eq!((joiner.address, joiner.metadata.str("zone")), (address(1), Some("eu")));
    assert_eq!(*joiner.tags, ["blue"]);
    assert_eq!(node.stats().dropped_total(), 0);
}

/// The same two nodes without tags and metadata, with the key 00 01 … 1f.
fn sealed_pair() -> Pair {
    let now = Instant::from_micros(1_000_000);
    let nodes = [0, 1].map(|host: usize| {
        let id = NodeId::from_u128(0x0192_f0c1_2345_7abc_8def_0000_0000_0001 + host as u128);
        let identity = Identity::new(id, address(host), Epoch::new(1_700_000_000_000 + host as u64, 0));
        let mut config = Config::lan("vectors");
        let key = std::array::from_fn(|index| u8::try_from(index).unwrap());
        config.keys = Some(KeyRing::new(Key::new(&key)));
        Node::new(identity, config, [u8::try_from(host).unwrap(); 32], now).unwrap()
    });
    Pair { now, nodes, seen: BTreeMap::new(), lost: None }
}

#[test]
fn the_document_shows_how_packets_are_sealed() {
    let mut pair = sealed_pair();
    pair.nodes[1].join(pair.now, address(0)).unwrap();
    let mut sent = Vec::new();
    for host in [1, 0] {
        let mut buffer = BytesMut::new();
        assert!(pair.nodes[host].poll_transmit(pair.now, &mut buffer).is_some());
        sent.push(buffer.to_vec());
        pair.nodes[1 - host].handle_message(pair.now, address(host), &mut buffer);
    }
    for (name, packet) in ["sealed-join", "sealed-greeting"].into_iter().zip(sent) {
        assert_eq!(packet, documented(name), "{name} is now {packet:02x?}");
    }
}

#[test]
fn a_node_opens_what_the_document_shows() {
    let mut pair = sealed_pair();
    let [node, joiner] = &mut pair.nodes;
    node.handle_message(pair.now, address(1), &mut documented("sealed-join"));
    assert_eq!((node.stats().dropped(DropReason::Unbound), node.stats().dropped_total()), (1, 1));
    joiner.join(pair.now, address(0)).unwrap();
    joiner.handle_message(pair.now, address(0), &mut documented("sealed-greeting"));
    assert_eq!(joiner.stats().dropped_total(), 0, "it is for this very start of this very node");
}
