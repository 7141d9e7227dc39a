//! The members that failed, or were doubted: when they were down, and how many nodes believed what of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

use super::axis::span;
use super::svg::{LEFT, RIGHT, Svg, legend, shorten};
use super::timeline::{LABELS, NUMBERS, Timeline};
use crate::metrics::{Crash, StateChange};
use crate::report::Report;

/// Members that are drawn.
const ROWS: usize = 24;

const ROW: f64 = 26.0;

/// Height of the part of a row that shows beliefs.
const BELIEFS: f64 = 17.0;

/// Height of the bar below them that shows when the member was down.
const DOWN: f64 = 4.0;

/// Everything known of one member.
#[derive(Default)]
struct Member<'a> {
    name: &'a str,
    /// How many were told of before.
    place: usize,
    crashes: Vec<&'a Crash>,
    changes: Vec<&'a StateChange>,
}

impl Member<'_> {
    /// Those that crashed come first, in their order; then those that most nodes believed dead, or suspected.
    fn rank(&self) -> impl Ord + use<> {
        let most = |value: fn(&StateChange) -> u32| self.changes.iter().map(|change| value(change)).max();
        let doubts = (most(|change| change.dead_for), most(|change| change.suspected_by));
        let doubts = if self.crashes.is_empty() { doubts } else { (None, None) };
        (self.crashes.is_empty(), Reverse(doubts), self.place)
    }
}

pub(super) fn draw(report: &Report, timeline: &Timeline) -> String {
    let members = ranked(report);
    if members.is_empty() {
        return String::new();
    }
    let rows = members.len().min(ROWS);
    let (top, bottom) = (NUMBERS, NUMBERS + rows as f64 * ROW);
    let mut svg = Svg::new(bottom + LABELS, "When members were down, suspected, and believed dead");
    timeline.shade(&mut svg, top, bottom);
    let running = running(report, timeline);
    for (number, member) in members.iter().take(rows).enumerate() {
        draw_member(&mut svg, &running, timeline, member, top + number as f64 * ROW);
    }
    timeline.finish(&mut svg, top, bottom);
    let entries = [("down", "down"), ("amber", "suspected"), ("red", "believed dead")];
    let entries = entries.into_iter().map(|(class, name)| (class, name.to_owned())).chain(timeline.legend());
    legend(&entries.collect::<Vec<_>>()) + &svg.finish() + &rest(&members[rows..])
}

/// What is left out.
fn rest(members: &[Member<'_>]) -> String {
    if members.is_empty() {
        return String::new();
    }
    let crashed = match members.iter().filter(|member| !member.crashes.is_empty()).count() {
        0 => "none of which crashed".to_owned(),
        crashed => format!("{crashed} of which crashed"),
    };
    format!("<p class=\"note more\">… and {} more, {crashed}.</p>", members.len())
}

fn ranked(report: &Report) -> Vec<Member<'_>> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut members: Vec<Member<'_>> = Vec::new();
    let names =
        report.crashes.iter().map(|crash| &crash.member).chain(report.states.iter().map(|change| &change.member));
    for name in names {
        places.entry(name).or_insert_with(|| {
            members.push(Member { name, place: members.len(), ..Member::default() });
            members.len() - 1
        });
    }
    for crash in &report.crashes {
        members[places[crash.member.as_str()]].crashes.push(crash);
    }
    for change in &report.states {
        members[places[change.member.as_str()]].changes.push(change);
    }
    members.sort_by_cached_key(Member::rank);
    members
}

fn draw_member(svg: &mut Svg, running: &[u32], timeline: &Timeline, member: &Member<'_>, top: f64) {
    let base = top + BELIEFS + 2.0;
    svg.text("e", LEFT - 8.0, top + 16.0, &shorten(member.name, 25));
    svg.line("grid", (LEFT, base), (RIGHT, base));
    let columns = columns(running, timeline, member);
    let most = |value: fn(&StateChange) -> u32| member.changes.iter().map(|change| value(change)).max().unwrap_or(0);
    let dead: Vec<f64> = columns.iter().map(|column| column.dead).collect();
    let both: Vec<f64> = columns.iter().map(|column| (column.dead + column.suspected).min(1.0)).collect();
    let suspected_by = format!("{} suspected by up to {} at once", member.name, most(|change| change.suspected_by));
    svg.path("half amber", &area(&both, base), &suspected_by);
    svg.path("area red", &area(&dead, base), &format!("{} dead for up to {}", member.name, most(|it| it.dead_for)));
    for crash in &member.crashes {
        let (from, until) = (timeline.axis.place(crash.at_s), crash.back_s.map_or(RIGHT, |at| timeline.axis.place(at)));
        let back = crash.back_s.map_or_else(String::new, |at| format!(", back at {}", span(at)));
        let hint = format!("{} crashed at {}{back}", member.name, span(crash.at_s));
        svg.rect("area down", (from, base + 1.0), ((until - from).max(1.5), DOWN), &hint);
    }
}

/// Shares of the other nodes.
#[derive(Clone, Copy, Default)]
struct Column {
    suspected: f64,
    dead: f64,
}

/// The most at any moment of each unit of the width.
fn columns(running: &[u32], timeline: &Timeline, member: &Member<'_>) -> Vec<Column> {
    let mut columns = vec![Column::default(); running.len()];
    let index = |at: f64| (timeline.axis.place(at) - LEFT) as usize;
    let downs: Vec<(usize, usize)> =
        member.crashes.iter().map(|crash| (index(crash.at_s), crash.back_s.map_or(columns.len(), index))).collect();
    let others = |column: usize| {
        let is_down = downs.iter().any(|down| (down.0..down.1).contains(&column));
        f64::from(running[column].saturating_sub(u32::from(!is_down)).max(1))
    };
    let ends = member.changes.iter().skip(1).map(|change| index(change.at_s)).chain([columns.len()]);
    for (change, end) in member.changes.iter().zip(ends) {
        let begin = index(change.at_s);
        for (number, column) in columns.iter_mut().enumerate().take(end.max(begin + 1)).skip(begin) {
            let others = others(number);
            column.suspected = column.suspected.max(f64::from(change.suspected_by) / others);
            column.dead = column.dead.max(f64::from(change.dead_for) / others);
        }
    }
    columns
}

/// How many nodes ran, for each unit of the width: the most of them who could believe something.
fn running(report: &Report, timeline: &Timeline) -> Vec<u32> {
    let mut running = vec![report.nodes; (RIGHT - LEFT) as usize];
    for sample in &report.samples {
        let from = (timeline.axis.place(sample.at_s) - LEFT) as usize;
        running.iter_mut().skip(from).for_each(|column| *column = sample.running);
    }
    running
}

/// What is below a staircase of shares. What one node in a thousand believes can be seen, too.
fn area(shares: &[f64], base: f64) -> String {
    const LEAST: f64 = 1.5;
    let mut path = String::new();
    let mut start = 0;
    for run in shares.chunk_by(|one, other| one.total_cmp(other).is_eq()) {
        let (share, width) = (run[0].min(1.0), run.len());
        if share > 0.0 {
            let height = (share * BELIEFS).max(LEAST);
            let _ = write!(path, "M{:.0} {base:.1}v-{height:.1}h{width}V{base:.1}z", LEFT + start as f64);
        }
        start += width;
    }
    path
}
