//! The command lines of messages: whom to send or to ask, what, and what to listen for.

use std::time::Duration;

use clap::{Arg, Args};
use gossip_tokio::MessageType;
use gossip_tokio::protocol::Criteria;

use super::{Remote, span};
use crate::content::Source;
use crate::control::protocol::Target;

/// Longest wait for an answer.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

pub(super) const SEND_NOTES: &str = "\
Without --to, --tag or --group everybody gets the message but the agent's node itself. To one member and to a group it
goes directly; to a tag and to everybody it is broadcast. --reliable goes by streams; to one member or to a group it
also waits until each has confirmed.

PAYLOAD is a text; - reads stdin, @FILE a file, both byte by byte as they are. A text that begins with @ comes through
stdin, one that begins with - after --. TYPE is 128 to 65535: smaller numbers are the protocol's and its libraries'.

Examples:
  gossip send 200 'deploy 17'
  gossip send --to web-1 --reliable 200 @picture.png
  gossip send --tag web 201 ''
  gossip send --group role=db --group zone=eu 202 vacuum
  date | gossip send 200 -";

pub(super) const REQUEST_NOTES: &str = "\
Without --to, --tag or --group everybody is asked but the agent's node itself. One member's answer is printed alone;
several are printed as they come, each after who gave it, and a line with their number closes them. Bytes that are no
text are printed in hexadecimal after 0x; --raw writes them as they are. In JSON a payload is a text or
{\"bytes\":\"hex\"}, as metadata is, and several answers are a line each.

The exit code is 0 if all answered, 1 if only some did, and 5 or 6 if nobody did. PAYLOAD and TYPE are as for
'gossip send'. An application that uses a codec gets these payloads as raw bytes.

Examples:
  gossip request --to web-1 200 ping
  gossip request --timeout 500ms 200 'who is there?'
  gossip request --to web-1 --raw 201 picture > picture.png
  gossip request --tag web --json 200 ping | jq -r 'select(.answer != null) | .name'";

pub(super) const LISTEN_NOTES: &str = "\
Messages and broadcasts are printed whatever their type is, unless --type chooses. Requests are printed of the types
that --type names, for it is the agent that says who handles them: with --echo or --answer the agent answers them as
long as this command runs, without either it refuses them. Of several listeners the first one that answers does.

The first line says that the listener is in place; of what comes afterwards nothing is missed without being told. Bytes
that are no text are printed in hexadecimal after 0x, and long payloads are cut; --json has all of them, a text or
{\"bytes\":\"hex\"}.

Examples:
  gossip listen
  gossip listen --type 200 --type 201 --echo
  gossip listen --type 200 --answer pong
  gossip listen --json | jq -r 'select(.event == \"broadcast\") | .payload'";

/// Whom a message or a request is for; everybody if nothing is given.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct TargetArgs {
    /// Only this member: its id, the beginning of it, or its name.
    #[arg(long, value_name = "ID")]
    to: Option<String>,
    /// Only members with this tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only members with this metadata; K=* any value, K=~TEXT one that contains TEXT; may be repeated, all must hold.
    #[arg(long, value_name = "K=V", value_parser = condition)]
    group: Vec<String>,
    /// Every member but the agent's own; as if nothing was given.
    #[arg(long)]
    all: bool,
}

impl TargetArgs {
    /// Whether it is one member that is meant.
    pub(crate) fn is_one(&self) -> bool {
        self.to.is_some()
    }
}

impl From<TargetArgs> for Target {
    fn from(args: TargetArgs) -> Self {
        match args {
            TargetArgs { to: Some(node), .. } => Self::Node(node),
            TargetArgs { tag: Some(tag), .. } => Self::Tag(tag),
            TargetArgs { group, .. } if !group.is_empty() => Self::Group(group),
            TargetArgs { .. } => Self::All,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// By streams; to one member or a group: wait until each has confirmed.
    #[arg(long)]
    pub(crate) reliable: bool,
    /// Type of the message, 128 to 65535.
    #[arg(value_name = "TYPE", value_parser = message_type)]
    pub(crate) kind: u16,
    /// What it says: a text, - for stdin, or @FILE.
    #[arg(allow_negative_numbers = true)]
    pub(crate) payload: Source,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Write the bytes of the answer as they are, and nothing else; with --to only.
    #[arg(long, requires = "to", conflicts_with = "json")]
    pub(crate) raw: bool,
    /// Type of the request, 128 to 65535.
    #[arg(value_name = "TYPE", value_parser = message_type)]
    pub(crate) kind: u16,
    /// What it says: a text, - for stdin, or @FILE.
    #[arg(allow_negative_numbers = true)]
    pub(crate) payload: Source,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Only messages of this type, and its requests too; 128 to 65535, may be repeated.
    #[arg(long = "type", value_name = "N", value_parser = message_type)]
    pub(crate) types: Vec<u16>,
    /// Answer each request with this: a text, - for stdin, or @FILE.
    #[arg(long, value_name = "TEXT", requires = "types", conflicts_with = "echo")]
    pub(crate) answer: Option<Source>,
    /// Answer each request with what it says.
    #[arg(long, requires = "types")]
    pub(crate) echo: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// Reads the type of a message.
fn message_type(text: &str) -> Result<u16, String> {
    let number = text.parse::<u16>().map_err(|_| "expected a number from 128 to 65535".to_owned())?;
    match MessageType::user(number) {
        Ok(_) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a condition on metadata; it travels to the agent as it was given.
fn condition(text: &str) -> Result<String, String> {
    match text.parse::<Criteria>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.problem.to_string()),
    }
}

/// The timeout of a request is not that of the agent, which tells at once what comes.
pub(super) fn request_timeout(timeout: Arg) -> Arg {
    timeout
        .help("How long to wait for answers, 1ms to 1h; a number alone means seconds")
        .default_value("5s")
        .value_parser(wait)
}

/// Reads how long answers are waited for.
fn wait(text: &str) -> Result<Duration, String> {
    let wait = span(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(1)..=LONGEST_WAIT).contains(&wait) {
        Ok(wait)
    } else {
        Err("expected 1ms to 1h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_the_protocol_or_of_no_number_is_refused() {
        assert_eq!((message_type("128"), message_type("65535")), (Ok(128), Ok(65_535)));
        for text in ["0", "63", "64", "127", "65536", "-1", "ping", ""] {
            let error = message_type(text).unwrap_err();
            assert!(error.contains("128"), "{text}: {error}");
        }
    }

    #[test]
    fn a_wait_has_bounds() {
        assert_eq!(wait("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(wait("1h"), Ok(LONGEST_WAIT));
        for text in ["0", "61m", "soon"] {
            assert!(wait(text).is_err(), "{text}");
        }
    }
}
