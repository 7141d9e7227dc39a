//! Lines over the time of a run.

use std::fmt::Write;

use super::axis::{Axis, number};
use super::svg::{Svg, legend};
use super::timeline::{LABELS, NUMBERS, Timeline, across};

const HEIGHT: f64 = 190.0;

/// If the highest value is so many times the one in the middle of the line, the axis is logarithmic.
const FAR: f64 = 50.0;

/// Labels of the axis of values.
const STEPS: f64 = 5.0;

/// What is between two values at each moment.
pub(super) struct Band {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    /// When, from, to.
    pub(super) points: Vec<(f64, f64, f64)>,
}

/// One value at each moment.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

pub(super) struct Chart<'a> {
    pub(super) timeline: &'a Timeline,
    pub(super) label: &'static str,
    pub(super) band: Band,
    pub(super) line: Line,
    /// The axis begins below the least value, not at zero, where values differ little.
    pub(super) zooms: bool,
}

impl Chart<'_> {
    /// Empty if there is nothing to draw.
    pub(super) fn draw(&self) -> String {
        let lows = self.band.points.iter().map(|point| point.1).chain(self.line.points.iter().map(|point| point.1));
        let highs = self.band.points.iter().map(|point| point.2).chain(self.line.points.iter().map(|point| point.1));
        let (least, most) = (lows.fold(f64::INFINITY, f64::min), highs.fold(0.0, f64::max));
        if most <= 0.0 {
            return String::new();
        }
        let (top, bottom) = (NUMBERS, NUMBERS + HEIGHT);
        let axis = self.axis(least, most, (bottom, top));
        let mut svg = Svg::new(bottom + LABELS, self.label);
        self.timeline.shade(&mut svg, top, bottom);
        across(&mut svg, &axis, number);
        let time = &self.timeline.axis;
        let band: Vec<(f64, f64, f64)> = self
            .band
            .points
            .iter()
            .map(|&(at, low, high)| (time.place(at), axis.place(low), axis.place(high)))
            .collect();
        svg.path(&format!("pale {}", self.band.class), &outline(&columns(&band)), "");
        let line: Vec<(f64, f64, f64)> = self
            .line
            .points
            .iter()
            .map(|&(at, value)| (time.place(at), axis.place(value), axis.place(value)))
            .collect();
        svg.path(&format!("line {}", self.line.class), &course(&columns(&line)), "");
        self.timeline.finish(&mut svg, top, bottom);
        let band = format!("faint {}", self.band.class);
        let mut entries = vec![(self.line.class, self.line.name.to_owned()), (&band, self.band.name.to_owned())];
        entries.extend(self.timeline.legend());
        if axis.is_logarithmic() {
            entries
                .push(("none", "the axis is logarithmic, and less than its beginning stands at the edge".to_owned()));
        }
        legend(&entries) + &svg.finish()
    }
}

impl Chart<'_> {
    fn axis(&self, least: f64, most: f64, edges: (f64, f64)) -> Axis {
        if self.zooms {
            let start = if most > least && most - least < most / 4.0 { least } else { 0.0 };
            return Axis::counts(start, most, STEPS, edges);
        }
        let mut values: Vec<f64> = self.line.points.iter().map(|point| point.1).filter(|value| *value > 0.0).collect();
        values.sort_unstable_by(f64::total_cmp);
        match values.get(values.len() / 2) {
            Some(middle) if most > FAR * middle => Axis::logarithmic(middle / 4.0, most, edges),
            _ => Axis::values(0.0, most, STEPS, edges),
        }
    }
}

/// One point for each unit of the width, with the lowest and the highest of all that fall into it.
fn columns(points: &[(f64, f64, f64)]) -> Vec<(f64, f64, f64)> {
    let mut columns: Vec<(f64, f64, f64)> = Vec::new();
    for &(x, low, high) in points {
        match columns.last_mut() {
            Some(last) if x - last.0 < 1.0 => (last.1, last.2) = (last.1.max(low), last.2.min(high)),
            _ => columns.push((x, low, high)),
        }
    }
    columns
}

/// A line through the middle of columns.
fn course(columns: &[(f64, f64, f64)]) -> String {
    let mut path = String::new();
    for (index, (x, low, high)) in columns.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, f64::midpoint(*low, *high));
    }
    path
}

/// Forth along the upper end of columns and back along the lower.
fn outline(columns: &[(f64, f64, f64)]) -> String {
    let forth = columns.iter().map(|&(x, _, high)| (x, high));
    let back = columns.iter().rev().map(|&(x, low, _)| (x, low));
    let mut path = String::new();
    for (index, (x, y)) in forth.chain(back).enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
    }
    path + "Z"
}
