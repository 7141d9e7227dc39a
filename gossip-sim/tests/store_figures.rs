//! What key-value stores cost on the wire, in bytes counted by the nodes: catching up after an absence, and staying in
//! step. With 100,000 keys in a release build, and with fewer otherwise.

use bytes::Bytes;
use gossip_core::{Config, Epoch, Identity, Instant, MessageKind, Node, NodeId, StoreConfig};
use gossip_sim::{Action, Scenario, Select, Span, World};

const NAME: &str = "shared";

const KEYS: usize = if cfg!(debug_assertions) { 3_000 } else { 100_000 };

/// What the wall clock shows at the beginning, in microseconds.
const START: u64 = 1_800_000_000_000_000;

/// Values that make 100 bytes with their key.
fn value(version: u8) -> Bytes {
    vec![version; 100 - key(0).len()].into()
}

fn key(number: usize) -> String {
    format!("key/{number:06}")
}

/// A store with so many keys, as a snapshot.
fn filled(keys: usize) -> Bytes {
    let identity = Identity::new(NodeId::from_u128(1), 0_u32, Epoch::from_u64(1));
    let now = Instant::from_micros(1_000_000);
    let mut node = Node::new(identity, Config::lan("alone"), [0; 32], now).expect("the settings are right");
    node.set_wall_clock(now, START);
    node.open_store(now, NAME, StoreConfig::default()).expect("the node is new");
    let mut store = node.store_mut(now, NAME).expect("it is open");
    for number in 0..keys {
        store.set(&key(number), value(0), None).expect("within the limits");
    }
    node.store(now, NAME).expect("it is open").snapshot()
}

/// Nodes that all have so many keys.
fn cluster(nodes: u32, keys: usize) -> World {
    let snapshot = filled(keys);
    let mut world = World::new(&Scenario::new("figures", nodes), 1).expect("the scenario is right");
    world.run_for(Span::secs(5));
    for host in 0..nodes {
        open(&mut world, host);
        let loaded = world.with_node(host, |node, now| {
            node.store_mut(now, NAME).expect("it is open").load(&snapshot).expect("it is whole")
        });
        assert_eq!(loaded.expect("the node runs").taken, keys);
    }
    world.run_for(Span::secs(30));
    world
}

fn open(world: &mut World, host: u32) {
    let unix = START + world.now().as_micros();
    world.with_node(host, |node, now| {
        node.set_wall_clock(now, unix);
        node.open_store(now, NAME, StoreConfig::default()).expect("the node is new");
    });
}

fn fingerprint(world: &mut World, host: u32) -> u64 {
    let found = world.with_node(host, |node, now| node.store(now, NAME).expect("it is open").fingerprint());
    found.expect("the node runs")
}

/// All bytes that a node has sent and received, of whatever kind.
fn traffic(world: &World, host: u32) -> u64 {
    let stats = world.node(host).expect("it runs").stats();
    stats.datagram_bytes_sent + stats.datagram_bytes_received + stats.stream_bytes_sent + stats.stream_bytes_received
}

fn exchanges(world: &World) -> u64 {
    (0..world.len()).filter_map(|host| world.node(host)).map(|node| node.stats().store_exchanges).sum()
}

#[test]
fn a_node_that_was_away_while_a_hundred_keys_changed_catches_up_with_little() {
    let away = 9;
    let mut world = cluster(10, KEYS);
    let groups = vec![Select::List(vec![away])];
    world.strike(Action::Split { groups }, Some(Span::secs(60))).expect("the fault is right");
    for number in 0..100 {
        world.run_for(Span::millis(300));
        let key = key(number * (KEYS / 100));
        world.with_node(u32::try_from(number).expect("a hundred") % away, |node, now| {
            node.store_mut(now, NAME).expect("it is open").set(&key, value(1), None).expect("within the limits");
        });
    }
    world.run_for(Span::secs(29));
    let others = fingerprint(&mut world, 0);
    assert!((1..away).all(|host| fingerprint(&mut world, host) == others), "the others have all");
    assert_ne!(fingerprint(&mut world, away), others);
    let before = (traffic(&world, away), world.now());
    let steps = (0..1_200).take_while(|_| {
        world.run_for(Span::millis(100));
        fingerprint(&mut world, away) != others
    });
    let millis = steps.count() * 100;
    let bytes = traffic(&world, away) - before.0;
    eprintln!("{KEYS} keys: caught up {millis} ms after the last look, with {bytes} bytes of all kinds");
    assert_eq!(fingerprint(&mut world, away), others, "it has caught up");
    assert!(bytes <= 100_000, "{bytes} bytes");
}

#[test]
fn two_nodes_in_step_exchange_little_in_a_round() {
    let span = Span::secs(600);
    let cost = |world: &mut World| {
        let sent = |world: &World| traffic(world, 0);
        let rounds = |world: &World| {
            let stats = world.node(0).expect("it runs").stats();
            stats.sent(MessageKind::Ping) + stats.received(MessageKind::Ping)
        };
        let before = (sent(world), rounds(world));
        world.run_for(span);
        (sent(world) - before.0) as f64 / (rounds(world) - before.1) as f64
    };
    let mut with = cluster(2, KEYS);
    let begun = exchanges(&with);
    let mut without = World::new(&Scenario::new("figures", 2), 1).expect("the scenario is right");
    without.run_for(Span::secs(35));
    let (with_store, plain) = (cost(&mut with), cost(&mut without));
    eprintln!("{KEYS} keys: {with_store:.1} bytes a round of probing, {plain:.1} without a store");
    assert_eq!(exchanges(&with), begun, "nothing was compared");
    assert!(with_store - plain < 100.0, "{with_store} and {plain}");
}
