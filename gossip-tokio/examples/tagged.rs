//! Broadcasts that only nodes with a tag get: two kinds of worker, and jobs for one of them. Ends by itself.
//!
//! ```text
//! cargo run --example tagged
//! cargo run --features websocket --example tagged -- --ws-listen --jobs 5
//! ```

mod addresses;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gossip_tokio::{BroadcastOptions, Cluster, Config, Message, MessageType, NodeId};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use addresses::Addresses;

/// Gives jobs to those who have the tag for them.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    addresses: Addresses,
    /// How many jobs each kind of worker gets
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    jobs: u32,
}

const PATIENCE: Duration = Duration::from_secs(10);
const WORKERS: [(&str, &str); 5] =
    [("anna", "encode"), ("bela", "encode"), ("cleo", "index"), ("dora", "index"), ("emil", "index")];

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { addresses, jobs }: Arguments) -> Result<(), Box<dyn Error>> {
    let job = MessageType::user(200)?;
    let boss = Cluster::start(addresses.node(0).dial_only(false).seeds(&addresses.join).tag("boss")).await?;
    let (done, mut finished) = unbounded_channel();
    let mut workers = Vec::new();
    for (name, tag) in WORKERS {
        workers.push(worker(name, addresses.node(1).tag(tag), job, &boss, done.clone()).await?);
    }
    tokio::time::timeout(PATIENCE, knows_the_tags(&boss)).await?;

    let mut expected = 0;
    for tag in ["encode", "index"] {
        for number in 1..=jobs {
            boss.broadcast(job, &number, BroadcastOptions::new().tag(tag).ordered()).await?;
        }
        let count = boss.members().tagged(tag).count();
        println!("{jobs} jobs for {tag}: {count} workers get them");
        expected += count * jobs as usize;
    }
    for _ in 0..expected {
        tokio::time::timeout(PATIENCE, finished.recv()).await?.ok_or("the workers are gone")?;
    }
    println!("{expected} jobs were done");
    match boss.broadcast(job, &0, BroadcastOptions::new().tag("paint")).await {
        Ok(id) => println!("somebody paints: {id}"),
        Err(error) => println!("a job for paint: {error}"),
    }
    for node in workers.iter().chain([&boss]) {
        node.shutdown().await;
    }
    Ok(())
}

/// A node that does the jobs for its tag, and tells of each.
async fn worker(
    name: &'static str,
    config: Config,
    job: MessageType,
    boss: &Cluster,
    done: UnboundedSender<NodeId>,
) -> Result<Cluster, Box<dyn Error>> {
    let node = Cluster::start(config).await?;
    node.join([boss.address().to_string()]).await?;
    let id = node.id();
    node.handle_messages(job, move |message: Message| {
        let done = done.clone();
        async move {
            let tag = message.broadcast.and_then(|broadcast| broadcast.tag);
            match message.payload.decode::<u32>() {
                Ok(number) => println!("  {name} does job {number} for {}", tag.as_deref().unwrap_or("everybody")),
                Err(error) => eprintln!("  {name} got something that is no job: {error}"),
            }
            // The boss may have stopped waiting.
            let _ = done.send(id);
        }
    })?;
    Ok(node)
}

/// Waits until the boss knows who does what.
async fn knows_the_tags(boss: &Cluster) {
    let mut events = boss.events();
    let known = || ["encode", "index"].iter().map(|tag| boss.members().tagged(tag).count()).sum::<usize>();
    while known() < WORKERS.len() {
        if events.next().await.is_none() {
            return;
        }
    }
}
