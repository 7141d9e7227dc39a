//! Broadcasts, messages and requests: what became of them, and how long it took.

use std::fmt::Write;

use super::curves::{self, Curve};
use super::svg::escape;
use crate::report::Report;

pub(super) fn draw(report: &Report) -> String {
    let messages = &report.messages;
    let rows = messages.figures().into_iter().fold(String::new(), |mut rows, (name, value)| {
        let (first, rest) = name.split_at(1);
        let _ = write!(rows, "<tr><td>{}{rest}</td><td>{}</td></tr>", first.to_uppercase(), escape(&value));
        rows
    });
    if rows.is_empty() {
        return rows;
    }
    let times = |curve: &[f64]| curve.iter().map(|ms| ms / 1e3).collect();
    let broadcasts = [
        Curve { name: "at each node", class: "teal", times: times(&messages.broadcast_each_curve) },
        Curve { name: "at the last node", class: "wine", times: times(&messages.broadcast_last_curve) },
    ];
    let requests = [Curve { name: "answers", class: "blue", times: times(&messages.request_curve) }];
    let mut drawn = format!("<table class=\"words\">{rows}</table>");
    for (title, curves) in [
        ("Share of the broadcasts that arrived within a time", &broadcasts[..]),
        ("Share of the answers that came within a time", &requests[..]),
    ] {
        let curve = curves::draw(curves, &curves::axis(curves), title);
        if !curve.is_empty() {
            let _ = write!(drawn, "<h3>{title}</h3>{curve}");
        }
    }
    drawn
}
