//! The command lines of the key-value store.

use std::time::Duration;

use clap::Subcommand;

use super::{Remote, span};
use crate::content::Source;

pub(super) const KV_NOTES: &str = "\
The agents of a cluster that were started with --kv share one key-value store: each has all of it, a write counts at
once at the agent that is asked and reaches the others within a second or so, and of two writes of one key the later
one counts. An agent that starts gets it from the others; with --kv-file it also keeps it for its next start.

VALUE is a text; - reads stdin, @FILE a file, both byte by byte as they are. A text that begins with @ comes through
stdin, one that begins with - after --. Values that are no text are printed in hexadecimal after 0x; --raw writes them
as they are, and JSON has a text or {\"bytes\":\"hex\"}.

Examples:
  gossip kv set web/port 8080
  gossip kv set --ttl 30s lease/web node-1
  gossip kv get web/port
  gossip kv get --raw logo > logo.png
  gossip kv ls web/
  gossip kv rm web/port lease/web
  gossip kv watch --json web/ | jq -r 'select(.event == \"set\") | .value'";

#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Print the value of a key; exit code 1 if there is none.
    Get {
        /// The key.
        key: String,
        /// Write the bytes of the value as they are, and nothing else.
        #[arg(long, conflicts_with = "json")]
        raw: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Write a key.
    Set {
        /// The key.
        key: String,
        /// Its value: a text, - for stdin, or @FILE.
        #[arg(allow_negative_numbers = true)]
        value: Source,
        /// After how long it ends by itself, 1ms to 3650d; a number alone means seconds.
        #[arg(long, value_name = "TIME", value_parser = span)]
        ttl: Option<Duration>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete keys.
    Rm {
        /// The keys.
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List keys with their values; those that begin with PREFIX.
    Ls {
        /// How the keys begin [default: all].
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Follow changes of keys until Ctrl-C; of those that begin with PREFIX.
    Watch {
        /// How the keys begin [default: all].
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
        #[command(flatten)]
        remote: Remote,
    },
}
