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
    let mut silent: Vec<TcpStream> = (0..40).map(|_| connect(&agent)).collect();
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
fn monitors_leave_half_of_the_places_to_others() {
    let agent = Agent::start(&[]);
    let _monitors: Vec<_> = (0..16).map(|_| agent.monitor()).collect();
    let (code, _, err) = told(&agent.ask(&["monitor"]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("16 monitors"), "{err}");
    let _silent: Vec<TcpStream> = (0..16).map(|_| connect(&agent)).collect();
    assert!(agent.ask(&["info"]).status.success());
}

#[test]
fn a_monitor_ends_with_its_client() {
    let agent = Agent::start(&[]);
    let monitors: Vec<_> = (0..16).map(|_| agent.monitor()).collect();
    drop(monitors);
    eventually("the places of gone monitors are free", SOON, || {
        answer(&agent, b"{\"do\":\"monitor\"}\nend\n").contains("watching").then_some(())
    });
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
