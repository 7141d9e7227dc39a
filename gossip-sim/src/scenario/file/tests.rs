use super::*;

fn error(text: &str) -> String {
    Scenario::parse(text, "x.toml").expect_err("it is wrong").to_string()
}

#[test]
fn a_scenario_is_written_as_it_is_read() {
    let text = r#"
        name = "all"
        nodes = 20
        [link]
        loss = 0.1
        latency = { log_normal = { median = "40ms", sigma = 0.5 } }
        burst = { enter = 0.1, leave = 0.5, loss = 1 }
        [workload]
        every = "100ms"
        [chaos]
        faults = 3
        kinds = ["crash", "flip_flop"]
        [[fault]]
        at = "5s"
        lasts = "10s"
        do = { split = { groups = ["50%", [1, 2], 3] } }
        [[fault]]
        at = "7s"
        do = { clock = { nodes = "0..4", wall = "-5m", drift_ppm = -200 } }
    "#;
    let scenario = Scenario::parse(text, "x.toml").unwrap();
    assert_eq!(Scenario::parse(&scenario.to_toml(), "y.toml"), Ok(scenario.clone()));
    let expanded = scenario.expanded(4);
    assert_eq!(Scenario::parse(&expanded.to_toml(), "y.toml"), Ok(expanded));
}

#[test]
fn a_wrong_key_names_the_line_and_the_right_ones() {
    let message = error("nodes = 5\n[link]\nlss = 0.1\n");
    assert!(message.starts_with("x.toml:3:1: unknown field `lss`, expected one of `latency`, `loss`"), "{message}");
    let message = error("[[fault]]\nat = \"1s\"\ndo = { crsh = { nodes = 1 } }\n");
    assert!(message.starts_with("x.toml:3:8: unknown variant `crsh`, expected one of `crash`"), "{message}");
    let message = error("[[fault]]\nat = \"1s\"\ndo = { crash = { node = 1 } }\n");
    assert!(message.starts_with("x.toml:3:18: unexpected keys in table: node, available keys: nodes"), "{message}");
}

#[test]
fn a_wrong_value_names_the_line_and_what_was_expected() {
    let message = error("nodes = 5\n\n[link]\nloss = -0.1\n");
    assert!(message.starts_with("x.toml:4:8: ") && message.contains("expected a probability from 0 to 1"), "{message}");
    let message = error("duration = \"soon\"\n");
    assert!(message.starts_with("x.toml:1:12: ") && message.contains("expected a span of time"), "{message}");
    let message = error("nodes = 0\n");
    assert_eq!(message, "x.toml:1:9: nodes: expected 1 to 100000 nodes, found `0`");
    let message = error("[settings]\nprobe_timeout = \"900ms\"\n");
    assert_eq!(message, "x.toml:2:17: settings.probe_timeout: expected 1ms to 500ms, found `\"900ms\"`");
}

#[test]
fn what_was_expected_is_said_in_words() {
    let message = error("nodes = -1\n");
    assert_eq!(message, "x.toml:1:9: invalid value: integer `-1`, expected a whole number from 0 on");
    let message = error("nodes = \"5\"\n");
    assert!(message.ends_with("invalid type: string \"5\", expected a whole number from 0 on"), "{message}");
    for fault in ["{}", "{ crash = { nodes = 1 }, leave = { nodes = 1 } }"] {
        let message = error(&format!("[[fault]]\nat = \"1s\"\ndo = {fault}\n"));
        assert!(message.starts_with("x.toml:3:6: expected a table with exactly one key, like "), "{message}");
    }
    let message = error("[[fault]]\nat = \"1s\"\ndo = \"crash\"\n");
    assert!(message.starts_with("x.toml:3:6: expected a table with the name and its keys, like "), "{message}");
}

#[test]
fn an_unknown_node_names_its_line() {
    let message = error("nodes = 5\n[[fault]]\nat = \"1s\"\ndo = { crash = { nodes = [1, 7] } }\n");
    let expected = "x.toml:4:30: fault[0].do.crash.nodes[1]: expected numbers of nodes: 0 to 4, found `7`";
    assert_eq!(message, expected);
    let message = error("nodes = 5\n[[fault]]\nat = \"1s\"\nlasts = \"1s\"\ndo.cut.from = \"3..9\"\n");
    assert!(message.starts_with("x.toml:5:15: fault[0].do.cut.from: expected numbers of nodes: 0 to 4"), "{message}");
}

#[test]
fn a_tag_of_a_node_that_there_is_not_names_its_line() {
    let message = error("nodes = 5\n[tags]\nblue = [1, 9]\n");
    assert_eq!(message, "x.toml:3:8: tags.blue: expected numbers of nodes: 0 to 4, found `[1, 9]`");
    let joins = "nodes = 5\n[tags]\nblue = [1, 9]\n[[fault]]\nat = \"1s\"\ndo = { join = { nodes = NEW } }\n";
    assert!(error(&joins.replace("NEW", "[8]")).starts_with("x.toml:3:8: tags.blue: "));
    assert!(Scenario::parse(&joins.replace("NEW", "[9]"), "x.toml").is_ok());
    assert!(Scenario::parse(&joins.replace("NEW", "5"), "x.toml").is_ok(), "their numbers are not known yet");
}

#[test]
fn a_fault_that_must_end_says_so_at_its_line() {
    let message = error("nodes = 5\n[[fault]]\nat = \"1s\"\ndo = { pause = { nodes = 1 } }\n");
    assert!(message.starts_with("x.toml:2:1: fault[0]: expected `lasts`"), "{message}");
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let error = Scenario::read(Path::new("/nonexistent/x.toml")).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/x.toml: cannot be read: "), "{error}");
}
