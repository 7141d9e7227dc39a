//! Outsiders: whoever reads along, repeats, changes and makes up packets, and has no key.
//!
//! What they record is what its receiver has read. So nothing that they repeat can come for the first time, and a
//! cluster that keeps its promises goes on as if they were not there.

mod forge;
mod tape;

use gossip_core::{Channel, Epoch, NodeId};
use serde::{Deserialize, Serialize};

use crate::partition::NodeSet;
use crate::random::{Purpose, Random};
use crate::world::Addr;

pub(crate) use tape::Recorded;
use tape::Tape;

/// Addresses from here on, up to those of accepted connections, are outsiders'.
const FIRST_ADDRESS: Addr = 0x4000_0000;

/// How many of them are used in turn, on each channel.
const ADDRESSES: u32 = 512;

/// The header's place for what makes it a message of a stream.
const FLAGS: usize = 1;
const STREAM: u8 = 4;

/// Longest datagram made up, in bytes, and longest message on a stream.
const LONGEST_DATAGRAM: u64 = 1_500;
const LONGEST_MESSAGE: u64 = 65_536;

/// What an outsider does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tactic {
    /// Packets come again: where they came before or elsewhere, over their channel or the other one.
    Replay,
    /// Packets come back to who sent them.
    Reflect,
    /// Packets come from addresses of nodes that did not send them.
    Spoof,
    /// Random bytes, real headers before random bytes, and damaged copies of real packets.
    Flood,
    /// Joins, claims, questions and messages in the name of members, in plaintext or sealed with a key of his own.
    Forge,
}

impl Tactic {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Replay, Self::Reflect, Self::Spoof, Self::Flood, Self::Forge];
}

/// A node as everybody can see it, from the headers of its packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) host: u32,
    pub(crate) id: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) address: Addr,
}

/// Those who have a part in what an outsider sends next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) target: Seen,
    pub(crate) speaker: Seen,
    pub(crate) subject: Seen,
}

/// A packet of an outsider.
#[derive(Debug)]
pub(crate) struct Shot {
    pub(crate) bytes: Vec<u8>,
    pub(crate) channel: Channel,
    /// An address that is not his own.
    pub(crate) spoofed: Option<Addr>,
}

/// What outsiders know.
#[derive(Debug)]
pub(crate) struct Outsiders {
    pub(crate) random: Random,
    tape: Tape,
    /// Which nodes those who are at work see the packets of, by fault.
    watched: Vec<(u32, NodeSet)>,
    addresses_used: u32,
}

impl Outsiders {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed, Purpose::Outsiders),
            tape: Tape::default(),
            watched: Vec::new(),
            addresses_used: 0,
        }
    }

    pub(crate) fn begin(&mut self, fault: u32, sees: NodeSet) {
        self.watched.push((fault, sees));
    }

    pub(crate) fn end(&mut self, fault: u32) {
        self.watched.retain(|&(of, _)| of != fault);
    }

    /// Whether the packets that a node gets are seen.
    pub(crate) fn see(&self, host: u32) -> bool {
        self.watched.iter().any(|(_, sees)| sees.contains(host))
    }

    pub(crate) fn record(&mut self, packet: Recorded) {
        self.tape.record(&mut self.random, packet);
    }

    /// The next address of their own.
    pub(crate) fn next_address(&mut self, channel: Channel) -> Addr {
        self.addresses_used = (self.addresses_used + 1) % ADDRESSES;
        FIRST_ADDRESS + self.addresses_used * 2 + u32::from(channel == Channel::Stream)
    }

    /// What an outsider sends next; nothing as long as he has nothing recorded that he could use.
    pub(crate) fn aim(&mut self, tactic: Tactic, scene: &Scene<'_>) -> Option<Shot> {
        match tactic {
            Tactic::Replay => self.replay(scene),
            Tactic::Reflect => self.reflect(scene),
            Tactic::Spoof => {
                let recorded = self.tape.pick(&mut self.random, |_| true)?;
                let bytes = recorded.bytes.clone();
                Some(Shot { bytes, channel: Channel::Datagram, spoofed: Some(scene.speaker.address) })
            }
            Tactic::Flood => Some(self.flood(scene)),
            Tactic::Forge => Some(self.forge(scene)),
        }
    }

    fn replay(&mut self, scene: &Scene<'_>) -> Option<Shot> {
        let at_home = self.random.below(2) == 0;
        let target = scene.target.host;
        let recorded = self.tape.pick(&mut self.random, |packet| !at_home || packet.to == target)?;
        let (mut bytes, mut channel) = (recorded.bytes.clone(), recorded.channel);
        let sender = recorded.from;
        match self.random.below(8) {
            0 => channel = other(channel),
            1 => {
                channel = other(channel);
                if let Some(flags) = bytes.get_mut(FLAGS) {
                    *flags ^= STREAM;
                }
            }
            _ => {}
        }
        let is_spoofed = channel == Channel::Datagram && self.random.below(2) == 0;
        Some(Shot { bytes, channel, spoofed: is_spoofed.then_some(sender) })
    }

    fn reflect(&mut self, scene: &Scene<'_>) -> Option<Shot> {
        let target = scene.target.id;
        let recorded = self.tape.pick(&mut self.random, |packet| packet.sender() == Some(target))?;
        let (bytes, channel) = (recorded.bytes.clone(), recorded.channel);
        let receiver = recorded.receiver;
        let is_spoofed = channel == Channel::Datagram && self.random.below(2) == 0;
        Some(Shot { bytes, channel, spoofed: is_spoofed.then_some(receiver) })
    }

    fn flood(&mut self, scene: &Scene<'_>) -> Shot {
        let random = &mut self.random;
        let channel = if random.below(4) == 0 { Channel::Stream } else { Channel::Datagram };
        let longest = if channel == Channel::Stream { LONGEST_MESSAGE } else { LONGEST_DATAGRAM };
        let order = random.below(4);
        let mut noise = vec![0; random.below(longest >> (2 * order)) as usize];
        random.fill(&mut noise);
        let kind = random.below(4);
        let real = self.tape.pick(random, |_| true).map(|packet| packet.bytes.clone()).unwrap_or_default();
        let bytes = match kind {
            0 => noise,
            1 => real.iter().take(tape::HEADER).copied().chain(noise).collect(),
            2 => {
                let length = random.below(real.len() as u64) as usize;
                real[..length].to_vec()
            }
            _ => damaged(random, real, &noise),
        };
        let is_spoofed = channel == Channel::Datagram && random.below(2) == 0;
        Shot { bytes, channel, spoofed: is_spoofed.then_some(scene.speaker.address) }
    }

    fn forge(&mut self, scene: &Scene<'_>) -> Shot {
        let random = &mut self.random;
        let key = self.tape.pick(random, |_| true).and_then(Recorded::key_id);
        let channel = if random.below(2) == 0 { Channel::Stream } else { Channel::Datagram };
        let bytes = forge::packet(random, scene, channel, key);
        let is_spoofed = channel == Channel::Datagram && random.below(2) == 0;
        Shot { bytes, channel, spoofed: is_spoofed.then_some(scene.speaker.address) }
    }
}

/// Whether an address is an outsider's own.
pub(crate) fn is_outside(address: Addr) -> bool {
    (FIRST_ADDRESS..FIRST_ADDRESS + 2 * (ADDRESSES + 1)).contains(&address)
}

fn other(channel: Channel) -> Channel {
    match channel {
        Channel::Datagram => Channel::Stream,
        Channel::Stream => Channel::Datagram,
    }
}

/// A packet with a byte changed, or something behind it.
fn damaged(random: &mut Random, mut packet: Vec<u8>, noise: &[u8]) -> Vec<u8> {
    let place = random.below(packet.len() as u64) as usize;
    match packet.get_mut(place) {
        Some(byte) if random.below(4) > 0 => *byte ^= 1 << random.below(8),
        _ => packet.extend(noise.iter().take(16)),
    }
    packet
}
