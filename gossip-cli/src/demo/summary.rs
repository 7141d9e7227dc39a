//! What came of the demonstration, for people and for programs.

use std::fmt;
use std::time::Duration;

use comfy_table::Cell;
use serde::{Serialize, Serializer};

use super::fleet::{Fleet, Traffic};
use crate::table::Columns;

/// Nodes up to which each one's traffic is shown.
const EACH: usize = 20;

/// The result; what did not happen is `None`, in JSON null.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    pub(crate) nodes: usize,
    pub(crate) converged_ms: Option<Tenths>,
    pub(crate) metadata_all_ms: Option<Tenths>,
    pub(crate) suspect_first_ms: Option<Tenths>,
    pub(crate) dead_all_ms: Option<Tenths>,
    pub(crate) rejoin_all_ms: Option<Tenths>,
    pub(crate) leave_all_ms: Option<Tenths>,
    pub(crate) idle_bytes_per_node_s: Option<Tenths>,
    pub(crate) idle_datagrams_per_node_s: Option<Tenths>,
    pub(crate) ok: bool,
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
    let times = [
        ("all nodes found each other after", outcome.converged_ms, "ms"),
        ("a metadata change was seen by all after", outcome.metadata_all_ms, "ms"),
        ("a killed node was first suspected after", outcome.suspect_first_ms, "ms"),
        ("a killed node was dead for all after", outcome.dead_all_ms, "ms"),
        ("its restart was seen by all after", outcome.rejoin_all_ms, "ms"),
        ("a leave was known to all after", outcome.leave_all_ms, "ms"),
        ("idle traffic per node (IP)", outcome.idle_bytes_per_node_s, "bytes/s"),
        ("idle datagrams per node", outcome.idle_datagrams_per_node_s, "/s"),
    ];
    let verdict = if outcome.ok { "everything happened in time" } else { "NOT everything happened in time" };
    let times = times.map(|(label, value, unit)| match value {
        Some(value) => format!("  {label:<42}{value:>9} {unit}\n"),
        None => format!("  {label:<42}{:>9}\n", "-"),
    });
    format!("\n{} nodes: {verdict}\n\n{}\n{}", outcome.nodes, times.concat(), traffic(fleet, colours))
}

fn traffic(fleet: &Fleet, colours: bool) -> String {
    let headings = ["NODE", "DATAGRAMS OUT", "IP BYTES", "DATAGRAMS IN", "STREAM OUT", "STREAM BYTES"];
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
            ..Outcome::default()
        };
        assert_eq!(
            serde_json::to_string(&outcome).unwrap(),
            "{\"nodes\":5,\"converged_ms\":12.3,\"metadata_all_ms\":null,\"suspect_first_ms\":null,\
             \"dead_all_ms\":null,\"rejoin_all_ms\":null,\"leave_all_ms\":null,\"idle_bytes_per_node_s\":null,\
             \"idle_datagrams_per_node_s\":null,\"ok\":false}"
        );
    }

    #[test]
    fn a_rate_is_rounded_to_a_tenth() {
        assert_eq!(Tenths::rate(7, Duration::from_secs(3)).to_string(), "2.3");
    }
}
