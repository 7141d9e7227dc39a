//! A node without keys among liars: packets of any content with the right checksum, commands, and time.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use gossip_core::Channel;

use crate::command::Command;
use crate::host::{Host, small};
use crate::wire::{Epoch, Id, Packet, Place, correct, envelop};

/// Most steps of an input.
const STEPS: usize = 64;

#[derive(Arbitrary, Debug)]
enum Step {
    Packet {
        from: Place,
        stream: bool,
        packet: Packet,
    },
    Body {
        from: Place,
        sender: Id,
        stream: bool,
        body: Vec<u8>,
    },
    Bytes {
        from: Place,
        stream: bool,
        bytes: Vec<u8>,
    },
    /// What an honest node would answer to one of the node's own packets.
    Answer {
        nth: u8,
        sender: Id,
        epoch: Epoch,
    },
    Unreachable(Place),
    Command(Command),
    Wait {
        ms: u16,
    },
    Due,
    Back,
    /// Application and sockets take nothing until this comes again.
    Stick,
}

fn channel(stream: bool) -> Channel {
    if stream { Channel::Stream } else { Channel::Datagram }
}

/// Lets the steps of the input happen to a node.
pub fn hostile_node(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let mut host = Host::start(1, small());
    for _ in 0..STEPS {
        if u.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut u) else { break };
        perform(&mut host, step);
        host.drain();
        host.check();
    }
    if data.len().is_multiple_of(2) {
        host.end();
        return;
    }
    // What was asked for ends, and so does all that waits.
    host.is_stuck = false;
    host.drain();
    for _ in 0..8 {
        host.wait(Duration::from_secs(10));
        host.drain();
        host.check();
    }
    assert!(host.asked.is_empty(), "requests end: {:?}", host.asked);
    assert_eq!(host.node.backlog().transmits, 0);
    host.end();
}

fn perform(host: &mut Host, step: Step) {
    match step {
        Step::Packet { from, stream, packet } => host.receive(&from.0, channel(stream), &packet.to_bytes()),
        Step::Body { from, sender, stream, body } => {
            host.receive(&from.0, channel(stream), &envelop(sender, Epoch(Epoch::FIRST), 1, &body));
        }
        Step::Bytes { from, stream, mut bytes } => {
            correct(&mut bytes);
            host.receive(&from.0, channel(stream), &bytes);
        }
        Step::Answer { nth, sender, epoch } => {
            if let Some((from, channel, messages)) = host.answer(nth) {
                host.receive(&from, channel, &Packet { sender, epoch, counter: 1, messages }.to_bytes());
            }
        }
        Step::Unreachable(place) => host.act(|node, now| node.handle_unreachable(now, &place.0)),
        Step::Command(command) => command.perform(host),
        Step::Wait { ms } => host.wait(Duration::from_millis(ms.into())),
        Step::Due => host.wait_until_due(),
        Step::Back => {
            let before = host.node.poll_timeout();
            host.act(|node, _| node.handle_timeout(gossip_core::Instant::ZERO));
            assert!(before >= host.node.poll_timeout() || before.is_none_or(|due| due <= host.now));
        }
        Step::Stick => host.is_stuck = !host.is_stuck,
    }
}
