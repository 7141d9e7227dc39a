//! A node that reaches others through a SOCKS5 proxy, and that nobody needs to reach.
//!
//! ```text
//! microsocks -i 127.0.0.1 -p 1080
//! cargo run --example socks5 -- 127.0.0.1:1080
//! ```
//!
//! The example starts two nodes that listen, and one that only dials, always through the proxy at the address given.
//! With `--join` and the address of a node of yours, it joins there instead. `--ws-listen` (and `--features websocket`)
//! makes the two listen for WebSocket, which goes through the proxy as well.

mod addresses;

use std::error::Error;
use std::io;
use std::time::Duration;

use clap::Parser;
use gossip_tokio::{ByteStream, Cluster, Config, Dialer, Dialing, MessageType, NodeAddress, Request};
use tokio_socks::tcp::Socks5Stream;
use tokio_util::compat::TokioAsyncReadCompatExt;

use addresses::Addresses;

/// Reaches others through a SOCKS5 proxy.
#[derive(Parser)]
struct Arguments {
    /// Where the proxy is
    proxy: String,
    #[command(flatten)]
    addresses: Addresses,
}

/// Opens connections through a proxy.
struct Proxy(String);

impl Dialer for Proxy {
    fn dial<'a>(&'a self, to: &'a NodeAddress) -> Dialing<'a> {
        Box::pin(async move {
            // A proxy looks up names by itself, which only URLs have here.
            let stream = match to {
                NodeAddress::Web(url) => Socks5Stream::connect(&*self.0, (url.host(), url.port())).await,
                other => {
                    let address = other.socket_address().ok_or(io::ErrorKind::Unsupported)?;
                    Socks5Stream::connect(&*self.0, address).await
                }
            };
            let stream = stream.map_err(|error| io::Error::other(format!("proxy {}: {error}", self.0)))?;
            println!("connected to {to} through the proxy");
            Ok(Box::new(stream.into_inner().compat()) as ByteStream)
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { proxy, addresses } = Arguments::parse();
    let inside = Config::local(addresses.cluster.clone()).dial_only(true).dialer(Proxy(proxy));
    let inside = Cluster::start(inside).await?;
    if !addresses.join.is_empty() {
        inside.join(addresses.join).await?;
        println!("this node sees {} members", inside.members().counts().live());
        inside.leave().await?;
        inside.shutdown().await;
        return Ok(());
    }

    let one = Cluster::start(addresses.node(0).dial_only(false)).await?;
    let two = Cluster::start(addresses.node(1)).await?;
    two.join([one.address().to_string()]).await?;
    inside.join([one.address().to_string()]).await?;
    for node in [&one, &two, &inside] {
        let mut events = node.events();
        while node.members().alive().count() < 3 {
            events.next().await.ok_or("the node has stopped")?;
        }
        println!("{} sees all three", node.address());
    }
    let kind = MessageType::user(200)?;
    inside.handle_requests(kind, |_: Request| async { Ok("nobody can connect to me") })?;
    let answer = two.request(inside.id(), kind, &"where are you?", Duration::from_secs(5)).await?;
    println!("{} answers: {}", inside.address(), answer.decode::<String>()?);
    for node in [inside, two, one] {
        node.leave().await?;
        node.shutdown().await;
    }
    Ok(())
}
