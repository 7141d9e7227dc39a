//! Measures reliable messages from one node to many peers at a steady rate: whether all are confirmed, and whether the
//! sender's memory grows. The sender has a process of its own; the peers share another.
//!
//! ```sh
//! cargo run --release -p gossip-bench --bin fan -- --seconds 60 --stall
//! ```

use std::io::Read as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use gossip_tokio::{Cluster, Config, MessageType, NodeId, Raw, Reliability, SendError};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// How often messages are handed in.
const TICK: Duration = Duration::from_millis(10);
/// Longest wait for the peers to be there.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends reliable messages to many peers in turn, at a steady rate, and prints one JSON object a second.
#[derive(Debug, Parser)]
struct Options {
    /// Peers that take messages.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    peers: u32,
    /// Messages in a second, to all peers together.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..))]
    rate: u32,
    /// Bytes in each message.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// How long to send.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// After a third of the time one more peer, in a process of its own, is stopped: it takes nothing any more.
    #[arg(long)]
    stall: bool,
    /// Be the peers of a node at this address, until stdin ends.
    #[arg(long, hide = true)]
    seed: Option<String>,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.seed {
        Some(seed) => be_peers(seed, options.peers).await,
        None => measure(&options).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fan: {error}");
            ExitCode::FAILURE
        }
    }
}

fn config() -> Config {
    Config::lan("bench").bind("127.0.0.1:0")
}

fn kind() -> MessageType {
    MessageType::user(200).expect("200 is a type of applications")
}

async fn be_peers(seed: &str, count: u32) -> Outcome<()> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        let node = Cluster::start(config()).await?;
        node.handle_messages(kind(), |_| std::future::ready(()))?;
        node.join([seed]).await?;
        nodes.push(node);
    }
    tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await??;
    Ok(())
}

/// A process of peers, ended with this one.
struct Peers(Child);

impl Peers {
    fn start(seed: &str, count: u32) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--seed", seed, "--peers", &count.to_string()]).stdin(Stdio::piped());
        Ok(Self(command.spawn()?))
    }

    fn stop(&self) -> Outcome<()> {
        Ok(kill_process(Pid::from_child(&self.0), Signal::STOP)?)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What became of the messages of a second.
#[derive(Default)]
struct Second {
    confirmed: u64,
    refused: u64,
    unconfirmed: u64,
    slowest: Duration,
}

async fn measure(options: &Options) -> Outcome<()> {
    let node = Cluster::start(config()).await?;
    let seed = node.address().to_string();
    let _many = Peers::start(&seed, options.peers)?;
    let all = usize::try_from(options.peers)?;
    wait_for(&node, all).await?;
    let well: Vec<NodeId> = others(&node);
    let stalling = if options.stall { Some(Peers::start(&seed, 1)?) } else { None };
    wait_for(&node, all + usize::from(options.stall)).await?;
    let stalled = others(&node).into_iter().find(|id| !well.contains(id));

    let body = vec![7; options.size];
    let (begin, mut under_way, mut number) = (Instant::now(), FuturesUnordered::new(), 0_usize);
    let mut ticks = tokio::time::interval(TICK);
    for second in 1..=options.seconds {
        let mut tally = Second::default();
        if let Some(peers) = stalling.as_ref().filter(|_| second == options.seconds / 3 + 1) {
            peers.stop()?;
        }
        let end = begin + Duration::from_secs(second);
        while Instant::now() < end {
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    // The one that is stopped gets as many as each other one.
                    for _ in 0..options.rate / 100 {
                        let turn = number % (well.len() + usize::from(stalled.is_some()));
                        number += 1;
                        let to = well.get(turn).copied().or(stalled).ok_or("nobody to send to")?;
                        under_way.push(send(&node, to, &body));
                    }
                }
                Some((sent, took)) = under_way.next() => tally.note(&sent, took),
            }
        }
        report(&node, second, &tally, under_way.len())?;
    }
    node.shutdown().await;
    Ok(())
}

async fn send(node: &Cluster, to: NodeId, body: &[u8]) -> (Result<(), SendError>, Duration) {
    let begin = Instant::now();
    (node.send(to, kind(), Raw(body), Reliability::Reliable).await, begin.elapsed())
}

impl Second {
    fn note(&mut self, sent: &Result<(), SendError>, took: Duration) {
        match sent {
            Ok(()) => {
                self.confirmed += 1;
                self.slowest = self.slowest.max(took);
            }
            Err(SendError::Unconfirmed(_)) => self.unconfirmed += 1,
            Err(_) => self.refused += 1,
        }
    }
}

fn report(node: &Cluster, second: u64, tally: &Second, under_way: usize) -> Outcome<()> {
    let driver = node.stats().driver;
    println!(
        "{}",
        json!({
            "second": second,
            "confirmed": tally.confirmed,
            "refused": tally.refused,
            "unconfirmed": tally.unconfirmed,
            "slowest_ms": tally.slowest.as_millis(),
            "under_way": under_way,
            "links": driver.links,
            "bytes_queued": driver.bytes_queued,
            "resident_kib": resident()?,
        })
    );
    Ok(())
}

fn others(node: &Cluster) -> Vec<NodeId> {
    node.members().alive().map(|member| member.id).filter(|id| *id != node.id()).collect()
}

async fn wait_for(node: &Cluster, peers: usize) -> Outcome<()> {
    let deadline = Instant::now() + PATIENCE;
    while others(node).len() < peers {
        if Instant::now() > deadline {
            return Err(format!("{} of {peers} peers came in time", others(node).len()).into());
        }
        tokio::time::sleep(TICK).await;
    }
    Ok(())
}

/// Memory of this process that is in use, in KiB.
fn resident() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().next()).ok_or("the system does not tell VmRSS")?;
    Ok(figure.parse()?)
}
