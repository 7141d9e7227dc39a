//! A report as one page with plots that needs nothing but itself.

mod members;
mod plot;

use std::fmt::Write;

use crate::report::{FaultSpan, Percentiles, Report};
use plot::{Band, Plot, Series};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1b1f24;background:#fff}h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.1rem;margin:2rem 0 .3rem}\
p.note{color:#57606a;margin:.2rem 0}table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:right}\
td:first-child,th:first-child{text-align:left}.bad{color:#b42318}.good{color:#1a7f37}svg{width:100%;height:auto;display:block}\
svg text{font:11px system-ui,sans-serif;fill:#57606a}li{margin:.2rem 0}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}p.note,svg text{color:#9da7b1;fill:#9da7b1}}";

/// Parts of one fault that are drawn.
const MOST_PARTS: u32 = 500;

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
    section(&mut page, "Messages", "Broadcasts, messages and requests of the applications.", &messages(report));
    section(&mut page, "Faults", "When what went wrong, and for how long.", &faults(report));
    section(
        &mut page,
        "Membership",
        "Nodes that ran, and the fewest and most live members that any of them knew of.",
        &membership(report),
    );
    section(
        &mut page,
        "Beliefs",
        "How many nodes suspected a member, or believed it dead: those that crashed first.",
        &members::beliefs(report),
    );
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

fn messages(report: &Report) -> String {
    let rows = report.messages.figures().into_iter().fold(String::new(), |mut rows, (name, value)| {
        let _ = write!(rows, "<tr><td>{}{}</td><td>{value}</td></tr>", name[..1].to_uppercase(), &name[1..]);
        rows
    });
    if rows.is_empty() { rows } else { format!("<table>{rows}</table>") }
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
        .map(|fault| Band { label: format!("{} {}", fault.name, shorten(&fault.nodes)), parts: parts(report, fault) })
        .collect();
    let moments = report.oracle_failures.iter().map(|failure| failure.at.as_micros() as f64 / 1e6);
    let failures = Band { label: "oracles failed".to_owned(), parts: moments.map(|at| (at, at, 1.0)).collect() };
    plot::bands(&bands, seconds(report), "#c4432b") + &plot::bands(&[failures], seconds(report), "#6e1423")
}

/// When a fault was in force.
fn parts(report: &Report, fault: &FaultSpan) -> Vec<(f64, f64, f64)> {
    let end = fault.until_s.unwrap_or(seconds(report));
    let Some((in_force, rest)) = fault.rhythm_s.filter(|(in_force, rest)| in_force + rest > 0.0) else {
        return vec![(fault.from_s, end, 1.0)];
    };
    let begins = (0..MOST_PARTS).map(|number| fault.from_s + f64::from(number) * (in_force + rest));
    begins.take_while(|begin| *begin < end).map(|begin| (begin, end.min(begin + in_force), 1.0)).collect()
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
