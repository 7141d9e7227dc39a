//! Each oracle bites: a bug is planted by means that every user has, and the oracle that should find it does.

use std::time::Duration;

use gossip_sim::{Bug, Oracle, Report, Sabotage, Scenario, Simulation, Span, shrink};

/// A cluster with faults in which a bug hides among much that is harmless.
fn scenario(faults: &str) -> Scenario {
    let text = format!("name = \"planted\"\nnodes = 12\nduration = \"60s\"\n{faults}");
    Scenario::parse(&text, "planted").expect("the scenario is right")
}

fn planted(bug: Bug, node: u32, faults: &str) -> Scenario {
    let mut scenario = scenario(faults);
    scenario.sabotage = Some(Sabotage { bug, node, after: Span::ZERO });
    scenario
}

fn run(scenario: &Scenario) -> Report {
    Simulation::new(scenario.clone()).seed(3).run().expect("the scenario is right")
}

/// The bug is found by this oracle, and without the bug nothing is.
fn finds(oracle: Oracle, scenario: &Scenario) {
    let report = run(scenario);
    let found = report.oracle_failures.iter().any(|failure| failure.oracle == oracle);
    assert!(found, "{oracle} finds it: {report}");
    let innocent = run(&Scenario { sabotage: None, ..scenario.clone() });
    assert!(innocent.passed(), "{innocent}");
}

const PAUSE: &str = "[[fault]]\nat = \"5s\"\nlasts = \"40s\"\ndo = { pause = { nodes = [4] } }\n";
const SHORT_PAUSE: &str = "[[fault]]\nat = \"5s\"\nlasts = \"4s\"\ndo = { pause = { nodes = [4] } }\n";
const CRASH: &str = "[[fault]]\nat = \"5s\"\ndo = { crash = { nodes = [4, 5] } }\n";
const LEAVE: &str = "[[fault]]\nat = \"5s\"\ndo = { leave = { nodes = [4] } }\n";

#[test]
fn a_node_that_keeps_itself_dead() {
    finds(Oracle::SelfDead, &planted(Bug::KeepsItselfDead, 4, PAUSE));
}

#[test]
fn nodes_that_never_come_to_agree() {
    finds(Oracle::Agreement, &planted(Bug::KeepsItselfDead, 4, PAUSE));
    let mut restless = planted(Bug::NeverSettles, 4, "start = \"storm\"\n");
    restless.duration = Span::secs(180);
    finds(Oracle::Agreement, &restless);
}

#[test]
fn a_member_that_comes_back_from_the_dead() {
    finds(Oracle::Resurrection, &planted(Bug::ForgetsTheDead, 1, CRASH));
}

#[test]
fn a_node_whose_knowledge_grows_older() {
    finds(Oracle::Claims, &planted(Bug::ReportsBackwards, 1, SHORT_PAUSE));
}

#[test]
fn timers_that_run_late() {
    finds(Oracle::Timers, &planted(Bug::LateTimers, 2, ""));
}

#[test]
fn timers_that_spin() {
    finds(Oracle::Timers, &planted(Bug::Spins, 2, ""));
}

#[test]
fn packets_that_are_too_large() {
    let many = "start = \"storm\"\nworkload = { every = \"20ms\", keys = 30, value_bytes = 700 }\n";
    finds(Oracle::Bounded, &planted(Bug::FatPackets, 0, many));
}

#[test]
fn a_leaver_that_is_believed_dead() {
    finds(Oracle::Leavers, &planted(Bug::LeavesSilently, 4, LEAVE));
}

#[test]
fn a_node_that_is_suspected_for_no_reason_that_is_known() {
    finds(Oracle::Accuracy, &planted(Bug::Stalls, 4, ""));
}

#[test]
fn an_attempt_to_join_that_is_never_answered() {
    finds(Oracle::Answers, &planted(Bug::SwallowsAnswers, 4, "start = \"storm\"\n"));
}

#[test]
fn a_node_that_panics_fails_the_run_and_not_the_caller() {
    finds(Oracle::Panic, &planted(Bug::Panics, 4, PAUSE));
}

#[test]
fn nodes_that_agreed_and_came_apart() {
    let mut restless = planted(Bug::NeverSettles, 4, "");
    restless.duration = Span::secs(180);
    restless.sabotage = Some(Sabotage { bug: Bug::NeverSettles, node: 4, after: Span::secs(20) });
    finds(Oracle::Stability, &restless);
}

/// Thirty harmless faults around the bug: at least nine in ten are gone, and what is left still fails in the same way.
fn shrinks(bug: Bug, node: u32, faults: &str) {
    let mut scenario = planted(bug, node, faults);
    scenario.chaos = Some(gossip_sim::Chaos {
        faults: 30,
        from: Span::secs(50),
        until: Span::secs(100),
        longest: Span::secs(5),
        kinds: vec![gossip_sim::Kind::Impair, gossip_sim::Kind::Noise, gossip_sim::Kind::Clock],
    });
    let limit = Duration::from_mins(1);
    let before = Simulation::new(scenario.clone()).seed(3).until_first_failure().run().expect("it runs");
    let oracle = before.oracle_failures.first().expect("it fails").oracle;
    let shrunk = shrink(&scenario, 3, limit).expect("it fails");
    assert!(shrunk.is_minimal, "within {limit:?}");
    assert!(shrunk.faults_before >= 30);
    let left = shrunk.scenario.fault.len();
    assert!(left * 10 <= shrunk.faults_before, "{left} of {} left", shrunk.faults_before);
    assert_eq!(shrunk.report.oracle_failures[0].oracle, oracle);
    let written = Scenario::parse(&shrunk.scenario.to_toml(), "written").expect("it can be read again");
    let replay = written.replay.clone().expect("it says how to replay it");
    let again = Simulation::new(written).seed(replay.seed).until_first_failure().run().expect("it runs");
    assert_eq!(again.trace_hash, replay.trace_hash, "what is replayed is what was found");
}

#[test]
fn a_late_timer_shrinks_to_nothing_but_itself() {
    shrinks(Bug::LateTimers, 2, "");
}

#[test]
fn a_node_that_keeps_itself_dead_shrinks() {
    shrinks(Bug::KeepsItselfDead, 4, PAUSE);
}

#[test]
fn a_silent_leaver_shrinks() {
    shrinks(Bug::LeavesSilently, 4, LEAVE);
}

#[test]
fn a_panic_shrinks() {
    shrinks(Bug::Panics, 4, PAUSE);
}
