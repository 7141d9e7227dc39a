//! How times are distributed: which share of them stays within which.

use std::fmt::Write;

use super::axis::{Axis, span};
use super::svg::{LEFT, RIGHT, Svg, legend};
use super::timeline::{LABELS, below};

const TOP: f64 = 10.0;
const BOTTOM: f64 = 190.0;

/// If the longest time is so many times the middle one, the axis is logarithmic.
const FAR: f64 = 20.0;

/// Shares that have a line across the plot.
const LEVELS: [(f64, &str); 5] = [(0.0, "0%"), (0.25, "25%"), (0.5, "p50"), (0.75, "75%"), (0.99, "p99")];

pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    /// In seconds, sorted; each stands for the same share of the whole.
    pub(super) times: Vec<f64>,
}

impl Curve {
    /// The time within which a share of all stays: the smallest that is not shorter than so many.
    fn at(&self, share: f64) -> f64 {
        let rank = (self.times.len() as f64 * share - 1e-9).ceil().max(1.0) as usize - 1;
        self.times.get(rank).copied().unwrap_or(0.0)
    }
}

/// An axis for all of the times.
pub(super) fn axis(curves: &[Curve]) -> Axis {
    let times = || curves.iter().flat_map(|curve| curve.times.iter().copied());
    let (least, most) = (times().fold(f64::INFINITY, f64::min), times().fold(0.0, f64::max));
    let middle = curves.iter().filter(|curve| !curve.times.is_empty()).map(|curve| curve.at(0.5));
    if least > 0.0 && most > FAR * middle.fold(f64::INFINITY, f64::min) {
        return Axis::logarithmic(least, most, (LEFT, RIGHT));
    }
    Axis::values(0.0, most, 10.0, (LEFT, RIGHT))
}

/// Empty if no curve has a time.
pub(super) fn draw(curves: &[Curve], axis: &Axis, label: &str) -> String {
    let curves: Vec<&Curve> = curves.iter().filter(|curve| !curve.times.is_empty()).collect();
    if curves.is_empty() {
        return String::new();
    }
    let y = |share: f64| BOTTOM - share * (BOTTOM - TOP);
    let mut svg = Svg::new(BOTTOM + LABELS, label);
    for (share, name) in LEVELS {
        let class = if name.starts_with('p') { "dash" } else { "grid" };
        svg.line(class, (LEFT, y(share)), (RIGHT, y(share)));
        svg.text("e y", LEFT - 8.0, y(share) + 4.0, name);
    }
    below(&mut svg, axis, BOTTOM, |tick| axis.span(tick));
    for curve in &curves {
        svg.path(&format!("line {}", curve.class), &steps(&curve.times, axis, y), curve.name);
    }
    for curve in &curves {
        for (share, name) in LEVELS.into_iter().filter(|(_, name)| name.starts_with('p')) {
            let time = curve.at(share);
            svg.dot(curve.class, (axis.place(time), y(share)), &format!("{}, {name}: {}", curve.name, span(time)));
        }
    }
    let entry = |curve: &&Curve| {
        let (p50, p99) = (span(curve.at(0.5)), span(curve.at(0.99)));
        (curve.class, format!("{}: p50 {p50}, p99 {p99}", curve.name))
    };
    legend(&curves.iter().map(entry).collect::<Vec<_>>()) + &svg.finish()
}

/// A staircase, with steps that can be seen.
fn steps(times: &[f64], axis: &Axis, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut last = f64::NEG_INFINITY;
    for (index, &time) in times.iter().enumerate() {
        let place = axis.place(time);
        if index == 0 {
            let _ = write!(path, "M{place:.1} {:.1}", y(0.0));
        } else if place - last >= 0.5 {
            let _ = write!(path, "V{:.1}H{place:.1}", y(index as f64 / times.len() as f64));
        } else {
            continue;
        }
        last = place;
    }
    let _ = write!(path, "V{:.1}", y(1.0));
    path
}
