//! The node's only source of randomness: `ChaCha8`, seeded from outside.
//!
//! A named, cryptographic generator serves both purposes at once: the same seed gives the same run on every
//! machine, and nobody can predict sequence numbers or targets without the seed.

use core::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};

/// 256 bits of seed. A driver takes them from the operating system; a simulation derives them from its own seed.
pub type Seed = [u8; 32];

#[derive(Clone)]
pub(crate) struct Rng(ChaCha8Rng);

impl Rng {
    pub(crate) fn from_seed(seed: Seed) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform number in `0..bound`; zero if `bound` is zero.
    ///
    /// Multiply-shift without rejection: the bias is below `bound / 2^64`.
    #[expect(clippy::cast_possible_truncation, reason = "the result is below `bound`")]
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.below_u64(bound as u64) as usize
    }

    pub(crate) fn below_u64(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with probability `numerator / denominator`; always if the fraction is one or more.
    pub(crate) fn chance(&mut self, numerator: usize, denominator: usize) -> bool {
        numerator >= denominator || self.below(denominator) < numerator
    }

    /// `span` spread evenly over ±10%, so that nodes started together do not stay in step.
    pub(crate) fn jitter(&mut self, span: Duration) -> Duration {
        let micros = u64::try_from(span.as_micros() / 10).unwrap_or(u64::MAX / 4);
        span * 9 / 10 + Duration::from_micros(self.below_u64(2 * micros + 1))
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

impl core::fmt::Debug for Rng {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Rng")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_vector_of_the_zero_seed() {
        // ChaCha8 keystream, all-zero key, block 0 (first eight bytes, little endian).
        let mut rng = Rng::from_seed([0; 32]);
        assert_eq!(rng.next_u32(), 0x2fef_003e);
        assert_eq!(rng.next_u32(), 0xd640_5f89);
    }

    #[test]
    fn below_stays_in_range_and_reaches_every_value() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut seen = [0_u32; 7];
        for _ in 0..7_000 {
            seen[rng.below(7)] += 1;
        }
        assert!(seen.iter().all(|&count| count > 850), "{seen:?}");
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        let mut rng = Rng::from_seed([2; 32]);
        for _ in 0..1_000 {
            let span = rng.jitter(Duration::from_secs(1));
            assert!((Duration::from_millis(900)..=Duration::from_millis(1_100)).contains(&span));
        }
    }
}
