//! The control endpoint against clients that are wrong, slow, or many, and its Unix socket.
#![cfg(unix)]

mod process;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use process::{Agent, Folder, SOON, eventually, run, told};

fn connect(agent: &Agent) -> TcpStream {
    let stream = TcpStream::connect(&agent.control).expect("the agent listens");
    stream.set_read_timeout(Some(SOON)).expect("a timeout can be set");
    stream
}

/// Sends bytes, and reads until the agent closes the connection.
fn answer(agent: &Agent, bytes: &[u8]) -> String {
    let mut stream = connect(agent);
    // The agent may close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn garbage_and_floods_end_their_own_connection_and_nothing_else() {
    let mut agent = Agent::start(&[]);
    let garbage = answer(&agent, b"\x00\xff garbage\n");
    assert!(garbage.contains("\"error\"") && garbage.contains("not a request"), "{garbage}");
    answer(&agent, &vec![b'x'; 3 << 20]);
    answer(&agent, format!("{}\n", "{\"do\":".repeat(100_000)).as_bytes());
    assert!(agent.process.is_running());
    assert_eq!(agent.json(&["members"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn what_a_browser_posts_is_not_carried_out() {
    let mut agent = Agent::start(&[]);
    let request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{\"do\":\"leave\"}\n";
    let answer = answer(&agent, request.as_bytes());
    assert_eq!(answer.lines().count(), 1, "{answer}");
    assert_eq!(agent.json(&["info"])["phase"], "active");
    assert!(agent.process.is_running());
}

#[test]
fn several_requests_are_answered_in_order_on_one_connection() {
    let agent = Agent::start(&[]);
    let requests = "{\"do\":\"meta_set\",\"entries\":{\"a\":1}}\n{\"do\":\"meta_get\",\"key\":\"a\"}\nend\n";
    let answer = answer(&agent, requests.as_bytes());
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines[0], "{\"done\":{\"set\":[\"a\"]}}");
    assert_eq!(lines[1], "{\"item\":{\"key\":\"a\",\"value\":1}}");
    assert!(lines[2].starts_with("{\"done\":") && lines[3].starts_with("{\"error\":"), "{answer}");
}

#[test]
fn silent_clients_give_way_the_oldest_first() {
    let agent = Agent::start(&[]);
    let mut silent: Vec<TcpStream> = (0..104).map(|_| connect(&agent)).collect();
    for _ in 0..3 {
        let (code, _, err) = told(&agent.ask(&["info"]));
        assert_eq!(code, Some(0), "{err}");
    }
    let mut told = String::new();
    silent[0].read_to_string(&mut told).expect("the oldest is told and closed");
    assert!(told.contains("needed for another client"), "{told}");
    let youngest = silent.last_mut().expect("there are some");
    youngest.write_all(b"{\"do\":\"info\"}\nend\n").expect("the youngest has its place");
    let mut answer = String::new();
    youngest.read_to_string(&mut answer).expect("it is answered");
    assert!(answer.contains("\"done\""), "{answer}");
}

#[test]
fn monitors_and_listeners_leave_places_to_others() {
    let agent = Agent::start(&[]);
    let _monitors: Vec<_> = (0..12).map(|_| agent.monitor()).collect();
    let _listeners: Vec<_> = (0..12).map(|_| agent.listen(&[])).collect();
    for command in ["monitor", "listen"] {
        let (code, _, err) = told(&agent.ask(&[command]));
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains("24 monitors, listeners and watchers"), "{err}");
    }
    let _silent: Vec<TcpStream> = (0..40).map(|_| connect(&agent)).collect();
    assert!(agent.ask(&["info"]).status.success());
}

#[test]
fn a_monitor_ends_with_its_client() {
    let agent = Agent::start(&[]);
    let monitors: Vec<_> = (0..24).map(|_| agent.monitor()).collect();
    drop(monitors);
    eventually("the places of gone monitors are free", SOON, || {
        answer(&agent, b"{\"do\":\"monitor\"}\nend\n").contains("watching").then_some(())
    });
}

#[test]
fn a_request_ends_with_its_client_and_many_leave_places_to_others() {
    let agent = Agent::start(&[]);
    let silent = agent.companion(&[]);
    agent.sees(&silent.id, "alive", SOON);
    silent.process.signal("-STOP");
    let line =
        format!("{{\"do\":\"request\",\"to\":{{\"node\":\"{}\"}},\"type\":200,\"timeout_ms\":600000}}\n", silent.id);
    let ask = || {
        let mut stream = connect(&agent);
        stream.write_all(line.as_bytes()).expect("the agent reads it");
        stream
    };
    let mut asking: Vec<TcpStream> = (0..24).map(|_| ask()).collect();
    let request = ["request", "--to", &silent.id, "--timeout", "100ms", "200", "x"];
    let asked = || told(&agent.ask(&request)).2;
    eventually("all are under way", SOON, || {
        // One that came while this question had a place was refused: another takes it.
        asked().contains("24 requests").then_some(()).or_else(|| {
            asking.push(ask());
            None
        })
    });
    assert!(agent.ask(&["info"]).status.success());
    drop(asking);
    eventually("the places of gone clients are free", SOON, || asked().contains("no answer in time").then_some(()));
    silent.process.signal("-CONT");
}

#[test]
fn a_payload_follows_its_request_byte_by_byte() {
    let agent = Agent::start(&[]);
    let listener = agent.listen(&[]);
    let send = |body: usize| {
        format!("{{\"do\":\"send\",\"to\":{{\"node\":\"{}\"}},\"type\":200,\"body\":{body}}}\n", agent.id)
    };
    let large = 5 << 20;
    let (short, long, empty) = (send(7), send(large), send(0));
    let requests =
        [short.as_bytes(), b"a\n\0\xff{}\n", long.as_bytes(), &vec![b'\n'; large], empty.as_bytes(), b"end\n"];
    let answer = answer(&agent, &requests.concat());
    let done: Vec<&str> = answer.lines().filter(|line| !line.starts_with("{\"item\"")).collect();
    assert_eq!(done.len(), 4, "{answer}");
    assert!(done[0].starts_with("{\"done\"") && done[2].starts_with("{\"done\""), "{answer}");
    assert!(done[1].contains("usage") && done[1].contains("5242880 bytes, the limit is"), "{answer}");
    assert!(done[3].contains("not a request"), "{answer}");
    let heard = |payload: serde_json::Value| {
        listener.wait_for("the message", SOON, |heard| heard["payload"] == payload);
    };
    heard(serde_json::json!({ "bytes": "610a00ff7b7d0a" }));
    heard("".into());
}

#[test]
fn a_payload_that_never_ends_or_is_absurd_ends_its_own_connection() {
    let mut agent = Agent::start(&[]);
    let absurd = format!("{{\"do\":\"send\",\"to\":\"all\",\"type\":200,\"body\":{}}}\n", u64::MAX);
    assert_eq!(answer(&agent, absurd.as_bytes()), "");
    let mut cut = connect(&agent);
    cut.write_all(b"{\"do\":\"send\",\"to\":\"all\",\"type\":200,\"body\":10}\nhalf").expect("the agent reads it");
    cut.shutdown(std::net::Shutdown::Write).expect("it is connected");
    let mut nothing = String::new();
    cut.read_to_string(&mut nothing).expect("the agent closes");
    assert_eq!(nothing, "");
    assert!(agent.process.is_running());
}

#[test]
fn a_socket_file_is_private_replaced_when_stale_and_removed_at_the_end() {
    let folder = Folder::new("socket");
    let path = folder.file("gossip.sock");
    let control = format!("unix:{path}");
    drop(UnixListener::bind(&path).expect("a socket file can be made"));

    let mut agent = Agent::start(&["--control", &control]);
    assert_eq!(agent.control, control);
    assert_eq!(fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o600);
    assert_eq!(agent.json(&["members"]).as_array().map(Vec::len), Some(1));

    let (code, _, err) = told(&run(&["agent", "--bind", "127.0.0.1:0", "--control", &control]));
    assert_eq!(code, Some(1));
    assert!(err.contains(&path) && err.contains("in use") && err.lines().count() == 1, "{err}");
    assert_eq!(agent.json(&["info"])["phase"], "active", "the live agent keeps its socket");

    agent.process.signal("-KILL");
    agent.process.wait(SOON);
    let mut next = Agent::start(&["--control", &control]);
    next.process.signal("-INT");
    assert_eq!(next.process.wait(Duration::from_secs(10)).code(), Some(0));
    assert!(!fs::exists(&path).expect("the folder can be read"), "the socket file is gone");
}
