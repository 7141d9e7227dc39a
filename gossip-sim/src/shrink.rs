//! From a failure to the smallest one of its kind: fewer faults, fewer nodes, less time.

use std::time::{Duration, Instant};

use crate::fault::Action;
use crate::oracle::Kind;
use crate::report::Report;
use crate::scenario::{Replay, Scenario, Select, Span};
use crate::simulation::Simulation;

/// A failure made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest scenario found, with what is needed to replay it.
    pub scenario: Scenario,
    /// Its report.
    pub report: Report,
    /// Faults before.
    pub faults_before: usize,
    /// Runs that it took.
    pub runs: u32,
    /// Whether nothing smaller was left to be tried; otherwise the time was over.
    pub is_minimal: bool,
}

/// Makes a failing run as small as it gets within `limit`, keeping what goes wrong first: the rule that is broken, and
/// what is said of it but for numbers.
///
/// `None` if the run does not fail.
pub fn shrink(scenario: &Scenario, seed: u64, limit: Duration) -> Option<Shrunk> {
    shrink_with(scenario, seed, limit, |scenario, seed| {
        Simulation::new(scenario.clone()).seed(seed).until_first_failure().run().ok()
    })
}

/// The same for runs that the caller puts together, with its own application for example. They should stop at the first
/// failure ([`Simulation::until_first_failure`]).
pub fn shrink_with(
    scenario: &Scenario,
    seed: u64,
    limit: Duration,
    run: impl Fn(&Scenario, u64) -> Option<Report>,
) -> Option<Shrunk> {
    let best = scenario.expanded(seed);
    let report = run(&best, seed)?;
    let kind = report.oracle_failures.first()?.kind();
    let faults_before = best.fault.len();
    let mut search = Search { best, report, kind, seed, ends: Instant::now() + limit, runs: 1, run };
    let is_minimal = search.descend();
    let mut scenario = search.best;
    scenario.name = format!("{}-shrunk", scenario.name.trim_end_matches("-shrunk"));
    let oracle = search.report.oracle_failures.first()?.oracle;
    let (trace_hash, needs_app) = (search.report.trace_hash.clone(), search.report.has_app);
    scenario.replay = Some(Replay { seed, oracle, trace_hash, needs_app });
    Some(Shrunk { scenario, report: search.report, faults_before, runs: search.runs, is_minimal })
}

struct Search<R> {
    best: Scenario,
    report: Report,
    kind: Kind,
    seed: u64,
    ends: Instant,
    runs: u32,
    run: R,
}

impl<R: Fn(&Scenario, u64) -> Option<Report>> Search<R> {
    /// Tries everything smaller, again and again while it helps; whether it came to an end.
    fn descend(&mut self) -> bool {
        loop {
            let mut helped = self.fewer_faults();
            helped |= self.fewer_nodes();
            helped |= self.fewer_targets();
            helped |= self.less_time();
            helped |= self.simpler();
            if self.is_over() {
                return false;
            }
            if !helped {
                return true;
            }
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    /// Takes the candidate if it fails in the same way.
    fn take(&mut self, candidate: Scenario) -> bool {
        if self.is_over() || candidate == self.best || candidate.check().is_err() {
            return false;
        }
        self.runs += 1;
        let Some(report) = (self.run)(&candidate, self.seed) else { return false };
        let is_same = report.oracle_failures.first().is_some_and(|failure| failure.kind() == self.kind);
        if is_same {
            (self.best, self.report) = (candidate, report);
        }
        is_same
    }

    /// Leaves out faults: halves, quarters, and at last one by one.
    fn fewer_faults(&mut self) -> bool {
        let mut helped = false;
        let mut part = self.best.fault.len();
        while part > 0 && !self.is_over() {
            let mut start = 0;
            while start < self.best.fault.len() {
                let mut candidate = self.best.clone();
                let end = (start + part).min(candidate.fault.len());
                candidate.fault.drain(start..end);
                if self.take(candidate) {
                    helped = true;
                } else {
                    start += part;
                }
            }
            part /= 2;
        }
        helped
    }

    fn fewer_nodes(&mut self) -> bool {
        let mut helped = false;
        let mut step = self.best.nodes / 2;
        while step > 0 && !self.is_over() {
            let nodes = self.best.nodes - step;
            if nodes >= 1 && self.take(with_nodes(&self.best, nodes)) {
                helped = true;
                step = step.min(self.best.nodes / 2);
            } else {
                step /= 2;
            }
        }
        helped
    }

    /// Leaves out nodes that faults strike.
    fn fewer_targets(&mut self) -> bool {
        let mut helped = false;
        for fault in 0..self.best.fault.len() {
            for select in 0..self.best.fault[fault].action.selects().len() {
                let mut position = 0;
                while let Some(candidate) = without_target(&self.best, fault, select, position) {
                    if self.take(candidate) {
                        helped = true;
                    } else {
                        position += 1;
                    }
                    if self.is_over() {
                        return helped;
                    }
                }
            }
        }
        helped
    }

    fn less_time(&mut self) -> bool {
        let mut helped = false;
        let half = |span: Span| Span::micros(span.as_micros() / 2);
        loop {
            let mut candidate = self.best.clone();
            candidate.duration = half(candidate.duration);
            if candidate.duration < Span::millis(100) || !self.take(candidate) {
                break;
            }
            helped = true;
        }
        for index in 0..self.best.fault.len() {
            for change in 0..2 {
                loop {
                    let mut candidate = self.best.clone();
                    let fault = &mut candidate.fault[index];
                    if change == 0 {
                        fault.at = half(fault.at);
                    } else {
                        fault.lasts = fault.lasts.map(half);
                    }
                    let is_small =
                        fault.at < Span::millis(10) || fault.lasts.is_some_and(|lasts| lasts < Span::millis(10));
                    candidate.fault.sort_by_key(|fault| fault.at);
                    if is_small || !self.take(candidate) {
                        break;
                    }
                    helped = true;
                }
            }
        }
        helped
    }

    /// Leaves out whatever else can be.
    fn simpler(&mut self) -> bool {
        let changes: [fn(&mut Scenario); 12] = [
            |scenario| scenario.broadcast.clear(),
            |scenario| scenario.direct.clear(),
            |scenario| scenario.request.clear(),
            |scenario| _ = scenario.broadcast.pop(),
            |scenario| drop(scenario.broadcast.drain(..1.min(scenario.broadcast.len()))),
            |scenario| _ = scenario.request.pop(),
            |scenario| scenario.tags.clear(),
            |scenario| scenario.workload = None,
            |scenario| scenario.link = crate::link::Link::default(),
            |scenario| scenario.settings = crate::scenario::Settings::default(),
            |scenario| scenario.seeds = 1,
            |scenario| scenario.start = crate::scenario::Start::Joined,
        ];
        changes.into_iter().fold(false, |helped, change| {
            let mut candidate = self.best.clone();
            change(&mut candidate);
            self.take(candidate) || helped
        })
    }
}

/// The scenario with fewer nodes; faults of the missing ones go with them. Newcomers keep their numbers.
fn with_nodes(scenario: &Scenario, nodes: u32) -> Scenario {
    let mut smaller = scenario.clone();
    let newcomers: Vec<u32> =
        scenario.fault.iter().filter(|fault| matches!(fault.action, Action::Join { .. })).flat_map(targets).collect();
    smaller.nodes = nodes;
    for fault in &mut smaller.fault {
        let is_join = matches!(fault.action, Action::Join { .. });
        for select in fault.action.selects_mut() {
            if let Select::List(list) = select {
                list.retain(|&node| is_join || node < nodes || newcomers.contains(&node));
            }
        }
    }
    smaller.fault.retain(|fault| !targets(fault).is_empty());
    let broadcasts = smaller.broadcast.iter_mut().map(|entry| &mut entry.from);
    let directs = smaller.direct.iter_mut().map(|entry| &mut entry.from);
    let requests = smaller.request.iter_mut().map(|entry| &mut entry.from);
    for select in broadcasts.chain(directs).chain(requests).chain(smaller.tags.values_mut()) {
        if let Select::List(list) = select {
            list.retain(|&node| node < nodes || newcomers.contains(&node));
        }
    }
    smaller
}

fn targets(fault: &crate::fault::Fault) -> Vec<u32> {
    let lists = fault.action.selects().into_iter().filter_map(|(_, select)| match select {
        Select::List(list) => Some(list.clone()),
        _ => None,
    });
    lists.flatten().collect()
}

/// The scenario without one of the nodes that a fault strikes; `None` if there is none at that position, or only one.
fn without_target(scenario: &Scenario, fault: usize, select: usize, position: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let select = smaller.fault.get_mut(fault)?.action.selects_mut().into_iter().nth(select)?;
    let Select::List(list) = select else { return None };
    if list.len() < 2 || position >= list.len() {
        return None;
    }
    list.remove(position);
    Some(smaller)
}
