//! News that waits to be told: each piece about `λ·log(N)` times, the least told first (SWIM §4.1).

use alloc::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use crate::membership::Slot;

/// What a piece of news is about. The news itself is read from the table when it is told, so that it is the freshest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Topic {
    /// What is believed of a member.
    Claim(Slot),
    /// The metadata of a member.
    Metadata(Slot),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Turn {
    told: u32,
    /// Among those told equally often, the one that has waited longest comes first.
    ticket: u64,
    topic: Topic,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    turn: Turn,
    /// For metadata: the version that those who missed nothing before this news have.
    base: u64,
}

/// At most one entry for each topic: newer news about it takes the place of older.
#[derive(Debug, Default)]
pub(crate) struct Dissemination {
    by_topic: BTreeMap<Topic, Pending>,
    turns: BTreeSet<Turn>,
    tickets: u64,
}

impl Dissemination {
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether there is news that was never told.
    pub(crate) fn has_untold(&self) -> bool {
        self.turns.first().is_some_and(|turn| turn.told == 0)
    }

    /// Tells the current claim about a member, from the start.
    pub(crate) fn tell_claim(&mut self, slot: Slot) {
        self.tell(Topic::Claim(slot), 0);
    }

    /// Tells what changed in a member's metadata since version `base`.
    pub(crate) fn tell_metadata(&mut self, slot: Slot, base: u64) {
        self.tell(Topic::Metadata(slot), base);
    }

    /// Drops all news about a member.
    pub(crate) fn forget(&mut self, slot: Slot) {
        for topic in [Topic::Claim(slot), Topic::Metadata(slot)] {
            if let Some(pending) = self.by_topic.remove(&topic) {
                self.turns.remove(&pending.turn);
            }
        }
    }

    /// Offers the news in turn to `write`, which tells whether it fitted; what was told `limit` times is done with.
    ///
    /// `copies` is the number of members that the packet goes to.
    pub(crate) fn fill(&mut self, copies: u32, limit: u32, mut write: impl FnMut(Topic, u64) -> bool) {
        /// Pieces passed over because they do not fit, before the packet is taken for full.
        const PASSED_OVER: usize = 3;
        let mut told = SmallVec::<[Turn; 48]>::new();
        let mut passed_over = 0;
        for &turn in &self.turns {
            let base = self.by_topic.get(&turn.topic).map_or(0, |pending| pending.base);
            if write(turn.topic, base) {
                told.push(turn);
            } else {
                passed_over += 1;
                if passed_over > PASSED_OVER {
                    break;
                }
            }
        }
        for turn in told {
            self.turns.remove(&turn);
            let next = Turn { told: turn.told + copies, ..turn };
            if next.told >= limit {
                self.by_topic.remove(&turn.topic);
                continue;
            }
            if let Some(pending) = self.by_topic.get_mut(&turn.topic) {
                pending.turn = next;
                self.turns.insert(next);
            }
        }
    }

    fn tell(&mut self, topic: Topic, base: u64) {
        self.tickets += 1;
        let turn = Turn { told: 0, ticket: self.tickets, topic };
        let pending = self.by_topic.entry(topic).or_insert(Pending { turn, base });
        self.turns.remove(&pending.turn);
        *pending = Pending { turn, base: pending.base.min(base) };
        self.turns.insert(turn);
    }
}

/// How often a piece of news is told by each node of a cluster of `size`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a logarithm of a count is small and not negative"
)]
pub(crate) fn retransmit_limit(multiplier: u32, size: usize) -> u32 {
    multiplier * (libm::ceil(libm::log10((size + 1) as f64)) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    const SLOT: Slot = Slot::MYSELF;

    fn take(news: &mut Dissemination, limit: u32) -> Vec<(Topic, u64)> {
        let mut taken = vec![];
        news.fill(1, limit, |topic, base| {
            taken.push((topic, base));
            true
        });
        taken
    }

    #[test]
    fn each_piece_is_told_up_to_the_limit_and_newer_news_starts_again() {
        let mut news = Dissemination::default();
        news.tell_claim(SLOT);
        assert!(news.has_untold());
        assert_eq!(take(&mut news, 2), [(Topic::Claim(SLOT), 0)]);
        news.tell_claim(SLOT);
        assert_eq!(take(&mut news, 2).len(), 1);
        assert!(!news.has_untold());
        assert_eq!(take(&mut news, 2).len(), 1);
        assert!(news.is_empty());
    }

    #[test]
    fn what_does_not_fit_keeps_its_turn() {
        let mut news = Dissemination::default();
        news.tell_claim(SLOT);
        news.fill(1, 2, |_, _| false);
        assert!(news.has_untold());
    }

    #[test]
    fn metadata_is_told_from_the_oldest_version_still_untold() {
        let mut news = Dissemination::default();
        news.tell_metadata(SLOT, 4);
        news.tell_metadata(SLOT, 5);
        assert_eq!(take(&mut news, 1), [(Topic::Metadata(SLOT), 4)]);
        news.tell_metadata(SLOT, 6);
        assert_eq!(take(&mut news, 1), [(Topic::Metadata(SLOT), 6)]);
    }

    #[test]
    fn the_limit_grows_with_the_logarithm_of_the_cluster() {
        assert_eq!([1, 9, 64, 1_000, 10_000].map(|size| retransmit_limit(4, size)), [4, 4, 8, 16, 20]);
    }
}
