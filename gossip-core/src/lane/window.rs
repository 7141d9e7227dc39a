//! Which numbers of a lane were heard.

use smallvec::SmallVec;

const WORD: u64 = 64;

/// What a window knows of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It was not heard before.
    New,
    /// It was.
    Before,
    /// It was given up, or is so old that it is not known whether it was heard.
    TooOld,
    /// It is so far ahead that there is no room to remember what lies between; it counts as not heard.
    TooFar,
}

/// All numbers below `base`, a multiple of 64, are done with; of those from there on a bit says whether they were heard.
/// Where nothing is missing it takes no more than a word, however many numbers were heard. It grows with what is heard: whoever
/// calls sees to it that this is not far beyond.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    base: u64,
    words: SmallVec<[u64; 2]>,
    /// Of the numbers below this some may have been given up.
    uncertain: u64,
}

impl Default for Window {
    /// Numbers count from 1.
    fn default() -> Self {
        Self { base: 0, words: SmallVec::from_slice(&[1]), uncertain: 0 }
    }
}

impl Window {
    /// A window that awaits `first`: what is before it is not asked about.
    pub(crate) fn beginning_at(first: u64) -> Self {
        let mut window = Self { base: first / WORD * WORD, words: SmallVec::from_slice(&[0]), uncertain: first };
        window.words[0] = (1 << (first % WORD)) - 1;
        window
    }

    pub(crate) fn hear(&mut self, number: u64) -> Heard {
        if self.contains(number) {
            return if number < self.uncertain { Heard::TooOld } else { Heard::Before };
        }
        let (word, bit) = self.place(number);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
        self.shrink();
        Heard::New
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        if number < self.base {
            return true;
        }
        let (word, bit) = self.place(number);
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// The first number of which the window knows something.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Bytes that it takes besides itself.
    pub(crate) fn bytes(&self) -> usize {
        if self.words.spilled() { self.words.capacity() * size_of::<u64>() } else { 0 }
    }

    /// The first number that was not heard.
    pub(crate) fn floor(&self) -> u64 {
        self.missing_from(self.base)
    }

    /// The first number at `number` or after it that was not heard.
    pub(crate) fn missing_from(&self, number: u64) -> u64 {
        let start = number.max(self.base);
        let (first, bit) = self.place(start);
        let Some(&word) = self.words.get(first) else { return start };
        // What lies before the start does not count.
        let word = word | (bit - 1);
        if word != u64::MAX {
            return self.number(first, word.trailing_ones());
        }
        let full = self.words[first + 1..].iter().take_while(|&&word| word == u64::MAX).count();
        let next = first + 1 + full;
        self.number(next, self.words.get(next).map_or(0, |word| word.trailing_ones()))
    }

    /// The last number that was heard; zero if none was.
    pub(crate) fn top(&self) -> u64 {
        let Some(last) = self.words.iter().rposition(|&word| word != 0) else {
            return self.base.saturating_sub(1);
        };
        self.number(last, self.words[last].ilog2())
    }

    /// Gives up all numbers below `number` that were not heard; how many these are.
    pub(crate) fn skip_to(&mut self, number: u64) -> u64 {
        if number <= self.floor() {
            return 0;
        }
        let missing = self.missing_in(self.base, number);
        self.uncertain = number;
        let base = number / WORD * WORD;
        if base > self.base {
            let words = usize::try_from((base - self.base) / WORD).unwrap_or(usize::MAX);
            self.words.drain(..words.min(self.words.len()));
            self.base = base;
        }
        if self.words.is_empty() {
            self.words.push(0);
        }
        self.words[0] |= (1 << (number % WORD)) - 1;
        self.shrink();
        missing
    }

    /// How many numbers from `first` up to `end`, without it, were not heard.
    pub(crate) fn missing_in(&self, first: u64, end: u64) -> u64 {
        let first = first.max(self.base);
        if end <= first {
            return 0;
        }
        let below = |number: u64| -> u64 {
            let (word, bit) = self.place(number);
            let whole = self.words.iter().take(word).map(|word| u64::from(word.count_ones())).sum::<u64>();
            whole + self.words.get(word).map_or(0, |word| u64::from((word & (bit - 1)).count_ones()))
        };
        end - first - (below(end) - below(first))
    }

    /// Where a number that is not below the base stands.
    fn place(&self, number: u64) -> (usize, u64) {
        let offset = number - self.base;
        (usize::try_from(offset / WORD).unwrap_or(usize::MAX), 1 << (offset % WORD))
    }

    fn number(&self, word: usize, bit: u32) -> u64 {
        self.base + word as u64 * WORD + u64::from(bit)
    }

    /// Lets go of words that are full, and keeps one.
    fn shrink(&mut self) {
        let full = self.words.iter().take_while(|&&word| word == u64::MAX).count();
        let done = full.min(self.words.len() - 1);
        self.words.drain(..done);
        self.base += done as u64 * WORD;
        if self.words.len() == 1 && self.words[0] == u64::MAX {
            self.words[0] = 0;
            self.base += WORD;
        }
        let is_wide = self.words.len() <= 2 || self.words.capacity() > 4 * self.words.len();
        if self.words.spilled() && is_wide {
            self.words.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_missing_stays_so_until_it_is_given_up() {
        let mut window = Window::default();
        assert_eq!([1, 2, 3, 2].map(|number| window.hear(number)), [Heard::New, Heard::New, Heard::New, Heard::Before]);
        assert_eq!((window.floor(), window.top()), (4, 3));
        assert_eq!(window.hear(5_000), Heard::New);
        assert_eq!(window.hear(3_000), Heard::New, "however far others are ahead");
        assert_eq!(window.skip_to(4_000), 4_000 - 4 - 1);
        assert_eq!(
            (window.hear(3_500), window.hear(4_500), window.hear(5_000)),
            (Heard::TooOld, Heard::New, Heard::Before)
        );
        assert_eq!((window.floor(), window.missing_from(4_500), window.top()), (4_000, 4_501, 5_000));
    }

    #[test]
    fn a_window_may_begin_in_the_middle() {
        let mut window = Window::beginning_at(1_000);
        assert_eq!((window.floor(), window.top()), (1_000, 999));
        assert_eq!([999, 1_000, 1_000].map(|number| window.hear(number)), [Heard::TooOld, Heard::New, Heard::Before]);
    }

    #[test]
    fn a_stream_without_gaps_takes_no_room() {
        let mut window = Window::default();
        for number in 1..10_000 {
            assert_eq!(window.hear(number), Heard::New);
            assert!(window.words.len() == 1, "{number}");
        }
        assert_eq!((window.hear(7), window.bytes()), (Heard::Before, 0));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(operations in proptest::collection::vec((0_u8..8, 1_u64..300), 1..200)) {
            let mut window = Window::default();
            let mut heard = BTreeSet::new();
            let mut below = 1;
            for (operation, number) in operations {
                if operation == 0 {
                    let missing = (below..number).filter(|number| !heard.contains(number)).count() as u64;
                    prop_assert_eq!(window.skip_to(number), missing);
                    heard.extend(below..number.max(below));
                    below = below.max(number);
                } else {
                    let is_new = heard.insert(number);
                    prop_assert_eq!(window.hear(number) == Heard::New, is_new);
                }
                let missing_from = |start: u64| (start..1_000).find(|number| !heard.contains(number)).unwrap_or(0);
                prop_assert_eq!(window.floor(), missing_from(1));
                prop_assert_eq!(window.missing_from(number), missing_from(number));
                prop_assert_eq!(window.top(), heard.last().copied().unwrap_or(0));
                let end = number + 70;
                let missing = (number..end).filter(|number| !heard.contains(number)).count() as u64;
                prop_assert_eq!(window.missing_in(number, end), missing);
            }
            let contained: Vec<u64> = (1..400).filter(|&number| window.contains(number)).collect();
            prop_assert_eq!(contained, heard.into_iter().collect::<Vec<_>>());
        }
    }
}
