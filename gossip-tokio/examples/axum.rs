//! A node behind a route of a web server that has other routes too, so that one port serves both.
//!
//! ```text
//! cargo run --features websocket --example axum -- --bind 127.0.0.1:8080
//! cargo run --features websocket --example axum -- --bind 127.0.0.1:8081 --join ws://127.0.0.1:8080/gossip
//! curl http://127.0.0.1:8080/members
//! ```
//!
//! `--bind` says where the server listens.

mod addresses;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::routing::get;
use clap::Parser;
use gossip_tokio::{Cluster, Config, Member};
use hyper_util::rt::TokioIo;
use tokio_util::compat::TokioAsyncReadCompatExt;
use tracing_subscriber::EnvFilter;

use addresses::Addresses;

type Error = Box<dyn std::error::Error>;

/// Serves peers and others at one port.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    addresses: Addresses,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let Arguments { addresses } = Arguments::parse();

    // Peers come in by the server: the node itself listens nowhere.
    let listener = tokio::net::TcpListener::bind(&addresses.bind).await?;
    let address = listener.local_addr()?;
    let url = addresses.advertise.clone().unwrap_or_else(|| format!("ws://{address}/gossip"));
    let cluster = Cluster::start(addresses.node(0).advertise(url).seeds(addresses.join)).await?;

    let routes =
        Router::new().route("/gossip", get(gossip)).route("/members", get(members)).with_state(cluster.clone());
    println!("{} serves http://{address}/members and its peers at {}", cluster.id(), cluster.address());
    let stop = async {
        // Without signals, it runs until it is killed.
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, routes).with_graceful_shutdown(stop).await?;
    cluster.leave().await?;
    cluster.shutdown().await;
    Ok(())
}

/// The route for peers.
async fn gossip(State(cluster): State<Cluster>, mut request: Request) -> Response<String> {
    let answer = cluster.answer_websocket(&request);
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        // It takes effect once the answer is sent.
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            match upgrade.await {
                Ok(stream) => drop(cluster.accept_websocket(TokioIo::new(stream).compat()).await),
                Err(error) => eprintln!("a connection was not upgraded: {error}"),
            }
        });
    }
    answer
}

/// A route beside it.
async fn members(State(cluster): State<Cluster>) -> String {
    let members = cluster.members();
    let line = |member: &Arc<Member>| format!("{} {} {:?}", member.id, member.address, member.state);
    members.all().iter().map(line).collect::<Vec<_>>().join("\n")
}
