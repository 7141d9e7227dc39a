//! How long packets take.

use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::scenario::{Share, Span};

/// Longest that a single packet takes, whatever the distribution says, in microseconds.
const LONGEST: u64 = 60_000_000;

/// The time that a packet takes in one direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Latency {
    /// Always the same.
    Constant(Span),
    /// Evenly spread between two values.
    Uniform {
        /// The shortest.
        least: Span,
        /// The longest.
        most: Span,
    },
    /// Mostly near the median, sometimes much longer, as on the internet.
    LogNormal {
        /// Half of the packets are faster.
        median: Span,
        /// How far the tail reaches: 0.3 is calm, 1 is wild.
        sigma: f64,
    },
    /// Nodes live in regions in turn (node 0 in the first, node 1 in the second, …); the time depends on both ends.
    Regions {
        /// One row for each region that sends, one entry in it for each that receives.
        delays: Vec<Vec<Span>>,
        /// Every packet takes up to this share longer.
        #[serde(default)]
        jitter: Share,
    },
}

impl Latency {
    pub(crate) fn draw(&self, random: &mut Random, from: u32, to: u32) -> u64 {
        match self {
            Self::Constant(span) => span.as_micros(),
            Self::Uniform { least, most } => random.between(least.as_micros(), most.as_micros()),
            Self::LogNormal { median, sigma } => {
                let factor = libm::exp(sigma * random.normal());
                ((median.as_micros() as f64 * factor) as u64).min(LONGEST)
            }
            Self::Regions { delays, jitter } => {
                let row = &delays[from as usize % delays.len()];
                let base = row[to as usize % row.len()].as_micros();
                base + random.below((base as f64 * jitter.value()) as u64 + 1)
            }
        }
    }

    /// A time that hardly any packet exceeds, in microseconds: what deadlines are derived from.
    pub(crate) fn worst(&self) -> u64 {
        match self {
            Self::Constant(span) => span.as_micros(),
            Self::Uniform { most, .. } => most.as_micros(),
            Self::LogNormal { median, sigma } => {
                ((median.as_micros() as f64 * libm::exp(4.0 * sigma)) as u64).min(LONGEST)
            }
            Self::Regions { delays, jitter } => {
                let longest = delays.iter().flatten().map(|span| span.as_micros()).max().unwrap_or(0);
                longest + (longest as f64 * jitter.value()) as u64
            }
        }
    }

    /// What is wrong with it: the key, and what was expected.
    pub(crate) fn problem(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Constant(_) => None,
            Self::Uniform { least, most } => {
                (least > most).then_some(("uniform.most", "a span that is not shorter than `least`"))
            }
            Self::LogNormal { sigma, .. } => {
                (!(0.0..=3.0).contains(sigma)).then_some(("log_normal.sigma", "a number from 0 to 3"))
            }
            Self::Regions { delays, .. } => {
                let square = !delays.is_empty() && delays.iter().all(|row| row.len() == delays.len());
                (!square).then_some(("regions.delays", "as many spans in each row as there are rows, at least one"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn each_distribution_stays_within_its_bounds_and_near_its_middle() {
        let mut random = Random::new(5, Purpose::Links);
        let mut draws = |latency: &Latency| {
            let mut draws: Vec<u64> = (0..4_001).map(|_| latency.draw(&mut random, 0, 1)).collect();
            draws.sort_unstable();
            (draws[0], draws[2_000], draws[4_000])
        };
        let ms = Span::millis;
        assert_eq!(draws(&Latency::Constant(ms(3))), (3_000, 3_000, 3_000));
        let (least, middle, most) = draws(&Latency::Uniform { least: ms(1), most: ms(3) });
        assert!(least >= 1_000 && most <= 3_000 && (1_900..2_100).contains(&middle));
        let (_, middle, most) = draws(&Latency::LogNormal { median: ms(60), sigma: 0.5 });
        assert!((57_000..63_000).contains(&middle) && most > 150_000, "{middle} {most}");
        let delays = vec![vec![ms(1), ms(80)], vec![ms(90), ms(1)]];
        let (least, _, most) = draws(&Latency::Regions { delays, jitter: Share::new(0.1).unwrap() });
        assert!(least >= 80_000 && most <= 88_000);
    }
}
