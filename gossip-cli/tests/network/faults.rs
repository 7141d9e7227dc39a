//! Whom nobody may give up, whatever the network does to some of its packets.

use std::collections::BTreeSet;
use std::thread;

use crate::laboratory::{Laboratory, after_periods, figure, four, told_of, watched};
use crate::process::{Agent, Monitor, SOON, eventually, told};

/// How long a fault lasts, in probe periods.
const PERIODS: u32 = 24;

pub(crate) fn nobody_is_suspected_where_pairs_of_nodes_cannot_exchange_datagrams() {
    let network = Laboratory::lay("udp", 8).expect("it could be laid before");
    let agents = network.agents(8);
    let monitors = watched(&agents);
    // In silence, with a word of the other host or of one between, and refused by the sender's own system.
    let ways = [
        "INPUT -j DROP",
        "INPUT -j REJECT --reject-with icmp-port-unreachable",
        "INPUT -j REJECT --reject-with icmp-host-prohibited",
        "OUTPUT -j DROP",
    ];
    for (pair, way) in ways.into_iter().enumerate() {
        let (chain, verdict) = way.split_once(' ').expect("a chain and what becomes of its packets");
        let direction = if chain == "INPUT" { "-s" } else { "-d" };
        for (host, other) in [(2 * pair, 2 * pair + 1), (2 * pair + 1, 2 * pair)] {
            network.filter(host, &format!("-A {chain} -p udp {direction} {} {verdict}", four(other)));
        }
    }
    after_periods(&agents, PERIODS);
    let events = told_of(&monitors, &["suspect", "dead"]);
    assert!(events.is_empty(), "{events:#?}");
    let failed: u64 = agents.iter().map(|agent| figure(agent, "/counters/probes_failed")).sum();
    assert_eq!(failed, 0, "a stream, or the word of others, takes the place of the datagrams");
}

pub(crate) fn a_node_that_hears_nothing_from_one_other_suspects_nobody() {
    let network = Laboratory::lay("deaf", 8).expect("it could be laid before");
    let agents = network.agents(8);
    let monitors = watched(&agents);
    network.cut(&[0], &[1]);
    after_periods(&agents, PERIODS);
    // Neither stream nor datagram passes in both directions, so others ask for each of the two.
    let events = told_of(&monitors, &["suspect", "dead"]);
    assert!(events.is_empty(), "{events:#?}");
}

pub(crate) fn a_node_that_everybody_hears_and_that_hears_nobody_kills_nobody() {
    let network = Laboratory::lay("mute", 8).expect("it could be laid before");
    let agents = network.agents(8);
    let (deaf, others) = agents.split_first().expect("there are eight");
    let monitors = watched(others);
    network.cut(&[1, 2, 3, 4, 5, 6, 7], &[0]);
    // It accuses all, who refute; and it answers nobody.
    for agent in others {
        agent.sees(&deaf.id, "dead", 2 * SOON);
    }
    after_periods(others, PERIODS);
    let events = told_of(&monitors, &["dead"]);
    assert!(events.iter().all(|event| event["id"] == deaf.id.as_str()), "{events:#?}");
    network.mend(&[1, 2, 3, 4, 5, 6, 7], &[0]);
    crate::laboratory::all_alive(&agents, 2 * SOON);
}

pub(crate) fn a_fifth_of_all_packets_lost_kills_nobody_and_what_is_sent_arrives() {
    let network = Laboratory::lay("loss", 8).expect("it could be laid before");
    let agents = network.agents(8);
    let monitors = watched(&agents);
    let listeners: Vec<Monitor> = agents.iter().map(|agent| agent.listen(&["--type", "200"])).collect();
    for host in 0..agents.len() {
        network.filter(host, "-A INPUT -m statistic --mode random --probability 0.2 -j DROP");
    }
    // Everybody broadcasts, and sends each other one a message.
    thread::scope(|scope| {
        for sender in &agents {
            scope.spawn(|| {
                sender.json(&["send", "200", &broadcast(sender)]);
                others(&agents, sender).for_each(|receiver| confirmed(sender, receiver));
            });
        }
    });
    for (listener, receiver) in listeners.iter().zip(&agents) {
        let expected = others(&agents, receiver).flat_map(|sender| [broadcast(sender), direct(sender, receiver)]);
        let mut missing: BTreeSet<String> = expected.collect();
        while !missing.is_empty() {
            let heard = listener.next(2 * SOON).unwrap_or_else(|| panic!("not heard: {missing:#?}"));
            let is_new = missing.remove(heard["payload"].as_str().expect("a text was sent"));
            // A message comes again if only its confirmation was lost, and so its sender tried again.
            assert!(is_new || heard["event"] == "message", "a broadcast came twice: {heard}");
        }
    }
    after_periods(&agents, PERIODS);
    let events = told_of(&monitors, &["dead"]);
    assert!(events.is_empty(), "{events:#?}");
}

fn others<'a>(agents: &'a [Agent], but: &'a Agent) -> impl Iterator<Item = &'a Agent> {
    agents.iter().filter(|agent| agent.id != but.id)
}

fn broadcast(sender: &Agent) -> String {
    format!("to all from {}", sender.id)
}

fn direct(sender: &Agent, receiver: &Agent) -> String {
    format!("to {} from {}", receiver.id, sender.id)
}

/// Sends a message until it is confirmed: of so many packets each of the few that open a connection may be lost, and
/// then a sender is told in a second or two.
fn confirmed(sender: &Agent, receiver: &Agent) {
    let args = ["send", "--reliable", "--to", &receiver.id, "200", &direct(sender, receiver)];
    eventually("a message is confirmed", 2 * SOON, || {
        let (code, _, error) = told(&sender.ask(&args));
        assert!(code == Some(0) || error.contains("not confirmed"), "{error}");
        (code == Some(0)).then_some(())
    });
}
