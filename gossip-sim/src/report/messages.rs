//! The part of a report that is about messages.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::metrics::Costs;
use crate::oracle::Oracles;
use crate::oracle::requests::Failures;
use crate::report::Percentiles;

/// What became of broadcasts, messages and requests, and what it cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Messages {
    /// Broadcasts sent.
    pub broadcasts: u64,
    /// Share delivered of all pairs of a broadcast and a node that ran all the time; `None` without broadcasts.
    pub broadcast_delivered: Option<f64>,
    /// Share of these pairs in which neither end was in trouble, so that the delivery was asked for.
    pub broadcast_demanded: Option<f64>,
    /// Bytes of payload sent for each byte delivered.
    pub broadcast_copies_per_node: Option<f64>,
    /// Most nodes that a broadcast went through, the receiver included.
    pub broadcast_last_hop: u8,
    /// Over the broadcasts: until the last node that ran all the time had it.
    pub broadcast_last_ms: Percentiles,
    /// Over the pairs of a broadcast and a node.
    pub broadcast_each_ms: Percentiles,
    /// The milliseconds within which each percent of the broadcasts, from 0 to 100, was at the last node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broadcast_last_curve: Vec<f64>,
    /// The same over the pairs of a broadcast and a node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broadcast_each_curve: Vec<f64>,
    /// Bytes that broadcasts cause besides copies, for each byte of payload delivered.
    pub broadcast_control_ratio: Option<f64>,
    /// Bytes of headers of copies, for each byte of payload delivered.
    pub broadcast_header_ratio: Option<f64>,
    /// Largest share of one node in the payload sent, as a multiple of the mean.
    pub broadcast_largest_share: Option<f64>,
    /// Messages of the protocol for each broadcast, without what rides on others.
    pub broadcast_messages: Option<f64>,
    /// Broadcasts given up at a node, that others might come in order.
    pub broadcast_gaps: u64,
    /// Messages sent to single nodes.
    pub directs: u64,
    /// Those that came.
    pub directs_delivered: u64,
    /// Those of which the sender was told that they might not have come.
    pub directs_undelivered: u64,
    /// Requests.
    pub requests: Requests,
    /// Until the answers came.
    pub request_ms: Percentiles,
    /// The milliseconds within which each percent of the answers came, from 0 to 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_curve: Vec<f64>,
    /// Messages, requests and answers that a node did not accept.
    pub messages_refused: u64,
}

/// How requests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Accepted.
    pub asked: u64,
    /// Answered.
    pub answered: u64,
    /// Ended otherwise, and how.
    pub failed: Failures,
}

impl Messages {
    pub(super) fn of(oracles: &Oracles, costs: &Costs, refused: u64) -> Self {
        let (measures, counts) = (&oracles.broadcasts.measures, &oracles.requests.counts);
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        Self {
            broadcasts: measures.sent,
            broadcast_delivered: ratio(measures.delivered, measures.pairs),
            broadcast_demanded: ratio(measures.demanded, measures.pairs),
            broadcast_copies_per_node: ratio(costs.payload(), measures.bytes_delivered),
            broadcast_last_hop: measures.last_hop,
            broadcast_last_ms: measures.last.percentiles(),
            broadcast_each_ms: measures.each.percentiles(),
            broadcast_last_curve: measures.last.curve(),
            broadcast_each_curve: measures.each.curve(),
            broadcast_control_ratio: ratio(costs.control, measures.bytes_delivered),
            broadcast_header_ratio: ratio(costs.headers, measures.bytes_delivered),
            broadcast_largest_share: costs.largest_share(),
            broadcast_messages: ratio(costs.messages, measures.sent),
            broadcast_gaps: measures.gaps,
            directs: counts.directs,
            directs_delivered: counts.directs_delivered,
            directs_undelivered: counts.undelivered,
            requests: Requests { asked: counts.asked, answered: counts.answered, failed: counts.failed },
            request_ms: counts.took.percentiles(),
            request_curve: counts.took.curve(),
            messages_refused: refused,
        }
    }

    /// The figures in words, with a name for each; empty without messages.
    pub(crate) fn figures(&self) -> Vec<(&'static str, String)> {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{:.2}%", value * 100.0));
        let mut figures = Vec::new();
        if self.broadcasts > 0 {
            let delivered = self.broadcast_delivered.map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"));
            figures.extend([
                ("broadcasts", self.broadcasts.to_string()),
                ("delivered", format!("{delivered}, asked for of {}", share(self.broadcast_demanded))),
                ("copies per node", number(self.broadcast_copies_per_node)),
                ("last hop", self.broadcast_last_hop.to_string()),
                ("at the last node", times(&self.broadcast_last_ms)),
                ("at each node", times(&self.broadcast_each_ms)),
                ("control bytes", format!("{} of the payload", share(self.broadcast_control_ratio))),
                ("headers of copies", format!("{} of the payload", share(self.broadcast_header_ratio))),
                ("largest share", format!("{} times the mean", number(self.broadcast_largest_share))),
                ("messages each", number(self.broadcast_messages)),
            ]);
        }
        if self.directs > 0 {
            let (sent, came, lost) = (self.directs, self.directs_delivered, self.directs_undelivered);
            figures.push(("direct messages", format!("{sent} sent, {came} came, {lost} reported as undelivered")));
        }
        if self.requests.asked > 0 {
            figures.push(("requests", self.requests.to_string()));
            figures.push(("answers", times(&self.request_ms)));
        }
        figures
    }
}

fn times(percentiles: &Percentiles) -> String {
    let Percentiles { count, p50, p99, max } = percentiles;
    format!("p50 {p50:.1}, p99 {p99:.1}, max {max:.1} ms ({count})")
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failures { timeout, unreachable, no_handler, rejected, overloaded, left, other } = self.failed;
        write!(f, "{} asked, {} answered", self.asked, self.answered)?;
        let kinds = [
            (timeout, "timed out"),
            (unreachable, "unreachable"),
            (no_handler, "not handled"),
            (rejected, "rejected"),
            (overloaded, "overloaded"),
            (left, "left"),
            (other, "other"),
        ];
        kinds.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, name)| write!(f, ", {count} {name}"))
    }
}
