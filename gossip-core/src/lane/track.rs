//! What was heard of a lane, in stretches of its numbers.
//!
//! A lane has one stretch as a rule. A number far from all that was heard begins another, so that neither a long absence nor
//! an invented number decides about the numbers elsewhere.

use alloc::collections::BTreeMap;
use core::time::Duration;

use smallvec::SmallVec;

use crate::lane::{Heard, Kept, Window};
use crate::time::Instant;

/// Stretches of a lane; the one used longest ago gives way.
const STRETCHES: usize = 3;

/// Numbers that are remembered whatever is missing among them.
pub(crate) const WINDOW: u64 = 4_096;

/// Numbers that a stretch may span while what is missing can still come.
const SPAN: u64 = 65_536;

/// Ordered messages in a row after which it is believed that the origin is where they say, if nothing else is heard. One
/// alone may be a copy that some node held for long.
const BELIEVED: u8 = 4;

/// A number as it is heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) now: Instant,
    pub(crate) number: u64,
    /// How many numbers before it can still come, if nothing else is known of the lane.
    pub(crate) recent: u64,
    /// How long it takes until what is missing will not come any more.
    pub(crate) keep: Duration,
    /// Whether there is memory for more than [`WINDOW`] numbers.
    pub(crate) has_room: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) heard: Heard,
    /// Numbers of which it is certain by now that they do not come any more.
    pub(crate) lost: u64,
}

/// When an ordered message is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Now,
    /// Others before it are missing.
    Later,
    /// It was reported as lost, and those behind it were delivered.
    Over,
}

#[derive(Debug)]
struct Stretch {
    window: Window,
    /// What is missing below `old` does not come any more; what is missing below `mark` is since `marked`.
    old: u64,
    mark: u64,
    marked: Instant,
    /// When something was heard last.
    used: Instant,
    /// All before it were delivered in order, or given up.
    next: u64,
    gave_up: Instant,
    /// Something behind `next` came since.
    goes_on: bool,
    /// Ordered ones in a row that came from before `next`.
    late: u8,
    /// Those that wait for their predecessors.
    held: BTreeMap<u64, Kept>,
}

impl Stretch {
    fn beginning_at(first: u64, now: Instant) -> Self {
        let window = Window::beginning_at(first);
        let (gave_up, held) = (Instant::ZERO, BTreeMap::new());
        Self {
            window,
            old: first,
            mark: first,
            marked: now,
            used: now,
            next: first,
            gave_up,
            goes_on: false,
            late: 0,
            held,
        }
    }

    fn hear(&mut self, step: Step) -> Outcome {
        let lost = self.age(step);
        if step.number.saturating_sub(self.window.base()) >= WINDOW {
            self.window.skip_to(self.old.min(step.number - WINDOW));
            let reach = step.number - self.window.base();
            if reach >= SPAN || (reach >= WINDOW + u64::from(u64::BITS) && !step.has_room) {
                return Outcome { heard: Heard::TooFar, lost };
            }
        }
        let heard = self.window.hear(step.number);
        if heard == Heard::New {
            self.used = step.now;
            self.goes_on |= step.number >= self.next;
        }
        Outcome { heard, lost }
    }

    /// Takes note of the time that has passed; how many numbers do not come any more since the last time.
    fn age(&mut self, step: Step) -> u64 {
        let is_over = |since: Instant| step.now.saturating_since(since) >= step.keep;
        if !is_over(self.marked) {
            return 0;
        }
        let top = self.window.top();
        let over = if is_over(self.used) { top } else { self.mark };
        let lost = self.window.missing_in(self.old.max(self.next), over);
        (self.old, self.mark, self.marked) = (over.max(self.old), top, step.now);
        lost
    }
}

#[derive(Debug, Default)]
pub(crate) struct Track {
    /// The one used last comes first.
    stretches: SmallVec<[Stretch; 1]>,
}

impl Track {
    /// A track that awaits `first`.
    pub(crate) fn beginning_at(first: u64, now: Instant) -> Self {
        Self { stretches: SmallVec::from_iter([Stretch::beginning_at(first, now)]) }
    }

    pub(crate) fn hear(&mut self, step: Step) -> Outcome {
        let Some(index) = self.place(step.number) else { return self.begin(step) };
        let outcome = self.stretches[index].hear(step);
        if outcome.heard == Heard::New && index > 0 {
            let stretch = self.stretches.remove(index);
            self.stretches.insert(0, stretch);
        }
        outcome
    }

    /// Begins a stretch.
    fn begin(&mut self, step: Step) -> Outcome {
        if self.stretches.len() == STRETCHES {
            let Some(index) = self.stretches.iter().rposition(|stretch| stretch.held.is_empty()) else {
                return Outcome { heard: Heard::TooFar, lost: 0 };
            };
            self.stretches.remove(index);
        }
        let first = step.number - step.recent.min(step.number - 1).min(WINDOW / 2);
        let before = self.stretches.first().map(|stretch| stretch.window.top());
        let lost = before.map_or(0, |top| first.saturating_sub(top.saturating_add(1)));
        self.stretches.insert(0, Stretch::beginning_at(first, step.now));
        let Outcome { heard, .. } = self.stretches[0].hear(step);
        Outcome { heard, lost }
    }

    /// The stretch that knows of a number, or would.
    fn place(&self, number: u64) -> Option<usize> {
        let find = |is_it: &dyn Fn(&Window) -> bool| self.stretches.iter().position(|stretch| is_it(&stretch.window));
        find(&|window| window.base() <= number && window.contains(number))
            .or_else(|| find(&|window| window.base() <= number && number - window.base() < SPAN))
            .or_else(|| find(&|window| window.base() <= number && number < window.top().saturating_add(WINDOW)))
            .or_else(|| find(&|window| number < window.base() && window.base() - number <= SPAN))
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.place(number).is_some_and(|index| self.stretches[index].window.contains(number))
    }

    /// The first number from `number` on that was not heard.
    pub(crate) fn missing_from(&self, number: u64) -> u64 {
        self.place(number).map_or(number, |index| self.stretches[index].window.missing_from(number))
    }

    /// The last number heard where something was heard last.
    pub(crate) fn top(&self) -> u64 {
        self.stretches.first().map_or(0, |stretch| stretch.window.top())
    }

    /// Takes note that all up to `last` is history.
    pub(crate) fn skip(&mut self, last: u64, now: Instant) {
        let first = last.saturating_add(1);
        match self.place(last) {
            Some(index) => {
                let stretch = &mut self.stretches[index];
                stretch.window.skip_to(first);
                stretch.next = stretch.next.max(first);
                stretch.old = stretch.old.max(first);
                stretch.mark = stretch.mark.max(first);
            }
            None if self.stretches.len() < STRETCHES => self.stretches.push(Stretch::beginning_at(first, now)),
            None => {}
        }
    }

    /// Bytes that the windows take.
    pub(crate) fn bytes(&self) -> usize {
        self.stretches.iter().map(|stretch| stretch.window.bytes()).sum()
    }

    /// When an ordered message that was heard just now is to be delivered.
    pub(crate) fn turn(&mut self, number: u64, now: Instant, keep: Duration) -> Turn {
        let Some(stretch) = self.place(number).map(|index| &mut self.stretches[index]) else { return Turn::Now };
        let is_late = number < stretch.next;
        stretch.late = if is_late { stretch.late.saturating_add(1) } else { 0 };
        if is_late {
            if stretch.goes_on || stretch.late < BELIEVED || now.saturating_since(stretch.gave_up) < keep {
                return Turn::Over;
            }
            // The origin never was where `next` is: the number that was waited for was invented.
            (stretch.next, stretch.late) = (number, 0);
        }
        if stretch.window.missing_from(stretch.next) > number { Turn::Now } else { Turn::Later }
    }

    /// Holds a message back until its predecessors came; whether it is a new one.
    pub(crate) fn hold(&mut self, kept: Kept) -> bool {
        let number = kept.parcel.sequence;
        let Some(index) = self.place(number) else { return false };
        self.stretches[index].held.insert(number, kept).is_none()
    }

    /// The next one held whose predecessors all came.
    pub(crate) fn release(&mut self) -> Option<Kept> {
        self.stretches.iter_mut().find_map(|stretch| {
            let entry = stretch.held.first_entry()?;
            stretch.next = stretch.window.missing_from(stretch.next);
            (*entry.key() < stretch.next).then(|| entry.remove())
        })
    }

    pub(crate) fn holds(&self) -> bool {
        self.stretches.iter().any(|stretch| !stretch.held.is_empty())
    }

    /// Gives up what the first message held back waits for: that message, and how many.
    pub(crate) fn give_up(&mut self, now: Instant) -> Option<(&Kept, u64)> {
        let stretch = self.stretches.iter_mut().find(|stretch| !stretch.held.is_empty())?;
        let (&first, kept) = stretch.held.first_key_value()?;
        let lost = stretch.window.missing_in(stretch.next, first);
        (stretch.next, stretch.gave_up, stretch.goes_on) = (stretch.next.max(first), now, false);
        Some((kept, lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(5);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn hear(track: &mut Track, seconds: u64, number: u64) -> Outcome {
        track.hear(Step { now: at(seconds), number, recent: 0, keep: KEEP, has_room: true })
    }

    const fn new(lost: u64) -> Outcome {
        Outcome { heard: Heard::New, lost }
    }

    #[test]
    fn what_is_missing_can_come_as_long_as_it_is_kept_anywhere() {
        let mut track = Track::default();
        for number in (1..50_000).filter(|number| number % 20 != 0) {
            assert_eq!(hear(&mut track, 1, number), new(0));
        }
        for number in (1..50_000).filter(|number| number % 20 == 0) {
            assert_eq!(hear(&mut track, 5, number), new(0));
        }
        assert_eq!((track.missing_from(1), track.bytes()), (50_000, 0));
    }

    #[test]
    fn what_did_not_come_in_time_is_counted_once_and_costs_no_memory_later() {
        let mut track = Track::default();
        hear(&mut track, 1, 1);
        let lost: u64 = (3..40_000).map(|number| hear(&mut track, number / 100, number).lost).sum();
        assert_eq!((lost, hear(&mut track, 400, 2).heard), (1, Heard::TooOld));
        assert!(track.bytes() < 2_000, "{}", track.bytes());
    }

    #[test]
    fn a_number_too_far_ahead_is_not_heard_as_long_as_what_is_missing_can_come() {
        let mut track = Track::default();
        (1..100).for_each(|number| assert_eq!(hear(&mut track, 1, number).heard, Heard::New));
        assert_eq!(
            [60_000, 64_000, 66_000].map(|number| hear(&mut track, 2, number).heard),
            [Heard::New, Heard::New, Heard::TooFar]
        );
        assert_eq!(hear(&mut track, 8, 66_000), new(64_000 - 100 - 1), "nothing before it comes any more");
        let mut crowded = Track::default();
        hear(&mut crowded, 1, 1);
        let step = Step { now: at(1), number: 5_000, recent: 0, keep: KEEP, has_room: false };
        assert_eq!(crowded.hear(step).heard, Heard::TooFar);
        assert_eq!(hear(&mut crowded, 2, 5_000).heard, Heard::New);
    }

    #[test]
    fn numbers_far_away_decide_nothing_here() {
        let mut track = Track::default();
        (1..100).for_each(|number| assert_eq!(hear(&mut track, 1, number).heard, Heard::New));
        for far in [1 << 62, 1 << 40, 1 << 50, 1 << 61, 300_000] {
            assert_eq!(hear(&mut track, 2, far).heard, Heard::New);
            assert_eq!(hear(&mut track, 2, far).heard, Heard::Before);
            assert!(track.contains(far));
        }
        // All but the last of them have given way, and so has the true one; it begins anew where it is.
        assert_eq!(
            (100..200).map(|number| hear(&mut track, 3, number).heard).filter(|&heard| heard == Heard::New).count(),
            100
        );
        assert_eq!(hear(&mut track, 3, 150).heard, Heard::Before);
    }

    #[test]
    fn a_lane_that_is_first_heard_in_the_middle_awaits_what_can_still_come() {
        let mut track = Track::default();
        let step = Step { now: at(1), number: 100, recent: 3, keep: KEEP, has_room: true };
        assert_eq!((track.hear(step), track.missing_from(1)), (new(0), 97));
        assert_eq!(
            [96, 97, 98].map(|number| hear(&mut track, 1, number).heard),
            [Heard::TooOld, Heard::New, Heard::New]
        );
        assert_eq!(hear(&mut track, 1, 1 << 32), new((1 << 32) - 101), "the way there was lost");
    }

    #[test]
    fn order_is_kept_and_heals_where_what_was_awaited_is_nothing() {
        let mut track = Track::default();
        let turn = |track: &mut Track, seconds, number| {
            assert_eq!(hear(track, seconds, number).heard, Heard::New);
            track.turn(number, at(seconds), KEEP)
        };
        assert_eq!([1, 2].map(|number| turn(&mut track, 1, number)), [Turn::Now; 2]);
        assert_eq!(turn(&mut track, 1, 3_000), Turn::Later);
        // Nothing is held in this test, so giving up is done by hand.
        let stretch = &mut track.stretches[0];
        (stretch.next, stretch.gave_up, stretch.goes_on) = (3_000, at(4), false);
        assert_eq!(turn(&mut track, 5, 3), Turn::Over, "it was reported");
        assert_eq!(
            [4, 5].map(|number| turn(&mut track, 10, number)),
            [Turn::Over; 2],
            "they may have been held for long"
        );
        assert_eq!([6, 7].map(|number| turn(&mut track, 10, number)), [Turn::Now; 2]);
    }

    #[test]
    fn order_is_kept_against_late_ones_while_the_lane_goes_on() {
        let mut track = Track::default();
        hear(&mut track, 1, 1);
        hear(&mut track, 1, 9);
        let stretch = &mut track.stretches[0];
        (stretch.next, stretch.gave_up, stretch.goes_on) = (10, at(4), false);
        hear(&mut track, 5, 10);
        for number in 2..9 {
            assert_eq!(hear(&mut track, 60, number).heard, Heard::New);
            assert_eq!(track.turn(number, at(60), KEEP), Turn::Over);
        }
    }
}
