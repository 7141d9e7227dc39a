//! Gossip membership for tokio: nodes find each other, notice who fails and who leaves, and share metadata.
//!
//! ```
//! use gossip_tokio::{Cluster, Config};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let one = Cluster::start(Config::local("demo")).await?;
//!     let two = Cluster::start(Config::local("demo")).await?;
//!     two.join([one.address().to_string()]).await?;
//!     for member in two.members().alive() {
//!         println!("{} at {}", member.id, member.address);
//!     }
//!     two.leave().await?;
//!     Ok(())
//! }
//! ```
//!
//! # Starting
//!
//! [`Config`] has presets for one data centre ([`Config::lan`]), for several ([`Config::wan`]) and for one machine
//! ([`Config::local`]). A node that is to find the others by itself gets seeds, which are tried for ever:
//!
//! ```no_run
//! # async fn start() -> Result<(), gossip_tokio::StartError> {
//! use gossip_tokio::{Cluster, Config};
//!
//! let config = Config::lan("prod").bind("0.0.0.0:7979").seed("seed.example:7979").tag("db").metadata("zone", "a");
//! let cluster = Cluster::start(config).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Following the cluster
//!
//! [`Cluster::members`] is a picture of the member table that is read without a lock. [`Cluster::events`] is a stream
//! of what happens, each event with its cause; the table is always at least as new as an event that was read.
//!
//! ```
//! # use gossip_tokio::{Cluster, Config, Event, MemberState};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = Cluster::start(Config::local("docs")).await?;
//! let mut events = cluster.events();
//! # let other = Cluster::start(Config::local("docs").seed(cluster.address().to_string())).await?;
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Member(change) if change.member.state == MemberState::Alive => {
//!             println!("{} is here because it {:?}", change.member.id, change.cause);
//! #           break;
//!         }
//!         Event::Member(change) => println!("{} is {}: {:?}", change.member.id, change.member.state, change.cause),
//!         Event::Missed { count } => println!("{count} events were lost: read the members anew"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Stopping
//!
//! Dropping the last [`Cluster`] handle leaves the cluster in the background. To wait for it call [`Cluster::leave`]
//! and then [`Cluster::shutdown`]; the latter alone looks like a crash to the others.
//!
//! # What it needs from its surroundings
//!
//! UDP and TCP on the same port (7979 unless configured), reachable for all members at the address that the node
//! advertises. Traffic is neither encrypted nor authenticated: run it inside a network that you trust.

mod io;

pub use gossip_driver::{
    AddressError, AddressProblem, CallbackId, Cause, CommandError, Config, ConfigError, Counter, Counts, DEFAULT_PORT,
    DriverStats, DropReason, Endpoint, Event, Events, ForgetError, ForgetScope, Incarnation, Instant, JoinAccepted,
    JoinError, JoinFailure, JoinFailureReason, JoinReport, LeaveError, LeaveReport, Member, MemberChange, MemberState,
    MessageKind, Metadata, MetadataError, NodeId, ParseNodeIdError, Phase, PhaseError, RejectReason, ResolveError,
    Resolver, Resolving, SeedsError, Snapshot, StartError, Stats, StopReason, Tags, Value, Versions, protocol,
};
pub use io::{Tokio, TokioDatagrams, TokioListener, TokioStream, TokioTimer};

/// A node of a cluster, running in tokio.
pub type Cluster = gossip_driver::Cluster<Tokio>;

/// The program on the front page of the project compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
