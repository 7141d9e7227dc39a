//! `shrink`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gossip_sim::Span;

use super::{Changes, log_unless_closed, scenario};

#[derive(Debug, Args)]
pub(super) struct Shrink {
    /// Name of a built-in scenario, or a file
    scenario: String,
    /// The seed that fails
    #[arg(long, short, allow_hyphen_values = true)]
    seed: u64,
    #[command(flatten)]
    changes: Changes,
    /// Takes the smallest found until then
    #[arg(long, allow_hyphen_values = true, value_name = "T", default_value = "60s")]
    time_limit: Span,
    /// Where the small scenario goes [default: NAME-SEED.toml]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A name that can be that of a file.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

impl Shrink {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let scenario = self.changes.apply(scenario(&self.scenario)?)?;
        let Some(shrunk) = gossip_sim::shrink(&scenario, self.seed, self.time_limit.duration()) else {
            say!("the run does not fail: there is nothing to make small");
            return Ok(ExitCode::SUCCESS);
        };
        let output =
            self.output.unwrap_or_else(|| PathBuf::from(format!("{}-{}.toml", plain(&scenario.name), self.seed)));
        std::fs::write(&output, shrunk.scenario.to_toml())
            .map_err(|error| format!("cannot write {}: {error}", output.display()))?;
        let small = &shrunk.scenario;
        say!(
            "{} of {} faults, {} of {} nodes, {} of virtual time after {} runs{}",
            small.fault.len(),
            shrunk.faults_before,
            small.nodes,
            scenario.nodes,
            Span::millis(shrunk.report.virtual_ms as u64),
            shrunk.runs,
            if shrunk.is_minimal { "" } else { "; the time was over" }
        );
        for fault in &small.fault {
            let lasts = fault.lasts.map_or_else(|| "for ever".to_owned(), |lasts| format!("for {lasts}"));
            say!("  at {} {lasts}: {:?}", fault.at, fault.action);
        }
        for failure in shrunk.report.oracle_failures.iter().take(1) {
            say!("  {failure}");
        }
        say!("  gossip-sim replay {}", output.display());
        Ok(ExitCode::FAILURE)
    }
}
