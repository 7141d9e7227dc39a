//! Times, counted in steps of less than one percent: percentiles of millions of them in a fixed place.

use crate::report::Percentiles;

/// Steps of each power of two.
const STEPS: u64 = 128;

/// Counts of times in microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn add(&mut self, micros: u64) {
        let step = step_of(micros);
        if self.counts.len() <= step {
            self.counts.resize(step + 1, 0);
        }
        self.counts[step] += 1;
        self.total += 1;
        self.max = self.max.max(micros);
    }

    /// The percentiles; the longest is exact, the others are up to one percent too long.
    pub(crate) fn percentiles(&self) -> Percentiles {
        Percentiles { count: self.total, p50: self.at(50), p99: self.at(99), max: self.max as f64 / 1_000.0 }
    }

    /// The milliseconds that each percent of the times stays within, from 0 to 100; empty without times.
    pub(crate) fn curve(&self) -> Vec<f64> {
        if self.total == 0 { Vec::new() } else { (0..=100).map(|percent| self.at(percent)).collect() }
    }

    fn at(&self, percent: u64) -> f64 {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let step = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        step.map_or(0.0, |step| longest_of(step).min(self.max) as f64 / 1_000.0)
    }
}

/// Small times have a step each; then every power of two has the same number of them.
fn step_of(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let power = u64::from(micros.ilog2() - STEPS.ilog2());
    ((power + 1) * STEPS + (micros >> power) - STEPS) as usize
}

fn longest_of(step: usize) -> u64 {
    let step = step as u64;
    if step < STEPS {
        return step;
    }
    let power = step / STEPS - 1;
    ((step % STEPS + STEPS + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_narrow_and_leave_no_gap() {
        let mut last = 0;
        for micros in (0..100_000).chain([1 << 30, (1 << 40) + 12_345]) {
            let step = step_of(micros);
            assert!(longest_of(step) >= micros && longest_of(step) as f64 <= micros as f64 * 1.01, "{micros}");
            assert!(step >= last, "{micros}");
            last = step;
        }
    }

    #[test]
    fn percentiles_are_those_of_the_times() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentiles(), Percentiles::default());
        (1..=1_000).rev().for_each(|ms| histogram.add(ms * 1_000));
        let found = histogram.percentiles();
        assert_eq!((found.count, found.max), (1_000, 1_000.0));
        assert!((500.0..505.0).contains(&found.p50) && (990.0..=1_000.0).contains(&found.p99), "{found:?}");
    }

    #[test]
    fn a_curve_has_the_time_of_each_percent() {
        let mut histogram = Histogram::default();
        assert!(histogram.curve().is_empty());
        (1..=200).for_each(|ms| histogram.add(ms * 1_000));
        let curve = histogram.curve();
        assert_eq!((curve.len(), curve[50], curve[100]), (101, histogram.percentiles().p50, 200.0));
        assert!((1.0..1.01).contains(&curve[0]) && (20.0..20.2).contains(&curve[10]), "{curve:?}");
    }
}
