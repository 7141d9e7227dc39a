//! Fingerprints of a table by parts, so that two nodes find where theirs differ without telling each other all of them.
//!
//! Keys stand in the space of 64-bit numbers by their hash. Each level divides it in sixteen times as many buckets as
//! the one above. The sums of the upper levels are kept up to date with each change; below, a bucket holds so few rows
//! that they are added when asked for.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use smallvec::SmallVec;

/// Buckets in a bucket of the level above.
pub(super) const FAN_OUT: usize = 16;

const BITS: u32 = FAN_OUT.ilog2();

/// Levels below the root, which is level zero.
pub(super) const LEVELS: u32 = u64::BITS / BITS;

/// Those whose sums are kept: 4,096 buckets at the lowest.
const KEPT: u32 = 3;

/// A part of the space of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) level: u32,
    /// The upper bits of all places in it.
    pub(super) prefix: u64,
}

impl Bucket {
    pub(super) const ROOT: Self = Self { level: 0, prefix: 0 };

    /// A bucket that came from elsewhere; the root has no prefix.
    pub(super) fn new(level: u32, prefix: u64) -> Option<Self> {
        let is_valid = match level {
            0 => prefix == 0,
            1..LEVELS => prefix >> (level * BITS) == 0,
            _ => level == LEVELS,
        };
        is_valid.then_some(Self { level, prefix })
    }

    pub(super) fn children(self) -> impl Iterator<Item = Self> {
        let level = self.level + 1;
        (0..FAN_OUT as u64).map(move |child| Self { level, prefix: self.prefix << BITS | child })
    }

    fn containing(place: u64, level: u32) -> Self {
        Self { level, prefix: place.checked_shr(u64::BITS - level * BITS).unwrap_or(0) }
    }

    fn places(self) -> RangeInclusive<u64> {
        let shift = u64::BITS - self.level * BITS;
        let first = self.prefix.checked_shl(shift).unwrap_or(0);
        first..=first | u64::MAX.checked_shr(self.level * BITS).unwrap_or(0)
    }

    /// Where its sum is kept.
    fn index(self) -> usize {
        let above: usize = (0..self.level).map(|level| FAN_OUT.pow(level)).sum();
        above + usize::try_from(self.prefix).expect("at most 4,096 buckets are kept")
    }
}

/// The keys at a place with their fingerprints: one, unless two hashes are the same.
type Keys = SmallVec<[(Arc<str>, u64); 1]>;

/// The keys by their places, and the sums of their fingerprints.
#[derive(Debug)]
pub(super) struct Tree {
    sums: Vec<u64>,
    places: BTreeMap<u64, Keys>,
}

impl Tree {
    pub(super) fn new() -> Self {
        let size = (0..=KEPT).map(|level| FAN_OUT.pow(level)).sum();
        Self { sums: vec![0; size], places: BTreeMap::new() }
    }

    pub(super) fn root(&self) -> u64 {
        self.sums[0]
    }

    /// Sets the fingerprint of a key.
    pub(super) fn set(&mut self, place: u64, key: &Arc<str>, fingerprint: u64) {
        let rows = self.places.entry(place).or_default();
        let change = if let Some((_, known)) = rows.iter_mut().find(|(known, _)| known == key) {
            fingerprint.wrapping_sub(core::mem::replace(known, fingerprint))
        } else {
            rows.push((key.clone(), fingerprint));
            fingerprint
        };
        self.add(place, change);
    }

    pub(super) fn remove(&mut self, place: u64, key: &str) {
        let Some(rows) = self.places.get_mut(&place) else { return };
        let Some(index) = rows.iter().position(|(known, _)| &**known == key) else { return };
        let (_, fingerprint) = rows.swap_remove(index);
        if rows.is_empty() {
            self.places.remove(&place);
        }
        self.add(place, fingerprint.wrapping_neg());
    }

    /// The sum of the fingerprints in a bucket. Constant work down to the third level; below, it grows with the rows in
    /// it.
    pub(super) fn sum(&self, bucket: Bucket) -> u64 {
        if bucket.level <= KEPT {
            return self.sums[bucket.index()];
        }
        self.rows(bucket).fold(0, |sum, (_, _, fingerprint)| sum.wrapping_add(fingerprint))
    }

    /// Place, key and fingerprint of the rows in a bucket, by place.
    pub(super) fn rows(&self, bucket: Bucket) -> impl Iterator<Item = (u64, &Arc<str>, u64)> {
        let places = self.places.range(bucket.places());
        places.flat_map(|(&place, rows)| rows.iter().map(move |(key, fingerprint)| (place, key, *fingerprint)))
    }

    /// The keys at a place: one, unless two hashes are the same.
    pub(super) fn at(&self, place: u64) -> impl Iterator<Item = &Arc<str>> {
        self.places.get(&place).into_iter().flatten().map(|(key, _)| key)
    }

    fn add(&mut self, place: u64, change: u64) {
        for level in 0..=KEPT {
            let sum = &mut self.sums[Bucket::containing(place, level).index()];
            *sum = sum.wrapping_add(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_is_the_sum_of_its_children_and_the_lowest_is_one_place() {
        let mut tree = Tree::new();
        for number in 0..2_000_u64 {
            let key: Arc<str> = alloc::format!("{number}").into();
            tree.set(super::super::row::place_of(&key), &key, number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        let mut bucket = Bucket::ROOT;
        assert_eq!(tree.rows(bucket).count(), 2_000);
        while bucket.level < LEVELS {
            let sum = bucket.children().fold(0_u64, |sum, child| sum.wrapping_add(tree.sum(child)));
            assert_eq!(sum, tree.sum(bucket), "level {}", bucket.level);
            assert!(bucket.children().all(|child| Bucket::new(child.level, child.prefix) == Some(child)));
            bucket = bucket.children().find(|&child| tree.rows(child).next().is_some()).expect("it is not empty");
        }
        assert_eq!(tree.rows(bucket).count(), 1);
        let (place, key, _) = tree.rows(bucket).next().map(|(place, key, sum)| (place, key.clone(), sum)).expect("one");
        tree.set(place, &key, 7);
        assert_eq!(tree.sum(bucket), 7);
        tree.remove(place, &key);
        assert_eq!((tree.sum(bucket), tree.rows(bucket).count()), (0, 0));
        let keys: Vec<_> = tree.rows(Bucket::ROOT).map(|(place, key, _)| (place, key.clone())).collect();
        for (place, key) in keys {
            tree.remove(place, &key);
        }
        assert!(tree.sums.iter().all(|&sum| sum == 0));
    }

    #[test]
    fn a_bucket_from_elsewhere_must_lie_in_its_level() {
        assert_eq!(Bucket::new(0, 1), None);
        assert_eq!(Bucket::new(1, 16), None);
        assert_eq!(Bucket::new(17, 0), None);
        assert!(Bucket::new(16, u64::MAX).is_some() && Bucket::new(1, 15).is_some());
    }
}
