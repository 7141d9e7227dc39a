//! Measures how soon a crash is noticed, by the kind of the node: in a cluster of nodes with sockets, and in one of all
//! kinds (three with UDP and TCP, three on WebSocket alone, two that only dial).
//!
//! ```sh
//! cargo run --release -p gossip-bench --bin crash -- --rounds 15
//! ```
//!
//! In each round one node of each kind crashes in a mixed cluster, and at the same moment one in a cluster of sockets
//! beside it, so that both have the machine as busy.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::future::{join, join_all, try_join_all};
use gossip_tokio::{Cluster, Config, Event, MemberState};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// Nodes of a cluster.
const SIZE: usize = 8;
/// The kinds, and one node of each.
const KINDS: [(&str, usize); 3] = [("sockets", 2), ("websocket", 5), ("dial-only", 7)];

/// Crashes nodes of each kind, and says how soon it was noticed.
#[derive(Debug, Parser)]
struct Options {
    /// How often a node of each kind crashes.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Milliseconds from one probe of a node to its next.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(50..))]
    interval: u64,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Milliseconds from a crash until the first suspected it, and until all knew.
type Noticed = (u128, u128);

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crash: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> Outcome<()> {
    println!("{} rounds, probe interval {} ms; medians and worst, in ms", options.rounds, options.interval);
    for (kind, victim) in KINDS {
        let (mut mixed, mut sockets) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            let (one, other) = (cluster(options, true).await?, cluster(options, false).await?);
            let (one, other) = join(crash(one, victim), crash(other, victim)).await;
            mixed.push(one?);
            sockets.push(other?);
        }
        println!("{kind:>9} in a mixed cluster: {}", summary(&mixed));
        println!("{:>9} where all have them: {}", "sockets", summary(&sockets));
    }
    Ok(())
}

fn config(options: &Options, at: usize, is_mixed: bool) -> Config {
    let config = Config::local("crash").protocol(|protocol| {
        protocol.probe_interval = Duration::from_millis(options.interval);
        protocol.probe_timeout = protocol.probe_interval / 3;
    });
    match at {
        3..6 if is_mixed => config.web_listen("ws://127.0.0.1:0/gossip").web_only(true),
        6.. if is_mixed => config.dial_only(true),
        _ => config,
    }
}

async fn cluster(options: &Options, is_mixed: bool) -> Outcome<Vec<Cluster>> {
    let nodes = try_join_all((0..SIZE).map(|at| Cluster::start(config(options, at, is_mixed)))).await?;
    let first = nodes[0].address().to_string();
    for node in &nodes[1..] {
        node.join([first.clone()]).await?;
    }
    let seen = join_all(nodes.iter().map(async |node| {
        let mut events = node.events();
        while node.members().alive().count() < SIZE && events.next().await.is_some() {}
    }));
    tokio::time::timeout(PATIENCE, seen).await?;
    // So that all are in the midst of their rounds, and where in them is left to chance.
    let rounds = 2 * SIZE as u64 * options.interval;
    let chance = u64::from(first.bytes().fold(0_u8, u8::wrapping_add)) * options.interval / 256;
    tokio::time::sleep(Duration::from_millis(rounds + chance)).await;
    Ok(nodes)
}

async fn crash(mut nodes: Vec<Cluster>, victim: usize) -> Outcome<Noticed> {
    let victim = nodes.remove(victim);
    let watched: Vec<_> = nodes.iter().map(Cluster::events).collect();
    let begun = Instant::now();
    let (id, stopped) = (victim.id(), victim.shutdown());
    let noticing = join_all(watched.into_iter().map(async |mut events| {
        let mut suspected = None;
        while let Some(event) = events.next().await {
            let Event::Member(change) = event else { continue };
            match change.member.state {
                _ if change.member.id != id => {}
                MemberState::Suspect => suspected = suspected.or(Some(begun.elapsed())),
                MemberState::Dead => return Some((suspected, begun.elapsed())),
                _ => {}
            }
        }
        None
    }));
    let ((), noticed) = tokio::time::timeout(PATIENCE, join(stopped, noticing)).await?;
    let noticed: Option<Vec<_>> = noticed.into_iter().collect();
    let noticed = noticed.ok_or("a node stopped")?;
    join_all(nodes.iter().map(Cluster::shutdown)).await;
    let first = noticed.iter().filter_map(|times| times.0).min().ok_or("nobody suspected it")?;
    let last = noticed.iter().map(|times| times.1).max().ok_or("nobody is left")?;
    Ok((first.as_millis(), last.as_millis()))
}

fn summary(noticed: &[Noticed]) -> String {
    let [(suspected, _), (known, worst)] =
        [noticed.iter().map(|times| times.0).collect(), noticed.iter().map(|times| times.1).collect()].map(
            |mut times: Vec<u128>| {
                times.sort_unstable();
                (times[times.len() / 2], times[times.len() - 1])
            },
        );
    format!("suspected after {suspected}, known to all after {known}, worst {worst}")
}
