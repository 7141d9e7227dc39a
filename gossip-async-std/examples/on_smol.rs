//! Nodes in a program on smol send each other messages and ask each other questions. Ends by itself.
//!
//! ```text
//! cargo run --example on_smol
//! cargo run --features websocket --example on_smol -- --ws-listen
//! ```

#[path = "../../gossip-tokio/examples/addresses/mod.rs"]
mod addresses;

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use gossip_async_std::{
    Audience, BroadcastOptions, Cluster, Config, Message, MessageType, Reliability, Request, ReservedType,
};

use addresses::Addresses;

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends messages and asks questions on smol.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    addresses: Addresses,
}

fn note() -> Result<MessageType, ReservedType> {
    MessageType::user(200)
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { addresses } = Arguments::parse();
    smol::block_on(async {
        let first = start("first", addresses.node(0).dial_only(false).seeds(&addresses.join)).await?;
        let mut nodes = vec![first.clone()];
        for name in ["second", "third"] {
            let node = start(name, addresses.node(1)).await?;
            node.join([first.address().to_string()]).await?;
            nodes.push(node);
        }

        // What the application spawns runs on smol's own executor; a handle works on any thread.
        let (sender, note) = (first.clone(), note()?);
        smol::spawn(async move { sender.broadcast(note, "hello, all", BroadcastOptions::new()).await }).await?;
        first.send(nodes[1].id(), note, "hello, you", Reliability::Reliable).await?;
        let mut answers = first.scatter(Audience::All, note, 21_u32, PATIENCE).await?;
        while let Some((by, answer)) = answers.next().await {
            println!("{by} answers {}", answer?.decode::<u32>()?);
        }

        for node in nodes {
            node.leave().await?;
            node.shutdown().await;
        }
        Ok(())
    })
}

/// A node that prints what it hears, and answers a number with its double.
async fn start(name: &'static str, config: Config) -> Result<Cluster, Box<dyn Error>> {
    let node = Cluster::start(config).await?;
    println!("the {name} node is {} at {}", node.id(), node.address());
    node.handle_messages(note()?, move |message: Message| async move {
        match message.payload.decode::<String>() {
            Ok(text) => println!("{name} hears {text:?} from {}", message.from),
            Err(error) => eprintln!("{name} hears something that is no text: {error}"),
        }
    })?;
    node.handle_requests(note()?, |request: Request| async move { Ok(request.payload.decode::<u32>()? * 2) })?;
    Ok(node)
}
