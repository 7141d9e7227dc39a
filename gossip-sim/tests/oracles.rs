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

/// A fault of no consequence for anybody but node 1, in the middle of what follows from others.
const ELSEWHERE: &str = "[[fault]]\nat = \"6s\"\nlasts = \"30s\"\ndo = { pause = { nodes = [1] } }\n\
    [[fault]]\nat = \"6s\"\ndo = { clock = { nodes = [2], wall = \"1s\" } }\n";

#[test]
fn a_leaver_that_is_believed_dead_while_others_are_in_trouble() {
    finds(Oracle::Leavers, &planted(Bug::LeavesSilently, 4, &format!("{LEAVE}{ELSEWHERE}")));
    let comes_back = LEAVE.replace("at = ", "lasts = \"40s\"\nat = ");
    finds(Oracle::Leavers, &planted(Bug::LeavesSilently, 4, &comes_back));
    let both = "[[fault]]\nat = \"5s\"\nevery = \"1s\"\ndo = { leave = { nodes = [4, 5] } }\n";
    finds(Oracle::Leavers, &planted(Bug::LeavesSilently, 4, both));
}

#[test]
fn a_node_that_keeps_itself_dead_on_links_that_lose_some_packets() {
    let mut lossy = planted(Bug::KeepsItselfDead, 4, PAUSE);
    lossy.link.loss = gossip_sim::Share::new(0.02).expect("it is a share");
    lossy.duration = Span::secs(240);
    finds(Oracle::SelfDead, &lossy);
}

#[test]
fn nodes_that_do_not_agree_though_no_seed_is_left() {
    let no_seeds = "[[fault]]\nat = \"50s\"\ndo = { crash = { nodes = [0, 1, 2] } }\n";
    finds(Oracle::Agreement, &planted(Bug::KeepsItselfDead, 4, &format!("{PAUSE}{no_seeds}")));
}

#[test]
fn links_that_lose_everything_are_no_agreement() {
    let mut dark = scenario("");
    dark.link.loss = gossip_sim::Share::new(1.0).expect("it is a share");
    let report = run(&dark);
    assert!(report.oracle_failures.iter().any(|failure| failure.oracle == Oracle::Agreement), "{report}");
    assert_eq!((report.converged_ms, report.agreement.as_str()), (None, "apart"));
}

#[test]
fn a_node_that_dies_for_others_though_it_could_speak_up() {
    // It stands still, and nobody is told; two others are in trouble, and everybody knows.
    let mut scenario = planted(Bug::Stalls, 4, ELSEWHERE);
    scenario.duration = Span::secs(120);
    finds(Oracle::Accuracy, &scenario);
}

#[test]
fn a_newcomer_whose_attempts_to_join_are_never_answered() {
    let join = "[[fault]]\nat = \"5s\"\ndo = { join = { nodes = [20] } }\n";
    finds(Oracle::Answers, &planted(Bug::SwallowsAnswers, 20, join));
    finds(Oracle::Answers, &planted(Bug::SwallowsAnswers, 4, "start = { every = \"100ms\" }\n"));
}

#[test]
fn a_node_whose_packets_pile_up() {
    // Who starts asks the first node, and sixteen of its seeds.
    let many = "start = \"storm\"\nsettings = { max_transmits = 16 }\n";
    let mut scenario = planted(Bug::HoardsPackets, 4, many);
    (scenario.nodes, scenario.seeds) = (60, 60);
    finds(Oracle::Bounded, &scenario);
}

const BROADCASTS: &str = "[[broadcast]]\nevery = \"100ms\"\nbytes = 100\nordered = true\nfrom = 2\n";
const TAGGED: &str =
    "tags = { blue = [0, 1, 2, 3] }\n[[broadcast]]\nevery = \"100ms\"\ntag = \"blue\"\nfrom = [0, 1]\n";
const REQUESTS: &str = "[[request]]\nevery = \"100ms\"\n";
const MESSAGES: &str = "[[direct]]\nevery = \"100ms\"\nreliable = true\n";

#[test]
fn a_node_that_loses_broadcasts() {
    finds(Oracle::Delivered, &planted(Bug::LosesBroadcasts, 4, BROADCASTS));
}

#[test]
fn a_node_that_loses_broadcasts_while_others_are_in_trouble() {
    let trouble = "[[fault]]\nat = \"10s\"\nlasts = \"20s\"\ndo = { pause = { nodes = [7] } }\n\
        [[fault]]\nat = \"10s\"\nlasts = \"30s\"\ndo = { impair = { nodes = \"all\", link = { loss = 0.2 } } }\n";
    let mut scenario = planted(Bug::LosesBroadcasts, 4, &format!("{BROADCASTS}until = \"40s\"\n{trouble}"));
    if let Some(sabotage) = &mut scenario.sabotage {
        sabotage.after = Span::secs(12);
    }
    finds(Oracle::Delivered, &scenario);
}

#[test]
fn a_broadcast_that_is_delivered_twice() {
    finds(Oracle::Delivered, &planted(Bug::RepeatsBroadcasts, 4, BROADCASTS));
}

#[test]
fn a_broadcast_that_nobody_sent_or_not_like_that() {
    finds(Oracle::Invented, &planted(Bug::InventsBroadcasts, 4, BROADCASTS));
    finds(Oracle::Invented, &planted(Bug::SpoilsPayloads, 4, BROADCASTS));
}

#[test]
fn a_node_that_gets_what_is_for_a_tag_that_it_does_not_have() {
    finds(Oracle::Tagged, &planted(Bug::WearsAllTags, 7, TAGGED));
}

#[test]
fn broadcasts_that_come_out_of_order() {
    finds(Oracle::Ordered, &planted(Bug::ShufflesBroadcasts, 4, BROADCASTS));
}

#[test]
fn requests_without_an_end_and_with_two() {
    finds(Oracle::Requests, &planted(Bug::SwallowsEnds, 4, REQUESTS));
    finds(Oracle::Requests, &planted(Bug::RepeatsEnds, 4, REQUESTS));
}

#[test]
fn a_reliable_message_that_is_lost_without_a_word() {
    finds(Oracle::Requests, &planted(Bug::LosesMessages, 4, MESSAGES));
}

/// A sealed cluster with an outsider who does this.
fn hostile(bug: Bug, tactics: &str) -> Scenario {
    let outsider = format!("outsider = {{ nodes = \"all\", per_second = 40, tactics = [{tactics}] }}");
    let crash = "[[fault]]\nat = \"4s\"\nlasts = \"2s\"\ndo = { crash = { nodes = [4] } }\n";
    let fault = format!("[[fault]]\nat = \"1s\"\nlasts = \"15s\"\ndo = {{ {outsider} }}\n");
    let mut scenario = planted(bug, 4, &format!("sealed = true\n{BROADCASTS}until = \"15s\"\n{crash}{fault}"));
    scenario.duration = Span::secs(16);
    scenario
}

#[test]
fn a_node_that_answers_what_does_not_open() {
    let strangers = hostile(Bug::AnswersStrangers, "\"replay\", \"flood\"");
    finds(Oracle::Harmless, &strangers);
    // Who is answered is not the outsider, but a member that he took the address of.
    let spoof = run(&hostile(Bug::AnswersStrangers, "\"spoof\""));
    let differs = |failure: &gossip_sim::Failure| failure.message.contains("would not happen without outsiders");
    assert!(spoof.oracle_failures.iter().any(differs), "{spoof}");
}

#[test]
fn a_node_that_takes_plaintext() {
    finds(Oracle::Harmless, &hostile(Bug::TakesPlaintext, "\"forge\""));
}

#[test]
fn a_node_that_takes_what_was_recorded_before_it_started_again() {
    finds(Oracle::Harmless, &hostile(Bug::RepeatsEpochs, "\"replay\""));
}

/// Thirty harmless faults around the bug: at least nine in ten are gone, and what is left still fails in the same way.
fn shrinks(bug: Bug, node: u32, faults: &str) {
    let mut scenario = planted(bug, node, faults);
    scenario.chaos = Some(gossip_sim::Chaos {
        faults: 30,
        from: Span::secs(50),
        until: Span::secs(100),
        longest: Span::secs(5),
        for_ever: gossip_sim::Share::ZERO,
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
