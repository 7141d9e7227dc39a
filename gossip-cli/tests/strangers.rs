//! Strangers who speak another protocol than the port of an agent: they are told so, the log warns, and nobody else
//! notices.

mod certificates;
mod process;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use certificates::Authority;
use process::{Agent, SOON, eventually};

/// An alert of TLS, fatal: an unexpected message.
const ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 10];

/// What the agent answers to these bytes before it closes.
fn answer(agent: &Agent, bytes: &[u8]) -> Vec<u8> {
    let address = agent.address.trim_start_matches("tcp://");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("it can be set");
    // What is long may be cut off by the end.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    // A reset is as good an end as any.
    let _ = stream.read_to_end(&mut answer);
    let _ = stream.shutdown(Shutdown::Both);
    answer
}

/// How often the log warns of this.
fn warnings(agent: &Agent, of: &str) -> usize {
    agent.process.log().lines().filter(|line| line.contains("WARN") && line.contains(of)).count()
}

fn warned(agent: &Agent, of: &str) {
    eventually(of, SOON, || (warnings(agent, of) > 0).then_some(()));
}

#[test]
fn a_plain_port_answers_requests_of_http_and_warns_of_them_once() {
    let agent = Agent::start(&[]);
    for request in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /gossip HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"] {
        let answer = answer(&agent, request.as_bytes());
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n") && text.contains("gossip port"), "{text}");
    }
    // A large one is not read for ever, and its sender may not hear the answer.
    let long = format!("GET / HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    answer(&agent, long.as_bytes());
    let other = agent.companion(&[]);
    agent.sees(&other.id, "alive", SOON);
    eventually("all are counted", SOON, || {
        (agent.json(&["info"])["counters"]["links_rejected"].as_u64() >= Some(3)).then_some(())
    });
    assert_eq!(warnings(&agent, "sends a request of HTTP to a port for gossip"), 1, "{}", agent.process.log());
}

#[test]
fn a_plain_port_warns_of_peers_that_speak_tls() {
    let ours = Authority::new("strangers-plain");
    let identity = ours.signs("127.0.0.1", 2_100);
    let agent = Agent::start(&[]);
    let secure = [&["--tcp-tls"][..], &identity.options(&ours)].concat();
    let secure = agent.companion(&secure);
    warned(&agent, "the peer speaks TLS, this node does not");
    warned(&secure, "maybe it does not use TLS");
    assert_eq!(agent.state_of(&secure.id), None);
}

#[test]
fn a_port_with_tls_sends_an_alert_to_who_speaks_without() {
    let ours = Authority::new("strangers-tls");
    let identity = ours.signs("127.0.0.1", 2_100);
    let tls = [&["--stream-only", "--tcp-tls"][..], &identity.options(&ours)].concat();
    let agent = Agent::start(&tls);
    assert_eq!(answer(&agent, &[0, 0, 0, 44, 1, 2, 3]), ALERT);
    warned(&agent, "the peer does not use TLS, this node does");
    let http = answer(&agent, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(http.starts_with(b"HTTP/1.1 400 Bad Request\r\n"), "{}", String::from_utf8_lossy(&http));
    let other = agent.companion(&tls);
    agent.sees(&other.id, "alive", SOON);
}
