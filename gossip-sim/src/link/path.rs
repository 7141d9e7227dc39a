//! A link made ready to decide about packets quickly.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use crate::link::{Burst, Latency, Link};
use crate::random::{Odds, Random};

/// Bytes of IP and UDP headers.
const HEADERS: u64 = 28;

/// Bytes of IP and TCP headers, and of what one segment carries.
const STREAM_HEADERS: u64 = 40;
const SEGMENT: u64 = 1_460;

/// Longest time that a packet waits for its turn on a link of limited rate, in microseconds.
const LONGEST_WAIT: u64 = 200_000;

/// Longest that a packet is held up where the scenario does not say, in microseconds.
pub(super) const HELD_UP: u64 = 50_000;

/// What becomes of a datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// When its copies arrive, after the moment of sending; none if it is lost.
    pub(crate) arrivals: SmallVec<[u64; 2]>,
    pub(crate) corrupt: bool,
    pub(crate) truncate: bool,
    pub(crate) replay: bool,
}

#[derive(Debug)]
struct Bursts {
    enter: Odds,
    leave: Odds,
    loss: Odds,
    /// Directed pairs whose link is bad.
    bad: BTreeSet<(u32, u32)>,
}

#[derive(Debug)]
pub(crate) struct Path {
    latency: Option<Latency>,
    loss: Odds,
    bursts: Option<Bursts>,
    duplicate: Odds,
    reorder: Odds,
    reorder_by: u64,
    rate: Option<u64>,
    largest: u64,
    corrupt: Odds,
    truncate: Odds,
    replay: Odds,
    /// For each sender: when it has sent what it was given. Empty without a rate.
    busy_until: Vec<u64>,
    /// The same for streams.
    streams_busy_until: Vec<u64>,
    is_plain: bool,
}

impl Path {
    pub(crate) fn new(link: &Link) -> Self {
        let odds = |share: crate::scenario::Share| Odds::of(share.value());
        let bursts = |burst: &Burst| Bursts {
            enter: odds(burst.enter),
            leave: odds(burst.leave),
            loss: odds(burst.loss),
            bad: BTreeSet::new(),
        };
        Self {
            latency: link.latency.clone(),
            loss: odds(link.loss),
            bursts: link.burst.as_ref().map(bursts),
            duplicate: odds(link.duplicate),
            reorder: odds(link.reorder),
            reorder_by: link.reorder_by.map_or(HELD_UP, crate::scenario::Span::as_micros),
            rate: link.rate,
            largest: link.mtu.map_or(u64::MAX, |mtu| u64::from(mtu).saturating_sub(HEADERS)),
            corrupt: odds(link.corrupt),
            truncate: odds(link.truncate),
            replay: odds(link.replay),
            busy_until: Vec::new(),
            streams_busy_until: Vec::new(),
            is_plain: !link.is_harmful(),
        }
    }

    /// How long a packet takes that nothing happens to.
    pub(crate) fn latency(&self, random: &mut Random, from: u32, to: u32) -> u64 {
        self.latency.as_ref().map_or(0, |latency| latency.draw(random, from, to))
    }

    /// What becomes of a datagram of `size` bytes sent at `now`.
    pub(crate) fn send(&mut self, random: &mut Random, now: u64, from: u32, to: u32, size: usize) -> Fate {
        let mut fate = Fate::default();
        let latency = self.latency(random, from, to);
        if self.is_plain {
            fate.arrivals.push(latency);
            return fate;
        }
        let size = size as u64;
        let Some(wait) = self.queue(now, from, size) else { return fate };
        if size > self.largest || self.is_lost(random, from, to) {
            return fate;
        }
        let held_up = if random.hits(self.reorder) { random.below(self.reorder_by + 1) } else { 0 };
        fate.arrivals.push(wait + latency + held_up);
        if random.hits(self.duplicate) {
            let again = self.latency(random, from, to);
            fate.arrivals.push(wait + again);
        }
        fate.corrupt = random.hits(self.corrupt);
        fate.truncate = random.hits(self.truncate);
        fate.replay = random.hits(self.replay);
        fate
    }

    /// Whether a segment of a stream is lost, so that it has to be sent again.
    pub(crate) fn loses_segment(&mut self, random: &mut Random, from: u32, to: u32) -> bool {
        !self.is_plain && self.is_lost(random, from, to)
    }

    fn is_lost(&mut self, random: &mut Random, from: u32, to: u32) -> bool {
        let in_burst = self.bursts.as_mut().is_some_and(|bursts| bursts.lose(random, (from, to)));
        in_burst || random.hits(self.loss)
    }

    /// How long a packet waits for its turn; `None` if the queue is full.
    fn queue(&mut self, now: u64, from: u32, size: u64) -> Option<u64> {
        let Some(rate) = self.rate else { return Some(0) };
        let index = from as usize;
        if self.busy_until.len() <= index {
            self.busy_until.resize(index + 1, 0);
        }
        let start = self.busy_until[index].max(now);
        if start - now > LONGEST_WAIT {
            return None;
        }
        let end = start + (size + HEADERS) * 1_000_000 / rate.max(1);
        self.busy_until[index] = end;
        // Datagrams go first; what waits of streams waits longer.
        if let Some(until) = self.streams_busy_until.get_mut(index).filter(|until| **until > now) {
            *until += end - start;
        }
        Some(end - now)
    }

    /// How long a segment of a stream waits for its turn; none is dropped, and none is too large.
    pub(crate) fn queue_segment(&mut self, now: u64, from: u32, size: usize) -> u64 {
        let Some(rate) = self.rate else { return 0 };
        let index = from as usize;
        if self.streams_busy_until.len() <= index {
            self.streams_busy_until.resize(index + 1, 0);
        }
        let datagrams = self.busy_until.get(index).copied().unwrap_or(0);
        let start = self.streams_busy_until[index].max(datagrams).max(now);
        let size = size as u64;
        let bytes = size + STREAM_HEADERS * size.div_ceil(SEGMENT).max(1);
        let end = start + bytes * 1_000_000 / rate.max(1);
        self.streams_busy_until[index] = end;
        end - now
    }
}

impl Bursts {
    fn lose(&mut self, random: &mut Random, pair: (u32, u32)) -> bool {
        let mut is_bad = self.bad.contains(&pair);
        if is_bad && random.hits(self.leave) {
            self.bad.remove(&pair);
            is_bad = false;
        } else if !is_bad && random.hits(self.enter) {
            self.bad.insert(pair);
            is_bad = true;
        }
        is_bad && random.hits(self.loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;
    use crate::scenario::{Share, Span};

    fn share(value: f64) -> Share {
        Share::new(value).unwrap()
    }

    fn fates(link: &Link, count: usize, size: usize) -> Vec<Fate> {
        let mut random = Random::new(4, Purpose::Links);
        let mut path = Path::new(link);
        (0..count).map(|_| path.send(&mut random, 0, 0, 1, size)).collect()
    }

    fn base() -> Link {
        Link { latency: Some(Latency::Constant(Span::millis(1))), ..Link::default() }
    }

    #[test]
    fn a_plain_link_delivers_everything_once() {
        assert!(fates(&base(), 100, 1_400).iter().all(|fate| fate.arrivals.as_slice() == [1_000] && !fate.corrupt));
    }

    #[test]
    fn loss_and_duplication_are_as_frequent_as_asked_for() {
        let link = Link { loss: share(0.2), duplicate: share(0.1), ..base() };
        let fates = fates(&link, 10_000, 100);
        let lost = fates.iter().filter(|fate| fate.arrivals.is_empty()).count();
        let twice = fates.iter().filter(|fate| fate.arrivals.len() == 2).count();
        assert!((1_850..2_150).contains(&lost) && (700..900).contains(&twice), "{lost} {twice}");
    }

    #[test]
    fn bursts_lose_several_in_a_row() {
        let burst = Burst { enter: share(0.01), leave: share(0.1), loss: share(1.0) };
        let fates = fates(&Link { burst: Some(burst), ..base() }, 20_000, 100);
        let lost: Vec<bool> = fates.iter().map(|fate| fate.arrivals.is_empty()).collect();
        let total = lost.iter().filter(|&&lost| lost).count();
        let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert!((1_300..2_400).contains(&total), "{total}");
        assert!(total / runs >= 7, "{total} in {runs} runs");
    }

    #[test]
    fn a_rate_delays_and_then_drops() {
        let link = Link { rate: Some(100_000), ..base() };
        let fates = fates(&link, 100, 972);
        assert_eq!(fates[0].arrivals.as_slice(), [11_000]);
        assert_eq!(fates[1].arrivals.as_slice(), [21_000]);
        assert_eq!(fates.iter().filter(|fate| !fate.arrivals.is_empty()).count(), 21);
    }

    #[test]
    fn streams_wait_for_their_turn_behind_datagrams_and_lose_nothing() {
        let link = Link { rate: Some(100_000), ..base() };
        let mut path = Path::new(&link);
        let mut random = Random::new(4, Purpose::Links);
        assert_eq!(path.queue_segment(0, 0, 960), 10_000);
        assert_eq!(path.queue_segment(0, 0, 960), 20_000);
        assert_eq!(path.send(&mut random, 0, 0, 1, 972).arrivals.as_slice(), [11_000], "datagrams go first");
        assert_eq!(path.queue_segment(0, 0, 960), 40_000);
        assert_eq!(path.queue_segment(0, 0, 96_000), 1_026_400, "however long it takes");
    }

    #[test]
    fn the_mtu_drops_what_is_larger_and_nothing_else() {
        let link = Link { mtu: Some(1_500), ..base() };
        assert_eq!(fates(&link, 1, 1_472)[0].arrivals.len(), 1);
        assert_eq!(fates(&link, 1, 1_473)[0].arrivals.len(), 0);
    }

    #[test]
    fn reordering_corruption_truncation_and_replay_happen() {
        let half = share(0.5);
        let link = Link { reorder: half, corrupt: half, truncate: half, replay: half, ..base() };
        let fates = fates(&link, 400, 100);
        let count = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
        for count in [
            count(|fate| fate.arrivals[0] > 1_000),
            count(|fate| fate.corrupt),
            count(|fate| fate.truncate),
            count(|fate| fate.replay),
        ] {
            assert!((150..250).contains(&count), "{count}");
        }
    }
}
