//! Gossip membership for tokio: nodes find each other, notice who fails and who leaves, share metadata, and send each
//! other messages.
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
//! A seed is written as [`Endpoint`] says: an address, a name, or `srv+` and the name of a service. Names are looked up
//! again when they lead nowhere, and when the time to live of an answer is over ([`Resolver`]).
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
//! [`Cluster::group`] follows those whose metadata fits: who is in now, who comes and goes, and what the application
//! wants to remember of each. [`Cluster::on_gossip`] calls a function from time to time.
//!
//! ```
//! # use gossip_tokio::{Cluster, Config, Criteria, Group, GroupEvent};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = Cluster::start(Config::local("docs")).await?;
//! let databases: Group = cluster.group(Criteria::parse(["role=db", "version=~1.4"])?);
//! let (members, mut events) = databases.watch();
//! println!("{} databases", members.len());
//! # cluster.set_metadata("version", "1.4.2").await?;
//! # cluster.set_metadata("role", "db").await?;
//! while let Some(event) = events.next().await {
//!     match event {
//!         GroupEvent::Added(member) => println!("{} is one more", member.id),
//!         GroupEvent::Removed(member) => println!("{} is one no more, it is {}", member.id, member.state),
//!         GroupEvent::Updated(member) => println!("{} says {:?}", member.id, member.metadata),
//!         GroupEvent::Missed { count } => println!("{count} events were lost: read the members anew"),
//! #       _ => {}
//!     }
//! #   break;
//! }
//! # assert!(databases.contains(cluster.id()));
//! # Ok(())
//! # }
//! ```
//!
//! # Messages
//!
//! ```
//! # use std::time::Duration;
//! # use gossip_tokio::{Audience, Cluster, Config, Message, MessageType, Raw, Reliability, Request};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (one, two) = (Cluster::start(Config::local("docs")).await?, Cluster::start(Config::local("docs")).await?);
//! # two.join([one.address().to_string()]).await?;
//! let kind = MessageType::user(200)?;
//! two.handle_messages(kind, |message: Message| async move {
//!     println!("{} sent {:?}", message.from, message.payload.bytes());
//! })?;
//! two.handle_requests(kind, |request: Request| async move { Ok(request.payload.decode::<String>()?.len()) })?;
//!
//! one.send(two.id(), kind, Raw(b"as it is"), Reliability::Reliable).await?;
//! let mut answers = one.scatter(Audience::All, kind, "how long?", Duration::from_secs(5)).await?;
//! while let Some((by, answer)) = answers.next().await {
//!     println!("{by} says {}", answer?.decode::<usize>()?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Payloads are values in the codec of the cluster ([`Config::codec`]; [`Postcard`] unless configured) or [`Raw`]
//! bytes, compressed from [`Config::compress_from`] on. Handlers are registered by type
//! ([`Cluster::handle_messages`], [`Cluster::handle_requests`]); [`Cluster::messages`] is a stream of all messages.
//! Nothing waits without bound: see [`Cluster::send`] for what is refused, and [`Event::MessagesMissed`] for what a
//! slow handler costs.
//!
//! # A key-value store
//!
//! All members that open a store of one name have all of it: each reads what it has, a write reaches the others by
//! gossip, and of two writes of one key the later one counts. `docs/COORDINATION.md` says what that means.
//!
//! ```
//! # use std::time::Duration;
//! # use gossip_tokio::{Cluster, Config, StoreChange, StoreConfig};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (one, two) = (Cluster::start(Config::local("docs")).await?, Cluster::start(Config::local("docs")).await?);
//! # two.join([one.address().to_string()]).await?;
//! let here = one.open_store("settings", StoreConfig::default()).await?;
//! let there = two.open_store("settings", StoreConfig::default()).await?;
//! let mut changes = there.watch("web/").await?;
//! here.set("web/port", "8080").await?;
//! here.set_with_ttl("web/lease", "node-1", Duration::from_secs(30)).await?;
//! while let Some(change) = changes.next().await {
//!     match change {
//!         StoreChange::Set { key, value, .. } => println!("{key} is {value:?} now"),
//!         StoreChange::Deleted { key, .. } | StoreChange::Expired { key, .. } => println!("{key} is gone"),
//!         StoreChange::Missed { count } => println!("{count} changes were lost: scan the keys anew"),
//!         _ => {}
//!     }
//! #   break;
//! }
//! for entry in here.scan("web/").await? {
//!     println!("{} is {:?}, written by {}", entry.key, entry.value, entry.version.writer);
//! }
//! here.delete("web/port").await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Store::save`] and [`Store::load`] keep it over restarts of all members at once.
//!
//! # One of all
//!
//! Members that enter an election of one name elect one of them, by a majority and for the time of a lease; the leader
//! grants locks, and some of the others remember them. `docs/COORDINATION.md` says why there are never two, what it
//! takes, and what is left to do for the terms and tokens that whoever acts carries along.
//!
//! ```
//! # use std::time::Duration;
//! # use gossip_tokio::{Cluster, Config, ElectionConfig, LockConfig, LockOptions};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = Cluster::start(Config::local("docs")).await?;
//! # let (floor, replicas) = (1, 1);
//! // `floor` is the fewest that elect a leader: two of three machines, three of five.
//! let lease = Duration::from_secs(1);
//! let election = cluster.enter_election("jobs", ElectionConfig { lease, ..ElectionConfig::new(floor) }).await?;
//! election.led().await; // until there is a leader, here or elsewhere
//! if let Some(term) = election.leads() {
//!     println!("this node leads, term {}", term.number()); // asked right before each thing that only the leader does
//! }
//!
//! // Two remember each grant unless told otherwise.
//! let locks = cluster.open_locks("jobs", LockConfig { replicas, ..LockConfig::new("jobs") }).await?;
//! let guard = locks.acquire("backup", LockOptions::new(Duration::from_secs(10))).await?;
//! tokio::select! {
//!     () = guard.lost() => println!("stop at once: others may have the lock soon"),
//!     () = back_up(guard.token()) => guard.release().await?,
//! }
//! # async fn back_up(_: gossip_tokio::LockToken) {}
//! # Ok(())
//! # }
//! ```
//!
//! A guard keeps its lock alive until it is dropped. [`Election::events`] follows who leads, [`Election::status`] says
//! why nobody does.
//!
//! # Keys
//!
//! Nodes with a [`KeyRing`] seal all they send, and take nothing else. Keys are changed while they run, on all members by
//! one of them; `docs/SECURITY.md` says how nobody is shut out.
//!
//! ```
//! # use std::time::Duration;
//! # use gossip_tokio::{Cluster, Config, Key, KeyRing, Plaintext};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (secret, next) = ([1; 32], [2; 32]);
//! let config = Config::local("demo").keys(KeyRing::new(Key::new(&secret)), Plaintext::Refuse);
//! let cluster = Cluster::start(config).await?;
//!
//! let (old, new, timeout) = (Key::new(&secret).id(), Key::new(&next), Duration::from_secs(10));
//! let report = cluster.add_key_everywhere(new.clone(), timeout).await?;
//! assert!(report.is_complete(), "{:?}", report.failed().collect::<Vec<_>>());
//! cluster.use_key_everywhere(new.id(), false, timeout).await?;
//! cluster.remove_key_everywhere(old, false, timeout).await?;
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
//! advertises. Traffic is neither encrypted nor authenticated unless the node has keys ([`Config::keys`]): without them
//! run it inside a network that you trust.

mod io;

#[doc(inline)]
pub use gossip_driver::face::*;
pub use io::{Tokio, TokioDatagrams, TokioListener, TokioStream, TokioTimer, TokioUdp};

/// A node of a cluster, running in tokio.
pub type Cluster = gossip_driver::Cluster<Tokio>;
/// A handle to a node in tokio that does not keep it running.
pub type WeakCluster = gossip_driver::WeakCluster<Tokio>;

/// The live members whose metadata is as wanted.
pub type Group<D = ()> = gossip_driver::Group<Tokio, D>;
/// An election that a node in tokio takes part in.
pub type Election = gossip_driver::Election<Tokio>;
/// A pool of locks that a node in tokio has open.
pub type Locks = gossip_driver::Locks<Tokio>;
/// A lock that a node in tokio holds.
pub type LockGuard = gossip_driver::LockGuard<Tokio>;
/// A key-value store that a node in tokio has open.
pub type Store = gossip_driver::Store<Tokio>;

/// The program on the front page of the project compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
