//! `run` and `replay`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gossip_sim::{Report, Scenario, Simulation};

use super::{Changes, code, log_unless_closed, scenario};

/// Exit code of a replay in which another rule is broken.
const OTHERWISE: u8 = 3;

/// The file of a page: made before the run, which may take long, so that its report is not lost.
struct Page {
    path: PathBuf,
    file: File,
}

impl Page {
    fn open(path: PathBuf) -> Result<Self, String> {
        let file = File::create(&path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Self { path, file })
    }

    fn write(mut self, report: &Report) -> Result<(), String> {
        let written = self.file.write_all(gossip_sim::html(report).as_bytes());
        written.map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Name of a built-in scenario, or a file
    #[arg(default_value = "idle")]
    scenario: String,
    /// Everything random follows from it
    #[arg(long, short, allow_hyphen_values = true, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    changes: Changes,
    /// Prints the report as JSON
    #[arg(long)]
    json: bool,
    /// Writes a page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes what happens, line by line
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Runs twice and compares the fingerprints
    #[arg(long)]
    self_check: bool,
}

impl Run {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let scenario = self.changes.apply(scenario(&self.scenario)?)?;
        let page = self.html.map(Page::open).transpose()?;
        let mut simulation = Simulation::new(scenario.clone()).seed(self.seed);
        if let Some(path) = &self.trace {
            simulation = simulation.trace(path);
        }
        let report = simulation.run().map_err(|error| error.to_string())?;
        if self.self_check {
            let again = Simulation::new(scenario).seed(self.seed).run().map_err(|error| error.to_string())?;
            if again.trace_hash != report.trace_hash {
                let (first, second) = (&report.trace_hash, &again.trace_hash);
                return Err(format!("two runs with seed {} differ: {first} and {second}", self.seed));
            }
            eprintln!("two runs have the same fingerprint, {}", report.trace_hash);
        }
        if let Some(page) = page {
            page.write(&report)?;
        }
        if self.json {
            say!("{}", report.to_json());
        } else {
            tell!("{report}");
        }
        Ok(code(report.passed()))
    }
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// A file that `shrink` wrote
    file: PathBuf,
    /// Writes what happens, line by line
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Writes a page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Replay {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let scenario = Scenario::read(&self.file).map_err(|error| error.to_string())?;
        let Some(replay) = scenario.replay.clone() else {
            let file = self.file.display();
            return Err(format!("{file}: expected a table `replay`, as `shrink` writes it; use `run` for other files"));
        };
        if replay.needs_app {
            let file = self.file.display();
            return Err(format!("{file}: the run was found with an application: replay it from the code that has it"));
        }
        let page = self.html.map(Page::open).transpose()?;
        let mut simulation = Simulation::new(scenario).seed(replay.seed).until_first_failure();
        if let Some(path) = &self.trace {
            simulation = simulation.trace(path);
        }
        let report: Report = simulation.run().map_err(|error| error.to_string())?;
        if let Some(page) = page {
            page.write(&report)?;
        }
        tell!("{report}");
        let is_same = report.trace_hash == replay.trace_hash;
        say!("  the run is {} the one that was written down", if is_same { "the same as" } else { "not" });
        let is_same_rule = report.oracle_failures.first().is_none_or(|failure| failure.oracle == replay.oracle);
        Ok(if is_same_rule { code(report.passed()) } else { ExitCode::from(OTHERWISE) })
    }
}
