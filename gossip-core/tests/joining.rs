//! How nodes find each other, and why some are not let in.

mod support;

use std::sync::Arc;

use gossip_core::{Cause, Config, Event, JoinError, MemberState, RejectReason};
use support::{Net, id, secs};

fn failures(net: &Net, who: usize) -> Vec<JoinError> {
    let failures = net.hosts[who].events.iter().filter_map(|(_, event)| match event {
        Event::JoinFailed { error, .. } => Some(error.clone()),
        _ => None,
    });
    failures.collect()
}

fn accepted(net: &Net, who: usize) -> usize {
    net.hosts[who].events.iter().filter(|(_, event)| matches!(event, Event::JoinAccepted { .. })).count()
}

#[test]
fn a_joiner_has_the_whole_table_after_one_exchange() {
    let mut net = Net::cluster(20, &Config::lan("test"));
    let newcomer = net.start(21, Config::lan("test"));
    net.join(newcomer, 3);
    net.run(secs(0) + net.latency * 3);
    assert!((1..=21).all(|of| net.state(newcomer, of) == Some(MemberState::Alive)));
    assert_eq!(accepted(&net, newcomer), 1);
}

#[test]
fn a_table_larger_than_a_chunk_arrives_whole() {
    let mut config = Config::lan("test");
    config.chunk = 1 << 10;
    let mut net = Net::cluster(100, &config);
    let newcomer = net.start(101, config);
    net.join(newcomer, 0);
    net.run(net.latency * 20);
    assert!((1..=101).all(|of| net.state(newcomer, of) == Some(MemberState::Alive)));
    assert!(net.stats(0).stream_messages_sent > 3, "it took several chunks");
}

#[test]
fn sixty_four_nodes_that_join_at_once_through_one_seed_all_see_all_within_two_seconds() {
    for seed in 0..8 {
        let mut net = Net::new(seed);
        for number in 1..=64 {
            net.start(number, Config::lan("test"));
        }
        for who in 1..64 {
            net.join(who, 0);
        }
        let took = net.run_until(secs(2), |net| net.sees_alive(0..64));
        assert!(took.is_some(), "seed {seed}");
    }
}

#[test]
fn clusters_of_different_names_never_mix_and_the_joiner_is_told_why() {
    let mut net = Net::cluster(3, &Config::lan("one"));
    let stranger = net.start(9, Config::lan("two"));
    let now = net.now;
    net.node(stranger).set_seeds(now, vec![0, 1, 2]);
    net.node(0).set_seeds(now, vec![3]);
    net.settle_all();
    net.run(secs(120));
    assert_eq!(net.node(stranger).live_count(), 1);
    assert!((0..3).all(|who| net.node(who).live_count() == 3));
    let failures = failures(&net, stranger);
    assert!(!failures.is_empty());
    assert!(failures.iter().all(|error| *error == JoinError::Rejected(RejectReason::Cluster)), "{failures:?}");
}

#[test]
fn the_application_decides_which_versions_it_lets_in() {
    let mut strict = Config::lan("test");
    strict.application = "2.1".into();
    strict.accept_application = Arc::new(|version| version.starts_with("2."));
    let mut old = Config::lan("test");
    old.application = "1.9".into();
    let mut net = Net::cluster(2, &strict);
    let newcomer = net.start(3, old);
    net.join(newcomer, 0);
    net.run(secs(5));
    assert_eq!(failures(&net, newcomer), [JoinError::Rejected(RejectReason::Application("2.1".into()))]);
    assert_eq!(net.node(0).live_count(), 2);
}

#[test]
fn a_future_protocol_version_is_refused_with_the_versions_spoken_here() {
    use gossip_core::Channel;
    let mut net = Net::cluster(2, &Config::lan("test"));
    let joiner = net.start(3, Config::lan("test"));
    let now = net.now;
    net.node(joiner).join(now, 0).unwrap();
    // What the joiner says, as a node of version 9 would.
    let mut buffer = bytes::BytesMut::new();
    net.node(joiner).poll_transmit(now, &mut buffer).unwrap();
    buffer[0] = 9;
    net.send(joiner, 0, Channel::Stream, buffer.to_vec());
    net.run(secs(1));
    assert!(matches!(failures(&net, joiner).as_slice(), [JoinError::Rejected(RejectReason::Versions(_))]));
    assert_eq!(net.node(0).live_count(), 2);
}

#[test]
fn joining_oneself_an_unreachable_address_or_a_silent_one_fails_with_the_reason() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let now = net.now;
    assert_eq!(net.node(0).join(now, 0), Err(JoinError::Rejected(RejectReason::Myself)));
    net.node(0).join(now, 99).unwrap();
    net.settle(0);
    net.run(secs(1));
    assert_eq!(failures(&net, 0), [JoinError::Unreachable]);
    net.clear_events();
    net.pause(1);
    net.join(0, 1);
    net.run(secs(6));
    assert_eq!(failures(&net, 0), [JoinError::Timeout]);
}

#[test]
fn a_full_table_refuses_newcomers_and_says_so() {
    let mut config = Config::lan("test");
    config.max_members = 3;
    let mut net = Net::cluster(3, &config);
    let newcomer = net.start(4, config);
    net.join(newcomer, 0);
    net.run(secs(5));
    assert_eq!(failures(&net, newcomer), [JoinError::Rejected(RejectReason::Full)]);
}

#[test]
fn a_node_that_is_alone_keeps_trying_its_seeds() {
    let mut net = Net::new(1);
    net.start(1, Config::lan("test"));
    net.hosts.push(support::Host::down());
    let now = net.now;
    net.node(0).set_seeds(now, vec![0, 1]);
    net.settle(0);
    net.run(secs(300));
    assert!(failures(&net, 0).len() > 20);
    net.start_at(1, 2, Config::lan("test"));
    assert!(net.run_until(secs(12), |net| net.sees_alive(0..2)).is_some());
}

#[test]
fn a_restart_with_the_same_id_is_back_with_all_within_two_periods() {
    let mut net = Net::cluster(8, &Config::lan("test"));
    net.kill(7);
    net.run(secs(20));
    assert_eq!(net.state(0, 8), Some(MemberState::Dead));
    net.clear_events();
    net.start_at(7, 8, Config::lan("test"));
    net.join(7, 0);
    assert!(net.run_until(secs(2), |net| net.sees_alive(0..8)).is_some());
    assert!(net.changes(1).contains(&(id(8), MemberState::Alive, Cause::Restarted)));
}

#[test]
fn a_restart_before_anybody_noticed_works_too_and_at_another_address() {
    let mut net = Net::cluster(8, &Config::lan("test"));
    net.kill(7);
    net.clear_events();
    let elsewhere = net.start(8, Config::lan("test"));
    net.join(elsewhere, 0);
    let moved = |net: &Net| {
        (0..7).all(|who| {
            let member = net.hosts[who].node.as_ref().and_then(|node| node.member(id(8)));
            member.is_some_and(|member| member.address == 8 && member.state == MemberState::Alive)
        })
    };
    assert!(net.run_until(secs(2), moved).is_some());
    net.run(secs(30));
    assert!(moved(&net), "the old address does not come back");
    for who in 0..7 {
        let changes = net.changes(who);
        assert_eq!(changes, [(id(8), MemberState::Alive, Cause::Restarted)], "node {who}");
    }
}

#[test]
fn a_clock_that_went_back_over_a_restart_does_not_keep_a_node_out() {
    use gossip_core::{Epoch, Identity};
    let mut net = Net::cluster(4, &Config::lan("test"));
    net.kill(3);
    let past = Identity::new(id(4), 3, Epoch::from_u64(1));
    net.start_as(3, past, Config::lan("test"));
    net.join(3, 0);
    assert!(net.run_until(secs(5), |net| net.sees_alive(0..4)).is_some());
    assert!(failures(&net, 3).is_empty());
}

#[test]
fn a_probe_of_an_earlier_life_does_not_accuse_the_new_one() {
    for tenths in (0..20).step_by(3) {
        let mut net = Net::cluster(5, &Config::lan("test"));
        net.kill(4);
        net.run(secs(4) + secs(1) / 10 * tenths);
        net.start_at(4, 5, Config::lan("test"));
        net.join(4, 0);
        net.run(secs(1) / 10);
        net.clear_events();
        net.run(secs(5));
        for who in 0..5 {
            let accused = net.changes(who).into_iter().filter(|change| change.1 != MemberState::Alive);
            assert_eq!(accused.count(), 0, "{tenths}, node {who}: {:?}", net.changes(who));
        }
    }
}
