//! `compare`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use gossip_sim::Share;

use super::{code, log_unless_closed};

#[derive(Debug, Args)]
pub(super) struct Compare {
    /// What `run --json` or `sweep --json` wrote before
    old: PathBuf,
    /// What it wrote now
    new: PathBuf,
    /// How much worse a figure may be, 0 to 1
    #[arg(long, allow_hyphen_values = true, default_value = "0.1")]
    tolerance: Share,
    /// Shows all figures, not only those that are worse
    #[arg(long)]
    all: bool,
}

impl Compare {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        let (old, new) = (read(&self.old)?, read(&self.new)?);
        let differences = gossip_sim::compare(&old, &new, self.tolerance).map_err(|error| error.to_string())?;
        let worse = differences.iter().filter(|difference| difference.is_worse).count();
        for difference in differences.iter().filter(|difference| self.all || difference.is_worse) {
            say!("{difference}");
        }
        say!("{worse} of {} figures are worse by more than {}%", differences.len(), self.tolerance.value() * 100.0);
        Ok(code(worse == 0))
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
