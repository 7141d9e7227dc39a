//! How long a member takes to answer, smoothed as in RFC 6298.

use core::time::Duration;

/// Smoothed round trip and its variation, in microseconds; zero until measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoundTrip {
    smoothed: u32,
    variation: u32,
}

impl RoundTrip {
    pub(crate) fn measure(&mut self, sample: Duration) {
        let sample = u32::try_from(sample.as_micros()).unwrap_or(u32::MAX).max(1);
        if self.smoothed == 0 {
            *self = Self { smoothed: sample, variation: sample / 2 };
            return;
        }
        let error = self.smoothed.abs_diff(sample);
        self.variation = self.variation - self.variation / 4 + error / 4;
        self.smoothed = self.smoothed - self.smoothed / 8 + sample / 8;
    }

    /// How long to wait for an answer: between a tenth of `longest` and `longest`, which it is until measured.
    pub(crate) fn timeout(self, longest: Duration) -> Duration {
        if self.smoothed == 0 {
            return longest;
        }
        let expected = u64::from(self.smoothed) + 4 * u64::from(self.variation);
        Duration::from_micros(expected).clamp(longest / 10, longest)
    }

    /// How long to wait before what was not acknowledged is sent again; nothing until measured.
    pub(crate) fn retransmission(self, shortest: Duration, longest: Duration) -> Option<Duration> {
        let expected = u64::from(self.smoothed) + 4 * u64::from(self.variation);
        (self.smoothed > 0).then(|| Duration::from_micros(expected).clamp(shortest, longest.max(shortest)))
    }

    /// The same, where `typical` is usual among all: the variation of a few samples says little, so no more than twice the round
    /// trip is waited beyond that.
    pub(crate) fn retransmission_among(self, typical: Duration, shortest: Duration, longest: Duration) -> Duration {
        let most = typical.max(Duration::from_micros(2 * u64::from(self.smoothed)));
        self.retransmission(shortest, longest).map_or(typical, |expected| expected.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_follows_the_samples_within_its_bounds() {
        let longest = Duration::from_millis(500);
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.timeout(longest), longest);
        for _ in 0..50 {
            round_trip.measure(Duration::from_millis(100));
        }
        let wait = round_trip.timeout(longest);
        assert!((Duration::from_millis(95)..Duration::from_millis(120)).contains(&wait), "{wait:?}");
        for _ in 0..50 {
            round_trip.measure(Duration::from_micros(200));
        }
        assert_eq!(round_trip.timeout(longest), longest / 10);
    }
}
