//! A small network in virtual time, to watch a handful of nodes behave.
#![allow(dead_code, reason = "each test uses its own part of it")]

pub(crate) mod forge;
pub(crate) mod locking;
pub(crate) mod messages;
pub(crate) mod recorded;
pub(crate) mod storing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::BytesMut;
use gossip_core::{
    Cause, Channel, Config, Delivery, Epoch, Event, Identity, Instant, LockNews, MemberChange, MemberState, Node,
    NodeId, Stats,
};

pub(crate) type Addr = usize;

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    /// Shortest time on the way, and by how much it may be longer.
    pub(crate) latency: Duration,
    pub(crate) jitter: Duration,
    /// Datagrams that arrive twice, in percent.
    pub(crate) duplicates: u32,
    /// Datagrams lost, in percent.
    pub(crate) loss: u32,
    /// Whether packets from one host reach another.
    pub(crate) reaches: fn(Addr, Addr) -> bool,
    pub(crate) datagrams_reach: fn(Addr, Addr) -> bool,
    queue: BTreeMap<(Instant, u64), Parcel>,
    tickets: u64,
    random: u64,
    /// When the last message of a stream arrives, which the next one does not overtake.
    streams: BTreeMap<(Addr, Addr), Instant>,
    /// Timers of the hosts in order, and the one of each; `touched` are those that may have changed.
    due: BTreeSet<(Instant, Addr)>,
    armed: Vec<Option<Instant>>,
    touched: Vec<Addr>,
}

pub(crate) struct Host {
    pub(crate) node: Option<Node<Addr>>,
    pub(crate) events: Vec<(Instant, Event<Addr>)>,
    pub(crate) deliveries: Vec<(Instant, Delivery)>,
    pub(crate) locks: Vec<(Instant, LockNews)>,
    /// So many of these are of earlier lives.
    pub(crate) locks_before: usize,
    pub(crate) paused: bool,
    /// Whether the application reads what is delivered.
    pub(crate) reads: bool,
    inbox: Vec<Parcel>,
}

struct Parcel {
    from: Addr,
    to: Addr,
    kind: Kind,
}

enum Kind {
    Packet(Channel, Vec<u8>),
    Unreachable,
}

pub(crate) fn id(number: u128) -> NodeId {
    NodeId::from_u128(number)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Host {
    pub(crate) fn down() -> Self {
        let (events, deliveries, locks) = (Vec::new(), Vec::new(), Vec::new());
        Self { node: None, events, deliveries, locks, locks_before: 0, paused: false, reads: true, inbox: Vec::new() }
    }
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            hosts: Vec::new(),
            latency: Duration::from_micros(300),
            jitter: Duration::ZERO,
            duplicates: 0,
            loss: 0,
            reaches: |_, _| true,
            datagrams_reach: |_, _| true,
            queue: BTreeMap::new(),
            tickets: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            streams: BTreeMap::new(),
            due: BTreeSet::new(),
            armed: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// `count` nodes with ids from 1 that joined through the first.
    pub(crate) fn cluster(count: usize, config: &Config) -> Self {
        let mut net = Self::new(7);
        for number in 0..count {
            net.start(number as u128 + 1, config.clone());
        }
        for number in 1..count {
            net.join(number, 0);
        }
        net.run(secs(5));
        assert!(net.sees_alive(0..count), "the cluster formed");
        net
    }

    /// `count` nodes with ids from 1 that know each other from the start, as if they had joined long ago.
    pub(crate) fn acquainted(count: usize, config: &Config) -> Self {
        Self::acquainted_from(11, count, config)
    }

    /// The same with another seed.
    pub(crate) fn acquainted_from(seed: u64, count: usize, config: &Config) -> Self {
        let mut net = Self::new(seed);
        for number in 0..count {
            net.start(number as u128 + 1, config.clone());
        }
        let epoch = Epoch::new(net.now.as_micros() / 1_000, 0).as_u64();
        let mut messages: Vec<_> =
            (0..count).map(|who| forge::claim(who as u128 + 1, (epoch, 0), 0, who, 0, 0)).collect();
        messages.push((9, vec![0]));
        let now = net.now;
        let mut buffer = BytesMut::new();
        for who in 0..count {
            let host = usize::from(who == 0);
            net.node(who).join(now, host).expect("joining can begin");
            while net.node(who).poll_transmit(now, &mut buffer).is_some() {}
            buffer.clear();
            let mut table = forge::packet(host as u128 + 1, epoch, &messages);
            net.node(who).handle_message(now, host, &mut table);
            net.settle(who);
        }
        assert!(
            net.hosts.iter().filter_map(|host| host.node.as_ref()).all(|node| node.live_count() == count),
            "all know all"
        );
        net.clear_events();
        net
    }

    pub(crate) fn start(&mut self, number: u128, config: Config) -> usize {
        let address = self.hosts.len();
        self.hosts.push(Host::down());
        self.start_at(address, number, config);
        address
    }

    /// Starts a node at an existing address; its epoch is the present time.
    pub(crate) fn start_at(&mut self, address: usize, number: u128, config: Config) {
        let epoch = Epoch::new(self.now.as_micros() / 1_000, 0);
        let identity = Identity::new(id(number), address, epoch);
        self.start_as(address, identity, config);
    }

    pub(crate) fn start_as(&mut self, address: usize, identity: Identity<Addr>, config: Config) {
        let mut seed = [0; 32];
        for chunk in seed.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_random().to_be_bytes());
        }
        let node = Node::new(identity, config, seed, self.now).expect("a valid configuration");
        // Its operations on locks are numbered anew.
        self.hosts[address].locks_before = self.hosts[address].locks.len();
        self.hosts[address].node = Some(node);
        self.touched.push(address);
    }

    pub(crate) fn join(&mut self, who: usize, through: usize) {
        let now = self.now;
        self.node(who).join(now, through).expect("joining can begin");
        self.settle(who);
    }

    pub(crate) fn kill(&mut self, who: usize) {
        self.hosts[who].node = None;
        self.touched.push(who);
    }

    pub(crate) fn pause(&mut self, who: usize) {
        self.hosts[who].paused = true;
        self.touched.push(who);
    }

    pub(crate) fn resume(&mut self, who: usize) {
        self.hosts[who].paused = false;
        self.touched.push(who);
        for delivery in std::mem::take(&mut self.hosts[who].inbox) {
            self.deliver(delivery);
        }
    }

    pub(crate) fn node(&mut self, who: usize) -> &mut Node<Addr> {
        self.touched.push(who);
        self.hosts[who].node.as_mut().expect("the node runs")
    }

    pub(crate) fn state(&self, who: usize, of: u128) -> Option<MemberState> {
        self.hosts[who].node.as_ref()?.member(id(of)).map(|member| member.state)
    }

    pub(crate) fn stats(&self, who: usize) -> Stats {
        self.hosts[who].node.as_ref().expect("the node runs").stats()
    }

    /// Whether each of these nodes sees each of them alive.
    pub(crate) fn sees_alive(&self, range: std::ops::Range<usize>) -> bool {
        range.clone().all(|who| range.clone().all(|of| self.state(who, of as u128 + 1) == Some(MemberState::Alive)))
    }

    /// Runs until `done` or for `limit`; the time it took, if it was done.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> Option<Duration> {
        let (start, end) = (self.now, self.now + limit);
        while !done(self) {
            if self.now >= end || !self.step(end) {
                return done(self).then(|| self.now.saturating_since(start));
            }
        }
        Some(self.now.saturating_since(start))
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    /// Changes of members that `who` reported, as `(id, state now, cause)`.
    pub(crate) fn changes(&self, who: usize) -> Vec<(NodeId, MemberState, Cause)> {
        let changes = self.hosts[who].events.iter().filter_map(|(_, event)| match event {
            Event::Member(MemberChange { member, cause, .. }) => Some((member.id, member.state, cause.clone())),
            _ => None,
        });
        changes.collect()
    }

    pub(crate) fn clear_events(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.events.clear());
    }

    pub(crate) fn settle_all(&mut self) {
        (0..self.hosts.len()).for_each(|who| self.settle(who));
    }

    /// Lets a node say all that it has to say.
    pub(crate) fn settle(&mut self, who: usize) {
        let now = self.now;
        let mut buffer = BytesMut::new();
        loop {
            let Some(node) = self.hosts[who].node.as_mut() else { return };
            buffer.clear();
            let Some(transmit) = node.poll_transmit(now, &mut buffer) else { break };
            assert_eq!(transmit.size, buffer.len());
            for &to in &transmit.to {
                self.send(who, to, transmit.channel, buffer.to_vec());
            }
        }
        let host = &mut self.hosts[who];
        while let Some(event) = host.node.as_mut().and_then(Node::poll_event) {
            host.events.push((now, event));
        }
        while let Some(news) = host.node.as_mut().and_then(Node::poll_lock) {
            host.locks.push((now, news));
        }
        while let Some(delivery) = host.node.as_mut().filter(|_| host.reads).and_then(Node::poll_delivery) {
            host.deliveries.push((now, delivery));
        }
    }

    pub(crate) fn send(&mut self, from: Addr, to: Addr, channel: Channel, packet: Vec<u8>) {
        let arrives = (self.reaches)(from, to);
        match channel {
            Channel::Datagram => {
                let lost = self.next_random() % 100 < u64::from(self.loss);
                if arrives && (self.datagrams_reach)(from, to) && !lost {
                    if self.duplicates > 0 && self.next_random() % 100 < u64::from(self.duplicates) {
                        let at = self.arrival();
                        self.enqueue(at, Parcel { from, to, kind: Kind::Packet(channel, packet.clone()) });
                    }
                    let at = self.arrival();
                    self.enqueue(at, Parcel { from, to, kind: Kind::Packet(channel, packet) });
                }
            }
            Channel::Stream => {
                let up = arrives && self.is_up(to);
                let kind = if up { Kind::Packet(channel, packet) } else { Kind::Unreachable };
                let (from, to) = if up { (from, to) } else { (to, from) };
                let at = self.arrival();
                let last = self.streams.entry((from, to)).or_insert(at);
                *last = at.max(*last);
                let at = *last;
                self.enqueue(at, Parcel { from, to, kind });
            }
        }
    }

    fn is_up(&self, address: Addr) -> bool {
        self.hosts.get(address).is_some_and(|host| host.node.is_some())
    }

    fn arrival(&mut self) -> Instant {
        let jitter = u64::try_from(self.jitter.as_micros()).expect("short");
        let extra = if jitter == 0 { 0 } else { self.next_random() % jitter };
        self.now + self.latency + Duration::from_micros(extra)
    }

    fn enqueue(&mut self, at: Instant, parcel: Parcel) {
        self.tickets += 1;
        self.queue.insert((at, self.tickets), parcel);
    }

    /// Brings the timers up to date.
    fn rearm(&mut self) {
        for who in std::mem::take(&mut self.touched) {
            self.armed.resize(self.hosts.len().max(self.armed.len()), None);
            if let Some(at) = self.armed[who].take() {
                self.due.remove(&(at, who));
            }
            let host = &self.hosts[who];
            let at = host.node.as_ref().filter(|_| !host.paused).and_then(Node::poll_timeout);
            self.armed[who] = at;
            self.due.extend(at.map(|at| (at, who)));
        }
    }

    /// Does what happens next, if it happens before `end`.
    fn step(&mut self, end: Instant) -> bool {
        self.rearm();
        let packet = self.queue.keys().next().map(|&(at, _)| at);
        let timer = self.due.first().copied();
        let next = packet.into_iter().chain(timer.map(|(at, _)| at)).min();
        let Some(next) = next.filter(|&next| next <= end) else { return false };
        self.now = self.now.max(next);
        if packet.is_some_and(|at| timer.is_none_or(|(timer, _)| at <= timer)) {
            if let Some((_, delivery)) = self.queue.pop_first() {
                self.deliver(delivery);
            }
        } else if let Some((_, who)) = timer {
            let now = self.now;
            self.node(who).handle_timeout(now);
            self.settle(who);
        }
        true
    }

    fn deliver(&mut self, delivery: Parcel) {
        let now = self.now;
        let to = delivery.to;
        let Some(host) = self.hosts.get_mut(to) else { return };
        self.touched.push(to);
        if host.paused {
            host.inbox.push(delivery);
            return;
        }
        let Some(node) = host.node.as_mut() else { return };
        match delivery.kind {
            Kind::Packet(Channel::Datagram, mut packet) => node.handle_datagram(now, delivery.from, &mut packet),
            Kind::Packet(Channel::Stream, mut packet) => node.handle_message(now, delivery.from, &mut packet),
            Kind::Unreachable => node.handle_unreachable(now, &delivery.from),
        }
        self.settle(to);
    }

    pub(crate) fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
