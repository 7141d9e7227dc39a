//! The simulator's randomness: one named generator, one stream for each purpose.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};

/// What a stream of random numbers is for. What one stream is asked does not change what another answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Latency, loss and damage.
    Links,
    /// Which nodes a fault strikes, and when.
    Faults,
    /// The seeds of the nodes.
    Nodes,
    /// What the application does.
    Workload,
    /// Garbage from strangers.
    Noise,
    /// What the applications send each other.
    Messages,
    /// The keys of sealed clusters.
    Keys,
    /// What outsiders do.
    Outsiders,
    /// What is written to stores.
    Stores,
    /// What is done with locks.
    Locks,
}

/// A probability, as the share of 2^64 below which a random number counts as a hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Odds(u64);

impl Odds {
    /// From a probability in `0.0..=1.0`; the conversion is exact on every machine.
    pub(crate) fn of(probability: f64) -> Self {
        // 2^53 steps: every double in the range is a multiple of a smaller step or rounds down to one.
        let steps = (probability.clamp(0.0, 1.0) * 9_007_199_254_740_992.0) as u64;
        Self(steps.saturating_mul(2_048))
    }

    /// Whether a random number is a hit.
    pub(crate) fn covers(self, draw: u64) -> bool {
        !self.is_never() && draw <= self.0
    }

    pub(crate) fn is_never(self) -> bool {
        self.0 == 0
    }
}

/// `ChaCha8`, seeded from the run's seed and a purpose.
#[derive(Clone, Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Self {
        Self::keyed(seed, purpose, 0)
    }

    /// A stream of its own for the `number`th of several things with the same purpose.
    pub(crate) fn keyed(seed: u64, purpose: Purpose, number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&number.to_le_bytes());
        bytes[16] = purpose as u8;
        Self(ChaCha8Rng::from_seed(bytes))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform number in `0..bound`; zero if `bound` is zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A uniform number in `least..=most`.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    pub(crate) fn hits(&mut self, odds: Odds) -> bool {
        !odds.is_never() && self.next() <= odds.0
    }

    /// A number of the standard normal distribution. Only `libm` is used, so that every machine computes the same.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(core::f64::consts::TAU * self.unit())
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    /// A number in `0.0..1.0`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / 9_007_199_254_740_992.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_vectors_keep_old_seeds_meaningful() {
        let mut links = Random::new(1, Purpose::Links);
        let mut faults = Random::new(1, Purpose::Faults);
        assert_ne!(links.next(), faults.next(), "each purpose has a stream of its own");
        let mut again = Random::new(1, Purpose::Links);
        let draws: Vec<u64> = (0..3).map(|_| again.below(1_000)).collect();
        assert_eq!(draws, [GOLDEN[0], GOLDEN[1], GOLDEN[2]]);
    }

    const GOLDEN: [u64; 3] = [381, 294, 798];

    #[test]
    fn odds_hit_about_as_often_as_they_say() {
        let mut random = Random::new(2, Purpose::Links);
        for (probability, least, most) in [(0.0, 0, 0), (0.25, 2_300, 2_700), (1.0, 10_000, 10_000)] {
            let odds = Odds::of(probability);
            let hits = (0..10_000).filter(|_| random.hits(odds)).count();
            assert!((least..=most).contains(&hits), "{probability}: {hits}");
        }
    }

    #[test]
    fn the_normal_distribution_has_the_right_centre_and_width() {
        let mut random = Random::new(3, Purpose::Links);
        let draws: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|draw| (draw - mean) * (draw - mean)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
