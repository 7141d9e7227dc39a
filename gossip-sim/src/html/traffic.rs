//! What nodes sent: over time, and one against the other.

use std::fmt::Write;

use super::axis::{Axis, number, round_step, span};
use super::chart::{Band, Chart, Line};
use super::svg::{LEFT, RIGHT, Svg};
use super::timeline::{LABELS, NUMBERS, Timeline, below};
use crate::metrics::{NodeTraffic, Sample, Spread};
use crate::report::Report;

/// Nodes that are named.
const NAMED: usize = 8;

/// Bars of a distribution, about.
const BARS: f64 = 36.0;

pub(super) fn draw(report: &Report, timeline: &Timeline) -> String {
    let bytes = over_time(report, timeline, "Bytes per node and second over time", |sample| sample.bytes_of_nodes);
    if bytes.is_empty() {
        return String::new();
    }
    let datagrams =
        over_time(report, timeline, "Datagrams per node and second over time", |sample| sample.datagrams_of_nodes);
    format!(
        "<h3>Bytes per node and second</h3>{bytes}<h3>Datagrams per node and second</h3>{datagrams}\
         <h3>Nodes by their bytes per second, over the whole run</h3>{}\
         <h3>Nodes by their datagrams per second</h3>{}<h3>The nodes that sent most</h3>{}",
        distribution(&report.node_traffic, "bytes", |node| node.bytes_per_s),
        distribution(&report.node_traffic, "datagrams", |node| node.datagrams_per_s),
        heaviest(&report.node_traffic)
    )
}

fn over_time(report: &Report, timeline: &Timeline, label: &'static str, spread: fn(&Sample) -> Spread) -> String {
    let points = |value: fn(&Spread) -> f64| report.samples.iter().map(move |it| (it.at_s, value(&spread(it))));
    let bounds = points(|spread| spread.least).zip(points(|spread| spread.most));
    Chart {
        timeline,
        label,
        band: Band {
            name: "from the least to the most of one node",
            class: "blue",
            points: bounds.map(|((at, least), (_, most))| (at, least, most)).collect(),
        },
        line: Line { name: "median of the nodes", class: "blue", points: points(|spread| spread.median).collect() },
        zooms: false,
    }
    .draw()
}

/// How many nodes sent how much, with marks for the middle one and for the most of all but one in a hundred.
fn distribution(nodes: &[NodeTraffic], what: &str, value: fn(&NodeTraffic) -> f64) -> String {
    const TOP: f64 = 3.0 * NUMBERS;
    const BOTTOM: f64 = TOP + 110.0;
    let mut values: Vec<f64> = nodes.iter().map(value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let (Some(&least), Some(&most)) = (values.first(), values.last()) else { return String::new() };
    let width = round_step((most - least).max(most / 1e3).max(1e-6) / BARS);
    let first = (least / width).floor();
    let bars = ((most / width).floor() - first) as usize + 1;
    let mut counts = vec![0_u32; bars];
    for value in &values {
        counts[(((value / width).floor() - first) as usize).min(bars - 1)] += 1;
    }
    let across = Axis::values(first * width, (first + bars as f64) * width, 8.0, (LEFT, RIGHT));
    let tallest = counts.iter().copied().max().unwrap_or(1);
    let up = Axis::counts(0.0, f64::from(tallest), 4.0, (BOTTOM, TOP));
    let mut svg = Svg::new(BOTTOM + LABELS, &format!("Distribution of the nodes by {what} per second"));
    super::timeline::across(&mut svg, &up, number);
    for (bar, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (from, until) = ((first + bar as f64) * width, (first + bar as f64 + 1.0) * width);
        let (left, right, top) = (across.place(from), across.place(until), up.place(f64::from(count)));
        let hint = format!("{count} nodes sent {} to {} {what} a second", number(from), number(until));
        svg.rect("half blue", (left, top), ((right - left - 0.5).max(1.0), BOTTOM - top), &hint);
    }
    let rank = |percent: usize| values[(values.len() * percent).div_ceil(100).max(1) - 1];
    // Names that would lie upon each other stand one above the other.
    let mut taken = [f64::NEG_INFINITY; 3];
    for (name, value) in [("p50", rank(50)), ("p99", rank(99)), ("max", most)] {
        let place = across.place(value);
        let row = taken.iter().position(|last| place - last > 75.0).unwrap_or(2);
        taken[row] = place;
        let foot = TOP - 4.0 - 13.0 * row as f64;
        svg.line("line wine", (place, foot + 2.0), (place, BOTTOM));
        svg.text("m mark", place, foot, &format!("{name} {}", number(value)));
    }
    below(&mut svg, &across, BOTTOM, number);
    svg.finish()
}

fn heaviest(nodes: &[NodeTraffic]) -> String {
    let mut sorted: Vec<&NodeTraffic> = nodes.iter().collect();
    sorted.sort_by(|one, other| other.bytes_per_s.total_cmp(&one.bytes_per_s));
    let median = sorted.get(sorted.len() / 2).map_or(0.0, |node| node.bytes_per_s);
    let mut table = "<table><tr><th></th><th>bytes/s</th><th>times the median</th><th>datagrams/s</th>\
                     <th>ran for</th></tr>"
        .to_owned();
    for node in sorted.iter().take(NAMED) {
        let times = if median > 0.0 { format!("{:.2}", node.bytes_per_s / median) } else { "–".to_owned() };
        let _ = write!(
            table,
            "<tr><td>node {}</td><td>{:.0}</td><td>{times}</td><td>{:.1}</td><td>{}</td></tr>",
            node.node,
            node.bytes_per_s,
            node.datagrams_per_s,
            span(node.seconds.round())
        );
    }
    table + "</table>"
}
