//! Broadcasts that this node lacks, and who has them.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use smallvec::SmallVec;

use crate::identity::NodeId;
use crate::lane::LaneKey;
use crate::time::Instant;

/// Broadcasts that are missed at the same time, and those that one member told of first; further ones are told of again.
const WANTS: usize = 4_096;
const SHARE: usize = WANTS / 4;

/// Broadcasts that one packet may be the first to tell of, which takes about 42 KiB: it must not take memory by claiming much.
const OF_A_PACKET: usize = 192;

/// Members remembered that have one.
const HOLDERS: usize = 3;

/// How often a broadcast is asked for before somebody must tell of it again.
const TRIES: u32 = 16;

#[derive(Debug)]
pub(super) struct Want {
    /// Who has it, asked in turn.
    holders: SmallVec<[NodeId; HOLDERS]>,
    due: Instant,
    tries: u32,
    /// Who has it says that it may not have arrived here; nobody else needs to look out for it.
    was_offered: bool,
}

#[derive(Debug, Default)]
pub(super) struct Wants {
    missing: BTreeMap<(LaneKey, u64), Want>,
    due: BTreeSet<(Instant, LaneKey, u64)>,
    /// How many each member told of first.
    shares: BTreeMap<NodeId, usize>,
    /// How many the packet that is acted on may still add.
    room: usize,
}

impl Wants {
    /// Another packet is acted on.
    pub(super) fn begin_packet(&mut self) {
        self.room = OF_A_PACKET;
    }

    /// Takes note that `from` has a broadcast.
    pub(super) fn add(&mut self, lane: LaneKey, sequence: u64, from: NodeId, due: Instant, was_offered: bool) {
        if let Some(want) = self.missing.get_mut(&(lane, sequence)) {
            want.was_offered |= was_offered;
            if want.holders.len() < HOLDERS && !want.holders.contains(&from) {
                want.holders.push(from);
            }
            return;
        }
        if self.room == 0 || self.missing.len() >= WANTS {
            return;
        }
        let share = self.shares.entry(from).or_default();
        if *share >= SHARE {
            return;
        }
        self.room -= 1;
        *share += 1;
        let holders = SmallVec::from_iter([from]);
        self.missing.insert((lane, sequence), Want { holders, due, tries: 0, was_offered });
        self.due.insert((due, lane, sequence));
    }

    /// One of them came. If it was asked for: whether nobody had expected that.
    pub(super) fn remove(&mut self, lane: LaneKey, sequence: u64) -> Option<bool> {
        let want = self.take(lane, sequence)?;
        (want.tries > 0).then_some(!want.was_offered)
    }

    /// Takes out one that is due, to be asked for or forgotten.
    pub(super) fn next(&mut self, now: Instant) -> Option<(LaneKey, u64, Want)> {
        let &(_, lane, sequence) = self.due.first().filter(|&&(due, ..)| due <= now)?;
        Some((lane, sequence, self.take(lane, sequence)?))
    }

    /// Puts one back, to be looked at again when `due`.
    pub(super) fn put_back(&mut self, lane: LaneKey, sequence: u64, due: Instant, mut want: Want) {
        want.due = due;
        if let Some(&first) = want.holders.first() {
            *self.shares.entry(first).or_default() += 1;
        }
        self.due.insert((due, lane, sequence));
        self.missing.insert((lane, sequence), want);
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|&(due, ..)| due)
    }

    fn take(&mut self, lane: LaneKey, sequence: u64) -> Option<Want> {
        let want = self.missing.remove(&(lane, sequence))?;
        self.due.remove(&(want.due, lane, sequence));
        if let Some(first) = want.holders.first()
            && let Some(share) = self.shares.get_mut(first)
        {
            *share -= 1;
            if *share == 0 {
                self.shares.remove(first);
            }
        }
        Some(want)
    }
}

impl Want {
    /// Whom to ask now; nobody if all are gone or were asked often enough.
    pub(super) fn holder(&mut self, is_live: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        self.holders.retain(|holder| is_live(*holder));
        if self.holders.is_empty() || self.tries >= TRIES {
            return None;
        }
        Some(self.holders[self.tries as usize % self.holders.len()])
    }

    /// Whether it was asked for in vain, and nobody had expected that it did not come.
    pub(super) fn is_trouble(&self) -> bool {
        self.tries == 1 && !self.was_offered
    }

    /// It is asked for; how long to wait for the answer, where `patience` is usual.
    pub(super) fn ask(&mut self, patience: Duration) -> Duration {
        /// Tries after which it is waited for longer: more of them would only add to what is too much.
        const FAST: u32 = 6;
        self.tries += 1;
        if self.tries > FAST { patience * 2 } else { patience }
    }
}
