//! Starts a node in a program on async-std and shows who is in its cluster.
//!
//! Three nodes start in this process, find each other, and leave; over WebSocket, if you like:
//!
//! ```text
//! cargo run --example on_async_std
//! cargo run --features websocket --example on_async_std -- --ws-listen
//! ```
//!
//! With `--stay` one node runs until Ctrl-C; start several in several terminals:
//!
//! ```text
//! cargo run --example on_async_std -- --stay --bind 127.0.0.1:7001
//! cargo run --example on_async_std -- --stay --join 127.0.0.1:7001
//! ```

#[path = "../../gossip-tokio/examples/addresses/mod.rs"]
mod addresses;

use std::error::Error;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use async_signal::{Signal, Signals};
use clap::Parser;
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use gossip_async_std::{Cluster, Config, Event, Events, MemberState};

use addresses::Addresses;

/// Shows who is in a cluster.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    addresses: Addresses,
    /// Start one node, and stay until Ctrl-C
    #[arg(long)]
    stay: bool,
}

#[async_std::main]
async fn main() -> ExitCode {
    let Arguments { addresses, stay } = Arguments::parse();
    let outcome = if stay { one_node(&addresses).await } else { three_nodes(&addresses).await };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn three_nodes(addresses: &Addresses) -> Result<(), Box<dyn Error>> {
    let first =
        Cluster::start(addresses.node(0).dial_only(false).metadata("role", "first").seeds(&addresses.join)).await?;
    println!("the first node is {} at {}", first.id(), first.address());
    let mut nodes = vec![first];
    for role in ["second", "third"] {
        let config = addresses.node(1).metadata("role", role).seed(nodes[0].address().to_string());
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

async fn one_node(addresses: &Addresses) -> Result<(), Box<dyn Error>> {
    let node = Cluster::start(addresses.node(0).seeds(&addresses.join)).await?;
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
