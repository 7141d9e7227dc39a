//! What applications need beside the `Cluster` of their runtime. An adapter shows all of it as its own, so that programs
//! differ in nothing but the name of the crate.

#[cfg(feature = "json")]
pub use crate::Json;
#[cfg(feature = "messagepack")]
pub use crate::MessagePack;
pub use crate::{
    Accepting, Acceptor, AddressError, AddressProblem, Answer, Answers, Audience, Backlog, BroadcastInfo,
    BroadcastOptions, ByteStream, Bytewise, CallbackId, Cause, Codec, CodecError, CodecName, CommandError, Config,
    ConfigError, Counter, Counts, Criteria, CriteriaProblem, DEFAULT_PORT, DecodeError, Dialer, Dialing, DriverStats,
    DropReason, ElectionChange, ElectionConfig, ElectionError, ElectionEvent, ElectionStatus, Encode, Endpoint,
    EnterElectionError, Event, Events, ForgetError, ForgetScope, GroupEvent, HandlerError, HandlerSort, HoldError,
    Incarnation, Instant, JoinAccepted, JoinError, JoinFailure, JoinFailureReason, JoinReport, Keeping, Key, KeyError,
    KeyId, KeyKeeper, KeyReport, KeyRing, KeyRingError, KeyStatus, KeyUse, KeysError, Later, LeaveError, LeaveReport,
    LoadError, Loaded, LockConfig, LockDelay, LockError, LockHolder, LockOptions, LockStatus, LockToken, Member,
    MemberChange, MemberKeys, MemberState, Message, MessageId, MessageKind, MessageType, Messages, Metadata,
    MetadataError, NoKeys, NoLeader, NodeAddress, NodeId, OpenLocksError, OpenPoolError, OpenStoreError,
    ParseCriteriaError, ParseKeyIdError, ParseNodeIdError, Payload, Phase, PhaseError, Plaintext, Postcard, Raw, Read,
    Received, RejectReason, Rejected, Reliability, Reply, Request, RequestError, ReservedType, ResolveError, Resolved,
    Resolver, Resolving, SaveError, SeedsError, SendError, Service, Snapshot, SnapshotError, StartError, Stats,
    StepDown, StopReason, StoreChange, StoreConfig, StoreEntry, StoreError, StoreStats, StoreVersion, Stranded,
    Stranding, Suite, Tags, Term, Timestamp, Value, Versions, WEB_KEY, WebAddress, WriteError, erased_serde, protocol,
};
#[cfg(feature = "tls")]
pub use crate::{Pem, TlsBuilder, TlsConfig, TlsConfigError, TlsError};
#[cfg(feature = "websocket")]
pub use crate::{Refusal, Token, TokenError, WebError};
