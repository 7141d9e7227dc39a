//! Any interleaving of messages, requests, broadcasts and failures: every request ends exactly once, nothing is delivered
//! twice or invented, and in the end all queues are empty.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use gossip_core::{BroadcastOptions, Config, Delivery, MessageId, MessageType, Phase, Refusal, Reliability, RequestId};
use proptest::prelude::*;
use support::{Net, id, secs};

const HOSTS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Run(u64),
    Send(usize, usize, usize, bool),
    Ask(usize, usize, u64),
    Answer(usize, u8),
    Cancel(usize),
    Broadcast(usize, usize, bool, bool),
    Break(usize, usize),
    Kill(usize),
    Restart(usize),
    Leave(usize),
    Pause(usize),
    Resume(usize),
    Cut(bool),
    Lose(u32),
}

fn operation() -> impl Strategy<Value = Operation> {
    let host = 0..HOSTS;
    let size = prop_oneof![0_usize..2_000, Just(60_000)];
    prop_oneof![
        6 => (1_u64..2_000).prop_map(Operation::Run),
        3 => (host.clone(), host.clone(), size.clone(), any::<bool>())
            .prop_map(|(who, whom, size, reliable)| Operation::Send(who, whom, size, reliable)),
        4 => (host.clone(), host.clone(), 1_u64..10_000).prop_map(|(who, whom, within)| Operation::Ask(who, whom, within)),
        4 => (host.clone(), 0_u8..4).prop_map(|(who, how)| Operation::Answer(who, how)),
        1 => host.clone().prop_map(Operation::Cancel),
        4 => (host.clone(), size, any::<bool>(), any::<bool>())
            .prop_map(|(who, size, reliable, ordered)| Operation::Broadcast(who, size, reliable, ordered)),
        2 => (host.clone(), host.clone()).prop_map(|(who, whom)| Operation::Break(who, whom)),
        1 => host.clone().prop_map(Operation::Kill),
        1 => host.clone().prop_map(Operation::Restart),
        1 => host.clone().prop_map(Operation::Leave),
        1 => host.clone().prop_map(Operation::Pause),
        1 => host.prop_map(Operation::Resume),
        1 => any::<bool>().prop_map(Operation::Cut),
        1 => (0_u32..40).prop_map(Operation::Lose),
    ]
}

fn config() -> Config {
    let mut config = Config::lan("test");
    // Room for one large message and little else: a byte that is never given back is noticed.
    config.max_message = 64 << 10;
    config.chunk = 8 << 10;
    config.max_metadata = 1 << 10;
    config.max_peer_bytes = 64 << 10;
    config.max_queued_bytes = 64 << 10;
    config.max_delivery_bytes = 256 << 10;
    config
}

/// What the application of each host knows of the life that its node is in.
#[derive(Default)]
struct Life {
    asked: BTreeSet<RequestId>,
    confirming: BTreeSet<RequestId>,
    read: usize,
    tokens: Vec<gossip_core::ReplyToken>,
    heard: BTreeSet<MessageId>,
}

struct World {
    net: Net,
    lives: Vec<Life>,
    broadcast: BTreeMap<MessageId, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut net = Net::new(seed);
        net.jitter = Duration::from_millis(5);
        for number in 1..=HOSTS as u128 {
            net.start(number, config());
        }
        for who in 1..HOSTS {
            net.join(who, 0);
        }
        net.run(secs(2));
        Self { net, lives: (0..HOSTS).map(|_| Life::default()).collect(), broadcast: BTreeMap::new() }
    }

    /// Checks what was delivered since the last time.
    fn read(&mut self) {
        for (who, life) in self.lives.iter_mut().enumerate() {
            for (_, delivery) in &self.net.hosts[who].deliveries[life.read..] {
                match delivery {
                    Delivery::Request { token, .. } => life.tokens.push(*token),
                    Delivery::Answer { request, .. } => {
                        assert!(life.asked.remove(request), "it ends once: {delivery:?}");
                    }
                    Delivery::Delivered { message, .. } | Delivery::Undelivered { message, .. } => {
                        assert!(life.confirming.remove(message), "it is reported once: {delivery:?}");
                    }
                    Delivery::Broadcast { id, .. } => {
                        assert!(life.heard.insert(*id), "it is delivered once: {delivery:?}");
                        assert_ne!(
                            self.broadcast.get(id).copied().expect("somebody sent it"),
                            who,
                            "not to its origin"
                        );
                    }
                    _ => {}
                }
            }
            life.read = self.net.hosts[who].deliveries.len();
        }
    }

    fn perform(&mut self, operation: Operation) {
        self.read();
        let now = self.net.now;
        let net = &mut self.net;
        let kind = MessageType::user(200).expect("a user type");
        let runs = |net: &Net, who: usize| net.hosts[who].node.is_some() && !net.hosts[who].paused;
        match operation {
            Operation::Run(millis) => net.run(Duration::from_millis(millis)),
            Operation::Send(who, whom, size, reliable) if runs(net, who) => {
                let reliability = if reliable { Reliability::Reliable } else { Reliability::BestEffort };
                let payload = Bytes::from(vec![1; size]);
                if let Ok(Some(message)) = net.node(who).send(now, id(whom as u128 + 1), kind, payload, reliability) {
                    self.lives[who].confirming.insert(message);
                }
                net.settle(who);
            }
            Operation::Ask(who, whom, within) if runs(net, who) => {
                let deadline = now + Duration::from_millis(within);
                let asked = net.node(who).request(now, id(whom as u128 + 1), kind, Bytes::from_static(b"?"), deadline);
                self.lives[who].asked.extend(asked);
                net.settle(who);
            }
            Operation::Answer(who, how) if runs(net, who) => {
                let Some(token) = self.lives[who].tokens.pop() else { return };
                let node = net.node(who);
                match how {
                    0 => node.reply(now, token, Bytes::from_static(b"!")).unwrap_or_default(),
                    1 => node.refuse(now, token, Refusal::NoHandler).unwrap_or_default(),
                    2 => node.refuse(now, token, Refusal::Rejected("no")).unwrap_or_default(),
                    _ => node.reply(now, token, Bytes::from(vec![1; 50_000])).unwrap_or_default(),
                }
                net.settle(who);
            }
            Operation::Cancel(who) if runs(net, who) => {
                let Some(request) = self.lives[who].asked.pop_first() else { return };
                assert!(net.node(who).cancel(now, request), "it had not ended");
            }
            Operation::Broadcast(who, size, reliable, ordered) if runs(net, who) => {
                let options = BroadcastOptions { reliable, ordered, ..BroadcastOptions::new() };
                if let Ok(message) = net.node(who).broadcast(now, kind, Bytes::from(vec![2; size]), options) {
                    assert!(self.broadcast.insert(message, who).is_none(), "each has its own id");
                }
                net.settle(who);
            }
            Operation::Break(who, whom) if runs(net, who) => {
                net.node(who).handle_unreachable(now, &whom);
                net.settle(who);
            }
            Operation::Kill(who) => net.kill(who),
            Operation::Restart(who) => self.restart(who),
            Operation::Leave(who) if runs(net, who) => {
                net.node(who).leave(now).unwrap_or_default();
                net.settle(who);
            }
            Operation::Pause(who) => net.pause(who),
            Operation::Resume(who) => net.resume(who),
            Operation::Cut(true) => net.reaches = |from, to| (from < 2) == (to < 2),
            Operation::Cut(false) => net.reaches = |_, _| true,
            Operation::Lose(percent) => net.loss = percent,
            _ => {}
        }
    }

    fn restart(&mut self, who: usize) {
        // Two starts need two epochs.
        self.net.run(Duration::from_millis(2));
        self.read();
        self.net.hosts[who].paused = false;
        self.net.start_at(who, who as u128 + 1, config());
        self.lives[who] = Life { read: self.net.hosts[who].deliveries.len(), ..Life::default() };
        self.net.join(who, (who + 1) % HOSTS);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_request_ends_once_and_nothing_comes_twice(
        operations in proptest::collection::vec(operation(), 1..80),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(seed);
        for operation in operations {
            world.perform(operation);
        }
        world.net.reaches = |_, _| true;
        world.net.loss = 0;
        (0..HOSTS).for_each(|who| world.net.resume(who));
        for who in 0..HOSTS {
            if world.net.hosts[who].node.as_ref().is_none_or(|node| node.phase() != Phase::Active) {
                world.read();
                if let Some(node) = &world.net.hosts[who].node
                    && node.phase() == Phase::Left
                {
                    prop_assert!(world.lives[who].asked.is_empty(), "leaving ends all");
                }
                world.restart(who);
            }
            let now = world.net.now;
            world.net.node(who).set_seeds(now, (0..HOSTS).collect());
            world.net.settle(who);
        }
        prop_assert!(world.net.run_until(secs(120), |net| net.sees_alive(0..HOSTS)).is_some());
        world.net.run(secs(20));
        world.read();
        for (who, life) in world.lives.iter().enumerate() {
            prop_assert!(life.asked.is_empty(), "node {} still waits for {:?}", who, life.asked);
            prop_assert!(life.confirming.is_empty(), "node {} was not told of {:?}", who, life.confirming);
        }
        // There is room for the largest message for everybody, so nothing is left on any account.
        let (now, kind) = (world.net.now, MessageType::user(200).expect("a user type"));
        for who in 0..HOSTS {
            let whom = (who + 1) % HOSTS;
            let largest = Bytes::from(vec![3; config().max_payload()]);
            let sent = world.net.node(who).send(now, id(whom as u128 + 1), kind, largest, Reliability::Reliable);
            prop_assert!(sent.is_ok(), "node {}: {:?}", who, sent);
            world.lives[who].confirming.extend(sent.ok().flatten());
        }
        // What is sent in peace arrives everywhere.
        world.net.settle_all();
        let message = world.net.node(0).broadcast(now, kind, Bytes::new(), BroadcastOptions::new().ordered());
        let message = message.expect("accepted");
        world.broadcast.insert(message, 0);
        world.net.settle(0);
        world.net.run(secs(10));
        world.read();
        for who in 1..HOSTS {
            prop_assert!(world.lives[who].heard.contains(&message), "node {}", who);
        }
    }
}
