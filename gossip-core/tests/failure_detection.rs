//! What members learn when one of them stops answering.

mod support;

use std::time::Duration;

use gossip_core::{Cause, Config, MemberState, MessageKind};
use support::forge::drain;
use support::{Net, id, secs};

#[test]
fn a_crash_is_suspected_with_its_cause_and_then_known_as_death_by_all() {
    let config = Config::lan("test");
    let mut net = Net::cluster(8, &config);
    net.clear_events();
    net.kill(7);
    let all_dead = |net: &Net| (0..7).all(|who| net.state(who, 8) == Some(MemberState::Dead));
    let took = net.run_until(secs(12), all_dead).expect("everybody knows within 12 s");
    assert!(took > secs(4), "no faster than the shortest suspicion: {took:?}");

    let mut first_hand = 0;
    for who in 0..7 {
        let changes: Vec<_> = net.changes(who).into_iter().filter(|change| change.0 == id(8)).collect();
        let (suspect, dead) = match changes.as_slice() {
            [(_, MemberState::Suspect, suspect), (_, MemberState::Dead, dead)] => (suspect, dead),
            other => panic!("node {who}: first suspected, then dead, not {other:?}"),
        };
        first_hand += usize::from(*suspect == Cause::ProbeFailed);
        assert!(matches!(suspect, Cause::ProbeFailed | Cause::Accused { .. }), "{suspect:?}");
        assert!(matches!(dead, Cause::SuspicionExpired { .. } | Cause::DeclaredDead { .. }), "{dead:?}");
    }
    assert!(first_hand >= 1, "somebody's own probe failed");
}

#[test]
fn a_crash_does_not_make_healthy_nodes_doubt_themselves() {
    let mut net = Net::cluster(8, &Config::lan("test"));
    net.kill(7);
    net.run(secs(3));
    let unwell = (0..7).filter(|&who| net.node(who).health_score() > 0).count();
    assert_eq!(unwell, 0, "helpers send their nacks early enough to be counted");
}

#[test]
fn a_pause_of_three_seconds_is_refuted_and_nobody_is_removed() {
    let mut net = Net::cluster(5, &Config::lan("test"));
    net.clear_events();
    net.pause(4);
    net.run(secs(3));
    assert!((0..4).any(|who| net.state(who, 5) == Some(MemberState::Suspect)), "it was noticed");
    net.resume(4);
    net.run(secs(5));
    assert!(net.sees_alive(0..5));
    for who in 0..5 {
        assert!(net.changes(who).iter().all(|change| change.1 != MemberState::Dead), "{:?}", net.changes(who));
    }
    assert!(net.node(4).incarnation().refutations > 0, "it spoke up for itself");
}

#[test]
fn a_node_that_slept_does_not_accuse_the_others() {
    let mut net = Net::cluster(5, &Config::lan("test"));
    net.clear_events();
    net.pause(0);
    net.run(secs(60));
    net.resume(0);
    net.run(secs(10));
    assert!(net.sees_alive(0..5), "it came back");
    for who in 0..5 {
        let wrongly = net.changes(who).into_iter().filter(|change| change.0 != id(1) && !change.1.is_live());
        assert_eq!(wrongly.count(), 0, "{:?}", net.changes(who));
    }
}

#[test]
fn blocked_datagrams_between_two_members_are_not_taken_for_a_death() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    net.clear_events();
    net.datagrams_reach = |_, _| false;
    net.run(secs(60));
    assert!(net.sees_alive(0..2));
    assert!(net.changes(0).is_empty() && net.changes(1).is_empty(), "{:?}", net.changes(0));
}

#[test]
fn a_cut_between_two_members_is_bridged_by_the_others() {
    let mut net = Net::cluster(6, &Config::lan("test"));
    net.clear_events();
    net.reaches = |from, to| !matches!((from, to), (0, 1) | (1, 0));
    net.run(secs(120));
    assert!(net.sees_alive(0..6));
    for who in 0..6 {
        assert!(net.changes(who).is_empty(), "node {who}: {:?}", net.changes(who));
    }
}

#[test]
fn loss_of_a_tenth_of_the_datagrams_kills_nobody() {
    let mut net = Net::cluster(16, &Config::lan("test"));
    net.clear_events();
    net.loss = 10;
    net.run(secs(300));
    for who in 0..16 {
        let dead = net.changes(who).into_iter().filter(|change| change.1 == MemberState::Dead);
        assert_eq!(dead.count(), 0, "node {who}: {:?}", net.changes(who));
    }
}

#[test]
fn idle_traffic_does_not_depend_on_the_size_of_the_cluster() {
    let sent = |count: usize| {
        let mut net = Net::cluster(count, &Config::lan("test"));
        net.run(secs(20));
        let before: u64 = (0..count).map(|who| net.stats(who).datagrams_sent).sum();
        net.run(secs(100));
        let after: u64 = (0..count).map(|who| net.stats(who).datagrams_sent).sum();
        (after - before) as f64 / count as f64 / 100.0
    };
    let (small, large) = (sent(8), sent(64));
    assert!((1.9..=2.2).contains(&small) && (1.9..=2.2).contains(&large), "{small} and {large} a second");
}

#[test]
fn a_node_that_is_called_once_a_second_still_notices_a_death() {
    for tick_ms in [700_u64, 1_000, 2_000] {
        let mut net = Net::cluster(2, &Config::lan("test"));
        net.kill(1);
        let start = net.now;
        let mut now = net.now;
        let mut died = None;
        while now < start + secs(600) {
            now = now + Duration::from_millis(tick_ms);
            let node = net.node(0);
            node.handle_timeout(now);
            drain(node, now);
            if node.member(id(2)).unwrap().state == MemberState::Dead {
                died = Some(now.saturating_since(start));
                break;
            }
        }
        assert!(died.is_some_and(|after| after < secs(60)), "tick of {tick_ms} ms: {died:?}");
    }
}

#[test]
fn slow_calls_and_constant_news_do_not_hide_a_death() {
    for tick_ms in [700_u64, 1_000] {
        let mut net = Net::cluster(2, &Config::lan("test"));
        net.kill(1);
        let start = net.now;
        let mut now = net.now;
        let mut died = None;
        let mut round = 0_i64;
        while now < start + secs(600) {
            now = now + Duration::from_millis(tick_ms);
            let node = net.node(0);
            node.handle_timeout(now);
            round += 1;
            node.set_metadata(now, "k", round).unwrap();
            drain(node, now);
            if node.member(id(2)).unwrap().state == MemberState::Dead {
                died = Some(now.saturating_since(start));
                break;
            }
        }
        assert!(died.is_some_and(|after| after < secs(60)), "tick of {tick_ms} ms with news: {died:?}");
    }
}

#[test]
fn a_suspect_is_probed_in_every_period() {
    let mut config = Config::lan("test");
    config.awareness_max = 1;
    config.suspicion_min = 20;
    config.stream_probe = false;
    let mut net = Net::cluster(2, &config);
    net.run(secs(10));
    net.kill(1);
    let before = net.stats(0).sent(MessageKind::Ping);
    net.run(secs(20));
    let sent = net.stats(0).sent(MessageKind::Ping) - before;
    assert!(sent >= 18, "{sent} pings in 20 periods of a second");
}
