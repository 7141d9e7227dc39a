//! Elections as the application holds them. What the node's task says of an election is true at every moment, because the
//! handle compares the end of the lease with the clock when it is asked.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gossip_core::{ElectionChange, ElectionStatus, Node, Term};

use crate::callback::Callbacks;
use crate::pump::Clock;
use crate::subscribe::{Notice, Subscribers};
use crate::{CallbackId, Event, Events, NodeAddress, Runtime, StopReason, WeakCluster};

/// An election that this node takes part in. Made by [`Cluster::enter_election`](crate::Cluster::enter_election); clones
/// are handles to the same election.
///
/// The node takes part as long as it runs, whether there are handles or not. They do not keep it running.
pub struct Election<R: Runtime> {
    pub(crate) cluster: WeakCluster<R>,
    pub(crate) runtime: R,
    pub(crate) clock: Clock,
    pub(crate) callbacks: Arc<Callbacks>,
    pub(crate) seat: Arc<Seat>,
}

/// Something changed in an [`Election`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElectionEvent {
    /// A leader came or went.
    Changed(ElectionChange),
    /// Events were dropped because they were not read in time: ask [`Election::leader`] how things stand.
    Missed {
        /// How many since the last event.
        count: u64,
    },
}

impl Notice for ElectionEvent {
    fn missed(count: u64) -> Self {
        Self::Missed { count }
    }

    fn missed_count(&self) -> Option<u64> {
        if let Self::Missed { count } = self { Some(*count) } else { None }
    }
}

impl<R: Runtime> Election<R> {
    /// What the election is called.
    pub fn name(&self) -> &str {
        &self.seat.name
    }

    /// The term in which this node leads at this moment; it is also the fencing token of what is done in it. Ask right
    /// before acting as the leader: when the lease is over it is `None`, even if the node's task stands still.
    pub fn leads(&self) -> Option<Term> {
        let now = self.clock.read(self.runtime.now());
        let (term, until) = self.seat.look().reign?;
        (now < until).then_some(term)
    }

    /// Until when this node leads if nobody answers it any more; `None` if it does not lead.
    pub fn leads_until(&self) -> Option<Instant> {
        self.leads()?;
        self.clock.deadline(self.seat.look().reign?.1)
    }

    /// The term of the leader that this node knows of, whoever it is. Others may know of a later one already.
    pub fn leader(&self) -> Option<Term> {
        self.known_leader().map(|(term, _)| term)
    }

    /// Until when this node follows the leader that it knows of, or leads itself, if it hears no more; `None` without one.
    pub fn leader_until(&self) -> Option<Instant> {
        self.clock.deadline(self.known_leader()?.1)
    }

    fn known_leader(&self) -> Option<Held> {
        let now = self.clock.read(self.runtime.now());
        let View { reign, heard } = self.seat.look();
        reign.into_iter().chain(heard).find(|&(_, until)| now < until)
    }

    /// Waits until there is a leader; `None` if the node stops first.
    pub async fn led(&self) -> Option<Term> {
        let mut events = self.events();
        loop {
            if let Some(term) = self.leader() {
                return Some(term);
            }
            events.next().await?;
        }
    }

    /// How the election stands, as this node sees it: who leads, or why nobody does, and what a leader needs.
    ///
    /// # Errors
    ///
    /// Why the node has stopped.
    pub async fn status(&self) -> Result<ElectionStatus, StopReason> {
        match self.cluster.upgrade() {
            Some(cluster) => cluster.election_status(&self.seat.name).await,
            None => Err(StopReason::Dropped),
        }
    }

    /// Changes from now on.
    pub fn events(&self) -> Events<ElectionEvent> {
        self.seat.subscribers.add().1
    }

    /// Calls a function for each change from now on, as [`Cluster::on_event`](crate::Cluster::on_event) does.
    pub fn on_change(&self, mut call: impl FnMut(&ElectionEvent) + Send + 'static) -> CallbackId {
        self.callbacks.spawn(&self.runtime, &self.seat.subscribers, move |event| call(event))
    }

    /// Removes a callback; whether there was one.
    pub fn remove_callback(&self, id: CallbackId) -> bool {
        self.seat.subscribers.remove(id)
    }
}

impl<R: Runtime> Clone for Election<R> {
    fn clone(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            runtime: self.runtime.clone(),
            clock: self.clock,
            callbacks: Arc::clone(&self.callbacks),
            seat: Arc::clone(&self.seat),
        }
    }
}

impl<R: Runtime> fmt::Debug for Election<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election").field("name", &self.name()).field("leader", &self.leader()).finish_non_exhaustive()
    }
}

/// A term, and until when it counts by the node's clock.
type Held = (Term, gossip_core::Instant);

/// Who leads, as the node's task showed it last.
#[derive(Clone, Copy, Debug, Default)]
struct View {
    reign: Option<Held>,
    heard: Option<Held>,
}

/// What the node's task shows of one election.
#[derive(Debug)]
pub(crate) struct Seat {
    name: Arc<str>,
    view: Mutex<View>,
    subscribers: Arc<Subscribers<ElectionEvent>>,
}

impl Seat {
    pub(crate) fn new(name: &str, subscribers: Subscribers<ElectionEvent>) -> Arc<Self> {
        Arc::new(Self { name: Arc::from(name), view: Mutex::default(), subscribers: Arc::new(subscribers) })
    }

    fn look(&self) -> View {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, view: View) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }
}

/// The elections of a node, held by its task; they end with it.
#[derive(Debug, Default)]
pub(crate) struct Seats(Vec<Arc<Seat>>);

impl Seats {
    pub(crate) fn add(&mut self, seat: Arc<Seat>) {
        self.0.push(seat);
    }

    /// Shows who leads. To be called before anything is sent: what gives an office up must not be on its way while a handle
    /// still says that the node leads.
    pub(crate) fn show(&self, node: &Node<NodeAddress>, now: gossip_core::Instant) {
        for seat in &self.0 {
            let reign = node.leads(now, &seat.name).zip(node.leads_until(&seat.name));
            seat.show(View { reign, heard: node.follows(now, &seat.name) });
        }
    }

    /// Tells of an event.
    pub(crate) fn follow(&self, event: &Event) {
        match event {
            Event::Election { name, change } => {
                let told = self.0.iter().filter(|seat| seat.name == *name);
                told.for_each(|seat| seat.subscribers.publish(&ElectionEvent::Changed(*change)));
            }
            Event::Missed { count } => {
                self.0.iter().for_each(|seat| seat.subscribers.publish(&ElectionEvent::Missed { count: *count }));
            }
            _ => {}
        }
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        for seat in &self.0 {
            seat.show(View::default());
            seat.subscribers.close();
        }
    }
}
