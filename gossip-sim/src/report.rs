//! What a run showed.

mod messages;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use messages::{Messages, Requests};

use crate::fault::Action;
use crate::metrics::{Crash, NodeTraffic, Sample, StateChange};
use crate::oracle::Failure;
use crate::oracle::agreement::Verdict;
use crate::oracle::harmless::Outsiders;
use crate::oracle::locks::Counts as LockCounts;
use crate::world::World;

/// Percentiles of a number of times, in milliseconds; all are zero, and `null` in JSON, where there are no times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", from = "Written")]
pub struct Percentiles {
    /// How many times there are.
    pub count: u64,
    /// Half are shorter.
    pub p50: f64,
    /// Of a hundred, 99 are shorter.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// [`Percentiles`] as they are written.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Written {
    count: u64,
    p50: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

impl From<Percentiles> for Written {
    fn from(times: Percentiles) -> Self {
        let Percentiles { count, .. } = times;
        let known = |time: f64| (count > 0).then_some(time);
        Self { count, p50: known(times.p50), p99: known(times.p99), max: known(times.max) }
    }
}

impl From<Written> for Percentiles {
    fn from(written: Written) -> Self {
        let time = |time: Option<f64>| time.unwrap_or(0.0);
        Self { count: written.count, p50: time(written.p50), p99: time(written.p99), max: time(written.max) }
    }
}

impl Percentiles {
    fn of(micros: &[u64]) -> Self {
        let mut sorted = micros.to_vec();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
            sorted.get(rank).map_or(0.0, |&micros| micros as f64 / 1_000.0)
        };
        Self { count: sorted.len() as u64, p50: at(50), p99: at(99), max: at(100) }
    }
}

/// The result of one run. All but times of the machine and its memory follows from scenario and seed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Virtual machines, newcomers included.
    pub nodes: u32,
    /// Virtual time of the whole run.
    pub virtual_ms: f64,
    /// Time that the run took, without setting it up.
    pub wall_ms: f64,
    /// Time that setting it up took.
    pub setup_ms: f64,
    /// The same in time of the processor: other processes do not count. Zero where the system does not tell.
    pub cpu_ms: f64,
    /// Steps of the simulator: arrivals, deadlines, faults.
    pub events: u64,
    /// The same per second of wall time.
    pub events_per_s: f64,
    /// Datagrams handed to nodes.
    pub delivered: u64,
    /// The same per second of wall time.
    pub delivered_per_s: f64,
    /// The same per second of processor time.
    pub delivered_per_core_s: f64,
    /// Datagrams that got lost.
    pub lost: u64,
    /// Most memory that the process had, so far; zero where the system does not tell.
    pub peak_rss_mb: f64,
    /// Fingerprint of everything that happened.
    pub trace_hash: String,
    /// Datagrams sent per running node and second.
    pub datagrams_per_node_s: f64,
    /// Bytes sent per running node and second, streams included, without headers of IP.
    pub bytes_per_node_s: f64,
    /// From the last fault or change by the workload (or the start) until all nodes agreed and went on agreeing; `None`
    /// if they did not, or if it was not judged.
    pub converged_ms: Option<f64>,
    /// "agreed", "apart", or "not judged" where it could not be told: the run ended before, or the nodes could not find
    /// each other because no seed ran.
    pub agreement: String,
    /// Suspicions, counted at every node that came to one.
    pub suspected: u64,
    /// Those of members that ran, were not paused, and were not cut off from the node.
    pub false_suspected: u64,
    /// Deaths, counted at every node that came to believe in one.
    pub dead: u64,
    /// Those of members that ran, were not paused, and were not cut off from the node.
    pub false_dead: u64,
    /// Crashes of nodes that somebody suspected or believed dead already: they are not among the times that follow.
    pub doubted_crashes: u64,
    /// From a crash until the first node suspected it.
    pub first_suspect_ms: Percentiles,
    /// From a crash until the first node declared it dead.
    pub first_dead_ms: Percentiles,
    /// From a crash until all nodes that ran knew it dead.
    pub dead_all_ms: Percentiles,
    /// Broadcasts, messages and requests; their figures stand beside the others.
    #[serde(flatten)]
    pub messages: Messages,
    /// What outsiders sent; `None` if there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outsiders: Option<Outsiders>,
    /// What became of operations on locks; `None` if there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locks: Option<LockCounts>,
    /// The rules that were broken.
    pub oracle_failures: Vec<Failure>,
    /// There was an application.
    #[serde(skip)]
    pub(crate) has_app: bool,
    /// Faults of the timeline.
    pub faults: Vec<FaultSpan>,
    /// The first ten thousand crashes, in their order.
    #[serde(default)]
    pub crashes: Vec<Crash>,
    /// What each machine sent whose node ever ran.
    #[serde(default)]
    pub node_traffic: Vec<NodeTraffic>,
    /// The run over time.
    pub samples: Vec<Sample>,
    /// What was believed of the members that were doubted.
    pub states: Vec<StateChange>,
}

/// A fault as it is shown on the time axis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultSpan {
    /// What.
    pub name: String,
    /// Nodes it struck.
    pub nodes: String,
    /// Begin, in virtual seconds.
    pub from_s: f64,
    /// End; `None` if it lasted.
    pub until_s: Option<f64>,
    /// For how many seconds in turn it is in force and not, where it comes and goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhythm_s: Option<(f64, f64)>,
}

impl World {
    fn message_report(&self) -> Messages {
        let mut costs = self.metrics.costs.clone();
        for (host, state) in self.hosts.iter().enumerate() {
            if let Some(node) = &state.node {
                costs.add(host as u32, &node.stats());
            }
        }
        Messages::of(&self.oracles, &costs, self.metrics.refused)
    }
}

impl Report {
    pub(crate) fn of(world: &mut World, seed: u64, setup: Duration, wall: Duration, cpu: Duration) -> Self {
        let node_seconds = world.metrics.node_seconds(&world.facts).max(1e-9);
        let messages = world.message_report();
        let verdict = world.oracles.agreement.verdict(&world.facts, world.last_change());
        let metrics = &world.metrics;
        let seconds = wall.as_secs_f64().max(1e-9);
        let delivered = metrics.datagrams_delivered;
        Self {
            scenario: world.scenario.name.clone(),
            seed,
            nodes: world.len(),
            virtual_ms: world.facts.now as f64 / 1_000.0,
            wall_ms: wall.as_secs_f64() * 1_000.0,
            cpu_ms: cpu.as_secs_f64() * 1_000.0,
            delivered_per_core_s: if cpu.is_zero() { 0.0 } else { delivered as f64 / cpu.as_secs_f64() },
            setup_ms: setup.as_secs_f64() * 1_000.0,
            events: metrics.steps,
            events_per_s: metrics.steps as f64 / seconds,
            delivered,
            delivered_per_s: delivered as f64 / seconds,
            lost: metrics.lost,
            peak_rss_mb: peak_rss_mb(),
            trace_hash: format!("{:016x}", world.trace.hash()),
            datagrams_per_node_s: metrics.datagrams as f64 / node_seconds,
            bytes_per_node_s: metrics.bytes as f64 / node_seconds,
            converged_ms: match verdict {
                Verdict::Agreed(took) => Some(took as f64 / 1_000.0),
                Verdict::Apart | Verdict::NotJudged => None,
            },
            agreement: verdict.name().to_owned(),
            suspected: metrics.suspected,
            false_suspected: metrics.false_suspected,
            dead: metrics.dead,
            false_dead: metrics.false_dead,
            doubted_crashes: metrics.detections.doubted,
            first_suspect_ms: Percentiles::of(&metrics.detections.first_suspect),
            first_dead_ms: Percentiles::of(&metrics.detections.first_dead),
            dead_all_ms: Percentiles::of(&metrics.detections.dead_all),
            messages,
            outsiders: world.has_outsiders().then(|| world.oracles.harmless.tally.clone()),
            locks: world.scenario.locks.is_some().then(|| world.oracles.locks.counts.clone()),
            oracle_failures: world.oracles.failures().to_vec(),
            has_app: world.has_app(),
            faults: world.scenario.fault.iter().map(fault_span).collect(),
            crashes: metrics.detections.crashes.clone(),
            node_traffic: metrics.loads.by_node(&world.facts),
            samples: metrics.samples.clone(),
            states: metrics.states.clone(),
        }
    }

    /// Whether all rules held.
    pub fn passed(&self) -> bool {
        self.oracle_failures.is_empty()
    }

    /// The whole as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is made of text, numbers and lists")
    }
}

fn fault_span(fault: &crate::fault::Fault) -> FaultSpan {
    let from_s = fault.at.as_micros() as f64 / 1e6;
    let nodes: Vec<String> = fault.action.selects().iter().map(|(_, select)| format!("{select}")).collect();
    let rhythm_s = match &fault.action {
        Action::FlipFlop { open, closed, .. } => Some((closed.as_micros() as f64 / 1e6, open.as_micros() as f64 / 1e6)),
        Action::Slow { burst: Some(burst), every: Some(every), .. } => {
            let (slow, whole) = (burst.as_micros() as f64 / 1e6, every.as_micros() as f64 / 1e6);
            Some((slow, whole - slow))
        }
        _ => None,
    };
    FaultSpan {
        rhythm_s,
        name: fault.action.name().to_owned(),
        nodes: nodes.join(" / "),
        from_s,
        until_s: fault.lasts.map(|lasts| from_s + lasts.as_micros() as f64 / 1e6),
    }
}

/// Processor time of this thread so far; zero where the system does not tell.
pub(crate) fn cpu_time() -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = schedule.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// The high-water mark of this process, where the system tells it.
fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: Option<f64> = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kilobytes.unwrap_or(0.0) / 1_024.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |percentiles: &Percentiles| {
            format!(
                "p50 {:.0}, p99 {:.0}, max {:.0} ms ({})",
                percentiles.p50, percentiles.p99, percentiles.max, percentiles.count
            )
        };
        writeln!(f, "{}: {} nodes, seed {}, trace {}", self.scenario, self.nodes, self.seed, self.trace_hash)?;
        let (virtual_s, wall_s) = (self.virtual_ms / 1_000.0, self.wall_ms / 1_000.0);
        writeln!(
            f,
            "  {virtual_s:.1} s of virtual time in {wall_s:.2} s ({:.0} times real time), processor {:.2} s, set up in {:.2} s",
            virtual_s / wall_s.max(1e-9),
            self.cpu_ms / 1_000.0,
            self.setup_ms / 1_000.0
        )?;
        writeln!(
            f,
            "  {} steps ({:.0}/s), {} datagrams delivered ({:.0} per core second), {} lost, {:.0} MB",
            self.events, self.events_per_s, self.delivered, self.delivered_per_core_s, self.lost, self.peak_rss_mb
        )?;
        let (datagrams, bytes) = (self.datagrams_per_node_s, self.bytes_per_node_s);
        writeln!(f, "  per node and second: {datagrams:.2} datagrams, {bytes:.0} bytes")?;
        match self.converged_ms {
            Some(took) => writeln!(f, "  agreed {took:.0} ms after the last disturbance")?,
            None if self.agreement == Verdict::Apart.name() => writeln!(f, "  no agreement")?,
            None => writeln!(f, "  agreement was not judged")?,
        }
        writeln!(
            f,
            "  suspicions {} (false {}), deaths {} (false {})",
            self.suspected, self.false_suspected, self.dead, self.false_dead
        )?;
        if self.doubted_crashes > 0 {
            writeln!(f, "  {} crashes of nodes that were doubted already are not timed", self.doubted_crashes)?;
        }
        if self.first_suspect_ms.count + self.first_dead_ms.count > 0 {
            writeln!(f, "  first suspicion: {}", times(&self.first_suspect_ms))?;
            writeln!(f, "  first death:     {}", times(&self.first_dead_ms))?;
            writeln!(f, "  death at all:    {}", times(&self.dead_all_ms))?;
        }
        self.messages.figures().iter().try_for_each(|(name, figure)| writeln!(f, "  {name}: {figure}"))?;
        if let Some(outsiders) = &self.outsiders {
            let Outsiders { packets, bytes, answers, answer_bytes, .. } = outsiders;
            writeln!(
                f,
                "  outsiders: {packets} packets, {bytes} bytes; answered by {answers} packets, {answer_bytes} bytes"
            )?;
            outsiders.dropped.iter().try_for_each(|(reason, count)| writeln!(f, "    dropped as {reason}: {count}"))?;
        }
        if let Some(locks) = &self.locks {
            writeln!(f, "  locks: {locks}")?;
        }
        match self.oracle_failures.len() {
            0 => writeln!(f, "  all oracles are content"),
            count => {
                writeln!(f, "  {count} oracle failures:")?;
                self.oracle_failures.iter().try_for_each(|failure| writeln!(f, "    {failure}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_times() {
        let times: Vec<u64> = (1..=200).rev().map(|ms| ms * 1_000).collect();
        let percentiles = Percentiles::of(&times);
        assert_eq!((percentiles.count, percentiles.p50, percentiles.p99, percentiles.max), (200, 100.0, 198.0, 200.0));
        assert_eq!(Percentiles::of(&[]), Percentiles::default());
    }
}
