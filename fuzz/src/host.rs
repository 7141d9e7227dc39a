//! A node under test: it is told things, drained, and checked after each of them.

use std::collections::VecDeque;
use std::time::Duration;

use allocation_counter::measure;
use bytes::BytesMut;
use gossip_core::{
    Channel, Config, Delivery, Epoch, Event, Identity, Incarnation, Instant, MemberState, Node, NodeId, Phase,
    ReplyToken, RequestId, Transmit,
};
use gossip_driver::NodeAddress;

use crate::wire::{self, CLUSTER, Id, Message, Packet, Place};

/// Most memory that one packet may take, besides four times its length.
const PACKET_MEMORY: u64 = 64 << 10;

/// Most memory that a node with [`small`] limits may take, whatever it is told.
const NODE_MEMORY: i64 = 2 << 20;

/// Packets that a node with [`small`] limits may send in a row: those that wait, each in chunks.
const MOST_PACKETS: usize = 2_000;

/// When the nodes start.
const START: Instant = Instant::from_micros(1_000_000_000);

/// Packets of the node that are remembered to be answered.
const REMEMBERED: usize = 16;

/// Limits that a short input can reach.
pub(crate) fn small() -> Config {
    let mut config = Config::local(CLUSTER);
    config.max_members = 12;
    config.max_events = 16;
    config.max_transmits = 16;
    config.max_deliveries = 8;
    config.max_requests = 8;
    config.max_message = 64 << 10;
    config.chunk = 1 << 10;
    config.max_metadata = 1 << 10;
    config.max_delivery_bytes = 64 << 10;
    config.max_peer_bytes = 64 << 10;
    config.max_queued_bytes = 96 << 10;
    config.max_origins = 16;
    config.repair_bytes = 64 << 10;
    config.max_held = 4;
    config
}

pub(crate) fn node_id(id: Id) -> NodeId {
    NodeId::from_u128(id.0)
}

/// A packet that the node sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) to: NodeAddress,
    pub(crate) channel: Channel,
    pub(crate) bytes: Vec<u8>,
}

/// The node, and what its application and network remember.
pub(crate) struct Host {
    /// On the heap, where thousands of bytes belong.
    pub(crate) node: Box<Node<NodeAddress>>,
    pub(crate) now: Instant,
    /// The application and the sockets take nothing for the time being.
    pub(crate) is_stuck: bool,
    /// The newest packets that the node sent.
    pub(crate) sent: VecDeque<Sent>,
    pub(crate) events: Vec<Event<NodeAddress>>,
    /// What the application was told when it listened last, and since it was asked.
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) heard: Vec<Delivery>,
    pub(crate) tokens: Vec<ReplyToken>,
    pub(crate) asked: Vec<RequestId>,
    incarnation: Incarnation,
    /// The last one before it began to leave.
    phase: Phase,
    buffer: BytesMut,
}

impl Host {
    /// The node with this number, as its id and address.
    pub(crate) fn start(number: u8, config: Config) -> Self {
        let identity =
            Identity::new(node_id(Id(number.into())), Place::of(number).0, Epoch::from_u64(wire::Epoch::FIRST + 1));
        let identity = identity.with_tags(["blue"]);
        Self::around(Node::new(identity, config, [number; 32], START).expect("valid settings"))
    }

    /// This node, which is new.
    pub(crate) fn around(node: Node<NodeAddress>) -> Self {
        let incarnation = node.incarnation();
        Self {
            node: Box::new(node),
            now: START,
            is_stuck: false,
            sent: VecDeque::new(),
            events: Vec::new(),
            deliveries: Vec::new(),
            heard: Vec::new(),
            tokens: Vec::new(),
            asked: Vec::new(),
            incarnation,
            phase: Phase::Active,
            buffer: BytesMut::with_capacity(128 << 10),
        }
    }

    /// Hands a packet in and checks what it costs.
    pub(crate) fn receive(&mut self, from: &NodeAddress, channel: Channel, packet: &[u8]) {
        let was_validated = self.is_validated(from);
        let mut bytes = packet.to_vec();
        let (node, now, sender) = (&mut self.node, self.now, from.clone());
        let cost = measure(|| match channel {
            Channel::Datagram => node.handle_datagram(now, sender, &mut bytes),
            Channel::Stream => node.handle_message(now, sender, &mut bytes),
        });
        let most = PACKET_MEMORY + 4 * packet.len() as u64;
        let said = || Packet::from_bytes(packet);
        assert!(cost.bytes_max <= most, "{} bytes take {} of memory: {:?}", packet.len(), cost.bytes_max, said());
        if self.is_stuck {
            return;
        }
        let answers: Vec<Sent> = self.drain().into_iter().filter(|sent| sent.to == *from).collect();
        let answered: usize = answers.iter().map(|sent| sent.bytes.len()).sum();
        if channel == Channel::Datagram && !was_validated && !self.is_validated(from) {
            let said = answers.iter().filter_map(|sent| Packet::from_bytes(&sent.bytes));
            // Without keys a stranger is told news, as much as fits the answer; with keys nothing that he does not
            // bring.
            let config = self.node.config();
            let most = if config.keys.is_some() { packet.len() } else { packet.len().max(config.max_datagram) };
            assert!(answered <= most, "{} bytes draw {answered}: {:?}", packet.len(), said.collect::<Vec<_>>());
        }
    }

    /// Whether a live member says that it is at this address.
    fn is_validated(&self, address: &NodeAddress) -> bool {
        self.node.members().any(|member| member.address == *address)
    }

    /// Does something else with the node.
    pub(crate) fn act<T>(&mut self, act: impl FnOnce(&mut Node<NodeAddress>, Instant) -> T) -> T {
        act(&mut self.node, self.now)
    }

    /// Ends the node; it gives back all its memory, which was within the limits.
    pub(crate) fn end(self) {
        let node = *self.node;
        let freed = -measure(|| drop(node)).bytes_current;
        assert!(freed <= NODE_MEMORY, "{freed} bytes of memory");
    }

    /// Lets time pass, and the node do what is due at the end of it.
    pub(crate) fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
        self.act(Node::handle_timeout);
        let next = self.node.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "what was due at {:?} is not done at {next:?}", self.now);
    }

    /// Lets time pass up to the next thing that the node has to do.
    pub(crate) fn wait_until_due(&mut self) {
        if let Some(due) = self.node.poll_timeout() {
            self.wait(due.saturating_since(self.now));
        }
    }

    /// Takes all that the node has to say, unless nobody listens; the packets.
    pub(crate) fn drain(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        if self.is_stuck {
            return sent;
        }
        loop {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            let transmit = self.act(|node, now| node.poll_transmit(now, &mut buffer));
            if let Some(transmit) = &transmit {
                self.check_packet(transmit, &buffer);
                let copy =
                    |to: &NodeAddress| Sent { to: to.clone(), channel: transmit.channel, bytes: buffer.to_vec() };
                sent.extend(transmit.to.iter().map(copy));
            }
            self.buffer = buffer;
            if transmit.is_none() {
                break;
            }
            assert!(sent.len() <= MOST_PACKETS, "it does not end");
        }
        self.sent.extend(sent.iter().cloned());
        while self.sent.len() > REMEMBERED {
            self.sent.pop_front();
        }
        self.listen();
        sent
    }

    /// Takes all that the node has to tell its application.
    fn listen(&mut self) {
        self.events.clear();
        while let Some(event) = self.act(|node, _| node.poll_event()) {
            self.events.push(event);
        }
        self.deliveries.clear();
        while let Some(delivery) = self.act(|node, _| node.poll_delivery()) {
            match &delivery {
                Delivery::Request { token, .. } => self.tokens.push(*token),
                Delivery::Answer { request: id, .. }
                | Delivery::Delivered { message: id, .. }
                | Delivery::Undelivered { message: id, .. } => {
                    let place = self.asked.iter().position(|asked| asked == id);
                    self.asked.swap_remove(place.expect("what was asked for ends, and once"));
                }
                _ => {}
            }
            self.heard.push(delivery.clone());
            self.deliveries.push(delivery);
        }
    }

    fn check_packet(&self, transmit: &Transmit<NodeAddress>, bytes: &[u8]) {
        let config = self.node.config();
        assert_eq!(transmit.size, bytes.len());
        assert!(!transmit.to.is_empty());
        let most = if transmit.channel == Channel::Datagram { config.max_datagram } else { config.max_message };
        assert!(bytes.len() <= most, "{} bytes by {:?}", bytes.len(), transmit.channel);
        if bytes[1] == 0 {
            let read = Packet::from_bytes(bytes).expect("the node writes what the document says");
            assert_eq!(read.to_bytes(), bytes, "in the one way there is");
        } else {
            assert!(config.keys.is_some(), "only who has keys seals");
        }
    }

    /// What must hold at any time.
    pub(crate) fn check(&mut self) {
        let (node, config) = (&self.node, self.node.config());
        let backlog = node.backlog();
        assert!(backlog.transmits <= config.max_transmits, "{backlog:?}");
        assert!(backlog.events <= config.max_events, "{backlog:?}");
        // The ends of own requests always find room, and the word that something was missed.
        assert!(backlog.deliveries <= config.max_deliveries + config.max_requests + 1, "{backlog:?}");
        assert!(node.row_count() <= config.max_members);
        let others = node.members().filter(|member| member.state.is_live() && member.id != node.id()).count();
        assert_eq!(others + 1, node.live_count(), "who counts as live: {:?}", node.members().collect::<Vec<_>>());
        for member in node.members() {
            assert!(member.metadata.size() <= config.max_metadata);
            assert!(member.tags.len() <= 64 && member.tags.iter().all(|tag| (1..=64).contains(&tag.len())));
            assert_ne!(member.state, MemberState::Removed, "what is forgotten is not shown");
        }
        let myself = node.member(node.id()).expect("a node knows itself");
        // A node that lost its id to a rival goes without a word.
        let is_going = matches!(node.phase(), Phase::Leaving | Phase::Left) && self.phase != Phase::Contested;
        let expected = if is_going { MemberState::Leaving } else { MemberState::Alive };
        assert_eq!(myself.state, expected, "nobody but itself ends it");
        if self.phase == Phase::Active || node.phase() == Phase::Active {
            self.phase = node.phase();
        }
        assert!(node.incarnation() >= self.incarnation, "incarnations grow");
        self.incarnation = node.incarnation();
    }

    /// What an honest node would say to one of the newest packets that the node under test sent.
    pub(crate) fn answer(&self, nth: u8) -> Option<(NodeAddress, Channel, Vec<Message>)> {
        let sent = self.sent.get(usize::from(nth) % REMEMBERED)?;
        let packet = Packet::from_bytes(&sent.bytes)?;
        let answers: Vec<Message> = packet.messages.iter().filter_map(Message::answer).collect();
        (!answers.is_empty()).then_some((sent.to.clone(), sent.channel, answers))
    }
}
