//! Groups and tags, as the nodes of a cluster see them while members come, change, fail and go.

mod support;

use std::collections::BTreeSet;

use gossip_core::{
    Cause, Config, Criteria, Epoch, Event, ForgetScope, Group, GroupChange, Identity, MemberState, NodeId,
};
use support::{Net, id, secs};

/// A group that a node keeps by its own events, with how many of them it has taken in.
struct Follower {
    who: usize,
    group: Group<usize>,
    read: usize,
}

impl Follower {
    fn new(net: &mut Net, who: usize, criteria: Criteria) -> Self {
        let read = net.hosts[who].events.len();
        Self { who, group: Group::of(criteria, net.node(who).members()), read }
    }

    /// Catches up with the events; what changed, with a sign for how.
    fn catch_up(&mut self, net: &mut Net) -> Vec<(char, NodeId)> {
        let events = net.hosts[self.who].events.split_off(self.read);
        let node = net.node(self.who);
        let mut changes = Vec::new();
        for (_, event) in &events {
            changes.extend(self.group.follow(event, node).iter().map(|change| match change {
                GroupChange::Added(member) => ('+', member.id),
                GroupChange::Removed(member, _) => ('-', member.id),
                GroupChange::Updated(member) => ('~', member.id),
            }));
        }
        let criteria = self.group.criteria();
        let fits = node.members().filter(|member| member.state.is_live() && criteria.matches(&member.metadata));
        let expected: BTreeSet<NodeId> = fits.map(|member| member.id).collect();
        assert!(self.group.members().map(|member| member.id).eq(expected), "the group is that of the table");
        changes
    }
}

fn set(net: &mut Net, who: usize, key: &str, value: &str) {
    let now = net.now;
    net.node(who).set_metadata(now, key, value).expect("it fits");
    net.settle(who);
    net.run(secs(2));
}

#[test]
fn a_group_follows_metadata_failures_departures_and_restarts() {
    let config = Config::lan("test");
    let mut net = Net::cluster(5, &config);
    let mut group = Follower::new(&mut net, 0, Criteria::all().equals("role", "db"));
    assert_eq!(group.catch_up(&mut net), []);
    for who in [0, 2, 3, 4] {
        set(&mut net, who, "role", "db");
        assert_eq!(group.catch_up(&mut net), [('+', id(who as u128 + 1))], "node {who}, which may be this one");
    }
    set(&mut net, 2, "zone", "a");
    assert_eq!(group.catch_up(&mut net), [('~', id(3))]);
    set(&mut net, 2, "role", "web");
    assert_eq!(group.catch_up(&mut net), [('-', id(3))]);

    net.kill(3);
    net.run_until(secs(60), |net| net.state(0, 4) == Some(MemberState::Suspect)).expect("it is suspected");
    assert_eq!(group.catch_up(&mut net), [], "a suspect is still in");
    net.run_until(secs(60), |net| net.state(0, 4) == Some(MemberState::Dead)).expect("it is found dead");
    assert_eq!(group.catch_up(&mut net), [('-', id(4))]);
    let now = net.now;
    net.node(0).forget(now, id(4), ForgetScope::Everywhere).expect("it is dead");
    net.settle(0);
    assert_eq!(group.catch_up(&mut net), []);

    net.node(4).leave(now).expect("it has not left");
    net.settle(4);
    net.run(secs(2));
    assert_eq!(group.catch_up(&mut net), [('-', id(5))]);

    net.start_at(3, 4, config);
    net.join(3, 0);
    net.run(secs(2));
    assert_eq!(group.catch_up(&mut net), [], "what it said in its earlier life is void");
    set(&mut net, 3, "role", "db");
    assert_eq!(group.catch_up(&mut net), [('+', id(4))]);
}

#[test]
fn a_restart_that_nobody_saw_as_a_death_ends_membership_and_this_node_goes_when_it_leaves() {
    let config = Config::lan("test");
    let mut net = Net::cluster(3, &config);
    let mut all = Follower::new(&mut net, 0, Criteria::all());
    net.kill(2);
    net.start_at(2, 3, config);
    net.join(2, 0);
    net.run(secs(2));
    let restarted =
        |(_, event): &(_, Event<usize>)| matches!(event, Event::Member(change) if change.cause == Cause::Restarted);
    assert!(net.hosts[0].events.iter().any(restarted));
    assert_eq!(all.catch_up(&mut net), [('-', id(3)), ('+', id(3))]);
    let now = net.now;
    net.node(0).leave(now).expect("it has not left");
    net.settle(0);
    net.run(secs(6));
    assert_eq!(all.catch_up(&mut net), [('-', id(1))]);
}

#[test]
fn events_that_were_lost_are_made_up_for() {
    let mut config = Config::lan("test");
    config.max_events = 2;
    let mut net = Net::new(7);
    net.start(1, config);
    for number in 2..=9 {
        net.start(number, Config::lan("test"));
    }
    let mut all = Follower::new(&mut net, 0, Criteria::all());
    for who in 2..9 {
        net.join(who, 1);
    }
    net.run(secs(5));
    // The table of eight comes at once.
    net.join(0, 1);
    net.run(secs(5));
    assert!(net.hosts[0].events.iter().any(|(_, event)| matches!(event, Event::Missed { .. })));
    let changes = all.catch_up(&mut net);
    assert_eq!((changes.len(), all.group.len()), (8, 9));
}

#[test]
fn a_node_has_its_tag_until_it_leaves() {
    let mut net = Net::new(7);
    for who in 0..3_usize {
        net.hosts.push(support::Host::down());
        let identity = Identity::new(id(who as u128 + 1), who, Epoch::new(1, 0)).with_tags(["a", "a"]);
        net.start_as(who, identity, Config::lan("test"));
    }
    net.join(1, 0);
    net.join(2, 0);
    net.run(secs(5));
    let tagged = |net: &mut Net, tag: &str| -> Vec<NodeId> {
        let mut ids: Vec<_> = net.node(0).tagged(tag).map(|member| member.id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(tagged(&mut net, "a"), [id(1), id(2), id(3)], "each once");
    assert!(tagged(&mut net, "b").is_empty() && tagged(&mut net, "").is_empty());
    net.kill(2);
    net.run_until(secs(60), |net| net.state(0, 3) == Some(MemberState::Dead)).expect("it is found dead");
    assert_eq!(tagged(&mut net, "a"), [id(1), id(2)]);
    let now = net.now;
    net.node(0).leave(now).expect("it has not left");
    net.settle(0);
    assert_eq!(tagged(&mut net, "a"), [id(2)]);
}
