//! Locks in whole clusters: the oracles of locks bite, and mixed faults break nothing.

use gossip_sim::{Bug, Oracle, Report, Sabotage, Scenario, Simulation, Span};

/// Locks that change hands, a holder that is cut off for longer than any grant, and a leader that crashes.
const SCENARIO: &str = "nodes = 3\nseeds = 3\nduration = \"60s\"\n\
    [election]\nlease = \"2s\"\nsteady = \"4s\"\n\
    [locks]\nevery = \"50ms\"\nkeys = 2\nreplicas = 2\nfree_dead = false\nwait_when_founded = false\n\
    [[fault]]\nat = \"20s\"\nlasts = \"15s\"\ndo = { split = { groups = [[1]] } }\n\
    [[fault]]\nat = \"50s\"\nlasts = \"5s\"\ndo = { crash = { nodes = [0] } }\n";

fn run(scenario: &Scenario) -> Report {
    Simulation::new(scenario.clone()).seed(3).run().expect("the scenario is right")
}

/// The bug is found by this oracle, and without the bug nothing is.
fn finds(oracle: Oracle, bug: Bug) {
    let mut scenario = Scenario::parse(SCENARIO, "locks").expect("the scenario is right");
    let innocent = run(&scenario);
    assert!(innocent.passed(), "{innocent}");
    let counts = innocent.locks.as_ref().expect("there are locks");
    assert!(counts.granted > 100 && counts.extended > 20 && counts.probes == 3 && counts.unjudged == 0, "{innocent}");
    scenario.sabotage = Some(Sabotage { bug, node: 1, after: Span::ZERO });
    let report = run(&scenario);
    let found = report.oracle_failures.iter().any(|failure| failure.oracle == oracle);
    assert!(found, "{oracle} finds it: {report}");
}

#[test]
fn a_node_that_holds_for_ever() {
    finds(Oracle::Exclusion, Bug::KeepsLocks);
}

#[test]
fn a_node_whose_tokens_do_not_grow() {
    finds(Oracle::Tokens, Bug::RepeatsTokens);
}

#[test]
fn a_node_that_loses_what_it_was_granted() {
    finds(Oracle::LostGrant, Bug::DropsLocks);
}

#[test]
fn a_node_that_says_that_nobody_has_a_lock() {
    finds(Oracle::LockHistory, Bug::HidesHolders);
}

#[test]
fn a_node_that_does_not_say_that_it_was_granted_a_lock() {
    finds(Oracle::Served, Bug::SwallowsGrants);
}

/// Some node crashes while locks change hands, at a moment that differs by less than the way between two nodes.
#[test]
fn a_crash_at_any_step_breaks_nothing() {
    for step in 0..24 {
        let at = 8_000_000 + step * 700;
        let text = format!(
            "nodes = 3\nseeds = 3\nduration = \"10s\"\n[link]\nlatency = {{ constant = \"1ms\" }}\n\
             [election]\nlease = \"2s\"\nsteady = \"4s\"\n\
             [locks]\nevery = \"4ms\"\nkeys = 2\nreplicas = 2\nfree_dead = {}\n\
             [[fault]]\nat = \"{at}us\"\nlasts = \"1s\"\ndo = {{ crash = {{ nodes = [{}] }} }}\n",
            step % 2 == 0,
            step % 3
        );
        let scenario = Scenario::parse(&text, "steps").expect("the scenario is right");
        let report = Simulation::new(scenario).seed(step).run().expect("the scenario is right");
        assert!(report.passed(), "step {step}: {report}");
    }
}

/// Runs these numbers of nodes and seeds of a built-in scenario.
fn holds(name: &str, runs: impl IntoIterator<Item = (u32, u64)>) {
    for (nodes, seed) in runs {
        let scenario = Scenario { nodes, ..Scenario::builtin(name).expect("it is built in") };
        let report = Simulation::new(scenario).seed(seed).run().expect("the scenario is right");
        assert!(report.passed(), "{name} with {nodes} nodes: {report}");
        let counts = report.locks.as_ref().expect("there are locks");
        let shows_something = counts.granted > 20 && counts.extended > 10 && counts.queried > 20 && counts.busy > 20;
        assert!(shows_something && counts.unjudged == 0, "{name} with {nodes} nodes: {report}");
    }
}

/// Seeds of the scenarios with locks, which the sweep of thousands begins with.
#[test]
fn mixed_faults_break_nothing() {
    for name in ["lock", "coordination"] {
        holds(name, [3, 4, 5, 7, 9].into_iter().flat_map(|nodes| [1, 2].map(|seed| (nodes, seed))));
    }
}

/// A holder's clock had gone back before it started. Others told the leader of its earlier life, whose start was later, and it freed what
/// the node held.
#[test]
fn word_of_a_later_start_ends_no_life() {
    holds("coordination", [(4, 36)]);
}

/// A holder was thought dead for a moment. The leader forgot what it had answered, and took a question that came twice for a new one: it
/// granted the lock to the same operation again, under another token.
#[test]
fn a_question_that_comes_again_after_a_doubt_is_no_new_one() {
    holds("coordination", [(3, 481)]);
}
