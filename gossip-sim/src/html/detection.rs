//! How long it took until crashes were noticed: over all of them, and one by one.

use std::fmt::Write;

use super::axis::{Axis, span};
use super::curves::{self, Curve};
use super::svg::{LEFT, RIGHT, Svg, shorten};
use super::timeline::{LABELS, below};
use crate::metrics::Crash;
use crate::report::{Percentiles, Report};

/// Crashes that have a row each.
const ROWS: usize = 24;

const ROW: f64 = 16.0;

/// A time of a crash.
type Time = fn(&Crash) -> Option<f64>;

/// What is timed, its colour, and where it stands.
const STAGES: [(&str, &str, Time); 3] = [
    ("first suspicion", "amber", |crash| crash.first_suspect_ms),
    ("first death", "red", |crash| crash.first_dead_ms),
    ("known by all", "wine", |crash| crash.dead_all_ms),
];

pub(super) fn draw(report: &Report) -> String {
    if report.crashes.is_empty() {
        return String::new();
    }
    let curves = STAGES.map(|(name, class, time)| {
        let mut times: Vec<f64> = report.crashes.iter().filter_map(time).map(|ms| ms / 1e3).collect();
        times.sort_unstable_by(f64::total_cmp);
        Curve { name, class, times }
    });
    let mut drawn = counts(report);
    if curves.iter().all(|curve| curve.times.is_empty()) {
        return drawn;
    }
    drawn += &table(report);
    drawn += "<h3>Share of the crashes noticed within a time</h3>";
    let axis = curves::axis(&curves);
    drawn += &curves::draw(&curves, &axis, "Distribution of detection times");
    drawn + &single(report, &axis)
}

fn counts(report: &Report) -> String {
    let count = |is_so: fn(&Crash) -> bool| report.crashes.iter().filter(|crash| is_so(crash)).count();
    let early = count(|crash| crash.back_s.is_some() && crash.dead_all_ms.is_none());
    let crashes = report.crashes.len();
    let mut text = format!("<p class=\"note\">{crashes} {}", if crashes == 1 { "crash" } else { "crashes" });
    if early > 0 {
        let _ = write!(text, "; after {early} the node was back before all knew it dead");
    }
    if report.doubted_crashes > 0 {
        let doubted = report.doubted_crashes;
        let _ = write!(text, "; {doubted} of nodes that were doubted already, which are not timed");
    }
    text + ".</p>"
}

fn table(report: &Report) -> String {
    let rows: [(&str, &Percentiles); 3] = [
        (STAGES[0].0, &report.first_suspect_ms),
        (STAGES[1].0, &report.first_dead_ms),
        (STAGES[2].0, &report.dead_all_ms),
    ];
    let mut table = "<table><tr><th></th><th>crashes</th><th>p50</th><th>p99</th><th>max</th></tr>".to_owned();
    for (name, times) in rows {
        let time = |ms: f64| if times.count > 0 { span(ms / 1e3) } else { "–".to_owned() };
        let (p50, p99, max) = (time(times.p50), time(times.p99), time(times.max));
        let count = times.count;
        let _ = write!(table, "<tr><td>{name}</td><td>{count}</td><td>{p50}</td><td>{p99}</td><td>{max}</td></tr>");
    }
    table + "</table>"
}

/// A row for each crash, those first that took longest.
fn single(report: &Report, axis: &Axis) -> String {
    let mut crashes: Vec<&Crash> = report.crashes.iter().filter(|crash| !crash.doubted).collect();
    let slowness = |crash: &Crash| {
        let last = [crash.dead_all_ms, crash.first_dead_ms, crash.first_suspect_ms];
        // Where somebody should still have noticed it is slower than anything.
        if crash.back_s.is_none() && last[0].is_none() {
            f64::INFINITY
        } else {
            last.into_iter().flatten().fold(0.0, f64::max)
        }
    };
    crashes.sort_by(|one, other| slowness(other).total_cmp(&slowness(one)));
    let shown = crashes.len().min(ROWS);
    if shown == 0 {
        return String::new();
    }
    let bottom = shown as f64 * ROW + 4.0;
    let mut svg = Svg::new(bottom + LABELS, "Detection times of single crashes");
    for &tick in axis.ticks() {
        svg.line("grid", (axis.place(tick), 0.0), (axis.place(tick), bottom));
    }
    for (row, crash) in crashes.iter().take(shown).enumerate() {
        draw_crash(&mut svg, axis, crash, row as f64 * ROW + ROW / 2.0);
    }
    below(&mut svg, axis, bottom, |tick| axis.span(tick));
    let rest = match crashes.len() - shown {
        0 => String::new(),
        rest => format!("<p class=\"note more\">… and {rest} more.</p>"),
    };
    format!("<h3>Each crash, the slowest first</h3>{}{rest}", svg.finish())
}

fn draw_crash(svg: &mut Svg, axis: &Axis, crash: &Crash, y: f64) {
    svg.text("e", LEFT - 8.0, y + 4.0, &shorten(&format!("{}, at {}", crash.member, span(crash.at_s)), 26));
    let times = STAGES.iter().filter_map(|&(name, class, time)| Some((name, class, time(crash)? / 1e3)));
    let times: Vec<(&str, &str, f64)> = times.collect();
    let last = times.iter().map(|(.., seconds)| axis.place(*seconds)).fold(LEFT, f64::max);
    svg.line("grid", (LEFT, y), (last, y));
    for (name, class, seconds) in times {
        svg.dot(class, (axis.place(seconds), y), &format!("{}: {name} after {}", crash.member, span(seconds)));
    }
    let after = crash.back_s.map(|back| back - crash.at_s);
    let remark = match (crash.dead_all_ms, after) {
        (None, Some(after)) => format!("back after {}", span(after)),
        (None, None) => "not known by all".to_owned(),
        (Some(_), _) => return,
    };
    if last + 110.0 < RIGHT {
        svg.text("", last + 8.0, y + 4.0, &remark);
    }
}
