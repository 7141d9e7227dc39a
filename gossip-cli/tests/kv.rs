//! The key-value store of agents, as a user reads, writes and follows it.
#![cfg(unix)]

mod process;

use gossip_tokio::{Cluster, Config, StoreConfig};
use serde_json::{Value as Json, json};

use process::{Agent, Folder, Monitor, Process, SOON, eventually, gossip, told};

/// Two agents with the store that know each other, called a and b.
fn pair() -> [Agent; 2] {
    let a = Agent::start(&["--name", "a", "--kv"]);
    let b = a.companion(&["--name", "b", "--kv"]);
    for (agent, other) in [(&a, &b), (&b, &a)] {
        agent.sees(&other.id, "alive", SOON);
    }
    [a, b]
}

/// Follows the store of an agent; returns when no change from now on is missed.
fn watch(agent: &Agent, args: &[&str]) -> Monitor {
    let mut command = gossip();
    command.args(["kv", "watch", "--json", "--control", &agent.control]).args(args);
    let watcher = Monitor { process: Process::start(command) };
    watcher.wait_for("the watcher is in place", SOON, |told| told["event"] == "watching");
    watcher
}

fn text(value: &Json) -> &str {
    value.as_str().expect("a text")
}

fn value(agent: &Agent, key: &str) -> Option<Json> {
    let (code, out, err) = told(&agent.ask(&["kv", "get", key, "--json"]));
    if code == Some(0) {
        return Some(serde_json::from_str::<Json>(&out).expect("JSON")["value"].clone());
    }
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains(&format!("{key:?}")), "{err}");
    None
}

fn becomes(agent: &Agent, key: &str, expected: Option<&str>) {
    let expected = expected.map(|text| json!(text));
    eventually(&format!("{key} is {expected:?}"), SOON, || (value(agent, key) == expected).then_some(()));
}

#[test]
fn what_one_writes_the_other_reads_follows_and_deletes() {
    let [a, b] = pair();
    let watcher = watch(&b, &["web/"]);
    let written = a.json(&["kv", "set", "web/port", "8080"]);
    assert_eq!(written["key"], json!("web/port"));
    a.json(&["kv", "set", "other", "-1"]);
    becomes(&b, "web/port", Some("8080"));
    becomes(&b, "other", Some("-1"));
    let row = b.json(&["kv", "get", "web/port"]);
    assert_eq!((&row["version"], &row["expires"]), (&written["version"], &Json::Null));
    assert_eq!(row["writer"], json!({ "id": a.id, "name": "a" }));

    a.json(&["kv", "set", "--ttl", "2s", "web/lease", "a"]);
    let mut seen = watcher.wait_for("the end of the lease", SOON, |told| told["event"] == "expired");
    becomes(&a, "web/lease", None);
    assert_eq!(b.json(&["kv", "rm", "web/port", "none"]), json!({ "removed": ["web/port"] }));
    becomes(&a, "web/port", None);
    seen.extend(watcher.wait_for("the deletion", SOON, |told| told["event"] == "deleted"));
    let seen: Vec<(&str, &str)> = seen.iter().map(|told| (text(&told["event"]), text(&told["key"]))).collect();
    assert_eq!(seen, [("set", "web/port"), ("set", "web/lease"), ("expired", "web/lease"), ("deleted", "web/port")]);

    // Who comes later has all of it.
    let c = b.companion(&["--kv"]);
    becomes(&c, "other", Some("-1"));
    let keys = |prefix: &str| c.json(&["kv", "ls", prefix]).as_array().expect("a list").len();
    assert_eq!((keys(""), keys("o"), keys("web/")), (1, 1, 0));
}

#[test]
fn people_are_told_in_words_and_bytes_stay_as_they_are() {
    let [a, _b] = pair();
    let mut command = gossip();
    command.args(["kv", "watch", "--control", &a.control]);
    let watcher = Process::start(command);
    let line = || watcher.line(SOON).expect("a line");
    assert!(line().ends_with("  watching all keys, 0 now"));
    let says = |args: &[&str], expected: &str| {
        let (code, out, err) = told(&a.ask(args));
        assert_eq!((code, out.as_str(), err.as_str()), (Some(0), expected, ""), "{args:?}");
    };
    says(&["kv", "set", "k", "a\nb"], "set k\n");
    assert!(line().ends_with(&format!("k = a\\nb (by a ({}))", a.id)));
    says(&["kv", "get", "k"], "a\nb\n");
    let (code, out, _) = told(&a.ask(&["kv", "ls"]));
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((code, &lines[0][..]), (Some(0), &["KEY", "WRITTEN", "ENDS", "VALUE"][..]));
    assert_eq!((lines[1][0], &lines[1][2..], lines.len()), ("k", &["-", "a\\nb"][..], 2), "{out}");
    says(&["kv", "rm", "k", "none"], "removed k\n");
    assert!(line().ends_with(&format!("k was deleted (by a ({}))", a.id)));
    says(&["kv", "rm", "k"], "removed nothing\n");

    let bytes = [0, 255, 10, 27];
    assert_eq!(told(&a.ask_with(&["kv", "set", "raw", "-"], &bytes)).0, Some(0));
    assert_eq!(a.ask(&["kv", "get", "--raw", "raw"]).stdout, bytes);
    says(&["kv", "get", "raw"], "0x00ff0a1b\n");
    assert_eq!(value(&a, "raw"), Some(json!({ "bytes": "00ff0a1b" })));
}

#[test]
fn each_way_to_fail_has_its_words_and_its_code() {
    let [a, _b] = pair();
    let without = a.companion(&[]);
    let folder = Folder::new("kv");
    let large = format!("@{}", folder.write("large", &"x".repeat(65_537)));
    let long = "k".repeat(1_025);
    let cases: [(&[&str], i32, &[&str]); 11] = [
        (&["get", "none"], 1, &["no key \"none\""]),
        (&["get", "--raw", "--json", "none"], 2, &["--raw", "--json"]),
        (&["set", "", "x"], 2, &["key of 0 bytes", "1 to 1024"]),
        (&["set", &long, "x"], 2, &["key of 1025 bytes", "1 to 1024"]),
        (&["set", "k", &large], 2, &["\"k\"", "65537 bytes", "65536"]),
        (&["set", "k", "@/nonexistent/value"], 2, &["/nonexistent/value"]),
        (&["set", "--ttl", "0s", "k", "x"], 2, &["time to live", "1 ms"]),
        (&["set", "--ttl", "4000d", "k", "x"], 2, &["time to live", "3,650 days"]),
        (&["set", "--ttl", "soon", "k", "x"], 2, &["soon"]),
        (&["set", "k"], 2, &["VALUE"]),
        (&["rm"], 2, &["KEY"]),
    ];
    let check = |args: &[&str], control: &str, code: i32, parts: &[&str]| {
        let (found, out, err) = told(&process::run(&[&["kv"], args, &["--control", control]].concat()));
        assert_eq!((found, out.as_str(), err.lines().count()), (Some(code), "", 1), "{args:?}: {err}");
        assert!(err.starts_with("gossip: ") && parts.iter().all(|part| err.contains(part)), "{args:?}: {err}");
    };
    for (args, code, parts) in cases {
        check(args, &a.control, code, parts);
    }
    let all: [&[&str]; 5] = [&["get", "k"], &["set", "k", "x"], &["rm", "k"], &["ls"], &["watch"]];
    for args in all {
        check(args, &without.control, 1, &["no key-value store", "--kv"]);
        check(args, "127.0.0.1:1", 3, &["127.0.0.1:1", "gossip agent"]);
    }
    assert_eq!(a.json(&["kv", "ls"]), json!([]), "nothing was written");
}

#[test]
fn a_file_keeps_the_store_over_a_kill_and_a_proper_stop() {
    let folder = Folder::new("kv-kept");
    let file = folder.file("store");
    let start = || Agent::start(&["--kv-file", &file]);
    let agent = start();
    let first = std::fs::metadata(&file).expect("it is there from the start").len();
    agent.json(&["kv", "set", "a", "1"]);
    agent.json(&["kv", "set", "gone", "1"]);
    agent.json(&["kv", "rm", "gone"]);
    eventually("the file has it", SOON, || (std::fs::metadata(&file).ok()?.len() > first).then_some(()));
    agent.process.signal("-KILL");

    let mut agent = start();
    assert_eq!((value(&agent, "a"), value(&agent, "gone")), (Some(json!("1")), None));
    // What was written in the last moment is saved by who stops in order.
    agent.json(&["kv", "set", "b", "2"]);
    agent.process.signal("-TERM");
    assert!(agent.process.wait(SOON).success());
    let agent = start();
    assert_eq!(value(&agent, "b"), Some(json!("2")));
    drop(agent);

    // A file that was cut is set aside, and the agent goes on without it.
    let whole = std::fs::read(&file).expect("it is there");
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("it can be written");
    let agent = start();
    assert_eq!(value(&agent, "b"), None);
    let log = agent.process.log();
    assert!(log.contains("begins with an empty key-value store") && log.contains(&file), "{log}");
    drop(agent);

    // What is somebody else's is left alone, and so is who cannot write.
    let other = folder.write("other", "#!/bin/sh\necho of somebody else\n");
    let pipe = folder.file("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let cases = [
        (other.as_str(), 2, "left where it is"),
        ("/nonexistent/store", 1, "/nonexistent/store"),
        (&pipe, 1, "a named pipe, not a regular file"),
    ];
    for (file, code, part) in cases {
        let args = ["agent", "--bind", "127.0.0.1:0", "--control", "none", "--kv-file", file];
        let (found, out, err) = told(&process::run(&args));
        assert_eq!((found, out.as_str()), (Some(code), ""), "{err}");
        assert!(err.contains("--kv-file") && err.contains(part), "{err}");
    }
    assert_eq!(std::fs::read_to_string(&other).expect("it is there"), "#!/bin/sh\necho of somebody else\n");
}

#[tokio::test]
async fn a_file_of_which_rows_are_refused_is_kept_aside() {
    let folder = Folder::new("kv-refused");
    let file = folder.file("store");
    // An agent takes values of 65,536 bytes at most.
    let limits = StoreConfig { max_value: 100_000, ..StoreConfig::default() };
    let node = Cluster::start(Config::local("roomy")).await.expect("it starts");
    let store = node.open_store("default", limits).await.expect("the settings are sound");
    store.set("large", vec![b'x'; 65_537]).await.expect("it is within the limits");
    store.set("small", "x").await.expect("it is within the limits");
    store.save(&file).await.expect("it can be written");
    node.shutdown().await;
    let whole = std::fs::read(&file).expect("it is there");

    let mut agent = Agent::start(&["--kv-file", &file]);
    assert_eq!((value(&agent, "small"), value(&agent, "large")), (Some(json!("x")), None));
    let aside = format!("{file}.refused");
    let log = agent.process.log();
    assert!(["refused=1", &aside, "clock", "65536"].iter().all(|part| log.contains(part)), "{log}");
    agent.process.signal("-TERM");
    assert!(agent.process.wait(SOON).success());
    assert_eq!(std::fs::read(&aside).expect("it is there"), whole, "nothing is lost");

    // What was taken is in a file of its own, which the next start takes whole.
    let agent = Agent::start(&["--kv-file", &file]);
    assert_eq!(value(&agent, "small"), Some(json!("x")));
    assert!(!agent.process.log().contains("moved aside"), "{}", agent.process.log());
}
