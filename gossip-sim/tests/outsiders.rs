//! Outsiders without the key: what they do is counted, and nothing else comes of it.

use gossip_sim::{
    Action, App, AppContext, Oracle, Outsiders, Report, Scenario, Select, Simulation, Span, Tactic, World,
};

fn builtin(name: &str) -> Scenario {
    Scenario::builtin(name).expect("it is built in")
}

fn run(scenario: &Scenario, seed: u64) -> Report {
    Simulation::new(scenario.clone()).seed(seed).run().expect("the scenario is right")
}

fn outsiders(report: &Report) -> &Outsiders {
    report.outsiders.as_ref().expect("there are outsiders")
}

/// The scenario holds all rules, and packets were dropped for each of these reasons.
fn holds(name: &str, packets: u64, reasons: &[&str]) -> Report {
    let report = run(&builtin(name), 2);
    assert!(report.passed() && report.converged_ms.is_some(), "{report}");
    let outsiders = outsiders(&report);
    assert!(outsiders.packets >= packets, "{report}");
    for &reason in reasons {
        assert!(outsiders.dropped.get(reason).is_some_and(|&count| count > 0), "{reason}: {report}");
    }
    report
}

#[test]
fn nothing_comes_of_repeated_packets_over_datagrams_and_streams_and_restarts_of_either_side() {
    let reasons = ["replayed", "bad_seal", "channel", "stale_epoch", "unbound"];
    let report = holds("outsider-replay", 10_000, &reasons);
    assert!(report.faults.iter().any(|fault| fault.name == "crash"), "{report}");
    let outsiders = outsiders(&report);
    assert!(outsiders.answers < 50 && outsiders.answer_bytes <= 256 * outsiders.answers, "{report}");
}

#[test]
fn nothing_comes_of_packets_that_are_sent_back_or_in_the_name_of_others() {
    holds("outsider-reflect", 10_000, &["bad_seal", "replayed"]);
}

#[test]
fn nothing_comes_of_a_flood() {
    let reasons = ["bad_seal", "channel", "replayed", "truncated", "version"];
    assert_eq!(outsiders(&holds("outsider-flood", 40_000, &reasons)).answers, 0);
}

#[test]
fn nothing_comes_of_what_is_made_up_without_the_key() {
    let reasons = ["plaintext", "unknown_key", "bad_seal"];
    assert_eq!(outsiders(&holds("outsider-forgery", 10_000, &reasons)).answers, 0);
}

/// The same without the comparison that the simulator makes itself.
#[test]
fn a_run_with_outsiders_shows_what_the_same_run_without_them_shows() {
    let mut with = builtin("outsider-forgery");
    with.workload.as_mut().expect("it has one").until = Some(Span::secs(20));
    let with = with.expanded(4);
    let mut without = with.clone();
    without.fault.retain(|fault| !matches!(fault.action, Action::Outsider { .. }));
    let (with, without) = (run(&with, 4), run(&without, 4));
    assert!(with.passed() && outsiders(&with).packets > 10_000 && without.outsiders.is_none(), "{with}");
    assert!(without.suspected > 0 && !without.crashes.is_empty(), "{without}");
    assert_eq!(with.node_traffic, without.node_traffic);
    assert_eq!(with.states, without.states);
    assert_eq!(with.crashes, without.crashes);
    assert_eq!(with.messages, without.messages);
    assert_ne!(with.trace_hash, without.trace_hash, "the fingerprint is over what outsiders send as well");
}

#[test]
fn without_keys_the_same_outsiders_do_harm() {
    for name in ["outsider-replay", "outsider-forgery"] {
        let report = run(&Scenario { sealed: false, ..builtin(name) }, 1);
        assert!(report.oracle_failures.iter().any(|failure| failure.oracle == Oracle::Harmless), "{report}");
    }
}

#[test]
fn outsiders_may_be_among_faults_that_are_drawn_by_chance() {
    let text = "nodes = 8\nsealed = true\nduration = \"40s\"\n[[broadcast]]\nevery = \"500ms\"\n\
        [chaos]\nfaults = 12\nfrom = \"1s\"\nuntil = \"30s\"\nlongest = \"10s\"\n\
        kinds = [\"outsider\", \"outsider\", \"crash\", \"pause\", \"slow\", \"impair\", \"clock\"]\n";
    let scenario = Scenario::parse(text, "x").expect("it is right");
    for seed in 1..4 {
        let report = run(&scenario, seed);
        assert!(report.passed() && outsiders(&report).packets > 0, "{report}");
    }
}

#[test]
fn an_outsider_can_be_let_in_by_hand() {
    let mut scenario = Scenario::new("x", 6);
    scenario.sealed = true;
    let mut world = World::new(&scenario, 1).expect("it is right");
    let outsider = Action::Outsider {
        nodes: Select::List(vec![1, 2]),
        per_second: 100,
        sees: Some(Select::List(vec![1])),
        tactics: vec![Tactic::Replay, Tactic::Forge],
    };
    world.strike(outsider, Some(Span::secs(5))).expect("it is right");
    world.run_for(Span::secs(10));
    assert_eq!(world.failures(), []);
    let dropped = |host| world.node(host).map(|node| node.stats().dropped_total());
    assert!(dropped(1) > Some(300) && dropped(2) > Some(300), "{:?}", dropped(1));
    assert_eq!(dropped(3), Some(0));
}

/// Says something to a neighbour from time to time.
struct Talker;

impl App for Talker {
    fn start(&mut self, cx: &mut AppContext<'_>) {
        cx.wake_after(Span::millis(100));
    }

    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        let to = u32::try_from(cx.random_below(4)).expect("it is below 4");
        cx.send(to, b"hello");
        cx.wake_after(Span::millis(100));
    }
}

#[test]
fn applications_go_on_as_if_there_were_no_outsiders() {
    let text = "nodes = 4\nsealed = true\nduration = \"10s\"\n\
        [[fault]]\nat = \"1s\"\nlasts = \"8s\"\ndo = { outsider = { nodes = \"all\", per_second = 50 } }\n";
    let scenario = Scenario::parse(text, "x").expect("it is right");
    let report = Simulation::new(scenario).app(|_| Talker).run().expect("it runs");
    assert!(report.passed() && outsiders(&report).packets > 1_000, "{report}");
}
