//! Two nodes with a key, and an outsider between them who sees every packet: nothing that he makes of them has an
//! effect, and what he lets through arrives as it was sent, once.

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use gossip_core::{Channel, Delivery, Key, KeyRing, MessageType, Reliability, Stats};

use crate::host::{Host, Sent, node_id, small};
use crate::pair::{Pair, address};
use crate::wire::{Id, Place, route};

/// Header and tag: a packet that says nothing, and so the longest answer to somebody without the key.
const SHORTEST: usize = 56;

/// Most steps of an input.
const STEPS: usize = 24;

#[derive(Arbitrary, Debug)]
enum Step {
    /// One of the two says something, which the outsider holds back until he has tried these.
    Say { by: bool, size: u16, attempts: Vec<Attempt> },
    /// He tries something with a packet that arrived before.
    Again { nth: u8, attempt: Attempt },
    /// He makes one up.
    Invent { to: bool, from: Place, stream: bool, flags: u8, bytes: Vec<u8> },
}

#[derive(Arbitrary, Debug)]
enum Attempt {
    Flip {
        at: u16,
        by: u8,
    },
    Cut {
        length: u16,
    },
    Extend {
        by: Vec<u8>,
    },
    Splice {
        with: u8,
        at: u16,
    },
    OtherChannel,
    Misdeliver,
    /// As it was.
    Repeat,
}

struct Between {
    pair: Pair,
    said: u8,
}

/// What of a node an outsider must not change.
fn state(host: &Host) -> impl PartialEq + std::fmt::Debug + use<> {
    let node = &host.node;
    let Stats { datagrams_sent, stream_messages_sent, refutations, plaintext_received, exchanges, .. } = node.stats();
    let table = (node.fingerprint(), node.table_version(), node.live_count(), node.row_count());
    let backlog = node.backlog();
    let waits = (backlog.transmits, backlog.events, backlog.deliveries, node.poll_timeout());
    let sent = (datagrams_sent, stream_messages_sent, refutations, plaintext_received, exchanges);
    (table, waits, sent, node.incarnation(), node.phase(), node.health_score())
}

/// Lets the attempts of the input happen.
pub fn sealed_attacks(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let mut between = Between::new();
    for _ in 0..STEPS {
        if u.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut u) else { break };
        between.perform(step);
        between.pair.hosts.iter_mut().for_each(Host::check);
    }
}

impl Between {
    fn new() -> Self {
        let config = || {
            let mut config = small();
            config.keys = Some(KeyRing::new(Key::new(&[1; 32])));
            config
        };
        let mut pair = Pair { hosts: [Host::start(1, config()), Host::start(2, config())], seen: Vec::new() };
        pair.join();
        Self { pair, said: 0 }
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Say { by, size, attempts } => self.say(usize::from(by), size, &attempts),
            Step::Again { nth, attempt } => {
                let (to, packet) = self.pair.seen[usize::from(nth) % self.pair.seen.len()].clone();
                self.attempt(to, &packet, &attempt, false);
            }
            Step::Invent { to, from, stream, flags, mut bytes } => {
                let key = Key::new(&[1; 32]).id().as_u16().to_be_bytes();
                if bytes.len() >= 8 && flags & 0x80 == 0 {
                    bytes[..2].copy_from_slice(&[1, flags & 0x1f]);
                    bytes[2..6].copy_from_slice(&route());
                    bytes[6..8].copy_from_slice(&key);
                }
                let channel = if stream { Channel::Stream } else { Channel::Datagram };
                self.without_effect(usize::from(to), from, channel, &bytes, 0);
            }
        }
    }

    fn say(&mut self, by: usize, size: u16, attempts: &[Attempt]) {
        self.said = self.said.wrapping_add(1);
        let payload = Bytes::from(vec![self.said; usize::from(size % 3_000)]);
        let (kind, to) = (MessageType::user(300).expect("it is free"), node_id(Id(2 - by as u128)));
        let said = payload.clone();
        self.pair.hosts[by]
            .act(|node, now| node.send(now, to, kind, said, Reliability::BestEffort))
            .expect("there is room");
        let packets = self.pair.hosts[by].drain();
        for packet in &packets {
            for attempt in attempts.iter().take(8) {
                self.attempt(1 - by, packet, attempt, true);
            }
        }
        for packet in packets {
            self.pair.arrive(1 - by, packet);
        }
        self.pair.hosts[1 - by].drain();
        let expected = Delivery::Message { from: node_id(Id(by as u128 + 1)), kind, payload };
        assert_eq!(self.pair.hosts[1 - by].deliveries, [expected], "what was said is what is heard, once");
    }

    /// Tries something with a packet that arrived, or with one that is still to arrive.
    fn attempt(&mut self, to: usize, packet: &Sent, attempt: &Attempt, is_new: bool) {
        let mut bytes = packet.bytes.clone();
        let (mut channel, mut receiver) = (packet.channel, to);
        match attempt {
            Attempt::Flip { at, by } => {
                let place = usize::from(*at) % bytes.len();
                bytes[place] ^= by;
            }
            Attempt::Cut { length } => bytes.truncate(usize::from(*length)),
            Attempt::Extend { by } => bytes.extend(by),
            Attempt::Splice { with, at } => {
                let (_, other) = &self.pair.seen[usize::from(*with) % self.pair.seen.len()];
                let at = usize::from(*at) % bytes.len();
                bytes.truncate(at);
                bytes.extend(other.bytes.iter().skip(at));
            }
            Attempt::OtherChannel if channel == Channel::Datagram => channel = Channel::Stream,
            Attempt::OtherChannel => channel = Channel::Datagram,
            Attempt::Misdeliver => receiver = 1 - to,
            Attempt::Repeat => {}
        }
        let is_whole = self.pair.seen.iter().any(|(_, seen)| seen.bytes == bytes) || bytes == packet.bytes;
        if is_new && bytes == packet.bytes && receiver == to && channel == packet.channel {
            return;
        }
        // A request to join is for whom it may concern: whoever gets it says who he is, in the shortest packet
        // there is.
        let is_unbound = bytes.get(1).is_some_and(|flags| flags & 2 == 0);
        let most = if is_whole && is_unbound && channel == Channel::Stream { SHORTEST } else { 0 };
        self.without_effect(receiver, Place(address(1 - receiver)), channel, &bytes, most);
    }

    fn without_effect(&mut self, to: usize, from: Place, channel: Channel, bytes: &[u8], most: usize) {
        let host = &mut self.pair.hosts[to];
        let before = state(host);
        let dropped = host.node.stats().dropped_total();
        let mut packet = bytes.to_vec();
        host.act(|node, now| match channel {
            Channel::Datagram => node.handle_datagram(now, from.0, &mut packet),
            Channel::Stream => node.handle_message(now, from.0, &mut packet),
        });
        assert_eq!(host.node.stats().dropped_total(), dropped + 1, "it is counted");
        if most == 0 {
            assert_eq!(state(host), before, "{channel:?} {bytes:?}");
        }
        let answered: usize = host.drain().iter().map(|sent| sent.bytes.len()).sum();
        assert!(answered <= most, "{answered} bytes for {}", bytes.len());
        assert!(host.deliveries.is_empty() && host.events.is_empty(), "nobody is told");
    }
}
