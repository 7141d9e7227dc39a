//! Agents behind WebSocket, and what is said of settings that cannot work.

mod process;

use std::io::Write;

use process::{Agent, Process, SOON, eventually, gossip, run, told};

/// A file with this text.
fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    file.write_all(text.as_bytes()).expect("it can be written");
    file
}

#[test]
fn an_agent_with_sockets_and_one_with_a_websocket_alone_meet() {
    let token = file("open-sesame\n");
    let token = token.path().to_str().expect("the path is text");
    let listen = ["--ws-listen", "ws://127.0.0.1:0/gossip", "--token-file", token];
    let open = Agent::start(&listen);
    let url = open.process.line(SOON).and_then(|line| line.strip_prefix("ws").map(|url| url.trim().to_owned()));
    let url = url.expect("the agent says where it listens");
    let mut command = gossip();
    command.args(["agent", "--preset", "local", "--control", "none", "--join", &url]).args(listen);
    let other = Process::start(command);
    let members = eventually("both are members", SOON, || {
        let (_, out, _) = told(&run(&["members", "--control", &open.control]));
        (out.matches("alive").count() == 2).then_some(out)
    });
    assert!(members.contains("ws://127.0.0.1:") && members.contains(&open.address), "{members}");
    let (_, info, _) = told(&run(&["members", "--json", "--control", &open.control]));
    assert!(info.contains("gossip.web") && info.contains(&url), "who has sockets shows the URL besides: {info}");
    assert!(!other.log().contains("open-sesame") && !open.process.log().contains("open-sesame"));
}

#[test]
fn settings_that_cannot_work_are_said_in_one_line() {
    let short = file("short");
    let short = short.path().to_str().expect("the path is text");
    for (args, expected) in [
        (&["--ws-listen", "ftp://127.0.0.1/"][..], "ws:// or wss://"),
        (&["--ws-listen", "ws:///gossip"], "the host is missing"),
        (&["--ws-listen", "wss://127.0.0.1:0/"], "no certificate"),
        (&["--bind", "127.0.0.1:0", "--ws-advertise", "ftp://proxy/"], "web_advertise"),
        (&["--bind", "127.0.0.1:0", "--tls-cert", "/nonexistent"], "--tls-key"),
        (&["--bind", "127.0.0.1:0", "--tls-key", "/nonexistent"], "--tls-cert"),
        (&["--bind", "127.0.0.1:0", "--tls-ca", "/nonexistent"], "cannot read /nonexistent"),
        (&["--bind", "127.0.0.1:0", "--token-file", "/nonexistent"], "/nonexistent"),
        (&["--bind", "127.0.0.1:0", "--token-file", short], "5 characters"),
        (&["--bind", "127.0.0.1:0", "--join", "ws://"], "the host is missing"),
    ] {
        let (code, out, err) = told(&run(&[&["agent", "--control", "none", "--log", "off"], args].concat()));
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(2), "", 1), "{args:?}: {err}");
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}
