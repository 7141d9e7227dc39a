//! The demonstration, run as a user runs it.

mod process;

use serde_json::Value as Json;

use process::{run, told};

const KEYS: [&str; 12] = [
    "nodes",
    "ok",
    "broadcast_ms",
    "converged_ms",
    "broadcast_copies_per_node",
    "metadata_all_ms",
    "suspect_first_ms",
    "dead_all_ms",
    "rejoin_all_ms",
    "leave_all_ms",
    "idle_bytes_per_node_s",
    "idle_datagrams_per_node_s",
];

fn result_of(nodes: &[&str]) -> Json {
    let (code, out, err) = told(&run(&[&["demo", "--json"], nodes].concat()));
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!((out.lines().count(), err.as_str()), (1, ""), "one line of JSON and nothing else: {out}");
    serde_json::from_str(&out).expect("an object")
}

#[test]
fn the_result_has_every_key_and_everything_happened() {
    let result = result_of(&[]);
    let mut keys: Vec<&str> = result.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    let mut expected = KEYS;
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!((&result["nodes"], &result["ok"]), (&Json::from(5), &Json::from(true)), "{result}");
    for key in &KEYS[3..] {
        assert!(result[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {result}");
    }
    let (half, all) = (result["broadcast_ms"]["p50"].as_f64(), result["broadcast_ms"]["max"].as_f64());
    assert!(half > Some(0.0) && half <= all, "{result}");
    assert!(result["broadcast_copies_per_node"].as_f64() >= Some(1.0), "each needs a copy: {result}");
    assert!(result["suspect_first_ms"].as_f64() < result["dead_all_ms"].as_f64(), "{result}");
}

#[test]
fn two_nodes_are_enough() {
    let result = result_of(&["--nodes", "2"]);
    assert_eq!((&result["nodes"], &result["ok"]), (&Json::from(2), &Json::from(true)), "{result}");
    assert!(KEYS[3..].iter().all(|key| result[key].is_number()), "{result}");
}

#[test]
fn a_pipe_gets_plain_lines_with_cause_and_summary() {
    let (code, out, err) = told(&run(&["demo", "--nodes", "3"]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for part in [
        "sees all 3",
        "broadcasts 1024 bytes (20 of 20)",
        "20 broadcasts reached all: p50 ",
        "node-3 is killed",
        "suspects node-3, it did not answer a probe",
        "for dead, ",
        "node-2 leaves",
        "bytes and",
        "everything happened in time",
        "IP BYTES",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (_, summary) = out.split_once("everything happened in time").expect("a summary");
    assert!(summary.lines().all(|line| line.chars().count() <= 80), "80 columns are enough: {summary}");
    assert!(!out.contains('\u{1b}'), "no escape sequences in a pipe: {out}");
}

#[test]
fn over_websocket_and_in_a_mixture_everything_happens_as_well() {
    for (kind, nodes, started, said) in [
        ("ws", "3", "started at ws://127.0.0.1:", "all nodes were reached over WebSocket"),
        ("mixed", "4", "started without listening anywhere", "by sockets, over WebSocket, or only dialled"),
    ] {
        let result = result_of(&["--transport", kind, "--nodes", nodes]);
        assert_eq!((&result["transport"], &result["ok"]), (&Json::from(kind), &Json::from(true)), "{result}");
        assert_eq!(result.as_object().map(serde_json::Map::len), Some(KEYS.len() + 1));
        assert!(KEYS[3..].iter().all(|key| result[key].as_f64() > Some(0.0)), "{result}");
        let (code, out, err) = told(&run(&["demo", "--transport", kind, "--nodes", nodes, "--sealed"]));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        for part in [started, said, "all packets were sealed"] {
            assert!(out.contains(part), "{part}: {out}");
        }
        let (_, summary) = out.split_once("everything happened in time").expect("a summary");
        assert!(summary.lines().all(|line| line.chars().count() <= 80), "80 columns are enough: {summary}");
    }
}

#[test]
fn a_mixture_of_two_nodes_is_refused() {
    let (code, out, err) = told(&run(&["demo", "--transport", "mixed", "--nodes", "2"]));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("--nodes 3 or more"), "{err}");
}

#[test]
fn a_sealed_demonstration_says_so_and_everything_happens_as_well() {
    let result = result_of(&["--nodes", "3", "--sealed"]);
    assert_eq!((&result["sealed"], &result["ok"]), (&Json::from(true), &Json::from(true)), "{result}");
    assert_eq!(result.as_object().map(serde_json::Map::len), Some(KEYS.len() + 1));
    let (code, out, err) = told(&run(&["demo", "--nodes", "3", "--sealed"]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("all packets were sealed with xchacha20-poly1305"), "{out}");
}
