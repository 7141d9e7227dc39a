//! The command line of locks.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Arg, Args};

use super::{Remote, span};

pub(super) const LOCK_NOTES: &str = "\
Waits until the agent has the lock, runs COMMAND, keeps the lock alive while it runs, and releases it. At most one
command runs under a lock at a time, on all machines whose agents were started with --locks; the agent that grants
locks is the leader of an election, and several agents remember what it granted.

COMMAND finds the lock in its environment: GOSSIP_LOCK_POOL, GOSSIP_LOCK_KEY and GOSSIP_LOCK_TOKEN. The token is a text
of 80 hexadecimal digits, and of two grants the later one has the greater text: what COMMAND acts upon should refuse a
smaller one than it has seen. GOSSIP_LOCK_TERM and GOSSIP_LOCK_COUNT are the two numbers that make its order.

COMMAND runs in a process group of its own. It has the stdin of this command unless that is a terminal. SIGINT, SIGTERM,
SIGHUP and SIGQUIT are passed on to its group. When the lock is lost, the agent is gone, or has not been heard of for so
long that the lock will be lost, the group gets SIGTERM, and SIGKILL after --grace: where the end can be foreseen, both
before others may have the lock. If this command is killed, the agent releases the lock at once; on Linux COMMAND is
killed as well. A lock is extended each time that a third of --ttl has passed. After a crash of the leader that takes until
there is another one, some four seconds: with --ttl below 10s and two seconds of --grace, COMMAND may be stopped although
nothing else fails.

The exit code is that of COMMAND, 128 and the number of the signal if one ended it, 126 or 127 if it cannot be run.
Before it runs: 75 if the lock was not acquired in time, or with --try at once; 2 and 3 as for other commands, 1 for the
rest. 76 if the lock was lost and COMMAND was stopped. A line on stderr that begins with 'gossip: ' goes with each of those.

With --query nothing is run; exit code 0 if somebody has the lock, 4 if nobody has it. What is left of it is told as the
leader counts, an eighth longer than the holder does.

Examples:
  gossip lock backup -- pg_dump -f backup.sql
  gossip lock --try --ttl 5s cron/cleanup -- ./cleanup.sh
  gossip lock --timeout 10m --pool jobs deploy -- sh -c './deploy --fence \"$GOSSIP_LOCK_TOKEN\"'
  gossip lock --query deploy";

#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// The lock: any text of at most 255 bytes.
    pub(crate) key: String,
    /// What to run, after --.
    #[arg(last = true, required_unless_present = "query", conflicts_with = "query")]
    pub(crate) command: Vec<OsString>,
    /// Which pool of locks [default: the only one].
    #[arg(long, value_name = "POOL")]
    pub(crate) pool: Option<String>,
    /// Do not wait if another one has it.
    #[arg(long = "try", conflicts_with = "query")]
    pub(crate) tries: bool,
    /// For how long it is kept from others if this machine fails; a number alone means seconds.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = span, conflicts_with = "query")]
    pub(crate) ttl: Duration,
    /// How long COMMAND may take to end when the lock is lost; at most half of --ttl [default: 2s, or half of --ttl].
    #[arg(long, value_name = "TIME", value_parser = span, conflicts_with = "query")]
    grace: Option<Duration>,
    /// Tell who has the lock, and run nothing.
    #[arg(long)]
    pub(crate) query: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

impl LockArgs {
    pub(crate) fn grace(&self) -> Duration {
        self.grace.unwrap_or_else(|| Duration::from_secs(2).min(self.ttl / 2))
    }
}

/// How long the lock, or an answer, is waited for.
pub(super) fn timeout(timeout: Arg) -> Arg {
    timeout.help("How long to wait for the lock, or for an answer, like 10m; a number alone means seconds")
}

/// What has no use for a command that prints what it likes.
pub(super) fn json(json: Arg) -> Arg {
    json.conflicts_with("command").help("Answer in JSON, with --query")
}

/// What a process runs that is to end with its parent: the rest of the command line.
#[derive(Debug, Args)]
pub(crate) struct AttachedArgs {
    /// The id of the parent.
    pub(crate) parent: i32,
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}
