use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const NOON: u64 = ORIGIN + 43_200_000_000;

fn clock() -> HybridClock {
    HybridClock::new(MINUTE).expect("within the range")
}

#[test]
fn the_layout_is_microseconds_since_2025_above_ten_bits_of_counter() {
    let first = clock().tick(ORIGIN + 5);
    assert_eq!(first.as_u64(), 5 << 10);
    assert_eq!((first.micros(), first.counter(), first.unix_micros()), (5, 0, ORIGIN + 5));
    let other = Timestamp::from_u64((7 << 10) | 1_023);
    assert_eq!((other.micros(), other.counter()), (7, 1_023));
}

#[test]
fn the_counter_overflows_into_the_microseconds() {
    let mut clock = clock();
    let stamps: Vec<Timestamp> = (0..1_025).map(|_| clock.tick(NOON)).collect();
    assert_eq!((stamps[1_023].unix_micros(), stamps[1_023].counter()), (NOON, 1_023));
    assert_eq!((stamps[1_024].unix_micros(), stamps[1_024].counter()), (NOON + 1, 0));
}

#[test]
fn a_wall_clock_that_goes_back_is_counted_and_does_not_turn_time_back() {
    let mut clock = clock();
    let before = clock.tick(NOON);
    assert!(clock.tick(NOON - 3_600_000_000) > before);
    assert!(clock.tick(0) > before);
    assert_eq!(clock.regressions(), 2);
}

#[test]
fn what_is_too_far_ahead_is_refused_counted_and_changes_nothing() {
    let mut clock = clock();
    let at_limit = Timestamp::at(NOON + 60_000_000);
    let beyond = Timestamp::at(NOON + 60_000_001);
    assert_eq!(clock.receive(NOON, at_limit), Ok(()));
    let error = clock.receive(NOON, beyond).expect_err("a microsecond too far");
    assert_eq!(error, TooFarAhead { ahead: MINUTE + Duration::from_micros(1), most: MINUTE });
    assert_eq!((clock.last(), clock.refused()), (at_limit, 1));
    // What was accepted does not move the limit.
    assert!(clock.receive(NOON, beyond).is_err());
}

#[test]
fn the_limit_has_a_range() {
    for wrong in [Duration::ZERO, Duration::from_hours(25)] {
        assert_eq!(HybridClock::new(wrong).map(|_| ()).expect_err("out of range").field, "max_ahead");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Tick(u64),
    Receive(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let reading = || prop_oneof![NOON - 1_000..NOON + 1_000, Just(0), Just(u64::MAX), any::<u64>()];
    let stamp =
        prop_oneof![any::<u64>(), (NOON - ORIGIN - 1_000) << 10..(NOON - ORIGIN + 61_000_000) << 10, Just(u64::MAX),];
    prop_oneof![reading().prop_map(Step::Tick), (reading(), stamp).prop_map(|(at, stamp)| Step::Receive(at, stamp))]
}

proptest! {
    #[test]
    fn every_timestamp_is_later_than_all_made_or_accepted_before(steps in prop::collection::vec(step(), 1..200)) {
        let mut clock = clock();
        let (mut latest, mut refused) = (Timestamp::ZERO, 0);
        for step in steps {
            match step {
                Step::Tick(at) => {
                    let made = clock.tick(at);
                    prop_assert!(made > latest);
                    prop_assert!(made >= Timestamp::at(at));
                    latest = made;
                }
                Step::Receive(at, stamp) => {
                    let stamp = Timestamp::from_u64(stamp);
                    let before = clock.last();
                    match clock.receive(at, stamp) {
                        Ok(()) => latest = latest.max(stamp),
                        Err(error) => {
                            refused += 1;
                            prop_assert!(error.ahead > MINUTE);
                            prop_assert_eq!(clock.last(), before);
                        }
                    }
                }
            }
            prop_assert_eq!(clock.last(), latest);
            prop_assert_eq!(clock.refused(), refused);
        }
    }

    #[test]
    fn clocks_that_exchange_timestamps_stay_within_the_limit_of_the_fastest(
        skews in prop::collection::vec(0_u64..30_000_000, 2..6),
        sends in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..100),
    ) {
        let mut clocks: Vec<HybridClock> = skews.iter().map(|_| clock()).collect();
        for (passed, (from, to)) in sends.iter().enumerate() {
            let (from, to) = (from.index(skews.len()), to.index(skews.len()));
            let now = NOON + passed as u64;
            let sent = clocks[from].tick(now + skews[from]);
            clocks[to].receive(now + skews[to], sent).expect("clocks differ by less than the limit");
            prop_assert!(clocks[to].tick(now + skews[to]) > sent);
            let fastest = now + skews.iter().max().expect("there are two and more");
            prop_assert!(clocks[to].last().unix_micros() <= fastest + 1);
        }
    }
}
