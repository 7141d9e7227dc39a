//! The command line.

/// Writes to the standard output. A reader that has seen enough and went away is no reason to complain.
macro_rules! tell {
    ($($text:tt)*) => {
        if let Err(error) = write!(std::io::stdout(), $($text)*) {
            log_unless_closed(&error);
        }
    };
}

macro_rules! say {
    ($($text:tt)*) => { tell!("{}\n", format_args!($($text)*)) };
}

mod compare;
mod run;
mod scenarios;
mod shrink;
mod sweep;

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gossip_sim::{Latency, Preset, Report, Scenario, Share, Span};

/// Simulates gossip clusters: real nodes, every fault, virtual time, one seed.
///
/// Exit code: 0 if all oracles were content, 1 if one was not, 2 if the command could not be carried out, 3 if a replay
/// fails in another way than was written down.
#[derive(Debug, Parser)]
#[command(version, name = "gossip-sim")]
pub(crate) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs a scenario once
    Run(run::Run),
    /// Runs a scenario with many seeds, on all cores
    Sweep(sweep::Sweep),
    /// Makes a failing run as small as it gets
    Shrink(shrink::Shrink),
    /// Runs what `shrink` wrote again, and tells whether it is the same
    Replay(run::Replay),
    /// Lists the built-in scenarios
    Scenarios(scenarios::Scenarios),
    /// Compares two reports; exit code 1 if the new one is worse
    Compare(compare::Compare),
}

impl Command {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        match self.verb {
            Verb::Run(run) => run.run(),
            Verb::Sweep(sweep) => sweep.run(),
            Verb::Shrink(shrink) => shrink.run(),
            Verb::Replay(replay) => replay.run(),
            Verb::Scenarios(scenarios) => scenarios.run(),
            Verb::Compare(compare) => compare.run(),
        }
    }
}

fn log_unless_closed(error: &std::io::Error) {
    if error.kind() != std::io::ErrorKind::BrokenPipe {
        eprintln!("gossip-sim: cannot write: {error}");
    }
}

/// Changes to a scenario.
#[derive(Clone, Debug, Default, Args)]
struct Changes {
    /// Nodes at the start
    #[arg(long, short, allow_hyphen_values = true)]
    nodes: Option<u32>,
    /// Virtual time, like 30s or 5m
    #[arg(long, short, allow_hyphen_values = true)]
    duration: Option<Span>,
    /// Share of datagrams lost on all links, 0 to 1
    #[arg(long, allow_hyphen_values = true)]
    loss: Option<Share>,
    /// Time that packets take on all links: one, like 1ms, or a range, like 10ms..50ms
    #[arg(long, value_parser = latency, value_name = "T..T")]
    latency: Option<Latency>,
    /// Settings that the nodes start from
    #[arg(long, value_enum)]
    preset: Option<PresetName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PresetName {
    Lan,
    Wan,
    Local,
}

impl Changes {
    fn apply(&self, mut scenario: Scenario) -> Result<Scenario, String> {
        scenario.nodes = self.nodes.unwrap_or(scenario.nodes);
        scenario.duration = self.duration.unwrap_or(scenario.duration);
        scenario.link.latency = self.latency.clone().or(scenario.link.latency);
        scenario.link.loss = self.loss.unwrap_or(scenario.link.loss);
        scenario.preset = self.preset.map_or(scenario.preset, |preset| match preset {
            PresetName::Lan => Preset::Lan,
            PresetName::Wan => Preset::Wan,
            PresetName::Local => Preset::Local,
        });
        scenario.check().map_err(|problem| problem.to_string())?;
        Ok(scenario)
    }

    /// The arguments that make these changes.
    fn arguments(&self) -> String {
        let mut arguments = String::new();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                arguments.extend([" --", name, " ", &value]);
            }
        };
        add("nodes", self.nodes.map(|nodes| nodes.to_string()));
        add("duration", self.duration.map(|duration| duration.to_string().replace(' ', "")));
        add("loss", self.loss.map(|loss| loss.value().to_string()));
        add("latency", self.latency.as_ref().map(written));
        add("preset", self.preset.map(|preset| format!("{preset:?}").to_lowercase()));
        arguments
    }
}

fn latency(text: &str) -> Result<Latency, String> {
    let span = |text: &str| text.parse::<Span>().map_err(|error| error.to_string());
    match text.split_once("..") {
        Some((least, most)) => {
            let (least, most) = (span(least)?, span(most)?);
            let expected = || "expected the shorter time first, like 10ms..50ms".to_owned();
            if least <= most { Ok(Latency::Uniform { least, most }) } else { Err(expected()) }
        }
        None => span(text).map(Latency::Constant),
    }
}

/// A latency as it is given on the command line.
fn written(latency: &Latency) -> String {
    let text = match latency {
        Latency::Uniform { least, most } => format!("{least}..{most}"),
        Latency::Constant(span) => span.to_string(),
        other => format!("{other:?}"),
    };
    text.replace(' ', "")
}

/// The built-in scenario with this name, or the one in this file.
fn scenario(name: &str) -> Result<Scenario, String> {
    match Scenario::builtin(name) {
        Some(scenario) => Ok(scenario),
        None if name.contains(['.', '/']) || Path::new(name).exists() => {
            Scenario::read(Path::new(name)).map_err(|error| error.to_string())
        }
        None => {
            let names: Vec<&str> = Scenario::builtin_names().collect();
            Err(format!("no scenario {name:?}: expected a file, or one of {}", names.join(", ")))
        }
    }
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./,=:@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn code(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The line that shows a failure again.
fn reproduce(name: &str, changes: &Changes, report: &Report) -> String {
    format!("gossip-sim run {} --seed {}{}", quoted(name), report.seed, changes.arguments())
}
