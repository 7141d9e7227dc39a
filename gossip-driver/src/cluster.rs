//! The handle to a running node.

mod elections;
mod groups;
mod keys;
mod locks;
mod messages;
mod rounds;
mod stores;
#[cfg(feature = "websocket")]
mod web;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Weak};

use arc_swap::Guard;
use async_channel::{Receiver, Sender};
use futures_channel::oneshot;
use futures_util::future::{Either, join_all, select};
use gossip_core::{ForgetScope, Instant, NodeId, Phase, Value};

use crate::address::reachable_from;
use crate::callback::Callbacks;
use crate::command::{Command, Joined, Reply};
use crate::keys::change::KeyChanges;
use crate::pump::Clock;
use crate::resolve::Lookup;
use crate::round::Pace;
use crate::seeds::SeedWord;
use crate::shared::Shared;
use crate::start;
use crate::{
    CallbackId, CommandError, Config, Endpoint, Event, Events, ForgetError, JoinAccepted, JoinError, JoinFailure,
    JoinFailureReason, JoinReport, LeaveError, Member, MemberChange, MetadataError, NodeAddress, Runtime, SeedsError,
    Snapshot, StartError, Stats, StopReason,
};

/// A node of a cluster, running in the background. Clones are handles to the same node.
///
/// When the last handle is dropped, the node leaves the cluster in the background and stops. To stop at once call
/// [`shutdown`](Self::shutdown); to leave first and wait for it, [`leave`](Self::leave) and then `shutdown`.
pub struct Cluster<R: Runtime> {
    handle: Arc<Handle<R>>,
    /// Its sends wait for room.
    is_patient: bool,
}

/// A handle that does not keep the node running; see [`Cluster::downgrade`].
pub struct WeakCluster<R: Runtime> {
    handle: Weak<Handle<R>>,
    is_patient: bool,
}

impl<R: Runtime> WeakCluster<R> {
    /// The node, if somebody still has a handle to it.
    pub fn upgrade(&self) -> Option<Cluster<R>> {
        self.handle.upgrade().map(|handle| Cluster { handle, is_patient: self.is_patient })
    }
}

impl<R: Runtime> Clone for WeakCluster<R> {
    fn clone(&self) -> Self {
        Self { handle: Weak::clone(&self.handle), is_patient: self.is_patient }
    }
}

impl<R: Runtime> fmt::Debug for WeakCluster<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakCluster").finish_non_exhaustive()
    }
}

#[cfg(feature = "websocket")]
pub(crate) use web::Web;

/// What all handles share. Its drop closes the command queue, by which the node knows that nobody is left.
pub(crate) struct Handle<R> {
    pub(crate) runtime: R,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: Sender<Command>,
    pub(crate) seed_words: Sender<SeedWord>,
    pub(crate) lookup: Lookup<R>,
    pub(crate) clock: Clock,
    pub(crate) keys: Arc<KeyChanges<R>>,
    pub(crate) callbacks: Arc<Callbacks>,
    /// How gossip callbacks are called at first.
    pub(crate) pace: Pace,
    /// Closed when the last task of the node has ended.
    pub(crate) tasks: Receiver<Infallible>,
    pub(crate) id: NodeId,
    pub(crate) address: NodeAddress,
    pub(crate) bind_address: Option<SocketAddr>,
    /// Where the node is bound, if it can reach addresses of that family alone.
    pub(crate) reach: Option<SocketAddr>,
    #[cfg(feature = "websocket")]
    pub(crate) web: Web,
    pub(crate) max_datagram: usize,
}

/// What came of leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaveReport {
    /// How many peers acknowledged the news. Zero is normal for a node that is alone.
    pub acknowledged: usize,
}

impl<R: Runtime> Cluster<R> {
    /// Starts a node: binds its sockets and lets it run in the background.
    ///
    /// It returns as soon as the node runs. Seeds are tried in the background, for ever; wait for
    /// [`Event::JoinAccepted`], or call [`join`](Self::join), to know that the node is not alone.
    ///
    /// # Errors
    ///
    /// What is wrong, where, and what to do about it; nothing is left running.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let is_sealed = config.protocol.keys.is_some();
        // Apart, because it is large, and callers would carry it in theirs.
        let handle = Box::pin(start::start(config)).await?;
        let cluster = Self { handle: Arc::new(handle), is_patient: false };
        if is_sealed {
            // It has no other handlers yet; failure means that it has stopped already.
            let _ = cluster.handle_keys();
        }
        Ok(cluster)
    }

    /// The id of this node.
    pub fn id(&self) -> NodeId {
        self.handle.id
    }

    /// A handle that does not keep the node running, for functions that the node itself owns.
    pub fn downgrade(&self) -> WeakCluster<R> {
        WeakCluster { handle: Arc::downgrade(&self.handle), is_patient: self.is_patient }
    }

    /// The address that this node advertises.
    pub fn address(&self) -> &NodeAddress {
        &self.handle.address
    }

    /// The address that this node is bound to, UDP and TCP, or TCP alone; `None` if connections reach it by other ways.
    pub fn bind_address(&self) -> Option<SocketAddr> {
        self.handle.bind_address
    }

    /// Joins a cluster through any of these addresses, all of them in parallel, and waits for every answer.
    ///
    /// Each is written as in [`Config::seeds`](crate::Config#structfield.seeds). They are tried once; what is to be
    /// tried for ever belongs in the seeds.
    ///
    /// # Errors
    ///
    /// When nobody let this node in: the whole report. When the node has stopped: why.
    pub async fn join<S: Into<String>>(&self, addresses: impl IntoIterator<Item = S>) -> Result<JoinReport, JoinError> {
        if self.is_stopped() {
            return Err(JoinError::Stopped(self.stopped().await));
        }
        let given: Vec<String> = addresses.into_iter().map(Into::into).collect();
        let mut report = JoinReport::default();
        for outcome in join_all(given.into_iter().map(|given| self.join_through(given))).await {
            let part = outcome.map_err(JoinError::Stopped)?;
            report.accepted.extend(part.accepted);
            report.failed.extend(part.failed);
        }
        report.members = self.members().counts().live();
        if report.accepted.is_empty() { Err(JoinError::Nobody(report)) } else { Ok(report) }
    }

    async fn join_through(&self, given: String) -> Result<JoinReport, StopReason> {
        let mut report = JoinReport::default();
        let resolved = match given.parse::<Endpoint>() {
            Ok(endpoint) => self.handle.lookup.resolve_nodes(&endpoint).await.map_err(JoinFailureReason::from),
            Err(error) => Err(error.into()),
        };
        let addresses = match resolved {
            Ok(found) => found.addresses,
            Err(reason) => {
                report.failed.push(JoinFailure { given, address: None, reason });
                return Ok(report);
            }
        };
        let attempts = addresses.iter().map(|address| self.join_address(address.clone()));
        for (address, outcome) in addresses.iter().cloned().zip(join_all(attempts).await) {
            let given = given.clone();
            match outcome {
                Ok(joined) => report.accepted.push(JoinAccepted { given, address, by: joined.by }),
                Err(CommandError::Refused(reason)) => {
                    report.failed.push(JoinFailure { given, address: Some(address), reason });
                }
                Err(CommandError::Stopped(reason)) => return Err(reason),
            }
        }
        Ok(report)
    }

    async fn join_address(&self, address: NodeAddress) -> Result<Joined, CommandError<JoinFailureReason>> {
        if let (Some(bound), Some(address)) = (self.handle.reach, address.socket_address())
            && !reachable_from(bound, address)
        {
            return Err(CommandError::Refused(JoinFailureReason::Family { bound }));
        }
        let (begun, target) = (self.handle.runtime.now(), address.clone());
        self.ask(|reply| Command::Join { address, reply }).await.map_err(|error| match error {
            CommandError::Refused(error @ (gossip_core::JoinError::Unreachable | gossip_core::JoinError::Timeout))
                if let Some(reason) = self.handle.shared.failures.reason_since(begun, &target) =>
            {
                CommandError::Refused(JoinFailureReason::Connection { error, reason })
            }
            CommandError::Refused(error) => CommandError::Refused(error.into()),
            CommandError::Stopped(reason) => CommandError::Stopped(reason),
        })
    }

    /// Why this node could lately make nothing of the connection that it opened to an address: what the operating system,
    /// TLS or WebSocket says. `None` if that is not so, or no node there let it in for another reason. An
    /// [`Event::JoinFailed`](crate::Event::JoinFailed) has no room for it.
    pub fn connection_failure(&self, address: &NodeAddress) -> Option<String> {
        self.handle.shared.failures.reason(self.handle.runtime.now(), address)
    }

    /// Replaces the seeds, which are tried for ever. Names are resolved in the background.
    ///
    /// # Errors
    ///
    /// A text that is no address; the seeds then stay as they are.
    pub async fn set_seeds<S: AsRef<str>>(&self, seeds: impl IntoIterator<Item = S>) -> Result<(), SeedsError> {
        let parsed: Result<Vec<Endpoint>, _> = seeds.into_iter().map(|seed| seed.as_ref().parse()).collect();
        let seeds = parsed.map_err(CommandError::Refused)?;
        let (done, accepted) = oneshot::channel();
        let sent = self.handle.seed_words.send(SeedWord::Replace { seeds, done }).await;
        if sent.is_ok() && self.unless_stopped(accepted).await.is_some() {
            return Ok(());
        }
        Err(CommandError::Stopped(self.stopped().await))
    }

    /// Leaves the cluster and waits until peers know, at most `leave_timeout`.
    ///
    /// The node then goes on running without taking part, until it is shut down.
    ///
    /// # Errors
    ///
    /// When the node has left already or lost its id to another node, and when it has stopped.
    pub async fn leave(&self) -> Result<LeaveReport, LeaveError> {
        let acknowledged = self.ask(|reply| Command::Leave { reply }).await?;
        Ok(LeaveReport { acknowledged })
    }

    /// Stops the node at once, without leaving: peers will find that it does not answer.
    ///
    /// When it returns, the sockets are closed and the node's tasks have ended. Callbacks are given the events that
    /// wait for them, and calls of handlers that are under way go on, for at most a second; no further call begins.
    pub async fn shutdown(&self) {
        // Failure means that the node is stopping already.
        let _ = self.handle.commands.send(Command::Shutdown).await;
        self.handle.shared.stopped().await;
        // Nothing is ever sent: the channel closes when the last task drops its end.
        let _ = self.handle.tasks.recv().await;
        self.handle.callbacks.finish(&self.handle.runtime).await;
    }

    /// Whether the node has stopped.
    pub fn is_stopped(&self) -> bool {
        self.handle.shared.is_stopped()
    }

    /// Waits until the node has stopped, for whatever reason.
    pub async fn stopped(&self) -> StopReason {
        self.handle.shared.stopped().await
    }

    /// The member table as it is now. It is a picture: call again to see changes.
    pub fn members(&self) -> Arc<Snapshot> {
        self.handle.shared.snapshot.load_full()
    }

    /// The member with this id.
    pub fn member(&self, id: NodeId) -> Option<Arc<Member>> {
        self.snapshot().member(id).cloned()
    }

    /// This node as it sees itself, with its tags and metadata.
    pub fn local(&self) -> Option<Arc<Member>> {
        self.snapshot().local().cloned()
    }

    fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.handle.shared.snapshot.load()
    }

    /// This moment on the node's own clock, which counts from its start: compare it with
    /// [`Member::since`](gossip_core::Member::since).
    pub fn now(&self) -> Instant {
        self.handle.clock.read(self.handle.runtime.now())
    }

    /// Whether the node takes part, is contested, leaves, or has left.
    pub fn phase(&self) -> Phase {
        self.handle.shared.status().phase
    }

    /// How well this node does itself (Lifeguard's local health): 0 is healthy; the higher, the slower it accuses
    /// others.
    pub fn health_score(&self) -> u32 {
        self.handle.shared.status().health_score
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        self.handle.shared.stats()
    }

    /// Sets a metadata value of this node. [`members`](Self::members) shows it when this returns; peers learn it by
    /// gossip.
    ///
    /// # Errors
    ///
    /// A key or a size that is not allowed, and when the node has left or stopped.
    pub async fn set_metadata(&self, key: impl Into<String>, value: impl Into<Value>) -> Result<(), MetadataError> {
        let (key, value) = (key.into(), value.into());
        self.ask(|reply| Command::SetMetadata { key, value, reply }).await
    }

    /// Removes a metadata value of this node; whether there was one.
    ///
    /// # Errors
    ///
    /// When the node has left or stopped.
    pub async fn remove_metadata(&self, key: impl Into<String>) -> Result<bool, MetadataError> {
        let key = key.into();
        self.ask(|reply| Command::RemoveMetadata { key, reply }).await
    }

    /// Drops a dead or departed member from the table, here or everywhere.
    ///
    /// # Errors
    ///
    /// When there is no such member, when it is alive or this very node, and when the node has stopped.
    pub async fn forget(&self, id: NodeId, scope: ForgetScope) -> Result<(), ForgetError> {
        self.ask(|reply| Command::Forget { id, scope, reply }).await
    }

    /// Events from now on.
    pub fn events(&self) -> Events {
        self.handle.shared.subscribers.add().1
    }

    /// Calls a function for each event from now on.
    ///
    /// It runs in a task of its own, one event after the other, and never delays the node: events that wait for it are
    /// bounded as in [`events`](Self::events). A function that panics is logged, counted and removed. It must not block
    /// for long, because it runs on a thread of the async runtime, and it must not own a handle, which would keep the
    /// node running.
    pub fn on_event(&self, mut call: impl FnMut(&Event) + Send + 'static) -> CallbackId {
        let Handle { runtime, shared, callbacks, .. } = &*self.handle;
        callbacks.spawn(runtime, &shared.subscribers, move |event| call(event))
    }

    /// Calls a function for each change of a member from now on; see [`on_event`](Self::on_event).
    pub fn on_member_change(&self, mut call: impl FnMut(&MemberChange) + Send + 'static) -> CallbackId {
        self.on_event(move |event| {
            if let Event::Member(change) = event {
                call(change);
            }
        })
    }

    /// Calls a function with each member whose metadata changes from now on, and the keys that changed; see
    /// [`on_event`](Self::on_event).
    pub fn on_metadata_change(&self, mut call: impl FnMut(&Member, &[String]) + Send + 'static) -> CallbackId {
        self.on_event(move |event| {
            if let Event::Metadata { member, keys } = event {
                call(member, keys);
            }
        })
    }

    /// Removes a callback; whether there was one. It is not called for further events; a call under way is finished.
    pub fn remove_callback(&self, id: CallbackId) -> bool {
        let shared = &self.handle.shared;
        shared.subscribers.remove(id) || shared.rounds.remove(id)
    }

    async fn ask<T, E>(&self, command: impl FnOnce(Reply<T, E>) -> Command) -> Result<T, CommandError<E>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.handle.commands.send(command(reply)).await;
        if sent.is_ok()
            && let Some(answer) = self.unless_stopped(answer).await
        {
            return answer.map_err(CommandError::Refused);
        }
        Err(CommandError::Stopped(self.stopped().await))
    }

    /// The answer; `None` if the node stops without giving it. What it left unread in a queue would never be answered.
    async fn unless_stopped<T>(&self, answer: oneshot::Receiver<T>) -> Option<T> {
        match select(answer, pin!(self.stopped())).await {
            Either::Left((answer, _)) => answer.ok(),
            Either::Right((_, mut answer)) => answer.try_recv().ok().flatten(),
        }
    }
}

impl<R: Runtime> Clone for Cluster<R> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle), is_patient: self.is_patient }
    }
}

impl<R: Runtime> fmt::Debug for Cluster<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("id", &self.handle.id)
            .field("address", &self.handle.address)
            .field("stopped", &self.is_stopped())
            .finish_non_exhaustive()
    }
}
