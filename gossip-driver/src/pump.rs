//! The task of a node: what arrived, then commands, then timers, then what is to be sent, then what is to be told.

mod elections;
mod frames;
mod keys;
mod locks;
mod messages;
mod stores;
mod verdict;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use futures_util::{FutureExt, Stream};
use gossip_core::{Channel, Node, Phase, PhaseError};
use tracing::{Level, Span, enabled, error, info, info_span};

use crate::callback::text_of;
use crate::command::Command;
use crate::election::Seats;
use crate::keys::trouble::Troubles;
use crate::link::News;
use crate::links::Links;
use crate::lock::holds::Holds;
use crate::pump::messages::Traffic;
use crate::report::{self, Report};
use crate::seeds::SeedWord;
use crate::shared::{Running, Shared, Status};
use crate::sockets::{Entrance, Mailbox, Porter, Received, Sent};
use crate::store::slots::Slots;
use crate::transport::{Gate, Transport};
use crate::waiting::Waiting;
use crate::{Config, Event, NodeAddress, Runtime, Snapshot, StopReason, Timer};

/// Messages from connections that may wait; their readers wait beyond it.
const NEWS: usize = 64;
/// Connections accepted before anything else is looked at.
const ACCEPTS: usize = 16;
/// Packets sent before anything else is looked at.
const TRANSMITS: usize = 512;
/// Passes in a row for which timers may wait while the socket is not yet read empty.
const PATIENCE: u32 = 8;
/// How many times as long as it took to picture the member table nothing is shown after that: in a large cluster where
/// much happens, pictures would else take most of the time.
const REST: u32 = 9;
/// How much longer than `leave_timeout` a node waits for its own word that it has left.
const LEAVE_GRACE: Duration = Duration::from_secs(1);

/// Between the clock of the runtime and that of the node, which counts from the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new(origin: Instant) -> Self {
        Self { origin }
    }

    /// The node's word for this moment.
    pub(crate) fn read(self, now: Instant) -> gossip_core::Instant {
        gossip_core::Instant::from_duration(now.saturating_duration_since(self.origin))
    }

    /// The runtime's word for a deadline of the node; `None` if it never comes.
    pub(crate) fn deadline(self, at: gossip_core::Instant) -> Option<Instant> {
        self.origin.checked_add(Duration::from_micros(at.as_micros()))
    }
}

/// What a node's task is made of.
pub(crate) struct Parts<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) clock: Clock,
    pub(crate) node: Node<NodeAddress>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) datagrams: Option<R::Datagrams>,
    /// None for a node that nobody connects to.
    pub(crate) entrances: Vec<(Gate, Entrance<R>)>,
    pub(crate) transport: Transport<R>,
    pub(crate) bound: Option<SocketAddr>,
    /// Closed when the last handle is dropped.
    pub(crate) commands: Receiver<Command>,
    pub(crate) seed_words: Sender<SeedWord>,
    pub(crate) seed_addresses: Receiver<Vec<NodeAddress>>,
    pub(crate) tasks: Sender<Infallible>,
}

/// A node with its sockets, connections and commands.
pub(crate) struct Pump<R: Runtime> {
    runtime: R,
    clock: Clock,
    node: Node<NodeAddress>,
    shared: Arc<Shared>,
    mailbox: Mailbox<R>,
    porters: Vec<(Gate, Porter<R>)>,
    links: Links<R>,
    news: Pin<Box<Receiver<News>>>,
    /// `None` once the last handle is dropped.
    commands: Option<Pin<Box<Receiver<Command>>>>,
    seed_words: Sender<SeedWord>,
    seed_addresses: Pin<Box<Receiver<Vec<NodeAddress>>>>,
    waiting: Waiting,
    seats: Seats,
    slots: Slots,
    holds: Holds,
    traffic: Traffic,
    /// When the table is pictured again at the earliest.
    picture_at: Instant,
    report: Report,
    troubles: Troubles,
    timer: R::Timer,
    /// What the timer is set to.
    armed: Option<Instant>,
    /// When a node without handles stops at the latest.
    leave_by: Option<Instant>,
    leave_timeout: Duration,
    budget: usize,
    /// Passes in a row for which timers had to wait.
    deferred: u32,
    stop: Option<StopReason>,
    span: Span,
}

/// Runs a node until it stops, and tells its handles why it did. `_task` is held for as long.
pub(crate) async fn run<R: Runtime>(mut pump: Pump<R>, running: Running, _task: Sender<Infallible>) {
    let span = pump.span.clone();
    let work = poll_fn(move |cx| pump.poll(cx));
    // What unwinds is dropped with everything it could have left half-done.
    let reason = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(reason) => reason,
        Err(panic) => StopReason::Panicked { message: text_of(&*panic).to_owned() },
    };
    let _entered = span.enter();
    match &reason {
        StopReason::Panicked { .. } | StopReason::Socket { .. } => error!(%reason, "the node stopped"),
        _ => info!(%reason, "the node stopped"),
    }
    running.stops(reason);
}

impl<R: Runtime> Pump<R> {
    pub(crate) fn new(parts: Parts<R>, config: &Config) -> Self {
        let Parts { runtime, clock, node, shared, tasks, .. } = parts;
        let (news_sender, news) = async_channel::bounded(NEWS);
        let counters = Arc::clone(&shared.counters);
        let porters = parts.entrances.into_iter();
        let porters = porters.map(|(gate, entrance)| (gate, Porter::new(entrance, Arc::clone(&counters)))).collect();
        let links = Links::new(parts.transport, config, Arc::clone(&counters), news_sender, tasks);
        let now = runtime.now();
        let timer = runtime.timer(now);
        let span = info_span!("gossip", node = %node.id());
        Self {
            runtime,
            clock,
            shared,
            mailbox: Mailbox::new(parts.datagrams, parts.bound, Arc::clone(&counters)),
            porters,
            links,
            news: Box::pin(news),
            commands: Some(Box::pin(parts.commands)),
            seed_words: parts.seed_words,
            seed_addresses: Box::pin(parts.seed_addresses),
            waiting: Waiting::default(),
            seats: Seats::default(),
            slots: Slots::default(),
            holds: Holds::default(),
            traffic: Traffic::new(now, config),
            picture_at: now,
            report: Report::default(),
            troubles: Troubles::default(),
            timer,
            armed: None,
            leave_by: None,
            leave_timeout: config.protocol.leave_timeout,
            budget: config.receive_budget,
            deferred: 0,
            stop: None,
            span,
            node,
        }
    }

    /// One pass; ready when the node stops.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<StopReason> {
        let span = self.span.clone();
        let _entered = span.enter();
        let now = self.runtime.now();
        self.tell_wall_clock(now);
        // What has arrived may be the answer that a timer waits for, so it comes first.
        let unread = self.receive(cx, now);
        let mut again = unread;
        again |= self.accept(cx, now);
        again |= self.listen_to_links(cx, now);
        again |= self.obey(cx, now);
        again |= self.take_lock_words(cx, now);
        self.take_submissions(cx, now);
        self.take_seeds(cx, now);
        self.fire_timers(unread);
        // Handlers may begin while this task sends.
        self.hand_out();
        self.seats.show(&self.node, self.clock.read(now));
        self.tell_lock_news(now);
        let was_blocked = self.traffic.is_blocked;
        again |= self.transmit(cx);
        // What handles handed in meanwhile was not looked at.
        again |= was_blocked && !self.traffic.is_blocked;
        self.hand_out();
        self.links.relieve(now);
        self.tell_losses(now);
        self.tell_store_changes();
        self.tell_lock_news(now);
        self.show();
        if let Some(reason) = self.stop.take() {
            return Poll::Ready(reason);
        }
        again |= self.rearm(cx);
        if again {
            // Others may run in between.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Hands datagrams to the node; true if there may be more.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let time = self.clock.read(now);
        for _ in 0..self.budget {
            match self.mailbox.receive(cx, now) {
                Received::Datagram { from, packet } => {
                    let before = enabled!(Level::DEBUG).then(|| self.node.stats());
                    let from = NodeAddress::Socket(from);
                    self.node.handle_datagram(time, from.clone(), packet);
                    if let Some(before) = before {
                        report::log_drops(&from, &before, &self.node.stats());
                    }
                }
                Received::Noise => {}
                Received::Nothing => return false,
                Received::Failed(error) => {
                    self.stop = Some(StopReason::Socket { protocol: "UDP", error });
                    return false;
                }
            }
        }
        true
    }

    fn accept(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for _ in 0..ACCEPTS {
            let mut porters = self.porters.iter_mut().enumerate();
            let arrived = porters.find_map(|(at, (gate, porter))| Some((at, *gate, porter.accept(cx, now)?)));
            let Some((at, gate, (stream, remote))) = arrived else { return false };
            // A flood at one listener is not to keep the others waiting.
            self.porters.rotate_left(at + 1);
            self.links.accept(now, (stream, gate), remote);
        }
        true
    }

    fn listen_to_links(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for _ in 0..self.budget {
            match self.news.as_mut().poll_next(cx) {
                Poll::Ready(Some(news)) => self.hear(now, news),
                Poll::Ready(None) | Poll::Pending => return false,
            }
        }
        true
    }

    fn hear(&mut self, now: Instant, news: News) {
        let time = self.clock.read(now);
        match news {
            News::Message { link, frame, held } => {
                self.take_frame(now, link, frame);
                // The memory of the message counts until here.
                drop(held);
            }
            // Connections are opened at the end of the pass.
            News::Drained => {}
            News::PeerClosed { link } => self.links.peer_closed(now, link),
            News::Ended { link, end } => {
                if let Some((address, reason)) = self.links.failure(link, &end) {
                    self.shared.failures.note(now, address, reason);
                }
                for address in self.links.ended(now, link, &end) {
                    self.node.handle_unreachable(time, &address);
                }
            }
        }
    }

    fn obey(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for _ in 0..self.budget {
            let Some(commands) = &mut self.commands else { return false };
            match commands.as_mut().poll_next(cx) {
                Poll::Ready(Some(command)) => self.carry_out(now, command),
                Poll::Ready(None) => {
                    self.commands = None;
                    self.leave_unattended(now);
                }
                Poll::Pending => return false,
            }
        }
        true
    }

    fn carry_out(&mut self, now: Instant, command: Command) {
        let time = self.clock.read(now);
        match command {
            Command::Join { address, reply } => match self.node.join(time, address.clone()) {
                Ok(()) => self.waiting.join(address, reply),
                Err(error) => self.waiting.ready(reply, Err(error)),
            },
            Command::Leave { reply } => match self.node.leave(time) {
                Ok(()) => self.waiting.leave(reply),
                Err(PhaseError::Leaving) if self.node.phase() == Phase::Leaving => self.waiting.leave(reply),
                Err(error) => self.waiting.ready(reply, Err(error)),
            },
            Command::Forget { id, scope, reply } => {
                let result = self.node.forget(time, id, scope);
                self.waiting.ready(reply, result);
            }
            Command::SetMetadata { key, value, reply } => {
                let result = self.node.set_metadata(time, &key, value);
                self.waiting.ready(reply, result);
            }
            Command::RemoveMetadata { key, reply } => {
                let result = self.node.remove_metadata(time, &key);
                self.waiting.ready(reply, result);
            }
            Command::EnterElection { name, config, reply } => {
                let result = self.enter_election(time, &name, *config);
                self.waiting.ready(reply, result);
            }
            Command::ElectionStatus { name, reply } => {
                // The seat that asks is given to those who entered.
                if let Some(status) = self.node.election(time, &name) {
                    self.waiting.ready(reply, Ok(status));
                }
            }
            Command::OpenStore { name, config, reply } => {
                let result = self.open_store(now, &name, *config);
                self.waiting.ready(reply, result);
            }
            Command::Store { name, command } => self.command_store(time, &name, command),
            Command::OpenLocks { name, config, reply } => {
                let result = self.open_locks(time, &name, *config);
                self.waiting.ready(reply, result);
            }
            Command::Lock { pool, command } => self.command_locks(time, &pool, command),
            Command::Keys { command, reply } => {
                let result = self.command_keys(command);
                self.waiting.ready(reply, result);
            }
            Command::Shutdown => self.stop = Some(StopReason::Shutdown),
        }
    }

    /// The last handle was dropped: leaves, and stops when that is done.
    fn leave_unattended(&mut self, now: Instant) {
        let leaving = self.node.leave(self.clock.read(now));
        match (leaving, self.node.phase()) {
            (_, Phase::Left | Phase::Contested) => self.stop = Some(StopReason::Dropped),
            _ => self.leave_by = Some(now + self.leave_timeout + LEAVE_GRACE),
        }
    }

    fn take_seeds(&mut self, cx: &mut Context<'_>, now: Instant) {
        while let Poll::Ready(Some(addresses)) = self.seed_addresses.as_mut().poll_next(cx) {
            self.node.set_seeds(self.clock.read(now), addresses);
        }
    }

    /// Lets timers fire that are due, unless what would stop them may lie unread in the socket.
    fn fire_timers(&mut self, unread: bool) {
        if unread && self.deferred < PATIENCE {
            self.deferred += 1;
            return;
        }
        self.deferred = 0;
        let now = self.runtime.now();
        let time = self.clock.read(now);
        if self.node.poll_timeout().is_some_and(|at| at <= time) {
            self.node.handle_timeout(time);
        }
        if self.links.deadline().is_some_and(|at| at <= now) {
            self.links.sweep(now);
            for address in self.links.give_up(now) {
                self.node.handle_unreachable(time, &address);
            }
            self.keep_links(now);
        }
        if self.leave_by.is_some_and(|at| at <= now) {
            self.stop = Some(StopReason::Dropped);
        }
    }

    /// Sends until nothing is left or the socket is full; true if there is more and the socket is not full.
    fn transmit(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.runtime.now();
        let time = self.clock.read(now);
        for _ in 0..TRANSMITS {
            if self.mailbox.send_held(cx) == Sent::Blocked {
                self.traffic.is_blocked = true;
                return false;
            }
            let buffer = self.mailbox.empty_buffer();
            let Some(transmit) = self.node.poll_transmit(time, buffer) else {
                if self.mailbox.send_batch(cx) == Sent::Blocked {
                    self.traffic.is_blocked = true;
                } else {
                    self.traffic.drained();
                }
                return false;
            };
            match transmit.channel {
                Channel::Datagram => self.send_datagram(now, transmit.to),
                Channel::Stream => {
                    let frame = self.mailbox.take_frame();
                    for to in transmit.to {
                        if self.links.send(now, &to, frame.clone()).is_err() {
                            self.node.handle_unreachable(time, &to);
                        }
                    }
                }
            }
        }
        true
    }

    /// Shows what changed: first the table, then answers and events, which readers may compare with the table and with
    /// groups, and which therefore wait for them.
    fn show(&mut self) {
        if self.is_picture_old() {
            let begin = self.runtime.now();
            if begin < self.picture_at && self.stop.is_none() {
                return;
            }
            let snapshot = Arc::new(Snapshot::of(&self.node));
            self.shared.snapshot.store(Arc::clone(&snapshot));
            self.shared.groups.look_at(snapshot.local_id(), &snapshot);
            let end = self.runtime.now();
            self.picture_at = end + end.saturating_duration_since(begin) * REST;
        }
        self.shared.publish(&Status::of(&self.node, self.links.gauges()));
        self.waiting.answer();
        while let Some(event) = self.node.poll_event() {
            self.shared.groups.follow(&event, &self.shared.snapshot.load());
            let reason = match &event {
                Event::JoinFailed { address, .. } => self.shared.failures.reason(self.runtime.now(), address),
                _ => None,
            };
            self.report.log(&event, reason.as_deref());
            self.act_on(&event);
            self.seats.follow(&event);
            self.shared.subscribers.publish(&event);
        }
        #[cfg(debug_assertions)]
        self.shared.groups.check(&self.shared.snapshot.load());
    }

    fn is_picture_old(&self) -> bool {
        self.shared.snapshot.load().version() != self.node.table_version()
    }

    fn act_on(&mut self, event: &Event) {
        self.waiting.happened(event);
        // Where there is no room for a word about a seed, many are waiting that say the same.
        match event {
            Event::JoinAccepted { address, .. } => {
                self.shared.failures.forget(address);
                drop(self.seed_words.try_send(SeedWord::Accepted(address.clone())));
            }
            Event::JoinFailed { address, .. } => drop(self.seed_words.try_send(SeedWord::Failed(address.clone()))),
            Event::Member(change) => self.mind_links(&change.member),
            Event::Missed { .. } if self.links.is_keeping() => {
                let now = self.runtime.now();
                for member in self.node.members().filter(|member| member.state.is_live()) {
                    self.links.keep(now, &member.address);
                }
            }
            Event::Left { .. } if self.commands.is_none() => self.stop = Some(StopReason::Dropped),
            _ => {}
        }
    }

    /// Sets the timer for what is due next; true if something is due already.
    fn rearm(&mut self, cx: &mut Context<'_>) -> bool {
        let deadlines = [
            self.node.poll_timeout().and_then(|at| self.clock.deadline(at)),
            self.links.deadline(),
            self.mailbox.deadline(),
            self.porters.iter().filter_map(|(_, porter)| porter.deadline()).min(),
            self.leave_by,
            self.holds.deadline().and_then(|at| self.clock.deadline(at)),
            self.traffic.losses.deadline(),
            self.is_picture_old().then_some(self.picture_at),
        ];
        let Some(deadline) = deadlines.into_iter().flatten().min() else {
            self.armed = None;
            return false;
        };
        if self.armed != Some(deadline) {
            self.armed = Some(deadline);
            self.timer.reset(deadline);
        }
        if self.timer.poll_fired(cx).is_pending() {
            return false;
        }
        self.armed = None;
        true
    }
}

#[cfg(test)]
mod tests;
