//! Starts a node and shows who is in its cluster.
//!
//! Three nodes start in this process, find each other, and leave; over WebSocket, if you like:
//!
//! ```text
//! cargo run --example basic
//! cargo run --features websocket --example basic -- --ws-listen
//! ```
//!
//! With `--stay` one node runs and takes commands, of which `help` shows a list; start several in several terminals:
//!
//! ```text
//! cargo run --example basic -- --stay --bind 127.0.0.1:7001
//! cargo run --example basic -- --stay --join 127.0.0.1:7001
//! ```

mod addresses;

use std::error::Error;
use std::io::BufRead as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gossip_tokio::{Cluster, Config, Event, MemberState};
use tokio::sync::mpsc::{Receiver, channel};

use addresses::Addresses;

const COMMANDS: &str = "commands: peers, whoami, set-meta KEY VALUE, get-meta KEY, show-meta, leave";

/// Shows who is in a cluster.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    addresses: Addresses,
    /// Metadata of this node
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Start one node, and take commands until it leaves
    #[arg(long)]
    stay: bool,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let arguments = Arguments::parse();
    let outcome = if arguments.stay { one_node(arguments).await } else { three_nodes(arguments).await };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn three_nodes(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { addresses, set, .. } = arguments;
    let first =
        Cluster::start(with(addresses.node(0).dial_only(false), set).metadata("role", "first").seeds(&addresses.join))
            .await?;
    println!("the first node is {} at {}", first.id(), first.address());
    let mut nodes = vec![first];
    for role in ["second", "third"] {
        let config = addresses.node(1).metadata("role", role).seed(nodes[0].address().to_string());
        nodes.push(Cluster::start(config).await?);
    }
    for node in &nodes {
        tokio::time::timeout(Duration::from_secs(30), sees(node, nodes.len())).await?;
        print_members(node);
    }
    for node in nodes {
        node.leave().await?;
        node.shutdown().await;
    }
    println!("all have left");
    Ok(())
}

fn with(config: Config, metadata: Vec<(String, String)>) -> Config {
    metadata.into_iter().fold(config, |config, (key, value)| config.metadata(key, value))
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

async fn one_node(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { addresses, set, .. } = arguments;
    let node = Cluster::start(with(addresses.node(0), set).seeds(&addresses.join)).await?;
    println!("this node is {} at {}; Ctrl-C leaves", node.id(), node.address());
    println!("{COMMANDS}");
    let (mut events, mut commands) = (node.events(), lines());
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Member(change)) if change.member.state != MemberState::Suspect => print_members(&node),
                Some(_) => {}
                None => return Err(node.stopped().await.into()),
            },
            Some(line) = commands.recv() => {
                if line.trim() == "leave" {
                    break;
                }
                obey(&node, &line).await;
            }
            signal = tokio::signal::ctrl_c() => {
                signal?;
                break;
            }
        }
    }
    let report = node.leave().await?;
    println!("left; {} peers know", report.acknowledged);
    node.shutdown().await;
    Ok(())
}

/// What is typed, line by line.
fn lines() -> Receiver<String> {
    let (sender, receiver) = channel(1);
    // A thread of its own: the process can end while it reads.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

async fn obey(node: &Cluster, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let me = || node.members().local().cloned();
    match *words {
        [] => {}
        ["peers"] => print_members(node),
        ["whoami"] => println!("{} at {}, {:?}", node.id(), node.address(), node.phase()),
        ["set-meta", key, value] => match node.set_metadata(key, value).await {
            Ok(()) => println!("{key} is {value}"),
            Err(error) => println!("{key} stays as it is: {error}"),
        },
        ["get-meta", key] => match me().as_ref().and_then(|me| me.metadata.get(key)) {
            Some(value) => println!("{value}"),
            None => println!("{key} is not set"),
        },
        ["show-meta"] => {
            for (key, value) in me().iter().flat_map(|me| me.metadata.iter()) {
                println!("{key} = {value}");
            }
        }
        _ => println!("{COMMANDS}"),
    }
}

fn print_members(node: &Cluster) {
    println!("as {} sees it:", node.address());
    for member in node.members().all() {
        let role = member.metadata.str("role").unwrap_or("-");
        println!("  {:<8} {:<21} {} {role}", member.state, member.address.to_string(), member.id);
    }
}
