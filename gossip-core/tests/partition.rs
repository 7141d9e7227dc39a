//! Clusters that are cut apart and grow together again without help.

mod support;

use gossip_core::{Config, MemberState};
use support::{Net, secs};

fn sees_only(net: &Net, who: std::ops::Range<usize>, dead: std::ops::Range<usize>) -> bool {
    who.clone().all(|who| dead.clone().all(|of| net.state(who, of as u128 + 1) == Some(MemberState::Dead)))
}

#[test]
fn halves_that_were_cut_for_a_minute_merge_within_a_minute() {
    let mut net = Net::cluster(10, &Config::lan("test"));
    net.reaches = |from, to| (from < 5) == (to < 5);
    net.run(secs(60));
    assert!(sees_only(&net, 0..5, 5..10) && sees_only(&net, 5..10, 0..5));
    net.clear_events();
    net.reaches = |_, _| true;
    let took = net.run_until(secs(60), |net| net.sees_alive(0..10)).expect("they merge");
    assert!(took < secs(30), "{took:?}");
    net.run(secs(10));
    let fingerprint = net.node(0).fingerprint();
    assert!((0..10).all(|who| net.node(who).fingerprint() == fingerprint), "they know the same");
    for who in 0..10 {
        let died = net.changes(who).into_iter().filter(|change| change.1 == MemberState::Dead);
        assert_eq!(died.count(), 0, "nobody dies of the merge: {:?}", net.changes(who));
    }
}

#[test]
fn a_single_node_that_was_cut_off_comes_back() {
    let mut net = Net::cluster(6, &Config::lan("test"));
    net.reaches = |from, to| (from == 0) == (to == 0);
    net.run(secs(120));
    assert!(sees_only(&net, 0..1, 1..6) && sees_only(&net, 1..6, 0..1));
    net.reaches = |_, _| true;
    assert!(net.run_until(secs(60), |net| net.sees_alive(0..6)).is_some());
}

#[test]
fn a_one_way_cut_heals_as_well() {
    let mut net = Net::cluster(6, &Config::lan("test"));
    net.reaches = |from, to| !(from < 3 && to >= 3);
    net.run(secs(60));
    net.reaches = |_, _| true;
    assert!(net.run_until(secs(60), |net| net.sees_alive(0..6)).is_some());
}

#[test]
fn clusters_that_never_met_merge_when_one_joins_the_other() {
    let mut net = Net::new(3);
    for number in 1..=12 {
        net.start(number, Config::lan("test"));
    }
    for who in 1..6 {
        net.join(who, 0);
    }
    for who in 7..12 {
        net.join(who, 6);
    }
    net.run(secs(5));
    assert_eq!(net.node(0).live_count(), 6);
    net.join(8, 2);
    assert!(net.run_until(secs(10), |net| net.sees_alive(0..12)).is_some());
}

#[test]
fn everybody_agrees_after_a_death_a_leave_and_changes_during_a_cut() {
    let mut net = Net::cluster(10, &Config::lan("test"));
    net.reaches = |from, to| (from < 5) == (to < 5);
    let now = net.now;
    net.node(9).leave(now).unwrap();
    net.node(1).set_metadata(now, "k", "left").unwrap();
    net.node(8).set_metadata(now, "k", "right").unwrap();
    net.settle_all();
    net.kill(4);
    net.run(secs(60));
    net.kill(9);
    net.reaches = |_, _| true;
    net.run(secs(60));
    let survivors = [0, 1, 2, 3, 5, 6, 7, 8];
    let fingerprint = net.node(0).fingerprint();
    for who in survivors {
        assert_eq!(net.state(who, 10), Some(MemberState::Leaving), "node {who}");
        assert_eq!(net.state(who, 5), Some(MemberState::Dead), "node {who}");
        assert_eq!(net.node(who).fingerprint(), fingerprint, "node {who}");
        let members: Vec<_> =
            [2, 9].map(|of| net.hosts[who].node.as_ref().unwrap().member(support::id(of)).cloned()).into();
        let texts: Vec<_> = members.iter().flatten().filter_map(|member| member.metadata.str("k")).collect();
        assert_eq!(texts, ["left", "right"], "node {who}");
    }
}
