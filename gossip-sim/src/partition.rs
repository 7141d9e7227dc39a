//! Sets of nodes, and the cuts between them.

use std::collections::VecDeque;

/// A set of nodes, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSet {
    words: Vec<u64>,
}

impl NodeSet {
    /// Puts a node in; tells whether it was not in before.
    pub fn insert(&mut self, node: u32) -> bool {
        let (word, bit) = place(node);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    /// Takes a node out; tells whether it was in.
    pub fn remove(&mut self, node: u32) -> bool {
        let (word, bit) = place(node);
        let Some(word) = self.words.get_mut(word) else { return false };
        let was_in = *word & bit != 0;
        *word &= !bit;
        was_in
    }

    /// Whether a node is in.
    pub fn contains(&self, node: u32) -> bool {
        let (word, bit) = place(node);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Whether no node is in.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// The nodes, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index as u32 * 64 + bit)
        })
    }

    /// Puts all of another set in.
    pub fn merge(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// How many nodes are in.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

impl FromIterator<u32> for NodeSet {
    fn from_iter<I: IntoIterator<Item = u32>>(nodes: I) -> Self {
        let mut set = Self::default();
        for node in nodes {
            set.insert(node);
        }
        set
    }
}

fn place(node: u32) -> (usize, u64) {
    (node as usize / 64, 1 << (node % 64))
}

/// The way from one set of nodes to another is closed, or was.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    id: u32,
    from: NodeSet,
    to: NodeSet,
    both_ways: bool,
}

impl Cut {
    fn separates(&self, from: u32, to: u32) -> bool {
        (self.from.contains(from) && self.to.contains(to))
            || (self.both_ways && self.from.contains(to) && self.to.contains(from))
    }
}

/// Cuts remembered after they were opened.
const REMEMBERED: usize = 256;

/// The cuts in force, and for a while those that were.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    closed: Vec<Cut>,
    /// With the time at which each was opened, the latest last.
    opened: VecDeque<(u64, Cut)>,
}

impl Cuts {
    /// Closes the way; the number opens it again.
    pub(crate) fn close(&mut self, id: u32, from: NodeSet, to: NodeSet, both_ways: bool) {
        self.closed.push(Cut { id, from, to, both_ways });
    }

    pub(crate) fn open(&mut self, now: u64, id: u32) {
        let (opened, closed) = std::mem::take(&mut self.closed).into_iter().partition(|cut| cut.id == id);
        self.closed = closed;
        for cut in opened {
            // A flip-flop is the same cut again and again.
            self.opened.retain(|(_, known)| *known != cut);
            self.opened.push_back((now, cut));
        }
        while self.opened.len() > REMEMBERED {
            self.opened.pop_front();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.closed.is_empty()
    }

    /// Whether two nodes could not reach each other, in one direction or both, at some moment since `since`.
    pub(crate) fn separated_since(&self, since: u64, one: u32, other: u32) -> bool {
        let lately = self.opened.iter().rev().take_while(|(opened, _)| *opened >= since).map(|(_, cut)| cut);
        self.closed.iter().chain(lately).any(|cut| cut.separates(one, other) || cut.separates(other, one))
    }

    /// How many nodes a node is cut off from, in one direction or both; those of several cuts count several times.
    pub(crate) fn separated_from(&self, node: u32) -> usize {
        let of = |cut: &Cut| {
            let (from, to) = (cut.from.contains(node), cut.to.contains(node));
            usize::from(from) * cut.to.len() + usize::from(to) * cut.from.len()
        };
        self.closed.iter().map(of).sum()
    }

    /// Whether packets from one node cannot reach the other.
    pub(crate) fn separate(&self, from: u32, to: u32) -> bool {
        self.closed.iter().any(|cut| cut.separates(from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set: NodeSet = [1, 64, 700].into_iter().collect();
        assert!(set.contains(64) && !set.contains(65) && !set.contains(9_999));
        assert!(!set.insert(64) && set.insert(65));
        assert!(set.remove(65) && !set.remove(65));
        assert_eq!(set.len(), 3);
        set.merge(&[2, 6_400].into_iter().collect());
        assert_eq!(set.iter().collect::<Vec<u32>>(), [1, 2, 64, 700, 6_400]);
    }

    #[test]
    fn cuts_close_one_way_or_both_and_open_again() {
        let mut cuts = Cuts::default();
        let set = |nodes: &[u32]| nodes.iter().copied().collect::<NodeSet>();
        cuts.close(1, set(&[0, 1]), set(&[2]), false);
        assert!(cuts.separate(0, 2) && !cuts.separate(2, 0) && !cuts.separate(0, 1));
        cuts.close(2, set(&[1]), set(&[2]), true);
        assert!(cuts.separate(2, 1));
        assert_eq!([0, 1, 2, 3].map(|node| cuts.separated_from(node)), [1, 2, 3, 0]);
        cuts.open(10, 1);
        assert!(!cuts.separate(0, 2) && cuts.separate(1, 2));
        cuts.open(20, 2);
        assert!(cuts.is_empty());
        assert!(cuts.separated_since(10, 2, 0) && !cuts.separated_since(11, 2, 0) && cuts.separated_since(11, 2, 1));
    }
}
