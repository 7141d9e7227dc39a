//! Many seeds of one scenario, on all cores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::report::{Messages, Percentiles, Report};
use crate::scenario::{Problem, Scenario};
use crate::simulation::{RunError, Simulation};

/// Which seeds to run, and when to stop.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The first seed, and the one after the last.
    pub seeds: std::ops::Range<u64>,
    /// Threads. At least one.
    pub jobs: usize,
    /// No run begins later than this after the first.
    pub time_limit: Option<Duration>,
    /// No run begins after this many failed.
    pub most_failures: usize,
}

/// What the runs of a sweep showed together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the scenario.
    pub scenario: String,
    /// Nodes at the start.
    pub nodes: u32,
    /// The first seed.
    pub first_seed: u64,
    /// Runs that took place.
    pub runs: u64,
    /// Runs in which an oracle failed.
    pub failed: u64,
    /// The trace hashes of all runs together; the order of the runs does not matter.
    pub trace_hash: String,
    /// Virtual time of all runs.
    pub virtual_ms: f64,
    /// The mean over the runs.
    pub datagrams_per_node_s: f64,
    /// The mean over the runs.
    pub bytes_per_node_s: f64,
    /// The mean over the runs in which the nodes agreed; `None` if there are none.
    pub converged_ms: Option<f64>,
    /// The mean over the runs.
    pub suspected: f64,
    /// The mean over the runs.
    pub false_suspected: f64,
    /// The mean over the runs.
    pub dead: f64,
    /// The mean over the runs.
    pub false_dead: f64,
    /// Means over the crashes, and the longest of all.
    pub first_suspect_ms: Percentiles,
    /// Means over the crashes, and the longest of all.
    pub first_dead_ms: Percentiles,
    /// Means over the crashes, and the longest of all.
    pub dead_all_ms: Percentiles,
    /// The mean over the runs with broadcasts.
    pub broadcast_delivered: Option<f64>,
    /// The mean over the runs with broadcasts.
    pub broadcast_copies_per_node: Option<f64>,
    /// The mean over the runs with broadcasts.
    pub broadcast_control_ratio: Option<f64>,
    /// Means over the broadcasts, and the longest of all.
    pub broadcast_last_ms: Percentiles,
}

/// The outcome of a sweep.
#[derive(Clone, Debug)]
pub struct Swept {
    /// All runs together.
    pub summary: Summary,
    /// The reports of runs that failed, by seed.
    pub failures: Vec<Report>,
}

impl Sweep {
    /// Runs the seeds; `progress` is told the number of runs done and failed, from any thread.
    ///
    /// # Errors
    ///
    /// What is wrong with the scenario.
    pub fn run(&self, scenario: &Scenario, progress: impl Fn(u64, u64) + Sync) -> Result<Swept, Problem> {
        self.run_with(scenario, |simulation| simulation, progress)
    }

    /// The same with the caller's own code: `prepare` puts an application and checks into each run.
    ///
    /// # Errors
    ///
    /// What is wrong with the scenario.
    pub fn run_with(
        &self,
        scenario: &Scenario,
        prepare: impl Fn(Simulation) -> Simulation + Sync,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<Swept, Problem> {
        scenario.check()?;
        let (next, failed) = (AtomicU64::new(self.seeds.start), AtomicU64::new(0));
        let is_over = AtomicBool::new(false);
        let reports = Mutex::new(Vec::new());
        let began = Instant::now();
        let work = || {
            while !is_over.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                let is_late = self.time_limit.is_some_and(|limit| began.elapsed() >= limit);
                if seed >= self.seeds.end || is_late {
                    return;
                }
                let report = match prepare(Simulation::new(scenario.clone()).seed(seed)).run() {
                    Ok(report) => report,
                    // The scenario was checked, and no trace is written.
                    Err(RunError::Scenario(_) | RunError::Trace(_)) => return,
                };
                let failures =
                    failed.fetch_add(u64::from(!report.passed()), Ordering::Relaxed) + u64::from(!report.passed());
                if failures >= self.most_failures as u64 {
                    is_over.store(true, Ordering::Relaxed);
                }
                let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                reports.push(slim(report));
                progress(reports.len() as u64, failures);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        let mut reports: Vec<Report> = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
        reports.sort_by_key(|report| report.seed);
        let summary = Summary::of(scenario, self.seeds.start, &reports);
        let failures = reports.into_iter().filter(|report| !report.passed()).collect();
        Ok(Swept { summary, failures })
    }
}

/// Without what only plots need: thousands of reports are kept.
fn slim(report: Report) -> Report {
    Report {
        samples: Vec::new(),
        states: Vec::new(),
        faults: Vec::new(),
        crashes: Vec::new(),
        node_traffic: Vec::new(),
        ..report
    }
}

impl Summary {
    /// The runs of one scenario together.
    pub fn of(scenario: &Scenario, first_seed: u64, reports: &[Report]) -> Self {
        let mean =
            |value: &dyn Fn(&Report) -> f64| reports.iter().map(value).sum::<f64>() / reports.len().max(1) as f64;
        let known = |value: &dyn Fn(&Messages) -> Option<f64>| {
            let values: Vec<f64> = reports.iter().filter_map(|report| value(&report.messages)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let agreed: Vec<f64> = reports.iter().filter_map(|report| report.converged_ms).collect();
        let hash = reports.iter().map(|report| u64::from_str_radix(&report.trace_hash, 16).unwrap_or(0));
        Self {
            scenario: scenario.name.clone(),
            nodes: scenario.nodes,
            first_seed,
            runs: reports.len() as u64,
            failed: reports.iter().filter(|report| !report.passed()).count() as u64,
            trace_hash: format!("{:016x}", hash.fold(0, u64::wrapping_add)),
            virtual_ms: reports.iter().map(|report| report.virtual_ms).sum(),
            datagrams_per_node_s: mean(&|report| report.datagrams_per_node_s),
            bytes_per_node_s: mean(&|report| report.bytes_per_node_s),
            converged_ms: (!agreed.is_empty()).then(|| agreed.iter().sum::<f64>() / agreed.len() as f64),
            suspected: mean(&|report| report.suspected as f64),
            false_suspected: mean(&|report| report.false_suspected as f64),
            dead: mean(&|report| report.dead as f64),
            false_dead: mean(&|report| report.false_dead as f64),
            first_suspect_ms: merged(reports.iter().map(|report| report.first_suspect_ms)),
            first_dead_ms: merged(reports.iter().map(|report| report.first_dead_ms)),
            dead_all_ms: merged(reports.iter().map(|report| report.dead_all_ms)),
            broadcast_delivered: known(&|messages| messages.broadcast_delivered),
            broadcast_copies_per_node: known(&|messages| messages.broadcast_copies_per_node),
            broadcast_control_ratio: known(&|messages| messages.broadcast_control_ratio),
            broadcast_last_ms: merged(reports.iter().map(|report| report.messages.broadcast_last_ms)),
        }
    }
}

fn merged(parts: impl Iterator<Item = Percentiles>) -> Percentiles {
    let mut whole = Percentiles::default();
    for part in parts {
        whole.count += part.count;
        whole.p50 += part.p50 * part.count as f64;
        whole.p99 += part.p99 * part.count as f64;
        whole.max = whole.max.max(part.max);
    }
    let count = whole.count.max(1) as f64;
    Percentiles { p50: whole.p50 / count, p99: whole.p99 / count, ..whole }
}
