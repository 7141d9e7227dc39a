//! Sets of nodes, and the cuts between them.

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
#[derive(Debug)]
struct Cut {
    id: u32,
    from: NodeSet,
    to: NodeSet,
    both_ways: bool,
}

/// The cuts in force.
#[derive(Debug, Default)]
pub(crate) struct Cuts(Vec<Cut>);

impl Cuts {
    /// Closes the way; the number opens it again.
    pub(crate) fn close(&mut self, id: u32, from: NodeSet, to: NodeSet, both_ways: bool) {
        self.0.push(Cut { id, from, to, both_ways });
    }

    pub(crate) fn open(&mut self, id: u32) {
        self.0.retain(|cut| cut.id != id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether packets from one node cannot reach the other.
    pub(crate) fn separate(&self, from: u32, to: u32) -> bool {
        self.0.iter().any(|cut| {
            (cut.from.contains(from) && cut.to.contains(to))
                || (cut.both_ways && cut.from.contains(to) && cut.to.contains(from))
        })
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
    }

    #[test]
    fn cuts_close_one_way_or_both_and_open_again() {
        let mut cuts = Cuts::default();
        let set = |nodes: &[u32]| nodes.iter().copied().collect::<NodeSet>();
        cuts.close(1, set(&[0, 1]), set(&[2]), false);
        assert!(cuts.separate(0, 2) && !cuts.separate(2, 0) && !cuts.separate(0, 1));
        cuts.close(2, set(&[1]), set(&[2]), true);
        assert!(cuts.separate(2, 1));
        cuts.open(1);
        assert!(!cuts.separate(0, 2) && cuts.separate(1, 2));
        cuts.open(2);
        assert!(cuts.is_empty());
    }
}
