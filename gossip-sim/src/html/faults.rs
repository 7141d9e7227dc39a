//! What went wrong, and when.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::axis::span;
use super::svg::{LEFT, RIGHT, Svg, legend, shorten};
use super::timeline::{LABELS, NUMBERS, Timeline, is_moment, joined, parts};
use crate::report::{FaultSpan, Report};

const ROW: f64 = 18.0;

/// Faults that have a row each; if there are more, all of a kind share one.
const ROWS: usize = 40;

/// Characters of a label.
const LABEL: usize = 25;

/// Room that a remark beside a bar takes.
const REMARK: f64 = 130.0;

/// A row of bars.
struct Row {
    label: String,
    class: &'static str,
    /// In places, not in seconds.
    bars: Vec<(f64, f64)>,
    remark: String,
    hint: String,
}

pub(super) fn draw(report: &Report, timeline: &Timeline) -> String {
    if report.faults.is_empty() {
        return String::new();
    }
    let seconds = report.virtual_ms / 1_000.0;
    let rows: Vec<Row> = if report.faults.len() <= ROWS {
        report.faults.iter().map(|fault| single(fault, timeline, seconds)).collect()
    } else {
        let mut kinds: BTreeMap<&str, Vec<&FaultSpan>> = BTreeMap::new();
        report.faults.iter().for_each(|fault| kinds.entry(&fault.name).or_default().push(fault));
        kinds.into_iter().map(|(name, faults)| together(name, &faults, timeline, seconds)).collect()
    };
    let (top, bottom) = (NUMBERS, NUMBERS + rows.len() as f64 * ROW);
    let mut svg = Svg::new(bottom + LABELS, "When which fault was in force");
    for (number, row) in rows.iter().enumerate() {
        row.draw(&mut svg, top + number as f64 * ROW);
    }
    timeline.finish(&mut svg, top, bottom);
    let families = [("red", "machines"), ("blue", "ways between them"), ("teal", "newcomers and strangers")];
    let is_there = |class: &str| rows.iter().any(|row| row.class == class);
    let entries = families.into_iter().filter(|(class, _)| is_there(class));
    let mut entries: Vec<_> = entries.map(|(class, name)| (class, name.to_owned())).collect();
    entries.extend(timeline.legend().into_iter().filter(|(class, _)| *class == "fail"));
    legend(&entries) + &svg.finish()
}

impl Row {
    fn draw(&self, svg: &mut Svg, top: f64) {
        const HEIGHT: f64 = ROW - 6.0;
        svg.text("e", LEFT - 8.0, top + 13.0, &self.label);
        let mut path = String::new();
        for &(from, until) in &self.bars {
            let width = (until - from).max(2.0);
            let _ = write!(path, "M{from:.1} {:.1}h{width:.1}v{HEIGHT}h-{width:.1}z", top + 3.0);
        }
        svg.path(&format!("area {}", self.class), &path, &self.hint);
        let (Some(first), Some(last)) = (self.bars.first(), self.bars.last()) else { return };
        if last.1 + REMARK < RIGHT {
            svg.text("", last.1 + 6.0, top + 13.0, &self.remark);
        } else if first.0 - REMARK > LEFT {
            svg.text("e", first.0 - 6.0, top + 13.0, &self.remark);
        }
    }
}

fn single(fault: &FaultSpan, timeline: &Timeline, seconds: f64) -> Row {
    let bars = places(&[fault], timeline, seconds);
    let remark = match fault.rhythm_s {
        Some((in_force, rest)) => format!("{} of every {}", span(in_force), span(in_force + rest)),
        None => String::new(),
    };
    let until = match fault.until_s {
        _ if is_moment(fault) => String::new(),
        Some(until) => format!(" to {}", span(until)),
        None => " on, for ever".to_owned(),
    };
    let comma = if remark.is_empty() { "" } else { ", " };
    let hint = format!("{} {}: {}{until}{comma}{remark}", fault.name, fault.nodes, span(fault.from_s));
    Row { label: label(fault), class: class(&fault.name), bars, remark, hint }
}

fn together(name: &str, faults: &[&FaultSpan], timeline: &Timeline, seconds: f64) -> Row {
    let label = format!("{name}, {} times", faults.len());
    // One that does not end would hide all the others.
    let brief = |fault: &&FaultSpan| FaultSpan { until_s: fault.until_s.or(Some(fault.from_s)), ..(*fault).clone() };
    let faults: Vec<FaultSpan> = faults.iter().map(brief).collect();
    let bars = places(&faults.iter().collect::<Vec<_>>(), timeline, seconds);
    Row { hint: label.clone(), label, class: class(name), bars, remark: String::new() }
}

fn places(faults: &[&FaultSpan], timeline: &Timeline, seconds: f64) -> Vec<(f64, f64)> {
    let parts = faults.iter().flat_map(|fault| parts(fault, seconds));
    joined(parts.map(|(from, until)| (timeline.axis.place(from), timeline.axis.place(until))).collect())
}

/// The fault and its nodes, which are counted if they are many.
fn label(fault: &FaultSpan) -> String {
    const MANY: usize = 14;
    let groups = fault.nodes.split(" / ").map(|group| {
        let list = group.trim_matches(['[', ']']);
        if list.len() > MANY { format!("{} nodes", list.split(',').count()) } else { list.to_owned() }
    });
    shorten(&format!("{} {}", fault.name, groups.collect::<Vec<_>>().join(" / ")), LABEL)
}

/// The colour of a family of faults.
fn class(name: &str) -> &'static str {
    match name {
        "split" | "cut" | "flip_flop" | "impair" => "blue",
        "join" | "twin" | "noise" | "rotate" => "teal",
        _ => "red",
    }
}
