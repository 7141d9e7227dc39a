//! The command `gossip-sim`.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "progress bars and milliseconds are small"
)]

mod command;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        // The report tells of panics of nodes; the place is all that it lacks.
        std::panic::set_hook(Box::new(|panic| {
            if let Some(place) = panic.location() {
                eprintln!("gossip-sim: a panic at {place}");
            }
        }));
    }
    match command::Command::parse().run() {
        Ok(code) => code,
        Err(message) => {
            eprintln!("gossip-sim: {message}");
            ExitCode::from(2)
        }
    }
}
