//! What came of the demonstration, for people and for programs.

use std::fmt;
use std::time::Duration;

use comfy_table::Cell;
use serde::{Serialize, Serializer};

use super::fleet::{Fleet, Traffic};
use super::transport::Transport;
use crate::table::Columns;

/// Nodes up to which each one's traffic is shown.
const EACH: usize = 20;

/// The result; what did not happen is `None`, in JSON null.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    pub(crate) nodes: usize,
    /// Only told if it is not the usual one.
    #[serde(skip_serializing_if = "Transport::is_usual")]
    pub(crate) transport: Transport,
    /// Only told if it is so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sealed: bool,
    pub(crate) converged_ms: Option<Tenths>,
    /// From each broadcast until the last node had it.
    pub(crate) broadcast_ms: Option<Spread>,
    /// Copies sent for each one that a node needed.
    pub(crate) broadcast_copies_per_node: Option<Thousandths>,
    pub(crate) metadata_all_ms: Option<Tenths>,
    pub(crate) suspect_first_ms: Option<Tenths>,
    pub(crate) dead_all_ms: Option<Tenths>,
    pub(crate) rejoin_all_ms: Option<Tenths>,
    pub(crate) leave_all_ms: Option<Tenths>,
    pub(crate) idle_bytes_per_node_s: Option<Tenths>,
    pub(crate) idle_datagrams_per_node_s: Option<Tenths>,
    pub(crate) ok: bool,
}

/// What several times come to: that of half of them, and that of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) p50: Tenths,
    pub(crate) max: Tenths,
}

impl Spread {
    /// Of no times there is none.
    pub(crate) fn of(times: impl Iterator<Item = Tenths>) -> Option<Self> {
        let mut times: Vec<Tenths> = times.collect();
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let half = times.len().checked_sub(1)? / 2;
        Some(Self { p50: times[half], max: *times.last()? })
    }
}

/// A number with three digits after the point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Thousandths(f64);

impl Thousandths {
    /// How many for each.
    #[expect(clippy::cast_precision_loss, reason = "counts of a demonstration are far below 2^52")]
    pub(crate) fn ratio(count: u64, each: u64) -> Self {
        Self((count as f64 / each as f64 * 1_000.0).round() / 1_000.0)
    }
}

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.3}", self.0))
    }
}

impl Serialize for Thousandths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

/// A number with one digit after the point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tenths(f64);

impl Tenths {
    /// A span in milliseconds.
    pub(crate) fn millis(span: Duration) -> Self {
        Self::of(span.as_secs_f64() * 1_000.0)
    }

    /// How many a second.
    #[expect(clippy::cast_precision_loss, reason = "counts of a demonstration are far below 2^52")]
    pub(crate) fn rate(count: u64, span: Duration) -> Self {
        Self::of(count as f64 / span.as_secs_f64().max(f64::MIN_POSITIVE))
    }

    fn of(value: f64) -> Self {
        Self((value * 10.0).round() / 10.0)
    }
}

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1}", self.0))
    }
}

impl Serialize for Tenths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

/// The summary for people.
pub(crate) fn text(outcome: &Outcome, fleet: &Fleet, colours: bool) -> String {
    let shown = |value: Option<Tenths>| value.map(|value| value.to_string());
    let spread = outcome.broadcast_ms;
    let copies = outcome.broadcast_copies_per_node.map(|copies| copies.to_string());
    let is_usual = outcome.transport.is_usual();
    let times = [
        ("all nodes found each other after", shown(outcome.converged_ms), "ms"),
        ("half of the broadcasts reached all within", shown(spread.map(|spread| spread.p50)), "ms"),
        ("every broadcast reached all within", shown(spread.map(|spread| spread.max)), "ms"),
        ("copies of a broadcast per node", copies, ""),
        ("a metadata change was seen by all after", shown(outcome.metadata_all_ms), "ms"),
        ("a killed node was first suspected after", shown(outcome.suspect_first_ms), "ms"),
        ("a killed node was dead for all after", shown(outcome.dead_all_ms), "ms"),
        ("its restart was seen by all after", shown(outcome.rejoin_all_ms), "ms"),
        ("a leave was known to all after", shown(outcome.leave_all_ms), "ms"),
        (
            if is_usual { "idle traffic per node (IP)" } else { "idle traffic per node (packets)" },
            shown(outcome.idle_bytes_per_node_s),
            "bytes/s",
        ),
        ("idle datagrams per node", shown(outcome.idle_datagrams_per_node_s), "/s"),
    ];
    let verdict = if outcome.ok { "everything happened in time" } else { "NOT everything happened in time" };
    let times = times.map(|(label, value, unit)| match value {
        Some(value) => format!("{}\n", format!("  {label:<42}{value:>9} {unit}").trim_end()),
        None => format!("  {label:<42}{:>9}\n", "-"),
    });
    let sealed = fleet.suite().map(|suite| format!("  all packets were sealed with {suite}\n")).unwrap_or_default();
    let way = match outcome.transport {
        Transport::Udp => "",
        Transport::Ws => "  all nodes were reached over WebSocket\n",
        Transport::Mixed => "  nodes were reached by sockets, over WebSocket, or only dialled themselves\n",
    };
    let lines = times.concat();
    format!("\n{} nodes: {verdict}\n\n{lines}{way}{sealed}\n{}", outcome.nodes, traffic(fleet, colours))
}

fn traffic(fleet: &Fleet, colours: bool) -> String {
    let bytes = if fleet.transport.is_usual() { "IP BYTES" } else { "BYTES" };
    let headings = ["NODE", "DATAGRAMS OUT", bytes, "DATAGRAMS IN", "STREAM OUT", "STREAM BYTES"];
    let mut columns = Columns::new(&headings, colours);
    columns.align_right(1..headings.len());
    let nodes: Vec<(&str, Traffic)> = fleet.nodes.iter().map(|node| (node.name.as_str(), node.traffic())).collect();
    for (name, traffic) in if nodes.len() > EACH { extremes(nodes.clone()) } else { nodes.clone() } {
        traffic_row(&mut columns, name, traffic);
    }
    let total = nodes.iter().fold(Traffic::default(), |mut sum, &(_, traffic)| {
        sum += traffic;
        sum
    });
    traffic_row(&mut columns, "all", total);
    columns.text()
}

/// The nodes that sent least, most, and as much as the most usual.
fn extremes(mut nodes: Vec<(&str, Traffic)>) -> Vec<(&str, Traffic)> {
    nodes.sort_unstable_by_key(|(_, traffic)| traffic.datagram_bytes);
    let last = nodes.len().saturating_sub(1);
    [("least", 0), ("median", last / 2), ("most", last)]
        .into_iter()
        .filter_map(|(label, at)| nodes.get(at).map(|&(_, traffic)| (label, traffic)))
        .collect()
}

fn traffic_row(columns: &mut Columns, name: &str, traffic: Traffic) {
    columns.row([
        Cell::new(name),
        Cell::new(traffic.datagrams),
        Cell::new(traffic.datagram_bytes),
        Cell::new(traffic.received_datagrams),
        Cell::new(traffic.stream_messages),
        Cell::new(traffic.stream_bytes),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_every_key_and_null_for_what_did_not_happen() {
        let outcome = Outcome {
            nodes: 5,
            converged_ms: Some(Tenths::millis(Duration::from_micros(12_345))),
            broadcast_ms: Spread::of([2.0, 1.0, 1.5].into_iter().map(Tenths)),
            ..Outcome::default()
        };
        assert_eq!(
            serde_json::to_string(&outcome).unwrap(),
            "{\"nodes\":5,\"converged_ms\":12.3,\"broadcast_ms\":{\"p50\":1.5,\"max\":2.0},\
             \"broadcast_copies_per_node\":null,\"metadata_all_ms\":null,\"suspect_first_ms\":null,\
             \"dead_all_ms\":null,\"rejoin_all_ms\":null,\"leave_all_ms\":null,\"idle_bytes_per_node_s\":null,\
             \"idle_datagrams_per_node_s\":null,\"ok\":false}"
        );
    }

    #[test]
    fn half_of_an_even_number_of_times_is_half() {
        let spread =
            |times: &[f64]| Spread::of(times.iter().copied().map(Tenths)).map(|spread| (spread.p50.0, spread.max.0));
        assert_eq!(spread(&[4.0, 1.0, 3.0, 2.0]), Some((2.0, 4.0)));
        assert_eq!((spread(&[1.0]), spread(&[])), (Some((1.0, 1.0)), None));
        assert_eq!(Thousandths::ratio(104, 100).to_string(), "1.040");
    }

    #[test]
    fn a_rate_is_rounded_to_a_tenth() {
        assert_eq!(Tenths::rate(7, Duration::from_secs(3)).to_string(), "2.3");
    }
}
