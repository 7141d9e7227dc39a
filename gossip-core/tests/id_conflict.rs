//! Two live nodes with one id.

mod support;

use gossip_core::{Channel, Config, Event, Identity, JoinError, MemberState, Phase, RejectReason};
use support::forge::{at, claim, drain, node, packet};
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

#[test]
fn two_starts_in_one_epoch_do_not_flap() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    let incarnation = net.node(3).incarnation();
    // The node has refuted once.
    let teller = net.node(1).incarnation().epoch.as_u64();
    let suspicion = packet(2, teller, &[claim(4, (incarnation.epoch.as_u64(), 0), 1, 3, 0, 0)]);
    net.send(1, 0, Channel::Datagram, suspicion);
    net.run(secs(5));
    assert_eq!(net.node(3).incarnation().refutations, 1);
    let twin = net.hosts.len();
    net.hosts.push(support::Host::down());
    net.start_as(twin, Identity::new(id(4), twin, incarnation.epoch), Config::lan("test"));
    net.join(twin, 0);
    net.run(secs(60));
    let phases = (net.node(3).phase(), net.node(twin).phase());
    let seen = net.changes(0).len();
    net.run(secs(60));
    assert_eq!(
        net.changes(0).len() - seen,
        0,
        "changes seen by a bystander in a minute; {phases:?} {} {}",
        net.node(3).incarnation(),
        net.node(twin).incarnation()
    );
}

#[test]
fn a_contested_node_comes_back_also_when_the_rival_is_forgotten() {
    let mut config = Config::lan("test");
    config.retention = secs(5);
    let mut net = Net::cluster(4, &config);
    let rival = net.start(4, config.clone());
    net.join(rival, 0);
    net.run(secs(5));
    assert_eq!(net.node(3).phase(), Phase::Contested);
    // Asleep while the rival dies and is forgotten.
    net.reaches = |from, to| from != 3 && to != 3;
    net.kill(rival);
    net.run(secs(120));
    net.reaches = |_, _| true;
    net.run(secs(300));
    assert_eq!(net.node(3).phase(), Phase::Active);
}

#[test]
fn a_contested_node_tries_its_seeds_too() {
    let config = Config::lan("test");
    let mut net = Net::cluster(4, &config);
    let rival = net.start(4, config.clone());
    net.join(rival, 0);
    net.run(secs(5));
    assert_eq!(net.node(3).phase(), Phase::Contested);
    // All others are replaced, at other addresses.
    let seed = net.start(21, config.clone());
    let now = net.now;
    net.node(3).set_seeds(now, vec![seed]);
    net.join(seed, 0);
    net.run(secs(2));
    for who in [0, 1, 2, rival] {
        net.kill(who);
    }
    net.run(secs(300));
    assert_eq!(net.node(3).phase(), Phase::Active);
}

#[test]
fn a_contested_node_asks_each_of_its_seeds_before_it_asks_one_again() {
    let config = Config::lan("test");
    let mut net = Net::cluster(6, &config);
    let rival = net.start(4, config.clone());
    net.join(rival, 0);
    net.run(secs(5));
    assert_eq!(net.node(3).phase(), Phase::Contested);
    for who in [0, 1, 2, 4, 5, rival] {
        net.kill(who);
    }
    net.clear_events();
    let now = net.now;
    // Its own address is one of those that all nodes are told.
    net.node(3).set_seeds(now, vec![0, 1, 2, 3, 4, 5]);
    let takes_part = |net: &Net| net.hosts[3].node.as_ref().is_some_and(|node| node.phase() == Phase::Active);
    assert!(net.run_until(secs(600), takes_part).is_some());
    let mut asked: Vec<usize> = net.hosts[3]
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::JoinFailed { address, .. } => Some(*address),
            _ => None,
        })
        .collect();
    asked.truncate(5);
    asked.sort_unstable();
    assert_eq!(asked, [0, 1, 2, 4, 5]);
}

#[test]
fn a_contested_node_notices_that_a_seed_it_knew_is_not_there_any_more() {
    let config = Config::lan("test");
    let mut net = Net::cluster(4, &config);
    let now = net.now;
    net.clear_events();
    net.node(3).set_seeds(now, vec![0]);
    let has_answered = |net: &Net| {
        net.hosts[3].events.iter().any(|(_, event)| matches!(event, Event::JoinAccepted { address: 0, .. }))
    };
    assert!(net.run_until(secs(60), has_answered).is_some(), "so it is known who is there");
    let rival = net.start(4, config.clone());
    net.join(rival, 0);
    net.run(secs(5));
    assert_eq!(net.node(3).phase(), Phase::Contested);
    // The cluster moves to other addresses, as in a new deployment; the seed's name leads to one of them.
    for who in [0, 1, 2, rival] {
        net.kill(who);
    }
    net.clear_events();
    net.run(secs(120));
    let is_told = |event: &Event<usize>| matches!(event, Event::JoinFailed { address: 0, .. });
    assert!(net.hosts[3].events.iter().any(|(_, event)| is_told(event)), "so that the name is looked up again");
    let seed = net.start(21, config);
    let now = net.now;
    net.node(3).set_seeds(now, vec![seed]);
    net.run(secs(60));
    assert_eq!(net.node(3).phase(), Phase::Active);
}

#[test]
fn a_contested_node_that_is_left_alone_takes_part_again_and_lets_others_in() {
    let mut net = with_impostor(0);
    net.run(secs(10));
    assert_eq!(net.node(1).phase(), Phase::Contested);
    // All others die before the first of them has noticed that the rival is dead.
    for who in [5, 0, 2, 3, 4] {
        net.kill(who);
    }
    let newcomer = net.start(30, Config::lan("test"));
    let now = net.now;
    net.node(newcomer).set_seeds(now, vec![1]);
    net.run(secs(200));
    assert_eq!(net.node(1).phase(), Phase::Active);
    assert!(net.node(newcomer).member(id(2)).is_some_and(|member| member.state == MemberState::Alive));
}

#[test]
fn a_contested_node_that_was_cut_off_for_long_goes_quiet_again() {
    let mut net = with_impostor(0);
    net.run(secs(10));
    net.reaches = |from, to| from != 1 && to != 1;
    net.run(secs(120));
    assert_eq!(net.node(1).phase(), Phase::Active, "nobody is there");
    net.clear_events();
    net.reaches = |_, _| true;
    net.run(secs(120));
    assert_eq!((net.node(1).phase(), net.node(5).phase()), (Phase::Contested, Phase::Active));
    for who in [0, 2, 3, 4] {
        assert!(net.changes(who).is_empty(), "{:?}", net.changes(who));
    }
}

#[test]
fn a_contested_node_declares_nobody_dead() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    let teller = net.node(1).incarnation().epoch.as_u64();
    let other = net.node(2).incarnation().epoch.as_u64();
    let mine = net.node(3).incarnation().epoch.as_u64();
    // It hears of a suspicion, and then of its rival.
    let told = packet(2, teller, &[claim(3, (other, 0), 1, 2, 0, 0), claim(4, (mine + (1 << 30), 0), 0, 77, 0, 0)]);
    net.send(1, 3, Channel::Datagram, told);
    net.run(secs(60));
    assert!(net.changes(3).iter().all(|(_, state, _)| *state != MemberState::Dead), "{:?}", net.changes(3));
}

#[test]
fn an_accept_that_brings_the_rival_does_not_end_the_conflict() {
    let mut a = node(1, Config::lan("test"));
    a.join(at(1), 2).unwrap();
    drain(&mut a, at(1));
    let mut table = packet(2, 5, &[claim(1, (2_000, 0), 0, 77, 0, 0), claim(2, (5, 0), 0, 2, 0, 0), (9, vec![0])]);
    a.handle_message(at(1), 2, &mut table);
    let mut regained = 0;
    while let Some(event) = a.poll_event() {
        regained += usize::from(matches!(event, Event::IdRegained));
    }
    assert_eq!((a.phase(), regained), (Phase::Contested, 0));
}

#[test]
fn the_loser_of_one_epoch_stays_quiet_while_the_other_lives() {
    let mut net = Net::cluster(4, &Config::lan("test"));
    let incarnation = net.node(3).incarnation();
    let twin = net.hosts.len();
    net.hosts.push(support::Host::down());
    net.start_as(twin, Identity::new(id(4), twin, incarnation.epoch), Config::lan("test"));
    net.join(twin, 0);
    net.run(secs(300));
    let count =
        |net: &Net, who: usize| net.hosts[who].events.iter().filter(|(_, e)| matches!(e, Event::IdRegained)).count();
    println!(
        "{:?} {:?}, changes at a bystander: {}",
        net.node(3).phase(),
        net.node(twin).phase(),
        net.changes(0).len()
    );
    assert_eq!((count(&net, 3), count(&net, twin)), (0, 0));
}
