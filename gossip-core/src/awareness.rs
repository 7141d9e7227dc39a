//! Local health (Lifeguard §IV-A): a node that misses answers doubts itself before it doubts others.

use core::time::Duration;

/// The local health multiplier: zero is healthy.
#[derive(Debug)]
pub(crate) struct Awareness {
    score: u32,
    worst: u32,
}

impl Awareness {
    /// Healthy; the score stays below `bound`.
    pub(crate) fn new(bound: u32) -> Self {
        Self { score: 0, worst: bound - 1 }
    }

    pub(crate) fn score(&self) -> u32 {
        self.score
    }

    pub(crate) fn improve(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    pub(crate) fn worsen(&mut self, by: u32) {
        self.score = self.score.saturating_add(by).min(self.worst);
    }

    /// A period or timeout, longer while the node is unwell.
    pub(crate) fn scale(&self, span: Duration) -> Duration {
        span * (self.score + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_stays_within_its_bounds_and_scales_spans() {
        let mut awareness = Awareness::new(8);
        awareness.improve();
        assert_eq!(awareness.score(), 0);
        awareness.worsen(100);
        assert_eq!(awareness.score(), 7);
        assert_eq!(awareness.scale(Duration::from_secs(1)), Duration::from_secs(8));
    }
}
