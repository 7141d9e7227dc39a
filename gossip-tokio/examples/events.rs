//! Prints what one node hears while others join, change, crash, start again and leave. Ends by itself.
//!
//! ```text
//! cargo run --example events
//! cargo run --features websocket --example events -- --ws-listen
//! ```

mod addresses;

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use gossip_tokio::{Cluster, Config, Event, Events, MemberState};

use addresses::Addresses;

const PATIENCE: Duration = Duration::from_mins(1);

/// Prints what one node hears while others come and go.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    addresses: Addresses,
}

/// Decides within a few seconds, so that the program is short to watch.
fn quick(config: Config) -> Config {
    config.protocol(|protocol| {
        protocol.probe_interval = Duration::from_millis(500);
        protocol.suspicion_max = 2;
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { addresses } = Arguments::parse();
    let observer = Cluster::start(quick(addresses.node(0).dial_only(false)).seeds(&addresses.join)).await?;
    let another = || quick(addresses.node(1)).seed(observer.address().to_string());
    println!("observing from {}\n", observer.address());
    let mut events = observer.events();

    println!("--- three nodes join");
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let node = Cluster::start(another()).await?;
        until(&mut events, |event| is_now(event, &node, MemberState::Alive)).await?;
        nodes.push(node);
    }

    println!("--- one changes its metadata");
    nodes[0].set_metadata("role", "leader").await?;
    until(&mut events, |event| matches!(event, Event::Metadata { keys, .. } if keys == &["role"])).await?;

    println!("--- one crashes");
    let crashed = nodes.remove(1);
    crashed.shutdown().await;
    until(&mut events, |event| is_now(event, &crashed, MemberState::Dead)).await?;

    println!("--- it starts again with its id, at another address");
    let restarted = Cluster::start(another().id(crashed.id())).await?;
    until(&mut events, |event| is_now(event, &restarted, MemberState::Alive)).await?;

    println!("--- one leaves");
    let leaver = nodes.remove(1);
    leaver.leave().await?;
    until(&mut events, |event| is_now(event, &leaver, MemberState::Leaving)).await?;

    println!("--- the observer leaves");
    observer.leave().await?;
    until(&mut events, |event| matches!(event, Event::Left { .. })).await?;
    Ok(())
}

fn is_now(event: &Event, node: &Cluster, state: MemberState) -> bool {
    matches!(event, Event::Member(change) if change.member.id == node.id() && change.member.state == state)
}

/// Prints events up to the one that is waited for.
async fn until(events: &mut Events, is_last: impl Fn(&Event) -> bool) -> Result<(), Box<dyn Error>> {
    let seen = async {
        while let Some(event) = events.next().await {
            print(&event);
            if is_last(&event) {
                return Ok(());
            }
        }
        Err("the node stopped")
    };
    Ok(tokio::time::timeout(PATIENCE, seen).await??)
}

fn print(event: &Event) {
    match event {
        Event::Member(change) => {
            let before = change.previous.map_or("unknown", MemberState::name);
            let member = &change.member;
            println!("{}: {before} -> {}, because {:?}", member.address, member.state, change.cause);
        }
        Event::Metadata { member, keys } => println!("{}: changed {keys:?}: {:?}", member.address, member.metadata),
        other => println!("{other:?}"),
    }
}
