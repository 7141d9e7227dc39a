//! What can go wrong at the handle, and why a node stopped.

use std::io;
use std::net::SocketAddr;

use gossip_core::{ConfigError, PhaseError};

use crate::AddressError;

/// A node that could not be started. Nothing is left behind: no socket, no task.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot work.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The bind address cannot be read.
    #[error("bind address: {0}")]
    BindAddress(#[source] AddressError),
    /// The advertise address cannot be read.
    #[error("advertise address: {0}")]
    AdvertiseAddress(#[source] AddressError),
    /// A seed cannot be read.
    #[error("seed: {0}")]
    SeedAddress(#[source] AddressError),
    /// The name in the bind or advertise address has no usable address.
    #[error("the {setting} address cannot be resolved: {error}; write an IP address, or make the name resolvable here")]
    Unresolvable {
        /// `bind` or `advertise`.
        setting: &'static str,
        /// Which name and why.
        #[source]
        error: ResolveError,
    },
    /// Somebody else listens at the address.
    #[error(
        "{protocol} address {address} is in use; stop what listens there, or bind another port \
         (port 0 takes a free one)"
    )]
    AddressInUse {
        /// The address.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        protocol: &'static str,
    },
    /// The address cannot be bound for another reason.
    #[error("cannot bind {protocol} address {address}: {error}; bind an address of this machine")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// No port was found that is free for both UDP and TCP.
    #[error("no port of {address} is free for both UDP and TCP after {attempts} attempts; bind a fixed port")]
    NoCommonPort {
        /// The address, with port 0.
        address: SocketAddr,
        /// How many ports were tried.
        attempts: usize,
    },
    /// Bound to all interfaces, and none has an address that peers could use.
    #[error(
        "bound to {bound}, but no interface has an address that peers could reach; set advertise to the address \
         that peers should use, or bind that address"
    )]
    NotRoutable {
        /// Where the node was to be bound.
        bound: SocketAddr,
    },
    /// An acceptor takes the place of the listener, so that there is no address to advertise by itself.
    #[error(
        "an acceptor was given and no advertise address; set advertise to what the dialers of peers take for this node"
    )]
    NotAdvertised,
    /// A URL to listen at cannot be read.
    #[error("web_listen: {0}")]
    WebListen(#[source] AddressError),
    /// The URL to show besides the address cannot be read.
    #[error("web_advertise: {0}")]
    WebAdvertise(#[source] AddressError),
    /// Connections over `wss://` cannot be accepted without a certificate.
    #[error(
        "web_listen {url}: there is no certificate for it; set tls with a certificate and its key, or listen at ws://"
    )]
    NoCertificate {
        /// Where the node was to listen.
        url: String,
    },
    /// Nobody could connect to the node.
    #[error("web_only is set, but neither web_listen nor advertise is a URL; set one of them")]
    NoWebListener,
    /// The advertise address means all interfaces; peers cannot send there.
    #[error("advertise address {given:?} means all interfaces; set advertise to an address that peers can reach")]
    AdvertiseUnspecified {
        /// What was configured.
        given: String,
    },
    /// Initial metadata that cannot be stored.
    #[error("metadata {key:?}: {error}")]
    Metadata {
        /// The key.
        key: String,
        /// Why.
        #[source]
        error: gossip_core::MetadataError,
    },
    /// The operating system gives no random numbers.
    #[error("no random numbers from the operating system: {0}")]
    Randomness(String),
    /// The call was made outside of the async runtime.
    #[error("no async runtime: {0}")]
    NoRuntime(String),
}

/// A name that cannot be turned into an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct ResolveError {
    /// The name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Why a node no longer runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// [`Cluster::shutdown`](crate::Cluster::shutdown) was called.
    #[error("it was shut down")]
    Shutdown,
    /// The last handle was dropped; the node left the cluster.
    #[error("its last handle was dropped")]
    Dropped,
    /// The UDP or TCP socket failed for good.
    #[error("its {protocol} socket failed: {error}")]
    Socket {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// What the operating system says.
        error: String,
    },
    /// A panic, of this library or of a function that was handed to it.
    #[error("it panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The runtime dropped the node's task, most likely because the runtime itself was shut down.
    #[error("the async runtime ended its task")]
    Aborted,
}

/// A command that was not carried out; the node is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError<E> {
    /// The node says no.
    #[error(transparent)]
    Refused(E),
    /// The node no longer runs.
    #[error("the node no longer runs: {0}")]
    Stopped(StopReason),
}

/// Why metadata was not changed.
pub type MetadataError = CommandError<gossip_core::MetadataError>;
/// Why leaving did not happen.
pub type LeaveError = CommandError<PhaseError>;
/// Why a member was not forgotten.
pub type ForgetError = CommandError<gossip_core::ForgetError>;
/// Why an election was not entered.
pub type EnterElectionError = CommandError<gossip_core::ElectionError>;
/// Why a store was not opened.
pub type OpenStoreError = CommandError<gossip_core::StoreError>;
/// Why a key of a store was not written or deleted.
pub type WriteError = CommandError<gossip_core::StoreError>;
/// Why a pool of locks was not opened.
pub type OpenPoolError = CommandError<gossip_core::OpenLocksError>;
/// Why a lock was not acquired, extended or released, or not asked about.
pub type HoldError = CommandError<gossip_core::LockError>;
/// Why the seeds were not replaced.
pub type SeedsError = CommandError<AddressError>;
