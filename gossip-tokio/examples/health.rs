//! Shows every second how a node does: its health score, its probes, and whom it sees. One peer crashes on the way.
//!
//! ```text
//! cargo run --example health
//! cargo run --features websocket --example health -- --ws-listen --rounds 20
//! ```

mod addresses;

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use gossip_tokio::{Cluster, Config, MessageKind};

use addresses::Addresses;

/// Shows how a node does.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    addresses: Addresses,
    /// How many seconds to watch
    #[arg(long, value_name = "NUMBER", default_value_t = 12)]
    rounds: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { addresses, rounds } = Arguments::parse();
    let node = Cluster::start(addresses.node(0).dial_only(false).seeds(&addresses.join)).await?;
    let mut peers = Vec::new();
    for _ in 0..3 {
        let peer = Cluster::start(addresses.node(1)).await?;
        peer.join([node.address().to_string()]).await?;
        peers.push(peer);
    }
    println!("round  health  pings  acks  failed  refuted  alive  suspect  dead");
    for round in 1..=rounds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        print_round(round, &node);
        if round == rounds / 3
            && let Some(peer) = peers.pop()
        {
            peer.shutdown().await;
            println!("       {} crashed", peer.address());
        }
    }
    node.leave().await?;
    node.shutdown().await;
    Ok(())
}

fn print_round(round: u32, node: &Cluster) {
    let (stats, counts) = (node.stats().protocol, node.members().counts());
    println!(
        "{round:>5}  {:>6}  {:>5}  {:>4}  {:>6}  {:>7}  {:>5}  {:>7}  {:>4}",
        node.health_score(),
        stats.sent(MessageKind::Ping),
        stats.received(MessageKind::Ack),
        stats.probes_failed,
        stats.refutations,
        counts.alive,
        counts.suspect,
        counts.dead,
    );
}
