//! What outsiders send has no effect but on counters.

use std::collections::BTreeMap;

use gossip_core::{Channel, DropReason, Stats};
use serde::{Deserialize, Serialize};

use crate::oracle::{Finding, Oracle};
use crate::world::Addr;

/// Longest answer over a connection, in bytes: a sealed claim with all the accusers that it may have.
const LONGEST_ANSWER: u64 = 256;

/// What outsiders sent, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outsiders {
    /// Packets that nodes read.
    pub packets: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Packets to machines that did not run, stood still or were slow: they are lost.
    pub lost: u64,
    /// Packets that came back to addresses of outsiders.
    pub answers: u64,
    /// Bytes in them.
    pub answer_bytes: u64,
    /// Why nodes dropped them.
    pub dropped: BTreeMap<String, u64>,
}

/// What went between nodes and an address.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    packets: u64,
    bytes: u64,
    answers: u64,
    answered: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Harmless {
    pub(crate) tally: Outsiders,
    pub(crate) findings: Vec<Finding>,
    accounts: BTreeMap<Addr, Account>,
}

impl Harmless {
    /// A node is handed what an outsider sent.
    pub(crate) fn sent(&mut self, from: Addr, size: usize) {
        self.tally.packets += 1;
        self.tally.bytes += size as u64;
        let account = self.accounts.entry(from).or_default();
        account.packets += 1;
        account.bytes += size as u64;
    }

    /// What the counters of the node say of it: each packet is dropped, for a reason that is counted.
    pub(crate) fn counted(&mut self, host: u32, before: &Stats, after: &Stats) {
        if after.dropped_total() <= before.dropped_total() {
            let message = "what an outsider sent was not dropped".to_owned();
            self.findings.push((Oracle::Harmless, Some(host), message));
        }
        for &reason in DropReason::ALL {
            let count = after.dropped(reason) - before.dropped(reason);
            if count > 0 {
                *self.tally.dropped.entry(reason.name().to_owned()).or_default() += count;
            }
        }
    }

    /// A node answers an outsider: no more than he sent where addresses can be forged, elsewhere one short packet each.
    pub(crate) fn answered(&mut self, host: u32, to: Addr, channel: Channel, size: usize) {
        self.tally.answers += 1;
        self.tally.answer_bytes += size as u64;
        let account = self.accounts.entry(to).or_default();
        account.answers += 1;
        account.answered += size as u64;
        let is_too_much = match channel {
            Channel::Datagram => account.answered > account.bytes,
            Channel::Stream => account.answers > account.packets || size as u64 > LONGEST_ANSWER,
        };
        if is_too_much {
            let (out, brought) = (account.answered, account.bytes);
            let message = format!("{out} bytes to an address of an outsider, who sent {brought} from there");
            self.findings.push((Oracle::Harmless, Some(host), message));
        }
    }
}
