//! Messages in the simulator: workloads of scenarios, and applications that send them.

use gossip_core::{BroadcastOptions, Delivery, MessageType, NodeId, Refusal, Reliability, RequestError};
use gossip_sim::{App, AppContext, Oracle, Report, Scenario, Simulation, Span, html};

fn run(name: &str, change: impl FnOnce(&mut Scenario)) -> Report {
    let mut scenario = Scenario::builtin(name).expect("it is built in");
    change(&mut scenario);
    Simulation::new(scenario).seed(5).run().expect("the scenario is right")
}

#[test]
fn broadcasts_reach_all_with_one_copy_each() {
    let report = run("broadcast", |_| ());
    let messages = &report.messages;
    assert!(report.passed(), "{report}");
    assert_eq!((messages.broadcasts, messages.broadcast_delivered), (250, Some(1.0)), "{report}");
    assert_eq!(messages.broadcast_demanded, Some(1.0), "nobody is in trouble");
    assert!(messages.broadcast_copies_per_node.is_some_and(|copies| (1.0..1.1).contains(&copies)), "{report}");
    assert!(messages.broadcast_control_ratio.is_some_and(|ratio| ratio < 0.1), "{report}");
    assert!(messages.broadcast_largest_share.is_some_and(|share| (1.0..3.0).contains(&share)), "{report}");
    assert!((2..=4).contains(&messages.broadcast_last_hop), "{report}");
    assert_eq!(messages.broadcast_each_ms.count, 250 * 99);
    assert!(messages.broadcast_last_ms.max <= 10.0 && messages.broadcast_last_ms.p50 > 1.0, "{report}");
    assert_eq!(messages.broadcast_last_ms.max.to_bits(), messages.broadcast_each_ms.max.to_bits());
}

#[test]
fn losses_and_crashes_cost_copies_and_time_but_no_delivery() {
    for name in ["broadcast-loss", "broadcast-crash"] {
        let report = run(name, |_| ());
        let messages = &report.messages;
        assert!(report.passed() && messages.broadcast_delivered == Some(1.0), "{report}");
        assert!(messages.broadcast_copies_per_node.is_some_and(|copies| copies > 1.02), "{report}");
        assert!(messages.broadcast_last_ms.max > 10.0 && messages.broadcast_last_ms.max < 5_000.0, "{report}");
    }
}

#[test]
fn twenty_five_nodes_far_apart_need_few_messages() {
    let report = run("broadcast-maelstrom", |_| ());
    let messages = &report.messages;
    assert!(report.passed(), "{report}");
    // As many operations again are reads, which need none.
    assert!(messages.broadcast_messages.is_some_and(|each| each / 2.0 <= 14.0), "{report}");
    assert!(messages.broadcast_last_ms.p50 <= 202.0 && messages.broadcast_last_ms.max <= 300.0, "{report}");
}

#[test]
fn whoever_is_cut_off_lacks_broadcasts_and_is_excused() {
    let text = "nodes = 20\nduration = \"30s\"\n[[broadcast]]\nevery = \"100ms\"\nfrom = [0]\n\
        [[fault]]\nat = \"5s\"\nlasts = \"20s\"\ndo = { split = { groups = [[7, 8]] } }\n";
    let report = Simulation::new(Scenario::parse(text, "x").expect("it is right")).run().expect("it runs");
    let messages = &report.messages;
    assert!(report.passed(), "{report}");
    assert!(messages.broadcast_delivered.is_some_and(|share| (0.9..0.99).contains(&share)), "{report}");
    assert!(messages.broadcast_demanded.is_some_and(|share| (0.85..0.99).contains(&share)), "{report}");
}

#[test]
fn requests_end_in_every_way_and_are_counted() {
    let report = run("requests", |_| ());
    let counts = report.messages.requests;
    let failed = counts.failed;
    assert!(report.passed(), "{report}");
    // Requests of nodes that crash have no end.
    let unfinished = counts.asked - counts.answered - failed.total();
    assert!(unfinished < 20, "{report}");
    for count in [counts.answered, failed.timeout, failed.unreachable, failed.no_handler, failed.rejected] {
        assert!(count > 0, "{report}");
    }
    assert!(report.messages.directs_delivered > 3_000 && report.messages.request_ms.count == counts.answered);
}

#[test]
fn a_report_with_messages_is_drawn_and_told() {
    let report = run("broadcast-tagged", |scenario| scenario.duration = Span::secs(10));
    let page = html(&report);
    assert!(page.contains("<h2>Messages</h2>") && page.contains("Copies per node"));
    assert!(report.to_string().contains("copies per node: "), "{report}");
    assert!(!html(&run("idle", |scenario| scenario.nodes = 4)).contains("<h2>Messages</h2>"));
}

#[test]
fn what_is_wrong_with_traffic_is_said_with_its_line() {
    let cases = [
        ("[[broadcast]]\nevery = \"0s\"\n", "x:3:9: broadcast[0].every: expected a span longer than nothing"),
        ("[[broadcast]]\ntag = \"red\"\n", "x:3:7: broadcast[0].tag: expected one of the tags listed"),
        ("[[broadcast]]\nbytes = 9000000\n", "x:3:9: broadcast[0].bytes: expected 0 to "),
        ("[[direct]]\nbytes = 7\n", "x:3:9: direct[0].bytes: expected 8 to "),
        ("[[direct]]\nfrom = [9]\n", "x:3:9: direct[0].from[0]: expected numbers of nodes: 0 to 3"),
        ("[[request]]\ndeadline = \"2h\"\n", "x:3:12: request[0].deadline: expected 10 ms to 1 h"),
        (
            "[[request]]\nlate = 0.8\nrefused = 0.3\n",
            "x:3:8: request[0].late: expected `late`, `refused` and `ignored`",
        ),
        ("[tags]\nblue = 9\n", "x:3:8: tags.blue: expected numbers of nodes"),
    ];
    for (text, expected) in cases {
        let error = Scenario::parse(&format!("nodes = 4\n{text}"), "x").expect_err(text).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

fn question() -> MessageType {
    MessageType::user(200).expect("it is a user's type")
}

/// The first node asks everybody for a number, and broadcasts the sum; all show it.
#[derive(Default)]
struct Asker {
    asked: usize,
    answered: usize,
    refused: usize,
    sum: u64,
    shown: Option<u64>,
    greeted: usize,
    confirmed: usize,
}

impl App for Asker {
    fn start(&mut self, cx: &mut AppContext<'_>) {
        if cx.number() == 0 {
            cx.wake_after(Span::secs(2));
        }
    }

    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        let me = cx.node().id();
        let others: Vec<NodeId> = cx.node().members().map(|member| member.id).filter(|&id| id != me).collect();
        self.asked = others.len();
        for other in others {
            cx.request(other, question(), vec![1], Span::secs(5)).expect("there is room");
            cx.send_message(other, question(), vec![2], Reliability::Reliable).expect("there is room");
        }
    }

    fn on_delivery(&mut self, cx: &mut AppContext<'_>, delivery: &Delivery) {
        match delivery {
            Delivery::Request { token, .. } if cx.number() == 3 => {
                cx.refuse(*token, Refusal::Rejected("no number here")).expect("somebody waits");
            }
            Delivery::Request { token, .. } => {
                let number = u64::from(cx.number());
                cx.reply(*token, number.to_be_bytes().to_vec()).expect("somebody waits");
            }
            Delivery::Answer { result, .. } => {
                match result {
                    Ok(answer) => self.sum += answer.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)),
                    Err(RequestError::Rejected(_)) => self.refused += 1,
                    Err(error) => cx.fail(format!("{error}")),
                }
                self.answered += 1;
                if self.answered == self.asked {
                    let options = BroadcastOptions::new();
                    cx.broadcast(question(), self.sum.to_be_bytes().to_vec(), options).expect("there is room");
                }
            }
            Delivery::Broadcast { payload, .. } => {
                self.shown = payload.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            }
            Delivery::Message { .. } => self.greeted += 1,
            Delivery::Delivered { .. } => self.confirmed += 1,
            other => cx.fail(format!("{other:?}")),
        }
    }
}

#[test]
fn applications_ask_answer_refuse_and_broadcast() {
    let scenario = Scenario::parse("nodes = 6\nduration = \"30s\"\n", "x").expect("it is right");
    let report = Simulation::new(scenario)
        .app(|_| Asker::default())
        .check(|world| {
            let sums: Vec<Option<u64>> =
                (1..6).filter_map(|host| world.app::<Asker>(host)).map(|app| app.shown).collect();
            let greeted: usize = (1..6).filter_map(|host| world.app::<Asker>(host)).map(|app| app.greeted).sum();
            let (refused, confirmed) = world.app::<Asker>(0).map_or((0, 0), |app| (app.refused, app.confirmed));
            // 1 + 2 + 4 + 5
            let is_right = sums == [Some(12); 5] && (greeted, confirmed, refused) == (5, 5, 1);
            if is_right { Ok(()) } else { Err(format!("{sums:?}, {greeted}, {confirmed}, {refused}")) }
        })
        .run()
        .expect("the scenario is right");
    assert!(report.passed(), "{report}");
    assert_eq!((report.messages.broadcasts, report.messages.broadcast_delivered), (1, Some(1.0)), "{report}");
    assert_eq!((report.messages.requests.asked, report.messages.requests.failed.rejected), (5, 1), "{report}");
}

#[test]
fn an_application_that_goes_past_its_context_is_told_so() {
    struct Careless;
    impl App for Careless {
        fn start(&mut self, cx: &mut AppContext<'_>) {
            if cx.number() == 0 {
                cx.wake_after(Span::secs(1));
            }
        }
        fn on_timer(&mut self, cx: &mut AppContext<'_>) {
            let now = cx.local_time();
            let sent = cx.node().broadcast(now, question(), bytes::Bytes::new(), BroadcastOptions::new());
            assert!(sent.is_ok());
        }
    }
    let scenario = Scenario::parse("nodes = 2\nduration = \"5s\"\n", "x").expect("it is right");
    let report = Simulation::new(scenario).app(|_| Careless).run().expect("it runs");
    let failure = report.oracle_failures.first().expect("somebody delivers it");
    assert!(failure.oracle == Oracle::Invented && failure.message.contains("AppContext::broadcast"), "{failure}");
}
