//! Groups of nodes in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;
use gossip_core::MemberState;

use super::*;
use crate::memory::Memory;
use crate::stats::Counter;
use crate::{Cluster, Config};

const LONG: Duration = Duration::from_mins(10);

fn start(memory: &Memory, config: Config) -> Cluster<Memory> {
    memory.block_on(LONG, Cluster::start(config)).unwrap()
}

fn join(memory: &Memory, node: &Cluster<Memory>, other: &Cluster<Memory>) {
    memory.block_on(LONG, node.join([other.address().to_string()])).unwrap();
}

/// Nodes that know each other.
fn cluster(memory: &Memory, count: usize) -> Vec<Cluster<Memory>> {
    let nodes: Vec<_> = (0..count).map(|_| start(memory, Config::local("x"))).collect();
    for node in &nodes[1..] {
        join(memory, node, &nodes[0]);
    }
    memory.run_for(Duration::from_secs(2));
    assert!(nodes.iter().all(|node| node.members().counts().alive == count));
    nodes
}

/// Sets a value and lets everybody learn of it.
fn set(memory: &Memory, node: &Cluster<Memory>, key: &str, value: &str) {
    memory.block_on(LONG, node.set_metadata(key, value)).unwrap();
    memory.run_for(Duration::from_secs(1));
}

fn databases() -> Criteria {
    Criteria::all().equals("role", "db")
}

/// What was told, with a sign for each kind of change.
fn told(events: &mut Events<GroupEvent>) -> Vec<(char, NodeId)> {
    std::iter::from_fn(|| events.try_next())
        .map(|event| match event {
            GroupEvent::Added(member) => ('+', member.id),
            GroupEvent::Removed(member) => ('-', member.id),
            GroupEvent::Updated(member) => ('~', member.id),
            GroupEvent::Missed { count } => panic!("{count} events were missed"),
        })
        .collect()
}

/// What a reader knows who started from a picture and read every event since.
fn mirror(picture: &[Member], events: &mut Events<GroupEvent>) -> BTreeMap<NodeId, Member> {
    let mut known: BTreeMap<NodeId, Member> = picture.iter().map(|member| (member.id, member.clone())).collect();
    for event in std::iter::from_fn(|| events.try_next()) {
        match event {
            GroupEvent::Added(member) => assert!(known.insert(member.id, member).is_none(), "it was not in"),
            GroupEvent::Removed(member) => assert!(known.remove(&member.id).is_some(), "it was in"),
            GroupEvent::Updated(member) => assert!(known.insert(member.id, member).is_some(), "it was in"),
            GroupEvent::Missed { count } => panic!("{count} events were missed"),
        }
    }
    known
}

#[test]
fn members_come_and_go_with_their_metadata_and_their_lives() {
    let memory = Memory::new();
    let nodes = cluster(&memory, 3);
    let [one, two, three] = &nodes[..] else { unreachable!("there are three") };
    let group = one.group(databases());
    let mut events = group.events();
    assert!(group.is_empty());
    set(&memory, two, "role", "db");
    set(&memory, three, "role", "db");
    set(&memory, three, "zone", "a");
    assert_eq!(told(&mut events), [('+', two.id()), ('+', three.id()), ('~', three.id())]);
    assert_eq!((group.len(), group.contains(one.id()), group.contains(two.id())), (2, false, true));
    assert_eq!(group.member(three.id()).and_then(|member| member.metadata.str("zone").map(str::len)), Some(1));
    set(&memory, two, "role", "web");
    assert_eq!(told(&mut events), [('-', two.id())]);
    memory.block_on(LONG, three.shutdown());
    memory.run_for(Duration::from_mins(1));
    assert_eq!(one.member(three.id()).map(|member| member.state), Some(MemberState::Dead));
    assert_eq!((told(&mut events), group.len()), (vec![('-', three.id())], 0));
}

#[test]
fn a_node_is_in_its_own_groups_until_it_leaves() {
    let memory = Memory::new();
    let [node] = &cluster(&memory, 1)[..] else { unreachable!("there is one") };
    let group = node.group(databases());
    memory.block_on(LONG, node.set_metadata("role", "db")).unwrap();
    assert!(group.contains(node.id()), "at the moment that the call returns");
    let mut events = group.events();
    memory.block_on(LONG, node.leave()).unwrap();
    assert_eq!((told(&mut events), group.len()), (vec![('-', node.id())], 0));
}

#[test]
fn whenever_a_group_is_made_its_events_follow_on_its_members() {
    let memory = Memory::new();
    let observer = start(&memory, Config::local("x"));
    let mut nodes = [(); 2].map(|()| start(&memory, Config::local("x")));
    let mut watched = Vec::new();
    for round in 0..60_i64 {
        let node = &nodes[usize::try_from(round % 2).unwrap()];
        match round {
            3 | 4 => drop(node.join([observer.address().to_string()]).now_or_never()),
            30 => memory.block_on(LONG, nodes[0].shutdown()),
            40 => {
                let again = Config::local("x").id(nodes[0].id()).seed(observer.address().to_string());
                nodes[0] = start(&memory, again);
            }
            _ => drop(node.set_metadata("role", ["db", "web"][usize::try_from(round / 2 % 2).unwrap()]).now_or_never()),
        }
        for criteria in [Criteria::all(), databases()] {
            let group = observer.group(criteria);
            let (members, events) = group.watch();
            watched.push((group, members, events));
        }
        for _ in 0..(round % 7) {
            memory.step();
        }
    }
    memory.run_for(Duration::from_mins(1));
    assert_eq!(observer.members().counts().live(), 3);
    for (group, members, mut events) in watched {
        let known = mirror(&members, &mut events);
        let members = group.members();
        assert!(
            known
                .values()
                .map(|member| (member.id, &member.metadata))
                .eq(members.iter().map(|member| (member.id, &member.metadata)))
        );
        let table = observer.members();
        let criteria = group.criteria();
        let expected = table.live().filter(|member| criteria.matches(&member.metadata));
        assert!(members.iter().eq(expected.map(Arc::as_ref)));
    }
}

#[test]
fn a_slow_reader_is_told_what_it_missed_and_the_set_is_right_all_the_same() {
    let memory = Memory::new();
    let node = start(&memory, Config::local("x").event_queue(2).metadata("role", "db"));
    let group = node.group(databases());
    let mut events = group.events();
    for value in ["a", "b", "c", "d", "e"] {
        set(&memory, &node, "zone", value);
    }
    assert!(matches!(events.try_next(), Some(GroupEvent::Missed { count: 3 })));
    let zones: Vec<_> = std::iter::from_fn(|| events.try_next())
        .filter_map(|event| match event {
            GroupEvent::Updated(member) => member.metadata.str("zone").map(str::to_owned),
            _ => None,
        })
        .collect();
    assert_eq!(zones, ["d", "e"]);
    assert_eq!(group.members()[0].metadata.str("zone"), Some("e"));
    assert!(node.stats().driver.count(Counter::EventsMissed) >= 3);
}

#[test]
fn events_that_the_node_itself_lost_are_made_up_for() {
    let memory = Memory::new();
    let others = cluster(&memory, 6);
    let node = start(&memory, Config::local("x").protocol(|protocol| protocol.max_events = 1));
    let group = node.group(Criteria::all());
    let mut events = group.events();
    // The word that it succeeded may be among the lost.
    let _ = memory.block_on(LONG, node.join([others[0].address().to_string()]));
    memory.run_for(Duration::from_secs(2));
    assert!(node.stats().protocol.events_missed > 0, "the whole table came at once");
    assert_eq!((group.len(), told(&mut events).len()), (7, 6));
}

#[test]
fn data_is_kept_while_a_member_is_in() {
    let memory = Memory::new();
    let nodes = cluster(&memory, 2);
    let group = nodes[0].group_with::<String>(databases());
    let peer = nodes[1].id();
    assert_eq!(group.set_data(peer, "early".to_owned()), Err("early".to_owned()));
    set(&memory, &nodes[1], "role", "db");
    assert_eq!(group.set_data(peer, "one".to_owned()), Ok(None));
    set(&memory, &nodes[1], "zone", "a");
    assert_eq!(group.set_data(peer, "two".to_owned()).unwrap().as_deref().map(String::as_str), Some("one"));
    let held = group.data(peer).unwrap();
    set(&memory, &nodes[1], "role", "web");
    assert_eq!((group.data(peer), Arc::strong_count(&held)), (None, 1), "the group let go of it");
    set(&memory, &nodes[1], "role", "db");
    assert_eq!((group.data(peer), group.take_data(peer)), (None, None));
}

/// Data that does what it can to do harm when it is dropped.
struct Bomb(Group<Memory, Bomb>);

impl Drop for Bomb {
    fn drop(&mut self) {
        let _ = self.0.members().len() + self.0.criteria().len();
        panic!("this panic is part of the test");
    }
}

#[test]
fn data_that_panics_or_reads_the_group_when_it_is_dropped_harms_nobody() {
    let memory = Memory::new();
    let nodes = cluster(&memory, 2);
    let group = nodes[0].group_with(databases());
    set(&memory, &nodes[1], "role", "db");
    assert!(group.set_data(nodes[1].id(), Bomb(group.clone())).is_ok());
    set(&memory, &nodes[1], "role", "web");
    assert!(!nodes[0].is_stopped() && group.is_empty());
    set(&memory, &nodes[1], "role", "db");
    assert_eq!(group.len(), 1);
}

#[test]
fn nothing_is_left_of_a_group_without_handles() {
    let memory = Memory::new();
    let nodes = cluster(&memory, 2);
    set(&memory, &nodes[1], "role", "db");
    let tasks = memory.tasks();
    let data = Arc::new(());
    for _ in 0..10 {
        let group = nodes[0].group_with(databases());
        let other = group.clone();
        let mut events = group.events();
        group.on_change(|_| {});
        assert!(group.set_data(nodes[1].id(), Arc::clone(&data)).is_ok());
        drop(group);
        assert!(events.next().now_or_never().is_none(), "there is another handle");
        drop(other);
        assert!(matches!(events.next().now_or_never(), Some(None)));
    }
    memory.run_for(Duration::ZERO);
    assert_eq!((Arc::strong_count(&data), memory.tasks()), (1, tasks));
    assert_eq!(nodes[0].group(Criteria::all()).handle.shared.groups.count(), 1, "the one just made");
}

#[test]
fn a_group_outlives_its_node_as_a_picture() {
    let memory = Memory::new();
    let node = start(&memory, Config::local("x"));
    let group = node.group(Criteria::all());
    let mut events = group.events();
    memory.block_on(LONG, node.shutdown());
    assert!(memory.block_on(LONG, events.next()).is_none());
    assert_eq!(group.len(), 1);
    let late = node.group(Criteria::all());
    assert!(memory.block_on(LONG, late.events().next()).is_none());
    assert_eq!(late.len(), 1);
}

#[test]
fn a_callback_is_called_until_it_is_removed_and_one_that_panics_once() {
    let memory = Memory::new();
    let node = start(&memory, Config::local("x").metadata("role", "db"));
    let group = node.group(databases());
    let (tell, heard) = async_channel::unbounded();
    let id = group.on_change(move |event| tell.try_send(matches!(event, GroupEvent::Updated(_))).unwrap());
    let bad = group.on_change(|_| panic!("this panic is part of the test"));
    set(&memory, &node, "zone", "a");
    assert_eq!(heard.try_recv(), Ok(true));
    assert_eq!(node.stats().driver.count(Counter::CallbackPanics), 1);
    assert!(!group.remove_callback(bad) && group.remove_callback(id) && !node.remove_callback(id));
    set(&memory, &node, "zone", "b");
    assert!(heard.is_closed() && heard.is_empty(), "it is dropped without having been called again");
}
