//! Nodes elect a leader, and another one when it leaves or crashes.
//!
//! Four nodes start in this process, and the leader goes twice:
//!
//! ```text
//! cargo run --example leader
//! cargo run --features websocket --example leader -- --ws-listen
//! ```
//!
//! With `--stay` one node takes part until Ctrl-C; start several in several terminals. Two are needed for a leader:
//!
//! ```text
//! cargo run --example leader -- --stay --bind 127.0.0.1:7001
//! cargo run --example leader -- --stay --join 127.0.0.1:7001
//! ```

mod addresses;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gossip_tokio::{Cluster, Config, Election, ElectionConfig, ElectionEvent, Term};

use addresses::Addresses;

const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);

/// Elects a leader.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    addresses: Addresses,
    /// Start one node, and take part until Ctrl-C
    #[arg(long)]
    stay: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { addresses, stay } = Arguments::parse();
    let outcome = if stay { one_node(addresses).await } else { four_nodes(addresses).await };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A leader needs two votes. One that is lost is replaced about a second after its last word.
async fn start(config: Config) -> Result<(Cluster, Election), Box<dyn Error>> {
    let node = Cluster::start(config).await?;
    let settings =
        ElectionConfig { lease: Duration::from_secs(1), steady: Duration::from_secs(1), ..ElectionConfig::new(2) };
    let election = node.enter_election("example", settings).await?;
    Ok((node, election))
}

async fn one_node(addresses: Addresses) -> Result<(), Box<dyn Error>> {
    let (node, election) = start(addresses.node(0).seeds(addresses.join)).await?;
    println!("this node is {} at {}; Ctrl-C leaves", node.id(), node.address());
    let mut events = election.events();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(ElectionEvent::Changed(change)) => println!("{change:?}"),
                Some(_) => println!("the leader is {:?}", election.leader().map(Term::leader)),
                None => return Err(node.stopped().await.into()),
            },
            signal = tokio::signal::ctrl_c() => {
                signal?;
                node.leave().await?;
                node.shutdown().await;
                return Ok(());
            }
        }
    }
}

async fn four_nodes(addresses: Addresses) -> Result<(), Box<dyn Error>> {
    let mut nodes = vec![start(addresses.node(0).dial_only(false).seeds(&addresses.join)).await?];
    for number in 1..4 {
        let seed = nodes[0].0.address().to_string();
        nodes.push(start(addresses.node(number).seed(seed)).await?);
    }
    let mut last = agreed(&nodes, None).await?;
    for is_graceful in [true, false] {
        let at = nodes.iter().position(|(node, _)| node.id() == last.leader()).ok_or("a stranger leads")?;
        // Only who has a vote can replace it.
        until(async || nodes[0].1.status().await.is_ok_and(|status| status.settled == nodes.len())).await?;
        let (leader, office) = nodes.remove(at);
        // What is done in a term can be told from what is done in an earlier one.
        println!("{} leads: {:?}", leader.id(), office.leads());
        if is_graceful {
            leader.leave().await?;
        }
        leader.shutdown().await;
        println!("it {}", if is_graceful { "has left" } else { "has crashed" });
        last = agreed(&nodes, Some(last)).await?;
    }
    println!("{} leads now", last.leader());
    for (node, _) in nodes {
        node.shutdown().await;
    }
    Ok(())
}

/// The term in which all follow one leader, once it is later than the last.
async fn agreed(nodes: &[(Cluster, Election)], last: Option<Term>) -> Result<Term, Box<dyn Error>> {
    let term = || {
        let term = nodes[0].1.leader().filter(|&term| last.is_none_or(|last| last < term))?;
        nodes.iter().all(|(_, election)| election.leader() == Some(term)).then_some(term)
    };
    until(async || term().is_some()).await?;
    Ok(term().ok_or("the leader has changed again")?)
}

async fn until(mut condition: impl AsyncFnMut() -> bool) -> Result<(), Box<dyn Error>> {
    let looking = async {
        while !condition().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, looking).await?)
}
