//! Leaders: how they come, go, and hand over, at one, two, three and more nodes.

mod support;

use std::time::Duration;

use gossip_core::{
    Config, Criteria, ElectionChange, ElectionConfig, ElectionError, Event, ForgetScope, MemberState, MessageKind,
    NoLeader, StepDown,
};
use support::{Net, id, secs};

const NAME: &str = "chief";

/// A cluster whose nodes take part in an election.
fn electing(count: usize, settings: &ElectionConfig) -> Net {
    let mut net = Net::cluster(count, &Config::lan("test"));
    for who in 0..count {
        enter(&mut net, who, settings);
    }
    net
}

fn enter(net: &mut Net, who: usize, settings: &ElectionConfig) {
    let now = net.now;
    net.node(who).enter_election(now, NAME, settings.clone()).expect("it does not take part yet");
    net.settle(who);
}

fn leaders(net: &Net) -> Vec<usize> {
    let leads = |who: &usize| net.hosts[*who].node.as_ref().is_some_and(|node| node.leads(net.now, NAME).is_some());
    (0..net.hosts.len()).filter(leads).collect()
}

/// The one whom all that run follow.
fn followed(net: &Net) -> Option<usize> {
    let &[leader] = leaders(net).as_slice() else { return None };
    let mut views = net.hosts.iter().filter_map(|host| Some(host.node.as_ref()?.election(net.now, NAME)?.leader));
    views.all(|view| view.is_some_and(|term| term.leader() == id(leader as u128 + 1))).then_some(leader)
}

fn wait_for_leader(net: &mut Net) -> usize {
    net.run_until(secs(20), |net| followed(net).is_some()).expect("there is a leader soon");
    followed(net).expect("there is one")
}

fn reason(net: &mut Net, who: usize) -> Option<NoLeader> {
    let now = net.now;
    net.node(who).election(now, NAME).expect("it takes part").reason
}

fn changes(net: &Net, who: usize) -> Vec<ElectionChange> {
    let change = |event: &Event<usize>| match event {
        Event::Election { change, .. } => Some(*change),
        _ => None,
    };
    net.hosts[who].events.iter().filter_map(|(_, event)| change(event)).collect()
}

#[test]
fn one_node_leads_itself_if_the_floor_allows() {
    let mut net = Net::new(3);
    let alone = net.start(1, Config::lan("test"));
    enter(&mut net, alone, &ElectionConfig::new(1));
    assert_eq!(reason(&mut net, alone), Some(NoLeader::Waiting));
    assert_eq!(wait_for_leader(&mut net), alone);
    net.run(secs(60));
    assert!(matches!(changes(&net, alone).as_slice(), [ElectionChange::BecameLeader { .. }]));
}

#[test]
fn a_floor_of_two_keeps_a_node_from_leading_alone() {
    let mut net = Net::new(3);
    let alone = net.start(1, Config::lan("test"));
    enter(&mut net, alone, &ElectionConfig::new(2));
    net.run(secs(30));
    assert!(leaders(&net).is_empty());
    assert_eq!(reason(&mut net, alone), Some(NoLeader::NoQuorum { votes: 1, quorum: 2 }));
}

#[test]
fn two_nodes_have_no_leader_when_one_crashes_until_it_is_forgotten() {
    let mut net = electing(2, &ElectionConfig::new(1));
    let leader = wait_for_leader(&mut net);
    net.run(secs(20));
    let other = 1 - leader;
    net.kill(leader);
    net.run(secs(60));
    assert!(leaders(&net).is_empty());
    assert_eq!(net.state(other, leader as u128 + 1), Some(MemberState::Dead));
    assert!(matches!(reason(&mut net, other), Some(NoLeader::ElectorateLost { votes: 1, quorum: 2 })));
    let now = net.now;
    net.node(other).forget(now, id(leader as u128 + 1), ForgetScope::Here).expect("it is dead");
    assert_eq!(wait_for_leader(&mut net), other);
}

#[test]
fn three_nodes_elect_another_leader_after_a_crash() {
    let mut net = electing(3, &ElectionConfig::new(2));
    let first = wait_for_leader(&mut net);
    net.run(secs(20));
    net.kill(first);
    let took = net.run_until(secs(10), |net| followed(net).is_some()).expect("there are two left");
    assert!(took < secs(5), "{took:?}");
    let second = followed(&net).expect("there is one");
    let told = changes(&net, second);
    let [
        ElectionChange::Elected { term: old },
        ElectionChange::Lost { term: lost },
        ..,
        ElectionChange::BecameLeader { term },
    ] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!(old, lost);
    assert!(term > old && term.number() > old.number());
}

#[test]
fn a_leader_that_leaves_hands_over() {
    for count in [2, 3, 5] {
        let mut net = electing(count, &ElectionConfig::new(1));
        let leader = wait_for_leader(&mut net);
        net.run(secs(60));
        let now = net.now;
        net.node(leader).leave(now).expect("it has not left yet");
        net.settle(leader);
        let stepped =
            |change: &ElectionChange| matches!(change, ElectionChange::SteppedDown { reason: StepDown::Leaves, .. });
        assert!(changes(&net, leader).iter().any(stepped));
        let took = net.run_until(secs(10), |net| leaders(net).iter().any(|&who| who != leader));
        assert!(took.is_some_and(|took| took <= Duration::from_millis(500)), "{count} nodes: {took:?}");
    }
}

#[test]
fn the_side_without_a_majority_has_no_leader() {
    let mut net = electing(5, &ElectionConfig::new(1));
    wait_for_leader(&mut net);
    net.run(secs(80));
    let now = net.now;
    assert_eq!(net.node(0).election(now, NAME).map(|status| status.settled), Some(5));
    // Whoever leads, two are cut off from three, for longer than it takes to bury the dead.
    net.reaches = |from, to| (from < 2) == (to < 2);
    net.run(secs(10));
    assert!(matches!(leaders(&net).as_slice(), [2..=4]));
    net.run(secs(400));
    assert!(matches!(leaders(&net).as_slice(), [2..=4]));
    assert!(matches!(reason(&mut net, 0), Some(NoLeader::ElectorateLost { .. })));
    net.reaches = |_, _| true;
    let healed = net.run_until(secs(60), |net| followed(net).is_some());
    assert!(healed.is_some());
}

#[test]
fn a_node_that_started_again_waits_before_it_votes() {
    let settings = ElectionConfig::new(2);
    let mut net = electing(2, &settings);
    let leader = wait_for_leader(&mut net);
    net.run(secs(20));
    let other = 1 - leader;
    // Whoever voted starts again, and would vote for itself if it did not wait; the leader's lease lasts on.
    net.kill(other);
    net.start_at(other, other as u128 + 1, Config::lan("test"));
    net.join(other, leader);
    enter(&mut net, other, &settings);
    let mut twice = false;
    net.run_until(settings.lease, |net| {
        twice |= leaders(net).contains(&other);
        false
    });
    assert!(!twice);
    wait_for_leader(&mut net);
}

/// Starts a node anew at the address of one that was killed, under another id.
fn replace(net: &mut Net, who: usize, number: u128, through: usize, settings: &ElectionConfig) {
    net.start_at(who, number, Config::lan("test"));
    net.join(who, through);
    enter(net, who, settings);
}

#[test]
fn machines_that_come_back_under_other_ids_stand_for_themselves() {
    let settings = ElectionConfig::new(2);
    let mut net = electing(3, &settings);
    let leader = wait_for_leader(&mut net);
    net.run(secs(60));
    // The one that is left is no majority of those who had a vote.
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    net.kill(leader);
    net.kill(other);
    net.run(secs(60));
    assert!(matches!(reason(&mut net, one), Some(NoLeader::ElectorateLost { votes: 1, quorum: 2 })));
    replace(&mut net, leader, 11, one, &settings);
    replace(&mut net, other, 12, one, &settings);
    wait_for_leader(&mut net);
}

#[test]
fn strangers_at_other_addresses_stand_for_nobody() {
    let settings = ElectionConfig::new(2);
    let mut net = electing(3, &settings);
    let leader = wait_for_leader(&mut net);
    net.run(secs(60));
    let one = (leader + 1) % 3;
    net.kill(leader);
    net.kill((leader + 2) % 3);
    for number in [11, 12] {
        let stranger = net.start(number, Config::lan("test"));
        net.join(stranger, one);
        enter(&mut net, stranger, &settings);
    }
    net.run(secs(600));
    assert!(leaders(&net).is_empty(), "those who had a vote may be there still, on the other side of a cut");
    assert!(matches!(reason(&mut net, one), Some(NoLeader::ElectorateLost { votes: 1, quorum: 2 })));
}

#[test]
fn only_those_whose_metadata_fits_lead() {
    let mut net = Net::cluster(5, &Config::lan("test"));
    for who in 2..5 {
        let now = net.now;
        net.node(who).set_metadata(now, "role", "db").expect("a short key");
        net.settle(who);
    }
    net.run(secs(2));
    let settings = ElectionConfig { criteria: Criteria::all().equals("role", "db"), ..ElectionConfig::new(2) };
    (0..5).for_each(|who| enter(&mut net, who, &settings));
    net.run(secs(20));
    let &[leader] = leaders(&net).as_slice() else { panic!("{:?}", leaders(&net)) };
    assert!(leader >= 2);
    net.run(secs(60));
    // The leader does not fit any more.
    let now = net.now;
    net.node(leader).remove_metadata(now, "role").expect("it runs");
    net.settle(leader);
    let other = net.run_until(secs(10), |net| leaders(net).iter().any(|&who| who != leader && who >= 2));
    assert!(other.is_some());
}

#[test]
fn a_leader_that_was_stopped_knows_that_its_lease_is_over() {
    let mut net = electing(3, &ElectionConfig::new(2));
    let leader = wait_for_leader(&mut net);
    net.run(secs(20));
    net.pause(leader);
    let other = net.run_until(secs(10), |net| leaders(net).iter().any(|&who| who != leader));
    assert!(other.is_some(), "another one leads meanwhile");
    assert!(!leaders(&net).contains(&leader), "asked at this time, before anything was handed in");
    net.resume(leader);
    assert_ne!(wait_for_leader(&mut net), leader, "the new leader stays");
}

#[test]
fn a_voter_that_was_stopped_keeps_its_promise_longer_by_that_time_and_no_more() {
    let mut net = electing(5, &ElectionConfig::new(3));
    let first = wait_for_leader(&mut net);
    net.run(secs(60));
    let voter = (first + 1) % 5;
    net.pause(voter);
    net.kill(first);
    net.run(secs(8));
    let second = leaders(&net)[0];
    // It is bound to the first, and all that the second said meanwhile is handed in at once.
    net.resume(voter);
    net.kill(second);
    let other = net.run_until(secs(15), |net| !leaders(net).is_empty());
    assert!(other.is_some(), "the promise lasted for a lease and the time for which the voter was stopped");
}

#[test]
fn without_an_election_there_is_no_packet_of_one() {
    let mut net = Net::cluster(3, &Config::lan("test"));
    net.run(secs(60));
    for who in 0..3 {
        assert_eq!(net.stats(who).sent(MessageKind::Ballot), 0);
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let mut net = Net::new(3);
    let who = net.start(1, Config::lan("test"));
    let now = net.now;
    let node = net.node(who);
    let wrong = |change: fn(&mut ElectionConfig)| {
        let mut settings = ElectionConfig::new(1);
        change(&mut settings);
        settings
    };
    let cases: [(&str, ElectionConfig); 5] = [
        ("floor", wrong(|it| it.floor = 0)),
        ("lease", wrong(|it| it.lease = Duration::from_millis(1))),
        ("max_drift_ppm", wrong(|it| it.max_drift_ppm = 200_000)),
        ("steady", wrong(|it| it.steady = Duration::MAX)),
        ("bury", wrong(|it| it.bury = it.lease / 2)),
    ];
    for (field, settings) in cases {
        let error = node.enter_election(now, NAME, settings).expect_err("out of range");
        assert!(matches!(&error, ElectionError::Config(error) if error.field == field), "{error}");
    }
    let usual = || ElectionConfig::new(1);
    assert_eq!(node.enter_election(now, "", usual()), Err(ElectionError::Name { length: 0 }));
    assert_eq!(node.enter_election(now, NAME, usual()), Ok(()));
    assert_eq!(node.enter_election(now, NAME, usual()), Err(ElectionError::Entered));
    assert!(node.leads(now, "another").is_none() && node.election(now, "another").is_none());
}

#[test]
fn nobody_is_told_to_lead_by_votes_that_waited_for_longer_than_the_lease() {
    let mut waited = 0;
    for offset in (0..600).step_by(20) {
        let mut net = electing(3, &ElectionConfig::new(2));
        net.latency = Duration::from_millis(40);
        net.run(Duration::from_millis(3_300 + offset));
        // All stand still, wherever they are in their first election, and what was sent to them waits.
        (0..3).for_each(|who| net.pause(who));
        net.run(secs(6));
        let before = [0, 1, 2].map(|who| changes(&net, who).len());
        (0..3).for_each(|who| net.resume(who));
        for (who, &before) in before.iter().enumerate() {
            let told = &changes(&net, who)[before..];
            assert!(!matches!(told, [ElectionChange::BecameLeader { .. }, ..]), "after {offset} ms, {who}: {told:?}");
        }
        waited += usize::from(before == [0; 3]);
        wait_for_leader(&mut net);
    }
    assert!(waited > 0, "no election was interrupted");
}
