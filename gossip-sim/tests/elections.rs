//! Elections in whole clusters: how long they take, how long leaders stay, and that the oracles of elections bite.

use gossip_core::{MemberState, NodeId};
use gossip_sim::{Action, Bug, Comeback, Oracle, Report, Sabotage, Scenario, Select, Simulation, Span, World};

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text, "elections").expect("the scenario is right")
}

fn leader(world: &World) -> Option<u32> {
    world.leaders().first().map(|&(host, _)| host)
}

/// Runs until somebody else than `former` leads, and says how many milliseconds that took.
fn wait_for_another(world: &mut World, former: Option<u32>) -> u64 {
    const STEP: u64 = 5;
    let waits = (0..12_000).find(|_| {
        let has_one = leader(world).is_some_and(|host| Some(host) != former);
        if !has_one {
            world.run_for(Span::millis(STEP));
        }
        has_one
    });
    assert!(world.failures().is_empty(), "{:?}", world.failures());
    waits.expect("there is another leader within a minute") * STEP
}

/// For each seed the time that `wait` takes after the leader was struck, sorted.
fn times(nodes: u32, action: impl Fn(Select) -> Action, wait: impl Fn(&mut World, (u32, NodeId)) -> u64) -> Vec<u64> {
    let text = format!("nodes = {nodes}\n[election]\n");
    let mut times: Vec<u64> = (1..=20)
        .map(|seed| {
            let mut world = World::new(&scenario(&text), seed).expect("the scenario is right");
            wait_for_another(&mut world, None);
            world.run_for(Span::secs(60));
            let former = leader(&world).expect("nothing happened to the leader");
            let id = world.node(former).expect("it runs").id();
            world.strike(action(Select::List(vec![former])), None).expect("the fault is right");
            wait(&mut world, (former, id))
        })
        .collect();
    times.sort_unstable();
    times
}

fn until_replaced(world: &mut World, (former, _): (u32, NodeId)) -> u64 {
    wait_for_another(world, Some(former))
}

/// Runs until some other node believes the host dead, and says how many milliseconds that took.
fn until_detected(world: &mut World, (crashed, id): (u32, NodeId)) -> u64 {
    const STEP: u64 = 5;
    let is_detected = |world: &World| {
        let others = (0..world.len()).filter(|&host| host != crashed);
        others.filter_map(|host| world.node(host)?.member(id)).any(|member| member.state == MemberState::Dead)
    };
    let waits = (0..12_000).find(|_| {
        let is_over = is_detected(world);
        if !is_over {
            world.run_for(Span::millis(STEP));
        }
        is_over
    });
    waits.expect("a crash is detected within a minute") * STEP
}

#[test]
fn a_leader_that_crashes_is_replaced_within_a_second_of_when_that_can_be_noticed() {
    let crash = |nodes| Action::Crash { nodes, back_as: Comeback::Same };
    for nodes in [3, 5, 9] {
        let replaced = times(nodes, crash, until_replaced);
        let detected = times(nodes, crash, until_detected);
        eprintln!("{nodes} nodes, ms from crash to the next leader: {replaced:?}");
        eprintln!("{nodes} nodes, ms from crash to when another node believes it dead: {detected:?}");
        // The lease is what it takes to notice; the rest is the vote.
        assert!(replaced[10] <= 3_000 + 1_000, "{nodes} nodes: {replaced:?}");
        assert!(replaced[10] <= detected[10] + 1_000, "{nodes} nodes: {replaced:?} and {detected:?}");
    }
}

#[test]
fn a_leader_that_leaves_is_replaced_at_once() {
    for nodes in [3, 5, 9] {
        let times = times(nodes, |nodes| Action::Leave { nodes, back_as: Comeback::Same }, until_replaced);
        eprintln!("{nodes} nodes, ms from leaving to the next leader: {times:?}");
        assert!(times[19] <= 500, "{nodes} nodes: {times:?}");
    }
}

#[test]
fn a_leader_stays_for_a_day_with_loss() {
    for seed in [1, 2] {
        let text = "nodes = 5\n[link]\nloss = 0.02\n[election]\n";
        let mut world = World::new(&scenario(text), seed).expect("the scenario is right");
        wait_for_another(&mut world, None);
        let first = world.leaders();
        for _ in 0..24 * 12 {
            world.run_for(Span::secs(300));
            assert_eq!(world.leaders(), first);
        }
        assert!(world.failures().is_empty(), "{:?}", world.failures());
    }
}

fn run(scenario: &Scenario) -> Report {
    Simulation::new(scenario.clone()).seed(3).run().expect("the scenario is right")
}

/// The bug is found by this oracle, and without the bug nothing is.
fn finds(oracle: Oracle, bug: Bug) {
    let crash = "[[fault]]\nat = \"30s\"\nlasts = \"60s\"\ndo = { split = { groups = [[0], [1]] } }\n\
                 [[fault]]\nat = \"100s\"\nlasts = \"20s\"\ndo = { split = { groups = [[0], [2]] } }\n";
    let text = format!("nodes = 3\nseeds = 3\nduration = \"8m\"\n[election]\n{crash}");
    let innocent = run(&scenario(&text));
    assert!(innocent.passed(), "{innocent}");
    // Some node leads first, and another one later: the bug is in each of them in turn.
    let found = (0..3).any(|node| {
        let mut scenario = scenario(&text);
        scenario.sabotage = Some(Sabotage { bug, node, after: Span::ZERO });
        run(&scenario).oracle_failures.iter().any(|failure| failure.oracle == oracle)
    });
    assert!(found, "{oracle} finds it");
}

#[test]
fn a_node_that_leads_for_ever() {
    finds(Oracle::Leases, Bug::KeepsLeading);
}

#[test]
fn a_node_that_leads_in_the_term_of_another() {
    finds(Oracle::OneLeader, Bug::RepeatsTerms);
}

#[test]
fn a_node_that_does_not_follow() {
    finds(Oracle::Led, Bug::HidesLeader);
}

/// Runs the scenario `election` with these numbers of nodes and seeds.
fn holds(runs: impl IntoIterator<Item = (u32, u64)>) {
    for (nodes, seed) in runs {
        let scenario = Scenario { nodes, ..Scenario::builtin("election").expect("it is built in") };
        let report = Simulation::new(scenario).seed(seed).run().expect("the scenario is right");
        assert!(report.passed(), "{nodes} nodes: {report}");
    }
}

/// Seeds of the scenario `election`, which the sweep of thousands begins with.
#[test]
fn mixed_faults_break_nothing() {
    holds([3, 4, 5, 7, 9].into_iter().flat_map(|nodes| [9, 54, 77].map(|seed| (nodes, seed))));
}

/// Voters that came back under other ids were waited for, for ever: "the nodes do not follow one leader", `ElectorateLost`.
#[test]
fn voters_that_came_back_under_other_ids_are_not_waited_for() {
    holds([(3, 174), (3, 226), (4, 226), (5, 1), (7, 111), (8, 148), (9, 173)]);
}

/// One of them had voted in a later term, and refused every beat: "the nodes do not follow one leader", which the rest did.
#[test]
fn a_member_that_voted_in_a_later_term_finds_a_leader_to_follow() {
    holds([(5, 527), (6, 707), (7, 420), (7, 537), (8, 125), (8, 417), (8, 619)]);
}

/// Nobody asked for votes, because nobody who ran had one: "the nodes do not follow one leader", `ElectorateLost`.
#[test]
fn somebody_stands_when_all_who_had_a_vote_started_again() {
    holds([(4, 638), (5, 151)]);
}

/// A fault of the simulator's: the leap made it forget that the node was at work still: "a deadline is served 79 ms late".
#[test]
fn a_clock_that_leaps_while_a_node_catches_up_makes_no_deadline_late() {
    holds([(3, 1049), (7, 1049), (4, 1583), (3, 2741), (5, 4034)]);
}

/// Two nodes that were quiet asked only each other whether their rivals still lived: "nodes that agreed came apart".
#[test]
fn quiet_nodes_that_know_each_other_take_part_again() {
    holds([(3, 492)]);
}

/// Its clock had gone back, and a member that woke up told it of its own past: it said nothing for ten seconds, as it should.
#[test]
fn who_is_quiet_because_of_its_own_past_may_be_believed_dead() {
    holds([(4, 1991)]);
}
