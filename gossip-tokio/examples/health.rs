//! Shows every second how a node does: its health score, its probes, and whom it sees. One peer crashes on the way.
//!
//! ```text
//! cargo run --example health -- 12
//! ```
//!
//! The argument is the number of rounds, 12 if left out.

use std::error::Error;
use std::time::Duration;

use gossip_tokio::{Cluster, Config, MessageKind};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let rounds: u32 = std::env::args().nth(1).map_or(Ok(12), |text| text.parse())?;
    let node = Cluster::start(Config::local("example")).await?;
    let mut peers = Vec::new();
    for _ in 0..3 {
        let peer = Cluster::start(Config::local("example")).await?;
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
