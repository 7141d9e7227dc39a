//! What the adapters of `gossip-core` to async runtimes share: the order in which a node is pumped, connections and
//! framing, addresses and their resolution, the commands of handles, and what handles show.
//!
//! Applications use an adapter, such as `gossip-tokio`, which names the [`Cluster`] of its runtime. A new adapter
//! implements [`Runtime`] and the socket traits beside it, and decides nothing: [`bind_udp`], [`bind_tcp`] and
//! [`UdpDatagrams`] do for it what is the same for all. The same program runs on each:
//!
//! ```
//! use gossip_driver::{Cluster, Config, Runtime};
//!
//! async fn program<R: Runtime>() -> Result<(), Box<dyn std::error::Error>> {
//!     let one = Cluster::<R>::start(Config::local("demo")).await?;
//!     let two = Cluster::<R>::start(Config::local("demo")).await?;
//!     two.join([one.address().to_string()]).await?;
//!     assert_eq!(two.members().alive().count(), 2);
//!     two.leave().await?;
//!     Ok(())
//! }
//! ```
//!
//! A node is one task that owns everything and never waits for one thing alone: it takes what arrived, then commands,
//! then timers that are due; sends until the socket is full; and shows what changed, before it tells of it. Each
//! connection is a task of its own, bounded in both directions, so that a peer that stops reading or writing costs its
//! own queue and nobody's time.

mod address;
#[cfg(target_os = "linux")]
mod asked;
mod bind;
mod callback;
mod calls;
mod cluster;
mod codec;
mod command;
mod config;
#[cfg(feature = "dns")]
mod dns;
mod election;
mod error;
pub mod face;
mod failures;
mod framing;
mod gather;
mod group;
mod handlers;
mod inbox;
mod join;
mod keys;
mod link;
mod links;
mod lock;
mod losses;
#[cfg(test)]
mod memory;
mod message;
mod messages;
mod node_address;
mod offload;
mod outbound;
mod payload;
mod pump;
mod queue;
mod report;
mod resolve;
mod round;
mod runtime;
mod seeds;
mod service;
mod shared;
mod snapshot;
mod sockets;
mod start;
mod stats;
mod store;
mod subscribe;
mod transport;
mod udp;
mod waiting;
mod web_address;

pub use address::{AddressError, AddressProblem, DEFAULT_PORT, Endpoint};
pub use bind::{bind_tcp, bind_udp, prepare_connected};
pub use cluster::{Cluster, LeaveReport, WeakCluster};
#[cfg(feature = "json")]
pub use codec::Json;
#[cfg(feature = "messagepack")]
pub use codec::MessagePack;
pub use codec::{Codec, CodecError, Postcard, Read};
pub use config::Config;
pub use election::{Election, ElectionEvent};
pub use error::{
    CommandError, EnterElectionError, ForgetError, HoldError, LeaveError, MetadataError, OpenPoolError, OpenStoreError,
    ResolveError, SeedsError, StartError, StopReason, WriteError,
};
pub use gossip_core::{
    BroadcastOptions, Cause, ConfigError, Criteria, CriteriaProblem, Delay as LockDelay, DropReason, ElectionChange,
    ElectionConfig, ElectionError, ElectionStatus, ForgetScope, Holder as LockHolder, Incarnation, Instant, Key,
    KeyError, KeyId, KeyRing, KeyRingError, Loaded, LockConfig, LockError, LockStatus, LockToken, MemberState,
    MessageId, MessageKind, MessageType, Metadata, NoLeader, NodeId, OpenLocksError, ParseCriteriaError,
    ParseKeyIdError, ParseNodeIdError, Phase, PhaseError, Plaintext, RejectReason, Reliability, ReservedType,
    SnapshotError, StepDown, StoreChange, StoreConfig, StoreEntry, StoreError, StoreVersion, Suite, Tags, Term,
    Timestamp, Value, Versions,
};
pub use group::{Group, GroupEvent};
pub use join::{JoinAccepted, JoinError, JoinFailure, JoinFailureReason, JoinReport};
pub use keys::{Keeping, KeyKeeper, KeyReport, KeyStatus, KeyUse, KeysError, MemberKeys, NoKeys, Stranded, Stranding};
pub use lock::{LockGuard, LockOptions, Locks};
pub use message::{
    Answer, Audience, Backlog, BroadcastInfo, DecodeError, HandlerError, HandlerSort, Later, Message, Rejected, Reply,
    Request, RequestError, SendError,
};
pub use messages::{Answers, Messages, Received};
pub use node_address::NodeAddress;
pub use payload::{CodecName, Encode, Payload, Raw};
pub use resolve::{Resolved, Resolver, Resolving};
pub use runtime::{Batch, Datagrams, Listener, Runtime, SocketBuffers, Timer};
pub use service::Service;
pub use snapshot::{Counts, Snapshot};
pub use stats::{Counter, DriverStats, Stats};
pub use store::{LoadError, SaveError, Store, StoreStats};
pub use subscribe::{CallbackId, Events};
#[cfg(feature = "tls")]
pub use transport::tls::{Pem, TlsBuilder, TlsConfig, TlsConfigError, TlsError, TlsStream};
#[cfg(feature = "websocket")]
pub use transport::websocket::{Refusal, Token, TokenError, WebError, WebStream};
pub use transport::{Accepting, Acceptor, ByteStream, Bytewise, Dialer, Dialing};
pub use udp::{Descriptor, UdpDatagrams, UdpReadiness};
pub use web_address::{WEB_KEY, WebAddress};

/// What a [`Codec`] writes from and reads with.
pub use erased_serde;
/// The protocol, for those who need its own types: errors of single operations, settings, counters.
pub use gossip_core as protocol;

/// A member as this node knows it. Cloning is cheap.
pub type Member = gossip_core::Member<NodeAddress>;
/// Something the application may want to know.
pub type Event = gossip_core::Event<NodeAddress>;
/// A change of one row of the member table.
pub type MemberChange = gossip_core::MemberChange<NodeAddress>;
