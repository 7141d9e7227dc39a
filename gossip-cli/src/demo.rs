//! The demonstration: a small cluster of real nodes on loopback, in this process.

mod board;
mod fleet;
mod handles;
mod reporter;
mod screen;
mod script;
mod summary;
mod transport;

use gossip_tokio::{KeyRing, Suite};

use crate::args::DemoArgs;
use crate::exit::Failure;
use crate::key_file;
use crate::output;
use crate::signals::StopSignals;

use fleet::Fleet;
use reporter::Reporter;
use script::Script;
use transport::Transport;

/// Plays the whole script and shows it.
///
/// # Errors
///
/// The step that did not happen in time, and what was seen instead.
pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let signals = StopSignals::listen().map_err(Failure::failed)?;
    let nodes = usize::from(args.nodes);
    let transport = Transport::of(args.transport, nodes)?;
    handles::ask_for(nodes, transport);
    let reporter = Reporter::choose(args.json, nodes, transport)?;
    let keys = if args.sealed { Some(key_file::generate(Suite::XChaCha20Poly1305)?) } else { None };
    let fleet = Fleet::new(nodes, transport, keys.map(KeyRing::new));
    let mut script = Script::new(fleet, reporter, signals);
    // Steps that nobody saw happen have not happened.
    let outcome = script.play().await.map_err(|failure| match failure {
        Failure::Unheard => Failure::failed("the demonstration ended early: nobody reads the output"),
        failure => failure,
    });
    let (fleet, result) = script.finish(outcome.is_ok()).await;
    if args.json {
        outcome.and(output::json(&result))
    } else {
        outcome.and(output::print(&summary::text(&result, &fleet, output::colours(&std::io::stdout()))))
    }
}
