//! Gossip membership as a pure, deterministic state machine.
#![no_std]

extern crate alloc;

mod anti_entropy;
mod awareness;
mod claims;
mod config;
mod context;
mod dissemination;
mod encode;
mod error;
mod event;
mod healing;
mod identity;
mod join;
mod leave;
mod membership;
mod metadata;
mod node;
mod outbox;
mod probe;
mod rng;
mod stats;
mod suspicion;
mod time;
mod timer;
mod tombstone;
mod transmit;
mod view;
mod wire;

pub use config::{AcceptApplication, Config, ConfigError};
pub use context::Phase;
pub use error::{ForgetError, JoinError, MetadataError, PhaseError, RejectReason};
pub use event::{Cause, Event, MemberChange};
pub use identity::{Address, Epoch, Identity, Incarnation, NodeId, ParseNodeIdError, Versions};
pub use membership::{Member, MemberState};
pub use metadata::{Metadata, Value};
pub use node::{ForgetScope, Node};
pub use rng::Seed;
pub use stats::{DropReason, MessageKind, Stats};
pub use time::Instant;
pub use transmit::{Channel, Transmit};
