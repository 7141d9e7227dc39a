//! The control endpoint: how a running agent is asked and steered from outside.
//!
//! An agent listens on a loopback TCP port or on a Unix socket. What goes over the connection are lines of JSON, one
//! object each. A client sends requests, one after the other; to each the agent answers with any number of `item`
//! lines and then exactly one `done` or `error` line:
//!
//! ```text
//! → {"do":"members","state":"alive"}
//! ← {"item":{"id":"0192f0c1-…","name":"web-1","address":"10.0.0.5:7979","state":"alive",…}}
//! ← {"done":{"members":1}}
//! → {"do":"meta_get","node":"0192","key":"zone"}
//! ← {"error":{"kind":"usage","message":"no member has the name \"0192\" or an id that begins with it; …"}}
//! ```
//!
//! The requests are those of [`protocol::Request`]. The kind of an error is one of [`protocol::ErrorKind`]. `monitor`,
//! `listen`, `kv_watch` and `leader_watch` send one `item` for each event, message or change until the client closes the
//! connection or sends anything; what a client reads too slowly is dropped and told of by an event `missed`. A `request`
//! is cancelled when the client closes the connection. A `lock` is held until the client says otherwise, and released
//! when it closes the connection.
//!
//! A payload follows the line of its request, byte by byte as it is; the field `body` says how long it is:
//!
//! ```text
//! → {"do":"send","to":{"tag":"web"},"type":200,"body":5}
//! → hello
//! ← {"done":{"members":3,"broadcast":"…"}}
//! ```
//!
//! In answers payloads are texts where they read as such, and `{"bytes":"hex"}` otherwise.
//!
//! Whoever can connect can steer the agent. On a Unix socket those are the agent's user and root (its mode is 0600);
//! on loopback TCP they are all users of the machine, so keys are not changed there, on either side. Other addresses are
//! refused. An agent with keys listens at the socket of its user unless it is told otherwise, others at a port.
//! Commands go to the socket if there is one, and to the port only if there is none: whoever has taken the port does not
//! get what was meant for an agent that has died. A change of keys goes to nobody but the user's own agent, or root's.
//!
//! A client that floods, sends garbage or falls silent costs a bounded amount: connections are counted, lines are
//! bounded, waiting has deadlines, payloads over the node's limit are not kept, only few large ones are read at once,
//! clients without a request give way to new ones, monitors, listeners and watchers, and those who wait for other
//! nodes' answers, have a share of the places, and the first line that is not a request ends the connection. The last
//! rule also keeps out web pages that make a browser post to the port: what they send begins with an HTTP request line.

pub(crate) mod answer;
mod body;
pub(crate) mod client;
mod lines;
mod listeners;
pub(crate) mod own;
pub(crate) mod protocol;
pub(crate) mod server;
#[cfg(unix)]
mod unix_socket;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::exit::Failure;

/// Where an agent without keys is controlled unless told otherwise.
const DEFAULT: &str = "127.0.0.1:7980";

/// Where an agent is controlled: a loopback address or a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ControlAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Default for ControlAddress {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], 7980)))
    }
}

impl FromStr for ControlAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path);
        }
        let address: SocketAddr = text.parse().map_err(|_| {
            format!("not a control address, expected 127.0.0.1:PORT, [::1]:PORT or unix:PATH like {DEFAULT}")
        })?;
        if address.ip().is_loopback() {
            Ok(Self::Tcp(address))
        } else {
            Err("not a loopback address: whoever reaches the control address can steer the agent, so only \
                 127.0.0.1:PORT, [::1]:PORT and unix:PATH are allowed"
                .to_owned())
        }
    }
}

fn unix_path(path: &str) -> Result<ControlAddress, String> {
    if cfg!(not(unix)) {
        Err("this system has no Unix sockets, use 127.0.0.1:PORT".to_owned())
    } else if path.is_empty() {
        Err("the path after unix: is empty".to_owned())
    } else {
        Ok(ControlAddress::Unix(path.into()))
    }
}

impl fmt::Display for ControlAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl ControlAddress {
    /// Whether nobody can connect but the agent's user.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

/// Where a command looks for an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ControlTarget {
    /// At the socket of the user, or if there is none at the usual port.
    Usual,
    At(ControlAddress),
}

/// What an agent is told about its control endpoint: an address, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum ControlChoice {
    At(ControlAddress),
    None,
}

impl ControlChoice {
    /// What holds if nothing is said.
    ///
    /// # Errors
    ///
    /// The user has no place for a socket, and the agent needs one because it has keys.
    pub(crate) fn usual(has_keys: bool) -> Result<Self, Failure> {
        if !has_keys || cfg!(not(unix)) {
            return Ok(Self::At(ControlAddress::default()));
        }
        own::address().map(Self::At).map_err(|wrong| {
            let wrong = if wrong.is_empty() { String::new() } else { format!(" ({wrong})") };
            Failure::usage(format!(
                "an agent with keys is controlled over a socket of its user, and neither XDG_RUNTIME_DIR nor HOME names \
                 a directory of this user where nobody else can write{wrong}: give --control unix:PATH, or --control none"
            ))
        })
    }
}

impl FromStr for ControlChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self::None) } else { text.parse().map(Self::At) }
    }
}

impl TryFrom<String> for ControlChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ControlChoice> for String {
    fn from(choice: ControlChoice) -> Self {
        match choice {
            ControlChoice::At(address) => address.to_string(),
            ControlChoice::None => "none".to_owned(),
        }
    }
}

/// A connection of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Stream for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["127.0.0.1:7980", "127.5.0.1:1", "[::1]:7980", "unix:/run/gossip.sock"] {
            assert_eq!(text.parse::<ControlAddress>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(ControlAddress::default().to_string(), DEFAULT);
    }

    #[test]
    fn only_loopback_and_sockets_are_accepted() {
        for (text, reason) in [
            ("0.0.0.0:7980", "loopback"),
            ("10.0.0.1:7980", "loopback"),
            ("[::]:7980", "loopback"),
            ("localhost:7980", "expected"),
            ("7980", "expected"),
            ("unix:", "empty"),
        ] {
            let error = text.parse::<ControlAddress>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert_eq!("none".parse(), Ok(ControlChoice::None));
    }
}
