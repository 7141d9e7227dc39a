extern crate std;

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::identity::{Epoch, Identity, Versions};
use crate::time::Instant;
use crate::wire::Accusers;

const SUBJECT: NodeId = NodeId::from_u128(2);
const TELLER: NodeId = NodeId::from_u128(3);

type Rank = (Incarnation, MemberState);

fn context() -> Context<u64> {
    let identity = Identity::new(NodeId::from_u128(1), 1, Epoch::from_u64(1));
    Context::new(identity, Config::lan("test"), [0; 32], Instant::from_micros(1))
}

fn incarnation(epoch: u64, refutations: u32) -> Incarnation {
    Incarnation { epoch: Epoch::from_u64(epoch), refutations }
}

fn claim((incarnation, state): Rank) -> Claim<'static, u64> {
    Claim {
        subject: SUBJECT,
        incarnation,
        state,
        // The address comes with the incarnation, as it does from the only node that raises it.
        address: incarnation.epoch.as_u64() * 100 + u64::from(incarnation.refutations),
        speaks: Versions::SUPPORTED,
        metadata: 0,
        age: 0,
        accusers: Accusers(&[]),
    }
}

/// What a node that knew the subject at the start believes after these claims.
fn merged(claims: &[Rank]) -> (Rank, u64) {
    let mut context = context();
    context.hear(&claim((incarnation(0, 0), MemberState::Alive)), TELLER, Hearsay::News);
    for &rank in claims {
        context.hear(&claim(rank), TELLER, Hearsay::News);
    }
    let slot = context.table.find(SUBJECT).expect("the subject is known");
    let member = context.table.member(slot);
    ((member.incarnation, member.state), member.address)
}

fn ranks() -> impl Strategy<Value = Vec<Rank>> {
    let state = prop_oneof![
        Just(MemberState::Alive),
        Just(MemberState::Suspect),
        Just(MemberState::Dead),
        Just(MemberState::Leaving),
    ];
    let rank =
        (0_u64..3, 0_u32..3, state).prop_map(|(epoch, refutations, state)| (incarnation(epoch, refutations), state));
    proptest::collection::vec(rank, 1..12)
}

proptest! {
    #[test]
    fn the_greatest_claim_wins_in_whatever_order_and_however_often(
        claims in ranks(),
        order in any::<proptest::sample::Index>(),
        repeats in any::<proptest::sample::Index>(),
    ) {
        let baseline = (incarnation(0, 0), MemberState::Alive);
        let greatest = claims.iter().copied().chain([baseline]).max().expect("not empty");
        let (rank, address) = merged(&claims);
        prop_assert_eq!(rank, greatest);
        prop_assert_eq!(address, claim(greatest).address);

        let mut reordered = claims.clone();
        reordered.rotate_left(order.index(claims.len()));
        reordered.reverse();
        reordered.push(claims[repeats.index(claims.len())]);
        prop_assert_eq!(merged(&reordered), (rank, address));
    }
}

#[test]
fn an_address_is_only_taken_from_the_node_itself() {
    let mut context = context();
    context.hear(&claim((incarnation(5, 0), MemberState::Alive)), TELLER, Hearsay::News);
    let mut forged = claim((incarnation(5, 0), MemberState::Suspect));
    forged.address = 999;
    context.hear(&forged, TELLER, Hearsay::News);
    let slot = context.table.find(SUBJECT).expect("the subject is known");
    assert_eq!((context.table.member(slot).address, context.table.member(slot).state), (500, MemberState::Alive));
    assert_eq!(context.stats.dropped(DropReason::Contradiction), 1);
}

#[test]
fn a_row_that_says_dead_only_accuses_and_one_that_says_leaving_is_believed() {
    for (state, expected) in [(MemberState::Dead, MemberState::Suspect), (MemberState::Leaving, MemberState::Leaving)] {
        let mut context = context();
        let alive = incarnation(5, 0);
        context.hear(&claim((alive, MemberState::Alive)), TELLER, Hearsay::News);
        context.hear(&claim((alive, state)), TELLER, Hearsay::Row);
        let slot = context.table.find(SUBJECT).expect("the subject is known");
        assert_eq!(context.table.member(slot).state, expected);
    }
}

#[test]
fn a_death_of_a_stranger_is_no_news_and_an_old_tombstone_is_not_taken_back() {
    let mut context = context();
    let dead = claim((incarnation(5, 0), MemberState::Dead));
    context.hear(&dead, TELLER, Hearsay::News);
    assert!(context.table.find(SUBJECT).is_none());
    let mut old = dead.clone();
    old.age = 3_000;
    context.hear(&old, TELLER, Hearsay::Row);
    assert!(context.table.find(SUBJECT).is_none());
    context.hear(&dead, TELLER, Hearsay::Row);
    assert!(context.table.find(SUBJECT).is_some());
}

#[test]
fn whose_end_is_heard_of_after_being_forgotten_everywhere_was_unknown() {
    let mut context = context();
    for rank in [(incarnation(0, 0), MemberState::Alive), (incarnation(0, 0), MemberState::Leaving)] {
        context.hear(&claim(rank), TELLER, Hearsay::News);
    }
    context.forget_everywhere(context.table.find(SUBJECT).expect("the subject is known"));
    while context.events.pop().is_some() {}
    context.hear(&claim((incarnation(1, 0), MemberState::Leaving)), TELLER, Hearsay::News);
    let Some(Event::Member(change)) = context.events.pop() else { panic!("it is told") };
    assert_eq!((change.member.state, change.previous), (MemberState::Leaving, None));
}
