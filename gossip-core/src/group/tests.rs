//! The rules one by one, and against a group that is computed anew after each step.

use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::identity::{Epoch, Incarnation, Tags, Versions};
use crate::metadata::{Metadata, Value};
use crate::time::Instant;

type Row = Member<u8>;

fn id(number: u8) -> NodeId {
    NodeId::from_u128(number.into())
}

fn row(number: u8) -> Row {
    Member {
        id: id(number),
        address: number,
        incarnation: Incarnation { epoch: Epoch::from_u64(1), refutations: 0 },
        state: MemberState::Alive,
        since: Instant::ZERO,
        speaks: Versions::SUPPORTED,
        tags: Tags::default(),
        metadata: Metadata::default(),
    }
}

fn with(mut row: Row, key: &str, value: impl Into<Value>) -> Row {
    row.metadata.set(key, value.into(), 1_000).unwrap();
    row
}

fn databases() -> Group<u8, &'static str> {
    Group::new(Criteria::all().equals("role", "db"))
}

#[test]
fn members_come_in_and_go_out_with_their_metadata() {
    let mut group = databases();
    assert_eq!(group.observe(&row(1)), []);
    let inside = with(row(1), "role", "db");
    assert_eq!(group.observe(&inside), [GroupChange::Added(inside.clone())]);
    let other = with(inside.clone(), "zone", "a");
    assert_eq!(group.observe(&other), [GroupChange::Updated(other.clone())]);
    let outside = with(other, "role", "web");
    assert_eq!(group.observe(&outside), [GroupChange::Removed(outside.clone(), None)]);
    assert_eq!(group.observe(&outside), []);
    assert!(group.is_empty());
}

#[test]
fn suspects_stay_in_and_the_dead_and_departed_go() {
    for (state, stays) in [
        (MemberState::Suspect, true),
        (MemberState::Dead, false),
        (MemberState::Leaving, false),
        (MemberState::Removed, false),
    ] {
        let inside = with(row(1), "role", "db");
        let mut group = databases();
        group.observe(&inside);
        let now = Row { state, ..inside.clone() };
        let changes = group.observe(&now);
        assert_eq!(changes.is_empty(), stays, "{state}: {changes:?}");
        assert_eq!(group.contains(id(1)), stays, "{state}");
        assert_eq!(group.member(id(1)).map(|member| member.state), stays.then_some(state));
        let back = group.observe(&inside);
        assert_eq!(back == [GroupChange::Added(inside)], !stays, "{back:?}");
    }
}

#[test]
fn an_address_or_a_tag_is_an_update_and_news_without_content_is_not() {
    let mut group = databases();
    let inside = with(row(1), "role", "db");
    group.observe(&inside);
    let mut same = Row { since: Instant::from_micros(7), ..inside.clone() };
    same.incarnation.refutations = 3;
    same.metadata.touch();
    assert_eq!(group.observe(&same), []);
    assert_eq!(group.member(id(1)).map(|member| member.since), Some(same.since), "it is as new as what was told");
    let moved = Row { address: 9, ..same.clone() };
    assert_eq!(group.observe(&moved), [GroupChange::Updated(moved)]);
    let tagged = Row { tags: ["a"].into_iter().collect(), ..same };
    assert_eq!(group.observe(&tagged).len(), 1);
}

#[test]
fn a_restart_ends_the_life_that_the_data_was_of() {
    let mut group = databases();
    let first = with(row(1), "role", "db");
    group.observe(&first);
    assert_eq!(group.set_data(id(1), "old"), Ok(None));
    let mut second = with(row(1), "role", "db");
    second.incarnation.epoch = Epoch::from_u64(2);
    let changes = group.observe(&second);
    assert_eq!(changes, [GroupChange::Removed(first, Some("old")), GroupChange::Added(second.clone())]);
    assert_eq!((group.data(id(1)), group.len()), (None, 1));
    let mut third = row(1);
    third.incarnation.epoch = Epoch::from_u64(3);
    assert_eq!(group.observe(&third), [GroupChange::Removed(second, None)], "what it said before is void");
}

#[test]
fn data_is_kept_while_the_member_is_in_and_handed_back_after() {
    let mut group = databases();
    assert_eq!(group.set_data(id(1), "early"), Err("early"));
    let inside = with(row(1), "role", "db");
    group.observe(&inside);
    assert_eq!(group.set_data(id(1), "one"), Ok(None));
    assert_eq!(group.set_data(id(1), "two"), Ok(Some("one")));
    group.observe(&Row { state: MemberState::Suspect, ..with(inside.clone(), "zone", "a") });
    if let Some(data) = group.data_mut(id(1)) {
        assert_eq!(core::mem::replace(data, "three"), "two");
    }
    assert_eq!(group.take_data(id(1)), Some("three"));
    assert_eq!(group.set_data(id(1), "four"), Ok(None));
    let gone = group.remove(id(1));
    let last = gone.as_ref().map(GroupChange::member);
    assert_eq!(last.map(|member| member.state), Some(MemberState::Removed));
    assert!(matches!(gone, Some(GroupChange::Removed(_, Some("four")))));
    assert_eq!(group.remove(id(1)), None);
}

#[test]
fn without_conditions_everybody_live_is_in() {
    let dead = Row { state: MemberState::Dead, ..row(2) };
    let mut group: Group<u8> = Group::of(Criteria::all(), &[row(3), dead, row(1)]);
    assert!(group.members().map(|member| member.id).eq([id(1), id(3)]), "in order");
    let mut again = row(1);
    again.incarnation.epoch = Epoch::from_u64(2);
    assert_eq!(group.observe(&again), [GroupChange::Removed(row(1), None), GroupChange::Added(again)]);
}

/// Something that happens to a row of the table.
#[derive(Clone, Debug)]
enum Operation {
    Set(u8, &'static str, u8),
    Unset(u8, &'static str),
    State(u8, MemberState),
    Restart(u8),
    Move(u8),
    Drop(u8),
    SetData(u8),
    /// So much happens unseen that the whole table has to be looked at.
    Unseen(Vec<Operation>),
}

fn operation() -> impl Strategy<Value = Operation> {
    let key = prop::sample::select(vec!["role", "zone", "noise"]);
    let state = prop::sample::select(vec![
        MemberState::Alive,
        MemberState::Alive,
        MemberState::Suspect,
        MemberState::Dead,
        MemberState::Leaving,
    ]);
    let single = prop_oneof![
        4 => (0..6_u8, key.clone(), 0..3_u8).prop_map(|(who, key, value)| Operation::Set(who, key, value)),
        1 => (0..6_u8, key).prop_map(|(who, key)| Operation::Unset(who, key)),
        3 => (0..6_u8, state).prop_map(|(who, state)| Operation::State(who, state)),
        1 => (0..6_u8).prop_map(Operation::Restart),
        1 => (0..6_u8).prop_map(Operation::Move),
        1 => (0..6_u8).prop_map(Operation::Drop),
        2 => (0..6_u8).prop_map(Operation::SetData),
    ];
    prop_oneof![
        9 => single.clone(),
        1 => prop::collection::vec(single, 1..8).prop_map(Operation::Unseen),
    ]
}

#[derive(Default)]
struct Reference {
    table: BTreeMap<NodeId, Row>,
    /// Data of those who are in.
    data: BTreeMap<NodeId, u64>,
    starts: u64,
}

impl Reference {
    /// The member that is concerned; starts it if need be.
    fn member(&mut self, who: u8) -> &mut Row {
        let starts = &mut self.starts;
        self.table.entry(id(who)).or_insert_with(|| {
            *starts += 1;
            let mut row = row(who);
            row.incarnation.epoch = Epoch::from_u64(*starts);
            row
        })
    }

    /// Changes the table, and tells whose row it was.
    fn apply(&mut self, operation: &Operation) -> Option<NodeId> {
        let who = match *operation {
            Operation::Set(who, key, value) => {
                self.member(who).metadata.set(key, i64::from(value).into(), 1_000).unwrap();
                who
            }
            Operation::Unset(who, key) => {
                self.member(who).metadata.remove(key);
                who
            }
            Operation::State(who, state) => {
                self.member(who).state = state;
                who
            }
            Operation::Restart(who) => {
                self.table.remove(&id(who));
                self.member(who);
                who
            }
            Operation::Move(who) => {
                let member = self.member(who);
                member.address = member.address.wrapping_add(10);
                who
            }
            Operation::Drop(who) => {
                self.table.remove(&id(who));
                who
            }
            Operation::SetData(_) | Operation::Unseen(_) => return None,
        };
        Some(id(who))
    }

    fn inside(&self, criteria: &Criteria) -> BTreeMap<NodeId, Row> {
        let fits = |row: &&Row| row.state.is_live() && criteria.matches(&row.metadata);
        self.table.values().filter(fits).map(|row| (row.id, row.clone())).collect()
    }
}

/// Does what the changes say to a copy of the set, each of which must make sense.
fn replay(mirror: &mut BTreeMap<NodeId, Row>, reference: &mut Reference, changes: &[GroupChange<u8, u64>]) {
    for change in changes {
        match change {
            GroupChange::Added(member) => {
                assert!(mirror.insert(member.id, member.clone()).is_none(), "it was not in");
                assert!(member.state.is_live());
            }
            GroupChange::Removed(member, data) => {
                assert!(mirror.remove(&member.id).is_some(), "it was in");
                assert_eq!(*data, reference.data.remove(&member.id), "its data comes back");
            }
            GroupChange::Updated(member) => {
                let before = mirror.insert(member.id, member.clone()).expect("it was in");
                assert!(is_different(&before, member));
                assert_eq!(before.incarnation.epoch, member.incarnation.epoch, "the same life");
            }
        }
    }
}

proptest! {
    #[test]
    fn the_group_is_what_a_look_at_the_whole_table_finds(
        operations in prop::collection::vec(operation(), 1..80),
        conditions in 0..3_usize,
    ) {
        let criteria = Criteria::parse(["role=1", "zone=*"].into_iter().take(conditions)).unwrap();
        let (mut reference, mut mirror) = (Reference::default(), BTreeMap::new());
        let mut group: Group<u8, u64> = Group::new(criteria.clone());
        for (step, operation) in (0_u64..).zip(&operations) {
            let changes = match operation {
                Operation::SetData(who) => {
                    let was_in = mirror.contains_key(&id(*who));
                    prop_assert_eq!(group.set_data(id(*who), step).is_ok(), was_in);
                    if was_in {
                        reference.data.insert(id(*who), step);
                    }
                    Vec::new()
                }
                Operation::Unseen(hidden) => {
                    for operation in hidden {
                        reference.apply(operation);
                    }
                    // In whatever order the table has them.
                    let changes = group.resync(reference.table.values().rev());
                    prop_assert!(changes.is_sorted_by_key(|change| change.member().id));
                    changes
                }
                single => {
                    let id = reference.apply(single).expect("it concerns a member");
                    match reference.table.get(&id) {
                        Some(row) => group.observe(row),
                        None => group.remove(id).into_iter().collect(),
                    }
                }
            };
            replay(&mut mirror, &mut reference, &changes);
            let expected = reference.inside(&criteria);
            prop_assert!(group.members().eq(expected.values()), "{:?} is not {:?}", group, expected);
            prop_assert!(mirror.keys().eq(expected.keys()), "the changes tell all of it");
            for (id, row) in &expected {
                prop_assert!(!is_different(&mirror[id], row), "an update was told");
                prop_assert_eq!(group.data(*id), reference.data.get(id));
            }
            prop_assert!(group.resync(reference.table.values()).is_empty(), "nothing was left to find");
        }
    }
}
