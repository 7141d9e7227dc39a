//! A key-value store that all nodes have.
//!
//! Three nodes start in this process, write, watch, restart from a file, and leave:
//!
//! ```text
//! cargo run --example kv
//! cargo run --features websocket --example kv -- --ws-listen
//! ```
//!
//! With `--stay` or `--file`, one node takes commands from stdin until its end; start several in several terminals:
//!
//! ```text
//! cargo run --example kv -- --bind 127.0.0.1:7001 --file store-1
//! cargo run --example kv -- --stay --join 127.0.0.1:7001
//! ```
//!
//! `--file` keeps the store: it is read at the start, and written at the end.

mod addresses;

use std::error::Error;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gossip_tokio::{Cluster, Config, LoadError, Store, StoreChange, StoreConfig, StoreEntry};
use tokio::sync::mpsc::{Receiver, channel};

use addresses::Addresses;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const COMMANDS: &str = "get KEY, set KEY VALUE, lease SECONDS KEY VALUE, del KEY, ls [PREFIX], watch [PREFIX], quit";
const PATIENCE: Duration = Duration::from_secs(30);
const STORE: &str = "example";

/// Shows a key-value store.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    addresses: Addresses,
    /// Start one node, and take commands
    #[arg(long)]
    stay: bool,
    /// Where that node keeps its store
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

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

async fn run(Arguments { addresses, stay, file }: Arguments) -> Outcome {
    if stay || file.is_some() {
        one_node(addresses.node(0).seeds(&addresses.join), file).await
    } else {
        three_nodes(&addresses).await
    }
}

async fn one_node(config: Config, file: Option<PathBuf>) -> Outcome {
    let node = Cluster::start(config).await?;
    let store = node.open_store(STORE, StoreConfig::default()).await?;
    if let Some(file) = &file {
        load(&store, file).await?;
    }
    println!("this node is {} at {}; commands: {COMMANDS}", node.id(), node.address());
    let mut lines = stdin_lines();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            reason = node.stopped() => return Err(reason.into()),
            signal = tokio::signal::ctrl_c() => { signal?; None }
        };
        let Some(line) = line.filter(|line| line.trim() != "quit") else { break };
        if let Err(error) = obey(&store, &line).await {
            println!("{error}");
        }
    }
    if let Some(file) = file {
        println!("{} bytes are in {}", store.save(&file).await?, file.display());
    }
    node.leave().await?;
    node.shutdown().await;
    Ok(())
}

/// Takes what was kept. A damaged file was moved aside: the others have what is in it.
async fn load(store: &Store, file: &Path) -> Outcome {
    match store.load(file).await {
        Ok(Some(loaded)) => {
            println!("{} keys from {}", loaded.taken, file.display());
            if loaded.refused > 0 {
                println!("{} were refused, and are in {}", loaded.refused, store.set_aside(file).await?.display());
            }
        }
        Ok(None) => println!("{} will be written at the end", file.display()),
        Err(error @ LoadError::Damaged { .. }) => println!("{error}"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// The lines of stdin, read by a thread, because stdin makes whoever reads it wait.
fn stdin_lines() -> Receiver<String> {
    let (sender, lines) = channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

async fn obey(store: &Store, line: &str) -> Outcome {
    let (command, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    let rest = rest.trim();
    match (command, rest.split_once(' ')) {
        ("", _) => {}
        ("get", _) => match store.get(rest).await? {
            Some(entry) => print_entry(&entry),
            None => println!("there is nothing in {rest}"),
        },
        ("set", Some((key, value))) => drop(store.set(key, value.to_owned()).await?),
        ("lease", Some((seconds, rest))) => {
            let (key, value) = rest.split_once(' ').ok_or(COMMANDS)?;
            store.set_with_ttl(key, value.to_owned(), Duration::from_secs(seconds.parse()?)).await?;
        }
        ("del", _) => match store.delete(rest).await? {
            Some(_) => println!("{rest} is deleted"),
            None => println!("there is nothing in {rest}"),
        },
        ("ls", _) => store.scan(rest).await?.iter().for_each(print_entry),
        ("watch", _) => {
            let mut changes = store.watch(rest).await?;
            tokio::spawn(async move {
                while let Some(change) = changes.next().await {
                    print_change(&change);
                }
            });
        }
        _ => return Err(format!("commands: {COMMANDS}").into()),
    }
    Ok(())
}

fn print_entry(entry: &StoreEntry) {
    let value = String::from_utf8_lossy(&entry.value);
    println!("{} = {value} (by {} at {:?})", entry.key, entry.version.writer, entry.version.stamp);
}

fn print_change(change: &StoreChange) {
    match change {
        StoreChange::Set { key, value, .. } => println!("now {key} = {}", String::from_utf8_lossy(value)),
        StoreChange::Deleted { key, .. } => println!("now {key} is deleted"),
        StoreChange::Expired { key, .. } => println!("now {key} has ended"),
        StoreChange::Missed { count } => println!("{count} changes were lost: ls shows how things stand"),
        other => println!("{other:?}"),
    }
}

async fn three_nodes(addresses: &Addresses) -> Outcome {
    let (one, first) = start(addresses.node(0).dial_only(false).seeds(&addresses.join)).await?;
    let another = || addresses.node(1).seed(one.address().to_string());
    let (two, second) = start(another()).await?;
    let (three, third) = start(another()).await?;
    let mut changes = third.watch("").await?;

    println!("--- one writes, two writes the same key later, and something that ends");
    first.set("colour", "red").await?;
    until(&second, "colour", Some("red")).await?;
    second.set("colour", "green").await?;
    second.set_with_ttl("lease", "two", Duration::from_secs(1)).await?;
    until(&third, "colour", Some("green")).await?;
    while let Some(change) = tokio::time::timeout(PATIENCE, changes.next()).await? {
        print_change(&change);
        if matches!(change, StoreChange::Expired { .. }) {
            break;
        }
    }

    println!("--- three is away, the colour is deleted meanwhile, and three comes back with what it had");
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("store");
    println!("{} bytes are in {}", third.save(&file).await?, file.display());
    three.leave().await?;
    three.shutdown().await;
    first.delete("colour").await?;
    second.set("shape", "round").await?;
    let three = Cluster::start(another().id(three.id())).await?;
    let third = three.open_store(STORE, StoreConfig::default()).await?;
    load(&third, &file).await?;
    until(&third, "shape", Some("round")).await?;
    until(&third, "colour", None).await?;
    third.scan("").await?.iter().for_each(print_entry);

    for node in [one, two, three] {
        node.leave().await?;
        node.shutdown().await;
    }
    println!("all have left");
    Ok(())
}

async fn start(config: Config) -> Outcome<(Cluster, Store)> {
    let node = Cluster::start(config).await?;
    let store = node.open_store(STORE, StoreConfig::default()).await?;
    Ok((node, store))
}

/// Waits until a key has this value at a node.
async fn until(store: &Store, key: &str, expected: Option<&str>) -> Outcome {
    let seen = async {
        // Watched first, so that no change comes in between.
        let mut changes = store.watch(key).await?;
        loop {
            let value = store.get(key).await?.map(|entry| entry.value);
            if value.as_deref() == expected.map(str::as_bytes) {
                return Ok(());
            }
            changes.next().await.ok_or("the node has stopped")?;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await?
}
