//! The examples run as they are told, over sockets and over WebSocket.

use std::env::{consts::EXE_SUFFIX, current_exe};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_mins(2);

/// What cargo built of the example beside this test, as it does unless it is to run this test alone.
fn example(name: &str) -> Command {
    let tests = current_exe().expect("this test is a file");
    let build = tests.ancestors().nth(2).expect("tests are built in a directory of the build");
    let path: PathBuf = build.join("examples").join(format!("{name}{EXE_SUFFIX}"));
    assert!(path.exists(), "{} is not there: cargo build -p gossip-tokio --examples", path.display());
    let mut command = Command::new(path);
    command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn told(name: &str, arguments: &[&str]) -> String {
    let ended = tokio::time::timeout(PATIENCE, example(name).args(arguments).output()).await;
    let Output { status, stdout, stderr } = ended.expect("it ends by itself").expect("it runs");
    let (out, err) = (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{name} {arguments:?}: {status}\n{out}{err}");
    out
}

async fn each_does_what_it_shows(arguments: &[&str], address: &str) {
    let with = |more: &[&'static str]| [arguments, more].concat();
    let (basic, rounds) = (with(&[]), with(&["--rounds", "3"]));
    let (basic, users, tagged, events, health, leader, kv, lock) = tokio::join!(
        told("basic", &basic),
        told("usermessages", &basic),
        told("tagged", &basic),
        told("events", &basic),
        told("health", &rounds),
        told("leader", &basic),
        told("kv", &basic),
        told("lock", &basic),
    );
    assert!(basic.contains(address) && basic.ends_with("all have left\n"), "{basic}");
    assert!(users.contains("hears Greeting") && users.contains("2 nodes are asked at once"), "{users}");
    assert!(tagged.contains("15 jobs were done"), "{tagged}");
    assert!(events.contains(address) && events.contains("suspect -> dead"), "{events}");
    assert!(health.contains("crashed"), "{health}");
    assert!(leader.contains("it has crashed") && leader.contains("leads now"), "{leader}");
    assert!(
        lock.contains("is held by nobody else") && lock.contains("was freed") && lock.contains("stands at 12"),
        "{lock}"
    );
    assert!(kv.contains("now lease has ended") && kv.ends_with("all have left\n"), "{kv}");
}

#[tokio::test]
async fn the_examples_run_over_sockets() {
    each_does_what_it_shows(&[], "127.0.0.1:").await;
}

#[cfg(feature = "websocket")]
#[tokio::test]
async fn the_examples_run_over_websocket() {
    each_does_what_it_shows(&["--ws-listen"], "ws://127.0.0.1:").await;
}

#[tokio::test]
async fn the_examples_run_without_udp() {
    each_does_what_it_shows(&["--stream-only"], "tcp://127.0.0.1:").await;
}

#[tokio::test]
async fn a_node_that_stays_does_what_it_is_told() {
    let mut node =
        example("basic").args(["--stay", "--set", "zone=eu"]).stdin(Stdio::piped()).spawn().expect("it runs");
    let mut input = node.stdin.take().expect("it is piped");
    let commands = "whoami\nset-meta role web server\nset-meta role web\nget-meta role\nget-meta rolle\nshow-meta\npeers\n\
                    leave\n";
    input.write_all(commands.as_bytes()).await.expect("it reads");
    let ended = tokio::time::timeout(PATIENCE, node.wait_with_output()).await;
    let Output { status, stdout, .. } = ended.expect("it leaves").expect("it ends");
    let out = String::from_utf8(stdout).expect("it prints text");
    assert!(status.success(), "{status}: {out}");
    for said in ["role is web\n", "\nweb\n", "rolle is not set", "zone = eu", "as 127.0.0.1:", "left; 0 peers know"] {
        assert!(out.contains(said), "{said:?} is not in {out}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_said() {
    for (arguments, reason) in [
        (&["--bind", "127.0.0.1:1", "--ws-listen"][..], "cannot be used with"),
        (&["--join"][..], "a value is required"),
        (&["--bind", "nobody.invalid"][..], "nobody.invalid"),
    ] {
        let ended = tokio::time::timeout(PATIENCE, example("basic").args(arguments).output()).await;
        let Output { status, stderr, .. } = ended.expect("it ends").expect("it runs");
        let err = String::from_utf8(stderr).expect("it prints text");
        assert!(!status.success() && err.contains(reason), "{arguments:?}: {status} {err}");
    }
}
