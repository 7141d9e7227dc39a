//! The agent's side of the control endpoint: bounded connections, each served request by request.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::answer::Steering;
use super::lines::{LineReader, LineWriter};
use super::protocol::{ErrorKind, ErrorRow, MAX_REQUEST, Reply, Request};
#[cfg(unix)]
use super::unix_socket::{self, SocketFile};
use super::{ControlAddress, Stream};
use crate::exit::Failure;

/// Clients served at once; further ones are turned away.
const MAX_CLIENTS: u32 = 32;
/// How long a client may take to send a request, and to say nothing between two.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to read what it is sent.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long an agent that stops waits for its clients to take their last answers.
const FAREWELL: Duration = Duration::from_secs(1);
/// Rest after the system refused to hand over a connection.
const ACCEPT_REST: Duration = Duration::from_secs(1);

/// Where the requests of one client come from.
pub(crate) type Lines = LineReader<ReadHalf<Box<dyn Stream>>>;
/// Where the answers to one client go.
pub(crate) type Answers = LineWriter<WriteHalf<Box<dyn Stream>>>;

/// A bound control endpoint.
#[derive(Debug)]
pub(crate) struct Server {
    listener: Listener,
    address: ControlAddress,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix {
        listener: UnixListener,
        #[expect(dead_code, reason = "dropping it removes the file")]
        file: SocketFile,
    },
}

impl Server {
    /// Binds the endpoint. Clients wait until [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// What stands in the way, and that `--control` chooses another place.
    pub(crate) async fn bind(address: &ControlAddress) -> Result<Self, Failure> {
        let bound = match address {
            ControlAddress::Tcp(at) => Self::bind_tcp(*at).await,
            #[cfg(unix)]
            ControlAddress::Unix(path) => unix_socket::listen(path)
                .await
                .map(|(listener, file)| Self::new(Listener::Unix { listener, file }, address.clone())),
            #[cfg(not(unix))]
            ControlAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        bound.map_err(|error| {
            let reason = match error.kind() {
                io::ErrorKind::AddrInUse => "the address is in use, perhaps by another agent".to_owned(),
                _ => error.to_string(),
            };
            Failure::failed(format!(
                "cannot listen for control at {address}: {reason}; choose another by --control ADDR, or --control none"
            ))
        })
    }

    async fn bind_tcp(at: std::net::SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let address = ControlAddress::Tcp(listener.local_addr()?);
        Ok(Self::new(Listener::Tcp(listener), address))
    }

    fn new(listener: Listener, address: ControlAddress) -> Self {
        Self { listener, address, places: Arc::new(Semaphore::new(MAX_CLIENTS as usize)) }
    }

    /// Waits a little for clients to be given the end of what they asked for.
    pub(crate) async fn finish(&self) {
        // Those that do not go by themselves are cut off.
        let _ = timeout(FAREWELL, self.places.acquire_many(MAX_CLIENTS)).await;
    }

    /// Where it listens; a port 0 that was asked for is now the real one.
    pub(crate) fn address(&self) -> &ControlAddress {
        &self.address
    }

    /// Serves clients; ends only by being dropped, which leaves connections under way to their own end.
    pub(crate) async fn run(&self, steering: Arc<Steering>) {
        loop {
            let stream = match self.listener.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control connection");
                    sleep(ACCEPT_REST).await;
                    continue;
                }
            };
            let (reader, writer) = tokio::io::split(stream);
            let mut answers = LineWriter::new(writer, WRITE_PATIENCE);
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                let full = format!("{MAX_CLIENTS} clients are connected already, try again later");
                let _ = refuse(&mut answers, ErrorKind::Failed, full).await;
                continue;
            };
            let steering = Arc::clone(&steering);
            tokio::spawn(async move {
                if let Err(error) = serve(LineReader::new(reader, MAX_REQUEST), answers, &steering).await {
                    tracing::debug!(%error, "a control connection broke");
                }
                drop(place);
            });
        }
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            #[cfg(unix)]
            Self::Unix { listener, .. } => Box::new(listener.accept().await?.0),
        })
    }
}

async fn serve(mut lines: Lines, mut answers: Answers, steering: &Steering) -> io::Result<()> {
    loop {
        let line = match timeout(REQUEST_PATIENCE, lines.next()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return refuse(&mut answers, ErrorKind::Usage, error.to_string()).await,
            Err(_) => return refuse(&mut answers, ErrorKind::Failed, "no request in time".to_owned()).await,
        };
        match serde_json::from_slice::<Request>(&line) {
            Ok(request) => steering.answer(request, &mut lines, &mut answers).await?,
            Err(error) => return refuse(&mut answers, ErrorKind::Usage, format!("not a request: {error}")).await,
        }
    }
}

async fn refuse(answers: &mut Answers, kind: ErrorKind, message: String) -> io::Result<()> {
    answers.write(&Reply::Error(ErrorRow { kind, message })).await?;
    answers.flush().await
}
