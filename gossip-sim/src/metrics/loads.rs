//! What each machine sends.

use gossip_core::Channel;
use serde::{Deserialize, Serialize};

use crate::facts::Facts;

/// The least, the middle and the most of what single nodes did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// That of the node with the least.
    pub least: f64,
    /// Half of the nodes have less.
    pub median: f64,
    /// That of the node with the most.
    pub most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        let last = values.len().saturating_sub(1);
        Self { least: at(0), median: at(last / 2), most: at(last) }
    }
}

/// What one machine sent, over all the lives of its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeTraffic {
    /// Number of the machine.
    pub node: u32,
    /// Virtual seconds that its node ran.
    pub seconds: f64,
    /// Datagrams sent per second that it ran.
    pub datagrams_per_s: f64,
    /// Bytes sent per second that it ran, streams included, without headers of IP.
    pub bytes_per_s: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    datagrams: u64,
    bytes: u64,
    sampled_datagrams: u64,
    sampled_bytes: u64,
    /// Since when its node runs.
    since: Option<u64>,
    /// For how long it ran before.
    ran: u64,
}

/// Counts by machine.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    hosts: Vec<Load>,
}

impl Loads {
    pub(crate) fn sent(&mut self, host: u32, channel: Channel, size: usize, copies: usize) {
        let load = self.of_host(host);
        if channel == Channel::Datagram {
            load.datagrams += copies as u64;
        }
        load.bytes += (size * copies) as u64;
    }

    pub(crate) fn started(&mut self, now: u64, host: u32) {
        self.of_host(host).since = Some(now);
    }

    pub(crate) fn stopped(&mut self, now: u64, host: u32) {
        let load = self.of_host(host);
        load.ran += load.since.take().map_or(0, |since| now - since);
    }

    fn of_host(&mut self, host: u32) -> &mut Load {
        let index = host as usize;
        if self.hosts.len() <= index {
            self.hosts.resize(index + 1, Load::default());
        }
        &mut self.hosts[index]
    }

    /// Datagrams and bytes per second of the nodes that ran all the time since `last`, when this was asked before.
    pub(crate) fn sample(&mut self, now: u64, last: u64) -> (Spread, Spread) {
        let seconds = (now - last) as f64 / 1e6;
        let (mut datagrams, mut bytes) = (Vec::new(), Vec::new());
        for load in &mut self.hosts {
            if load.since.is_some_and(|since| since <= last) {
                datagrams.push((load.datagrams - load.sampled_datagrams) as f64 / seconds);
                bytes.push((load.bytes - load.sampled_bytes) as f64 / seconds);
            }
            (load.sampled_datagrams, load.sampled_bytes) = (load.datagrams, load.bytes);
        }
        (Spread::of(datagrams), Spread::of(bytes))
    }

    /// Each machine that ever ran.
    pub(crate) fn by_node(&self, facts: &Facts) -> Vec<NodeTraffic> {
        let traffic = |(node, load): (usize, &Load)| {
            let ran = load.ran + load.since.map_or(0, |since| facts.now - since);
            let seconds = ran as f64 / 1e6;
            let rate = |count: u64| count as f64 / seconds;
            (ran > 0).then(|| NodeTraffic {
                node: node as u32,
                seconds,
                datagrams_per_s: rate(load.datagrams),
                bytes_per_s: rate(load.bytes),
            })
        };
        self.hosts.iter().enumerate().filter_map(traffic).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_the_nodes_which_ran_all_the_time() {
        let mut loads = Loads::default();
        for host in 0..4 {
            loads.started(0, host);
            loads.sent(host, Channel::Datagram, 100 * (host as usize + 1), 2);
        }
        loads.sent(1, Channel::Stream, 1_000, 1);
        loads.stopped(1_000_000, 3);
        let (datagrams, bytes) = loads.sample(2_000_000, 0);
        assert_eq!(datagrams, Spread { least: 1.0, median: 1.0, most: 1.0 });
        assert_eq!(bytes, Spread { least: 100.0, median: 300.0, most: 700.0 });
        let (datagrams, bytes) = loads.sample(4_000_000, 2_000_000);
        assert_eq!((datagrams, bytes), (Spread::default(), Spread::default()), "each is counted once");
    }

    #[test]
    fn the_traffic_of_a_node_counts_by_the_time_that_it_ran() {
        let scenario = crate::Scenario::parse("", "x").expect("an empty scenario is one");
        let mut facts = Facts::new(&scenario);
        let mut loads = Loads::default();
        loads.started(0, 1);
        loads.sent(1, Channel::Datagram, 500, 4);
        loads.stopped(1_000_000, 1);
        loads.started(3_000_000, 1);
        facts.now = 6_000_000;
        let expected = NodeTraffic { node: 1, seconds: 4.0, datagrams_per_s: 1.0, bytes_per_s: 500.0 };
        assert_eq!(loads.by_node(&facts), [expected], "nobody else ever ran");
    }
}
