//! A whole node of the driver, its sockets in memory: connections that bring anything, framed and not, datagrams
//! with any payload, and time. Frames are put together, payloads expanded and decoded; nothing grows, hangs or runs
//! in circles.

use std::task::{Context, Waker};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use gossip_driver::{
    Cluster, Config, Datagrams as _, Message as Received, MessageType, PhaseError, Raw, Reliability, Runtime as _,
    SendError,
};

use crate::memory::{Memory, Socket, Stream};
use crate::wire::{CLUSTER, Epoch, Id, Message, Packet, Place, Rest};

/// Most steps of an input.
const STEPS: usize = 24;

/// Longest message on a stream.
const LONGEST: usize = 64 << 10;

/// Turns of tasks that one step may take, however long it lasts.
const TURNS: u64 = 20_000;

/// Long enough for whatever ends by itself.
const LONG: Duration = Duration::from_mins(5);

#[derive(Arbitrary, Debug)]
enum Step {
    Connect,
    /// Bytes on a connection as they are.
    Bytes {
        nth: u8,
        bytes: Vec<u8>,
    },
    /// A frame around a packet, perhaps cut, perhaps of another length than it says.
    Frame {
        nth: u8,
        packet: Packet,
        cut: Option<u16>,
        off: i8,
    },
    Close {
        nth: u8,
    },
    Reset {
        nth: u8,
    },
    Datagram {
        packet: Packet,
    },
    /// A message of an application with any payload.
    Payload {
        bytes: Vec<u8>,
    },
    /// What this node sends to itself arrives as it was.
    Own {
        bytes: Vec<u8>,
        repeat: u8,
    },
    Wait {
        ms: u16,
    },
}

struct Around {
    memory: Memory,
    cluster: Cluster<Memory>,
    peer: Socket,
    streams: Vec<Stream>,
}

fn config() -> Config {
    let mut config = Config::local(CLUSTER).bind(Place::socket_of(1).to_string()).id(crate::host::node_id(Id(1)));
    config.protocol = crate::host::small();
    config.max_connections = 8;
    config.max_unproven = 4;
    config.compress_from = Some(16);
    config
}

fn kind() -> MessageType {
    MessageType::user(500).expect("it is free")
}

/// Lets the steps of the input happen to the node.
pub fn driver_input(data: &[u8]) {
    let mut around = Around::new();
    let mut u = Unstructured::new(data);
    for _ in 0..STEPS {
        if u.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut u) else { break };
        let before = around.memory.polls();
        around.perform(step);
        around.memory.run_for(Duration::ZERO);
        let turns = around.memory.polls() - before;
        assert!(turns <= TURNS, "{turns} turns of tasks");
        let stats = around.cluster.stats().driver;
        assert!(stats.links <= 8 + 4 && stats.links_unproven <= 4, "{stats:?}");
    }
    around.stop();
}

impl Around {
    fn new() -> Self {
        let memory = Memory::new();
        let cluster = memory.block_on(LONG, Cluster::start(config())).expect("valid settings");
        let peer = memory
            .bind_datagrams(Place::socket_of(2), gossip_driver::SocketBuffers { receive: 0, send: 0 })
            .expect("the address is free");
        let handler = |message: Received| {
            read(&message);
            std::future::ready(())
        };
        cluster.handle_messages(kind(), handler).expect("nobody else handles it");
        Self { memory, cluster, peer, streams: Vec::new() }
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Connect => {
                let connected = self.memory.block_on(LONG, self.memory.connect(Place::socket_of(1)));
                self.streams.push(connected.expect("the node listens"));
            }
            Step::Bytes { nth, bytes } => self.put(nth, &bytes),
            Step::Frame { nth, packet, cut, off } => {
                let packet = packet.to_bytes();
                let length = u32::try_from(packet.len()).expect("inputs are short").saturating_add_signed(off.into());
                let mut frame = length.to_be_bytes().to_vec();
                frame.extend(packet);
                frame.truncate(cut.map_or(frame.len(), usize::from));
                self.put(nth, &frame);
            }
            Step::Close { nth } => self.with_stream(nth, Stream::close),
            Step::Reset { nth } => self.with_stream(nth, |stream| stream.reset()),
            Step::Datagram { packet } => self.send(&packet),
            Step::Payload { bytes } => {
                let target = Message::direct(Id(1), kind().as_u16(), Rest(bytes));
                self.send(&Packet::of(Id(2), Epoch::FIRST, vec![target]));
            }
            Step::Own { bytes, repeat } => self.send_to_itself(&bytes.repeat(usize::from(repeat).max(1))),
            Step::Wait { ms } => self.memory.run_for(Duration::from_millis(ms.into())),
        }
    }

    fn with_stream(&mut self, nth: u8, act: impl FnOnce(&mut Stream)) {
        let count = self.streams.len();
        if let Some(stream) = self.streams.get_mut(usize::from(nth) % count.max(1)) {
            act(stream);
        }
    }

    fn put(&mut self, nth: u8, bytes: &[u8]) {
        self.with_stream(nth, |stream| {
            stream.put(bytes);
        });
    }

    fn send(&mut self, packet: &Packet) {
        let mut cx = Context::from_waker(Waker::noop());
        let sent = self.peer.poll_send(&mut cx, &packet.to_bytes(), Place::socket_of(1));
        assert!(sent.is_ready());
    }

    fn send_to_itself(&self, content: &[u8]) {
        let mut all = self.cluster.messages();
        let sent = self
            .memory
            .block_on(LONG, self.cluster.send(self.cluster.id(), kind(), Raw(content), Reliability::BestEffort));
        match sent {
            Ok(()) => {
                let heard = self.memory.block_on(LONG, async {
                    loop {
                        match all.next().await {
                            Some(gossip_driver::Received::Message(message)) if message.from == self.cluster.id() => {
                                return message;
                            }
                            Some(_) => {}
                            None => panic!("the node runs"),
                        }
                    }
                });
                assert_eq!(heard.payload.bytes().as_deref(), Ok(content));
            }
            // Without a key anybody can claim the node's id with a later start.
            Err(SendError::Refused(gossip_core::SendError::Phase(PhaseError::Contested))) => {}
            Err(error) => assert!(content.len() + 600 > LONGEST, "{error}"),
        }
    }

    /// The node can still be stopped, and nothing of it is left.
    fn stop(self) {
        let Self { memory, cluster, peer, streams } = self;
        let members = cluster.members();
        assert!(members.all().len() <= crate::host::small().max_members);
        let before = memory.polls();
        memory.run_for(Duration::from_secs(10));
        assert!(memory.polls() - before <= TURNS, "it is quiet when nobody says anything");
        memory.block_on(LONG, cluster.shutdown());
        assert!(cluster.is_stopped());
        drop((streams, peer, cluster));
        memory.run_for(LONG);
        assert_eq!(memory.tasks(), 0, "no task goes on");
    }
}

/// Reads a payload in every way that there is.
fn read(message: &Received) {
    let payload = &message.payload;
    if let Ok(content) = payload.bytes() {
        assert!(content.len() <= LONGEST, "{} bytes", content.len());
        assert!(content.len() <= payload.wire_len() * 22, "{} of {}", content.len(), payload.wire_len());
    }
    let _text: Result<String, _> = payload.decode();
    let _map: Result<Vec<(u32, Option<String>)>, _> = payload.decode();
    let _nested: Result<Vec<Vec<Vec<u8>>>, _> = payload.decode();
}
