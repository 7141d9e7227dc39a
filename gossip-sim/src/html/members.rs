//! What was believed of the members that were doubted.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

use super::plot::{self, Band};
use super::seconds;
use crate::metrics::StateChange;
use crate::report::Report;

/// Members whose states are drawn.
const MEMBERS: usize = 16;

/// Two bands for each member that was doubted, those first that crashed: the darker, the more nodes believed it.
pub(super) fn beliefs(report: &Report) -> String {
    let mut members: BTreeMap<&str, Vec<&StateChange>> = BTreeMap::new();
    for change in &report.states {
        members.entry(&change.member).or_default().push(change);
    }
    let mut ranked: Vec<(&str, Vec<&StateChange>)> = members.into_iter().collect();
    ranked.sort_by_key(|(member, changes)| {
        let most = |value: fn(&StateChange) -> u32| changes.iter().map(|change| value(change)).max();
        Reverse((crashed(report, member), most(|change| change.dead_for), most(|change| change.suspected_by)))
    });
    let left_out = ranked.len().saturating_sub(MEMBERS);
    ranked.truncate(MEMBERS);
    let bands = |label: &str, value: fn(&StateChange) -> u32| -> Vec<Band> {
        ranked.iter().map(|(member, changes)| band(report, &format!("{member} {label}"), changes, value)).collect()
    };
    let mut drawn = plot::bands(&bands("suspected", |change| change.suspected_by), seconds(report), "#b78103");
    drawn += &plot::bands(&bands("dead", |change| change.dead_for), seconds(report), "#6e1423");
    if left_out > 0 {
        let _ = write!(drawn, "<p class=\"note\">{left_out} more members were doubted.</p>");
    }
    drawn
}

fn band(report: &Report, label: &str, changes: &[&StateChange], value: fn(&StateChange) -> u32) -> Band {
    let most = f64::from(report.nodes.max(2) - 1);
    let ends = changes.iter().skip(1).map(|change| change.at_s).chain([seconds(report)]);
    let parts = changes
        .iter()
        .zip(ends)
        .filter(|(change, _)| value(change) > 0)
        .map(|(change, end)| (change.at_s, end, 0.25 + 0.75 * f64::from(value(change)) / most))
        .collect();
    Band { label: label.to_owned(), parts }
}

/// Whether one of the faults crashed the member.
fn crashed(report: &Report, member: &str) -> bool {
    let number = member.split_whitespace().nth(1).unwrap_or_default();
    let crashes = report.faults.iter().filter(|fault| fault.name == "crash");
    crashes.flat_map(|fault| fault.nodes.split(|c: char| !c.is_ascii_digit())).any(|node| node == number)
}
