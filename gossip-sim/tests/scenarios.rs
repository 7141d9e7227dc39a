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

#[test]
fn a_sealed_cluster_starts_joined_and_costs_as_many_packets_as_another() {
    let report = run("idle", |scenario| {
        (scenario.nodes, scenario.duration, scenario.sealed) = (40, Span::secs(10), true);
    });
    assert!(report.passed() && (1.9..2.1).contains(&report.datagrams_per_node_s), "{report}");
    assert_eq!((report.converged_ms, report.suspected), (Some(0.0), 0), "{report}");
}

#[test]
fn a_sealed_cluster_holds_all_rules_while_its_nodes_come_and_go() {
    let text = "nodes = 8\nsealed = true\nstart = \"storm\"\nduration = \"20s\"\n\
        [[fault]]\nat = \"3s\"\nlasts = \"2s\"\ndo = { crash = { nodes = [1] } }\n\
        [[fault]]\nat = \"3s\"\nlasts = \"2s\"\ndo = { leave = { nodes = [2] } }\n\
        [[fault]]\nat = \"4s\"\ndo = { join = { nodes = 2 } }\n";
    let scenario = Scenario::parse(text, "x").expect("it is right");
    let report = Simulation::new(scenario).seed(1).run().expect("it is right");
    assert!(report.passed() && report.converged_ms.is_some(), "{report}");
}

#[test]
fn a_key_changes_under_loss_and_no_broadcast_is_lost_and_nobody_suspected() {
    let scenario = Scenario::builtin("rotation").expect("it is built in");
    let report = Simulation::new(scenario.clone()).seed(5).run().expect("the scenario is right");
    assert!(report.passed(), "{report}");
    assert_eq!((report.suspected, report.dead), (0, 0), "{report}");
    let broadcasts = report.messages.broadcasts;
    assert!(broadcasts >= 20 * 20 && report.messages.broadcast_delivered == Some(1.0), "{report}");
    let mut world = World::new(&scenario, 5).expect("the scenario is right");
    let keys = |world: &World| -> Vec<Vec<_>> {
        (0..20).filter_map(|node| world.node(node)).map(|node| node.key_ids().collect()).collect()
    };
    let before = keys(&world);
    world.run_for(Span::secs(30));
    let after = keys(&world);
    assert!(before.iter().all(|ring| ring.len() == 1 && *ring == before[0]), "{before:?}");
    assert!(after.iter().all(|ring| ring.len() == 1 && *ring == after[0]) && after[0] != before[0], "{after:?}");
}

#[test]
fn a_node_that_was_down_during_a_change_of_keys_comes_back_with_what_it_had() {
    let rotate = |at: &str, step: &str, key: u32| {
        format!("[[fault]]\nat = \"{at}\"\ndo = {{ rotate = {{ nodes = \"all\", step = \"{step}\", key = {key} }} }}\n")
    };
    let crash = "[[fault]]\nat = \"2s\"\nlasts = \"20s\"\ndo = { crash = { nodes = [3] } }\n";
    let text = format!(
        "nodes = 6\nsealed = true\nduration = \"90s\"\n{crash}{}{}",
        rotate("4s", "install", 1),
        rotate("6s", "use", 1)
    );
    let scenario = Scenario::parse(&text, "x").expect("it is right");
    let mut world = World::new(&scenario, 1).expect("it is right");
    world.run_for(Span::secs(90));
    let rings: Vec<usize> = (0..6).filter_map(|node| world.node(node)).map(|node| node.key_ids().count()).collect();
    assert_eq!(rings, [2, 2, 2, 1, 2, 2]);
    assert!(
        (0..6).all(|host| world.node(host).is_some_and(|node| node.live_count() == 6)),
        "it is answered in its key"
    );
    assert_eq!(world.failures(), []);
}

#[test]
fn keys_are_only_changed_where_there_are_keys() {
    let text =
        "nodes = 6\n[[fault]]\nat = \"4s\"\ndo = { rotate = { nodes = \"all\", step = \"install\", key = 1 } }\n";
    let error = Scenario::parse(text, "x").expect_err("it has no keys").to_string();
    assert!(error.contains("fault[0].do.rotate") && error.contains("sealed = true"), "{error}");
}
