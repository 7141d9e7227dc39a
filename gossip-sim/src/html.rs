//! A report as one page with plots that needs nothing but itself.

mod axis;
mod chart;
mod curves;
mod detection;
mod faults;
mod members;
mod messages;
mod svg;
#[cfg(test)]
mod tests;
mod timeline;
mod traffic;

use std::fmt::Write;

use crate::report::Report;
use axis::number;
use chart::{Band, Chart, Line};
use svg::escape;
use timeline::Timeline;

const STYLE: &str = include_str!("html/style.css");

/// The report as a page: verdict, figures, and plots of the faults, of what nodes knew of each other and believed of
/// those that failed, of the times of detection, of the traffic of single nodes, and of messages.
///
/// It needs no script and nothing from outside, and fits light and dark screens.
pub fn html(report: &Report) -> String {
    let timeline = Timeline::of(report);
    let mut page = String::new();
    let title = format!("{}: {} nodes, seed {}", escape(&report.scenario), report.nodes, report.seed);
    let _ = write!(
        page,
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"/><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"/><style>{STYLE}</style></head><body><h1>{title}</h1>"
    );
    verdict(&mut page, report);
    figures(&mut page, report);
    let sections = [
        ("faults", "Faults", "When what went wrong, and for how long.", faults::draw(report, &timeline)),
        (
            "membership",
            "Membership",
            "Nodes that ran, and how many live members each of them knew of, itself included.",
            membership(report, &timeline),
        ),
        (
            "members",
            "Members that failed or were doubted",
            "Those that crashed, and then those that others suspected or believed dead. \
             A row is full when all other nodes believe it.",
            members::draw(report, &timeline),
        ),
        (
            "detection",
            "Detection",
            "From a crash until the first node suspects the member, until the first declares it dead, \
             and until all know.",
            detection::draw(report),
        ),
        ("traffic", "Traffic", "What single nodes sent, streams included.", traffic::draw(report, &timeline)),
        ("messages", "Messages", "Broadcasts, messages and requests of the applications.", messages::draw(report)),
    ];
    for (id, title, note, content) in sections {
        if !content.is_empty() {
            let _ =
                write!(page, "<section id=\"{id}\"><h2>{title}</h2><p class=\"note\">{note}</p>{content}</section>");
        }
    }
    page.push_str("</body></html>\n");
    page
}

fn verdict(page: &mut String, report: &Report) {
    let _ = write!(
        page,
        "<p class=\"note\">{:.1} s of virtual time, trace {}</p>",
        report.virtual_ms / 1_000.0,
        escape(&report.trace_hash)
    );
    if report.passed() {
        page.push_str("<p class=\"good\">All oracles are content.</p>");
        return;
    }
    let _ = write!(page, "<p class=\"bad\">{} oracle failures</p><ol>", report.oracle_failures.len());
    for failure in &report.oracle_failures {
        let _ = write!(page, "<li>{}</li>", escape(&failure.to_string()));
    }
    page.push_str("</ol>");
}

fn figures(page: &mut String, report: &Report) {
    let agreed = match report.converged_ms {
        Some(took) => axis::span(took / 1e3),
        None => report.agreement.clone(),
    };
    let tiles = [
        (agreed, "until agreement"),
        (report.crashes.len().to_string(), "crashes"),
        (format!("{} ({})", report.suspected, report.false_suspected), "suspicions (false)"),
        (format!("{} ({})", report.dead, report.false_dead), "deaths (false)"),
        (number(report.bytes_per_node_s), "bytes per node and second"),
        (number(report.datagrams_per_node_s), "datagrams per node and second"),
        (number(report.delivered as f64), "datagrams delivered"),
        (number(report.lost as f64), "datagrams lost"),
    ];
    page.push_str("<div class=\"tiles\">");
    for (value, name) in tiles {
        let _ = write!(page, "<div><b>{}</b><span>{name}</span></div>", escape(&value));
    }
    page.push_str("</div>");
}

fn membership(report: &Report, timeline: &Timeline) -> String {
    let samples = || report.samples.iter();
    let known = |sample: &crate::metrics::Sample| (sample.at_s, f64::from(sample.fewest), f64::from(sample.most));
    Chart {
        timeline,
        label: "Nodes that ran, and members known to be live, over time",
        band: Band { name: "fewest to most known", class: "blue", points: samples().map(known).collect() },
        line: Line {
            name: "running",
            class: "ink",
            points: samples().map(|sample| (sample.at_s, f64::from(sample.running))).collect(),
        },
        zooms: true,
    }
    .draw()
}
