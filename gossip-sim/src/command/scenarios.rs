//! `scenarios`.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use gossip_sim::Scenario;

use super::log_unless_closed;

#[derive(Debug, Args)]
pub(super) struct Scenarios {
    /// Prints this one as a file, to be changed
    name: Option<String>,
}

impl Scenarios {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        if let Some(name) = self.name {
            tell!("{}", super::scenario(&name)?.to_toml());
            return Ok(ExitCode::SUCCESS);
        }
        for scenario in Scenario::builtin_names().filter_map(Scenario::builtin) {
            say!("{:20} {:4} nodes  {}", scenario.name, scenario.nodes, scenario.about);
        }
        Ok(ExitCode::SUCCESS)
    }
}
