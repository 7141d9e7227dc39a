//! Every built-in scenario holds all rules, on a small cluster, and shows what it is there to show.

use gossip_sim::{Report, Scenario, Simulation, Span, Status, World};

fn run(name: &str, change: impl FnOnce(&mut Scenario)) -> Report {
    let mut scenario = Scenario::builtin(name).expect("it is built in");
    change(&mut scenario);
    Simulation::new(scenario).seed(11).run().expect("the scenario is right")
}

#[test]
fn all_built_in_scenarios_hold_all_rules() {
    for name in Scenario::builtin_names() {
        let report = run(name, |scenario| {
            scenario.nodes = scenario.nodes.min(24);
            scenario.duration = scenario.duration.min(Span::secs(120));
            if let Some(chaos) = &mut scenario.chaos {
                (chaos.faults, chaos.until) = (chaos.faults.min(20), chaos.until.min(Span::secs(120)));
            }
        });
        assert!(report.passed(), "{report}");
        assert!(report.converged_ms.is_some(), "{report}");
    }
}

#[test]
fn an_idle_cluster_costs_two_datagrams_per_node_and_second_and_suspects_nobody() {
    let report = run("idle", |_| ());
    assert!((1.9..2.1).contains(&report.datagrams_per_node_s), "{report}");
    assert!(report.bytes_per_node_s < 200.0 && report.suspected == 0, "{report}");
}

#[test]
fn a_cluster_that_starts_joined_knows_itself_whole_whatever_its_size() {
    let report = run("idle", |scenario| (scenario.nodes, scenario.duration) = (500, Span::secs(10)));
    assert!((1.9..2.1).contains(&report.datagrams_per_node_s), "{report}");
    assert!(report.converged_ms == Some(0.0) && report.bytes_per_node_s < 400.0, "{report}");
}

#[test]
fn a_crash_is_known_to_all_within_the_time_that_the_settings_promise() {
    let report = run("crash", |_| ());
    assert_eq!(report.dead_all_ms.count, 5);
    assert!(report.first_suspect_ms.max < 5_000.0, "{report}");
    assert!(report.dead_all_ms.max < 20_000.0, "{report}");
    assert_eq!((report.false_suspected, report.false_dead), (0, 0));
}

#[test]
fn leavers_are_leaving_and_never_dead() {
    let report = run("leave", |_| ());
    assert_eq!((report.dead, report.suspected), (0, 0), "{report}");
}

#[test]
fn pauses_and_slow_nodes_kill_nobody() {
    for name in ["pause", "slow"] {
        let report = run(name, |_| ());
        assert!(report.passed() && report.dead == 0, "{report}");
    }
}

#[test]
fn a_new_id_and_a_new_address_are_told_from_a_restart() {
    let text = "nodes = 5\nduration = \"60s\"\n\
        [[fault]]\nat = \"2s\"\nlasts = \"2s\"\ndo = { crash = { nodes = [1], back_as = \"new_id\" } }\n\
        [[fault]]\nat = \"2s\"\nlasts = \"2s\"\ndo = { crash = { nodes = [2], back_as = \"new_address\" } }\n\
        [[fault]]\nat = \"2s\"\nlasts = \"2s\"\ndo = { leave = { nodes = [3] } }\n\
        [[fault]]\nat = \"3s\"\ndo = { join = { nodes = 2 } }\n";
    let scenario = Scenario::parse(text, "x").expect("it is right");
    let mut world = World::new(&scenario, 1).expect("it is right");
    world.run_for(Span::secs(60));
    assert_eq!(world.failures(), []);
    assert_eq!((world.len(), world.status(6)), (7, Status::Running));
    let node = world.node(0).expect("it runs");
    assert_eq!(node.live_count(), 7, "five that were there, and two that joined");
    assert_eq!(node.members().count(), 8, "and the one that changed its id, dead");
    assert!(world.node(2).is_some_and(|node| *node.address() >= 7), "it has another address");
}

#[test]
fn a_partition_can_be_watched_from_the_inside() {
    let text = "nodes = 6\n[[fault]]\nat = \"1s\"\nlasts = \"40s\"\ndo = { split = { groups = [[0, 1]] } }\n";
    let scenario = Scenario::parse(text, "x").expect("it is right");
    let mut world = World::new(&scenario, 1).expect("it is right");
    world.run_for(Span::secs(40));
    let live = |world: &World, host| world.node(host).map(gossip_core::Node::live_count);
    assert_eq!((live(&world, 0), live(&world, 5)), (Some(2), Some(4)));
    world.run_for(Span::secs(60));
    assert_eq!((live(&world, 0), live(&world, 5)), (Some(6), Some(6)));
    assert_eq!(world.failures(), []);
}
