//! Gossip membership for async-std and smol: nodes find each other, notice who fails and who leaves, share metadata, and send each
//! other messages.
//!
//! ```
//! use gossip_async_std::{Cluster, Config};
//!
//! #[async_std::main]
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
//! The same works in a program on smol, in which nothing else is to be done than to say `smol::block_on`:
//!
//! ```
//! use gossip_async_std::{Cluster, Config};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     smol::block_on(async {
//!         let node = Cluster::start(Config::local("demo")).await?;
//!         println!("{} at {}", node.id(), node.address());
//!         node.leave().await?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # Starting
//!
//! [`Config`] has presets for one data centre ([`Config::lan`]), for several ([`Config::wan`]) and for one machine
//! ([`Config::local`]). A node that is to find the others by itself gets seeds, which are tried for ever:
//!
//! ```no_run
//! # async fn start() -> Result<(), gossip_async_std::StartError> {
//! use gossip_async_std::{Cluster, Config};
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
//! # use gossip_async_std::{Cluster, Config, Event, MemberState};
//! # #[async_std::main]
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
//! # use gossip_async_std::{Cluster, Config, Criteria, Group, GroupEvent};
//! # #[async_std::main]
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
//! # use gossip_async_std::{Audience, Cluster, Config, Message, MessageType, Raw, Reliability, Request};
//! # #[async_std::main]
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
//! # What members share
//!
//! All that open a store of one name have all of it, and of two writes of one key the later one counts. Those that enter
//! an election of one name elect one of them, by a majority and for the time of a lease; the leader grants locks, and
//! some of the others remember them. `docs/COORDINATION.md` says what is promised.
//!
//! ```
//! # use std::time::Duration;
//! # use gossip_async_std::{Cluster, Config, ElectionConfig, LockConfig, LockOptions, StoreConfig};
//! # #[async_std::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cluster = Cluster::start(Config::local("docs")).await?;
//! # let (floor, replicas) = (1, 1);
//! let store = cluster.open_store("settings", StoreConfig::default()).await?;
//! store.set("web/port", "8080").await?;
//!
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
//! if guard.is_held() {
//!     println!("this node alone has it, token {}", guard.token());
//! }
//! guard.release().await?; // or drop it
//! # Ok(())
//! # }
//! ```
//!
//! # Keys
//!
//! Nodes with a [`KeyRing`] seal all they send, and take nothing else. Keys are changed while they run, on all members by
//! one of them; `docs/SECURITY.md` says how nobody is shut out.
//!
//! ```
//! # use std::time::Duration;
//! # use gossip_async_std::{Cluster, Config, Key, KeyRing, Plaintext};
//! # #[async_std::main]
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
//! Nothing that must be started first: the reactor (`async-io`, that of async-std and of smol) and the threads that tasks
//! run on (`async-global-executor`, that of async-std) are there when they are first used. Beside smol's own threads, a
//! program on smol so has one for each processor, or as many as `ASYNC_GLOBAL_EXECUTOR_THREADS` says.
//!
//! UDP and TCP on the same port (7979 unless configured), reachable for all members at the address that the node
//! advertises. Traffic is neither encrypted nor authenticated unless the node has keys ([`Config::keys`]): without them
//! run it inside a network that you trust.

mod io;

#[doc(inline)]
pub use gossip_driver::face::*;
pub use io::{AsyncStd, AsyncStdDatagrams, AsyncStdListener, AsyncStdStream, AsyncStdTimer, AsyncStdUdp};

/// A node of a cluster, running on async-std's executor.
pub type Cluster = gossip_driver::Cluster<AsyncStd>;
/// A handle to a node on async-std's executor that does not keep it running.
pub type WeakCluster = gossip_driver::WeakCluster<AsyncStd>;

/// The live members whose metadata is as wanted.
pub type Group<D = ()> = gossip_driver::Group<AsyncStd, D>;
/// An election that a node in async-std takes part in.
pub type Election = gossip_driver::Election<AsyncStd>;
/// A pool of locks that a node in async-std has open.
pub type Locks = gossip_driver::Locks<AsyncStd>;
/// A lock that a node in async-std holds.
pub type LockGuard = gossip_driver::LockGuard<AsyncStd>;
/// A key-value store that a node in async-std has open.
pub type Store = gossip_driver::Store<AsyncStd>;
