//! From a failure to the smallest one of its kind: fewer faults, fewer nodes, less time.

use std::time::{Duration, Instant};

use crate::fault::Action;
use crate::oracle::Kind;
use crate::report::Report;
use crate::scenario::{Replay, Scenario, Select, Span};
use crate::simulation::Simulation;

/// Seeds that are tried where the one that failed needs several faults.
const SEEDS: u64 = 16;

/// The same while more than a tenth of the faults are left.
const MANY_SEEDS: u64 = 100;

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
/// what is said of it but for numbers. Where more than one fault seems to be needed, a few other seeds are tried.
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
    let ends = Instant::now() + limit;
    let mut search = Search { best, report, kind, seed, faults_before, ends, runs: 1, run };
    let is_minimal = search.descend();
    let mut scenario = search.best;
    scenario.name = format!("{}-shrunk", scenario.name.trim_end_matches("-shrunk"));
    let oracle = search.report.oracle_failures.first()?.oracle;
    let (trace_hash, needs_app) = (search.report.trace_hash.clone(), search.report.has_app);
    scenario.replay = Some(Replay { seed: search.seed, oracle, trace_hash, needs_app });
    Some(Shrunk { scenario, report: search.report, faults_before, runs: search.runs, is_minimal })
}

struct Search<R> {
    best: Scenario,
    report: Report,
    kind: Kind,
    seed: u64,
    faults_before: usize,
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
            if !helped && !self.fewer_faults_by_chance() {
                return !self.is_over();
            }
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    /// Takes the candidate if it fails in the same way.
    fn take(&mut self, candidate: Scenario) -> bool {
        self.take_with(candidate, self.seed)
    }

    /// The same with another seed, which changes what happens by chance but not the faults.
    fn take_with(&mut self, mut candidate: Scenario, seed: u64) -> bool {
        forget_the_missing(&mut candidate);
        if self.is_over() || candidate == self.best || candidate.check().is_err() {
            return false;
        }
        self.runs += 1;
        let Some(report) = (self.run)(&candidate, seed) else { return false };
        let is_same = report.oracle_failures.first().is_some_and(|failure| failure.kind() == self.kind);
        if is_same {
            (self.best, self.report, self.seed) = (candidate, report, seed);
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

    /// Leaves out one of several faults whose only part in the failure may be to change what happens by chance: then
    /// other seeds do as well.
    fn fewer_faults_by_chance(&mut self) -> bool {
        if self.best.fault.len() < 2 {
            return false;
        }
        let is_small = self.best.fault.len() * 10 <= self.faults_before;
        let attempts = (1..=if is_small { SEEDS } else { MANY_SEEDS })
            .flat_map(|seed| (0..self.best.fault.len()).map(move |fault| (seed, fault)));
        attempts.collect::<Vec<_>>().into_iter().any(|(seed, fault)| {
            let mut candidate = self.best.clone();
            candidate.fault.remove(fault);
            self.take_with(candidate, seed)
        })
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

/// Takes newcomers that do not come any more off the lists of tags.
fn forget_the_missing(scenario: &mut Scenario) {
    let joins = scenario.fault.iter().filter(|fault| fault.action.brings_newcomers());
    let newcomers: Vec<u32> = joins.flat_map(targets).collect();
    let nodes = scenario.nodes;
    for select in scenario.tags.values_mut() {
        if let Select::List(list) = select {
            list.retain(|node| *node < nodes || newcomers.contains(node));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Failure, Oracle};

    /// A scenario with so many crashes.
    fn crashes(count: u32) -> Scenario {
        let mut scenario = Scenario::new("x", 2 * count);
        let crash = |node| Action::Crash { nodes: Select::List(vec![node]), back_as: crate::fault::Comeback::Same };
        let fault = |node| crate::fault::Fault { at: Span::secs(1), lasts: None, every: None, action: crash(node) };
        scenario.fault = (0..count).map(fault).collect();
        scenario
    }

    fn fails(if_so: bool) -> Report {
        let failure =
            Failure { oracle: Oracle::Agreement, at: Span::secs(1), node: None, message: "no agreement".to_owned() };
        Report { oracle_failures: if_so.then_some(failure).into_iter().collect(), ..Report::default() }
    }

    #[test]
    fn faults_that_only_change_what_happens_by_chance_are_left_out_with_another_seed() {
        // With its own seed it takes three of them, with every fifth one is enough.
        let run = |scenario: &Scenario, seed: u64| {
            let needed = if seed.is_multiple_of(5) { 1 } else { 3 };
            Some(fails(scenario.fault.len() >= needed))
        };
        let shrunk = shrink_with(&crashes(20), 7, Duration::from_mins(1), run).expect("it fails");
        assert_eq!((shrunk.scenario.fault.len(), shrunk.is_minimal), (1, true));
        assert_eq!(shrunk.scenario.replay.map(|replay| replay.seed), Some(5), "it is replayed with that seed");
    }

    #[test]
    fn a_failure_that_needs_several_faults_keeps_them_and_its_seed() {
        let shrunk =
            shrink_with(&crashes(20), 7, Duration::from_mins(1), |scenario, _| Some(fails(scenario.fault.len() >= 3)));
        let shrunk = shrunk.expect("it fails");
        assert_eq!((shrunk.scenario.fault.len(), shrunk.is_minimal), (3, true));
        assert_eq!(shrunk.scenario.replay.map(|replay| replay.seed), Some(7));
    }

    #[test]
    fn newcomers_that_do_not_come_any_more_lose_their_tags() {
        let mut scenario = crashes(4);
        scenario.tags.insert("blue".to_owned(), Select::List(vec![1, 8, 9]));
        let join = Action::Join { nodes: Select::List(vec![8, 9]) };
        scenario.fault.push(crate::fault::Fault { at: Span::secs(2), lasts: None, every: None, action: join });
        let shrunk = shrink_with(&scenario, 7, Duration::from_mins(1), |scenario, _| {
            Some(fails(scenario.fault.iter().any(|fault| fault.action.name() == "crash")))
        });
        let small = shrunk.expect("it fails").scenario;
        assert_eq!((small.fault.len(), small.check()), (1, Ok(())));
        assert!(!format!("{:?}", small.tags).contains('8'), "{:?}", small.tags);
    }
}
