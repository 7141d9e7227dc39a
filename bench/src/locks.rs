//! Measures locks of three nodes in this process, over loopback, of which two remember each grant: how long it takes to
//! acquire and to release one that nobody else wants, and how often clients do both in a second.
//!
//! ```sh
//! cargo run --release -p gossip-bench --bin locks
//! ```

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::future::try_join_all;
use gossip_tokio::{Cluster, Config, Election, ElectionConfig, LockConfig, LockOptions, Locks};
use serde_json::json;

/// Longest wait for nodes to be ready.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(10);
/// For how long locks are asked for.
const TTL: Duration = Duration::from_secs(10);

/// Acquires and releases locks, and prints one JSON object for each measurement.
#[derive(Debug, Parser)]
struct Options {
    /// Locks acquired one after the other at each node.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Tasks that acquire and release at the same time, in turn at each node.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// For how long they do.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How many nodes remember a grant before it is given.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3))]
    replicas: u32,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("locks: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A node that takes part.
struct Member {
    node: Cluster,
    election: Election,
    locks: Locks,
}

async fn measure(options: &Options) -> Outcome<()> {
    let members = start(usize::try_from(options.replicas)?).await?;
    for member in &members {
        let role = if member.election.leads().is_some() { "leader" } else { "other" };
        one_by_one(member, role, options).await?;
    }
    for is_shared in [false, true] {
        let begin = Instant::now();
        let end = begin + Duration::from_secs(options.seconds);
        let clients = (0..options.clients).map(|number| {
            let locks = members[number as usize % members.len()].locks.clone();
            let key = if is_shared { "shared".to_owned() } else { format!("key {number}") };
            async move { tokio::spawn(client(locks, key, end)).await? }
        });
        let pairs: u32 = try_join_all(clients).await?.into_iter().sum();
        let per_second = f64::from(pairs) / begin.elapsed().as_secs_f64();
        let keys = if is_shared { 1 } else { options.clients };
        println!("{}", json!({ "clients": options.clients, "keys": keys, "pairs_per_s": per_second.round() }));
    }
    for member in members {
        member.node.shutdown().await;
    }
    Ok(())
}

/// Three nodes that know each other, with a vote each, of which one leads and grants locks.
async fn start(replicas: usize) -> Outcome<Vec<Member>> {
    let mut members: Vec<Member> = Vec::new();
    for _ in 0..3 {
        let config = Config::lan("bench").bind("127.0.0.1:0");
        let seeds = members.first().map(|first| first.node.address().to_string());
        let node = Cluster::start(config.seeds(seeds)).await?;
        let settings = ElectionConfig { steady: Duration::ZERO, ..ElectionConfig::new(2) };
        let election = node.enter_election("locks", settings).await?;
        let locks = node.open_locks("locks", LockConfig { replicas, ..LockConfig::new("locks") }).await?;
        members.push(Member { node, election, locks });
    }
    let deadline = Instant::now() + PATIENCE;
    for member in &members {
        while member.election.leader().is_none() || member.election.status().await?.settled < 3 {
            if Instant::now() > deadline {
                return Err("the nodes did not agree on a leader in time".into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    // A leader that gathers what was granted before grants nothing.
    members[0].locks.acquire("first", LockOptions::new(TTL).patience(PATIENCE)).await?.release().await?;
    Ok(members)
}

async fn one_by_one(member: &Member, role: &str, options: &Options) -> Outcome<()> {
    let (mut acquired, mut released) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let begin = Instant::now();
        let guard = member.locks.acquire(format!("key {}", round % 100), LockOptions::new(TTL)).await?;
        acquired.push(begin.elapsed());
        let begin = Instant::now();
        guard.release().await?;
        released.push(begin.elapsed());
    }
    let shown = json!({
        "at": role,
        "locks": options.rounds,
        "replicas": options.replicas,
        "acquire_us": quantiles(acquired),
        "release_us": quantiles(released),
    });
    println!("{shown}");
    Ok(())
}

fn quantiles(mut times: Vec<Duration>) -> serde_json::Value {
    times.sort_unstable();
    let quantile = |percent: usize| times.get(times.len() * percent / 100).map(Duration::as_micros);
    json!({ "p50": quantile(50), "p99": quantile(99), "max": times.last().map(Duration::as_micros) })
}

/// Acquires and releases a lock until the end; how often.
async fn client(locks: Locks, key: String, end: Instant) -> Outcome<u32> {
    let mut pairs = 0;
    while Instant::now() < end {
        locks.acquire(&*key, LockOptions::new(TTL)).await?.release().await?;
        pairs += 1;
    }
    Ok(pairs)
}
