//! The command lines of elections.

use clap::{Arg, Args, Subcommand};

use super::Remote;

pub(super) const LEADER_NOTES: &str = "\
The agents of a cluster that were started with --election NAME,… elect a leader among them, and another one when it
leaves or crashes. NAME can be left out where the agent takes part in one election alone; one that is called 'watch'
is asked for after --.

'term' grows from leader to leader. 'until' is when this agent stops to follow the leader, or to lead, if it hears no
more: as long as all is well it moves on. 'settled' is the number of voters that have not left for good, 'seen' that of
live members that may vote, 'needed' the votes that a leader needs.

The exit code is 0 if somebody leads and 4 if nobody does; the reason goes to stderr, and is 'none' in JSON.

Examples:
  gossip leader
  gossip leader db --json | jq -r .leader.id
  gossip leader watch db";

#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct LeaderArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LeaderCommand>,
    /// The election [default: the only one].
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LeaderCommand {
    /// Follow who leads until Ctrl-C.
    Watch {
        /// The election [default: the only one].
        name: Option<String>,
    },
}

/// An option that stands before or after the word 'watch'.
pub(super) fn anywhere(arg: Arg) -> Arg {
    arg.global(true)
}
