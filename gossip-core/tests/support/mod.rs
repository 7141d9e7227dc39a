//! A small network in virtual time, to watch a handful of nodes behave.
#![allow(dead_code, reason = "each test uses its own part of it")]

pub(crate) mod forge;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use gossip_core::{
    Cause, Channel, Config, Epoch, Event, Identity, Instant, MemberChange, MemberState, Node, NodeId, Stats,
};

pub(crate) type Addr = usize;

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    pub(crate) latency: Duration,
    /// Datagrams lost, in percent.
    pub(crate) loss: u32,
    /// Whether packets from one host reach another.
    pub(crate) reaches: fn(Addr, Addr) -> bool,
    pub(crate) datagrams_reach: fn(Addr, Addr) -> bool,
    queue: BTreeMap<(Instant, u64), Delivery>,
    tickets: u64,
    random: u64,
}

pub(crate) struct Host {
    pub(crate) node: Option<Node<Addr>>,
    pub(crate) events: Vec<(Instant, Event<Addr>)>,
    pub(crate) paused: bool,
    inbox: Vec<Delivery>,
}

struct Delivery {
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
        Self { node: None, events: Vec::new(), paused: false, inbox: Vec::new() }
    }
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            hosts: Vec::new(),
            latency: Duration::from_micros(300),
            loss: 0,
            reaches: |_, _| true,
            datagrams_reach: |_, _| true,
            queue: BTreeMap::new(),
            tickets: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
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
        self.hosts[address].node = Some(node);
    }

    pub(crate) fn join(&mut self, who: usize, through: usize) {
        let now = self.now;
        self.node(who).join(now, through).expect("joining can begin");
        self.settle(who);
    }

    pub(crate) fn kill(&mut self, who: usize) {
        self.hosts[who].node = None;
    }

    pub(crate) fn pause(&mut self, who: usize) {
        self.hosts[who].paused = true;
    }

    pub(crate) fn resume(&mut self, who: usize) {
        self.hosts[who].paused = false;
        for delivery in std::mem::take(&mut self.hosts[who].inbox) {
            self.deliver(delivery);
        }
    }

    pub(crate) fn node(&mut self, who: usize) -> &mut Node<Addr> {
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
    }

    pub(crate) fn send(&mut self, from: Addr, to: Addr, channel: Channel, packet: Vec<u8>) {
        let arrives = (self.reaches)(from, to);
        match channel {
            Channel::Datagram => {
                let lost = self.next_random() % 100 < u64::from(self.loss);
                if arrives && (self.datagrams_reach)(from, to) && !lost {
                    self.enqueue(Delivery { from, to, kind: Kind::Packet(channel, packet) });
                }
            }
            Channel::Stream if arrives && self.is_up(to) => {
                self.enqueue(Delivery { from, to, kind: Kind::Packet(channel, packet) });
            }
            Channel::Stream => self.enqueue(Delivery { from: to, to: from, kind: Kind::Unreachable }),
        }
    }

    fn is_up(&self, address: Addr) -> bool {
        self.hosts.get(address).is_some_and(|host| host.node.is_some())
    }

    fn enqueue(&mut self, delivery: Delivery) {
        self.tickets += 1;
        self.queue.insert((self.now + self.latency, self.tickets), delivery);
    }

    /// Does what happens next, if it happens before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let packet = self.queue.keys().next().map(|&(at, _)| at);
        let timer = self.hosts.iter().enumerate().filter(|(_, host)| !host.paused).filter_map(|(who, host)| {
            let at = host.node.as_ref()?.poll_timeout()?;
            Some((at, who))
        });
        let timer = timer.min();
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

    fn deliver(&mut self, delivery: Delivery) {
        let now = self.now;
        let to = delivery.to;
        let Some(host) = self.hosts.get_mut(to) else { return };
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
