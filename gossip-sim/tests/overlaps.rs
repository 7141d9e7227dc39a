//! Faults that overlap are what they are called, and worlds can be driven by hand.

use gossip_sim::{Action, Comeback, Scenario, Select, Span, Status, World};

fn world(text: &str) -> World {
    let scenario = Scenario::parse(text, "overlaps").expect("the scenario is right");
    World::new(&scenario, 1).expect("the scenario is right")
}

fn sent(world: &World, host: u32) -> u64 {
    world.node(host).map_or(0, |node| node.stats().datagrams_sent)
}

#[test]
fn a_machine_that_stands_still_leaves_when_it_goes_on() {
    let mut world = world(
        "nodes = 8\n[[fault]]\nat = \"5s\"\nlasts = \"3s\"\ndo = { pause = { nodes = [4] } }\n\
         [[fault]]\nat = \"6s\"\ndo = { leave = { nodes = [4] } }\n",
    );
    world.run_for(Span::millis(5_500));
    let before = sent(&world, 4);
    world.run_for(Span::millis(2_400));
    assert_eq!((sent(&world, 4), world.status(4)), (before, Status::Running));
    world.run_for(Span::secs(2));
    assert_eq!(world.status(4), Status::Left);
}

#[test]
fn a_machine_that_stands_still_starts_its_node_when_it_goes_on() {
    let mut world = world(
        "nodes = 8\n[[fault]]\nat = \"5s\"\nlasts = \"10s\"\ndo = { pause = { nodes = [4] } }\n\
         [[fault]]\nat = \"6s\"\nlasts = \"1s\"\ndo = { crash = { nodes = [4] } }\n",
    );
    world.run_for(Span::secs(14));
    assert_eq!(world.status(4), Status::Crashed);
    world.run_for(Span::secs(2));
    assert_eq!(world.status(4), Status::Running);
}

#[test]
fn a_node_that_several_faults_keep_down_starts_when_the_last_is_over() {
    let mut world = world(
        "nodes = 5\n[[fault]]\nat = \"5s\"\nlasts = \"30s\"\ndo = { crash = { nodes = [3] } }\n\
         [[fault]]\nat = \"10s\"\nlasts = \"5s\"\ndo = { crash = { nodes = [3, 4] } }\n\
         [[fault]]\nat = \"12s\"\ndo = { crash = { nodes = [4] } }\n",
    );
    world.run_for(Span::secs(16));
    assert_eq!((world.status(3), world.status(4)), (Status::Crashed, Status::Crashed));
    world.run_for(Span::secs(20));
    assert_eq!((world.status(3), world.status(4)), (Status::Running, Status::Crashed), "one of them never ends");
}

#[test]
fn the_end_of_one_drift_leaves_the_other() {
    let drift = "[[fault]]\nat = \"5s\"\nlasts = \"50s\"\ndo = { clock = { nodes = [1], drift_ppm = 400000 } }\n";
    let short = "[[fault]]\nat = \"6s\"\nlasts = \"1s\"\ndo = { clock = { nodes = [1], drift_ppm = 1 } }\n";
    let counts = [drift.to_owned(), format!("{drift}{short}")].map(|faults| {
        let mut world = world(&format!("nodes = 6\n{faults}"));
        world.run_for(Span::secs(50));
        sent(&world, 1)
    });
    assert!(counts[0].abs_diff(counts[1]) <= 4, "{counts:?}");
}

#[test]
fn a_world_can_be_struck_and_used_by_hand() {
    let mut world = world("nodes = 5\n");
    world.run_for(Span::secs(2));
    let crash = |nodes| Action::Crash { nodes, back_as: Comeback::Same };
    world.strike(crash(Select::List(vec![4])), Some(Span::secs(20))).expect("there is a node 4");
    world.run_for(Span::secs(15));
    assert_eq!((world.status(4), world.node(0).map(gossip_core::Node::live_count)), (Status::Crashed, Some(4)));
    let set = world.with_node(1, |node, now| node.set_metadata(now, "by", "hand").is_ok());
    assert_eq!((set, world.with_node(4, |_, _| ())), (Some(true), None));
    world.run_for(Span::secs(30));
    let known = world.node(0).and_then(|node| node.member(world.node(1)?.id())).expect("they know each other");
    assert!(known.metadata.get("by").is_some());
    assert_eq!((world.status(4), world.failures()), (Status::Running, &[][..]));
    for (action, lasts) in [
        (crash(Select::Count(1)), None),
        (crash(Select::List(vec![9])), None),
        (Action::Split { groups: vec![Select::List(vec![1])] }, None),
    ] {
        assert!(world.strike(action, lasts).is_err());
    }
}

#[test]
fn what_would_do_nothing_or_never_end_is_refused() {
    for (fault, path) in [
        ("split = { groups = [\"all\"] }", "fault[0].do.split.groups[0]"),
        ("split = { groups = [[0, 1], [1, 2]] }", "fault[0].do.split.groups[1]"),
        ("flip_flop = { nodes = \"100%\", open = \"1s\", closed = \"1s\" }", "fault[0].do.flip_flop.nodes"),
        ("cut = { from = 5 }", "fault[0].do.cut.from"),
        ("crash = { nodes = 0 }", "fault[0].do.crash.nodes"),
        ("pause = { nodes = [] }", "fault[0].do.pause.nodes"),
        ("slow = { nodes = 1, delay = \"1s\", every = \"2s\" }", "fault[0].do.slow.every"),
        ("impair = { nodes = 1, link = { rate = 0 } }", "fault[0].do.impair.link.rate"),
        ("impair = { nodes = 1, link = { mtu = 0 } }", "fault[0].do.impair.link.mtu"),
        ("twin = { of = 2 }", "fault[0].do.twin.of"),
    ] {
        let text = format!("nodes = 5\n[[fault]]\nat = \"1s\"\nlasts = \"5s\"\ndo = {{ {fault} }}\n");
        let problem = Scenario::parse(&text, "x").expect_err(fault).to_string();
        assert!(problem.contains(path), "{problem}");
    }
    let endless = "nodes = 5\n[[fault]]\nat = \"1s\"\ndo = { split = { groups = [\"50%\"] } }\n";
    assert!(Scenario::parse(endless, "x").expect_err("no end").to_string().contains("`lasts`"));
    let share = Scenario::parse("nodes = 100\n[[fault]]\nat = \"1s\"\ndo = { crash = { nodes = \"29%\" } }\n", "x");
    let expanded = share.expect("it is right").expanded(1);
    assert!(matches!(&expanded.fault[0].action, Action::Crash { nodes: Select::List(nodes), .. } if nodes.len() == 29));
}
