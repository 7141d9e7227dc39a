//! Who has a hard time: nodes that others may fail to hear in time, or that may fail to hear others, through no fault
//! of the protocol. Everybody else has to be treated rightly, whatever goes wrong elsewhere.

use crate::facts::Facts;

/// Share of packets that get lost beyond which nothing is asked of a node.
pub(crate) const ROUGH: f64 = 0.34;

/// Share of the running nodes from which a node may be cut off before nothing is asked of it: one in so many.
const CUT_OFF: usize = 4;

/// When each machine had a hard time last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hardship {
    hosts: Vec<Times>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Times {
    is_hard: bool,
    /// When it was over; zero if it never was.
    until: u64,
}

impl Hardship {
    /// Takes note of how a machine fares from now on.
    pub(crate) fn note(&mut self, now: u64, host: u32, is_hard: bool) {
        let index = host as usize;
        if self.hosts.len() <= index {
            self.hosts.resize(index + 1, Times::default());
        }
        let times = &mut self.hosts[index];
        if times.is_hard && !is_hard {
            times.until = now;
        }
        times.is_hard = is_hard;
    }

    /// It had a hard time for a moment.
    pub(crate) fn strike(&mut self, now: u64, host: u32) {
        self.note(now, host, true);
        self.note(now, host, false);
    }

    fn struck_since(&self, since: u64, host: u32) -> bool {
        self.hosts.get(host as usize).is_some_and(|times| times.is_hard || times.until > since)
    }
}

impl Facts {
    /// Whether a machine with this loss has a hard time at the moment.
    pub(crate) fn fares_badly(&self, host: u32, loss: f64) -> bool {
        let person = self.person(host);
        let is_held_up = person.pauses > 0 || person.slowed > 0;
        is_held_up || loss > ROUGH || self.cuts.separated_from(host) * CUT_OFF > self.running as usize
    }

    /// Whether it cannot be asked that `observer` is right about the node of `host`: since `since` one of them had a
    /// hard time, or they were cut off from each other.
    pub(crate) fn is_excused(&self, observer: u32, host: u32, since: u64) -> bool {
        let is_struck = |host| self.hardship.struck_since(since, host) || self.is_doubled(host);
        is_struck(observer) || is_struck(host) || self.cuts.separated_since(since, observer, host)
    }

    /// How far back in time a wrong belief may have its reason, in microseconds.
    pub(crate) fn memory(&self) -> u64 {
        let (probes, suspicion) = (self.probing_time(), self.suspicion_time());
        2 * probes + suspicion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hard_time_counts_while_it_lasts_and_until_it_is_forgotten() {
        let mut hardship = Hardship::default();
        assert!(!hardship.struck_since(0, 3));
        hardship.note(5, 3, true);
        hardship.note(9, 3, true);
        assert!(hardship.struck_since(100, 3) && !hardship.struck_since(0, 2));
        hardship.note(10, 3, false);
        assert!(hardship.struck_since(9, 3) && !hardship.struck_since(10, 3));
        hardship.strike(20, 2);
        assert!(hardship.struck_since(19, 2) && !hardship.struck_since(20, 2));
    }
}
