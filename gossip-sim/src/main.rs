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
    match command::Command::parse().run() {
        Ok(code) => code,
        Err(message) => {
            eprintln!("gossip-sim: {message}");
            ExitCode::from(2)
        }
    }
}
