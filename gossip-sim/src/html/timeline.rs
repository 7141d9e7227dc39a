//! The time axis that several plots share: faults in force in the background, failures of oracles in front.

use super::axis::Axis;
use super::svg::{LEFT, RIGHT, Svg};
use crate::report::{FaultSpan, Report};

/// Height of the row of labels below a plot.
pub(super) const LABELS: f64 = 22.0;

/// Height of the row above a plot in which failures have their numbers.
pub(super) const NUMBERS: f64 = 16.0;

/// Failures closer than this share a number.
const APART: f64 = 14.0;

/// Parts of one fault that comes and goes.
const MOST_PARTS: u32 = 1_000;

pub(super) struct Timeline {
    pub(super) axis: Axis,
    /// When faults were in force, and when those began that did not end.
    faults: Vec<(f64, f64)>,
    /// When oracles failed: by number, and where.
    failures: Vec<f64>,
}

impl Timeline {
    pub(super) fn of(report: &Report) -> Self {
        let seconds = report.virtual_ms / 1_000.0;
        let axis = Axis::time(seconds, (LEFT, RIGHT));
        let parts = report.faults.iter().flat_map(|fault| match fault.until_s {
            Some(_) => parts(fault, seconds),
            None => vec![(fault.from_s, fault.from_s)],
        });
        let faults = joined(parts.map(|(from, until)| (axis.place(from), axis.place(until))).collect());
        let failures = report.oracle_failures.iter().map(|failure| axis.place(failure.at.as_micros() as f64 / 1e6));
        Self { faults, failures: failures.collect(), axis }
    }

    /// What the marks mean.
    pub(super) fn legend(&self) -> Vec<(&'static str, String)> {
        let shade = ("shadow", "faults in force, or one begins".to_owned());
        let failure = ("fail", "an oracle failed, by number in the list above".to_owned());
        let (has_faults, has_failures) = (!self.faults.is_empty(), !self.failures.is_empty());
        has_faults.then_some(shade).into_iter().chain(has_failures.then_some(failure)).collect()
    }

    /// Draws what lies behind a plot.
    pub(super) fn shade(&self, svg: &mut Svg, top: f64, bottom: f64) {
        for &(from, until) in &self.faults {
            svg.rect("shade", (from, top), ((until - from).max(1.5), bottom - top), "");
        }
    }

    /// Draws labels below, and lines for failures from top to bottom, with their numbers above.
    pub(super) fn finish(&self, svg: &mut Svg, top: f64, bottom: f64) {
        below(svg, &self.axis, bottom, |tick| self.axis.span(tick));
        let mut start = 0;
        while let Some(&first) = self.failures.get(start) {
            let near = self.failures[start..].iter().take_while(|&&at| (at - first).abs() < APART).count();
            let end = start + near;
            let number = if near == 1 { format!("{end}") } else { format!("{}–{end}", start + 1) };
            svg.line("fail", (first, top), (first, bottom));
            svg.text("number m", first, top - 4.0, &number);
            start = end;
        }
    }
}

/// Draws the labels of an axis below a plot.
pub(super) fn below(svg: &mut Svg, axis: &Axis, bottom: f64, name: impl Fn(f64) -> String) {
    for &tick in axis.ticks() {
        let place = axis.place(tick);
        svg.line("grid", (place, bottom), (place, bottom + 4.0));
        svg.text("m x", place, bottom + 16.0, &name(tick));
    }
}

/// Draws the labels of an axis left of a plot, and lines across it.
pub(super) fn across(svg: &mut Svg, axis: &Axis, name: impl Fn(f64) -> String) {
    for &tick in axis.ticks() {
        let place = axis.place(tick);
        svg.line("grid", (LEFT, place), (RIGHT, place));
        svg.text("e y", LEFT - 8.0, place + 4.0, &name(tick));
    }
}

/// Whether a fault is over as soon as it begins.
pub(super) fn is_moment(fault: &FaultSpan) -> bool {
    fault.name == "join"
}

/// When a fault was in force, in seconds.
pub(super) fn parts(fault: &FaultSpan, seconds: f64) -> Vec<(f64, f64)> {
    if is_moment(fault) {
        return vec![(fault.from_s, fault.from_s)];
    }
    let end = fault.until_s.unwrap_or(seconds).min(seconds);
    let Some((in_force, rest)) = fault.rhythm_s.filter(|(in_force, rest)| in_force + rest > 0.0) else {
        return vec![(fault.from_s, end)];
    };
    let whole = in_force + rest;
    if (end - fault.from_s) / whole > f64::from(MOST_PARTS) {
        return vec![(fault.from_s, end)];
    }
    let begins = (0..=MOST_PARTS).map(|number| fault.from_s + f64::from(number) * whole);
    begins.take_while(|begin| *begin < end).map(|begin| (begin, end.min(begin + in_force))).collect()
}

/// The same without overlaps, and without gaps that could not be seen.
pub(super) fn joined(mut places: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    const VISIBLE: f64 = 1.5;
    places.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for (from, until) in places {
        match joined.last_mut() {
            Some(last) if from < last.1 + VISIBLE => last.1 = last.1.max(until),
            _ => joined.push((from, until)),
        }
    }
    joined
}
