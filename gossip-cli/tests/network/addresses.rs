//! Nodes that are not simply where they are bound, and paths that do not take every datagram.

use std::thread;

use serde_json::json;

use crate::laboratory::{
    HUB, Laboratory, PORT, after_periods, all_alive, figure, four, has_ipv6, six, told_of, watched,
};
use crate::process::{Agent, Monitor, SOON, eventually};

/// How long nothing may go wrong, in probe periods.
const PERIODS: u32 = 20;
/// The port of the proxy.
const PROXIED: u16 = 7777;

/// Nobody is suspected, by any of these agents, for a while.
fn all_stay_well(agents: &[Agent], monitors: &[Monitor]) {
    after_periods(agents, PERIODS);
    let told = told_of(monitors, &["suspect", "dead"]);
    assert!(told.is_empty(), "{told:#?}");
}

fn seed() -> String {
    format!("{}:{PORT}", four(0))
}

pub(crate) fn a_node_behind_a_proxy_for_streams_alone_is_a_member_like_others() {
    let network = Laboratory::lay("proxy", 8).expect("it could be laid before");
    let behind = 7;
    let target = format!("{}:{PORT}", four(behind));
    network.filter_hub(&format!("-t nat -A PREROUTING -p tcp -d {HUB} --dport {PROXIED} -j DNAT --to {target}"));
    network.filter_hub(&format!("-t nat -A POSTROUTING -p tcp -d {} -j MASQUERADE", four(behind)));
    // Only the proxy reaches it, and the answers to what it asks for itself.
    network.filter(behind, "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT");
    network.filter(behind, &format!("-A INPUT ! -s {HUB} -j DROP"));

    let mut agents = network.agents(7);
    let advertised = format!("{HUB}:{PROXIED}");
    agents.push(network.agent(behind, &["--advertise", &advertised, "--join", &seed()]));
    all_alive(&agents, SOON);
    let hidden = &agents[behind];
    assert_eq!(hidden.address, advertised);
    let monitors = watched(&agents);
    let heard = hidden.listen(&["--type", "200"]);
    for (number, agent) in agents[..behind].iter().enumerate() {
        agent.json(&["send", "--reliable", "--to", &hidden.id, "200", &number.to_string()]);
        assert_eq!(heard.next(SOON).expect("it arrives")["payload"], number.to_string());
    }
    all_stay_well(&agents, &monitors);
}

pub(crate) fn a_node_answers_from_the_address_that_was_asked() {
    let network = Laboratory::lay("homes", 8).expect("it could be laid before");
    let second = |host: usize| format!("10.213.0.{}", host + 101);
    let seed = format!("{}:{PORT}", second(0));
    for host in 0..8 {
        // Each is asked at its second address, which is not the one that the system prefers to send from. What comes to
        // the first is let in only as the answer of somebody who was asked.
        network.add_address(host, &format!("{}/32", second(host)));
        network.filter(host, "-A INPUT -p udp -m conntrack --ctstate ESTABLISHED -j ACCEPT");
        network.filter(host, &format!("-A INPUT -p udp ! -d {} -j DROP", second(host)));
    }
    let agents: Vec<Agent> = (0..8)
        .map(|host| {
            // By both kinds of sockets for all addresses.
            let bind = format!("{}:{PORT}", if host % 2 == 0 { "0.0.0.0" } else { "[::]" });
            network.agent_at(host, &bind, &["--advertise", &second(host), "--join", &seed])
        })
        .collect();
    all_alive(&agents, SOON);
    let monitors = watched(&agents);
    all_stay_well(&agents, &monitors);
    for host in 0..8 {
        assert_eq!(network.dropped(host), 0, "answers of a wrong address that host {host} got");
    }
}

pub(crate) fn nodes_at_addresses_of_both_families_meet() {
    if !has_ipv6() {
        // Not by a macro: what those print is only shown of tests that fail.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"only IPv4 here: no families to mix\n");
        return;
    }
    let network = Laboratory::lay("families", 8).expect("it could be laid before");
    // Bound to all addresses of both families; each advertises one.
    let agents: Vec<Agent> = (0..8)
        .map(|host| {
            let own = if host % 2 == 0 { four(host) } else { six(host) };
            let bind = format!("[::]:{PORT}");
            network.agent_at(host, &bind, &["--advertise", &own, "--join", &seed()])
        })
        .collect();
    all_alive(&agents, SOON);
    let monitors = watched(&agents);
    thread::scope(|scope| {
        for sender in &agents {
            scope.spawn(|| {
                for receiver in agents.iter().filter(|agent| agent.id != sender.id) {
                    sender.json(&["send", "--reliable", "--to", &receiver.id, "200", "x"]);
                }
            });
        }
    });
    all_stay_well(&agents, &monitors);
    for agent in &agents {
        assert_eq!(figure(agent, "/counters/probes_failed"), 0);
    }
}

pub(crate) fn what_is_too_long_for_the_path_arrives_by_stream() {
    let network = Laboratory::lay("mtu", 8).expect("it could be laid before");
    for host in 0..8 {
        // Without a word to the sender, as where ICMP is filtered.
        network.filter(host, "-A INPUT -p udp -m length --length 901:65535 -j DROP");
    }
    let blob = "x".repeat(1_200);
    let agents: Vec<Agent> =
        (0..8).map(|host| network.agent(host, &["--join", &seed(), "--meta", &format!("blob={blob}")])).collect();
    all_alive(&agents, SOON);
    let monitors = watched(&agents);
    let knows = |agent: &Agent, of: &Agent, value: &str| {
        let what = format!("{} knows the metadata of {}", agent.id, of.id);
        eventually(&what, SOON, || {
            (agent.ask(&["meta", "get", "blob", "--node", &of.id]).stdout.trim_ascii() == value.as_bytes())
                .then_some(())
        });
    };
    for agent in &agents {
        for of in &agents {
            knows(agent, of, &blob);
        }
    }
    let changed = "y".repeat(1_200);
    agents[3].json(&["meta", "set", &format!("blob={changed}")]);
    for agent in &agents {
        knows(agent, &agents[3], &changed);
    }

    let listener = agents[5].listen(&["--type", "200", "--echo"]);
    agents[2].json(&["send", "--reliable", "--to", &agents[5].id, "200", &blob]);
    assert_eq!(listener.next(SOON).expect("a message arrives")["payload"], json!(blob));
    agents[2].json(&["send", "200", &changed]);
    assert_eq!(listener.next(SOON).expect("a broadcast arrives")["payload"], json!(changed));
    let answer = agents[2].ask(&["request", "--to", &agents[5].id, "200", &blob]);
    assert_eq!(answer.stdout.trim_ascii(), blob.as_bytes(), "{answer:?}");
    all_stay_well(&agents, &monitors);
}
