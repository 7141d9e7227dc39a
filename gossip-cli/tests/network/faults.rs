//! Whom nobody may give up, whatever the network does to some of its packets.

use std::collections::BTreeSet;
use std::thread;

use crate::laboratory::{Laboratory, after_periods, figure, told_of, watched};
use crate::process::{Agent, Monitor, SOON};

/// How long a fault lasts, in probe periods.
const PERIODS: u32 = 24;

pub(crate) fn nobody_is_suspected_when_two_nodes_cannot_exchange_datagrams() {
    let network = Laboratory::lay("udp", 8).expect("it could be laid before");
    let agents = network.agents(8);
    let monitors = watched(&agents);
    network.block_udp(0, 1);
    after_periods(&agents, PERIODS);
    let told = told_of(&monitors, &["suspect", "dead"]);
    assert!(told.is_empty(), "{told:#?}");
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
    let told = told_of(&monitors, &["suspect", "dead"]);
    assert!(told.is_empty(), "{told:#?}");
}

pub(crate) fn a_node_that_everybody_hears_and_that_hears_nobody_kills_nobody() {
    let network = Laboratory::lay("mute", 8).expect("it could be laid before");
    let agents = network.agents(8);
    let (deaf, others) = agents.split_first().expect("there are eight");
    let monitors = watched(others);
    network.cut(&[1, 2, 3, 4, 5, 6, 7], &[0]);
    // It accuses all, who refute; and it answers nobody.
    others.iter().for_each(|agent| agent.sees(&deaf.id, "dead", 2 * SOON));
    after_periods(others, PERIODS);
    let told = told_of(&monitors, &["dead"]);
    assert!(told.iter().all(|event| event["id"] == deaf.id.as_str()), "{told:#?}");
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
                sender.json(&["send", "200", &format!("to all from {}", sender.id)]);
                for receiver in agents.iter().filter(|agent| agent.id != sender.id) {
                    sender.json(&["send", "--reliable", "--to", &receiver.id, "200", &direct(sender, receiver)]);
                }
            });
        }
    });
    for (listener, receiver) in listeners.iter().zip(&agents) {
        let others = agents.iter().filter(|agent| agent.id != receiver.id);
        let mut missing: BTreeSet<String> =
            others.flat_map(|sender| [format!("to all from {}", sender.id), direct(sender, receiver)]).collect();
        while !missing.is_empty() {
            let heard = listener.next(2 * SOON).unwrap_or_else(|| panic!("not heard: {missing:#?}"));
            let payload = heard["payload"].as_str().expect("a text was sent");
            assert!(missing.remove(payload), "it was not sent, or came twice: {heard}");
        }
    }
    after_periods(&agents, PERIODS);
    let told = told_of(&monitors, &["dead"]);
    assert!(told.is_empty(), "{told:#?}");
}

fn direct(sender: &Agent, receiver: &Agent) -> String {
    format!("to {} from {}", receiver.id, sender.id)
}
