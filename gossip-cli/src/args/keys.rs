//! The command lines of keys: making one, and changing those of a running cluster.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use gossip_tokio::{KeyId, Plaintext, Suite};
use serde::{Deserialize, Serialize};

use super::Remote;
use crate::key_file::suite_of;

pub(super) const KEYS_NOTES: &str = "\
Keys are named by an id of four hexadecimal digits, and shown by nothing else. To change the key of a running cluster:

  gossip keys generate --out new.key
  gossip keys install new.key       every member can open what it seals
  gossip keys list                  its id, and who has it
  gossip keys use ID                every member seals with it, if all have it
  gossip keys remove ID             no member opens what the old one sealed, if nobody needs it any more

Each goes to all live members, can be repeated, and says who did it; the exit code is 1 if one did not. 'use' and
'remove' change nothing if a member would be shut out by it, unless --force. A member that is away comes back with its
old key as long as that is not removed; then repeat the steps. Agents write the changed keys to their key files.

A new key travels under the old one. If the old one was stolen, bring the new one to each machine by another way, and
install it there with --here.";

/// What becomes of packets that are not sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PlaintextMode {
    /// They are dropped.
    #[default]
    Refuse,
    /// They are taken; what this node sends is sealed.
    Accept,
    /// They are taken and sent; sealed ones are taken too.
    Send,
}

impl From<PlaintextMode> for Plaintext {
    fn from(mode: PlaintextMode) -> Self {
        match mode {
            PlaintextMode::Refuse => Self::Refuse,
            PlaintextMode::Accept => Self::Accept,
            PlaintextMode::Send => Self::Send,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a new key and print it, or write it to a file.
    Generate(GenerateArgs),
    /// Give all members a key that they open packets with from now on.
    Install(InstallArgs),
    /// Let all members seal with a key.
    Use(ChangeArgs),
    /// Take a key from all members.
    Remove(ChangeArgs),
    /// Show the keys of all members, by id.
    List {
        #[command(flatten)]
        scope: Scope,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// The cipher that it is for: xchacha20-poly1305, or aes-128-gcm, aes-192-gcm, aes-256-gcm where built in.
    #[arg(long, value_name = "SUITE", default_value = "xchacha20-poly1305", value_parser = suite_of)]
    pub(crate) suite: Suite,
    /// Write it to this file, which must not exist yet and which only you can read.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// A file with the key, or - for stdin.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) scope: Scope,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Id of the key.
    #[arg(value_name = "ID")]
    pub(crate) id: KeyId,
    /// Do it even if members are shut out by it.
    #[arg(long, conflicts_with = "here")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) scope: Scope,
}

/// Which members.
#[derive(Debug, Args)]
pub(crate) struct Scope {
    /// Only the agent's own node.
    #[arg(long)]
    pub(crate) here: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}
