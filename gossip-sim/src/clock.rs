//! The clocks of one virtual machine: a monotonic one that may drift, and a wall clock that may be wrong.

use gossip_core::Instant;

/// Wall-clock time at the start of every run: 2026-01-01 UTC, in milliseconds since 1970.
const WALL_ORIGIN_MS: i64 = 1_767_225_600_000;

/// Reading of every monotonic clock at the start, in microseconds.
const ORIGIN: u64 = 3_600_000_000;

const MILLION: i128 = 1_000_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    world: u64,
    local: u64,
    drift_ppm: i32,
    wall_offset_us: i64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { world: 0, local: ORIGIN, drift_ppm: 0, wall_offset_us: 0 }
    }

    /// What the monotonic clock shows at `world`.
    pub(crate) fn read(&self, world: u64) -> Instant {
        let passed = world.saturating_sub(self.world);
        if self.drift_ppm == 0 {
            return Instant::from_micros(self.local + passed);
        }
        let scaled = i128::from(passed) * (MILLION + i128::from(self.drift_ppm)) / MILLION;
        Instant::from_micros(self.local + u64::try_from(scaled).unwrap_or(0))
    }

    /// The first moment at which the monotonic clock shows `local` or more.
    pub(crate) fn when(&self, local: Instant) -> u64 {
        let ahead = local.as_micros().saturating_sub(self.local);
        if self.drift_ppm == 0 {
            return self.world.saturating_add(ahead);
        }
        let rate = MILLION + i128::from(self.drift_ppm);
        let scaled = (i128::from(ahead) * MILLION + rate - 1) / rate;
        self.world.saturating_add(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    /// What the wall clock shows, in milliseconds since 1970.
    pub(crate) fn wall_ms(&self, world: u64) -> u64 {
        let micros = i64::try_from(world).unwrap_or(i64::MAX).saturating_add(self.wall_offset_us);
        u64::try_from(WALL_ORIGIN_MS + micros / 1_000).unwrap_or(0)
    }

    /// What the wall clock shows, in microseconds since 1970.
    pub(crate) fn wall_micros(&self, world: u64) -> u64 {
        let micros = i64::try_from(world).unwrap_or(i64::MAX).saturating_add(self.wall_offset_us);
        u64::try_from((WALL_ORIGIN_MS * 1_000).saturating_add(micros)).unwrap_or(0)
    }

    /// Runs faster (positive) or slower from now on.
    pub(crate) fn drift(&mut self, world: u64, ppm: i32) {
        self.local = self.read(world).as_micros();
        self.world = world;
        self.drift_ppm = ppm;
    }

    /// The machine slept or its host did: time went on without it.
    pub(crate) fn leap(&mut self, world: u64, by: u64) {
        self.local = self.read(world).as_micros() + by;
        self.world = world;
    }

    /// Sets the wall clock wrong by this much more.
    pub(crate) fn shift_wall(&mut self, by_us: i64) {
        self.wall_offset_us = self.wall_offset_us.saturating_add(by_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_is_the_inverse_of_read_for_every_drift() {
        for ppm in [0, 1, -1, 200, -200, 100_000, -100_000] {
            let mut clock = Clock::new();
            clock.drift(777, ppm);
            clock.leap(1_000_000, 5);
            for ahead in [0, 1, 999, 1_000_000, 86_400_000_000] {
                let deadline = Instant::from_micros(clock.read(1_000_000).as_micros() + ahead);
                let world = clock.when(deadline);
                assert!(clock.read(world) >= deadline, "{ppm} {ahead}: not yet");
                assert!(world == 1_000_000 || clock.read(world - 1) < deadline, "{ppm} {ahead}: later than needed");
            }
        }
    }

    #[test]
    fn the_wall_clock_can_be_wrong_in_both_directions() {
        let mut clock = Clock::new();
        let right = clock.wall_ms(5_000_000);
        clock.shift_wall(-60_000_000);
        assert_eq!(clock.wall_ms(5_000_000), right - 60_000);
        clock.shift_wall(120_000_000);
        assert_eq!(clock.wall_ms(5_000_000), right + 60_000);
    }
}
