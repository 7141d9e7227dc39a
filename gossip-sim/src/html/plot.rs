//! Plots as inline SVG.

use std::fmt::Write;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 10.0;
const ROW: f64 = 18.0;

pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) colour: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over time.
pub(super) struct Plot {
    pub(super) series: Vec<Series>,
    pub(super) seconds: f64,
}

/// A line of bars over time: from, until, and how dark.
pub(super) struct Band {
    pub(super) label: String,
    pub(super) parts: Vec<(f64, f64, f64)>,
}

impl Plot {
    pub(super) fn draw(&self) -> String {
        const HEIGHT: f64 = 220.0;
        const BOTTOM: f64 = HEIGHT - 22.0;
        let most = self.series.iter().flat_map(|series| &series.points).map(|point| point.1).fold(0.0, f64::max);
        if most <= 0.0 {
            return String::new();
        }
        let top = round_up(most);
        let y = |value: f64| BOTTOM - value / top * (BOTTOM - 18.0);
        let mut svg = open(HEIGHT);
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let at = y(value);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#8886\"/>",
                WIDTH - RIGHT
            );
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                short(value)
            );
        }
        time_axis(&mut svg, self.seconds, BOTTOM);
        for (position, series) in self.series.iter().enumerate() {
            let points: Vec<String> = series
                .points
                .iter()
                .map(|&(at, value)| format!("{:.1},{:.1}", x(at, self.seconds), y(value)))
                .collect();
            let (colour, name) = (series.colour, series.name);
            let _ = write!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
                points.join(" ")
            );
            let label = LEFT + position as f64 * 130.0;
            let _ = write!(svg, "<text x=\"{label}\" y=\"11\" style=\"fill:{colour}\">{name}</text>");
        }
        svg + "</svg>"
    }
}

/// Lines of bars, one below the other.
pub(super) fn bands(bands: &[Band], seconds: f64, colour: &str) -> String {
    const MOST: usize = 60;
    if bands.iter().all(|band| band.parts.is_empty()) {
        return String::new();
    }
    let shown = &bands[..bands.len().min(MOST)];
    let bottom = shown.len() as f64 * ROW;
    let mut svg = open(bottom + 22.0);
    for (row, band) in shown.iter().enumerate() {
        let top = row as f64 * ROW;
        let label = super::escape(&band.label);
        let _ = write!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, top + 13.0);
        for &(from, until, dark) in &band.parts {
            let (start, end) = (x(from, seconds), x(until, seconds));
            let width = (end - start).max(1.0);
            let _ = write!(
                svg,
                "<rect x=\"{start:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\" fill-opacity=\"{dark:.2}\"/>",
                top + 3.0,
                ROW - 6.0
            );
        }
    }
    time_axis(&mut svg, seconds, bottom);
    svg + "</svg>"
}

/// Horizontal bars with their values.
pub(super) fn bars(bars: &[(String, f64)], unit: &str) -> String {
    let most = bars.iter().map(|bar| bar.1).fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = open(bars.len() as f64 * ROW + 4.0);
    for (row, (label, value)) in bars.iter().enumerate() {
        let top = row as f64 * ROW;
        let width = value / most * (WIDTH - LEFT - 80.0);
        let _ = write!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, top + 13.0);
        let _ = write!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"12\" fill=\"#2f6fde\"/>",
            top + 3.0
        );
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{value:.2} {unit}</text>", LEFT + width + 6.0, top + 13.0);
    }
    svg + "</svg>"
}

fn open(height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\">")
}

fn x(at: f64, seconds: f64) -> f64 {
    LEFT + (at / seconds.max(1e-9)).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
}

fn time_axis(svg: &mut String, seconds: f64, bottom: f64) {
    for step in 0..=6 {
        let at = seconds * f64::from(step) / 6.0;
        let place = x(at, seconds);
        let anchor = if step == 6 { "end" } else { "middle" };
        let _ =
            write!(svg, "<text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{at:.0} s</text>", bottom + 16.0);
    }
}

/// The next of 1, 2, 4, 5, 8 times a power of ten.
fn round_up(value: f64) -> f64 {
    let mut scale = 1e-6;
    while scale * 10.0 < value {
        scale *= 10.0;
    }
    let step = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().find(|step| step * scale >= value);
    step.unwrap_or(10.0) * scale
}

fn short(value: f64) -> String {
    if value >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
