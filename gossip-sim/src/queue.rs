//! What is going to happen, in order of time: a wheel of buckets for the near future, a heap for the far one.
//!
//! Entries of one microsecond come out in the order of their class, then in the order in which they were put in; so
//! the order never depends on how the wheel is built.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// log2 of the microseconds in a bucket.
const WIDTH: u32 = 10;

/// Buckets of the wheel; a power of two. They reach about four seconds ahead.
const BUCKETS: u64 = 4_096;

/// Emptied buckets whose memory is kept for the next ones.
const SPARE: usize = 64;

/// What comes first of what happens at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The world changes.
    Fault = 0,
    /// Something arrives. It comes before timers: an answer that is there must not be taken for silence.
    Arrival = 1,
    /// A node's deadline.
    Timer = 2,
    /// The simulator looks around.
    Watch = 3,
}

#[derive(Debug)]
struct Entry<T> {
    at: u64,
    order: u64,
    item: T,
}

impl<T> Entry<T> {
    fn key(&self) -> (u64, u64) {
        (self.at, self.order)
    }

    fn bucket(&self) -> u64 {
        self.at >> WIDTH
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    /// Reversed: the standard heap gives out the greatest, and the earliest is wanted.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// The bucket being emptied.
    cursor: u64,
    present: BinaryHeap<Entry<T>>,
    wheel: Vec<Vec<Entry<T>>>,
    /// One bit for each bucket of the wheel that holds something.
    occupied: Vec<u64>,
    far: BinaryHeap<Entry<T>>,
    spare: Vec<Vec<Entry<T>>>,
    tickets: u64,
    len: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            cursor: 0,
            present: BinaryHeap::new(),
            wheel: (0..BUCKETS).map(|_| Vec::new()).collect(),
            occupied: vec![0; (BUCKETS / 64) as usize],
            far: BinaryHeap::new(),
            spare: Vec::new(),
            tickets: 0,
            len: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, at: u64, class: Class, item: T) {
        self.tickets += 1;
        self.len += 1;
        let entry = Entry { at, order: (class as u64) << 60 | self.tickets, item };
        let bucket = entry.bucket();
        if bucket <= self.cursor {
            self.present.push(entry);
        } else if bucket < self.cursor + BUCKETS {
            self.put(entry);
        } else {
            self.far.push(entry);
        }
    }

    /// The next item if it is due at `end` or before, and its time.
    pub(crate) fn pop(&mut self, end: u64) -> Option<(u64, T)> {
        loop {
            if let Some(entry) = self.present.peek() {
                if entry.at > end {
                    return None;
                }
                let entry = self.present.pop()?;
                self.len -= 1;
                return Some((entry.at, entry.item));
            }
            let next = self.next_bucket()?;
            if next << WIDTH > end {
                return None;
            }
            self.turn_to(next);
        }
    }

    fn put(&mut self, entry: Entry<T>) {
        let index = (entry.bucket() % BUCKETS) as usize;
        let bucket = &mut self.wheel[index];
        if bucket.is_empty() {
            self.occupied[index / 64] |= 1 << (index % 64);
            if bucket.capacity() == 0
                && let Some(spare) = self.spare.pop()
            {
                *bucket = spare;
            }
        }
        bucket.push(entry);
    }

    /// The first bucket after the present one that holds something.
    fn next_bucket(&self) -> Option<u64> {
        let near = self.next_in_wheel();
        let far = self.far.peek().map(Entry::bucket);
        near.into_iter().chain(far).min()
    }

    fn next_in_wheel(&self) -> Option<u64> {
        let first = (self.cursor + 1) % BUCKETS;
        let words = self.occupied.len() as u64;
        for step in 0..=words {
            let word = (first / 64 + step) % words;
            let mut bits = self.occupied[word as usize];
            if step == 0 {
                bits &= u64::MAX << (first % 64);
            } else if step == words {
                bits &= !(u64::MAX << (first % 64));
            }
            if bits != 0 {
                let index = word * 64 + u64::from(bits.trailing_zeros());
                let ahead = (index + BUCKETS - first) % BUCKETS;
                return Some(self.cursor + 1 + ahead);
            }
        }
        None
    }

    /// Makes `bucket` the present one, and moves what the wheel can now hold into it.
    fn turn_to(&mut self, bucket: u64) {
        self.cursor = bucket;
        let index = (bucket % BUCKETS) as usize;
        self.occupied[index / 64] &= !(1 << (index % 64));
        let mut drained = std::mem::take(&mut self.wheel[index]);
        self.present.extend(drained.drain(..));
        if self.spare.len() < SPARE && drained.capacity() > 0 {
            self.spare.push(drained);
        }
        while self.far.peek().is_some_and(|entry| entry.bucket() < self.cursor + BUCKETS) {
            let Some(entry) = self.far.pop() else { break };
            if entry.bucket() <= self.cursor {
                self.present.push(entry);
            } else {
                self.put(entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Random};

    #[test]
    fn items_come_out_in_order_of_time_class_and_ticket() {
        let mut queue = Queue::new();
        queue.push(5, Class::Timer, 'c');
        queue.push(5, Class::Arrival, 'a');
        queue.push(5, Class::Arrival, 'b');
        queue.push(9_000_000, Class::Arrival, 'e');
        queue.push(2_000, Class::Watch, 'd');
        let mut out = vec![];
        while let Some((_, item)) = queue.pop(u64::MAX) {
            out.push(item);
        }
        assert_eq!(out, ['a', 'b', 'c', 'd', 'e']);
    }

    #[test]
    fn nothing_comes_out_before_its_time() {
        let mut queue = Queue::new();
        queue.push(10_000, Class::Timer, ());
        assert_eq!(queue.pop(9_999), None);
        queue.push(9_999, Class::Timer, ());
        assert_eq!(queue.pop(9_999), Some((9_999, ())));
        assert_eq!(queue.pop(10_000), Some((10_000, ())));
    }

    #[test]
    fn a_long_random_run_agrees_with_a_sorted_list() {
        let mut random = Random::new(1, Purpose::Links);
        let mut queue = Queue::new();
        let mut model: std::collections::BTreeMap<(u64, u64), u64> = std::collections::BTreeMap::new();
        let mut now = 0;
        for ticket in 0..20_000_u64 {
            let reach = [10, 2_000, 3_000_000, 60_000_000][random.below(4) as usize];
            let at = now + random.below(reach);
            queue.push(at, Class::Arrival, ticket);
            model.insert((at, ticket), ticket);
            if random.below(5) < 2 {
                let end = now + random.below(4_000_000);
                let expected = model.first_key_value().filter(|((at, _), _)| *at <= end).map(|(&(at, _), &t)| (at, t));
                let popped = queue.pop(end);
                assert_eq!(popped, expected);
                if let Some((at, ticket)) = popped {
                    model.remove(&(at, ticket));
                    now = at;
                }
            }
        }
        assert_eq!(queue.len(), model.len());
        while let Some((at, ticket)) = queue.pop(u64::MAX) {
            assert_eq!(model.pop_first(), Some(((at, ticket), ticket)));
        }
        assert!(model.is_empty());
    }
}
