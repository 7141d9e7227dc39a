//! The command line: what can be typed, and how it is explained.

mod keys;
mod kv;
mod leader;
mod lock;
mod message;
mod tls;

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use gossip_tokio::{MemberState, NodeId};

use crate::agent::{ElectionChoice, LocksChoice};
use crate::config_file::Preset;
use crate::control::protocol::MetaValue;
use crate::control::{ControlChoice, ControlTarget};
use crate::exit;

pub(crate) use keys::{ChangeArgs, GenerateArgs, InstallArgs, KeysCommand, PlaintextMode, Scope};
pub(crate) use kv::KvCommand;
pub(crate) use leader::{LeaderArgs, LeaderCommand};
pub(crate) use lock::{AttachedArgs, LockArgs};
pub(crate) use message::{ListenArgs, RequestArgs, SendArgs};
pub(crate) use tls::TlsArgs;

const EXAMPLES: &str = "\
Examples:
  gossip demo                                          watch five nodes find, lose and regain each other
  gossip agent --bind 127.0.0.1:7979                   run a node
  gossip agent --bind 127.0.0.1:7981 --control none --join 127.0.0.1:7979
  gossip members                                       ask the agent whom it knows
  gossip meta set role=web port=8080                   say something about the agent's node
  gossip monitor --json                                follow what happens
  gossip send 200 'deploy 17'                          tell everybody something
  gossip request --to web-1 200 ping                   ask one of them
  gossip listen --type 200 --echo                      print what comes, and answer
  gossip kv set web/port 8080                          write to the store of agents with --kv
  gossip leader                                        ask who leads, of agents with --election
  gossip lock backup -- ./backup.sh                    run one at a time in the cluster, of agents with --locks";

const DEMO_NOTES: &str = "\
The steps: all nodes find each other; some of them, taken at random, broadcast 20 messages of 1 KiB in all, and
everybody is to get each once; one changes its metadata; one is killed without a word, suspected, declared dead, and
started again under its id; one leaves; then nothing happens for a while and the idle traffic is measured. Each step
has a deadline. With two nodes the one that left is started again before idle traffic is measured.

Idle traffic is what the nodes send as datagrams, counted as IP bytes: the bytes of each datagram and 28 for its IPv4
and UDP headers, per node that is up and second. With --transport ws or mixed such packets travel over connections too,
and their bytes are counted alone, without what TCP and WebSocket add.

On a terminal a table is redrawn in place; into a pipe go plain lines as things happen. NO_COLOR switches colours off.
--json prints one object: nodes, converged_ms, broadcast_ms {p50, max}, broadcast_copies_per_node, metadata_all_ms,
suspect_first_ms, dead_all_ms, rejoin_all_ms, leave_all_ms, idle_bytes_per_node_s, idle_datagrams_per_node_s, ok; null
stands for what did not happen; with --sealed there is also sealed, which is true, and with --transport ws or mixed
transport, which says so. Times of suspicion and death count from the kill, those of broadcasts from each one to the
moment when the last node has it. Copies are those that all nodes count as sent, for each one that a node got.

Examples:
  gossip demo
  gossip demo --nodes 50
  gossip demo --sealed
  gossip demo --transport mixed
  gossip demo --json | jq .dead_all_ms";

const AGENT_NOTES: &str = "\
The agent prints its id, addresses and control address to stdout, and logs to stderr. Ctrl-C or SIGTERM make it leave
the cluster and exit; a second one stops it at once. Seeds (--join) that cannot be reached are retried for ever.

Addresses are written ip:port, [v6]:port, host:port, or a host or ip alone with the default port 7979; tcp:// before
one means a node without UDP. Nodes behind WebSocket have a URL, ws://host/path or wss://host/path. The SRV records of a
service say where its nodes are: srv+_gossip._tcp.example, or srv+wss://_gossip._tcp.example/path behind WebSocket.

The configuration file is TOML. Its keys are the options of this command with underscores for dashes, and the tables
[meta], [protocol] and [transport] for metadata, timing and limits. The command line wins over the file.
--print-config shows every key with the value that would apply; a timing or limit that is as the preset has it is
written as a comment, so that a file made of this goes on following --preset.

A key file has one key in a line, as 'gossip keys generate' prints it; the first one seals, all of them open. Empty lines
count for nothing, nor does what follows a #. Only its owner may be able to read it (mode 0600). The agent writes it anew
when its keys change while it runs ('gossip keys'), comments are lost then, and it must be able to write beside it.
To move a running cluster to keys, start every agent anew with --key-file and --plaintext send, then with accept, then
without --plaintext.

The floor of an election is the least number of votes that makes a leader. Take more than half of the machines that
there will ever be at once: 2 of 3, 3 of 5. With less, two leaders are possible when the cluster starts in two parts;
with 1 an agent that knows nobody leads itself. A leader that crashed is replaced after about the lease. A member has to
follow for 'steady' to get a vote, and to be dead for 'bury' to lose it; where=K=V leaves out those without this metadata.

Locks are granted by the leader of an election of the agent, the only one or election=NAME, for min_ttl to max_ttl, when
as many agents with a vote as 'replicas' remember it: with fewer of them there is none. All agents give the same. With
free_dead=true what a dead agent held is free at once, and not when its time has run out: it may only be cut off, and what
runs there go on, so that only tokens keep it from doing harm. wait_when_founded=true is for clusters whose machines may
all be restarted at once: a leader that knows of no earlier one then grants nothing for max_ttl.

Examples:
  gossip agent --bind 10.0.0.5:7979 --join seed.example --name web-1 --tag web --meta zone=eu
  gossip agent --bind 0.0.0.0 --config /etc/gossip.toml --control unix:/run/gossip.sock
  gossip agent --bind 127.0.0.1:0 --control 127.0.0.1:0 --preset local
  gossip agent --bind 10.0.0.5:7979 --key-file /etc/gossip/cluster.key
  gossip agent --dial-only --join seed.example
  gossip agent --bind 10.0.0.5:7979 --join seed.example --election scheduler,floor=2 --locks jobs
  gossip agent --bind 10.0.0.5:7979 --stream-only --tcp-tls --tls-cert node.pem --tls-key node.key --tls-ca ca.pem
  gossip agent --ws-listen wss://10.0.0.5:443/gossip --tls-cert node.pem --tls-key node.key --token-file token
  gossip agent --bind 127.0.0.1:7979 --print-config > gossip.toml";

const CONTROL: &str = "Where to accept control commands: 127.0.0.1:PORT, [::1]:PORT, unix:PATH or none [default: \
     127.0.0.1:7980; with keys a socket of this user, where commands find it]";

/// Where clients find the control address unless it is given.
const CONTROL_VARIABLE: &str = "GOSSIP_CONTROL";

const WS_LISTEN: &str =
    "Where to listen for WebSocket: ws://ADDR/PATH, or wss:// with --tls-cert. Without --bind, there is nothing else";

const ELECTION: &str = "Take part in an election ('gossip leader'); may be repeated. Needs the floor, and takes \
     lease=3s, steady=10s, bury=2m, drift_ppm=1000 and where=K=V after commas too; all agents give the same";

const LOCKS: &str = "Have a pool of locks ('gossip lock'); may be repeated. Takes election=NAME, replicas=2, \
     min_ttl=1s, max_ttl=30s, free_dead=false, wait_when_founded=false, max_locks, max_waiters and max_key after commas";

/// The subcommand that becomes another program.
pub(crate) const ATTACHED: &str = "__attached";

const REMOTE_CONTROL: &str = "Control address of the agent: 127.0.0.1:PORT, [::1]:PORT or unix:PATH [default: the \
     socket of this user's agent with keys if one runs, else 127.0.0.1:7980]";

const LOG: &str = "What to log, as in RUST_LOG: a level, or target=level pairs [default: $RUST_LOG, else info]";

const MEMBERS_NOTES: &str = "\
An asterisk marks the agent's own node. A member that left is 'left' in the table, and 'leaving' in JSON.

Examples:
  gossip members
  gossip members --state dead
  gossip members --meta
  gossip members --tag web --json | jq -r '.[].address'";

const JOIN_NOTES: &str = "\
Done when at least one address let the agent in; fails with exit code 1 and the reasons when none did.

Examples:
  gossip join 10.0.0.5:7979
  gossip join seed-1.example seed-2.example";

const FORGET_NOTES: &str = "\
Only a dead or departed member can be forgotten. An id may be shortened to a prefix of at least 4 characters; that or
a name is enough where only one member has it.

Examples:
  gossip forget 0192f0c1-2345-7abc-8def-0123456789ab
  gossip forget 0192f0c1-23 --here
  gossip forget web-1";

const META_NOTES: &str = "\
Examples:
  gossip meta set role=web port=8080 ready=true
  gossip meta set version:=1.10
  gossip meta get
  gossip meta get role --node 0192f0c1-23
  gossip meta get role --node web-1
  gossip meta rm role";

const MONITOR_NOTES: &str = "\
The first line says that the monitor is in place; of what happens afterwards nothing is missed without being told.

Examples:
  gossip monitor
  gossip monitor --json | jq -r 'select(.state == \"dead\") | .id'";

/// Cluster membership by gossip: a node for the shell, a client for it, and a demonstration.
#[derive(Debug, Parser)]
#[command(name = "gossip", version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::CODES))]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a small cluster in this process and show it converge, fail, recover and leave.
    #[command(after_help = DEMO_NOTES)]
    Demo(DemoArgs),
    /// Run one node until Ctrl-C or SIGTERM, which make it leave first.
    #[command(after_help = AGENT_NOTES)]
    Agent(Box<AgentArgs>),
    /// List the members that the agent knows.
    #[command(after_help = MEMBERS_NOTES)]
    Members(MembersArgs),
    /// Tell about the agent: id, address, phase, health, counters.
    Info(Remote),
    /// Have the agent join through these addresses.
    #[command(after_help = JOIN_NOTES)]
    Join(JoinArgs),
    /// Have the agent leave the cluster and exit.
    Leave(Remote),
    /// Drop a member that is gone for good from the member tables.
    #[command(after_help = FORGET_NOTES)]
    Forget(ForgetArgs),
    /// Read metadata, or change that of the agent's node.
    #[command(subcommand, after_help = META_NOTES)]
    Meta(MetaCommand),
    /// Follow what happens in the cluster until Ctrl-C.
    #[command(after_help = MONITOR_NOTES)]
    Monitor(Remote),
    /// Send a message from the agent's node to others.
    #[command(after_help = message::SEND_NOTES)]
    Send(SendArgs),
    /// Ask other nodes something and print what they answer.
    #[command(after_help = message::REQUEST_NOTES, mut_arg("timeout", message::request_timeout))]
    Request(RequestArgs),
    /// Print the messages that reach the agent's node until Ctrl-C, and answer requests.
    #[command(after_help = message::LISTEN_NOTES)]
    Listen(ListenArgs),
    /// Make keys, and change those that a running cluster seals its packets with.
    #[command(subcommand, after_help = keys::KEYS_NOTES)]
    Keys(KeysCommand),
    /// Read, write and follow the key-value store of agents with --kv.
    #[command(subcommand, after_help = kv::KV_NOTES)]
    Kv(KvCommand),
    /// Tell who leads, of agents with --election.
    #[command(after_help = leader::LEADER_NOTES)]
    #[command(mut_arg("control", leader::anywhere), mut_arg("json", leader::anywhere))]
    #[command(mut_arg("timeout", leader::anywhere))]
    Leader(LeaderArgs),
    /// Run a command under a lock of agents with --locks: one at a time in the cluster.
    #[command(after_help = lock::LOCK_NOTES, mut_arg("timeout", lock::timeout), mut_arg("json", lock::json))]
    Lock(LockArgs),
    #[command(name = ATTACHED, hide = true)]
    Attached(AttachedArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell to complete for.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many nodes to start, 2 to 200.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=200))]
    pub(crate) nodes: u16,
    /// What the nodes reach each other by.
    #[arg(long, value_name = "KIND", default_value = "udp")]
    pub(crate) transport: DemoTransport,
    /// Seal all packets with a key that is made for the occasion.
    #[arg(long)]
    pub(crate) sealed: bool,
    /// Print one JSON object at the end and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the nodes of the demonstration reach each other by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoTransport {
    /// Sockets: UDP for datagrams, TCP for connections.
    #[default]
    Udp,
    /// WebSocket alone: every node is known under a ws:// URL.
    Ws,
    /// Sockets, WebSocket, and nodes that nobody can connect to, in turn; three nodes or more.
    Mixed,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct AgentArgs {
    /// Address and port to listen on, UDP and TCP; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<String>,
    /// Name of the cluster; nodes of other clusters are refused [default: default].
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Id of this node, kept over restarts; without it each start is a new member.
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<NodeId>,
    /// Address that peers are told [default: where it listens].
    #[arg(long, value_name = "ADDR")]
    pub(crate) advertise: Option<String>,
    /// Live without datagrams: no UDP socket, and everything over connections.
    #[arg(long)]
    pub(crate) stream_only: bool,
    /// Listen nowhere: reach others, and be reached, over connections that this node opens.
    #[arg(long, conflicts_with_all = ["bind", "advertise"])]
    pub(crate) dial_only: bool,
    /// Address of a node to join through, a seed: HOST, HOST:PORT, a URL, or srv+NAME for a service; may be repeated.
    #[arg(long, value_name = "ADDR")]
    pub(crate) join: Vec<String>,
    /// Name shown in member lists; stored as the metadata key `name`.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A tag of this node, without commas; may be repeated.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Metadata of this node: true, false and numbers are stored as such, K:=V always as text; may be repeated.
    #[arg(long, value_name = "K=V", value_parser = entry)]
    pub(crate) meta: Vec<(String, MetaValue)>,
    /// Take part in the key-value store of the cluster ('gossip kv').
    #[arg(long)]
    pub(crate) kv: bool,
    /// File that keeps the key-value store over restarts: read at the start, written when something changed, every five
    /// seconds at most, a minute after the last change, every ten minutes, and at the end. Implies --kv.
    #[arg(long, value_name = "FILE")]
    pub(crate) kv_file: Option<PathBuf>,
    #[arg(long, value_name = "NAME,floor=N", help = ELECTION)]
    pub(crate) election: Vec<ElectionChoice>,
    #[arg(long, value_name = "POOL", help = LOCKS)]
    pub(crate) locks: Vec<LocksChoice>,
    /// File with the cluster's keys: packets are sealed, and nodes without them are kept out.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    #[arg(long, value_name = "URL", help = WS_LISTEN)]
    pub(crate) ws_listen: Option<String>,
    /// URL for those who reach nothing else, beside --bind and shown in the metadata [default: where --ws-listen listens].
    #[arg(long, value_name = "URL", conflicts_with = "dial_only")]
    pub(crate) ws_advertise: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// File with the token that peers must show over WebSocket, and that this node shows to them.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// What becomes of packets that are not sealed, to move a running cluster to keys step by step [default: refuse].
    #[arg(long, value_name = "MODE")]
    pub(crate) plaintext: Option<PlaintextMode>,
    /// Settings from a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[arg(long, value_name = "ADDR", help = CONTROL)]
    pub(crate) control: Option<ControlChoice>,
    /// Timing to start from [default: lan].
    #[arg(long)]
    pub(crate) preset: Option<Preset>,
    #[arg(long, value_name = "FILTER", help = LOG)]
    pub(crate) log: Option<String>,
    /// Print the settings that would apply as a configuration file, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,
}

/// How to reach the agent, and how to answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remote {
    #[arg(long, value_name = "ADDR", env = CONTROL_VARIABLE, value_parser = control_target)]
    #[arg(help = REMOTE_CONTROL)]
    pub(crate) control: Option<ControlTarget>,
    /// Answer in JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// How long to wait for the agent's answer, like 500ms; a number alone means seconds.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = span)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct MembersArgs {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// Only members in this state.
    #[arg(long)]
    pub(crate) state: Option<StateFilter>,
    /// Only members with this tag.
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Show the values of the metadata too, not only how many there are; JSON has them always.
    #[arg(long)]
    pub(crate) meta: bool,
}

/// The states that a listed member can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateFilter {
    Alive,
    Suspect,
    Dead,
    #[value(alias = "left")]
    Leaving,
}

impl From<StateFilter> for MemberState {
    fn from(filter: StateFilter) -> Self {
        match filter {
            StateFilter::Alive => Self::Alive,
            StateFilter::Suspect => Self::Suspect,
            StateFilter::Dead => Self::Dead,
            StateFilter::Leaving => Self::Leaving,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Addresses of nodes to join through.
    #[arg(value_name = "ADDR", required = true)]
    pub(crate) addresses: Vec<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// Id of the member, the beginning of it, or its name.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Only in this agent's table, not in the whole cluster.
    #[arg(long)]
    pub(crate) here: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MetaCommand {
    /// Print metadata of the agent's node or of another one.
    Get {
        /// Only this key; its value alone is printed.
        key: Option<String>,
        /// Id of the node, the beginning of it, or its name [default: the agent's own].
        #[arg(long, value_name = "ID")]
        node: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Set keys of the agent's node.
    Set {
        /// true, false and numbers are stored as such; K:=V stores V as text whatever it looks like.
        #[arg(value_name = "K=V", required = true, value_parser = entry)]
        entries: Vec<(String, MetaValue)>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Remove keys of the agent's node.
    Rm {
        /// The keys.
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Reads a control address. A variable that is set to nothing counts as one that is not set.
fn control_target(text: &str) -> Result<ControlTarget, String> {
    let is_unset = text.is_empty() && env::var_os(CONTROL_VARIABLE).is_some_and(|value| value.is_empty());
    if is_unset { Ok(ControlTarget::Usual) } else { text.parse().map(ControlTarget::At) }
}

/// Reads a span of time; a number alone means seconds.
fn span(text: &str) -> Result<Duration, humantime::DurationError> {
    text.parse().map(Duration::from_secs).or_else(|_| humantime::parse_duration(text))
}

/// Reads `K=V` or `K:=V`.
fn entry(text: &str) -> Result<(String, MetaValue), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    let (key, value) = if let Some(key) = key.strip_suffix(':') {
        (key, MetaValue::Text(value.to_owned()))
    } else {
        let advice = |reason| format!("{reason}; write {key}:={value} to store it as text");
        (key, MetaValue::guess(value).map_err(advice)?)
    };
    match key.len() {
        1..=255 => Ok((key.to_owned(), value)),
        0 => Err("the key is empty".to_owned()),
        length => Err(format!("the key has {length} bytes, at most 255 are allowed")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_span_without_a_unit_is_in_seconds() {
        assert_eq!(span("5"), Ok(Duration::from_secs(5)));
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert!(span("soon").is_err() && span("-5").is_err());
    }

    #[test]
    fn a_value_is_typed_by_its_look_unless_text_is_asked_for() {
        assert_eq!(entry("ready=true"), Ok(("ready".to_owned(), MetaValue::Bool(true))));
        assert_eq!(entry("url=a=b"), Ok(("url".to_owned(), MetaValue::Text("a=b".to_owned()))));
        assert_eq!(entry("port:=80"), Ok(("port".to_owned(), MetaValue::Text("80".to_owned()))));
        assert_eq!(entry("empty="), Ok(("empty".to_owned(), MetaValue::Text(String::new()))));
    }

    #[test]
    fn an_entry_without_a_fitting_key_is_refused() {
        for bad in ["noequals", "=x", ":=x", &format!("{}=x", "k".repeat(256))] {
            assert!(entry(bad).is_err(), "{bad}");
        }
    }
}
