//! Applications on virtual nodes: what they do to their node takes effect at once, and what faults do to a machine they feel.

use std::collections::BTreeMap;

use gossip_core::DropReason;
use gossip_sim::{Addr, App, AppContext, Oracle, Scenario, Simulation, Span, Sweep};

fn scenario(text: &str) -> Scenario {
    Scenario::parse(text, "apps").expect("the scenario is right")
}

/// Sends numbered messages to all for ten seconds, and counts what comes.
#[derive(Default)]
struct Counter {
    sent: u64,
    came: BTreeMap<(Addr, u64), u32>,
}

impl App for Counter {
    fn start(&mut self, cx: &mut AppContext<'_>) {
        cx.wake_after(Span::millis(100));
    }

    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        self.sent += 1;
        cx.send_to_all(&self.sent.to_be_bytes());
        if self.sent < 100 {
            cx.wake_after(Span::millis(100));
        }
    }

    fn on_message(&mut self, _: &mut AppContext<'_>, from: Addr, message: &[u8]) {
        let number = u64::from_be_bytes(message.try_into().expect("messages come whole"));
        *self.came.entry((from, number)).or_default() += 1;
    }
}

#[test]
fn old_messages_come_again_to_the_application_and_not_to_the_node() {
    let text = "nodes = 5\n[[fault]]\nat = \"0s\"\nlasts = \"20s\"\n\
        do = { impair = { nodes = \"all\", link = { replay = 0.9 } } }\n";
    let simulation = Simulation::new(scenario(text)).app(|_| Counter::default()).check(|world| {
        let counters = (0..world.len()).filter_map(|host| world.app::<Counter>(host));
        let again = counters.flat_map(|counter| counter.came.values()).filter(|&&times| times > 1).count();
        let nodes = (0..world.len()).filter_map(|host| world.node(host));
        let strange: u64 = nodes.map(|node| node.stats().dropped(DropReason::Truncated)).sum();
        if again > 500 && strange == 0 { Ok(()) } else { Err(format!("{again} came again, {strange} to nodes")) }
    });
    let report = simulation.run().expect("it runs");
    assert!(report.passed(), "{report}");
}

/// Changes metadata whenever a message comes; node 0 sends them.
struct Writer;

impl App for Writer {
    fn start(&mut self, cx: &mut AppContext<'_>) {
        if cx.number() == 0 {
            cx.wake_after(Span::millis(337));
        }
    }

    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        cx.send_to_all(b"go");
        if cx.now() < Span::secs(20) {
            cx.wake_after(Span::millis(337));
        }
    }

    fn on_message(&mut self, cx: &mut AppContext<'_>, _: Addr, _: &[u8]) {
        let (now, at) = (cx.local_time(), cx.now().as_micros());
        let changed = cx.node().set_metadata(now, "heard", i64::try_from(at).expect("runs are short"));
        changed.expect("a number fits");
    }
}

/// Leaves when a message comes.
struct Leaver;

impl App for Leaver {
    fn start(&mut self, cx: &mut AppContext<'_>) {
        if cx.number() == 0 {
            cx.wake_after(Span::secs(2));
        }
    }

    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        cx.send_to_all(b"go");
    }

    fn on_message(&mut self, cx: &mut AppContext<'_>, _: Addr, _: &[u8]) {
        let now = cx.local_time();
        cx.node().leave(now).expect("it leaves once");
    }
}

#[test]
fn what_an_application_does_to_its_node_when_a_message_comes_takes_effect_at_once() {
    let quiet = scenario("nodes = 5\nduration = \"30s\"\n");
    let written = Simulation::new(quiet.clone()).app(|_| Writer).run().expect("it runs");
    assert!(written.passed(), "{written}");
    let left = Simulation::new(quiet).app(|_| Leaver).check(|world| {
        let left = (1..5).filter(|&host| world.status(host) == gossip_sim::Status::Left).count();
        if left == 4 { Ok(()) } else { Err(format!("{left} have left")) }
    });
    let report = left.run().expect("it runs");
    assert!(report.passed() && report.suspected == 0, "{report}");
}

/// Asks for its timer once, in the first life.
#[derive(Default)]
struct Once {
    asked: bool,
}

impl App for Once {
    fn start(&mut self, cx: &mut AppContext<'_>) {
        if cx.now() == Span::ZERO {
            cx.wake_after(Span::secs(10));
            self.asked = true;
        }
    }

    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        if !self.asked {
            cx.fail("a timer that was not asked for");
        }
    }
}

#[test]
fn the_timer_of_an_earlier_life_is_forgotten() {
    let text =
        "nodes = 5\nduration = \"30s\"\n[[fault]]\nat = \"3s\"\nlasts = \"2s\"\ndo = { crash = { nodes = [2] } }\n";
    let report = Simulation::new(scenario(text)).app(|_| Once::default()).run().expect("it runs");
    assert!(report.passed(), "{report}");
}

/// Counts seconds by its machine's clock.
#[derive(Default)]
struct Seconds {
    ticks: u64,
    wall_ms: u64,
}

impl App for Seconds {
    fn start(&mut self, cx: &mut AppContext<'_>) {
        cx.wake_after(Span::secs(1));
    }

    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        self.ticks += 1;
        self.wall_ms = cx.wall_clock_ms();
        cx.wake_after(Span::secs(1));
    }
}

#[test]
fn the_clock_of_the_machine_is_that_of_the_application() {
    let text = "nodes = 5\nduration = \"100s\"\n\
        [[fault]]\nat = \"0s\"\nlasts = \"90s\"\ndo = { clock = { nodes = [2], drift_ppm = 500000, wall = \"1h\" } }\n\
        [[fault]]\nat = \"50s\"\nlasts = \"10s\"\ndo = { pause = { nodes = [3] } }\n\
        [[fault]]\nat = \"50s\"\nlasts = \"10s\"\ndo = { clock = { nodes = [4], leap = \"30s\" } }\n";
    let simulation = Simulation::new(scenario(text)).app(|_| Seconds::default()).check(|world| {
        let seconds = |host: u32| world.app::<Seconds>(host).expect("it runs");
        let ticks: Vec<u64> = (0..5).map(|host| seconds(host).ticks).collect();
        let ahead = seconds(2).wall_ms.saturating_sub(seconds(0).wall_ms) / 1_000;
        let end = world.now().as_micros() / 1_000_000;
        // The leap comes due once; the pause costs nine.
        let expected = [end, end, end + 45, end - 9, end];
        let is_near = ticks.iter().zip(expected).all(|(&ticks, expected)| ticks.abs_diff(expected) <= 1);
        if is_near && ahead.abs_diff(3_600) <= 2 { Ok(()) } else { Err(format!("{ticks:?} {ahead}")) }
    });
    let report = simulation.run().expect("it runs");
    assert!(report.passed(), "{report}");
}

/// Panics at seven seconds on node 3.
struct Fragile;

impl App for Fragile {
    fn start(&mut self, cx: &mut AppContext<'_>) {
        cx.wake_after(Span::secs(7));
    }

    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        assert!(cx.number() != 3, "boom");
    }
}

#[test]
fn a_panic_of_an_application_is_told_with_its_time_and_place() {
    let quiet = scenario("nodes = 5\n");
    let run = || Simulation::new(quiet.clone()).app(|_| Fragile).run().expect("it runs");
    let report = run();
    let failure = &report.oracle_failures[0];
    assert_eq!((failure.oracle, failure.at, failure.node), (Oracle::Panic, Span::secs(7), Some(3)));
    assert_eq!(failure.message, "the application panicked: boom");
    assert!(report.delivered > 0 && report.virtual_ms >= 7_000.0);
    assert_eq!(report.trace_hash, run().trace_hash, "the same run");
}

#[test]
fn applications_can_be_swept_and_watched_every_second() {
    let sweep = Sweep { seeds: 1..4, jobs: 2, time_limit: None, most_failures: 10 };
    let watched = |simulation: Simulation| {
        simulation.app(|_| Seconds::default()).invariant(|world| {
            let ticks = world.app::<Seconds>(0).expect("it runs").ticks;
            if ticks < 20 { Ok(()) } else { Err("twenty seconds have passed".to_owned()) }
        })
    };
    let swept = sweep.run_with(&scenario("nodes = 3\n"), watched, |_, _| ()).expect("the scenario is right");
    assert_eq!((swept.summary.runs, swept.failures.len()), (3, 3));
    let first = &swept.failures[0].oracle_failures[0];
    assert_eq!((first.oracle, first.at), (Oracle::Application, Span::secs(20)));
}
