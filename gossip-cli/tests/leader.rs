//! Elections of agents, as a user takes part in them, asks about them and follows them.
#![cfg(unix)]

mod process;

use serde_json::{Value as Json, json};

use process::{Agent, Monitor, Process, SOON, eventually, gossip, told};

const ELECTION: &str = "db,floor=2,lease=1s,steady=0s";

/// Three agents that know each other, called a, b and c.
fn three() -> Vec<Agent> {
    let first = Agent::start(&["--name", "a", "--election", ELECTION]);
    let others: Vec<Agent> =
        ["b", "c"].iter().map(|name| first.companion(&["--name", name, "--election", ELECTION])).collect();
    let mut agents = vec![first];
    agents.extend(others);
    agents
}

/// How the election stands, and whether the exit code says the same.
fn stands(agent: &Agent) -> Json {
    let (code, out, err) = told(&agent.ask(&["leader", "--json"]));
    let row: Json = serde_json::from_str(&out).unwrap_or_else(|error| panic!("JSON: {error}: {out}{err}"));
    assert_eq!((code, err.is_empty()), if row["leader"].is_null() { (Some(4), false) } else { (Some(0), true) });
    assert_eq!(row["leader"].is_null(), !row["none"].is_null(), "{row}");
    row
}

/// Who leads, once all of these say the same and everybody has a vote.
fn leader_of(agents: &[Agent], settled: usize) -> Json {
    eventually("all follow one leader", SOON, || {
        let rows: Vec<Json> = agents.iter().map(stands).collect();
        let is_one = |row: &Json| row["leader"] == rows[0]["leader"] && row["settled"] == settled;
        (!rows[0]["leader"].is_null() && rows.iter().all(is_one)).then(|| rows[0].clone())
    })
}

fn number(row: &Json) -> u64 {
    row["term"].as_str().and_then(|term| term.parse().ok()).expect("a number")
}

#[test]
fn the_next_leader_is_told_when_one_is_killed() {
    let mut agents = three();
    let row = leader_of(&agents, 3);
    assert_eq!((&row["election"], &row["needed"], &row["seen"]), (&json!("db"), &json!(2), &json!(3)));
    assert!(row["until"].is_string() && row["left_ms"].is_u64() && row["votes"] == true, "{row}");
    let at = agents.iter().position(|agent| row["leader"]["id"] == agent.id).expect("one of them leads");
    let mut killed = agents.remove(at);

    let mut command = gossip();
    command.args(["leader", "watch", "db", "--json", "--control", &agents[0].control]);
    let watcher = Monitor { process: Process::start(command) };
    let first = watcher.wait_for("the watcher is in place", SOON, |told| told["event"] == "watching").remove(0);
    assert_eq!((&first["leader"], &first["term"], &first["settled"]), (&row["leader"], &row["term"], &json!(3)));
    let monitor = agents[1].monitor();
    killed.process.signal("-KILL");
    killed.process.wait(SOON);

    let is_next =
        |told: &Json| told["event"] == "election" && (told["change"] == "elected" || told["change"] == "became_leader");
    let seen = watcher.wait_for("another leads", SOON, is_next);
    assert_eq!((&seen[0]["change"], &seen[0]["leader"]), (&json!("lost"), &row["leader"]), "{seen:?}");
    let next = seen.last().expect("what was waited for");
    assert!(number(next) > number(&row) && next["leader"] != row["leader"] && next["time"].is_string(), "{seen:?}");
    assert_eq!(leader_of(&agents, 3)["leader"], next["leader"]);
    let told = monitor.wait_for("the monitor tells it too", SOON, is_next).pop().expect("what was waited for");
    assert_eq!((&told["election"], &told["term"]), (&json!("db"), &next["term"]));
}

#[test]
fn people_are_told_who_leads_in_words_and_a_leave_hands_over() {
    let agents = three();
    let row = leader_of(&agents, 3);
    let (code, out, _) = told(&agents[0].ask(&["leader", "db"]));
    let fact = |label: &str| {
        let found = out.lines().find_map(|line| line.strip_prefix(label)).map(str::trim);
        found.unwrap_or_else(|| panic!("{label}: {out}")).to_owned()
    };
    assert_eq!((code, fact("election")), (Some(0), "db".to_owned()));
    let (name, id) = (row["leader"]["name"].as_str().expect("a name"), row["leader"]["id"].as_str().expect("an id"));
    assert_eq!((fact("leader"), fact("settled")), (format!("{name} ({id})"), "3".to_owned()));
    assert!(fact("until").contains(" ms)"), "{out}");

    let other = agents.iter().find(|agent| agent.id != id).expect("two do not lead");
    let leader = agents.iter().find(|agent| agent.id == id).expect("one of them leads");
    let mut command = gossip();
    command.args(["leader", "--control", &other.control, "watch"]);
    let watcher = Process::start(command);
    let line = || watcher.line(SOON).expect("a line");
    assert!(line().contains("watching the election \"db\": ") && leader.json(&["leave"]).is_object());
    assert!(line().contains(&format!("{name} ({id}) leads no more")));
    let next = line();
    assert!(next.contains("leads, term ") && !next.contains(id), "{next}");
}

#[test]
fn nobody_leads_for_a_reason_and_mistakes_have_their_code() {
    let alone = Agent::start(&["--election", ELECTION, "--election", "other,floor=1,lease=1s"]);
    eventually("it has no quorum", SOON, || {
        let (code, out, err) = told(&alone.ask(&["leader", "db", "--json"]));
        let row: Json = serde_json::from_str(&out).unwrap_or_else(|error| panic!("JSON: {error}: {out}{err}"));
        assert_eq!((code, &row["leader"], &row["until"]), (Some(4), &Json::Null, &Json::Null), "{out}");
        assert!(err.starts_with("gossip: nobody leads the election \"db\": ") && err.lines().count() == 1, "{err}");
        (row["none"] == json!({ "reason": "no_quorum", "votes": 1, "needed": 2 })).then_some(())
    });
    let without = Agent::start(&[]);
    let cases: [(&str, &[&str], i32, &[&str]); 5] = [
        (&alone.control, &["leader"], 2, &["\"db\", \"other\"", "name one"]),
        (&alone.control, &["leader", "watch"], 2, &["\"db\", \"other\"", "name one"]),
        (&alone.control, &["leader", "--json", "nothing"], 1, &["\"nothing\"", "\"db\", \"other\""]),
        (&without.control, &["leader", "db"], 1, &["--election NAME,floor=N"]),
        ("127.0.0.1:1", &["leader"], 3, &["gossip agent"]),
    ];
    for (control, args, code, parts) in cases {
        let (found, out, err) = told(&process::run(&[args, &["--control", control]].concat()));
        assert_eq!((found, out.as_str(), err.lines().count()), (Some(code), "", 1), "{args:?}: {err}");
        assert!(parts.iter().all(|part| err.contains(part)), "{args:?}: {err}");
    }
    for (choices, part) in [
        (&["db"][..], "floor=2"),
        (&["db,floor=none"], "whole number"),
        (&["db,floor=2", "db,floor=2"], "twice"),
        (&["db,floor=2,leas=3s"], "lease"),
    ] {
        let choices = choices.iter().flat_map(|choice| ["--election", choice]);
        let args: Vec<&str> = ["agent", "--bind", "127.0.0.1:0"].into_iter().chain(choices).collect();
        let (code, _, err) = told(&process::run(&args));
        assert!(code == Some(2) && err.contains(part), "{args:?}: {err}");
    }
}
