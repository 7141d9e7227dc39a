use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use smallvec::SmallVec;

use super::arc::fanout;
use super::*;
use crate::identity::{Epoch, Incarnation, Versions};
use crate::membership::{Member, MemberState};
use crate::metadata::Metadata;
use crate::rng::Rng;
use crate::time::Instant;

fn member(number: u128, tags: &[&str]) -> Member<u32> {
    Member {
        id: NodeId::from_u128(number),
        address: 0,
        incarnation: Incarnation { epoch: Epoch::from_u64(1), refutations: 0 },
        state: MemberState::Alive,
        since: Instant::ZERO,
        speaks: Versions::SUPPORTED,
        tags: tags.iter().copied().collect(),
        metadata: Metadata::default(),
    }
}

fn ring_of(count: usize) -> (Table<u32>, Ring, Rng) {
    let mut random = Rng::from_seed([3; 32]);
    let mut table = Table::new(member(0, &[]), &mut random);
    let mut ring = Ring::default();
    for number in 1..count {
        let slot = table.insert(member(number as u128, &[]), Instant::ZERO);
        ring.insert(slot, &table);
    }
    (table, ring, random)
}

/// What a broadcast of the first node costs if nothing is lost: copies by member, and the last hop.
fn spread(count: usize) -> (BTreeMap<Slot, usize>, usize) {
    let (table, mut ring, mut random) = ring_of(count);
    let origin = point_of(table.myself().id);
    let mut copies = BTreeMap::new();
    let mut last_hop = 0;
    let mut duties: Vec<(Arc, SmallVec<[Point; 8]>, usize)> = Vec::from([(Arc::whole(origin), SmallVec::new(), 0)]);
    while let Some((arc, path, hops)) = duties.pop() {
        let mut except = path.clone();
        except.push(origin);
        let share = split(ring.members("", &table), &table, arc, &except, &mut random);
        last_hop = last_hop.max(hops + usize::from(!share.parts.is_empty()));
        for &(slot, _) in &share.parts {
            *copies.entry(slot).or_default() += 1;
            let own = point_of(table.member(slot).id);
            if let Some(arc) = Arcs::find(&share.arcs.0, own) {
                let mut path = path.clone();
                path.push(own);
                duties.push((arc, path, hops + 1));
            }
        }
    }
    (copies, last_hop)
}

#[test]
fn everybody_gets_one_copy_within_the_depth_that_was_aimed_at() {
    for (count, depth) in [(1, 0), (2, 1), (10, 1), (11, 2), (30, 2), (31, 3), (1_000, 3), (1_001, 4), (10_000, 4)] {
        let (copies, last_hop) = spread(count);
        assert_eq!(copies.len(), count - 1, "{count} nodes");
        assert!(copies.values().all(|&copies| copies == 1), "{count} nodes");
        assert!(last_hop <= depth, "{count} nodes: {last_hop} hops");
    }
    assert_eq!([4, 30, 1_000, 10_000, 100_000].map(fanout), [3, 3, 7, 8, 8]);
}

#[test]
fn arcs_lie_one_after_the_other_and_each_point_is_in_one() {
    let bytes = |points: &[Point]| points.iter().flat_map(|point| point.to_be_bytes()).collect::<Vec<u8>>();
    let arcs = bytes(&[u32::MAX - 5, 3, 10]);
    assert!(Arcs::are_valid(&arcs));
    assert_eq!(Arcs::find(&arcs, u32::MAX), Some(Arc { start: u32::MAX - 5, span: 9 }));
    assert_eq!(Arcs::find(&arcs, 3), Some(Arc { start: 3, span: 7 }));
    assert_eq!([10, 100].map(|point| Arcs::find(&arcs, point)), [None, None]);
    let whole = bytes(&[7, 7]);
    assert!(Arcs::are_valid(&whole));
    assert_eq!(Arcs::find(&whole, 6), Some(Arc::whole(7)));
    assert_eq!(Arcs::find(&[], 6), None);
    for bad in [&bytes(&[7])[..], &bytes(&[7, 9, 8]), &[1, 2, 3], &bytes(&[0; 34])] {
        assert!(!Arcs::are_valid(bad), "{bad:?}");
    }
    let one = Arcs::one(Arc { start: 5, span: 3 });
    assert_eq!(Arcs::find(&one.0, 7), Some(Arc { start: 5, span: 3 }));
}

#[test]
fn the_circle_of_a_tag_holds_those_who_have_it_as_they_come_and_go() {
    let mut random = Rng::from_seed([4; 32]);
    let mut table = Table::new(member(0, &["blue"]), &mut random);
    let mut ring = Ring::default();
    let long = "t".repeat(65);
    let tags: [&[&str]; 4] = [&["blue"], &["blue", "red"], &["red", "red"], &["", &long]];
    let slots: Vec<Slot> = tags
        .iter()
        .zip(1..)
        .map(|(tags, number)| {
            let slot = table.insert(member(number, tags), Instant::ZERO);
            ring.insert(slot, &table);
            slot
        })
        .collect();
    let count = |ring: &mut Ring| ["", "blue", "red", "none", &long].map(|tag| ring.members(tag, &table).len());
    assert_eq!(count(&mut ring), [4, 2, 2, 0, 0]);
    assert!(ring.is_consistent(&slots, &table));
    ring.remove(slots[1], &table);
    ring.remove(slots[1], &table);
    assert_eq!(count(&mut ring), [3, 1, 1, 0, 0]);
    for &slot in &slots {
        ring.remove(slot, &table);
    }
    assert_eq!(count(&mut ring), [0; 5]);
    assert!(ring.tagged.is_empty(), "no empty circle stays");
}

#[test]
fn a_circle_is_in_order_however_its_members_came_and_went() {
    let mut random = Rng::from_seed([5; 32]);
    let (table, ..) = ring_of(200);
    for _ in 0..50 {
        let mut circle = Circle::default();
        let mut held = Vec::new();
        for _ in 0..random.below(400) {
            let slot = Slot::for_tests(1 + u32::try_from(random.below(199)).expect("few"));
            if let Some(index) = held.iter().position(|&one| one == slot) {
                held.swap_remove(index);
                circle.remove(slot, &table);
            } else {
                held.push(slot);
                circle.insert(slot);
            }
            if random.chance(1, 20) {
                held.sort_by_key(|&slot| point_of(table.member(slot).id));
                assert_eq!(circle.sorted(&table), held);
            }
        }
        assert!(circle.holds(&held) && circle.iter().count() == held.len() && circle.is_in_order(&table));
    }
}
