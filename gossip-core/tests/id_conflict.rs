//! Two live nodes with one id.

mod support;

use gossip_core::{Config, Event, JoinError, MemberState, Phase, RejectReason};
use support::{Net, id, secs};

fn conflicts(net: &Net, who: usize) -> Vec<(usize, bool)> {
    let conflicts = net.hosts[who].events.iter().filter_map(|(_, event)| match event {
        Event::IdConflict { rival, quiet, .. } => Some((*rival, *quiet)),
        _ => None,
    });
    conflicts.collect()
}

/// Six nodes, the last of which has the id of the second.
fn with_impostor(through: usize) -> Net {
    let mut net = Net::cluster(5, &Config::lan("test"));
    net.clear_events();
    let impostor = net.start(2, Config::lan("test"));
    net.join(impostor, through);
    net
}

#[test]
fn both_are_told_the_earlier_goes_quiet_and_the_others_see_no_flapping() {
    let mut net = with_impostor(0);
    net.run(secs(60));
    assert_eq!(conflicts(&net, 1), [(5, true)], "the earlier start");
    assert_eq!(conflicts(&net, 5), [(1, false)], "the later start");
    assert_eq!(net.node(1).phase(), Phase::Contested);
    for who in [0, 2, 3, 4] {
        let address = net.node(who).member(id(2)).map(|member| member.address);
        assert_eq!(address, Some(5), "node {who}");
        assert_eq!(net.changes(who).len(), 1, "one change, from one address to the other: {:?}", net.changes(who));
    }
}

#[test]
fn the_earlier_comes_back_when_the_later_dies() {
    let mut net = with_impostor(0);
    net.run(secs(10));
    net.kill(5);
    let back = |net: &Net| {
        [0, 2, 3, 4].into_iter().all(|who| {
            let member = net.hosts[who].node.as_ref().and_then(|node| node.member(id(2)));
            member.is_some_and(|member| member.address == 1 && member.state == MemberState::Alive)
        })
    };
    assert!(net.run_until(secs(60), back).is_some());
    assert!(net.hosts[1].events.iter().any(|(_, event)| matches!(event, Event::IdRegained)));
}

#[test]
fn joining_through_the_very_node_that_has_the_id_is_refused() {
    let mut net = with_impostor(1);
    net.run(secs(5));
    let refused = |event: &Event<usize>| {
        matches!(event, Event::JoinFailed { error: JoinError::Rejected(RejectReason::IdConflict), .. })
    };
    assert!(net.hosts[5].events.iter().any(|(_, event)| refused(event)));
    assert_eq!(conflicts(&net, 5).len(), 1);
    assert_eq!(conflicts(&net, 1), [(5, false)]);
    assert_eq!(net.node(1).phase(), Phase::Active);
    assert_eq!(net.node(0).member(id(2)).map(|member| member.address), Some(1));
}
