//! Gossip membership as a pure, deterministic state machine.
//!
//! A [`Node`] finds the other members of a cluster, notices which of them fail, leave or come back, and spreads what each
//! says of itself. It does so without sockets, threads, a clock or randomness of its own: it is told the time and what
//! came from the network, and tells what to send, what happened, and when to be called again. So it runs in any event
//! loop and, with the same bytes, in a simulation. The crate is `no_std`, which keeps it that way.
//!
//! The protocol is SWIM (Das et al., 2002) with Lifeguard (Dadgar et al., 2018): constant work for each member, indirect probes,
//! suspicion before death. On top of it come anti-entropy by fingerprints, healing of partitions, and versioned metadata.
//! Applications send each other messages and requests, and broadcast to all or to those with a tag, with one copy for each
//! node. `docs/DESIGN.md` says why, `docs/WIRE.md` is the format.
//!
//! # A complete program
//!
//! Two nodes, and a network that is a loop:
//!
//! ```
//! use bytes::BytesMut;
//! use gossip_core::{Channel, Config, Epoch, Identity, Instant, Node, NodeId};
//!
//! let mut now = Instant::ZERO;
//! let mut nodes = [1_u8, 2].map(|number| {
//!     let identity = Identity::new(NodeId::from_u128(number.into()), number, Epoch::new(1_700_000_000_000, 0));
//!     Node::new(identity, Config::lan("example"), [number; 32], now).expect("a valid configuration")
//! });
//! nodes[1].join(now, 1)?; // the address of the first
//! nodes[1].set_metadata(now, "zone", "b").expect("a short key");
//!
//! let mut buffer = BytesMut::new();
//! while nodes[0].live_count() < 2 || nodes[1].live_count() < 2 {
//!     for sender in 0..2 {
//!         while let Some(transmit) = nodes[sender].poll_transmit(now, &mut buffer) {
//!             let mut packet = buffer.split();
//!             let (receiver, from) = (usize::from(transmit.to[0]) - 1, sender as u8 + 1);
//!             match transmit.channel {
//!                 Channel::Datagram => nodes[receiver].handle_datagram(now, from, &mut packet),
//!                 Channel::Stream => nodes[receiver].handle_message(now, from, &mut packet),
//!             }
//!         }
//!         while let Some(event) = nodes[sender].poll_event() {
//!             println!("{now:?} node {}: {event:?}", sender + 1);
//!         }
//!     }
//!     // Nothing more to say: on to the next deadline.
//!     now = nodes.iter().filter_map(Node::poll_timeout).min().expect("a live node has something to do");
//!     nodes.iter_mut().for_each(|node| node.handle_timeout(now));
//! }
//! let joiner = nodes[0].member(nodes[1].id()).expect("it was let in");
//! assert_eq!(joiner.metadata.str("zone"), Some("b"));
//! # Ok::<(), gossip_core::JoinError>(())
//! ```
//!
//! `examples/std_loop.rs` is the same with real sockets and std alone. Users of tokio take `gossip-tokio` instead.
//!
//! # Where to find what
//!
//! | To | see |
//! | --- | --- |
//! | drive a node | [`Node`], [`Transmit`], [`Channel`], [`Instant`] |
//! | name it and set it up | [`Identity`], [`NodeId`], [`Epoch`], [`Config`] |
//! | know the cluster | [`Node::members`], [`Member`], [`MemberState`], [`Metadata`] |
//! | follow those with certain metadata | [`Group`], [`Criteria`] |
//! | send messages, ask questions | [`Node::broadcast`], [`Node::send`], [`Node::request`], [`Node::poll_delivery`], [`Delivery`] |
//! | follow it | [`Event`], [`MemberChange`], [`Cause`] |
//! | elect leaders | [`Node::enter_election`], [`Node::leads`], [`ElectionConfig`] |
//! | hold locks | [`Node::open_locks`], [`Node::acquire_lock`], [`Node::holds_lock`], [`Node::poll_lock`], [`LockConfig`] |
//! | share a key-value store | [`Node::open_store`], [`Node::store`], [`Node::store_mut`], [`Node::poll_store_change`] |
//! | order events by time | [`HybridClock`], [`Timestamp`] |
//! | keep strangers out | [`KeyRing`], [`Key`], [`Plaintext`], [`Node::use_key`] |
//! | watch its health | [`Stats`], [`DropReason`], [`Node::health_score`] |
#![no_std]

extern crate alloc;

mod anti_entropy;
mod awareness;
mod broadcast;
mod claims;
mod config;
mod context;
mod delivery;
mod dispute;
mod dissemination;
mod drawn;
mod election;
mod encode;
mod error;
mod event;
mod group;
mod healing;
mod hlc;
mod identity;
mod join;
mod kv;
mod lane;
mod leave;
mod lock;
mod mail;
mod membership;
mod message;
mod metadata;
mod node;
mod outbox;
mod payload;
mod probe;
mod request;
mod ring;
mod rng;
mod seal;
mod stats;
mod suspicion;
mod time;
mod timer;
mod tombstone;
mod transmit;
mod view;
mod wire;

pub use config::{AcceptApplication, Config, ConfigError, within};
pub use context::Phase;
pub use delivery::Delivery;
pub use election::{ElectionChange, ElectionConfig, ElectionError, ElectionStatus, NoLeader, StepDown, Term};
pub use error::{ForgetError, JoinError, MetadataError, PhaseError, RejectReason};
pub use event::{Cause, Event, MemberChange};
pub use group::{Criteria, CriteriaProblem, Group, GroupChange, ParseCriteriaError};
pub use hlc::{HybridClock, Timestamp, TooFarAhead};
pub use identity::{Address, Epoch, Identity, Incarnation, NodeId, ParseNodeIdError, Tags, Versions};
pub use kv::{Loaded, SnapshotError, StoreChange, StoreConfig, StoreEntry, StoreError, StoreVersion};
pub use lock::{
    Delay, Grant, Holder, LockConfig, LockDone, LockError, LockNews, LockOp, LockRequest, LockStatus, OpenLocksError,
    Token as LockToken,
};
pub use membership::{Member, MemberState};
pub use message::{
    BroadcastOptions, MessageId, MessageType, Refusal, Reliability, ReplyToken, RequestError, RequestId, ReservedType,
    SendError,
};
pub use metadata::{Metadata, Value};
pub use node::{ForgetScope, Node, StoreMut, StoreView};
pub use rng::Seed;
pub use seal::{Key, KeyError, KeyId, KeyRing, KeyRingError, ParseKeyIdError, Plaintext, Suite, SuiteError};
pub use stats::{Backlog, DropReason, MessageKind, Stats};
pub use time::Instant;
pub use transmit::{Channel, Transmit};
