//! What outsiders recorded: all that came lately, and some of what came before.

use gossip_core::{Channel, NodeId};

use crate::random::Random;
use crate::world::Addr;

/// Packets kept of those that came lately, and as many of older ones.
const KEPT: usize = 1_024;

/// Longest packet kept, in bytes.
const LONGEST: usize = 64 << 10;

/// Draws until one is found that fits.
const DRAWS: u32 = 32;

/// Bytes of a packet's header; where the key's id and the sender's are in it.
pub(super) const HEADER: usize = 40;
const KEY_ID: std::ops::Range<usize> = 6..8;
const SENDER: std::ops::Range<usize> = 8..24;

/// A packet that its receiver read.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) channel: Channel,
    /// Where it came from.
    pub(crate) from: Addr,
    /// The machine that read it, and its address.
    pub(crate) to: u32,
    pub(crate) receiver: Addr,
}

impl Recorded {
    /// Who sent it, by its header.
    pub(crate) fn sender(&self) -> Option<NodeId> {
        self.bytes.get(SENDER)?.try_into().ok().map(NodeId::from_bytes)
    }

    /// The key that it is sealed with, by its header.
    pub(crate) fn key_id(&self) -> Option<[u8; 2]> {
        self.bytes.get(KEY_ID)?.try_into().ok()
    }
}

#[derive(Debug, Default)]
pub(super) struct Tape {
    recent: Vec<Recorded>,
    /// The place of the oldest of the recent ones.
    next: usize,
    /// As likely to be kept, each of them.
    old: Vec<Recorded>,
    passed: u64,
}

impl Tape {
    pub(super) fn record(&mut self, random: &mut Random, packet: Recorded) {
        if packet.bytes.len() > LONGEST {
            return;
        }
        if self.recent.len() < KEPT {
            self.recent.push(packet);
            return;
        }
        let evicted = std::mem::replace(&mut self.recent[self.next], packet);
        self.next = (self.next + 1) % KEPT;
        self.passed += 1;
        let place = random.below(self.passed) as usize;
        if self.old.len() < KEPT {
            self.old.push(evicted);
        } else if let Some(kept) = self.old.get_mut(place) {
            *kept = evicted;
        }
    }

    /// One of them, if possible one that fits: a recent one or an old one.
    pub(super) fn pick(&self, random: &mut Random, fits: impl Fn(&Recorded) -> bool) -> Option<&Recorded> {
        let mut picked = None;
        for _ in 0..DRAWS {
            let from = if random.below(2) == 0 || self.old.is_empty() { &self.recent } else { &self.old };
            picked = from.get(random.below(from.len() as u64) as usize);
            if picked.is_none_or(&fits) {
                break;
            }
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn packet(number: u32) -> Recorded {
        let bytes = number.to_be_bytes().to_vec();
        Recorded { bytes, channel: Channel::Datagram, from: 0, to: number % 8, receiver: 0 }
    }

    #[test]
    fn what_came_lately_is_kept_and_some_of_the_rest_and_no_more() {
        let mut random = Random::new(1, Purpose::Outsiders);
        let mut tape = Tape::default();
        assert!(tape.pick(&mut random, |_| true).is_none());
        (0..20_000).for_each(|number| tape.record(&mut random, packet(number)));
        assert_eq!((tape.recent.len(), tape.old.len()), (KEPT, KEPT));
        let number = |packet: &Recorded| u32::from_be_bytes(packet.bytes[..].try_into().unwrap());
        assert!(tape.recent.iter().all(|packet| number(packet) >= 20_000 - KEPT as u32));
        let first_half = tape.old.iter().filter(|packet| number(packet) < 10_000).count();
        assert!((400..650).contains(&first_half), "{first_half}");
        assert_eq!(tape.pick(&mut random, |packet| packet.to == 3).map(|packet| packet.to), Some(3));
    }
}
