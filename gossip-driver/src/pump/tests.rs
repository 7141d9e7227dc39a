//! Whole nodes in virtual time, over a network in memory that misbehaves as told.

use std::io::ErrorKind;

use gossip_core::{MemberState, MessageKind};

use super::*;
use crate::memory::Memory;
use crate::stats::Counter;
use crate::{Cluster, CommandError};

const LONG: Duration = Duration::from_mins(10);

fn start(memory: &Memory) -> Cluster<Memory> {
    memory.block_on(LONG, Cluster::start(Config::local("x"))).unwrap()
}

/// Two nodes that know each other.
fn two(memory: &Memory) -> [Cluster<Memory>; 2] {
    let nodes = [start(memory), start(memory)];
    memory.block_on(LONG, nodes[1].join([nodes[0].address().to_string()])).unwrap();
    memory.run_for(Duration::from_secs(2));
    assert!(nodes.iter().all(|node| node.members().counts().alive == 2));
    nodes
}

#[test]
fn a_full_socket_delays_packets_and_loses_none() {
    let memory = Memory::new();
    let nodes = two(&memory);
    let probes = nodes[0].stats().protocol.probes_failed;
    memory.set_full(nodes[0].bind_address().unwrap(), true);
    memory.block_on(LONG, nodes[0].set_metadata("a", 1_i64)).unwrap();
    memory.run_for(Duration::from_millis(150));
    let seen = |memory: &Memory| {
        memory.run_for(Duration::ZERO);
        nodes[1].member(nodes[0].id()).unwrap().metadata.int("a")
    };
    assert_eq!(seen(&memory), None);
    assert!(nodes[0].stats().driver.count(Counter::DatagramsHeld) > 0);
    memory.set_full(nodes[0].bind_address().unwrap(), false);
    assert_eq!(seen(&memory), Some(1), "what was held goes out at once");
    assert_eq!(nodes[0].stats().protocol.probes_failed, probes);
}

#[test]
fn icmp_errors_are_counted_and_the_socket_lives_on() {
    let memory = Memory::new();
    let nodes = two(&memory);
    for _ in 0..1_000 {
        memory.fail_receive(nodes[0].bind_address().unwrap(), ErrorKind::ConnectionRefused);
    }
    memory.run_for(Duration::from_secs(5));
    assert_eq!(nodes[0].stats().driver.count(Counter::DatagramReceiveErrors), 1_000);
    assert!(nodes.iter().all(|node| node.members().counts().alive == 2));
}

#[test]
fn a_socket_that_fails_for_good_stops_the_node_and_says_so() {
    let memory = Memory::new();
    let nodes = two(&memory);
    for _ in 0..50 {
        memory.fail_receive(nodes[0].bind_address().unwrap(), ErrorKind::InvalidInput);
    }
    memory.run_for(Duration::from_secs(10));
    assert!(!nodes[0].is_stopped(), "it recovered in time");
    for _ in 0..200 {
        memory.fail_receive(nodes[0].bind_address().unwrap(), ErrorKind::InvalidInput);
    }
    let reason = memory.block_on(LONG, nodes[0].stopped());
    assert!(matches!(reason, StopReason::Socket { protocol: "UDP", .. }), "{reason:?}");
    let refused = memory.block_on(LONG, nodes[0].set_metadata("a", 1_i64));
    assert_eq!(refused, Err(CommandError::Stopped(reason)));
}

#[test]
fn an_idle_node_sleeps_between_its_timers() {
    let memory = Memory::new();
    let alone = start(&memory);
    memory.run_for(Duration::from_secs(10));
    let before = memory.polls();
    memory.run_for(Duration::from_mins(1));
    let polls = memory.polls() - before;
    assert!(polls <= 200, "{polls} polls in an idle minute");
    drop(alone);
}

#[test]
fn a_pair_of_nodes_wakes_a_few_times_a_second() {
    let memory = Memory::new();
    let nodes = two(&memory);
    memory.run_for(Duration::from_mins(5));
    let before = memory.polls();
    memory.run_for(Duration::from_mins(1));
    let polls = memory.polls() - before;
    assert!(polls <= 60 * 2 * 10, "{polls} polls in an idle minute of two nodes");
    assert!(nodes.iter().all(|node| node.stats().driver.links == 0), "idle connections were closed");
}

#[test]
fn what_lies_in_the_socket_is_read_before_timers_fire() {
    let memory = Memory::new();
    memory.enter_process(1);
    let one = start(&memory);
    memory.enter_process(2);
    let two = start(&memory);
    memory.block_on(LONG, two.join([one.address().to_string()])).unwrap();
    // Long enough for the connection of the join to be closed again.
    memory.run_for(Duration::from_mins(5));
    let sent = |kind| one.stats().protocol.sent(kind);
    let dials = || one.stats().driver.count(Counter::Dials);
    let before = (sent(MessageKind::Ping), dials());
    while sent(MessageKind::Ping) == before.0 {
        memory.step();
    }
    // The ack arrives while the node that waits for it does not run, and so does the time to do without it.
    memory.freeze(Some(1));
    memory.run_for(Config::local("x").protocol.probe_timeout + Duration::from_millis(50));
    memory.freeze(None);
    memory.run_for(Duration::from_millis(20));
    assert_eq!((sent(MessageKind::Ping), dials()), (before.0 + 1, before.1), "no other way to the peer was tried");
}

#[test]
fn the_last_handle_leaves_even_if_nobody_answers_any_more() {
    let memory = Memory::new();
    let [one, two] = two(&memory);
    let bound = one.bind_address().unwrap();
    memory.block_on(LONG, two.shutdown());
    let tasks = memory.tasks();
    drop(one);
    let config = Config::local("x").protocol;
    memory.run_for(config.leave_timeout + LEAVE_GRACE);
    assert!(memory.tasks() < tasks);
    assert_eq!(memory.tasks(), 0);
    let next = memory.block_on(LONG, Cluster::<Memory>::start(Config::local("x").bind(bound.to_string()))).unwrap();
    assert_eq!(next.bind_address().unwrap(), bound, "its port is free again");
}

#[test]
fn shutdown_returns_when_every_task_has_ended() {
    let memory = Memory::new();
    let [one, two] = two(&memory);
    memory.block_on(LONG, one.shutdown());
    memory.block_on(LONG, two.shutdown());
    assert_eq!(memory.tasks(), 0);
}

#[test]
fn a_crash_is_noticed_in_virtual_time() {
    let memory = Memory::new();
    let [one, two] = two(&memory);
    memory.block_on(LONG, two.shutdown());
    memory.run_for(Duration::from_mins(1));
    assert_eq!(one.member(two.id()).map(|member| member.state), Some(MemberState::Dead));
}
