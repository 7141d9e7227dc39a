//! Broadcasts and what came of them, in the small network.
#![allow(dead_code, reason = "each test uses its own part of it")]

use std::collections::BTreeMap;

use bytes::Bytes;
use gossip_core::{BroadcastOptions, Delivery, MessageId, MessageType};

use super::Net;

pub(crate) const PLAIN: BroadcastOptions<'static> = BroadcastOptions::new();

pub(crate) fn kind() -> MessageType {
    MessageType::user(400).expect("a user type")
}

pub(crate) fn broadcast(net: &mut Net, who: usize, payload: Bytes, options: BroadcastOptions<'_>) -> MessageId {
    let now = net.now;
    let message = net.node(who).broadcast(now, kind(), payload, options).expect("it is accepted");
    net.settle(who);
    message
}

/// The broadcasts that a node got, in order.
pub(crate) fn received(net: &Net, who: usize) -> Vec<MessageId> {
    let broadcasts = net.hosts[who].deliveries.iter().filter_map(|(_, delivery)| match delivery {
        Delivery::Broadcast { id, .. } => Some(*id),
        _ => None,
    });
    broadcasts.collect()
}

/// How many broadcasts a node was told are lost.
pub(crate) fn told_lost(net: &Net, who: usize) -> u64 {
    let gaps = net.hosts[who].deliveries.iter().map(|(_, delivery)| match delivery {
        Delivery::Gap { count, .. } => *count,
        _ => 0,
    });
    gaps.sum()
}

/// How many of the live nodes besides its origin did not get each message exactly once.
pub(crate) fn faults(net: &Net, messages: &BTreeMap<MessageId, usize>) -> usize {
    let live = (0..net.hosts.len()).filter(|&who| net.hosts[who].node.is_some());
    let mut faults = 0;
    for who in live {
        let mut counts: BTreeMap<MessageId, usize> = BTreeMap::new();
        for message in received(net, who) {
            *counts.entry(message).or_default() += 1;
        }
        let wrong = messages
            .iter()
            .filter(|&(message, &origin)| counts.get(message).copied().unwrap_or(0) != usize::from(origin != who));
        faults += wrong.count() + counts.keys().filter(|message| !messages.contains_key(message)).count();
    }
    faults
}
