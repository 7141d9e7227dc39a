//! Queues, tables and packets keep their limits.

use gossip_core::{Backlog, Channel, Stats, Transmit};

use crate::facts::Facts;
use crate::oracle::{Finding, Oracle};
use crate::world::Addr;

/// Most addresses that one packet goes to: a broadcast goes to up to 32 nodes that hand it on, or to up to three times as
/// many that do not.
const FAN_OUT: usize = 96;

#[derive(Debug, Default)]
pub(crate) struct Bounded {
    pub(crate) findings: Vec<Finding>,
}

impl Bounded {
    /// A node hands out a packet: the `number`th since something happened to it.
    pub(crate) fn packet(
        &mut self,
        facts: &Facts,
        host: u32,
        transmit: &Transmit<Addr>,
        written: usize,
        number: usize,
    ) {
        let config = &facts.config;
        let limit = match transmit.channel {
            Channel::Datagram => config.max_datagram,
            Channel::Stream => config.max_message,
        };
        // A table is sent in parts, each of which counts.
        let most = config.max_transmits * 2 + 65_536;
        let problem = if transmit.size > limit {
            format!("a packet of {} bytes, the limit is {limit} ({:?})", transmit.size, transmit.channel)
        } else if transmit.size != written {
            format!("a packet said to have {} bytes has {written}", transmit.size)
        } else if transmit.to.is_empty() || transmit.to.len() > FAN_OUT {
            format!("a packet to {} addresses", transmit.to.len())
        } else if number > most {
            format!("more than {most} packets at one moment")
        } else {
            return;
        };
        self.findings.push((Oracle::Bounded, Some(host), problem));
    }

    /// What waits inside a node before it is polled.
    pub(crate) fn backlog(&mut self, facts: &Facts, host: u32, backlog: Backlog) {
        let config = &facts.config;
        let limits = [
            (backlog.transmits, config.max_transmits, "packets"),
            (backlog.events, config.max_events, "events"),
            (backlog.deliveries, config.max_deliveries + config.max_requests, "deliveries"),
        ];
        for (waiting, limit, what) in limits.into_iter().filter(|(waiting, limit, _)| waiting > limit) {
            let message = format!("{waiting} {what} wait to be polled, the limit is {limit}");
            self.findings.push((Oracle::Bounded, Some(host), message));
        }
    }

    pub(crate) fn counters(&mut self, facts: &Facts, host: u32, stats: &Stats, rows: usize) {
        let limit = facts.config.max_members;
        if rows > limit {
            self.findings.push((Oracle::Bounded, Some(host), format!("{rows} members, the limit is {limit}")));
        }
        let known = facts.people.len() + facts.past.len();
        if rows > known {
            let message = format!("{rows} members, but only {known} ever were");
            self.findings.push((Oracle::Bounded, Some(host), message));
        }
        if stats.clock_regressions > 0 {
            let message = "the node saw time go backwards, which it never does here".to_owned();
            self.findings.push((Oracle::Bounded, Some(host), message));
        }
    }
}
