//! The simulator on one's own code: a naive replicated counter, and how the simulator finds what is wrong with it.
//!
//! Every node counts, tells all others of each increment, and adds up what it hears. That works on a desk. On a network
//! datagrams get lost and come twice, and the counters differ for ever. The second counter sends totals instead of
//! increments, again and again, and takes the largest of each node: it holds.
//!
//! `cargo run -p gossip-sim --example counter`

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_sim::{Addr, App, AppContext, Scenario, Simulation, Span, World, shrink_with};

/// Increments of each node.
const EACH: u64 = 10;

/// Time after the last increment in which everything under way arrives.
const CALM: Span = Span::secs(2);

/// Tells increments, and adds up what it hears.
#[derive(Default)]
struct Naive {
    done: u64,
    total: u64,
    last: Span,
}

impl App for Naive {
    fn start(&mut self, cx: &mut AppContext<'_>) {
        cx.wake_after(Span::millis(500));
    }

    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        self.done += 1;
        self.total += 1;
        self.last = cx.now();
        cx.send_to_all(&1_u64.to_be_bytes());
        if self.done < EACH {
            cx.wake_after(Span::millis(500));
        }
    }

    fn on_message(&mut self, _: &mut AppContext<'_>, _: Addr, message: &[u8]) {
        self.total += message.try_into().map_or(0, u64::from_be_bytes);
    }
}

/// Tells what it has counted so far, for ever, and keeps the largest number of each node.
#[derive(Default)]
struct Better {
    mine: u64,
    last: Span,
    counts: BTreeMap<Addr, u64>,
}

impl App for Better {
    fn start(&mut self, cx: &mut AppContext<'_>) {
        cx.wake_after(Span::millis(500));
    }

    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        if self.mine < EACH {
            self.mine += 1;
            self.last = cx.now();
        }
        cx.send_to_all(&self.mine.to_be_bytes());
        cx.wake_after(Span::millis(500));
    }

    fn on_message(&mut self, _: &mut AppContext<'_>, from: Addr, message: &[u8]) {
        let count = message.try_into().map_or(0, u64::from_be_bytes);
        let known = self.counts.entry(from).or_default();
        *known = count.max(*known);
    }
}

/// What a counter shows, how far its own node has counted, and when it counted last.
type Shown = (u64, u64, Span);

/// Once all have counted as far as they are to count, each counter shows what all nodes counted together. A run that
/// was cut short says nothing: without this, shrinking would find that a counter is wrong before it is done.
fn check<T: App>(shown: fn(&T) -> Shown) -> impl Fn(&World) -> Result<(), String> {
    move |world| {
        let counters: Vec<Shown> = (0..world.len()).filter_map(|host| world.app::<T>(host).map(shown)).collect();
        let is_done =
            |&(_, own, last): &Shown| own == EACH && last.as_micros() + CALM.as_micros() <= world.now().as_micros();
        let expected = EACH * counters.len() as u64;
        if counters.len() < 2 || !counters.iter().all(is_done) {
            return Ok(());
        }
        match counters.iter().position(|&(total, ..)| total != expected) {
            Some(host) => Err(format!("node {host} shows {} where {expected} is right", counters[host].0)),
            None => Ok(()),
        }
    }
}

fn naive(scenario: &Scenario, seed: u64) -> Simulation {
    let shown = |app: &Naive| (app.total, app.done, app.last);
    Simulation::new(scenario.clone()).seed(seed).app(|_| Naive::default()).check(check(shown))
}

fn better(scenario: &Scenario, seed: u64) -> Simulation {
    let shown = |app: &Better| (app.mine + app.counts.values().sum::<u64>(), app.mine, app.last);
    Simulation::new(scenario.clone()).seed(seed).app(|_| Better::default()).check(check(shown))
}

/// Five nodes; for a few seconds some of the datagrams are lost or doubled, and a node stands still.
fn scenario() -> Result<Scenario, gossip_sim::ScenarioError> {
    let text = r#"
        name = "counter"
        nodes = 5
        duration = "30s"
        [[fault]]
        at = "1s"
        lasts = "3s"
        do = { pause = { nodes = 1 } }
        [[fault]]
        at = "2s"
        lasts = "4s"
        do = { impair = { nodes = "all", link = { loss = 0.05, duplicate = 0.05 } } }
        [[fault]]
        at = "3s"
        lasts = "2s"
        do = { clock = { nodes = 2, drift_ppm = 5000 } }
    "#;
    Scenario::parse(text, "counter")
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scenario = scenario()?;
    let run = |scenario: &Scenario, seed: u64| naive(scenario, seed).until_first_failure().run().ok();
    let failing = (1..20).find(|&seed| run(&scenario, seed).is_some_and(|report| !report.passed()));
    let seed = failing.ok_or("the bug was not found")?;
    println!("the naive counter fails with seed {seed}");
    let shrunk = shrink_with(&scenario, seed, Duration::from_secs(20), run).ok_or("the bug is gone")?;
    println!("{}", shrunk.report.oracle_failures[0]);
    println!("all it takes is this:\n\n{}", shrunk.scenario.to_toml());
    for seed in 1..20 {
        let report = better(&scenario, seed).run()?;
        if !report.passed() {
            return Err(format!("the better counter fails as well: {report}").into());
        }
    }
    println!("the better counter holds with seeds 1 to 19");
    Ok(())
}
