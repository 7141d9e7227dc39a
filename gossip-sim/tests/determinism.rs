//! The same seed and scenario give the same run: twice in a row, with any number of threads, and in debug and release.

use std::sync::atomic::{AtomicU64, Ordering};

use gossip_sim::{Scenario, Simulation, Span, Sweep};

fn chaos() -> Scenario {
    let mut scenario = Scenario::builtin("chaos").expect("it is built in");
    scenario.nodes = 9;
    scenario
}

/// The same without messages between applications.
fn silent() -> Scenario {
    let mut scenario = chaos();
    scenario.broadcast.clear();
    scenario.direct.clear();
    scenario.request.clear();
    scenario.tags.clear();
    scenario
}

fn hash(scenario: &Scenario, seed: u64) -> String {
    Simulation::new(scenario.clone()).seed(seed).run().expect("the scenario is right").trace_hash
}

/// Changes with the protocol, the simulator and the scenario, and with nothing else: not with the machine, the build
/// profile or the day. When one of the three was changed on purpose, put the new value here.
const GOLDEN: &str = "9ef6f1646aba63f1";

/// The same with messages.
const GOLDEN_WITH_MESSAGES: &str = "b0709fb42006051c";

#[test]
fn the_fingerprint_of_a_known_run_is_the_same_in_debug_and_release() {
    assert_eq!(hash(&silent(), 42), GOLDEN);
    assert_eq!(hash(&chaos(), 42), GOLDEN_WITH_MESSAGES);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    assert_eq!(hash(&chaos(), 7), hash(&chaos(), 7));
    assert_ne!(hash(&chaos(), 7), hash(&chaos(), 8));
}

#[test]
fn writing_a_trace_changes_nothing_and_tells_what_happened() {
    let path = std::env::temp_dir().join(format!("gossip-sim-trace-{}", std::process::id()));
    let traced = Simulation::new(chaos()).seed(7).trace(&path).run().expect("it runs");
    let text = std::fs::read_to_string(&path).expect("the trace was written");
    std::fs::remove_file(&path).expect("the trace can be removed");
    assert_eq!(traced.trace_hash, hash(&chaos(), 7));
    assert!(text.contains("fault 0 (") && text.contains(" sends ") && text.contains(" reports "), "{}", &text[..200]);
}

#[test]
fn an_expanded_scenario_runs_as_the_one_it_came_from() {
    assert_eq!(hash(&chaos(), 5), hash(&chaos().expanded(5), 5));
}

#[test]
fn any_number_of_threads_gives_the_same_sweep() {
    let mut scenario = chaos();
    scenario.duration = Span::secs(30);
    let sweep = |jobs| Sweep { seeds: 1..9, jobs, time_limit: None, most_failures: 100 };
    let runs = AtomicU64::new(0);
    let one = sweep(1).run(&scenario, |_, _| _ = runs.fetch_add(1, Ordering::Relaxed)).expect("it runs");
    let four = sweep(4).run(&scenario, |_, _| ()).expect("it runs");
    assert_eq!(one.summary, four.summary);
    assert_eq!((runs.into_inner(), one.summary.runs), (8, 8));
}
