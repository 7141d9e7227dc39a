//! Nodes send each other messages of a type of their own, and ask each other questions. Ends by itself.
//!
//! Without arguments, three nodes start in this process:
//!
//! ```text
//! cargo run --example usermessages
//! ```
//!
//! With arguments, one node greets whoever is in the cluster, asks each for the time of day, and leaves; `--stay` keeps it
//! there for that many seconds to be greeted and asked by others:
//!
//! ```text
//! cargo run --example usermessages -- --bind 127.0.0.1:7001 --stay 60
//! cargo run --example usermessages -- --join 127.0.0.1:7001
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use gossip_tokio::{
    Audience, BroadcastOptions, Cluster, Config, Message, MessageType, Rejected, Reliability, Request, ReservedType,
};
use serde::{Deserialize, Serialize};

const USAGE: &str = "usage: usermessages [--bind ADDRESS] [--join ADDRESS]... [--stay SECONDS]";
const PATIENCE: Duration = Duration::from_secs(10);

/// What the messages say. Any type that serde knows will do.
#[derive(Debug, Serialize, Deserialize)]
struct Greeting {
    text: String,
    number: u32,
}

/// What may be asked.
#[derive(Debug, Serialize, Deserialize)]
enum Question {
    SecondsOfToday,
    MeaningOfLife,
}

fn greeting() -> Result<MessageType, ReservedType> {
    MessageType::user(200)
}

fn question() -> Result<MessageType, ReservedType> {
    MessageType::user(201)
}

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

async fn run() -> Result<(), Box<dyn Error>> {
    let Some((config, join, stay)) = parse(std::env::args().skip(1))? else { return three_nodes().await };
    let node = start("this node", config).await?;
    println!("this node is at {}", node.address());
    if !join.is_empty() {
        node.join(join).await?;
        talk(&node).await?;
    }
    tokio::time::sleep(stay).await;
    node.leave().await?;
    Ok(())
}

/// The configuration, whom to join, and for how long to stay; `None` without arguments.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<(Config, Vec<String>, Duration)>, String> {
    let (mut config, mut join, mut stay, mut is_empty) = (Config::local("example"), Vec::new(), Duration::ZERO, true);
    while let Some(option) = arguments.next() {
        is_empty = false;
        if !["--bind", "--join", "--stay"].contains(&option.as_str()) {
            return Err(format!("unknown option {option}\n{USAGE}"));
        }
        let value = arguments.next().ok_or_else(|| format!("{option} needs a value\n{USAGE}"))?;
        match option.as_str() {
            "--bind" => config = config.bind(value),
            "--join" => join.push(value),
            _ => {
                let seconds = value.parse().map_err(|error| format!("--stay {value}: {error}\n{USAGE}"))?;
                stay = Duration::from_secs(seconds);
            }
        }
    }
    Ok((!is_empty).then_some((config, join, stay)))
}

async fn three_nodes() -> Result<(), Box<dyn Error>> {
    let first = start("first", Config::local("example")).await?;
    let mut others = Vec::new();
    for name in ["second", "third"] {
        let node = start(name, Config::local("example")).await?;
        node.join([first.address().to_string()]).await?;
        others.push(node);
    }
    tokio::time::timeout(PATIENCE, sees(&first, 3)).await?;
    talk(&first).await?;
    for node in others.iter().chain([&first]) {
        node.shutdown().await;
    }
    Ok(())
}

/// A node that prints what it hears and answers what it is asked.
async fn start(name: &'static str, config: Config) -> Result<Cluster, Box<dyn Error>> {
    let node = Cluster::start(config).await?;
    node.handle_messages(greeting()?, move |message: Message| async move {
        let way = if message.broadcast.is_some() { "to all" } else { "to it alone" };
        match message.payload.decode::<Greeting>() {
            Ok(greeting) => println!("{name} hears {greeting:?}, {way}"),
            Err(error) => eprintln!("{name} hears something that is no greeting: {error}"),
        }
    })?;
    node.handle_requests(question()?, |request: Request| async move {
        match request.payload.decode()? {
            Question::SecondsOfToday => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
                Ok(since.as_secs() % 86_400)
            }
            Question::MeaningOfLife => Err(Rejected::because("it takes longer to compute")),
        }
    })?;
    Ok(node)
}

async fn talk(node: &Cluster) -> Result<(), Box<dyn Error>> {
    let hello = |number| Greeting { text: "hello".to_owned(), number };
    let id = node.broadcast(greeting()?, hello(1), BroadcastOptions::new()).await?;
    println!("a greeting to all is on its way as {id}");

    let others = node.members().candidates(1);
    let Some(other) = others.first() else { return Err("nobody else is here".into()) };
    node.send(other.id, greeting()?, hello(2), Reliability::Reliable).await?;
    println!("{} has confirmed a greeting of its own", other.address);

    let answer = node.request(other.id, question()?, Question::SecondsOfToday, PATIENCE).await?;
    println!("{} says that {} seconds of today have passed", other.address, answer.decode::<u64>()?);
    match node.request(other.id, question()?, Question::MeaningOfLife, PATIENCE).await {
        Ok(answer) => println!("{} knows the meaning of life: {answer:?}", other.address),
        Err(error) => println!("{} was asked for the meaning of life: {error}", other.address),
    }

    let mut answers = node.scatter(Audience::All, question()?, Question::SecondsOfToday, PATIENCE).await?;
    println!("{} nodes are asked at once", answers.asked());
    while let Some((by, answer)) = answers.next().await {
        println!("  {by}: {}", answer?.decode::<u64>()?);
    }
    Ok(())
}

/// Waits until a node sees as many live members as that.
async fn sees(node: &Cluster, count: usize) {
    let mut events = node.events();
    while node.members().counts().live() < count {
        if events.next().await.is_none() {
            return;
        }
    }
}
