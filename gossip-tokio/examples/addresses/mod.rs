//! The options of the examples that say where nodes are, and by what they reach each other.

use clap::Args;

use crate::Config;

/// Where nodes listen for WebSocket if no URL is given.
const URL: &str = "ws://127.0.0.1:0/gossip";

/// Where the nodes of an example are. Those of one cluster can differ in all of it but the name.
#[derive(Args, Clone, Debug)]
pub(crate) struct Addresses {
    /// Name of the cluster: nodes of another one are not heard
    #[arg(long, value_name = "NAME", default_value = "example")]
    pub(crate) cluster: String,
    /// Where to listen for UDP and TCP; port 0 is a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) bind: String,
    /// Listen for WebSocket and nothing else, at this URL
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = URL, conflicts_with = "bind")]
    pub(crate) ws_listen: Option<String>,
    /// Do without UDP
    #[arg(long)]
    pub(crate) stream_only: bool,
    /// Listen nowhere: others are reached, and reach this node, over the connections that it opens
    #[arg(long, conflicts_with_all = ["bind", "ws_listen"])]
    pub(crate) dial_only: bool,
    /// What others are told to reach this node at, if it is not where it listens
    #[arg(long, value_name = "ADDRESS", conflicts_with = "dial_only")]
    pub(crate) advertise: Option<String>,
    /// A node of a running cluster: an address, a name, a ws:// URL, or srv+NAME; several times for several
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) join: Vec<String>,
}

impl Addresses {
    /// For a node of this process. The options are about the first one, of number 0; others are reached by the same means, at
    /// ports of their own.
    pub(crate) fn node(&self, number: usize) -> Config {
        let config = Config::local(self.cluster.clone()).stream_only(self.stream_only).dial_only(self.dial_only);
        let host = self.bind.rsplit_once(':').map_or(&*self.bind, |(host, _)| host);
        let bind = if number == 0 { self.bind.clone() } else { format!("{host}:0") };
        let config = match (&self.ws_listen, number) {
            (Some(url), 0) => over_websocket(config, url),
            (Some(_), _) => over_websocket(config, URL),
            (None, _) => config.bind(bind),
        };
        match &self.advertise {
            Some(address) if number == 0 => config.advertise(address.clone()),
            _ => config,
        }
    }
}

#[cfg(feature = "websocket")]
fn over_websocket(config: Config, url: &str) -> Config {
    config.web_listen(url).web_only(true)
}

#[cfg(not(feature = "websocket"))]
fn over_websocket(_: Config, _: &str) -> Config {
    let reason = "--ws-listen needs the cargo feature websocket: cargo run --features websocket --example ...";
    clap::Error::raw(clap::error::ErrorKind::InvalidValue, format!("{reason}\n")).exit()
}
