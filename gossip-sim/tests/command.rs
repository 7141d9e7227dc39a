//! The command, as it is built.

use std::path::PathBuf;
use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gossip-sim")).args(arguments).output().expect("the command starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A file of this test alone, removed when it is done.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gossip-sim-{}-{name}", std::process::id()));
        std::fs::write(&path, content).expect("the file can be written");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }

    fn read(&self) -> String {
        std::fs::read_to_string(&self.0).expect("the file can be read")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

#[test]
fn run_prints_a_report_and_all_promised_figures_as_json() {
    let plain = sim(&["run", "--nodes", "8", "--duration", "5s"]);
    assert!(plain.status.success() && text(&plain).contains("all oracles are content"), "{}", text(&plain));
    let json = sim(&["run", "crash", "--nodes", "8", "--duration", "30s", "--seed", "9", "--json", "--self-check"]);
    assert!(json.status.success(), "{}", text(&json));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    for key in [
        "seed",
        "nodes",
        "virtual_ms",
        "wall_ms",
        "events",
        "events_per_s",
        "peak_rss_mb",
        "trace_hash",
        "datagrams_per_node_s",
        "bytes_per_node_s",
        "converged_ms",
        "suspected",
        "false_suspected",
        "dead",
        "false_dead",
        "first_suspect_ms",
        "first_dead_ms",
        "dead_all_ms",
        "oracle_failures",
    ] {
        assert!(report.get(key).is_some(), "{key}");
    }
    for key in ["p50", "p99", "max"] {
        assert!(report["dead_all_ms"][key].as_f64().is_some_and(|value| value > 1_000.0), "{key}");
    }
    assert_eq!(report["seed"], 9);
}

#[test]
fn run_prints_what_became_of_messages_as_json() {
    let run = ["run", "broadcast", "--nodes", "12", "--duration", "8s", "--loss", "0.05", "--latency", "10ms..50ms"];
    let json = sim(&[&run[..], &["--json"]].concat());
    assert!(json.status.success(), "{}", text(&json));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    for key in [
        "broadcast_delivered",
        "broadcast_copies_per_node",
        "broadcast_last_hop",
        "broadcast_control_ratio",
        "broadcast_largest_share",
    ] {
        assert!(report[key].is_number(), "{key}");
    }
    assert_eq!(report["broadcast_delivered"], 1.0);
    assert!(report["broadcast_last_ms"]["max"].as_f64().is_some_and(|ms| ms >= 50.0), "the links are slow");
    assert_eq!(report["requests"]["failed"]["timeout"], 0);
    let wrong = sim(&["run", "broadcast", "--latency", "5ms..1ms"]);
    assert!(wrong.status.code() == Some(2) && text(&wrong).contains("the shorter time first"), "{}", text(&wrong));
}

#[test]
fn a_failing_run_has_exit_code_one_and_shrinks_to_something_that_can_be_replayed() {
    let scenario = File::new(
        "bad.toml",
        "name = \"bad\"\nnodes = 6\nduration = \"20s\"\nsabotage = { bug = \"late_timers\", node = 2 }\n\
         [chaos]\nfaults = 10\nfrom = \"1s\"\nuntil = \"20s\"\nlongest = \"2s\"\nkinds = [\"noise\"]\n",
    );
    let run = sim(&["run", scenario.path(), "--seed", "4"]);
    assert_eq!(run.status.code(), Some(1), "{}", text(&run));
    assert!(text(&run).contains("[timers]"));

    let sweep = sim(&["sweep", scenario.path(), "--seeds", "1..50", "--failures", "1", "--jobs", "1"]);
    assert_eq!(sweep.status.code(), Some(1));
    let line = format!("gossip-sim run {} --seed 1", scenario.path());
    assert!(text(&sweep).contains(&line), "{}", text(&sweep));

    let small = File::new("small.toml", "");
    let shrink = sim(&["shrink", scenario.path(), "--seed", "4", "--output", small.path()]);
    assert_eq!(shrink.status.code(), Some(1), "{}", text(&shrink));
    assert!(text(&shrink).contains("0 of 10 faults"), "{}", text(&shrink));

    let page = File::new("page.html", "");
    let replay = sim(&["replay", small.path(), "--html", page.path()]);
    assert_eq!(replay.status.code(), Some(1));
    assert!(text(&replay).contains("the run is the same as the one that was written down"), "{}", text(&replay));
    assert!(page.read().starts_with("<!DOCTYPE html>"));
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line() {
    let file = File::new("wrong.toml", "nodes = 5\n[link]\nloss = -0.5\n");
    let output = sim(&["run", file.path()]);
    assert_eq!(output.status.code(), Some(2));
    let expected = format!("{}:3:8: ", file.path());
    assert!(
        text(&output).contains(&expected) && text(&output).contains("a probability from 0 to 1"),
        "{}",
        text(&output)
    );
    let output = sim(&["run", "no-such-scenario"]);
    assert!(output.status.code() == Some(2) && text(&output).contains("expected a file, or one of idle"));
    let output = sim(&["run", "--loss", "2"]);
    assert!(output.status.code() == Some(2) && text(&output).contains("expected a probability from 0 to 1"));
}

#[test]
fn a_page_that_cannot_be_written_is_said_before_the_run() {
    let output = sim(&["run", "--duration", "300d", "--nodes", "3", "--html", "/nonexistent/page.html"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("cannot write /nonexistent/page.html"), "{}", text(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn scenarios_are_listed_with_a_line_each_and_can_be_printed() {
    let list = sim(&["scenarios"]);
    let list = text(&list);
    for name in ["idle", "join-storm", "crash", "partition", "chaos"] {
        assert!(list.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}");
    }
    let printed = File::new("printed.toml", &text(&sim(&["scenarios", "chaos"])));
    let run = sim(&["run", printed.path(), "--nodes", "5"]);
    assert!(run.status.success(), "{}", text(&run));
}

#[test]
fn compare_lets_through_what_is_as_good_and_stops_what_is_worse() {
    let sweep = sim(&["sweep", "crash", "--nodes", "10", "--seeds", "1..4", "--json"]);
    let old = File::new("old.json", &String::from_utf8_lossy(&sweep.stdout));
    let same = sim(&["compare", old.path(), old.path(), "--tolerance", "0.05"]);
    assert!(same.status.success(), "{}", text(&same));
    let mut worse: serde_json::Value = serde_json::from_str(&old.read()).expect("it is JSON");
    let before = worse[0]["dead_all_ms"]["p50"].as_f64().expect("there were crashes");
    worse[0]["dead_all_ms"]["p50"] = (before * 1.5).into();
    let new = File::new("new.json", &worse.to_string());
    let output = sim(&["compare", old.path(), new.path(), "--tolerance", "0.05"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("WORSE crash") && text(&output).contains("dead_all_ms.p50"), "{}", text(&output));
    assert_eq!(sim(&["compare", old.path(), "/nonexistent"]).status.code(), Some(2));
}
