//! Which packets of each sender came before: every packet is taken once.
//!
//! A packet is sealed for one start of its receiver, so what was recorded before this node started is none of its packets:
//! nothing needs to be remembered beyond a restart. Only packets that opened come here, so only holders of a key can
//! move a window or take memory.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hashbrown::HashMap;

use crate::identity::{Epoch, NodeId};
use crate::membership::KeyedHash;
use crate::seal::key::{KeyId, Subkey};
use crate::stats::DropReason;
use crate::transmit::Channel;

/// Counters that a datagram may lag behind the newest one of its sender: datagrams overtake each other by milliseconds.
const LAG: u64 = 2_048;

/// Stream messages remembered of each sender. They lag behind for as long as a connection is slow, whatever the
/// sender counted meanwhile, so it is messages and not counters that make their window.
const MESSAGES: usize = 1_024;

/// What came of one sender.
#[derive(Debug)]
struct Sender {
    epoch: Epoch,
    /// The key that it sealed with last by its own choice, unless it is known to have chosen another since.
    speaks: Option<KeyId>,
    /// What its last packet was opened with. Boxed, so that the table leaves no copy behind when it grows.
    subkey: Option<Box<Subkey>>,
    datagrams: Datagrams,
    streams: Streams,
}

/// The newest counter, and a bit for each of those before it.
#[derive(Debug)]
struct Datagrams {
    newest: u64,
    seen: Option<Box<[u64; (LAG / 64) as usize]>>,
}

/// The newest counters in ascending order. What is not above `floor` is too old to know.
#[derive(Debug, Default)]
struct Streams {
    floor: u64,
    seen: VecDeque<u64>,
}

/// The windows of all senders.
#[derive(Debug)]
pub(crate) struct Replay {
    senders: HashMap<NodeId, Sender, KeyedHash>,
    limit: usize,
    /// Strangers must be in a later start than this: what came of earlier ones may have been forgotten.
    floor: Epoch,
}

impl Replay {
    /// Windows for a table of at most `members` rows: as many again are kept of senders that are gone from it.
    pub(crate) fn new(members: usize, hash: KeyedHash) -> Self {
        Self { senders: HashMap::with_hasher(hash), limit: members * 2, floor: Epoch::from_u64(0) }
    }

    /// The start in which a sender was heard last.
    pub(crate) fn epoch(&self, sender: NodeId) -> Option<Epoch> {
        self.senders.get(&sender).map(|known| known.epoch)
    }

    /// The key that a sender prefers, if it was heard.
    pub(crate) fn speaks(&self, sender: NodeId) -> Option<KeyId> {
        self.senders.get(&sender)?.speaks
    }

    /// What the last packet of a sender was opened with.
    pub(crate) fn subkey(&self, sender: NodeId) -> Option<&Subkey> {
        self.senders.get(&sender)?.subkey.as_deref()
    }

    /// Keeps what the packets of a sender are opened with.
    pub(crate) fn keep_subkey(&mut self, sender: NodeId, subkey: Subkey) {
        if let Some(known) = self.senders.get_mut(&sender) {
            match &mut known.subkey {
                Some(kept) => **kept = subkey,
                None => known.subkey = Some(Box::new(subkey)),
            }
        }
    }

    /// Wipes what was derived from keys.
    pub(crate) fn forget_subkeys(&mut self) {
        self.senders.values_mut().for_each(|known| known.subkey = None);
    }

    /// Takes note that a packet came that opened, unless it came before or is from an earlier start.
    ///
    /// `speaks` is its key, and whether the sender chose it; `is_member` tells whether the table has a sender, in that start if one is given.
    pub(crate) fn admit(
        &mut self,
        (sender, epoch, counter): (NodeId, Epoch, u64),
        channel: Channel,
        speaks: (KeyId, bool),
        is_member: impl Fn(NodeId, Option<Epoch>) -> bool,
    ) -> Result<(), DropReason> {
        let (key, by_choice) = speaks;
        if !self.senders.contains_key(&sender) {
            if epoch <= self.floor && !is_member(sender, Some(epoch)) {
                return Err(DropReason::StaleEpoch);
            }
            self.make_room(&is_member);
            self.senders.insert(sender, Sender::new(epoch));
        }
        let Some(known) = self.senders.get_mut(&sender) else { return Err(DropReason::Busy) };
        if epoch < known.epoch {
            return Err(DropReason::StaleEpoch);
        }
        if epoch > known.epoch {
            *known = Sender::new(epoch);
        }
        let is_new = match channel {
            Channel::Datagram => known.datagrams.take(counter),
            Channel::Stream => known.streams.take(counter),
        };
        if !is_new {
            return Err(DropReason::Replayed);
        }
        if by_choice {
            known.speaks = Some(key);
        } else if known.speaks == Some(key) {
            // It uses the key for the sake of this node, so it prefers another one by now.
            known.speaks = None;
        }
        Ok(())
    }

    /// Forgets the earlier half of those that are not in the table any more, if there is no room for one more.
    fn make_room(&mut self, is_member: &impl Fn(NodeId, Option<Epoch>) -> bool) {
        if self.senders.len() < self.limit {
            return;
        }
        let gone = |(&id, known): (&NodeId, &Sender)| (!is_member(id, None)).then_some(known.epoch);
        let mut epochs: Vec<Epoch> = self.senders.iter().filter_map(gone).collect();
        epochs.sort_unstable();
        let Some(&floor) = epochs.get(epochs.len() / 2) else { return };
        self.floor = self.floor.max(floor);
        self.senders.retain(|&id, known| known.epoch > floor || is_member(id, None));
    }
}

impl Sender {
    fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            speaks: None,
            subkey: None,
            datagrams: Datagrams { newest: 0, seen: None },
            streams: Streams::default(),
        }
    }
}

impl Datagrams {
    /// Whether this is the first packet with the counter; one too old to know is not.
    fn take(&mut self, counter: u64) -> bool {
        let Some(seen) = &mut self.seen else {
            let mut seen = Box::new([0; (LAG / 64) as usize]);
            seen[word(counter)] = bit(counter);
            (self.newest, self.seen) = (counter, Some(seen));
            return true;
        };
        if counter > self.newest {
            if counter - self.newest >= LAG {
                seen.fill(0);
            } else {
                // What is between is not seen; whole words where they are entered.
                (self.newest + 1..=counter).for_each(|between| seen[word(between)] &= !bit(between));
            }
            self.newest = counter;
        } else if self.newest - counter >= LAG || seen[word(counter)] & bit(counter) != 0 {
            return false;
        }
        seen[word(counter)] |= bit(counter);
        true
    }
}

const fn word(counter: u64) -> usize {
    (counter % LAG / 64) as usize
}

const fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

impl Streams {
    fn take(&mut self, counter: u64) -> bool {
        if counter <= self.floor {
            return false;
        }
        let Err(place) = self.seen.binary_search(&counter) else { return false };
        if self.seen.len() < MESSAGES {
            self.seen.insert(place, counter);
            return true;
        }
        if place == 0 {
            // Older than all that are remembered, and no room for it.
            return false;
        }
        if let Some(oldest) = self.seen.pop_front() {
            self.floor = oldest;
        }
        self.seen.insert(place - 1, counter);
        true
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const KEY: KeyId = KeyId::from_wire(1);

    fn replay(members: usize) -> Replay {
        Replay::new(members, KeyedHash::new((1, 2)))
    }

    fn admit(replay: &mut Replay, sender: u128, epoch: u64, counter: u64, channel: Channel) -> Result<(), DropReason> {
        let packet = (NodeId::from_u128(sender), Epoch::from_u64(epoch), counter);
        replay.admit(packet, channel, (KEY, true), |_, _| false)
    }

    #[test]
    fn a_packet_is_taken_once_in_whatever_order() {
        for channel in [Channel::Datagram, Channel::Stream] {
            let mut replay = replay(10);
            for counter in [5_000, 5_001, 4_999, 5_002, 3_500, 6_000] {
                assert_eq!(admit(&mut replay, 1, 1, counter, channel), Ok(()), "{channel:?} {counter}");
                assert_eq!(admit(&mut replay, 1, 1, counter, channel), Err(DropReason::Replayed), "{channel:?}");
            }
        }
    }

    #[test]
    fn a_datagram_may_lag_by_more_than_a_thousand_and_not_for_ever() {
        let mut replay = replay(10);
        admit(&mut replay, 1, 1, 1_000_000, Channel::Datagram).unwrap();
        assert_eq!(admit(&mut replay, 1, 1, 1_000_000 - LAG + 1, Channel::Datagram), Ok(()));
        assert_eq!(admit(&mut replay, 1, 1, 1_000_000 - LAG, Channel::Datagram), Err(DropReason::Replayed));
    }

    #[test]
    fn a_slow_stream_message_is_taken_however_far_the_sender_counted() {
        let mut replay = replay(10);
        for index in 0..MESSAGES as u64 - 1 {
            admit(&mut replay, 1, 1, 1 << 40 | (index * 1_000_000), Channel::Stream).unwrap();
        }
        assert_eq!(admit(&mut replay, 1, 1, 7, Channel::Stream), Ok(()));
        assert_eq!(admit(&mut replay, 1, 1, 6, Channel::Stream), Err(DropReason::Replayed), "the window is full");
    }

    #[test]
    fn an_earlier_start_is_stale_and_a_later_one_begins_anew() {
        let mut replay = replay(10);
        admit(&mut replay, 1, 5, 100, Channel::Datagram).unwrap();
        assert_eq!(admit(&mut replay, 1, 4, 101, Channel::Datagram), Err(DropReason::StaleEpoch));
        assert_eq!(admit(&mut replay, 1, 6, 1, Channel::Datagram), Ok(()));
        assert_eq!(admit(&mut replay, 1, 5, 102, Channel::Stream), Err(DropReason::StaleEpoch));
    }

    #[test]
    fn memory_is_bounded_and_what_was_forgotten_is_not_taken_again() {
        let mut replay = replay(8);
        for sender in 1..=1_000 {
            admit(&mut replay, sender, u64::try_from(sender).unwrap(), 1, Channel::Stream).unwrap();
            assert!(replay.senders.len() <= 16);
        }
        for sender in 1..=1_000 {
            let again = admit(&mut replay, sender, u64::try_from(sender).unwrap(), 1, Channel::Stream);
            assert!(again.is_err(), "{sender}");
        }
    }

    proptest! {
        #[test]
        fn no_counter_is_ever_taken_twice(counters in prop::collection::vec(0_u64..6_000, 1..3_000), stream: bool) {
            let channel = if stream { Channel::Stream } else { Channel::Datagram };
            let (mut replay, mut taken, mut newest) = (replay(4), BTreeSet::new(), 0);
            for counter in counters {
                let is_first = !taken.contains(&counter);
                let is_admitted = admit(&mut replay, 1, 1, counter, channel).is_ok();
                prop_assert!(!is_admitted || is_first, "{} twice", counter);
                if is_first && counter + 1_024 > newest && (!stream || taken.len() < MESSAGES) && counter > 0 {
                    prop_assert!(is_admitted, "{} is within the window", counter);
                }
                newest = newest.max(counter);
                if is_admitted {
                    taken.insert(counter);
                }
            }
        }
    }
}
