extern crate std;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

#[derive(Clone, Debug)]
enum Operation {
    Live(u32),
    Dead(u32),
    Out(u32),
    Probe,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        (0_u32..12).prop_map(Operation::Live),
        (0_u32..12).prop_map(Operation::Dead),
        (0_u32..12).prop_map(Operation::Out),
        Just(Operation::Probe),
    ];
    proptest::collection::vec(operation, 1..80)
}

proptest! {
    #[test]
    fn the_lists_hold_who_was_put_there_and_nobody_twice(operations in operations()) {
        let mut rng = Rng::from_seed([3; 32]);
        let mut view = View::default();
        let (mut live, mut dead) = (BTreeSet::new(), BTreeSet::new());
        for operation in operations {
            match operation {
                Operation::Live(slot) => {
                    view.put_live(Slot::for_tests(slot), &mut rng);
                    dead.remove(&Slot::for_tests(slot));
                    live.insert(Slot::for_tests(slot));
                }
                Operation::Dead(slot) => {
                    view.put_dead(Slot::for_tests(slot));
                    live.remove(&Slot::for_tests(slot));
                    dead.insert(Slot::for_tests(slot));
                }
                Operation::Out(slot) => {
                    view.take_out(Slot::for_tests(slot));
                    live.remove(&Slot::for_tests(slot));
                    dead.remove(&Slot::for_tests(slot));
                }
                Operation::Probe => {
                    prop_assert_eq!(view.next_to_probe(&mut rng).is_some(), !live.is_empty());
                }
            }
            prop_assert_eq!(view.live().iter().copied().collect::<BTreeSet<_>>(), live.clone());
            prop_assert_eq!(view.dead().iter().copied().collect::<BTreeSet<_>>(), dead.clone());
            prop_assert_eq!(view.live().len() + view.dead().len(), live.len() + dead.len());
        }
        for count in 0..6 {
            let except = live.first().copied();
            let chosen = view.choose_live(count, except, &mut rng);
            let different: BTreeSet<_> = chosen.iter().copied().collect();
            prop_assert_eq!(different.len(), chosen.len());
            prop_assert!(except.is_none_or(|except| !different.contains(&except)));
            prop_assert_eq!(chosen.len(), count.min(live.len().saturating_sub(1)));
        }
    }
}

#[test]
fn every_member_is_probed_once_in_a_round_even_if_members_come_and_go() {
    let mut rng = Rng::from_seed([4; 32]);
    let mut view = View::default();
    assert!((1..=20).all(|slot| view.put_live(Slot::for_tests(slot), &mut rng)));
    let mut probed: Vec<_> = (0..10).filter_map(|_| view.next_to_probe(&mut rng)).collect();
    let gone = [probed[3], *view.live().last().expect("not empty")];
    for slot in gone {
        view.take_out(slot);
    }
    view.put_live(Slot::for_tests(21), &mut rng);
    while probed.len() < 20 {
        probed.extend(view.next_to_probe(&mut rng));
    }
    let different: BTreeSet<_> = probed.iter().copied().collect();
    assert_eq!(
        different.len(),
        20,
        "nobody twice: nineteen that stayed or were probed before they went, and the new one"
    );
    assert!(different.contains(&Slot::for_tests(21)));
}
