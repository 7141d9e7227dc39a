//! Leaving, forgetting, and being forgotten with time.

mod support;

use std::time::Duration;

use gossip_core::{
    Cause, Config, Event, ForgetError, ForgetScope, JoinError, MemberState, MetadataError, Phase, PhaseError,
};
use support::{Net, id, secs};

fn leave(net: &mut Net, who: usize) {
    let now = net.now;
    net.node(who).leave(now).expect("it has not left yet");
    net.settle(who);
}

#[test]
fn a_leaver_is_seen_leaving_at_once_and_never_dead() {
    let mut net = Net::cluster(8, &Config::lan("test"));
    net.clear_events();
    leave(&mut net, 7);
    let left =
        |net: &Net| net.hosts[7].events.iter().any(|(_, event)| matches!(event, Event::Left { acknowledged: 4.. }));
    assert!(net.run_until(secs(1), left).is_some(), "peers acknowledged");
    assert_eq!(net.node(7).phase(), Phase::Left);
    net.kill(7);
    let all = |net: &Net| (0..7).all(|who| net.state(who, 8) == Some(MemberState::Leaving));
    assert!(net.run_until(secs(2), all).is_some());
    net.run(secs(60));
    for who in 0..7 {
        assert_eq!(net.changes(who), [(id(8), MemberState::Leaving, Cause::Left)], "node {who}");
    }
}

#[test]
fn leaving_ends_when_nobody_listens() {
    let config = Config::lan("test");
    let mut net = Net::cluster(3, &config);
    net.clear_events();
    net.reaches = |_, _| false;
    leave(&mut net, 2);
    let left = |net: &Net| matches!(net.hosts[2].events.as_slice(), [(_, Event::Left { acknowledged: 0 })]);
    let took = net.run_until(secs(10), left).expect("it ends");
    assert_eq!(took, config.leave_timeout);
}

#[test]
fn a_lonely_node_leaves_at_once() {
    let mut net = Net::new(1);
    net.start(1, Config::lan("test"));
    leave(&mut net, 0);
    assert!(matches!(net.hosts[0].events.as_slice(), [(_, Event::Left { acknowledged: 0 })]));
}

#[test]
fn commands_after_leaving_are_refused_and_change_nothing() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    leave(&mut net, 1);
    net.run(secs(1));
    let now = net.now;
    let node = net.node(1);
    assert_eq!(node.leave(now), Err(PhaseError::Leaving));
    assert_eq!(node.join(now, 0), Err(JoinError::Phase(PhaseError::Leaving)));
    assert_eq!(node.set_metadata(now, "k", true), Err(MetadataError::Left));
    assert_eq!(node.set_address(now, 9), Err(PhaseError::Leaving));
    assert_eq!(node.poll_timeout(), None, "it is at rest");
}

#[test]
fn a_leaver_that_starts_again_is_back() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    leave(&mut net, 3);
    net.run(secs(2));
    net.start_at(3, 4, Config::lan("test"));
    net.join(3, 1);
    assert!(net.run_until(secs(2), |net| net.sees_alive(0..4)).is_some());
}

#[test]
fn a_joiner_hears_of_the_departed_and_the_dead() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    leave(&mut net, 3);
    net.kill(2);
    net.run(secs(20));
    let newcomer = net.start(5, Config::lan("test"));
    net.join(newcomer, 0);
    net.run(secs(1));
    assert_eq!(net.state(newcomer, 4), Some(MemberState::Leaving));
    assert_eq!(net.state(newcomer, 3), Some(MemberState::Dead));
    assert_eq!(net.node(newcomer).fingerprint(), net.node(0).fingerprint());
}

#[test]
fn only_the_dead_and_departed_can_be_forgotten() {
    let mut net = Net::cluster(3, &Config::lan("test"));
    let now = net.now;
    let node = net.node(0);
    assert_eq!(node.forget(now, id(99), ForgetScope::Here), Err(ForgetError::Unknown));
    assert_eq!(node.forget(now, id(2), ForgetScope::Everywhere), Err(ForgetError::Alive));
    assert_eq!(node.forget(now, id(1), ForgetScope::Here), Err(ForgetError::Myself));
}

#[test]
fn a_member_forgotten_here_stays_with_the_others_and_one_forgotten_everywhere_does_not() {
    let mut net = Net::cluster(5, &Config::lan("test"));
    net.kill(3);
    net.kill(4);
    net.run(secs(20));
    net.clear_events();
    let now = net.now;
    net.node(0).forget(now, id(4), ForgetScope::Here).unwrap();
    net.node(0).forget(now, id(5), ForgetScope::Everywhere).unwrap();
    net.settle(0);
    net.run(secs(60));
    assert_eq!((net.state(0, 4), net.state(1, 4)), (None, Some(MemberState::Dead)));
    assert!((0..3).all(|who| net.state(who, 5).is_none()));
    assert_eq!(net.changes(1), [(id(5), MemberState::Removed, Cause::Forgotten)]);
    // Forgotten is not banished: a new start is welcome.
    for (address, number) in [(3, 4), (4, 5)] {
        net.start_at(address, number, Config::lan("test"));
        net.join(address, 1);
    }
    assert!(net.run_until(secs(3), |net| net.sees_alive(0..5)).is_some());
}

#[test]
fn the_dead_are_remembered_for_the_retention_time_and_then_reaped_everywhere() {
    let mut config = Config::lan("test");
    config.retention = secs(120);
    let mut net = Net::cluster(6, &config);
    net.kill(5);
    net.run(secs(100));
    assert_eq!(net.state(0, 6), Some(MemberState::Dead));
    net.clear_events();
    net.run(secs(60));
    for who in 0..5 {
        assert_eq!(net.state(who, 6), None, "node {who}");
        assert_eq!(net.changes(who), [(id(6), MemberState::Removed, Cause::Reaped)], "node {who}");
    }
    // Nobody hands the tombstone back to those who dropped it.
    net.run(secs(600));
    assert!((0..5).all(|who| net.state(who, 6).is_none()));
    assert!((0..5).all(|who| net.changes(who).len() == 1));
}

#[test]
fn every_join_has_an_outcome_also_when_the_node_leaves() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let silent = net.start(9, Config::lan("test"));
    net.pause(silent);
    net.join(0, silent);
    let now = net.now;
    net.node(0).leave(now).unwrap();
    net.settle(0);
    net.run(secs(60));
    let outcome = net.hosts[0]
        .events
        .iter()
        .any(|(_, event)| matches!(event, Event::JoinFailed { address, .. } if *address == silent));
    assert!(outcome);
}

#[test]
fn leaving_goes_on_asking_until_its_time_is_up() {
    let mut config = Config::lan("test");
    config.leave_timeout = secs(60);
    config.suspicion_min = 60;
    let mut net = Net::cluster(2, &config);
    net.reaches = |_, _| false;
    let now = net.now;
    net.node(0).leave(now).unwrap();
    net.settle(0);
    net.run(secs(20));
    net.reaches = |_, _| true;
    net.run(secs(60));
    let left: Vec<_> = net.hosts[0]
        .events
        .iter()
        .filter_map(|(_, e)| match e {
            Event::Left { acknowledged } => Some(*acknowledged),
            _ => None,
        })
        .collect();
    assert_eq!(left, [1]);
}

#[test]
fn tombstones_end_however_short_the_retention() {
    for retention in [2_u64, 5] {
        let mut config = Config::lan("test");
        config.retention = secs(retention);
        let mut net = Net::cluster(8, &config);
        net.kill(7);
        net.run(secs(60));
        let mut seen = 0;
        for _ in 0..600 {
            net.run(Duration::from_millis(100));
            if (0..7).any(|who| net.state(who, 8).is_some()) {
                seen += 1;
            }
        }
        assert_eq!(seen, 0);
    }
}
