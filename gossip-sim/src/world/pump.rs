//! The driver of every node: what comes in, what is due, what goes out, and what the node reports.

use gossip_core::{Channel, Event, Node};

use crate::app::{App, AppContext, Outgoing};
use crate::facts::Departure;
use crate::host::Waiting;
use crate::oracle::Oracle;
use crate::packet::Kind;
use crate::queue::Class;
use crate::random::Random;
use crate::sabotage::Bug;
use crate::scenario::Span;
use crate::trace;
use crate::world::{Addr, What, World};

/// Deadlines in a row that are due at once, before the node is taken for spinning.
const SPINS: u32 = 64;

/// Rounds of what the node says and the application answers, before they are taken for spinning.
const ROUNDS: u32 = 1_000;

/// Wait imposed on a node that spins, so that the run goes on, in microseconds.
const CALM_DOWN: u64 = 10_000;

impl World {
    /// A machine reads a packet.
    pub(super) fn read(&mut self, host: u32, waiting: Waiting) {
        let Waiting { packet, channel, from } = waiting;
        let index = host as usize;
        let now = self.facts.now;
        if self.pool.packet(packet).kind == Kind::Application {
            let bytes = self.pool.packet(packet).bytes.clone();
            self.trace.note_bytes(now, host, trace::MESSAGE, &bytes);
            self.pool.release(packet);
            self.with_app(host, |app, cx| app.on_message(cx, from, &bytes));
            self.settle(host);
            return;
        }
        self.overhear(host, &waiting);
        self.trace.note(now, host, trace::RECEIVED, u64::from(from));
        if self.trace.is_told() {
            let size = self.pool.packet(packet).bytes.len();
            self.trace.tell(now, format_args!("node {host} reads {size} bytes from {from} ({channel:?})"));
        }
        let state = &mut self.hosts[index];
        let local = state.clock.read(now);
        if let Some(node) = &mut state.node {
            self.metrics.delivered(channel);
            self.pool.consume(packet, |_, bytes| match channel {
                Channel::Datagram => node.handle_datagram(local, from, bytes),
                Channel::Stream => node.handle_message(local, from, bytes),
            });
            self.settle(host);
        } else {
            self.pool.release(packet);
        }
    }

    /// A timer entry of the queue is due; the node's deadline may have moved since.
    pub(super) fn fire(&mut self, host: u32) {
        let now = self.facts.now;
        let late_by = self.lateness(host);
        let state = &mut self.hosts[host as usize];
        if state.armed != now {
            return;
        }
        state.armed = u64::MAX;
        let person = &self.facts.people[host as usize];
        if !person.runs() || person.pauses > 0 {
            return;
        }
        if state.is_reading && state.busy_until > now {
            // The machine is busy with a packet.
            state.armed = state.busy_until;
            self.queue.push(state.busy_until, Class::Timer, What::Timer { host });
            return;
        }
        if state.deadline.saturating_add(late_by) > now {
            self.arm(host);
            return;
        }
        let local = state.clock.read(now);
        // By the node's own clock as well: a slow one shows the same microsecond for longer than one.
        let deadline = state.node.as_ref().and_then(Node::poll_timeout).unwrap_or(local);
        let late = (local.saturating_since(deadline).as_micros() as u64).min(now - state.deadline.min(now));
        self.oracles.timers.fired(&self.facts, host, late);
        self.trace.note(now, host, trace::TIMER, 0);
        if self.trace.is_told() {
            self.trace.tell(now, format_args!("node {host} has a deadline"));
        }
        let is_spun = self.is_spun(host);
        if let Some(node) = self.hosts[host as usize].node.as_mut().filter(|_| !is_spun) {
            node.handle_timeout(local);
        }
        self.settle(host);
        self.check_spin(host);
    }

    /// Lets a node say all that it has to say. An application that is told may make it say more.
    pub(super) fn settle(&mut self, host: u32) {
        let mut packets = 0;
        for round in 0.. {
            let calls = self.calls;
            self.read_deliveries(host);
            self.send_all(host, &mut packets);
            self.drain_events(host);
            if self.calls == calls {
                break;
            }
            if round == ROUNDS {
                let message = format!("the application is called for the {ROUNDS}th time at one moment");
                self.oracles.report(&self.facts, Oracle::Application, Some(host), message);
                break;
            }
        }
        self.read_store_changes(host);
        self.check_leaders(host);
        self.read_lock_news(host);
        self.oracles.drain(&self.facts);
        self.arm(host);
    }

    fn send_all(&mut self, host: u32, packets: &mut usize) {
        let index = host as usize;
        let local = self.hosts[index].clock.read(self.facts.now);
        if let Some(node) = &self.hosts[index].node {
            self.oracles.bounded.backlog(&self.facts, host, node.backlog());
        }
        while let Some(node) = &mut self.hosts[index].node {
            self.buffer.clear();
            let Some(transmit) = node.poll_transmit(local, &mut self.buffer) else { break };
            *packets += 1;
            self.metrics.sent(host, transmit.channel, transmit.size, transmit.to.len());
            self.oracles.bounded.packet(&self.facts, host, &transmit, self.buffer.len(), *packets);
            self.transmit(host, &transmit);
        }
    }

    fn drain_events(&mut self, host: u32) {
        while let Some(event) = self.hosts[host as usize].node.as_mut().and_then(Node::poll_event) {
            let event = self.spoil(host, event);
            let event = self.spoil_election(host, event);
            self.note_event(host, &event);
            self.oracles.event(&mut self.facts, host, &event);
            self.metrics.event(&self.facts, host, &event);
            if self.hosts[host as usize].app.is_some() {
                self.with_app(host, |app, cx| app.on_event(cx, &event));
            }
            self.react(host, &event);
        }
    }

    fn note_event(&mut self, host: u32, event: &Event<Addr>) {
        let (kind, value) = match event {
            Event::Member(change) => {
                let id = u128::from_be_bytes(*change.member.id.as_bytes()) as u64;
                let incarnation = change.member.incarnation;
                let claim = incarnation.epoch.as_u64() ^ u64::from(incarnation.refutations) << 8;
                (trace::MEMBER, id ^ claim.rotate_left(24) ^ (change.member.state as u64) << 60)
            }
            Event::Metadata { member, keys } => (trace::METADATA, member.metadata.version() << 8 | keys.len() as u64),
            Event::JoinAccepted { members, .. } => (trace::ACCEPTED, *members as u64),
            Event::JoinFailed { address, .. } => (trace::FAILED, u64::from(*address)),
            Event::Left { acknowledged } => (trace::LEFT, *acknowledged as u64),
            _ => (trace::OTHER, 0),
        };
        self.trace.note(self.facts.now, host, kind, value);
        if self.trace.is_told() {
            self.trace.tell(self.facts.now, format_args!("node {host} reports {}", trace::sentence(event)));
        }
    }

    /// What the driver does about an event.
    fn react(&mut self, host: u32, event: &Event<Addr>) {
        match event {
            Event::Left { acknowledged } => {
                let person = &mut self.facts.people[host as usize];
                let began = person.departure.map_or(self.facts.now, |departure| departure.began);
                let is_excused = person.departure.is_some_and(|departure| departure.is_excused);
                person.departure = Some(Departure { began, acknowledged: Some(*acknowledged), is_excused });
                self.stop(host, crate::facts::Status::Left);
            }
            Event::JoinFailed { address, .. } if self.has_moved(*address) => {
                // As a driver does that looks up the names of its seeds again.
                let seeds = self.seed_addresses();
                let local = self.hosts[host as usize].clock.read(self.facts.now);
                if let Some(node) = &mut self.hosts[host as usize].node {
                    node.set_seeds(local, seeds);
                }
            }
            _ => {}
        }
    }

    /// Puts the node's deadline into the queue, unless an earlier entry is there.
    pub(super) fn arm(&mut self, host: u32) {
        let late_by = self.lateness(host);
        let state = &mut self.hosts[host as usize];
        let deadline = state.node.as_ref().and_then(Node::poll_timeout);
        state.deadline = deadline.map_or(u64::MAX, |deadline| state.clock.when(deadline));
        if state.deadline == u64::MAX {
            return;
        }
        let mut at = state.deadline.saturating_add(late_by).max(self.facts.now);
        if state.spins > SPINS {
            at = at.max(self.facts.now + CALM_DOWN);
        }
        if at < state.armed {
            state.armed = at;
            self.queue.push(at, Class::Timer, What::Timer { host });
        }
    }

    fn check_spin(&mut self, host: u32) {
        let state = &mut self.hosts[host as usize];
        if state.deadline > self.facts.now {
            state.spins = 0;
            return;
        }
        state.spins += 1;
        if state.spins == SPINS {
            let deadline = state.deadline;
            self.oracles.timers.spins(&self.facts, host, deadline);
        }
    }

    /// Calls the application on a machine, and does what it asks for.
    pub(super) fn with_app(&mut self, host: u32, call: impl FnOnce(&mut dyn App, &mut AppContext<'_>)) {
        let now = self.facts.now;
        let state = &mut self.hosts[host as usize];
        let (Some(mut app), Some(node)) = (state.app.take(), state.node.as_mut()) else { return };
        let mut random = Random::keyed(self.work.next(), crate::random::Purpose::Workload, u64::from(host));
        let local = state.clock.read(now);
        let mut cx = AppContext {
            now: Span::micros(now),
            wall_ms: state.clock.wall_ms(now),
            number: host,
            node,
            local,
            outgoing: Vec::new(),
            asked: Vec::new(),
            wake: None,
            failures: Vec::new(),
            random: &mut random,
        };
        self.calling = Some(host);
        call(app.as_mut(), &mut cx);
        self.calling = None;
        self.calls += 1;
        let AppContext { outgoing, asked, wake, failures, .. } = cx;
        state.app = Some(app);
        if let Some(wake) = wake {
            state.app_due = Some(local + wake.duration());
            self.arm_app(host);
        }
        let from = self.facts.person(host).address;
        for Outgoing { to, bytes } in outgoing {
            let packet = self.pool.store(&bytes, from, Kind::Application);
            self.send_datagram(host, to, packet);
            self.pool.release(packet);
        }
        for asked in asked {
            self.note_asked(host, asked);
        }
        for message in failures {
            self.oracles.report(&self.facts, Oracle::Application, Some(host), message);
        }
    }

    pub(super) fn wake(&mut self, host: u32) {
        let person = self.facts.person(host);
        let state = &mut self.hosts[host as usize];
        if !person.runs() || person.pauses > 0 || state.app_timer != self.facts.now {
            return;
        }
        if state.is_reading && state.busy_until > self.facts.now {
            // The machine is busy with a packet.
            state.app_timer = state.busy_until;
            self.queue.push(state.app_timer, Class::Timer, What::Wake { host });
            return;
        }
        (state.app_due, state.app_timer) = (None, u64::MAX);
        self.with_app(host, App::on_timer);
        self.settle(host);
    }

    /// Puts the application's timer into the queue, by the machine's clock.
    pub(super) fn arm_app(&mut self, host: u32) {
        let state = &mut self.hosts[host as usize];
        let Some(due) = state.app_due else { return };
        state.app_timer = state.clock.when(due).max(self.facts.now);
        self.queue.push(state.app_timer, Class::Timer, What::Wake { host });
    }

    /// A machine goes on after a pause: what it received meanwhile comes before what is overdue.
    pub(super) fn resume(&mut self, host: u32) {
        self.read_on(host);
        self.hosts[host as usize].armed = u64::MAX;
        self.arm(host);
        self.arm_app(host);
    }

    fn lateness(&self, host: u32) -> u64 {
        match &self.scenario.sabotage {
            Some(sabotage) if self.sabotaged && sabotage.bug == Bug::LateTimers && sabotage.node == host => 40_000,
            _ => 0,
        }
    }

    fn is_spun(&self, host: u32) -> bool {
        self.has_bug(host, Bug::Spins)
    }

    /// Whether this bug is in effect in the node of a machine.
    pub(super) fn has_bug(&self, host: u32, bug: Bug) -> bool {
        self.sabotaged && self.scenario.sabotage.as_ref().is_some_and(|it| it.bug == bug && it.node == host)
    }
}
