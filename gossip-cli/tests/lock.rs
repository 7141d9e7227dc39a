//! Locks of agents, as commands run under them.
#![cfg(unix)]

mod process;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use process::{Agent, Folder, Process, SOON, eventually, gossip, told};

const ELECTION: &str = "db,floor=2,lease=1s,steady=0s";
const OPTIONS: [&str; 4] = ["--election", ELECTION, "--locks", "jobs"];

/// Three agents with locks, each of which has a vote.
fn three() -> Vec<Agent> {
    let with_locks = |name: &'static str| [&["--name", name], &OPTIONS[..]].concat();
    let first = Agent::start(&with_locks("a"));
    let mut agents: Vec<Agent> = ["b", "c"].iter().map(|name| first.companion(&with_locks(name))).collect();
    agents.insert(0, first);
    for agent in &agents {
        eventually("everybody has a vote", SOON, || {
            let out = told(&agent.ask(&["leader", "--json"])).1;
            let row: Json = serde_json::from_str(&out).expect("JSON");
            (!row["leader"].is_null() && row["settled"] == 3).then_some(())
        });
    }
    agents
}

/// A command under a lock of an agent.
fn lock(agent: &Agent, args: &[&str], run: &[&str]) -> Command {
    let mut command = gossip();
    command.args(["lock", "--control", &agent.control]).args(args).arg("--").args(run);
    command
}

fn holder(agent: &Agent, key: &str) -> Json {
    let (code, out, err) = told(&agent.ask(&["lock", "--query", key, "--json"]));
    let row: Json = serde_json::from_str(&out).unwrap_or_else(|error| panic!("JSON: {error}: {out}{err}"));
    assert_eq!(code, Some(if row["holder"].is_null() { 4 } else { 0 }), "{row} {err}");
    row["holder"].clone()
}

fn lines(path: &str) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits until a file has so many lines.
fn written(path: &str, count: usize) -> Vec<String> {
    eventually(&format!("{count} lines in {path}"), SOON, || Some(lines(path)).filter(|lines| lines.len() >= count))
}

/// Waits until a process has said something on stderr, which is read beside it.
fn says(process: &Process, part: &str) {
    eventually(part, SOON, || process.log().contains(part).then_some(()));
}

/// Whether a process is there, and not merely waited for.
fn is_running(id: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn commands_under_one_lock_never_overlap_and_their_tokens_grow() {
    let agents = three();
    let folder = Folder::new("lock-turns");
    let log = folder.file("log");
    // Whoever is not alone finds a word of another between its own two.
    let script = format!("echo begin $GOSSIP_LOCK_TOKEN >> {log}; sleep 0.05; echo end $GOSSIP_LOCK_TOKEN >> {log}");
    let mut running: Vec<Process> = (0..12)
        .map(|at| Process::start(lock(&agents[at % 3], &["--timeout", "1m", "turns"], &["sh", "-c", &script])))
        .collect();
    for process in &mut running {
        assert_eq!(process.wait(Duration::from_mins(1)).code(), Some(0), "{}", process.log());
    }
    let lines = lines(&log);
    let mut last = "";
    for pair in lines.chunks(2) {
        let token = pair[0].strip_prefix("begin ").expect("a begin first");
        assert_eq!(pair[1].strip_prefix("end "), Some(token), "{lines:#?}");
        assert!(token.len() == 80 && token > last, "{token} after {last}");
        last = token;
    }
    assert_eq!(lines.len(), 24);
    assert_eq!(holder(&agents[1], "turns"), Json::Null);
}

#[test]
fn the_command_knows_its_lock_and_its_end_is_told() {
    let agents = three();
    let run = |args: &[&str], command: &[&str]| told(&lock(&agents[0], args, command).output().expect("it runs"));
    let shown = "echo $GOSSIP_LOCK_POOL $GOSSIP_LOCK_KEY $GOSSIP_LOCK_TOKEN $GOSSIP_LOCK_TERM $GOSSIP_LOCK_COUNT";
    let (code, out, err) = run(&["k"], &["sh", "-c", shown]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!((&words[..2], words.len()), (&["jobs", "k"][..], 5));
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    assert_eq!(words[2], format!("{:016x}{}{:016x}", number(3), &words[2][16..64], number(4)));

    for (command, expected) in [
        (&["sh", "-c", "exit 7"][..], 7),
        (&["sh", "-c", "kill -9 $$"], 128 + 9),
        (&["/nonexistent/program"], 127),
        (&["/etc/passwd"], 126),
    ] {
        let (code, out, err) = run(&["k"], command);
        assert_eq!((code, out.as_str()), (Some(expected), ""), "{command:?}: {err}");
        assert_eq!(err.starts_with("gossip: cannot run "), expected == 126 || expected == 127, "{err}");
    }
    let mut piped = lock(&agents[0], &["k"], &["cat"]);
    piped.stdin(Stdio::from(fs::File::open("/etc/hostname").expect("a file")));
    let (code, out, _) = told(&piped.output().expect("it runs"));
    assert_eq!((code, out), (Some(0), fs::read_to_string("/etc/hostname").expect("a text")));
}

#[test]
fn a_lock_of_another_is_waited_for_or_not_and_signals_are_passed_on() {
    let agents = three();
    let folder = Folder::new("lock-signals");
    let log = folder.file("log");
    let script = format!("trap 'echo term >> {log}; exit 3' TERM; echo up >> {log}; while :; do sleep 0.05; done");
    let mut first = Process::start(lock(&agents[0], &["k"], &["sh", "-c", &script]));
    written(&log, 1);
    let found = holder(&agents[2], "k");
    assert_eq!((&found["id"], &found["name"]), (&json!(agents[0].id), &json!("a")), "{found}");
    let (code, out, _) = told(&agents[2].ask(&["lock", "--query", "k"]));
    let has = |label: &str, fact: &str| out.lines().any(|line| line.starts_with(label) && line.contains(fact));
    assert!(code == Some(0) && has("holder", &agents[0].id) && has("waiting", "0"), "{out}");
    for (args, part) in [(&["--try", "k"][..], "another one has"), (&["--timeout", "300ms", "k"], "others have")] {
        let begin = Instant::now();
        let (code, _, err) = told(&lock(&agents[1], args, &["true"]).output().expect("it runs"));
        assert_eq!(code, Some(75), "{args:?}: {err}");
        assert!(err.starts_with("gossip: lock \"k\": ") && err.contains(part), "{args:?}: {err}");
        assert!(begin.elapsed() < SOON);
    }
    let mut second = Process::start(lock(&agents[1], &["k"], &["true"]));
    let mut third = Process::start(lock(&agents[1], &["k"], &["true"]));
    let waiting = || agents[2].ask(&["lock", "--query", "k", "--json"]).stdout;
    eventually("two wait", SOON, || String::from_utf8_lossy(&waiting()).contains("\"waiting\":2").then_some(()));
    second.signal("-INT");
    assert_eq!(second.wait(SOON).code(), Some(128 + 2));
    first.signal("-TERM");
    assert_eq!(first.wait(SOON).code(), Some(3), "{}", first.log());
    assert_eq!(lines(&log), ["up", "term"]);
    assert_eq!(third.wait(SOON).code(), Some(0), "{}", third.log());
}

#[test]
fn a_lock_is_free_when_the_one_who_asked_for_it_is_killed() {
    let agents = three();
    let folder = Folder::new("lock-killed");
    let log = folder.file("log");
    let script = format!("echo $$ >> {log}; exec sleep 1000");
    let mut killed = Process::start(lock(&agents[0], &["--ttl", "30s", "k"], &["sh", "-c", &script]));
    let id = written(&log, 1).remove(0);
    killed.signal("-KILL");
    killed.wait(SOON);
    let begin = Instant::now();
    let (code, _, err) = told(&lock(&agents[1], &["--timeout", "20s", "k"], &["true"]).output().expect("it runs"));
    assert_eq!(code, Some(0), "{err}");
    assert!(begin.elapsed() < SOON, "the time of the lock had not run out");
    if cfg!(target_os = "linux") {
        eventually("its command is gone", SOON, || (!is_running(&id)).then_some(()));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_is_stopped_before_others_have_the_lock_of_an_agent_that_stands_still() {
    let agents = three();
    let folder = Folder::new("lock-still");
    let log = folder.file("log");
    // Deaf to SIGTERM, and with a child in its group.
    let script = format!("trap '' TERM; sleep 1000 & echo $! >> {log}; echo $$ >> {log}; while :; do sleep 0.02; done");
    let brief = ["--ttl", "2s", "--grace", "500ms", "k"];
    let leader = agents[1].json(&["leader"])["leader"]["id"].clone();
    let at = agents.iter().position(|agent| leader != agent.id).expect("two do not lead");
    let other = (at + 1) % 3;
    let mut running = Process::start(lock(&agents[at], &brief, &["sh", "-c", &script]));
    let ids = written(&log, 2);
    agents[at].process.signal("-STOP");
    let check =
        format!("for id in {} {}; do ! grep -qs '^State:.[RSDT]' /proc/$id/status || exit 9; done", ids[0], ids[1]);
    let next = lock(&agents[other], &["--timeout", "1m", "k"], &["sh", "-c", &check]).output().expect("it runs");
    let (code, _, err) = told(&next);
    assert_eq!(code, Some(0), "what ran before is gone: {err}");
    assert_eq!(running.wait(SOON).code(), Some(76), "{}", running.log());
    says(&running, "gossip: the lock has run out");
    agents[at].process.signal("-CONT");
}

#[test]
fn a_command_goes_on_with_its_lock_when_the_leader_crashes() {
    let mut agents = three();
    let folder = Folder::new("lock-led-anew");
    let (log, go) = (folder.file("log"), folder.file("go"));
    let leader = agents[0].json(&["leader"])["leader"]["id"].clone();
    let at = agents.iter().position(|agent| leader == agent.id).expect("one leads");
    let mut crashed = agents.remove(at);
    let script = format!("echo up >> {log}; until [ -e {go} ]; do sleep 0.02; done");
    let ttl = Duration::from_secs(6);
    let mut running = Process::start(lock(&agents[0], &["--ttl", "6s", "--grace", "1s", "k"], &["sh", "-c", &script]));
    written(&log, 1);
    let (token, granted) = (holder(&agents[1], "k")["token"].clone(), Instant::now());
    crashed.process.signal("-KILL");
    crashed.process.wait(SOON);
    eventually("the lock has outlived its first time", SOON, || (granted.elapsed() > ttl).then_some(()));
    assert_eq!(holder(&agents[1], "k")["token"], token);
    assert_ne!(agents[0].json(&["leader"])["leader"]["id"], leader);
    folder.write("go", "");
    assert_eq!(running.wait(SOON).code(), Some(0), "{}", running.log());
}

#[test]
fn a_command_is_stopped_when_its_agent_leaves() {
    let mut agents = three();
    let folder = Folder::new("lock-left");
    let log = folder.file("log");
    let script = format!("echo up >> {log}; exec sleep 1000");
    let mut running = Process::start(lock(&agents[0], &["--ttl", "30s", "k"], &["sh", "-c", &script]));
    written(&log, 1);
    agents[0].process.signal("-TERM");
    assert_eq!(running.wait(SOON).code(), Some(76), "{}", running.log());
    says(&running, "the lock was lost, says the agent");
    agents[0].process.wait(SOON);
    let (code, _, err) = told(&lock(&agents[1], &["k"], &["true"]).output().expect("it runs"));
    assert_eq!(code, Some(0), "{err}");
}

/// The lock may be another's as soon as the agent has started again: it has forgotten what it held.
#[test]
fn a_command_is_stopped_when_its_agent_dies() {
    let mut agents = three();
    let folder = Folder::new("lock-died");
    let log = folder.file("log");
    let script = format!("echo up >> {log}; exec sleep 1000");
    let mut running = Process::start(lock(&agents[0], &["--ttl", "30s", "k"], &["sh", "-c", &script]));
    written(&log, 1);
    let begin = Instant::now();
    agents[0].process.signal("-KILL");
    assert_eq!(running.wait(SOON).code(), Some(76), "{}", running.log());
    assert!(begin.elapsed() < Duration::from_secs(14), "at most half of its time has passed");
    says(&running, "gossip: the agent is gone");
    agents[0].process.wait(SOON);
}

#[test]
fn each_way_to_fail_has_its_words_and_its_code() {
    let alone = Agent::start(&[&OPTIONS[..], &["--locks", "other"]].concat());
    let without = Agent::start(&[]);
    let long = "k".repeat(256);
    let cases: [(&str, &[&str], i32, &[&str]); 12] = [
        (&alone.control, &["k"], 2, &["--pool", "\"jobs\", \"other\""]),
        (&alone.control, &["--pool", "none", "k"], 1, &["\"none\"", "\"jobs\""]),
        (&alone.control, &["--pool", "jobs", ""], 2, &["0 bytes", "1 to 255"]),
        (&alone.control, &["--pool", "jobs", &long], 2, &["256 bytes"]),
        (&alone.control, &["--pool", "jobs", "--ttl", "1h", "k"], 2, &["3600s", "30s"]),
        (&alone.control, &["--pool", "jobs", "--ttl", "3s", "--grace", "2s", "k"], 2, &["--grace", "half"]),
        (&alone.control, &["--pool", "jobs", "--ttl", "100ms", "k"], 2, &["100ms", "1s"]),
        (&alone.control, &["--pool", "jobs", "--timeout", "0s", "k"], 2, &["--timeout 0", "--try"]),
        (&alone.control, &["--pool", "jobs", "--timeout", "100ms", "k"], 75, &["no leader"]),
        (&alone.control, &["--json", "k"], 2, &["--json", "COMMAND"]),
        (&without.control, &["k"], 1, &["--locks POOL"]),
        ("127.0.0.1:1", &["k"], 3, &["gossip agent"]),
    ];
    for (control, args, code, parts) in cases {
        let all = [&["lock", "--control", control], args, &["--", "echo", "ran"]].concat();
        let (found, out, err) = told(&process::run(&all));
        assert_eq!((found, out.as_str(), err.lines().count()), (Some(code), "", 1), "{args:?}: {err}");
        assert!(err.starts_with("gossip: ") && parts.iter().all(|part| err.contains(part)), "{args:?}: {err}");
    }
    let query = ["lock", "--query", "k", "--pool", "jobs", "--timeout", "100ms", "--control", &alone.control];
    assert_eq!(told(&process::run(&query)).0, Some(5));
    for (args, part) in [
        (&["--locks", "jobs"][..], "--election NAME,floor=N"),
        (&["--election", ELECTION, "--locks", "jobs", "--locks", "jobs"], "twice"),
        (&["--election", ELECTION, "--locks", "jobs,max_ttl=5m"], "max_ttl"),
        (&["--election", ELECTION, "--locks", "jobs,election=x"], "\"x\""),
    ] {
        let (code, _, err) =
            told(&process::run(&[&["agent", "--bind", "127.0.0.1:0", "--control", "none"], args].concat()));
        assert!(code == Some(2) && err.contains(part), "{args:?}: {err}");
    }
}
