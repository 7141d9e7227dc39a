//! A process that stands still for seconds is not lost.
#![cfg(unix)]

mod process;

use std::thread;
use std::time::Duration;

use serde_json::Value as Json;

use process::{Agent, SOON, eventually};

#[test]
fn a_node_that_stops_for_three_seconds_is_not_removed_and_refutes() {
    let first = Agent::start(&[]);
    let others: Vec<Agent> = (0..3).map(|_| first.companion(&[])).collect();
    let paused = first.companion(&[]);
    let watchers: Vec<&Agent> = others.iter().chain([&first]).collect();
    for agent in watchers.iter().copied().chain([&paused]) {
        eventually("all five see each other", SOON, || (agent.json(&["info"])["members"]["alive"] == 5).then_some(()));
    }
    let monitors: Vec<_> = watchers.iter().map(|agent| agent.monitor()).collect();

    paused.process.signal("-STOP");
    thread::sleep(Duration::from_secs(3));
    paused.process.signal("-CONT");

    let mut suspected = false;
    for (agent, monitor) in watchers.iter().zip(&monitors) {
        agent.sees(&paused.id, "alive", SOON);
        // What has not been told within a moment of the agent's own word has not happened.
        let mut state = Json::from("alive");
        while let Some(event) = monitor.next(Duration::from_secs(1)) {
            if event["event"] == "member" {
                assert_ne!(event["state"], "dead", "{event}");
            }
            if event["id"] == paused.id.as_str() && event["event"] == "member" {
                suspected |= event["state"] == "suspect";
                state = event["state"].clone();
            }
        }
        assert_eq!(state, "alive", "the last word on it");
    }
    println!("suspected: {suspected}");
    let refutations = paused.json(&["info"])["counters"]["refutations"].as_u64();
    assert!(!suspected || refutations > Some(0), "it was suspected and did not refute");
}
