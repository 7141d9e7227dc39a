//! The command `gossip`: a cluster member for the shell, a client that asks and steers it, and a demonstration.

mod agent;
mod args;
mod config_file;
mod content;
mod control;
mod demo;
mod describe;
mod exit;
mod hex;
mod key_file;
mod options;
mod output;
mod remote;
mod signals;
mod table;

use std::env;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use tokio::runtime::{Builder, Runtime};

use args::{Command, CommandLine, KeysCommand};
use exit::Failure;

fn main() -> ExitCode {
    let command = match CommandLine::try_parse() {
        Ok(line) => line.command,
        Err(error) => return explain(&error),
    };
    exit::report(run(command))
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => to_the_end(parallel()?, demo::run(&args)),
        Command::Agent(args) => agent::run(*args, |agent| to_the_end(parallel()?, agent)),
        Command::Members(args) => to_the_end(alone()?, remote::members(&args)),
        Command::Info(remote) => to_the_end(alone()?, remote::info(&remote)),
        Command::Join(args) => to_the_end(alone()?, remote::join(args)),
        Command::Leave(remote) => to_the_end(alone()?, remote::leave(&remote)),
        Command::Forget(args) => to_the_end(alone()?, remote::forget(args)),
        Command::Meta(command) => to_the_end(alone()?, remote::meta(command)),
        Command::Monitor(remote) => to_the_end(alone()?, remote::monitor(&remote)),
        Command::Keys(KeysCommand::Generate(args)) => remote::generate(&args),
        Command::Keys(command) => to_the_end(alone()?, remote::keys(command)),
        Command::Send(args) => to_the_end(alone()?, remote::send(args)),
        Command::Request(args) => to_the_end(alone()?, remote::request(args)),
        Command::Listen(args) => to_the_end(alone()?, remote::listen(args)),
        Command::Leader(args) => to_the_end(alone()?, remote::leader(args)),
        Command::Lock(args) => to_the_end(alone()?, remote::lock(args)),
        #[cfg(unix)]
        Command::Attached(args) => remote::attached(&args),
        #[cfg(not(unix))]
        Command::Attached(_) => Err(Failure::usage("this is for Unix alone")),
        Command::Kv(command) => to_the_end(alone()?, remote::kv(command)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "gossip", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
    }
}

/// Runs a command. A name lookup that hangs is left to the system: nobody waits for it any more.
fn to_the_end(runtime: Runtime, command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let outcome = runtime.block_on(command);
    runtime.shutdown_background();
    outcome
}

fn parallel() -> Result<Runtime, Failure> {
    runtime(&mut Builder::new_multi_thread())
}

fn alone() -> Result<Runtime, Failure> {
    runtime(&mut Builder::new_current_thread())
}

fn runtime(builder: &mut Builder) -> Result<Runtime, Failure> {
    builder.enable_all().build().map_err(|error| Failure::failed(format!("cannot start the async runtime: {error}")))
}

/// The reason without keys that were typed in the place of something else. It may end in a log.
fn without_keys(reason: &str, arguments: impl Iterator<Item = String>) -> String {
    let mut reason = reason.to_owned();
    for argument in arguments {
        let value = argument.split_once('=').map_or("", |(_, value)| value);
        for key in [argument.as_str(), value] {
            if key_file::looks_like_key(key) {
                reason = reason.replace(key, "(a key, which is not repeated here)");
            }
        }
    }
    reason
}

/// Help goes to stdout in full; what is wrong with a command line goes to stderr in one line.
fn explain(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let code = if error.use_stderr() { 2 } else { 0 };
        return error.print().map_or(ExitCode::FAILURE, |()| ExitCode::from(code));
    }
    let text = error.render().to_string();
    let reasons =
        text.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let reason = exit::one_line(&reasons.collect::<Vec<_>>().join("\n"));
    let reason = without_keys(reason.strip_prefix("error: ").unwrap_or(&reason), env::args());
    exit::report(Err(Failure::usage(format!("{reason} (--help explains)"))))
}
