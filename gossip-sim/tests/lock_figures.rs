//! How long it takes to get a lock: from a leader that is there, and after it crashed, left, or was cut off.

use std::time::Duration;

use gossip_core::{LockConfig, LockDone, LockNews, LockOp, LockRequest};
use gossip_sim::{Action, Comeback, Scenario, Select, Span, World};

const POOL: &str = "figures";
const KEY: &str = "lock";
const ELECTION: &str = "simulated";

/// A cluster that has had a leader for a minute, with a pool of locks.
fn cluster(nodes: u32, seed: u64) -> World {
    let text = format!("nodes = {nodes}\n[election]\n");
    let scenario = Scenario::parse(&text, "figures").expect("the scenario is right");
    let mut world = World::new(&scenario, seed).expect("the scenario is right");
    for host in 0..nodes {
        let opened = world.with_node(host, |node, now| node.open_locks(now, POOL, LockConfig::new(ELECTION)));
        opened.expect("it runs").expect("the settings are right");
    }
    world.run_for(Span::secs(90));
    assert_eq!(world.leaders().len(), 1);
    world
}

fn leader(world: &World) -> u32 {
    world.leaders().first().expect("there is a leader").0
}

/// The first node but the leader.
fn other(world: &World) -> u32 {
    u32::from(leader(world) == 0)
}

fn ask(world: &mut World, host: u32) -> LockOp {
    let (ttl, patience) = (Duration::from_secs(10), Duration::from_mins(1));
    let request = LockRequest { ttl, patience, waits: true, keeps: false };
    let asked = world.with_node(host, |node, now| node.acquire_lock(now, POOL, KEY, request));
    asked.expect("it runs").expect("the request is right")
}

/// Runs until the lock is granted, and says how many microseconds that took.
fn wait(world: &mut World, host: u32, op: LockOp, step: Span) -> u64 {
    let begun = world.now();
    for _ in 0..100_000 {
        let news = world.with_node(host, |node, _| node.poll_lock()).expect("it runs");
        if let Some(LockNews::Done { op: ended, result }) = news {
            assert!(ended == op && matches!(result, Ok(LockDone::Acquired(_))), "{result:?}");
            assert!(world.failures().is_empty(), "{:?}", world.failures());
            return world.now().as_micros() - begun.as_micros();
        }
        world.run_for(step);
    }
    panic!("the lock is granted within minutes");
}

/// For each seed the microseconds from when the leader is struck until a lock is granted that is asked for then, sorted.
fn times_after(nodes: u32, action: impl Fn(Select) -> Action) -> Vec<u64> {
    let mut times: Vec<u64> = (1..=20)
        .map(|seed| {
            let mut world = cluster(nodes, seed);
            let struck = action(Select::List(vec![leader(&world)]));
            let lasts = matches!(struck, Action::Split { .. }).then_some(Span::secs(60));
            let host = other(&world);
            world.strike(struck, lasts).expect("the fault is right");
            let op = ask(&mut world, host);
            wait(&mut world, host, op, Span::millis(1))
        })
        .collect();
    times.sort_unstable();
    times
}

#[test]
fn a_free_lock_is_granted_within_two_round_trips() {
    for nodes in [3, 5, 9] {
        let mut times: Vec<u64> = (1..=20)
            .map(|seed| {
                let mut world = cluster(nodes, seed);
                let host = other(&world);
                let op = ask(&mut world, host);
                wait(&mut world, host, op, Span::micros(10))
            })
            .collect();
        times.sort_unstable();
        eprintln!("{nodes} nodes, µs to get a free lock: {times:?}");
        // Each of the four ways takes 200 to 500 µs.
        assert!(times[19] <= 2_010, "{nodes} nodes: {times:?}");
    }
}

#[test]
fn locks_are_granted_again_as_soon_as_there_is_another_leader() {
    for nodes in [3, 5, 9] {
        let crash = times_after(nodes, |nodes| Action::Crash { nodes, back_as: Comeback::Same });
        eprintln!("{nodes} nodes, µs from a crash of the leader to a grant: {crash:?}");
        assert!(crash[10] <= 4_500_000, "{nodes} nodes: {crash:?}");
        let leave = times_after(nodes, |nodes| Action::Leave { nodes, back_as: Comeback::Same });
        eprintln!("{nodes} nodes, µs from when the leader leaves to a grant: {leave:?}");
        assert!(leave[19] <= 1_000_000, "{nodes} nodes: {leave:?}");
        let cut = times_after(nodes, |nodes| Action::Split { groups: vec![nodes] });
        eprintln!("{nodes} nodes, µs from when the leader is cut off to a grant: {cut:?}");
        assert!(cut[10] <= 4_500_000, "{nodes} nodes: {cut:?}");
    }
}
