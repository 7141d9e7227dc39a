//! Key-value stores in whole clusters: the oracles of stores bite, and mixed faults break nothing.

use gossip_sim::{Bug, Oracle, Report, Sabotage, Scenario, Simulation, Span};

/// A few keys of which each is deleted sooner or later, a node that is cut off for a while, and time to forget.
const SCENARIO: &str = "nodes = 3\nseeds = 3\nduration = \"60s\"\n\
    [store]\nevery = \"100ms\"\nuntil = \"30s\"\nkeys = 6\ndeletes = 0.5\nends = 0.1\nttl = \"5s\"\nkeep = \"8s\"\nmax_ahead = \"1s\"\n\
    [[fault]]\nat = \"20s\"\nlasts = \"5s\"\ndo = { split = { groups = [[1]] } }\n\
    [[fault]]\nat = \"60s\"\nlasts = \"2s\"\ndo = { pause = { nodes = [2] } }\n";

fn run(scenario: &Scenario) -> Report {
    Simulation::new(scenario.clone()).seed(3).run().expect("the scenario is right")
}

/// The bug is found by this oracle, and without the bug nothing is.
fn finds(oracle: Oracle, bug: Bug) {
    let mut scenario = Scenario::parse(SCENARIO, "stores").expect("the scenario is right");
    let innocent = run(&scenario);
    assert!(innocent.passed(), "{innocent}");
    scenario.sabotage = Some(Sabotage { bug, node: 1, after: Span::ZERO });
    let report = run(&scenario);
    let found = report.oracle_failures.iter().any(|failure| failure.oracle == oracle);
    assert!(found, "{oracle} finds it: {report}");
}

#[test]
fn a_node_whose_store_is_another_one() {
    finds(Oracle::Stores, Bug::KeepsDeletionsLonger);
}

#[test]
fn a_node_that_shows_an_older_value() {
    finds(Oracle::OlderValue, Bug::ShufflesChanges);
}

#[test]
fn a_node_that_loses_what_it_wrote() {
    finds(Oracle::LostWrite, Bug::WritesElsewhere);
}

#[test]
fn a_node_that_brings_back_what_was_deleted() {
    finds(Oracle::Deleted, Bug::LoadsOldSnapshots);
}

#[test]
fn a_node_whose_timestamps_stand_still() {
    finds(Oracle::Stamps, Bug::RepeatsStamps);
}

/// A node stands still for longer than deletions are kept, and then reads what was sent to it before.
#[test]
fn what_was_deleted_while_a_node_stood_still_does_not_come_back() {
    let text = "nodes = 3\nseeds = 3\n\
        [store]\nevery = \"100ms\"\nkeys = 100\ndeletes = 0.5\nends = 0.2\nttl = \"5s\"\n\
        keep = \"20s\"\nmax_ahead = \"1s\"\n\
        [[fault]]\nat = \"30s\"\nlasts = \"40s\"\ndo = { pause = { nodes = [1] } }\n";
    let scenario = Scenario::parse(text, "stores").expect("the scenario is right");
    for seed in 1..=8 {
        let report = Simulation::new(scenario.clone()).seed(seed).run().expect("the scenario is right");
        assert!(report.passed(), "{report}");
    }
}

/// Seeds of which some failed once, of the sweep of hundreds.
#[test]
fn mixed_faults_break_nothing() {
    for name in ["kv", "kv-forget"] {
        for nodes in [3, 5, 9] {
            let scenario = Scenario { nodes, ..Scenario::builtin(name).expect("it is built in") };
            let report = Simulation::new(scenario).seed(u64::from(nodes)).run().expect("the scenario is right");
            assert!(report.passed(), "{name} with {nodes} nodes: {report}");
        }
    }
}
