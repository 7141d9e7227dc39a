//! Gossip membership for tokio.

mod io;

pub use gossip_driver::*;
pub use io::{Tokio, TokioDatagrams, TokioListener, TokioTimer};

/// A node of a cluster, running in tokio.
pub type Cluster = gossip_driver::Cluster<Tokio>;
