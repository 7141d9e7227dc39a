//! Runs that once broke a rule. What broke it is told beside each; the core has tests of its own for the rules themselves.

use gossip_sim::{Scenario, Simulation};

/// Nodes and seed of a chaos run.
const RUNS: [(u32, u64); 6] = [
    // An accuser that came late moved a deadline into the past, which the node took for a stall of its own.
    (7, 2),
    // Tables whose dead members had different metadata versions had different fingerprints for ever.
    (12, 4),
    // A node that restarted without metadata kept that of its earlier life in all other tables.
    (10, 5),
    (11, 6),
    // A node that left while a probe was under way found its timer overdue when the next probe began.
    (41, 266),
    // A clock that ran fast made deadlines one microsecond late, which is no fault of the node.
    (29, 113),
];

#[test]
fn runs_that_once_broke_a_rule_hold_it() {
    for (nodes, seed) in RUNS {
        let mut scenario = Scenario::builtin("chaos").expect("it is built in");
        scenario.nodes = nodes;
        let report = Simulation::new(scenario).seed(seed).run().expect("the scenario is right");
        assert!(report.passed(), "{report}");
    }
}
