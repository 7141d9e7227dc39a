//! A key-value store that all nodes have.
//!
//! Without arguments, three nodes start in this process, write, watch, restart from a file, and leave:
//!
//! ```text
//! cargo run --example kv
//! ```
//!
//! With arguments, one node takes commands from stdin until its end; start several in several terminals:
//!
//! ```text
//! cargo run --example kv -- --bind 127.0.0.1:7001 --file store-1
//! cargo run --example kv -- --bind 127.0.0.1:7002 --join 127.0.0.1:7001
//! ```
//!
//! `--file` keeps the store: it is read at the start, and written at the end.

use std::error::Error;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use gossip_tokio::{Cluster, Config, LoadError, Store, StoreChange, StoreConfig, StoreEntry};
use tokio::sync::mpsc::{Receiver, channel};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: kv [--cluster NAME] [--bind ADDRESS] [--join ADDRESS]... [--file PATH]";
const COMMANDS: &str = "get KEY, set KEY VALUE, lease SECONDS KEY VALUE, del KEY, ls [PREFIX], watch [PREFIX], quit";
const PATIENCE: Duration = Duration::from_secs(30);
const STORE: &str = "example";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Outcome {
    match parse(std::env::args().skip(1))? {
        Some((config, file)) => one_node(config, file).await,
        None => three_nodes().await,
    }
}

/// The configuration that the arguments ask for, and where the store is kept; `None` without arguments.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<(Config, Option<PathBuf>)>, String> {
    let (mut config, mut file, mut is_empty) = (Config::local("example"), None, true);
    while let Some(option) = arguments.next() {
        is_empty = false;
        if !["--cluster", "--bind", "--join", "--file"].contains(&option.as_str()) {
            return Err(format!("unknown option {option}\n{USAGE}"));
        }
        let value = arguments.next().ok_or_else(|| format!("{option} needs a value\n{USAGE}"))?;
        match option.as_str() {
            "--cluster" => config = config.protocol(|protocol| protocol.cluster = value),
            "--bind" => config = config.bind(value),
            "--join" => config = config.seed(value),
            _ => file = Some(PathBuf::from(value)),
        }
    }
    Ok((!is_empty).then_some((config, file)))
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
        Ok(Some(loaded)) => println!("{} keys from {}", loaded.taken, file.display()),
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

async fn three_nodes() -> Outcome {
    let (one, first) = start(None).await?;
    let (two, second) = start(Some(&one)).await?;
    let (three, third) = start(Some(&one)).await?;
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
    let three = Cluster::start(Config::local("example").seed(one.address().to_string()).id(three.id())).await?;
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

async fn start(seed: Option<&Cluster>) -> Outcome<(Cluster, Store)> {
    let config = Config::local("example").seeds(seed.map(|seed| seed.address().to_string()));
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
