//! What a report tells of single crashes and single nodes fits the figures of the whole.

use gossip_sim::{Crash, Report, Scenario, Simulation};

fn run(text: &str) -> Report {
    let scenario = Scenario::parse(text, "x").expect("it is one");
    Simulation::new(scenario).run().expect("it runs")
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-6 * one.abs().max(other.abs())
}

#[test]
fn each_crash_has_the_times_of_its_detection() {
    let report = run("nodes = 20\nduration = \"60s\"\n\
        [[fault]]\nat = \"5s\"\ndo = { crash = { nodes = [3, 4, 5] } }\n\
        [[fault]]\nat = \"20s\"\nlasts = \"20s\"\ndo = { crash = { nodes = [6], back_as = \"new_id\" } }\n\
        [[fault]]\nat = \"21s\"\nlasts = \"500ms\"\ndo = { crash = { nodes = [7] } }\n");
    let members: Vec<&str> = report.crashes.iter().map(|crash| crash.member.as_str()).collect();
    assert_eq!(members, ["node 3", "node 4", "node 5", "node 6", "node 7"]);
    assert_eq!(report.crashes.iter().map(|crash| crash.at_s).collect::<Vec<_>>(), [5.0, 5.0, 5.0, 20.0, 21.0]);
    let back: Vec<Option<f64>> = report.crashes.iter().map(|crash| crash.back_s).collect();
    assert_eq!(back, [None, None, None, None, Some(21.5)], "another id is another member");
    let longest = |time: fn(&Crash) -> Option<f64>| {
        let times: Vec<f64> = report.crashes.iter().filter_map(time).collect();
        (times.len() as u64, times.into_iter().fold(0.0, f64::max))
    };
    let (suspects, deaths, all) = (report.first_suspect_ms, report.first_dead_ms, report.dead_all_ms);
    assert_eq!(longest(|crash| crash.first_suspect_ms), (suspects.count, suspects.max));
    assert_eq!(longest(|crash| crash.first_dead_ms), (deaths.count, deaths.max));
    assert_eq!(longest(|crash| crash.dead_all_ms), (all.count, all.max));
    assert_eq!(deaths.count, 4, "half a second is too short to be noticed");
    let is_in_order =
        |crash: &&Crash| crash.first_suspect_ms < crash.first_dead_ms && crash.first_dead_ms <= crash.dead_all_ms;
    assert_eq!(report.crashes.iter().filter(is_in_order).count(), 4);
}

#[test]
fn what_single_nodes_send_adds_up() {
    let report = run("nodes = 9\nduration = \"40s\"\n\
        [[fault]]\nat = \"10s\"\nlasts = \"10s\"\ndo = { crash = { nodes = [2] } }\n\
        [[fault]]\nat = \"30s\"\ndo = { crash = { nodes = [4] } }\n");
    let seconds = |node: usize| report.node_traffic[node].seconds;
    let end = report.virtual_ms / 1_000.0;
    assert!(close(seconds(0), end) && close(seconds(2), end - 10.0) && close(seconds(4), 30.0));
    let all = report.node_traffic.iter().map(|node| node.seconds).sum::<f64>();
    let bytes = report.node_traffic.iter().map(|node| node.bytes_per_s * node.seconds).sum::<f64>();
    let datagrams = report.node_traffic.iter().map(|node| node.datagrams_per_s * node.seconds).sum::<f64>();
    assert!(close(bytes / all, report.bytes_per_node_s), "{bytes} in {all} s, {}", report.bytes_per_node_s);
    assert!(close(datagrams / all, report.datagrams_per_node_s));
    for sample in &report.samples {
        let spread = sample.bytes_of_nodes;
        assert!(spread.least <= spread.median && spread.median <= spread.most, "{sample:?}");
        assert!(spread.most > 0.0 && sample.datagrams_of_nodes.most >= 1.0, "{sample:?}");
    }
}

#[test]
fn messages_have_the_curves_of_their_times() {
    let report = run("nodes = 8\nduration = \"10s\"\n[[broadcast]]\nevery = \"500ms\"\nbytes = 100\n\
        [[request]]\nevery = \"500ms\"\nbytes = 100\nanswer_bytes = 100\ndeadline = \"2s\"\n");
    let messages = &report.messages;
    for (curve, times) in [
        (&messages.broadcast_last_curve, messages.broadcast_last_ms),
        (&messages.broadcast_each_curve, messages.broadcast_each_ms),
        (&messages.request_curve, messages.request_ms),
    ] {
        assert!(times.count > 10 && curve.len() == 101 && curve.is_sorted());
        assert_eq!((curve[50], curve[99], curve[100]), (times.p50, times.p99, times.max));
    }
    assert!(run("nodes = 3\nduration = \"2s\"\n").messages.request_curve.is_empty());
}
