//! Starts a node in a program on async-std and shows who is in its cluster.
//!
//! Without arguments, three nodes start in this process, find each other, and leave:
//!
//! ```text
//! cargo run --example on_async_std
//! ```
//!
//! With arguments, one node runs until Ctrl-C; start several in several terminals:
//!
//! ```text
//! cargo run --example on_async_std -- --bind 127.0.0.1:7001
//! cargo run --example on_async_std -- --bind 127.0.0.1:7002 --join 127.0.0.1:7001
//! ```

use std::error::Error;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use async_signal::{Signal, Signals};
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use gossip_async_std::{Cluster, Config, Event, Events, MemberState};

const USAGE: &str = "usage: on_async_std [--cluster NAME] [--bind ADDRESS] [--join ADDRESS]... [--set KEY=VALUE]...";

#[async_std::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    match parse(std::env::args().skip(1))? {
        Some(config) => one_node(config).await,
        None => three_nodes().await,
    }
}

/// The configuration that the arguments ask for; `None` without arguments.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Config>, String> {
    let mut config = Config::local("example");
    let mut is_empty = true;
    while let Some(option) = arguments.next() {
        is_empty = false;
        if !["--cluster", "--bind", "--join", "--set"].contains(&option.as_str()) {
            return Err(format!("unknown option {option}\n{USAGE}"));
        }
        let value = arguments.next().ok_or_else(|| format!("{option} needs a value\n{USAGE}"))?;
        config = match option.as_str() {
            "--cluster" => config.protocol(|protocol| protocol.cluster = value),
            "--bind" => config.bind(value),
            "--join" => config.seed(value),
            _ => {
                let (key, value) = value.split_once('=').ok_or_else(|| format!("--set needs KEY=VALUE\n{USAGE}"))?;
                config.metadata(key, value)
            }
        };
    }
    Ok((!is_empty).then_some(config))
}

async fn three_nodes() -> Result<(), Box<dyn Error>> {
    let first = Cluster::start(Config::local("example").metadata("role", "first")).await?;
    println!("the first node is {} at {}", first.id(), first.address());
    let mut nodes = vec![first];
    for role in ["second", "third"] {
        let config = Config::local("example").metadata("role", role).seed(nodes[0].address().to_string());
        nodes.push(Cluster::start(config).await?);
    }
    for node in &nodes {
        async_std::future::timeout(Duration::from_secs(30), sees(node, nodes.len())).await?;
        print_members(node);
    }
    for node in nodes {
        node.leave().await?;
        node.shutdown().await;
    }
    println!("all have left");
    Ok(())
}

/// Waits until a node sees as many live members as that.
async fn sees(node: &Cluster, count: usize) {
    let mut events = node.events();
    while node.members().counts().live() < count {
        if events.next().await.is_none() {
            return;
        }
    }
}

async fn one_node(config: Config) -> Result<(), Box<dyn Error>> {
    let node = Cluster::start(config).await?;
    println!("this node is {} at {}; Ctrl-C leaves", node.id(), node.address());
    let mut interrupts = Signals::new([Signal::Int])?;
    let printing = pin!(print_changes(&node, node.events()));
    match select(printing, interrupts.next()).await {
        Either::Left(((), _)) => Err(node.stopped().await.into()),
        Either::Right(_) => {
            let report = node.leave().await?;
            println!("left; {} peers know", report.acknowledged);
            node.shutdown().await;
            Ok(())
        }
    }
}

/// Prints the members whenever they change, until the node stops.
async fn print_changes(node: &Cluster, mut events: Events) {
    while let Some(event) = events.next().await {
        if matches!(event, Event::Member(change) if change.member.state != MemberState::Suspect) {
            print_members(node);
        }
    }
}

fn print_members(node: &Cluster) {
    println!("as {} sees it:", node.address());
    for member in node.members().all() {
        let role = member.metadata.str("role").unwrap_or("-");
        println!("  {:<8} {:<21} {} {role}", member.state, member.address.to_string(), member.id);
    }
}
