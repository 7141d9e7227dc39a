//! A cluster that is cut in two for a minute grows together by itself.
//!
//! The cut is real: agents in two network namespaces, joined by a virtual cable, and a packet filter that drops what
//! would cross it. This takes root, `ip` and `iptables`; without them the test says that it is skipped.
#![cfg(target_os = "linux")]

mod process;

use std::io::Write;
use std::process::{Command, Stdio, id};
use std::thread;
use std::time::{Duration, Instant};

use process::{Agent, Folder, SOON, gossip};

/// How long the cut lasts, and how long growing together may take.
const MINUTE: Duration = Duration::from_mins(1);

/// Two namespaces and the cable between them. They are removed when this is dropped, and with them everything inside.
struct Network {
    names: [String; 2],
    addresses: [String; 2],
}

impl Network {
    /// Lays the cable, or says what is missing to do so.
    fn lay() -> Result<Self, String> {
        let user = succeeds("id", &["-u"])?;
        if user.trim() != "0" {
            return Err("needs root".to_owned());
        }
        succeeds("ip", &["-V"])?;
        succeeds("iptables", &["-V"])?;
        let names = ["l", "r"].map(|side| format!("gossip-{side}{}", id()));
        let addresses = [1, 2].map(|host| format!("10.213.{}.{host}", id() % 250));
        succeeds("ip", &["netns", "add", &names[0]])?;
        // From here on the drop cleans up.
        let network = Self { names, addresses };
        ip(&["netns", "add", &network.names[1]]);
        let [left, right] = &network.names;
        let ends = ["gl", "gr"].map(|end| format!("{end}{}", id()));
        ip(&["-n", left, "link", "add", &ends[0], "type", "veth", "peer", "name", &ends[1], "netns", right]);
        for ((name, end), address) in network.names.iter().zip(&ends).zip(&network.addresses) {
            ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", end]);
            ip(&["-n", name, "link", "set", end, "up"]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        Ok(network)
    }

    /// Starts an agent on one side.
    fn agent(&self, folder: &Folder, side: usize, number: u16, seeds: &[&str]) -> Agent {
        let command = gossip();
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.names[side]]).arg(command.get_program());
        let bind = format!("{}:{}", self.addresses[side], 7000 + number);
        let control = format!("unix:{}", folder.file(&format!("{side}-{number}.sock")));
        let mut args = vec!["--bind", &bind, "--control", &control];
        args.extend(seeds.iter().flat_map(|seed| ["--join", *seed]));
        Agent::start_by(inside, &args)
    }

    /// Drops everything that the left side sends to the right one or gets from it; with `-D` no longer.
    fn filter(&self, action: &str) {
        let [left, _] = &self.names;
        let other = &self.addresses[1];
        for (chain, direction) in [("INPUT", "-s"), ("OUTPUT", "-d")] {
            ip(&["netns", "exec", left, "iptables", action, chain, direction, other, "-j", "DROP"]);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
        }
    }
}

fn succeeds(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

fn ip(args: &[&str]) {
    if let Err(error) = succeeds("ip", args) {
        panic!("{error}");
    }
}

#[test]
fn a_cluster_cut_in_two_for_a_minute_grows_together_by_itself() {
    let network = match Network::lay() {
        Ok(network) => network,
        Err(reason) => {
            // Not by a macro: what those print is only shown of tests that fail.
            let _ = writeln!(std::io::stderr(), "skipped, no network was cut: {reason}");
            return;
        }
    };
    let folder = Folder::new("partition");
    let first = network.agent(&folder, 0, 1, &[]);
    let seed = first.address.clone();
    let left = [first, network.agent(&folder, 0, 2, &[&seed])];
    let right = [network.agent(&folder, 1, 1, &[&seed]), network.agent(&folder, 1, 2, &[&seed])];
    let everybody = || left.iter().chain(&right);
    let all_alive = |within| {
        for agent in everybody() {
            everybody().for_each(|other| agent.sees(&other.id, "alive", within));
        }
    };
    all_alive(SOON);

    let cut = Instant::now();
    network.filter("-A");
    for (side, other) in [(&left, &right), (&right, &left)] {
        for agent in side {
            for friend in side {
                agent.sees(&friend.id, "alive", SOON);
            }
            for lost in other {
                agent.sees(&lost.id, "dead", MINUTE.saturating_sub(cut.elapsed()));
            }
        }
    }
    thread::sleep(MINUTE.saturating_sub(cut.elapsed()));

    let healed = Instant::now();
    network.filter("-D");
    all_alive(MINUTE);
    assert!(healed.elapsed() < MINUTE, "it took {:?}", healed.elapsed());
    println!("all alive {:?} after the cut was mended", healed.elapsed());
}
