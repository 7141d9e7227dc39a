//! Every broadcast reaches every node that is live throughout, once; none is invented; tags and order are respected.
//!
//! Each broadcast has one bit for each node. Whom it was for is forgotten when all of them have it, who got it when it
//! cannot come again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use bytes::Bytes;
use gossip_core::{MessageId, MessageType, NodeId};

use crate::facts::Facts;
use crate::histogram::Histogram;
use crate::oracle::{Finding, Oracle};
use crate::partition::NodeSet;
use crate::payload;

/// How long it is remembered who got a broadcast, in microseconds.
const REMEMBERED: u64 = 600_000_000;

/// Nodes named in a failure.
const NAMED: usize = 8;

/// What is in a broadcast.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// The simulator's own.
    Numbered { number: u64, size: u32 },
    /// An application's.
    Bytes(Bytes),
}

impl Content {
    fn size(&self) -> u64 {
        match self {
            Self::Numbered { size, .. } => u64::from(*size),
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    fn is(&self, payload: &[u8]) -> bool {
        match self {
            Self::Numbered { number, size } => payload::is_content(payload, *number, *size),
            Self::Bytes(bytes) => bytes == payload,
        }
    }
}

/// A broadcast as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Broadcast {
    pub(crate) origin: u32,
    pub(crate) kind: MessageType,
    pub(crate) tag: Option<Arc<str>>,
    pub(crate) ordered: bool,
    pub(crate) content: Content,
}

/// A broadcast as it was delivered.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) id: MessageId,
    pub(crate) kind: MessageType,
    pub(crate) tag: Option<&'a str>,
    pub(crate) payload: &'a [u8],
    pub(crate) hops: u8,
}

#[derive(Debug)]
struct Sent {
    what: Broadcast,
    at: u64,
    due: u64,
    /// Who got it, in the life that it has.
    got: NodeSet,
    /// Who ran all the time since it was sent; empty once the matter is closed.
    wanted: NodeSet,
    /// How many of them have not got it.
    left: usize,
    /// Those of whom it cannot be asked that they get it.
    excused: NodeSet,
    /// The origin was in trouble: it cannot be asked of anybody.
    is_excused: bool,
    /// When the last of the wanted got it.
    last: u64,
}

/// What was measured over all broadcasts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measures {
    pub(crate) sent: u64,
    /// Pairs of a broadcast and a node that ran all the time.
    pub(crate) pairs: u64,
    /// Those of them that were delivered.
    pub(crate) delivered: u64,
    /// Of them, those that had to be, whatever went wrong elsewhere.
    pub(crate) demanded: u64,
    pub(crate) bytes_delivered: u64,
    pub(crate) last_hop: u8,
    pub(crate) gaps: u64,
    /// Until each node had each broadcast.
    pub(crate) each: Histogram,
    /// Until the last node had each broadcast.
    pub(crate) last: Histogram,
}

#[derive(Debug, Default)]
pub(crate) struct Broadcasts {
    sent: BTreeMap<MessageId, Sent>,
    order: VecDeque<(u64, MessageId)>,
    open: BTreeSet<(u64, MessageId)>,
    /// The last number of each lane that was forgotten in part; the key has number zero.
    forgotten: BTreeMap<MessageId, u64>,
    /// Which node was told that broadcasts of whom, and to which tag, are lost.
    lost: BTreeSet<(u32, NodeId, Option<Arc<str>>)>,
    pub(crate) measures: Measures,
    pub(crate) findings: Vec<Finding>,
}

impl Broadcasts {
    /// A broadcast was accepted. `wanted` run and have what it takes; of those in `excused` nothing can be asked.
    pub(crate) fn sent(
        &mut self,
        facts: &Facts,
        id: MessageId,
        what: Broadcast,
        wanted: NodeSet,
        excused: NodeSet,
        is_excused: bool,
    ) {
        let (at, left) = (facts.now, wanted.len());
        let due = at + facts.delivery_time(what.ordered);
        // The origin has it, and is not to get it from others.
        let got = std::iter::once(what.origin).collect();
        self.measures.sent += 1;
        self.order.push_back((at, id));
        self.open.insert((due, id));
        self.sent.insert(id, Sent { what, at, due, got, wanted, left, excused, is_excused, last: at });
        if left == 0 {
            self.close(id);
        }
    }

    pub(crate) fn delivered(&mut self, facts: &Facts, host: u32, arrival: &Arrival<'_>) {
        let id = arrival.id;
        let is_out_of_order = self.is_out_of_order(host, id);
        let Some(sent) = self.sent.get_mut(&id) else {
            if self.forgotten.get(&lane_of(id)).is_none_or(|&last| id.sequence > last) {
                let message = format!("delivers {id}, which nobody sent with `AppContext::broadcast`");
                self.findings.push((Oracle::Invented, Some(host), message));
            }
            return;
        };
        if let Some((oracle, message)) = mismatch(facts, host, &sent.what, arrival) {
            self.findings.push((oracle, Some(host), message));
            return;
        }
        if !sent.got.insert(host) {
            let message = format!("delivers broadcast {} a second time", name(&sent.what, id));
            self.findings.push((Oracle::Delivered, Some(host), message));
            return;
        }
        // One without order that comes late, after its loss was reported, harms nobody.
        let is_reported = || self.lost.contains(&(host, id.origin, arrival.tag.map(Arc::from)));
        if is_out_of_order && (sent.what.ordered || !is_reported()) {
            let message = format!("delivers broadcast {} after a later one", name(&sent.what, id));
            self.findings.push((Oracle::Ordered, Some(host), message));
        }
        self.measures.bytes_delivered += sent.what.content.size();
        self.measures.last_hop = self.measures.last_hop.max(arrival.hops);
        if sent.wanted.contains(host) {
            self.measures.each.add(facts.now - sent.at);
            sent.last = facts.now;
            sent.left -= 1;
            if sent.left == 0 {
                self.close(id);
            }
        }
    }

    /// Whether the node has a later broadcast of the same lane that was to come after this one.
    fn is_out_of_order(&self, host: u32, id: MessageId) -> bool {
        let mut last = id;
        last.sequence = u64::MAX;
        let later = self.sent.range((Excluded(id), Included(last)));
        later
            .take_while(|(later, _)| lane_of(**later) == lane_of(id))
            .any(|(_, later)| later.what.ordered && later.got.contains(host))
    }

    /// A node reported that broadcasts are lost for good.
    pub(crate) fn gap(&mut self, host: u32, origin: NodeId, tag: Option<Arc<str>>, count: u64) {
        self.measures.gaps += count;
        self.lost.insert((host, origin, tag));
    }

    /// A node starts: what its earlier life got does not count.
    pub(crate) fn started(&mut self, host: u32) {
        self.stopped(host);
        self.lost.retain(|(of, ..)| *of != host);
        self.sent.values_mut().for_each(|sent| _ = sent.got.remove(host));
    }

    /// A node stops or stands still.
    pub(crate) fn stopped(&mut self, host: u32) {
        let open: Vec<MessageId> = self.open.iter().map(|&(_, id)| id).collect();
        for id in open {
            let Some(sent) = self.sent.get_mut(&id) else { continue };
            sent.is_excused |= sent.what.origin == host;
            if sent.wanted.remove(host) && !sent.got.contains(host) {
                sent.left -= 1;
                if sent.left == 0 {
                    self.close(id);
                }
            }
        }
    }

    /// Nodes are in trouble.
    pub(crate) fn excuse(&mut self, troubled: &NodeSet) {
        for (_, id) in &self.open {
            if let Some(sent) = self.sent.get_mut(id) {
                sent.excused.merge(troubled);
                sent.is_excused |= troubled.contains(sent.what.origin);
            }
        }
    }

    /// Whether something has been sent that may still arrive in time.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    /// Closes what is due, and forgets what cannot come again.
    pub(crate) fn check(&mut self, facts: &Facts) {
        while let Some(&(_, id)) = self.open.first().filter(|&&(due, _)| due <= facts.now) {
            if let Some(sent) = self.sent.get(&id).filter(|sent| !sent.is_excused) {
                let missed: Vec<u32> = sent
                    .wanted
                    .iter()
                    .filter(|&host| !sent.got.contains(host) && !sent.excused.contains(host))
                    .collect();
                if let Some(&first) = missed.first() {
                    self.findings.push((Oracle::Delivered, Some(first), describe(sent, id, &missed)));
                }
            }
            self.close(id);
        }
        while let Some(&(at, id)) = self.order.front().filter(|(at, _)| at + REMEMBERED <= facts.now) {
            debug_assert!(at <= facts.now);
            self.order.pop_front();
            self.sent.remove(&id);
            self.forgotten.insert(lane_of(id), id.sequence);
        }
    }

    fn close(&mut self, id: MessageId) {
        let Some(sent) = self.sent.get_mut(&id) else { return };
        self.open.remove(&(sent.due, id));
        let wanted = sent.wanted.len();
        self.measures.pairs += wanted as u64;
        self.measures.delivered += (wanted - sent.left) as u64;
        if !sent.is_excused {
            self.measures.demanded += sent.wanted.iter().filter(|&host| !sent.excused.contains(host)).count() as u64;
        }
        if wanted > sent.left {
            self.measures.last.add(sent.last - sent.at);
        }
        (sent.wanted, sent.excused, sent.left) = (NodeSet::default(), NodeSet::default(), 0);
    }
}

/// The lane of a broadcast, by the name of one that cannot be.
fn lane_of(mut id: MessageId) -> MessageId {
    id.sequence = 0;
    id
}

fn name(what: &Broadcast, id: MessageId) -> String {
    format!("{} of node {}", id.sequence, what.origin)
}

fn mismatch(facts: &Facts, host: u32, what: &Broadcast, arrival: &Arrival<'_>) -> Option<(Oracle, String)> {
    let name = name(what, arrival.id);
    if !what.content.is(arrival.payload) || what.kind != arrival.kind || what.tag.as_deref() != arrival.tag {
        return Some((
            Oracle::Invented,
            format!("delivers broadcast {name} with another content than it was sent with"),
        ));
    }
    let tag = arrival.tag.filter(|tag| !facts.has_tag(host, tag))?;
    Some((Oracle::Tagged, format!("delivers broadcast {name} to `{tag}`, a tag that it does not have")))
}

fn describe(sent: &Sent, id: MessageId, missed: &[u32]) -> String {
    let named: Vec<String> = missed.iter().take(NAMED).map(ToString::to_string).collect();
    let (count, wanted) = (missed.len(), sent.wanted.len());
    let (at, within) = (sent.at as f64 / 1e6, (sent.due - sent.at) as f64 / 1e6);
    format!(
        "broadcast {}, sent at {at:.3} s, did not reach {count} of {wanted} nodes within {within:.1} s: {}",
        name(&sent.what, id),
        named.join(", ")
    )
}
