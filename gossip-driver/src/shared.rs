//! What a node shows to its handles while it runs, and how it tells them that it stopped.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use async_channel::{Receiver, Sender};
use gossip_core::{Node, Phase};

use crate::failures::Failures;
use crate::group::Groups;
use crate::handlers::Handlers;
use crate::outbound::Outbound;
use crate::round::Rounds;
use crate::stats::{Counter, Counters, Gauges};
use crate::subscribe::Subscribers;
use crate::{Config, NodeAddress, Snapshot, Stats, StopReason};

/// Written by the node's task, read by the handles.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) groups: Groups,
    pub(crate) rounds: Rounds,
    pub(crate) counters: Arc<Counters>,
    pub(crate) handlers: Handlers,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) failures: Failures,
    status: Mutex<Status>,
    reason: OnceLock<StopReason>,
    ended: Receiver<Infallible>,
}

/// The few numbers that change too often for a snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) protocol: gossip_core::Stats,
    pub(crate) phase: Phase,
    pub(crate) health_score: u32,
    pub(crate) gauges: Gauges,
}

impl Status {
    pub(crate) fn of(node: &Node<NodeAddress>, gauges: Gauges) -> Self {
        Self { protocol: node.stats(), phase: node.phase(), health_score: node.health_score(), gauges }
    }
}

/// Held by the node's task for as long as it runs. Whatever ends the task, the drop of this tells the handles.
#[derive(Debug)]
pub(crate) struct Running {
    shared: Arc<Shared>,
    _ended: Sender<Infallible>,
}

impl Shared {
    pub(crate) fn new(node: &Node<NodeAddress>, config: &Config) -> (Arc<Self>, Running) {
        let counters = Arc::new(Counters::new());
        let (sender, ended) = async_channel::bounded(1);
        let shared = Arc::new(Self {
            snapshot: ArcSwap::from_pointee(Snapshot::of(node)),
            subscribers: Arc::new(Subscribers::new(config.event_queue, Arc::clone(&counters))),
            groups: Groups::default(),
            rounds: Rounds::default(),
            handlers: Handlers::new(config, Arc::clone(&counters)),
            outbound: Arc::new(Outbound::new(config.command_queue, config.protocol.max_queued_bytes)),
            counters,
            failures: Failures::new(config.protocol.join_timeout),
            status: Mutex::new(Status::of(node, Gauges::default())),
            reason: OnceLock::new(),
            ended,
        });
        let running = Running { shared: Arc::clone(&shared), _ended: sender };
        (shared, running)
    }

    pub(crate) fn publish(&self, status: &Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = *status;
    }

    pub(crate) fn status(&self) -> Status {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the node takes part, so that it may accept messages.
    pub(crate) fn is_active(&self) -> bool {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).phase == Phase::Active
    }

    pub(crate) fn stats(&self) -> Stats {
        let Status { protocol, gauges, .. } = self.status();
        Stats { protocol, driver: self.counters.read(gauges) }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.ended.is_closed()
    }

    /// Waits until the node has stopped.
    pub(crate) async fn stopped(&self) -> StopReason {
        match self.ended.recv().await {
            Ok(never) => match never {},
            Err(_) => self.reason.get().cloned().unwrap_or(StopReason::Aborted),
        }
    }
}

impl Running {
    /// Records why the node stops; the first reason stays.
    pub(crate) fn stops(&self, reason: StopReason) {
        let _ = self.shared.reason.set(reason);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stops(StopReason::Aborted);
        self.shared.subscribers.close();
        self.shared.groups.close();
        self.shared.rounds.close();
        self.shared.handlers.close();
        let unsent = self.shared.outbound.close();
        self.shared.counters.add(Counter::MessagesUnsent, unsent);
    }
}
