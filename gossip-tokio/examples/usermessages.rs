//! Nodes send each other messages of a type of their own, and ask each other questions. Ends by itself.
//!
//! Three nodes start in this process:
//!
//! ```text
//! cargo run --example usermessages
//! cargo run --features websocket --example usermessages -- --ws-listen
//! ```
//!
//! With `--join`, one node greets whoever is in the cluster, asks each for the time of day, and leaves; `--stay` keeps it
//! there for that many seconds to be greeted and asked by others:
//!
//! ```text
//! cargo run --example usermessages -- --bind 127.0.0.1:7001 --stay 60
//! cargo run --example usermessages -- --join 127.0.0.1:7001
//! ```

mod addresses;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use gossip_tokio::{
    Audience, BroadcastOptions, Cluster, Config, Message, MessageType, Rejected, Reliability, Request, ReservedType,
};
use serde::{Deserialize, Serialize};

use addresses::Addresses;

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends messages, and asks questions.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    addresses: Addresses,
    /// For how long one node stays to be talked to
    #[arg(long, value_name = "SECONDS")]
    stay: Option<u64>,
}

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
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { addresses, stay }: Arguments) -> Result<(), Box<dyn Error>> {
    if addresses.join.is_empty() && stay.is_none() {
        return three_nodes(&addresses).await;
    }
    let node = start("this node", addresses.node(0)).await?;
    println!("this node is at {}", node.address());
    if !addresses.join.is_empty() {
        node.join(addresses.join).await?;
        talk(&node).await?;
    }
    tokio::time::sleep(Duration::from_secs(stay.unwrap_or(0))).await;
    node.leave().await?;
    Ok(())
}

async fn three_nodes(addresses: &Addresses) -> Result<(), Box<dyn Error>> {
    let first = start("first", addresses.node(0).dial_only(false)).await?;
    let mut others = Vec::new();
    for name in ["second", "third"] {
        let node = start(name, addresses.node(1)).await?;
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
