use roxmltree::{Document, Node, ParsingOptions};

use super::html;
use crate::metrics::{Crash, NodeTraffic, Sample, Spread, StateChange};
use crate::oracle::{Failure, Oracle};
use crate::report::{FaultSpan, Percentiles, Report};
use crate::scenario::{Scenario, Span};
use crate::simulation::Simulation;

/// A page that can be asked for what it shows.
struct Page(String);

impl Page {
    fn of(report: &Report) -> Self {
        Self(html(report))
    }

    fn with<R>(&self, look: impl FnOnce(Node<'_, '_>) -> R) -> R {
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        let document = Document::parse_with_options(&self.0, options).expect("the page is well-formed");
        look(document.root_element())
    }

    /// The section of this name; a page without it fails the test.
    fn section<R>(&self, id: &str, look: impl FnOnce(Node<'_, '_>) -> R) -> R {
        self.with(|root| {
            let section = root.descendants().find(|node| node.attribute("id") == Some(id));
            look(section.unwrap_or_else(|| panic!("there is no section {id}")))
        })
    }

    fn has(&self, id: &str) -> bool {
        self.with(|root| root.descendants().any(|node| node.attribute("id") == Some(id)))
    }
}

fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|part| part.is_text().then(|| part.text()).flatten()).collect()
}

fn named<'a, 'input>(node: Node<'a, 'input>, tag: &str) -> Vec<Node<'a, 'input>> {
    node.descendants().filter(|part| part.has_tag_name(tag)).collect()
}

fn with_class<'a, 'input>(node: Node<'a, 'input>, class: &str) -> Vec<Node<'a, 'input>> {
    let has = |part: &Node<'_, '_>| part.attribute("class").is_some_and(|all| all.split(' ').any(|one| one == class));
    node.descendants().filter(has).collect()
}

fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{attribute} of {node:?}"))
}

/// The cells of each row of a table.
fn rows(table: Node<'_, '_>) -> Vec<Vec<String>> {
    named(table, "tr").into_iter().map(|row| row.children().map(text).collect()).collect()
}

/// What value stands at a place, by the first and the last label of an axis: `x` below, or `y` beside a plot.
fn value_at(svg: Node<'_, '_>, axis: &str, place: f64) -> f64 {
    let ticks: Vec<(f64, f64)> = with_class(svg, axis)
        .into_iter()
        .filter_map(|tick| {
            let text = text(tick);
            let (digits, unit) = text.split_once(' ').unwrap_or((&text, ""));
            let scale = match unit {
                "ms" => 1e-3,
                "min" => 60.0,
                _ => 1.0,
            };
            Some((digits.parse::<f64>().ok()? * scale, number(tick, axis)))
        })
        .collect();
    // The text beside a line stands a little lower than the line.
    let place = if axis == "y" { place + 4.0 } else { place };
    let (first, last) = (ticks[0], ticks[ticks.len() - 1]);
    first.0 + (place - first.1) / (last.1 - first.1) * (last.0 - first.0)
}

fn close(one: f64, other: f64, tolerance: f64) {
    assert!((one - other).abs() <= tolerance, "{one} is not {other}");
}

/// Two kinds of fault, 30 crashes, one of them undone, and one failed oracle.
fn report() -> Report {
    let crash = |node: u32| Crash {
        member: format!("node {node}"),
        at_s: 10.0,
        back_s: (node == 7).then_some(40.0),
        doubted: false,
        first_suspect_ms: Some(1_000.0 + 50.0 * f64::from(node)),
        first_dead_ms: Some(5_000.0 + 100.0 * f64::from(node)),
        dead_all_ms: (node != 3).then(|| 6_000.0 + 100.0 * f64::from(node)),
    };
    let spread = |most: f64| Spread { least: most / 4.0, median: most / 2.0, most };
    let sample = |second: u32| Sample {
        at_s: f64::from(second),
        running: if second < 10 { 100 } else { 70 },
        fewest: 60,
        most: 100,
        datagrams: 3.0,
        bytes: 500.0,
        datagrams_of_nodes: spread(8.0),
        bytes_of_nodes: spread(1_600.0),
    };
    let node = |node: u32| NodeTraffic {
        node,
        seconds: 60.0,
        datagrams_per_s: 2.0,
        bytes_per_s: if node == 42 { 900.0 } else { 300.0 + f64::from(node) },
    };
    let state = |at_s: f64, suspected_by: u32, dead_for: u32, node: u32| StateChange {
        at_s,
        member: format!("node {node}"),
        suspected_by,
        dead_for,
    };
    let fault = |name: &str, nodes: &str, from_s: f64, until_s: Option<f64>, rhythm_s: Option<(f64, f64)>| FaultSpan {
        name: name.to_owned(),
        nodes: nodes.to_owned(),
        from_s,
        until_s,
        rhythm_s,
    };
    let times_of = |times: &[f64]| Percentiles { count: 30, p50: times[0], p99: times[1], max: times[1] };
    Report {
        scenario: "<script>".to_owned(),
        seed: 9,
        nodes: 100,
        virtual_ms: 60_000.0,
        first_suspect_ms: times_of(&[1_700.0, 2_450.0]),
        first_dead_ms: times_of(&[6_400.0, 7_900.0]),
        dead_all_ms: Percentiles { count: 29, p50: 7_500.0, p99: 8_900.0, max: 8_900.0 },
        oracle_failures: vec![Failure {
            oracle: Oracle::Claims,
            at: Span::secs(30),
            node: Some(5),
            message: "a < b".to_owned(),
        }],
        faults: vec![
            fault("crash", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", 10.0, None, None),
            fault("flip_flop", "[50]", 20.0, Some(50.0), Some((2.0, 8.0))),
        ],
        crashes: (0..30).map(crash).collect(),
        node_traffic: (0..100).map(node).collect(),
        samples: (1..=60).map(sample).collect(),
        states: vec![state(15.0, 0, 1, 80), state(20.0, 0, 0, 80), state(12.0, 35, 0, 4), state(15.0, 0, 70, 4)],
        ..Report::default()
    }
}

#[test]
fn the_page_stands_alone_and_says_what_failed() {
    let page = Page::of(&report());
    assert!(page.0.starts_with("<!DOCTYPE html>"));
    assert!(
        !page.0.contains("<script") && !page.0.contains("http") && !page.0.contains("url("),
        "nothing from outside"
    );
    assert!(!page.0.contains("NaN") && !page.0.contains("inf"));
    page.with(|root| {
        assert_eq!(text(named(root, "h1")[0]), "<script>: 100 nodes, seed 9");
        let failures: Vec<String> = named(root, "li").into_iter().map(text).collect();
        assert_eq!(failures, ["[claims] at 30s, node 5: a < b"]);
    });
    for id in ["faults", "membership", "members", "detection", "traffic"] {
        assert!(page.has(id), "{id}");
    }
}

#[test]
fn each_timeline_shows_when_an_oracle_failed() {
    let page = Page::of(&report());
    for (id, plots) in [("faults", 1), ("membership", 1), ("members", 1), ("traffic", 2)] {
        page.section(id, |section| {
            let svgs = named(section, "svg");
            let marked: Vec<_> = svgs.into_iter().filter(|svg| !with_class(*svg, "number").is_empty()).collect();
            assert_eq!(marked.len(), plots, "{id}");
            for svg in marked {
                let line = with_class(svg, "fail")[0];
                close(value_at(svg, "x", number(line, "x1")), 30.0, 0.1);
                assert_eq!(text(with_class(svg, "number")[0]), "1");
            }
        });
    }
}

#[test]
fn a_fault_that_comes_and_goes_has_a_bar_for_each_time() {
    Page::of(&report()).section("faults", |section| {
        let svg = named(section, "svg")[0];
        let path = |class: &str| with_class(svg, class)[0].attribute("d").expect("it is a path").to_owned();
        let bars: Vec<f64> = path("blue")
            .split('M')
            .skip(1)
            .map(|bar| value_at(svg, "x", bar.split(' ').next().and_then(|x| x.parse().ok()).expect("it has a place")))
            .collect();
        assert_eq!(bars.len(), 3, "{bars:?}");
        bars.iter().zip([20.0, 30.0, 40.0]).for_each(|(bar, at)| close(*bar, at, 0.1));
        assert_eq!(path("red").matches('M').count(), 1);
        let labels: Vec<String> = with_class(svg, "e").into_iter().map(text).collect();
        assert_eq!(labels, ["crash 10 nodes", "flip_flop 50"]);
        assert!(text(svg).contains("2 s of every 10 s"), "{}", text(svg));
    });
}

#[test]
fn the_labels_of_the_time_axis_are_within_the_drawing() {
    Page::of(&report()).with(|root| {
        for svg in named(root, "svg") {
            let width: f64 =
                svg.attribute("viewBox").and_then(|size| size.split(' ').nth(2)?.parse().ok()).expect("a size");
            for label in with_class(svg, "x") {
                let (middle, half) = (number(label, "x"), text(label).len() as f64 * 3.5);
                assert!(middle - half >= 0.0 && middle + half <= width, "{}", text(label));
            }
        }
    });
}

#[test]
fn membership_follows_the_samples() {
    Page::of(&report()).section("membership", |section| {
        let svg = named(section, "svg")[0];
        let points = |class: &str| -> Vec<(f64, f64)> {
            let path = with_class(svg, class)[0].attribute("d").expect("it is a path");
            let points = path.trim_end_matches('Z').split(['M', 'L']).skip(1);
            let pair = |point: &str| {
                let (x, y) = point.split_once(' ').expect("a point has two numbers");
                let (x, y): (f64, f64) = (x.parse().expect("a number"), y.parse().expect("a number"));
                (value_at(svg, "x", x), value_at(svg, "y", y))
            };
            points.map(pair).collect()
        };
        let line = points("line");
        assert_eq!(line.len(), 60);
        for (at, running) in line {
            close(running, if at < 9.9 { 100.0 } else { 70.0 }, 0.2);
        }
        let band: Vec<f64> = points("pale").into_iter().map(|point| point.1).collect();
        close(band.iter().copied().fold(f64::INFINITY, f64::min), 60.0, 0.2);
        close(band.iter().copied().fold(0.0, f64::max), 100.0, 0.2);
    });
}

#[test]
fn members_that_crashed_come_first_and_what_is_cut_is_counted() {
    Page::of(&report()).section("members", |section| {
        let svg = named(section, "svg")[0];
        let names: Vec<String> = with_class(svg, "e").into_iter().map(text).collect();
        let expected: Vec<String> = (0..24).map(|node| format!("node {node}")).collect();
        assert_eq!(names, expected, "node 80, which only one believed dead, is not before them");
        assert_eq!(text(with_class(section, "more")[0]), "… and 7 more, 6 of which crashed.");
        let downs: Vec<_> =
            with_class(svg, "down").into_iter().map(|bar| (number(bar, "x"), number(bar, "width"))).collect();
        assert_eq!(downs.len(), 24);
        let time = |place: f64| value_at(svg, "x", place);
        close(time(downs[7].0), 10.0, 0.1);
        close(time(downs[7].0 + downs[7].1), 40.0, 0.1);
        close(time(downs[8].0 + downs[8].1), 60.0, 0.1);
    });
}

#[test]
fn the_height_of_a_belief_is_the_share_of_the_nodes_that_run() {
    Page::of(&report()).section("members", |section| {
        let svg = named(section, "svg")[0];
        let parts = |class: &str| -> Vec<(f64, f64)> {
            let path = with_class(svg, class)[4].attribute("d").expect("it is a path").to_owned();
            let part = |part: &str| {
                let (x, rest) = part.split_once(' ').expect("it begins with a point");
                let height =
                    rest.split_once("v-").and_then(|(_, rest)| rest.split_once('h')).expect("it has a height").0;
                (value_at(svg, "x", x.parse().expect("a number")), height.parse().expect("a number"))
            };
            path.split('M').skip(1).map(part).collect()
        };
        let (dead, doubted) = (parts("red"), parts("amber"));
        assert_eq!((dead.len(), doubted.len()), (1, 2), "node 4 is suspected by half of 70 and then dead for all");
        close(dead[0].0, 15.0, 0.1);
        close(doubted[0].0, 12.0, 0.1);
        close(doubted[0].1 / dead[0].1, 0.5, 0.01);
    });
}

#[test]
fn detection_times_are_told_as_numbers_curves_and_one_by_one() {
    Page::of(&report()).section("detection", |section| {
        let table = rows(named(section, "table")[0]);
        assert_eq!(table[1], ["first suspicion", "30", "1.7 s", "2.45 s", "2.45 s"]);
        assert_eq!(table[2], ["first death", "30", "6.4 s", "7.9 s", "7.9 s"]);
        assert_eq!(table[3], ["known by all", "29", "7.5 s", "8.9 s", "8.9 s"]);
        let svgs = named(section, "svg");
        assert_eq!(svgs.len(), 2);
        let dots = |class: &str| -> Vec<f64> {
            let dots = with_class(svgs[0], class).into_iter().filter(|dot| dot.has_tag_name("circle"));
            dots.map(|dot| value_at(svgs[0], "x", number(dot, "cx"))).collect()
        };
        for (class, p50, p99) in [("amber", 1.7, 2.45), ("red", 6.4, 7.9), ("wine", 7.5, 8.9)] {
            let dots = dots(class);
            assert_eq!(dots.len(), 2, "{class}");
            close(dots[0], p50, 0.02);
            close(dots[1], p99, 0.02);
        }
        let labels: Vec<String> = with_class(svgs[1], "e").into_iter().map(text).collect();
        assert_eq!((labels.len(), &*labels[0], &*labels[1]), (24, "node 3, at 10 s", "node 29, at 10 s"));
        assert!(text(svgs[1]).contains("not known by all"));
        assert_eq!(text(with_class(section, "more")[0]), "… and 6 more.");
    });
}

#[test]
fn traffic_names_the_heaviest_nodes_and_counts_the_others() {
    Page::of(&report()).section("traffic", |section| {
        let table = rows(named(section, "table")[0]);
        assert_eq!(table[1], ["node 42", "900", "2.57", "2.0", "60 s"]);
        assert_eq!(table[2][..2], ["node 99", "399"]);
        assert_eq!(table.len(), 9);
        let svgs = named(section, "svg");
        assert_eq!(svgs.len(), 4);
        let band = with_class(svgs[0], "pale")[0].attribute("d").expect("it is a path");
        let heights = band.trim_end_matches('Z').split(['M', 'L']).skip(1).filter_map(|point| point.split_once(' '));
        let values: Vec<f64> = heights.map(|(_, y)| value_at(svgs[0], "y", y.parse().expect("a number"))).collect();
        close(values.iter().copied().fold(f64::INFINITY, f64::min), 400.0, 5.0);
        close(values.iter().copied().fold(0.0, f64::max), 1_600.0, 5.0);
        let counted: u32 = named(svgs[2], "title")
            .into_iter()
            .filter_map(|hint| text(hint).split(' ').next()?.parse::<u32>().ok())
            .sum();
        assert_eq!(counted, 100, "each node is in one bar");
        let marks: Vec<String> = with_class(svgs[2], "mark").into_iter().map(text).collect();
        assert_eq!(marks, ["p50 350", "p99 399", "max 900"]);
    });
}

#[test]
fn traffic_with_high_peaks_has_a_logarithmic_axis() {
    let mut report = report();
    report.samples[30].bytes_of_nodes.most = 1e6;
    Page::of(&report).section("traffic", |section| {
        let svg = named(section, "svg")[0];
        let labels: Vec<(f64, String)> =
            with_class(svg, "y").into_iter().map(|label| (number(label, "y"), text(label))).collect();
        let names: Vec<&str> = labels.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["1000", "10k", "100k", "1M"]);
        let gaps: Vec<f64> = labels.windows(2).map(|pair| pair[0].0 - pair[1].0).collect();
        for gap in &gaps {
            close(*gap, gaps[0], 0.2);
        }
        assert!(text(section).contains("logarithmic"));
    });
}

#[test]
fn messages_have_curves_with_the_times_of_the_report() {
    let quiet = Page::of(&report());
    assert!(!quiet.has("messages"));
    let mut report = report();
    let messages = &mut report.messages;
    messages.broadcasts = 10;
    messages.broadcast_each_curve = (0..=100).map(|percent| 2.0 + f64::from(percent) / 10.0).collect();
    messages.broadcast_last_curve = (0..=100).map(|percent| 10.0 + f64::from(percent) / 10.0).collect();
    Page::of(&report).section("messages", |section| {
        let svgs = named(section, "svg");
        assert_eq!(svgs.len(), 1, "nobody asked anything");
        let dots = named(svgs[0], "circle").into_iter().map(|dot| value_at(svgs[0], "x", number(dot, "cx")));
        let dots: Vec<f64> = dots.collect();
        assert_eq!(dots.len(), 4);
        dots.iter().zip([0.007, 0.0119, 0.015, 0.0199]).for_each(|(dot, time)| close(*dot, time, 5e-5));
        assert_eq!(rows(named(section, "table")[0])[0], ["Broadcasts", "10"]);
    });
}

#[test]
fn many_faults_share_a_row_for_each_kind() {
    let mut report = report();
    let fault = |number: u32| FaultSpan {
        name: if number.is_multiple_of(2) { "pause" } else { "join" }.to_owned(),
        nodes: format!("[{number}]"),
        from_s: f64::from(number) / 10.0,
        until_s: Some(f64::from(number) / 10.0 + 0.1),
        rhythm_s: None,
    };
    report.faults = (0..500).map(fault).collect();
    Page::of(&report).section("faults", |section| {
        let labels: Vec<String> = with_class(named(section, "svg")[0], "e").into_iter().map(text).collect();
        assert_eq!(labels, ["join, 250 times", "pause, 250 times"]);
    });
    let for_ever = |number: u32| FaultSpan { until_s: None, from_s: f64::from(number), ..fault(2) };
    report.faults = (0..50).map(for_ever).collect();
    Page::of(&report).section("faults", |section| {
        let path = with_class(section, "area")[0].attribute("d").expect("it is a path");
        assert_eq!(path.matches('M').count(), 50, "those that never end do not hide the others");
    });
}

#[test]
fn a_page_of_a_thousand_nodes_and_much_trouble_stays_small() {
    let mut report = report();
    let change = |number: u32| StateChange {
        at_s: f64::from(number) / 840.0,
        member: format!("node {}", number % 1_000),
        suspected_by: number * 7 % 500,
        dead_for: number * 13 % 500,
    };
    report.states = (0..50_000).map(change).collect();
    report.samples =
        (0..86_400).map(|at| Sample { at_s: f64::from(at) / 1_440.0, ..report.samples[0].clone() }).collect();
    let crash = |node: u32| Crash { member: format!("node {node}"), ..report.crashes[0].clone() };
    report.crashes = (0..10_000).map(crash).collect();
    report.faults = (0..40).map(|_| FaultSpan { rhythm_s: Some((0.03, 0.03)), ..report.faults[1].clone() }).collect();
    let size = html(&report).len();
    assert!(size < 1_000_000, "{size} bytes");
}

#[test]
fn a_run_without_faults_and_one_of_five_nodes_have_pages_too() {
    let run = |text: &str| Simulation::new(Scenario::parse(text, "x").expect("it is one")).run().expect("it runs");
    let idle = Page::of(&run("nodes = 2\nduration = \"3s\"\n"));
    assert!(idle.has("membership") && idle.has("traffic") && !idle.has("faults") && !idle.has("detection"));
    let crash = run("nodes = 5\nduration = \"40s\"\n[[fault]]\nat = \"5s\"\ndo = { crash = { nodes = [3] } }\n");
    let all = crash.dead_all_ms.max / 1e3;
    Page::of(&crash).section("detection", |section| {
        let svg = named(section, "svg")[1];
        let last =
            named(svg, "circle").into_iter().map(|dot| value_at(svg, "x", number(dot, "cx"))).fold(0.0, f64::max);
        close(last, all, all / 100.0);
    });
    Page::of(&crash).section("members", |section| {
        assert_eq!(text(with_class(named(section, "svg")[0], "e")[0]), "node 3");
    });
    assert!(!Page::of(&Report::default()).has("traffic"), "nothing to draw is no reason to panic");
}
