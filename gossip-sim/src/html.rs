//! A report as one page with plots that needs nothing but itself.

mod plot;

use std::fmt::Write;

use crate::report::{Percentiles, Report};
use plot::{Band, Plot, Series};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1b1f24;background:#fff}h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.1rem;margin:2rem 0 .3rem}\
p.note{color:#57606a;margin:.2rem 0}table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:right}\
td:first-child,th:first-child{text-align:left}.bad{color:#b42318}.good{color:#1a7f37}svg{width:100%;height:auto;display:block}\
svg text{font:11px system-ui,sans-serif;fill:#57606a}li{margin:.2rem 0}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}p.note,svg text{color:#9da7b1;fill:#9da7b1}}";

/// Members whose states are drawn.
const MEMBERS: usize = 12;

/// The report as a page: verdict, figures, and plots of membership, traffic, detection, faults, and of what was
/// believed of the members that were doubted.
pub fn html(report: &Report) -> String {
    let mut page = String::new();
    let title = format!("{}: {} nodes, seed {}", escape(&report.scenario), report.nodes, report.seed);
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body><h1>{title}</h1>"
    );
    verdict(&mut page, report);
    figures(&mut page, report);
    section(&mut page, "Faults", "When what went wrong, and for how long.", &faults(report));
    section(
        &mut page,
        "Membership",
        "Nodes that ran, and the fewest and most live members that any of them knew of.",
        &membership(report),
    );
    section(&mut page, "Beliefs", "How many nodes suspected a member, or believed it dead.", &beliefs(report));
    section(&mut page, "Traffic", "Bytes sent per node and second, streams included.", &traffic(report));
    section(
        &mut page,
        "Detection",
        "From the crash to the first suspicion, the first death, and death at all nodes.",
        &detection(report),
    );
    page.push_str("</body></html>\n");
    page
}

fn verdict(page: &mut String, report: &Report) {
    let note = format!(
        "{:.1} s of virtual time, trace {}, {} datagrams delivered, {} lost.",
        report.virtual_ms / 1_000.0,
        escape(&report.trace_hash),
        report.delivered,
        report.lost
    );
    let _ = write!(page, "<p class=\"note\">{note}</p>");
    if report.passed() {
        page.push_str("<p class=\"good\">All oracles are content.</p>");
        return;
    }
    let _ = write!(page, "<p class=\"bad\">{} oracle failures:</p><ul>", report.oracle_failures.len());
    for failure in &report.oracle_failures {
        let _ = write!(page, "<li class=\"bad\">{}</li>", escape(&failure.to_string()));
    }
    page.push_str("</ul>");
}

fn figures(page: &mut String, report: &Report) {
    let agreed = report.converged_ms.map_or_else(|| "not".to_owned(), |took| format!("{took:.0} ms"));
    let rows = [
        ("Datagrams per node and second", format!("{:.2}", report.datagrams_per_node_s)),
        ("Bytes per node and second", format!("{:.0}", report.bytes_per_node_s)),
        ("Agreed after the last disturbance", agreed),
        ("Suspicions (false)", format!("{} ({})", report.suspected, report.false_suspected)),
        ("Deaths (false)", format!("{} ({})", report.dead, report.false_dead)),
    ];
    page.push_str("<table>");
    for (name, value) in rows {
        let _ = write!(page, "<tr><td>{name}</td><td>{value}</td></tr>");
    }
    page.push_str("</table>");
}

fn section(page: &mut String, title: &str, note: &str, content: &str) {
    if !content.is_empty() {
        let _ = write!(page, "<h2>{title}</h2><p class=\"note\">{note}</p>{content}");
    }
}

fn seconds(report: &Report) -> f64 {
    report.virtual_ms / 1_000.0
}

fn faults(report: &Report) -> String {
    let bands: Vec<Band> = report
        .faults
        .iter()
        .map(|fault| Band {
            label: format!("{} {}", fault.name, shorten(&fault.nodes)),
            parts: vec![(fault.from_s, fault.until_s.unwrap_or(seconds(report)), 1.0)],
        })
        .collect();
    plot::bands(&bands, seconds(report), "#c4432b")
}

fn membership(report: &Report) -> String {
    let points = |value: fn(&crate::metrics::Sample) -> f64| -> Vec<(f64, f64)> {
        report.samples.iter().map(|sample| (sample.at_s, value(sample))).collect()
    };
    Plot {
        series: vec![
            Series { name: "running", colour: "#57606a", points: points(|sample| f64::from(sample.running)) },
            Series { name: "most known", colour: "#2f6fde", points: points(|sample| f64::from(sample.most)) },
            Series { name: "fewest known", colour: "#c4432b", points: points(|sample| f64::from(sample.fewest)) },
        ],
        seconds: seconds(report),
    }
    .draw()
}

fn traffic(report: &Report) -> String {
    let points = report.samples.iter().map(|sample| (sample.at_s, sample.bytes)).collect();
    Plot { series: vec![Series { name: "bytes", colour: "#2f6fde", points }], seconds: seconds(report) }.draw()
}

/// One band for each member that was doubted: the darker, the more nodes believed it dead or suspected it.
fn beliefs(report: &Report) -> String {
    let mut members: Vec<&str> = Vec::new();
    for change in &report.states {
        if !members.contains(&change.member.as_str()) {
            members.push(&change.member);
        }
    }
    members.truncate(MEMBERS);
    let most = f64::from(report.nodes.max(2) - 1);
    let band = |member: &str, label: &str, value: fn(&crate::metrics::StateChange) -> u32| {
        let changes: Vec<_> = report.states.iter().filter(|change| change.member == member).collect();
        let ends = changes.iter().skip(1).map(|change| change.at_s).chain([seconds(report)]);
        let parts = changes
            .iter()
            .zip(ends)
            .filter(|(change, _)| value(change) > 0)
            .map(|(change, end)| (change.at_s, end, 0.25 + 0.75 * f64::from(value(change)) / most))
            .collect();
        Band { label: format!("{member} {label}"), parts }
    };
    let suspected: Vec<Band> =
        members.iter().map(|member| band(member, "suspected", |change| change.suspected_by)).collect();
    let dead: Vec<Band> = members.iter().map(|member| band(member, "dead", |change| change.dead_for)).collect();
    plot::bands(&suspected, seconds(report), "#b78103") + &plot::bands(&dead, seconds(report), "#6e1423")
}

fn detection(report: &Report) -> String {
    let rows: [(&str, &Percentiles); 3] = [
        ("first suspicion", &report.first_suspect_ms),
        ("first death", &report.first_dead_ms),
        ("death at all", &report.dead_all_ms),
    ];
    if rows.iter().all(|(_, times)| times.count == 0) {
        return String::new();
    }
    let bars: Vec<(String, f64)> = rows
        .iter()
        .flat_map(|(name, times)| {
            [("p50", times.p50), ("p99", times.p99), ("max", times.max)]
                .map(|(which, value)| (format!("{name}, {which}"), value / 1_000.0))
        })
        .collect();
    plot::bars(&bars, "s")
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 20;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use crate::simulation::Simulation;

    #[test]
    fn the_page_stands_alone_and_shows_each_plot() {
        let scenario = Scenario::parse(
            "nodes = 8\nduration = \"40s\"\n[[fault]]\nat = \"5s\"\ndo = { crash = { nodes = [3] } }\n",
            "x",
        );
        let mut report = Simulation::new(scenario.unwrap()).run().unwrap();
        report.scenario = "<script>".to_owned();
        let page = html(&report);
        for title in ["Faults", "Membership", "Beliefs", "Traffic", "Detection"] {
            assert!(page.contains(&format!("<h2>{title}</h2>")), "{title}");
        }
        assert!(page.contains("node 3 dead") && page.contains("crash [3]"));
        assert!(!page.contains("<script") && !page.contains("http"), "nothing from outside");
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }
}
