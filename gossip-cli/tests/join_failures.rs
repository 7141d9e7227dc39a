//! Why an agent could not join is said in one line, to who asked for it and in the log.

mod certificates;
mod process;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use certificates::Authority;
use process::{Agent, Folder, Process, SOON, eventually, gossip, told};

/// A listener that serves each connection by this; its address.
fn peer(serve: fn(TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    // It ends with the test.
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(serve));
    address
}

/// Somewhere nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

/// Keeps the connection until its peer gives it up.
fn keep_silent(mut stream: TcpStream) {
    thread::spawn(move || while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {});
}

/// Reads what comes first, and closes.
fn hang_up(mut stream: TcpStream) {
    let _ = stream.read(&mut vec![0; 64 << 10]);
}

/// Answers a handshake with a megabyte of headers.
fn talk_much(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
    let _ = write!(stream, "HTTP/1.1 101 Switching Protocols\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
}

/// An agent with a WebSocket alone: its URL.
fn web(args: &[&str]) -> (Process, String) {
    let mut command = gossip();
    command.args(["agent", "--preset", "local", "--control", "none"]).args(args);
    let process = Process::start(command);
    let line = eventually("the agent says where it listens", SOON, || {
        process.line(SOON).filter(|line| line.starts_with("ws "))
    });
    let url = line.trim_start_matches("ws ").trim().to_owned();
    (process, url)
}

/// Has the agent join; it must fail with this code and one line with all parts.
fn fails(agent: &Agent, address: &str, code: i32, parts: &[&str]) {
    let (found, out, err) = told(&agent.ask(&["join", address]));
    assert_eq!((found, out.as_str(), err.lines().count()), (Some(code), "", 1), "{address}: {err}");
    assert!(err.contains(address) && parts.iter().all(|part| err.contains(part)), "{address}: {parts:?}: {err}");
}

#[test]
fn each_reason_is_told_from_the_others() {
    let folder = Folder::new("reasons");
    let (token, other) = (folder.write("token", "open-sesame"), folder.write("other", "open-barley"));
    let (ours, theirs) = (Authority::new("reasons-ours"), Authority::new("reasons-theirs"));
    let (valid, old) = (ours.signs("127.0.0.1", 2_100), ours.signs("127.0.0.1", 2_001));
    let unknown = theirs.signs("127.0.0.1", 2_100);
    let secure = ["--ws-listen", "wss://127.0.0.1:0/gossip"];
    let (_old, old) = web(&[&secure[..], &old.options(&ours)].concat());
    let (_unknown, unknown) = web(&[&secure[..], &unknown.options(&ours)].concat());
    let (_valid, valid) = web(&[&secure[..], &valid.options(&ours)].concat());
    let (_guarded, guarded) = web(&["--ws-listen", "ws://127.0.0.1:0/gossip", "--token-file", &other]);
    let (closed, long, silent) = (nobody(), peer(talk_much), peer(keep_silent));

    let agent = Agent::start(&["--tls-ca", &ours.ca, "--token-file", &token]);
    let unreachable = |address: &str, part: &str| fails(&agent, address, 1, &["cannot be reached: ", part]);
    unreachable(&closed, "refused");
    unreachable(&format!("tcp://{closed}"), "refused");
    unreachable(&format!("ws://{closed}/"), "refused");
    unreachable(&format!("ws://{silent}/"), "no connection within 1s");
    unreachable("ws://name.invalid/", "name.invalid: ");
    unreachable(&old, "certificate expired");
    unreachable(&unknown, "nobody whom this node trusts has signed it");
    unreachable(&guarded, "status 401: it does not accept the token of this node");
    unreachable(&guarded.replace("/gossip", "/elsewhere"), "status 404: it has no gossip at this path");
    unreachable(&guarded.replace("ws://", "wss://"), "maybe it does not use TLS");
    unreachable(&valid.replace("wss://", "ws://"), "does the port want TLS? Then use wss://");
    unreachable(&format!("ws://{long}/"), "headers of more than 16384 bytes");
    let curt = peer(hang_up);
    let (code, _, err) = told(&agent.ask(&["join", &silent, &curt]));
    assert_eq!((code, err.lines().count()), (Some(1), 1), "{err}");
    let ends = [
        format!("{silent}: no answer in time;"),
        format!("{curt}: no answer in time: the peer closed the connection without an answer"),
    ];
    assert!(ends.iter().all(|end| err.contains(end)), "{err}");
    fails(&Agent::start(&[]), &valid, 1, &["cannot be reached: ", "no TLS configuration", "--tls-ca"]);
    fails(&agent, "name.invalid:1", 1, &["cannot be resolved"]);
    for (address, part) in [("ws:///gossip", "the host is missing"), ("ftp://node.example", "do not begin with")] {
        fails(&agent, address, 2, &[part]);
    }
}

#[test]
fn the_log_and_monitors_tell_why_a_seed_cannot_be_joined_through() {
    let seed = format!("ws://{}/", nobody());
    let agent = Agent::start(&["--join", &seed]);
    let line = eventually("a line of the log", SOON, || {
        let log = agent.process.log();
        log.lines().find(|line| line.contains("cannot join")).map(ToOwned::to_owned)
    });
    assert!([&*seed, "refused", "retried for ever"].iter().all(|part| line.contains(part)), "{line}");
    assert!(!line.contains("--key-file"), "what is known is not guessed: {line}");
    let monitor = agent.monitor();
    monitor.wait_for("a failed join with its reason", SOON, |event| {
        event["event"] == "join_failed" && event["reason"].as_str().is_some_and(|reason| reason.contains("refused"))
    });
}
