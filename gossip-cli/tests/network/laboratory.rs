//! Networks of namespaces: hosts with addresses of their own at one bridge, and what can go wrong between them.

use std::process::{Command, Stdio, id};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::process::{Agent, Folder, Monitor, SOON, eventually, gossip};

/// The port of every agent.
pub(crate) const PORT: u16 = 7000;
/// How often each agent probes somebody.
const PERIOD: Duration = Duration::from_millis(500);
/// Timing that finds out quickly, with room for a busy machine.
const TIMING: &str = "[protocol]\nprobe_interval = \"500ms\"\nprobe_timeout = \"200ms\"\nheal_interval = \"1s\"\n";

/// The address of a host, counted from 0; its IPv6 address is [`six`].
pub(crate) fn four(host: usize) -> String {
    format!("10.213.0.{}", host + 1)
}

/// The IPv6 address of a host, in brackets.
pub(crate) fn six(host: usize) -> String {
    format!("[fd00:213::{}]", host + 1)
}

/// The address of the bridge itself, which is a host too.
pub(crate) const HUB: &str = "10.213.0.254";

/// A bridge and the hosts at it, each in a network namespace of its own. They are removed when this is dropped, and with
/// them everything inside.
#[derive(Debug)]
pub(crate) struct Laboratory {
    /// What the names of its namespaces begin with.
    name: String,
    /// Namespaces that exist, the hub first.
    spaces: Vec<String>,
    folder: Folder,
    config: String,
}

impl Laboratory {
    /// Lays a network of so many hosts, or says what is missing to do so.
    pub(crate) fn lay(name: &str, hosts: usize) -> Result<Self, String> {
        if succeeds("id", &["-u"])?.trim() != "0" {
            return Err("needs root".to_owned());
        }
        succeeds("ip", &["-V"])?;
        succeeds("iptables", &["-V"])?;
        let folder = Folder::new(&format!("network-{name}"));
        let config = folder.write("timing.toml", TIMING);
        // From here on the drop cleans up.
        let mut laboratory = Self { name: format!("gossip-{}-{name}", id()), spaces: Vec::new(), folder, config };
        let hub = laboratory.space("hub")?;
        succeeds("ip", &["-n", &hub, "link", "add", "hub", "type", "bridge"])?;
        succeeds("ip", &["-n", &hub, "address", "add", &format!("{HUB}/24"), "dev", "hub"])?;
        succeeds("ip", &["-n", &hub, "link", "set", "hub", "up"])?;
        for host in 0..hosts {
            laboratory.plug(&hub, host)?;
        }
        Ok(laboratory)
    }

    /// A new namespace.
    fn space(&mut self, end: &str) -> Result<String, String> {
        let name = format!("{}-{end}", self.name);
        succeeds("ip", &["netns", "add", &name])?;
        self.spaces.push(name.clone());
        succeeds("ip", &["-n", &name, "link", "set", "lo", "up"])?;
        Ok(name)
    }

    /// A new host, joined to the bridge.
    fn plug(&mut self, hub: &str, host: usize) -> Result<(), String> {
        let space = self.space(&host.to_string())?;
        let port = format!("port{host}");
        succeeds("ip", &["-n", hub, "link", "add", &port, "type", "veth", "peer", "name", "eth", "netns", &space])?;
        succeeds("ip", &["-n", hub, "link", "set", &port, "master", "hub", "up"])?;
        let address = format!("{}/24", four(host));
        succeeds("ip", &["-n", &space, "address", "add", &address, "dev", "eth"])?;
        if has_ipv6() {
            let address = format!("{}/64", six(host).trim_matches(['[', ']']));
            succeeds("ip", &["-n", &space, "address", "add", &address, "dev", "eth", "nodad"])?;
        }
        succeeds("ip", &["-n", &space, "link", "set", "eth", "up"])?;
        Ok(())
    }

    /// The namespace of a host.
    fn of(&self, host: usize) -> &str {
        &self.spaces[host + 1]
    }

    /// Gives a host one more address.
    pub(crate) fn add_address(&self, host: usize, address: &str) {
        must("ip", &["-n", self.of(host), "address", "add", address, "dev", "eth"]);
    }

    /// Adds a rule to the packet filter of a host, as the arguments of `iptables` say.
    pub(crate) fn filter(&self, host: usize, rule: &str) {
        filter(self.of(host), rule);
    }

    /// How many packets the filter of a host has dropped.
    pub(crate) fn dropped(&self, host: usize) -> u64 {
        let table = succeeds("ip", &["netns", "exec", self.of(host), "iptables", "-w", "-nvxL", "INPUT"]);
        let table = table.unwrap_or_else(|error| panic!("{error}"));
        let rules = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let dropping = rules.filter(|rule| rule.get(2) == Some(&"DROP"));
        dropping.map(|rule| rule[0].parse::<u64>().expect("the first column counts packets")).sum()
    }

    /// Adds a rule at the hub, which passes on what it is told to.
    pub(crate) fn filter_hub(&self, rule: &str) {
        let hub = &self.spaces[0];
        must("ip", &["netns", "exec", hub, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        filter(hub, rule);
    }

    /// Drops what these hosts send to those, in the one direction.
    pub(crate) fn cut(&self, from: &[usize], to: &[usize]) {
        self.each_way(from, to, "-A");
    }

    /// Takes a [`cut`](Self::cut) back.
    pub(crate) fn mend(&self, from: &[usize], to: &[usize]) {
        self.each_way(from, to, "-D");
    }

    fn each_way(&self, from: &[usize], to: &[usize], action: &str) {
        for &receiver in to {
            for &sender in from {
                self.filter(receiver, &format!("{action} INPUT -s {} -j DROP", four(sender)));
            }
        }
    }

    /// Starts an agent on a host, at its IPv4 address.
    pub(crate) fn agent(&self, host: usize, args: &[&str]) -> Agent {
        self.agent_at(host, &format!("{}:{PORT}", four(host)), args)
    }

    /// Starts an agent on a host.
    pub(crate) fn agent_at(&self, host: usize, bind: &str, args: &[&str]) -> Agent {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", self.of(host)]).arg(gossip().get_program());
        let number = bind.rsplit(':').next().expect("an address has a port");
        let control = format!("unix:{}", self.folder.file(&format!("{host}-{number}.sock")));
        let own = ["--bind", bind, "--control", &control, "--config", &self.config];
        Agent::start_by(inside, &[&own, args].concat())
    }

    /// Starts an agent on each of so many hosts; all see each other when this returns.
    pub(crate) fn agents(&self, count: usize) -> Vec<Agent> {
        let seed = format!("{}:{PORT}", four(0));
        let agents: Vec<Agent> = (0..count).map(|host| self.agent(host, &["--join", &seed])).collect();
        all_alive(&agents, SOON);
        agents
    }
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        for name in &self.spaces {
            let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
        }
    }
}

/// Whether this machine has IPv6 at all.
pub(crate) fn has_ipv6() -> bool {
    std::net::UdpSocket::bind("[::1]:0").is_ok()
}

/// Waits until each of these agents sees all of them alive.
pub(crate) fn all_alive(agents: &[Agent], within: Duration) {
    let deadline = Instant::now() + within;
    for agent in agents {
        for other in agents {
            agent.sees(&other.id, "alive", deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// Follows the events of all of these agents.
pub(crate) fn watched(agents: &[Agent]) -> Vec<Monitor> {
    agents.iter().map(Agent::monitor).collect()
}

/// A figure of an agent, by its path.
pub(crate) fn figure(agent: &Agent, path: &str) -> u64 {
    agent.json(&["info"]).pointer(path).and_then(Json::as_u64).unwrap_or(0)
}

/// Waits until so many probe periods are over, in each of which all of these agents probed.
pub(crate) fn after_periods(agents: &[Agent], periods: u32) {
    let begin = Instant::now();
    let pings: Vec<u64> = agents.iter().map(|agent| figure(agent, PINGS)).collect();
    let within = 4 * periods * PERIOD;
    for (agent, pings) in agents.iter().zip(pings) {
        let what = format!("{} sends {periods} pings", agent.id);
        eventually(&what, within, || (figure(agent, PINGS) >= pings + u64::from(periods)).then_some(()));
    }
    // A helper sends pings for others too.
    thread::sleep((periods * PERIOD).saturating_sub(begin.elapsed()));
}

const PINGS: &str = "/sent/ping";

/// What has been told so far of members that came to be in one of these states.
pub(crate) fn told_of(monitors: &[Monitor], states: &[&str]) -> Vec<Json> {
    let told = monitors.iter().flat_map(|monitor| std::iter::from_fn(|| monitor.next(Duration::ZERO)));
    told.filter(|event| event["event"] == "member" && states.iter().any(|state| event["state"] == *state)).collect()
}

fn filter(space: &str, rule: &str) {
    let rule: Vec<&str> = rule.split_whitespace().collect();
    must("ip", &[&["netns", "exec", space, "iptables", "-w"], &rule[..]].concat());
}

fn must(program: &str, args: &[&str]) {
    if let Err(error) = succeeds(program, args) {
        panic!("{error}");
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
