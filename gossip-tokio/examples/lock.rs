//! Nodes take turns at something that only one may do at a time.
//!
//! Three nodes start in this process, count together under a lock, and one crashes while it has the lock:
//!
//! ```text
//! cargo run --example lock
//! cargo run --features websocket --example lock -- --ws-listen
//! ```
//!
//! With `--stay` one node acquires the lock, holds it for a moment, and does so again, until Ctrl-C; start several in several
//! terminals. Two are needed for a leader, who grants locks, and to remember what was granted:
//!
//! ```text
//! cargo run --example lock -- --stay --bind 127.0.0.1:7001
//! cargo run --example lock -- --stay --join 127.0.0.1:7001
//! ```

mod addresses;

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use gossip_tokio::{Cluster, Config, Election, ElectionConfig, LockConfig, LockGuard, LockOptions, LockToken, Locks};
use tokio::time::{sleep, timeout};

use addresses::Addresses;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);
/// How often each node counts.
const TURNS: usize = 4;

/// Takes turns by a lock.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    addresses: Addresses,
    /// Start one node, and take turns until Ctrl-C
    #[arg(long)]
    stay: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { addresses, stay } = Arguments::parse();
    let outcome = if stay { one_node(addresses).await } else { three_nodes(&addresses).await };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A node, its place in the election that locks need, and the locks.
struct Member {
    node: Cluster,
    election: Election,
    locks: Locks,
}

async fn start(config: Config) -> Outcome<Member> {
    let node = Cluster::start(config).await?;
    let settings =
        ElectionConfig { lease: Duration::from_secs(1), steady: Duration::from_secs(1), ..ElectionConfig::new(2) };
    let election = node.enter_election("example", settings).await?;
    let locks = node.open_locks("example", LockConfig::new("example")).await?;
    Ok(Member { node, election, locks })
}

/// Should this machine fail, the lock is free after three seconds.
fn options() -> LockOptions {
    LockOptions::new(Duration::from_secs(3)).patience(PATIENCE)
}

async fn one_node(addresses: Addresses) -> Outcome {
    let Member { node, locks, .. } = start(addresses.node(0).seeds(addresses.join)).await?;
    println!("this node is {} at {}; Ctrl-C leaves", node.id(), node.address());
    let taking_turns = async {
        loop {
            match locks.acquire("turn", options()).await {
                Ok(guard) => hold(guard).await,
                Err(error) => println!("{error}"),
            }
        }
    };
    tokio::select! {
        () = taking_turns => {}
        reason = node.stopped() => return Err(reason.into()),
        signal = tokio::signal::ctrl_c() => signal?,
    }
    node.leave().await?;
    node.shutdown().await;
    Ok(())
}

async fn hold(guard: LockGuard) {
    println!("the turn is this node's, token {}", guard.token());
    // Whatever is done here stops when the lock is lost.
    let is_lost = timeout(Duration::from_secs(2), guard.lost()).await.is_ok();
    match guard.release().await {
        Ok(()) => println!("it is given back"),
        Err(_) if is_lost => println!("it was lost"),
        Err(error) => println!("{error}"),
    }
}

/// What is counted, and by whom last. It refuses a token that is smaller than one that it has seen.
type Counter = Arc<Mutex<(usize, Option<LockToken>)>>;

async fn three_nodes(addresses: &Addresses) -> Outcome {
    let mut members = vec![start(addresses.node(0).dial_only(false).seeds(&addresses.join)).await?];
    for number in 1..3 {
        let seed = members[0].node.address().to_string();
        members.push(start(addresses.node(number).seed(seed)).await?);
    }
    // Those who have a vote remember what was granted; without one of them, the others must be enough.
    for member in &members {
        until(async || member.election.status().await.is_ok_and(|status| status.settled == 3)).await?;
    }

    let counter = Counter::default();
    let mut counting = Vec::new();
    for member in &members {
        counting.push(tokio::spawn(count(member.locks.clone(), Arc::clone(&counter))));
    }
    for counted in counting {
        counted.await??;
    }
    let reached = counter.lock().unwrap_or_else(PoisonError::into_inner).0;
    println!("the counter stands at {reached}");

    let crashing = members.pop().ok_or("three were started")?;
    let guard = crashing.locks.acquire("turn", options()).await?;
    let is_busy = members[0].locks.try_acquire("turn", options()).await.is_err();
    println!("the turn of {} is held by nobody else: {is_busy}", crashing.node.id());
    crashing.node.shutdown().await;
    println!("it has crashed, and knows that it does not hold it any more: {}", !guard.is_held());
    let next = members[0].locks.acquire("turn", options()).await?;
    println!(
        "its turn was freed for {}, whose token is greater: {}",
        members[0].node.id(),
        next.token() > guard.token()
    );
    next.release().await?;
    for member in members {
        member.node.leave().await?;
        member.node.shutdown().await;
    }
    println!("all have left");
    Ok(())
}

/// Counts so slowly that two who did so at the same time would lose something.
async fn count(locks: Locks, counter: Counter) -> Outcome {
    for _ in 0..TURNS {
        let guard = locks.acquire("counter", options()).await?;
        let (seen, last) = *counter.lock().unwrap_or_else(PoisonError::into_inner);
        sleep(LOOK).await;
        if !guard.is_held() || last > Some(guard.token()) {
            return Err("the lock was lost".into());
        }
        *counter.lock().unwrap_or_else(PoisonError::into_inner) = (seen + 1, Some(guard.token()));
        guard.release().await?;
    }
    Ok(())
}

async fn until(mut condition: impl AsyncFnMut() -> bool) -> Outcome {
    let looking = async {
        while !condition().await {
            sleep(LOOK).await;
        }
    };
    Ok(timeout(PATIENCE, looking).await?)
}
