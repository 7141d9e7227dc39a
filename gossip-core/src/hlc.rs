//! The hybrid logical clock: timestamps near the wall clock, which never run backwards and respect cause and effect
//! (Kulkarni et al., *Logical Physical Clocks*, 2014).

use core::fmt;
use core::time::Duration;

use crate::config::{ConfigError, within};

/// Microseconds from 1970-01-01 to 2025-01-01, UTC.
const ORIGIN: u64 = 1_735_689_600_000_000;

/// Bits of the counter.
const COUNTER_BITS: u32 = 10;

/// Readings of a wall clock that lie later, some 570 years from now, count as this one. From here to the end of the
/// numbers is room for a day by which a received timestamp may be ahead, and for 10¹⁵ timestamps besides.
const LATEST: u64 = (1 << (u64::BITS - COUNTER_BITS)) - (1 << 40);

/// A point in hybrid time: 54 bits of microseconds since 2025-01-01 UTC, and a counter of 10 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Before all others.
    pub const ZERO: Self = Self(0);

    /// The timestamp that [`as_u64`](Self::as_u64) gave.
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// One number, ordered like the timestamps.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Microseconds since 2025-01-01 UTC.
    pub const fn micros(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// Microseconds since 1970-01-01 UTC.
    pub const fn unix_micros(self) -> u64 {
        self.micros() + ORIGIN
    }

    /// What tells timestamps of one microsecond apart. 0 to 1,023.
    pub const fn counter(self) -> u16 {
        (self.0 & ((1 << COUNTER_BITS) - 1)) as u16
    }

    /// The first of the microsecond that a wall clock shows; the origin if it shows an earlier time.
    const fn at(unix_micros: u64) -> Self {
        let micros = unix_micros.saturating_sub(ORIGIN);
        Self((if micros < LATEST { micros } else { LATEST }) << COUNTER_BITS)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}+{}", self.micros() / 1_000_000, self.micros() % 1_000_000, self.counter())
    }
}

/// A received timestamp was refused, and the clock did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the timestamp is {ahead:?} ahead of this node's wall clock, and at most {most:?} are allowed: set the clocks right"
)]
pub struct TooFarAhead {
    /// By how much.
    pub ahead: Duration,
    /// What the clock was set up with.
    pub most: Duration,
}

/// Makes timestamps, each later than all that it made or received before, whatever the wall clock does.
///
/// It asks no clock: every call is told what the wall clock shows, in microseconds since 1970-01-01 UTC.
///
/// ```
/// use core::time::Duration;
/// use gossip_core::HybridClock;
///
/// let mut ours = HybridClock::new(Duration::from_mins(1)).expect("within the range");
/// let mut theirs = ours.clone();
/// let sent = theirs.tick(1_800_000_000_000_500);
/// ours.receive(1_800_000_000_000_000, sent)?; // this machine's clock is half a millisecond behind
/// assert!(ours.tick(1_800_000_000_000_001) > sent);
/// # Ok::<(), gossip_core::TooFarAhead>(())
/// ```
#[derive(Clone, Debug)]
pub struct HybridClock {
    last: Timestamp,
    max_ahead: Duration,
    refused: u64,
    regressions: u64,
    latest_reading: u64,
}

impl HybridClock {
    /// A clock that refuses received timestamps more than `max_ahead` later than the wall clock. 1 ms to 24 h.
    ///
    /// Too little refuses what comes from clocks that differ a little; whatever is allowed, one wrong clock can push all others
    /// ahead by as much.
    ///
    /// # Errors
    ///
    /// `max_ahead` is out of its range.
    pub fn new(max_ahead: Duration) -> Result<Self, ConfigError> {
        within("max_ahead", &max_ahead, Duration::from_millis(1)..=Duration::from_hours(24))?;
        Ok(Self { last: Timestamp::ZERO, max_ahead, refused: 0, regressions: 0, latest_reading: 0 })
    }

    /// A timestamp later than all before. The 1,025th of a microsecond takes the first place of the next one.
    pub fn tick(&mut self, unix_micros: u64) -> Timestamp {
        self.read(unix_micros);
        // The counter's overflow carries into the microseconds; `LATEST` keeps the sum from overflowing itself.
        let next = Timestamp(self.last.0.saturating_add(1));
        self.last = next.max(Timestamp::at(unix_micros));
        self.last
    }

    /// Takes note of a timestamp that came from elsewhere: all later ones of this clock are greater.
    ///
    /// # Errors
    ///
    /// It is too far ahead of the wall clock. The clock is unchanged, and the case counted.
    pub fn receive(&mut self, unix_micros: u64, theirs: Timestamp) -> Result<(), TooFarAhead> {
        self.read(unix_micros);
        // Measured against the wall clock: against the last timestamp, they could walk ahead step by step.
        let ahead = Duration::from_micros(theirs.micros().saturating_sub(Timestamp::at(unix_micros).micros()));
        if ahead > self.max_ahead {
            self.refused += 1;
            return Err(TooFarAhead { ahead, most: self.max_ahead });
        }
        self.last = self.last.max(theirs);
        Ok(())
    }

    /// The latest timestamp made or received.
    pub const fn last(&self) -> Timestamp {
        self.last
    }

    /// Received timestamps that were too far ahead.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Times that the wall clock showed an earlier time than before.
    pub const fn regressions(&self) -> u64 {
        self.regressions
    }

    fn read(&mut self, unix_micros: u64) {
        self.regressions += u64::from(unix_micros < self.latest_reading);
        self.latest_reading = unix_micros;
    }
}

#[cfg(test)]
mod tests;
