//! Keys by the command line: making them, keeping strangers out, and changing them while agents run.
#![cfg(unix)]

mod process;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use process::{Agent, Folder, Process, SOON, eventually, gossip, run, told};

/// A new key in a file; the file and the id.
fn new_key(folder: &Folder, name: &str) -> (String, String) {
    let path = folder.file(name);
    let (code, out, err) = told(&run(&["keys", "generate", "--json", "--out", &path]));
    assert_eq!(code, Some(0), "{err}");
    let made: Json = serde_json::from_str(&out).expect("an object");
    (path, made["id"].as_str().expect("an id").to_owned())
}

/// A file of its own with the same keys.
fn copy(folder: &Folder, of: &str, name: &str) -> String {
    let path = folder.file(name);
    fs::copy(of, &path).expect("a file can be copied");
    path
}

/// The ids in a key file, as the agent that wrote it notes them behind each key.
fn ids_in(path: &str) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a file can be read");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once("# ").expect("a key and its id").1.to_owned()).collect()
}

fn alive(agent: &Agent) -> u64 {
    agent.json(&["info"])["members"]["alive"].as_u64().expect("a number")
}

fn all_see(agents: &[&Agent], count: u64) {
    for agent in agents {
        eventually(&format!("{} sees {count}", agent.id), SOON, || (alive(agent) == count).then_some(()));
    }
}

fn logs(agent: &Agent, words: &str) {
    eventually(&format!("the log says {words:?}"), SOON, || agent.process.log().contains(words).then_some(()));
}

/// Waits until an agent could not join, and says that keys may be why. A node that keeps others out closes their
/// connections about when they stop waiting for it; if it is first, that is what is told.
fn suspects_keys(agent: &Agent, hint: &str) {
    let silent = format!("cannot join through this address; if a node runs there, {hint}");
    eventually(&format!("the log says {silent:?}, or that the peer closed"), SOON, || {
        let log = agent.process.log();
        let closed = log.lines().any(|line| {
            line.contains("cannot join through this address") && line.contains("or have other keys than this node")
        });
        (closed || log.contains(&silent)).then_some(())
    });
}

#[test]
fn a_generated_key_is_for_its_owner_and_is_never_overwritten() {
    let folder = Folder::new("generate");
    let (path, id) = new_key(&folder, "a.key");
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(ids_in(&path), [id]);
    let before = fs::read(&path).expect("it can be read");
    let (code, out, err) = told(&run(&["keys", "generate", "--out", &path]));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("exists already") && err.contains(&path), "{err}");
    assert_eq!(fs::read(&path).expect("it can be read"), before);

    let [one, two] = [(); 2].map(|()| told(&run(&["keys", "generate"])).1);
    assert_ne!(one, two);
    assert_eq!((one.trim().len(), one.lines().count()), (44, 1), "32 bytes in base64");
    let (code, _, err) = told(&run(&["keys", "generate", "--suite", "rot13"]));
    assert_eq!(code, Some(2));
    assert!(err.contains("xchacha20-poly1305"), "{err}");
}

#[test]
fn a_key_that_is_typed_as_an_argument_is_not_repeated() {
    let line = told(&run(&["keys", "generate"])).1;
    let key = line.trim();
    for args in [&["keys", "use", key][..], &["keys", "remove", key], &["keys", "list", key], &["keys", key], &[key]] {
        let (code, out, err) = told(&run(args));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(!err.contains(key) && err.contains("a key, which is not repeated here"), "{err}");
    }
    let (_, _, err) = told(&run(&["keys", "use", &format!("--id={key}")]));
    assert!(!err.contains(key), "{err}");
}

#[test]
fn a_key_that_cannot_be_written_leaves_no_part_of_it() {
    let folder = Folder::new("full");
    let path = folder.file("a.key");
    // As on a medium without room: the first byte is one too many.
    let script = r#"trap '' XFSZ; ulimit -f 0; exec "$0" keys generate --out "$1""#;
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", script, env!("CARGO_BIN_EXE_gossip"), &path]).output().expect("sh runs");
    let (code, out, err) = told(&output);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains(&path), "{err}");
    assert_eq!(fs::read_dir(folder.file("")).expect("it can be read").count(), 0, "nothing is left");
}

#[test]
fn what_is_wrong_with_a_key_file_is_said_and_no_agent_starts() {
    let folder = Folder::new("bad-keys");
    let (good, _) = new_key(&folder, "good.key");
    let key = fs::read_to_string(&good).expect("it can be read");
    let cases = [
        ("empty", "# nothing\n".to_owned(), 0o600, "no key in it"),
        ("word", format!("{key}password\n"), 0o600, ":4: not a key of xchacha20-poly1305: expected 32 bytes as 44"),
        ("twice", format!("{key}{key}"), 0o600, ":6: the same key"),
        ("suite", "des:AAAA\n".to_owned(), 0o600, ":1: not a suite"),
        ("shared", key.clone(), 0o640, "chmod 600"),
        ("huge", "#".repeat(20_000), 0o600, "larger than"),
    ];
    for (name, text, mode, expected) in cases {
        let path = folder.write(name, &text);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode can be set");
        let config = folder.write("gossip.toml", &format!("bind = \"127.0.0.1:0\"\nkey_file = \"{path}\"\n"));
        for args in [&["--bind", "127.0.0.1:0", "--key-file", &path][..], &["--config", &config]] {
            let (code, out, err) = told(&run(&[&["agent", "--control", "none"], args].concat()));
            assert_eq!((code, out.as_str(), err.lines().count()), (Some(2), "", 1), "{name}: {err}");
            assert!(err.contains(&path) && err.contains(expected), "{name}: {err}");
            assert!(!err.contains("password"), "nothing of the file is repeated: {err}");
        }
    }
    let (code, _, err) = told(&run(&["agent", "--bind", "127.0.0.1:0", "--control", "none", "--plaintext", "accept"]));
    assert_eq!(code, Some(2));
    assert!(err.contains("--key-file"), "{err}");
}

#[test]
fn agents_with_the_key_find_each_other_and_those_without_are_kept_out_and_told_why() {
    let folder = Folder::new("kept-out");
    let (key, id) = new_key(&folder, "cluster.key");
    let (other_key, other_id) = new_key(&folder, "other.key");
    let first = Agent::start(&["--key-file", &key]);
    let second = first.companion(&["--key-file", &copy(&folder, &key, "second.key")]);
    all_see(&[&first, &second], 2);
    logs(&first, &format!("packets are sealed; nodes without these keys are kept out seals={id}"));

    let plain = first.companion(&[]);
    suspects_keys(&plain, "it may have keys and this one has none");
    logs(&first, "a node without keys was kept out: this cluster is sealed; give that node the cluster's key file");
    let wrong = second.companion(&["--key-file", &other_key]);
    suspects_keys(&wrong, "compare its keys with those of this one");
    logs(&second, "a node was kept out: it seals with a key that this one does not have");
    logs(&second, &format!("key=\"{other_id}\" ours=\"{id}\""));
    // One that has keys asks one that has none.
    let sealed = plain.companion(&["--key-file", &other_key]);
    logs(&plain, "a sealed packet came and this node has no keys");

    for (agent, count) in [(&first, 2), (&second, 2), (&plain, 1), (&wrong, 1), (&sealed, 1)] {
        assert_eq!(alive(agent), count);
    }
    let (code, _, err) = told(&plain.ask(&["keys", "list"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("--key-file"), "{err}");
    let secret = fs::read_to_string(&key).expect("it can be read");
    let secret = secret.lines().last().and_then(|line| line.split(' ').next()).expect("a key");
    for agent in [&first, &second] {
        assert!(!agent.process.log().contains(secret), "a key is in no log");
    }
}

#[test]
fn who_has_keys_is_told_that_all_users_of_the_machine_can_reach_a_port() {
    const WARNING: &str = "every user of this machine can steer this node";
    let folder = Folder::new("neighbours");
    let (key, _) = new_key(&folder, "cluster.key");
    let open = Agent::start(&["--key-file", &key, "--control", "127.0.0.1:0"]);
    logs(&open, WARNING);
    let plain = Agent::start(&[]);
    let private = Process::start({
        let mut command = gossip();
        let socket = format!("unix:{}", folder.file("s"));
        command.args(["agent", "--bind", "127.0.0.1:0", "--control", &socket, "--key-file", &copy(&folder, &key, "b")]);
        command
    });
    eventually("its start", SOON, || private.log().contains("packets are sealed").then_some(()));
    private.signal("-TERM");
    plain.process.signal("-TERM");
    // What is said at the start is said by then.
    for process in [&plain.process, &private] {
        eventually("its end", SOON, || process.log().contains("stopped").then_some(()));
        assert!(!process.log().contains(WARNING), "{}", process.log());
    }
}

#[test]
fn only_the_user_of_an_agent_changes_its_keys() {
    let folder = Folder::new("private");
    let (key, id) = new_key(&folder, "cluster.key");
    let (next, _) = new_key(&folder, "next.key");

    // Over a port, whoever asks, and whether or not the command is the one of this library.
    let open = Agent::start(&["--key-file", &key, "--control", "127.0.0.1:0"]);
    for step in [&["install", next.as_str()][..], &["use", &id], &["remove", &id]] {
        let (code, _, err) = told(&open.ask(&[&["keys"], step, &["--here"]].concat()));
        assert_eq!(code, Some(1), "{step:?}");
        assert!(err.contains("keys are changed over a Unix socket alone") && err.contains("--control unix:"), "{err}");
    }
    for action in ["install", "use", "remove"] {
        let mut stranger = TcpStream::connect(&open.control).expect("the agent listens");
        let request = format!(r#"{{"do":"keys","action":"{action}","id":"{id}","here":true,"timeout_ms":1000}}"#);
        stranger.write_all(format!("{request}\n").as_bytes()).expect("it reads");
        let mut answer = String::new();
        BufReader::new(stranger).read_line(&mut answer).expect("it answers");
        assert!(answer.contains("error") && answer.contains("Unix socket alone"), "{action}: {answer}");
    }
    assert_eq!(open.json(&["keys", "list", "--here"])["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!(told(&open.ask(&["members"])).0, Some(0));

    // A key is not sent to whoever has taken the port either.
    let thief = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = thief.local_addr().expect("it is bound").to_string();
    let (code, ..) = told(&run(&["keys", "install", &next, "--control", &port]));
    assert_eq!(code, Some(1));
    thief.set_nonblocking(true).expect("its mode can be set");
    assert!(thief.accept().is_err(), "nobody connected to it");
}

#[test]
fn a_key_is_not_sent_to_a_socket_of_another_user() {
    const STRANGER: u32 = 12_345;
    let folder = Folder::new("strange-socket");
    let (key, id) = new_key(&folder, "next.key");
    let place = Folder::new("strange-place");
    let owned = std::os::unix::fs::chown(place.file(""), Some(STRANGER), None);
    if owned.is_err() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    // Where that user can run it, wherever it was built.
    let command = place.file("gossip");
    fs::copy(env!("CARGO_BIN_EXE_gossip"), &command).expect("it can be copied");
    let control = format!("unix:{}", place.file("s"));
    let theirs = Process::start({
        let mut command = Command::new(&command);
        command.args(["agent", "--bind", "127.0.0.1:0", "--control", &control]).uid(STRANGER).stdin(Stdio::null());
        command
    });
    eventually("it listens", SOON, || run(&["info", "--control", &control]).status.success().then_some(()));
    for step in [&["install", key.as_str()][..], &["use", &id], &["remove", &id]] {
        let (code, _, err) = told(&run(&[&["keys"], step, &["--control", &control]].concat()));
        assert_eq!(code, Some(3), "{step:?}: {err}");
        assert!(err.contains("nothing was sent") && err.contains(&format!("uid {STRANGER}")), "{err}");
    }
    drop(theirs);
}

#[test]
fn what_is_meant_for_an_agent_that_has_died_does_not_go_to_who_has_the_port() {
    let folder = Folder::new("dead");
    let (key, _) = new_key(&folder, "cluster.key");
    let mut agent = Agent::start(&["--key-file", &key]);
    let place = agent.place.file("");
    let told_at_home = |args: &[&str]| told(&gossip().env("HOME", &place).args(args).output().expect("it runs"));
    let told_usually =
        |args: &[&str]| told(&gossip().env("XDG_RUNTIME_DIR", &place).args(args).output().expect("it runs"));
    agent.process.signal("-KILL");
    agent.process.wait(SOON);
    for args in [&["send", "--all", "200", "secret"][..], &["info"], &["keys", "install", &key]] {
        let (code, _, err) = told_usually(args);
        assert_eq!(code, Some(3), "{err}");
        assert!(err.contains("control.sock") && !err.contains("7980"), "{err}");
    }
    // Where no socket is, nobody is meant in particular; but a key goes to no port.
    let (code, _, err) = told_at_home(&["keys", "install", &key]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("Unix socket alone"), "{err}");
}

#[test]
fn a_place_where_others_can_write_is_no_place_for_a_socket() {
    let folder = Folder::new("open-place");
    let (key, id) = new_key(&folder, "cluster.key");
    let agent = Agent::start(&["--key-file", &key]);
    let place = agent.place.file("");
    for (mode, path) in [(0o775, place.clone()), (0o757, place.clone()), (0o710, agent.place.file("gossip"))] {
        let before = fs::metadata(&path).expect("it is there").permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode can be set");
        let mut command = gossip();
        let (code, out, err) =
            told(&command.env("XDG_RUNTIME_DIR", &place).args(["keys", "list"]).output().expect("it runs"));
        assert_eq!(code, Some(1), "{err}");
        assert!(!out.contains(&id) && err.contains(&format!("mode {mode:04o}")) && err.contains(&path), "{out}{err}");
        let mut command = gossip();
        let start = command.env("XDG_RUNTIME_DIR", &place);
        let (code, _, err) =
            told(&start.args(["agent", "--bind", "127.0.0.1:0", "--key-file", &key]).output().expect("it runs"));
        assert_ne!(code, Some(0));
        assert!(err.contains(&format!("mode {mode:04o}")) && err.contains("--control"), "{err}");
        fs::set_permissions(&path, before).expect("its mode can be set");
    }
}

#[test]
fn commands_find_the_private_socket_of_their_users_agent() {
    let folder = Folder::new("usual");
    let (key, id) = new_key(&folder, "cluster.key");
    let (next, _) = new_key(&folder, "next.key");
    let agent = Agent::start(&["--key-file", &key]);
    let (place, socket) = (agent.place.file(""), agent.place.file("gossip/control.sock"));
    assert_eq!(agent.control, format!("unix:{socket}"));
    let mode = |path: &str| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&agent.place.file("gossip")), mode(&socket)), (0o700, 0o600));
    let by =
        |variable: &str, args: &[&str]| told(&gossip().env(variable, &place).args(args).output().expect("it runs"));
    let (code, out, err) = by("XDG_RUNTIME_DIR", &["keys", "list"]);
    assert!(code == Some(0) && out.contains(&id), "{err}");
    let (code, _, err) = by("XDG_RUNTIME_DIR", &["keys", "install", &next]);
    assert_eq!(code, Some(0), "{err}");
    // Another agent of the user is told where to go instead of being in the way.
    let (code, _, err) = by("XDG_RUNTIME_DIR", &["agent", "--bind", "127.0.0.1:0", "--key-file", &key]);
    assert!(code == Some(1) && err.contains("in use") && err.contains("--control"), "{err}");

    // Where others can come in, they may have put the socket there.
    fs::set_permissions(agent.place.file("gossip"), fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    let (_, out, err) = by("XDG_RUNTIME_DIR", &["keys", "list"]);
    assert!(!out.contains(&id), "{out}{err}");
    let (code, _, err) = by("XDG_RUNTIME_DIR", &["agent", "--bind", "127.0.0.1:0", "--key-file", &key]);
    assert!(code == Some(1) && err.contains("mode 0700"), "{err}");

    // Without a runtime directory it is in the home; without either there is none.
    let home = Folder::new("home");
    let mut command = gossip();
    command.env("HOME", home.file("")).args(["agent", "--bind", "127.0.0.1:0", "--key-file", &key]);
    let at_home = Process::start(command);
    eventually("its socket", SOON, || fs::exists(home.file(".gossip/control.sock")).is_ok_and(|is| is).then_some(()));
    drop(at_home);
    let (code, _, err) = told(&run(&["agent", "--bind", "127.0.0.1:0", "--key-file", &key]));
    assert!(code == Some(2) && err.contains("XDG_RUNTIME_DIR") && err.contains("--control unix:PATH"), "{err}");
}

#[test]
fn a_cluster_is_moved_to_keys_with_a_warning_in_the_log() {
    let folder = Folder::new("migration");
    let (key, _) = new_key(&folder, "cluster.key");
    let plain = Agent::start(&[]);
    let sending = plain.companion(&["--key-file", &key, "--plaintext", "send"]);
    all_see(&[&plain, &sending], 2);
    logs(&sending, "this node sends plaintext, which protects against nobody");
    let accepting = sending.companion(&["--key-file", &copy(&folder, &key, "b.key"), "--plaintext", "accept"]);
    logs(&accepting, "this node accepts plaintext, which protects against nobody");
    all_see(&[&sending, &accepting], 3);
    // Keys do not travel in this time.
    let (more, _) = new_key(&folder, "more.key");
    let (code, _, err) = told(&sending.ask(&["keys", "install", &more]));
    assert_eq!(code, Some(1));
    assert!(err.contains("sends plaintext") && err.contains("refused"), "{err}");
    let status = sending.json(&["keys", "list", "--here"]);
    assert_eq!((&status["plaintext"], status["keys"].as_array().map(Vec::len)), (&Json::from("send"), Some(1)));
}

/// The exit code, the object, and what was written to stderr.
fn asked(agent: &Agent, args: &[&str]) -> (Option<i32>, Json, String) {
    let (code, out, err) = told(&agent.ask(&[&["keys"], args, &["--json", "--timeout", "6s"]].concat()));
    (code, serde_json::from_str(&out).unwrap_or(Json::Null), err)
}

fn node<'a>(summary: &'a Json, agent: &Agent) -> &'a Json {
    let nodes = summary["nodes"].as_array().expect("a list");
    nodes.iter().find(|node| node["id"] == agent.id.as_str()).unwrap_or_else(|| panic!("{}: {summary}", agent.id))
}

#[test]
fn a_key_is_changed_while_one_agent_stands_still_and_another_is_killed() {
    let folder = Folder::new("rotation");
    let (key, old) = new_key(&folder, "0.key");
    let (next_key, new) = new_key(&folder, "next.key");
    let files: Vec<String> = (1..5).map(|at| copy(&folder, &key, &format!("{at}.key"))).collect();
    let first = Agent::start(&["--key-file", &key, "--name", "first"]);
    let id = |at: usize| format!("0192f0c1-0000-7000-8000-00000000000{at}");
    let start =
        |at: usize| first.companion(&["--key-file", &files[at - 1], "--id", &id(at), "--name", &format!("n{at}")]);
    let mut others: Vec<Agent> = (1..5).map(start).collect();
    all_see(&others.iter().chain([&first]).collect::<Vec<_>>(), 5);

    // Both look alike for now: nobody answers.
    let killed = others.pop().expect("four");
    killed.process.signal("-KILL");
    others[2].process.signal("-STOP");
    let (code, summary, err) = asked(&first, &["install", &next_key]);
    others[2].process.signal("-CONT");
    assert_eq!(code, Some(1), "{summary}");
    assert!(err.contains("did not install it"), "{err}");
    for (at, agent) in others.iter().enumerate() {
        let expected = if at == 2 { "failed" } else { "done" };
        // It may have been given up for dead by then.
        let outcome = &node(&summary, agent)["outcome"];
        assert!(outcome == expected || (at == 2 && outcome == "away"), "{at}: {summary}");
    }
    assert_ne!(node(&summary, &killed)["outcome"], "done");

    first.sees(&killed.id, "dead", Duration::from_mins(1));
    first.sees(&others[2].id, "alive", SOON);
    let (code, _, err) = asked(&first, &["use", &new]);
    if code == Some(1) {
        assert!(err.contains("n3") && err.contains(&format!("does not have key {new}")), "{err}");
        let (code, summary, err) = asked(&others[0], &["install", &next_key]);
        assert_eq!((code, &node(&summary, &killed)["outcome"]), (Some(0), &Json::from("away")), "{err}");
        let (code, ..) = asked(&first, &["use", &new]);
        assert_eq!(code, Some(0));
    } else {
        // Its queue was read when it ran again.
        assert_eq!(code, Some(0), "{err}");
    }
    let (code, _, err) = asked(&first, &["remove", &old]);
    assert_eq!(code, Some(1));
    assert!(err.contains("n4") && err.contains("is away"), "{err}");
    assert!(others.iter().all(|agent| agent.process.log().contains("this node seals with another key")));

    // The killed one comes back with the old key.
    drop(killed);
    let back = start(4);
    others.push(back);
    all_see(&others.iter().chain([&first]).collect::<Vec<_>>(), 5);
    let (code, _, err) = asked(&first, &["remove", &old]);
    assert_eq!(code, Some(1));
    assert!(err.contains(&format!("n4 ({}) still seals with key {old}", id(4))), "{err}");
    for step in [&["install", next_key.as_str()][..], &["use", &new], &["remove", &old]] {
        let (code, summary, err) = asked(&first, step);
        assert_eq!((code, &summary["done"], &summary["failed"]), (Some(0), &5.into(), &0.into()), "{step:?}: {err}");
    }
    let listed = first.json(&["keys", "list"]);
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(1));
    assert_eq!((&listed["keys"][0]["id"], &listed["keys"][0]["primary"]), (&Json::from(new.as_str()), &true.into()));
    for path in files.iter().chain([&key]) {
        assert_eq!(ids_in(path), [new.as_str()], "{path}");
        assert_eq!(fs::metadata(path).expect("it is there").permissions().mode() & 0o777, 0o600);
    }

    // A restart has the new key.
    others.remove(0).process.signal("-KILL");
    let again = start(1);
    others.push(again);
    all_see(&others.iter().chain([&first]).collect::<Vec<_>>(), 5);
}

#[test]
fn a_key_is_installed_by_stdin_here_alone_and_never_by_an_argument() {
    let folder = Folder::new("install");
    let (key, _) = new_key(&folder, "cluster.key");
    let (next, id) = new_key(&folder, "next.key");
    let agent = Agent::start(&["--key-file", &key]);
    let line = told(&run(&["keys", "generate"])).1;
    let (code, _, err) = told(&agent.ask(&["keys", "install", line.trim()]));
    assert_eq!(code, Some(2));
    assert!(err.contains("Generate another key") && !err.contains(line.trim()), "{err}");

    let text = fs::read(&next).expect("it can be read");
    let (code, out, err) = told(&agent.ask_with(&["keys", "install", "--here", "-"], &text));
    assert_eq!(
        (code, out.as_str()),
        (Some(0), format!("key {id} is installed on the agent's node\n").as_str()),
        "{err}"
    );
    let (code, out, _) = told(&agent.ask(&["keys", "list"]));
    assert_eq!(code, Some(0));
    assert!(out.contains("seals and opens") && out.contains(&id), "{out}");
    // Both are in its file now, which is more than can be installed at once.
    let (code, _, err) = told(&agent.ask(&["keys", "install", &key]));
    assert_eq!(code, Some(2));
    assert!(err.contains("2 keys"), "{err}");
    for (args, expected, reason) in [
        (["use", "ffff"], 2, "keys list"),
        (["remove", "xyz"], 2, "four hexadecimal digits"),
        (["use", &id], 0, ""),
        (["remove", &id], 1, "is the primary"),
    ] {
        let (code, _, err) = told(&agent.ask(&[&["keys"], &args[..]].concat()));
        assert_eq!(code, Some(expected), "{args:?}: {err}");
        assert!(err.contains(reason), "{args:?}: {err}");
    }
}

#[test]
fn a_file_that_cannot_be_replaced_keeps_the_ring_as_it_is() {
    let folder = Folder::new("read-only");
    let inner = folder.file("inner");
    fs::create_dir(&inner).expect("a folder can be made");
    let (key, id) = new_key(&folder, "inner/cluster.key");
    let (next, _) = new_key(&folder, "next.key");
    let agent = Agent::start(&["--key-file", &key]);
    // Root writes wherever it likes, but not where nothing is.
    fs::remove_dir_all(&inner).expect("it can be removed");
    let (code, _, err) = told(&agent.ask(&["keys", "install", &next]));
    assert_eq!(code, Some(1));
    assert!(err.contains("could not be stored") && err.contains("cluster.key"), "{err}");
    let listed = agent.json(&["keys", "list", "--here"]);
    assert_eq!((listed["keys"].as_array().map(Vec::len), &listed["keys"][0]["id"]), (Some(1), &Json::from(id)));
}
