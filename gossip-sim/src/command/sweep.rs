//! `sweep`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
use gossip_sim::{Scenario, Span, Summary, Swept};

use super::{Changes, code, log_unless_closed, reproduce, scenario};

/// Characters of the progress bar.
const BAR: u64 = 30;

#[derive(Debug, Args)]
pub(super) struct Sweep {
    /// Name of a built-in scenario, a file, or `all` for every built-in one
    scenario: String,
    /// Seeds: the first, and the one after the last
    #[arg(long, allow_hyphen_values = true, value_parser = seeds, value_name = "A..B", default_value = "1..101")]
    seeds: (u64, u64),
    /// Threads [default: all cores]
    #[arg(long, short, allow_hyphen_values = true)]
    jobs: Option<usize>,
    /// Begins no more runs after this time (for each scenario), like 90s
    #[arg(long, allow_hyphen_values = true, value_name = "T")]
    time_limit: Option<Span>,
    /// Begins no more runs of a scenario after so many failed
    #[arg(long, allow_hyphen_values = true, default_value_t = 3)]
    failures: usize,
    #[command(flatten)]
    changes: Changes,
    /// Prints what the runs showed together as JSON
    #[arg(long)]
    json: bool,
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once("..").and_then(|(first, end)| Some((first.parse().ok()?, end.parse().ok()?)));
    parts.filter(|(first, end)| first < end).ok_or_else(|| "expected two numbers like 1..2001".to_owned())
}

impl Sweep {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let names: Vec<&str> =
            if self.scenario == "all" { Scenario::builtin_names().collect() } else { vec![&self.scenario] };
        let mut summaries: Vec<Summary> = Vec::new();
        for name in names {
            let scenario = self.changes.apply(scenario(name)?)?;
            let swept = self.sweep(name, &scenario)?;
            if swept.summary.runs == 0 {
                return Err(format!("{name}: no run took place within the time limit"));
            }
            self.tell(name, &swept);
            summaries.push(swept.summary);
        }
        if self.json {
            let json = serde_json::to_string_pretty(&summaries).map_err(|error| error.to_string())?;
            say!("{json}");
        }
        Ok(code(summaries.iter().all(|summary| summary.failed == 0)))
    }

    fn sweep(&self, name: &str, scenario: &Scenario) -> Result<Swept, String> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let sweep = gossip_sim::Sweep {
            seeds: self.seeds.0..self.seeds.1,
            jobs: self.jobs.unwrap_or(cores),
            time_limit: self.time_limit.map(Span::duration),
            most_failures: self.failures.max(1),
        };
        let total = self.seeds.1 - self.seeds.0;
        let is_watched = std::io::stderr().is_terminal();
        let progress = |done: u64, failed: u64| {
            if is_watched {
                let full = (done * BAR / total.max(1)) as usize;
                let bar = format!("{}{}", "#".repeat(full), "-".repeat(BAR as usize - full));
                let mut out = std::io::stderr().lock();
                // A terminal that is gone is no reason to end the sweep.
                let _ = write!(out, "\r{name:20} [{bar}] {done}/{total}, {failed} failed ");
                let _ = out.flush();
            }
        };
        let swept = sweep.run(scenario, progress).map_err(|problem| problem.to_string())?;
        if is_watched {
            eprintln!();
        }
        Ok(swept)
    }

    fn tell(&self, name: &str, swept: &Swept) {
        let summary = &swept.summary;
        let line = format!(
            "{name:20} {} runs, {} failed, {:.0} bytes per node and second, agreed after {}, false deaths {:.2}, trace {}",
            summary.runs,
            summary.failed,
            summary.bytes_per_node_s,
            summary.converged_ms.map_or_else(|| "-".to_owned(), |took| format!("{:.1} s", took / 1_000.0)),
            summary.false_dead,
            summary.trace_hash
        );
        let say = |text: String| if self.json { eprintln!("{text}") } else { say!("{text}") };
        say(line);
        let left_out = (self.seeds.1 - self.seeds.0) - summary.runs;
        if left_out > 0 {
            say(format!("  {left_out} seeds were left out"));
        }
        for report in &swept.failures {
            if let Some(failure) = report.oracle_failures.first() {
                say(format!("  {failure}"));
            }
            say(format!("  {}", reproduce(name, &self.changes, report)));
        }
    }
}
