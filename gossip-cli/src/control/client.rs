//! The client's side of the control endpoint: one request, and the lines of its answer.

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::lines::{LineReader, LineWriter};
use super::protocol::{MAX_REPLY, PRIVATE_KEYS, Reply, Request};
#[cfg(unix)]
use super::unix_socket;
use super::{ControlAddress, ControlTarget, Stream, own};
use crate::args::Remote;
use crate::exit::Failure;

/// What is likely to be wrong where somebody listens who is not asked like this.
const GOSSIP_PORT: &str = "; if this is the port where an agent gossips, name its control address with --control";

/// A connection on which one request was made.
#[derive(Debug)]
pub(crate) struct Client {
    address: ControlAddress,
    replies: LineReader<ReadHalf<Box<dyn Stream>>>,
    /// It has spoken like an agent.
    is_agent: bool,
    /// Kept open: the agent takes its end for the client's.
    requests: LineWriter<WriteHalf<Box<dyn Stream>>>,
}

/// The answer to a request that was carried out.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) items: Vec<Json>,
    pub(crate) done: Json,
}

impl Client {
    /// Connects and sends the request.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreachable`] if no agent is there.
    pub(crate) async fn request(remote: &Remote, request: &Request) -> Result<Self, Failure> {
        Self::request_with(remote, request, &[]).await
    }

    /// Connects and sends the request, and the payload that belongs to it.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreachable`] if no agent is there.
    pub(crate) async fn request_with(remote: &Remote, request: &Request, body: &[u8]) -> Result<Self, Failure> {
        let dial = Dial { patience: remote.timeout, is_private: request.is_private() };
        let (address, stream) = match &remote.control {
            Some(ControlTarget::At(address)) => (address.clone(), dial.connect(address).await?),
            Some(ControlTarget::Usual) | None => dial.connect_as_usual().await?,
        };
        let (reader, writer) = tokio::io::split(stream);
        let mut requests = LineWriter::new(writer, remote.timeout);
        let sent = async {
            requests.write(request).await?;
            requests.write_bytes(body).await?;
            requests.flush().await
        };
        sent.await.map_err(|error| broken(&address, &error))?;
        Ok(Self { address, replies: LineReader::new(reader, MAX_REPLY), is_agent: false, requests })
    }

    /// Says something more about what was asked for.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreachable`] if the connection broke.
    pub(crate) async fn say(&mut self, word: &impl Serialize) -> Result<(), Failure> {
        let said = async {
            self.requests.write(word).await?;
            self.requests.flush().await
        };
        said.await.map_err(|error| broken(&self.address, &error))
    }

    /// The next part of the answer, or its end. Without `patience` it waits for ever.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreachable`] if the agent says nothing or nonsense; what it says if it refuses.
    pub(crate) async fn next(&mut self, patience: Option<Duration>) -> Result<Reply, Failure> {
        let line = match patience {
            None => self.replies.next().await,
            Some(patience) => timeout(patience, self.replies.next()).await.unwrap_or_else(|_| {
                let waited = humantime::format_duration(patience);
                Err(io::Error::other(format!("no answer within {waited}; --timeout waits longer")))
            }),
        };
        let line = line.map_err(|error| broken(&self.address, &error))?;
        let Some(line) = line else {
            let hint = if self.is_agent { "; has it stopped?" } else { GOSSIP_PORT };
            return Err(broken(&self.address, &io::Error::other(format!("it closed the connection{hint}"))));
        };
        let reply = serde_json::from_slice(&line);
        self.is_agent |= reply.is_ok();
        match reply {
            Ok(Reply::Error(row)) => Err(row.into()),
            Ok(reply) => Ok(reply),
            Err(_) => Err(Failure::unreachable(format!(
                "what listens at {} is not the control address of a gossip agent{GOSSIP_PORT}",
                self.address
            ))),
        }
    }

    /// Reads everything, waiting for each part for as long as `patience`.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next).
    pub(crate) async fn whole_answer(mut self, patience: Duration) -> Result<Answer, Failure> {
        let mut items = Vec::new();
        loop {
            match self.next(Some(patience)).await? {
                Reply::Item(item) => items.push(item),
                Reply::Done(done) => return Ok(Answer { items, done }),
                Reply::Error(row) => return Err(row.into()),
            }
        }
    }
}

/// Makes a request and reads its whole answer.
///
/// # Errors
///
/// Those of [`Client::request`] and [`Client::next`].
pub(crate) async fn ask(remote: &Remote, request: &Request) -> Result<Answer, Failure> {
    Client::request(remote, request).await?.whole_answer(remote.timeout).await
}

/// Reads a row of an answer.
///
/// # Errors
///
/// The agent speaks of something that this client does not know: it is of another version.
pub(crate) fn row<T: DeserializeOwned>(item: Json) -> Result<T, Failure> {
    serde_json::from_value(item)
        .map_err(|error| Failure::failed(format!("the agent's answer is of another version of this command: {error}")))
}

/// How a connection is made.
#[derive(Clone, Copy, Debug)]
struct Dial {
    patience: Duration,
    /// Whether nobody but the agent of this user, or of root, may be asked.
    is_private: bool,
}

impl Dial {
    /// A connection to the agent of the user; to the one at the usual port if no socket is there.
    async fn connect_as_usual(self) -> Result<(ControlAddress, Box<dyn Stream>), Failure> {
        let own::Sockets { own, doubtful } = own::sockets();
        let mut absent = None;
        for address in own {
            match self.connect(&address).await {
                Ok(stream) => return Ok((address, stream)),
                Err(failure) => absent = absent.or(Some(failure)),
            }
        }
        // An agent that left its socket is meant, and not whoever has the port.
        if let Some(failure) = absent {
            return Err(failure);
        }
        if !doubtful.is_empty() {
            return Err(Failure::failed(format!(
                "this may not be the socket of an agent of this user: {}; put that right, or name the agent's control \
                 address with --control",
                doubtful.join("; ")
            )));
        }
        let address = ControlAddress::default();
        let stream = self.connect(&address).await?;
        Ok((address, stream))
    }

    async fn connect(self, address: &ControlAddress) -> Result<Box<dyn Stream>, Failure> {
        if self.is_private && !address.is_private() {
            // Whoever listens at a port need not be the agent, and a key is sent.
            return Err(Failure::failed(PRIVATE_KEYS));
        }
        match timeout(self.patience, self.open(address)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Err(Failure::unreachable(format!(
                "nothing was sent to {address}: {error}; run this command as the user of the agent"
            ))),
            Ok(outcome) => outcome.map_err(|error| absent(address, &error.to_string())),
            Err(_) => Err(absent(address, "no connection in time")),
        }
    }

    async fn open(self, address: &ControlAddress) -> io::Result<Box<dyn Stream>> {
        Ok(match address {
            ControlAddress::Tcp(at) => Box::new(TcpStream::connect(at).await?),
            #[cfg(unix)]
            ControlAddress::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await?;
                if self.is_private {
                    unix_socket::refuse_strangers(&stream)?;
                }
                Box::new(stream)
            }
            #[cfg(not(unix))]
            ControlAddress::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

fn absent(address: &ControlAddress, reason: &str) -> Failure {
    Failure::unreachable(format!(
        "no agent at {address} ({reason}); start one with 'gossip agent', or name its control address with --control"
    ))
}

fn broken(address: &ControlAddress, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::InvalidData
        | io::ErrorKind::UnexpectedEof => GOSSIP_PORT,
        _ => "",
    };
    Failure::unreachable(format!("the agent at {address} does not answer: {error}{hint}"))
}
