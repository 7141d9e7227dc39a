//! The agent's side of the control endpoint: bounded connections, each served request by request.

use std::collections::BTreeMap;
use std::io;
#[cfg(unix)]
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, oneshot};
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use super::answer::Steering;
use super::lines::{LineReader, LineWriter};
#[cfg(unix)]
use super::own;
use super::protocol::{ErrorKind, ErrorRow, MAX_REQUEST, PRIVATE_KEYS, Reply, Request};
#[cfg(unix)]
use super::unix_socket::{self, SocketFile};
use super::{ControlAddress, Stream};
use crate::exit::Failure;

/// Clients served at once. For a further one the client gives way that has been without a request for the longest time.
const MAX_CLIENTS: u32 = 96;
/// Monitors, listeners and watchers among them; others need a place too.
const MAX_FOLLOWERS: usize = 24;
/// Those among them who wait for answers of other nodes.
const MAX_ASKING: usize = 24;
/// Those who have a lock or wait for one.
const MAX_LOCKING: usize = 32;
/// How long a client may take to send a request, and to say nothing between two.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to read what it is sent.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long an agent that stops waits for its clients to take their last answers.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a client that has to give way may take to do so.
const GIVE_WAY: Duration = Duration::from_secs(1);
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
    crowd: Arc<Crowd>,
}

/// Who of the clients could give way to others.
#[derive(Debug)]
struct Crowd {
    waiting: Mutex<Waiting>,
    followers: Semaphore,
    asking: Semaphore,
    locking: Semaphore,
}

/// Clients of whom no request is under way, by the order in which they began to be so.
#[derive(Debug, Default)]
struct Waiting {
    begun: u64,
    clients: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A client's place among those that wait.
#[derive(Debug)]
struct Wait {
    number: u64,
    gives_way: oneshot::Receiver<()>,
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
            ControlAddress::Unix(path) => Self::bind_unix(path).await,
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

    #[cfg(unix)]
    async fn bind_unix(path: &Path) -> io::Result<Self> {
        own::prepare(path)?;
        let (listener, file) = unix_socket::listen(path).await?;
        Ok(Self::new(Listener::Unix { listener, file }, ControlAddress::Unix(path.to_owned())))
    }

    fn new(listener: Listener, address: ControlAddress) -> Self {
        let (followers, asking) = (Semaphore::new(MAX_FOLLOWERS), Semaphore::new(MAX_ASKING));
        let locking = Semaphore::new(MAX_LOCKING);
        let crowd = Crowd { waiting: Mutex::default(), followers, asking, locking };
        Self { listener, address, places: Arc::new(Semaphore::new(MAX_CLIENTS as usize)), crowd: Arc::new(crowd) }
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
            let Some(place) = self.place().await else {
                let full = format!("{MAX_CLIENTS} clients are being answered already, try again later");
                let _ = refuse(&mut answers, ErrorKind::Failed, full).await;
                continue;
            };
            let (steering, crowd) = (Arc::clone(&steering), Arc::clone(&self.crowd));
            let is_private = self.address.is_private();
            // Of many that come at once, the first can give way before their tasks have run.
            let wait = crowd.wait();
            tokio::spawn(async move {
                let lines = LineReader::new(reader, MAX_REQUEST);
                if let Err(error) = serve(lines, answers, (&steering, is_private), (&crowd, wait), place).await {
                    tracing::debug!(%error, "a control connection broke");
                }
            });
        }
    }

    /// A free place, or that of a client that gives way.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let places = Arc::clone(&self.places);
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            return Some(place);
        }
        if !self.crowd.thin_out() {
            return None;
        }
        timeout(GIVE_WAY, places.acquire_owned()).await.ok()?.ok()
    }
}

impl Crowd {
    /// Asks the client to go that has been without a request for the longest time; says whether there is one.
    fn thin_out(&self) -> bool {
        let oldest = self.waiting().clients.pop_first();
        oldest.is_some_and(|(_, word)| word.send(()).is_ok())
    }

    /// From now on a client waits for a request, and may be asked to go.
    fn wait(&self) -> Wait {
        let (word, gives_way) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.begun += 1;
        let number = waiting.begun;
        waiting.clients.insert(number, word);
        Wait { number, gives_way }
    }

    /// The client's next line, within its time; `None` if it has to give way first.
    async fn line(&self, wait: Wait, lines: &mut Lines) -> Option<Result<io::Result<Option<Vec<u8>>>, Elapsed>> {
        let line = tokio::select! {
            line = timeout(REQUEST_PATIENCE, lines.next()) => line,
            _ = wait.gives_way => return None,
        };
        // Whose entry is gone was asked to go at the same moment.
        self.waiting().clients.remove(&wait.number).map(|_| line)
    }

    /// A place for what may last, unless there are too many of it; the error says so.
    fn admit(&self, request: &Request) -> Result<Option<SemaphorePermit<'_>>, String> {
        let (places, most, what) = match request {
            Request::Monitor | Request::Listen { .. } | Request::KvWatch { .. } | Request::LeaderWatch { .. } => {
                (&self.followers, MAX_FOLLOWERS, "monitors, listeners and watchers")
            }
            Request::Ask { .. } | Request::Keys { .. } => (&self.asking, MAX_ASKING, "requests"),
            Request::Lock { .. } => (&self.locking, MAX_LOCKING, "clients that have a lock or wait for one"),
            _ => return Ok(None),
        };
        let full = |_| format!("{most} {what} are connected already, try again later");
        places.try_acquire().map(Some).map_err(full)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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

async fn serve(
    mut lines: Lines,
    mut answers: Answers,
    (steering, is_private): (&Steering, bool),
    (crowd, mut wait): (&Crowd, Wait),
    place: OwnedSemaphorePermit,
) -> io::Result<()> {
    loop {
        let Some(line) = crowd.line(wait, &mut lines).await else {
            drop(place);
            let reason = "the place was needed for another client, and no request came".to_owned();
            return refuse(&mut answers, ErrorKind::Failed, reason).await;
        };
        let line = match line {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return refuse(&mut answers, ErrorKind::Usage, error.to_string()).await,
            Err(_) => return refuse(&mut answers, ErrorKind::Failed, "no request in time".to_owned()).await,
        };
        let request = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => request,
            Err(error) => return refuse(&mut answers, ErrorKind::Usage, format!("not a request: {error}")).await,
        };
        if request.is_private() && !is_private {
            return refuse(&mut answers, ErrorKind::Failed, PRIVATE_KEYS.to_owned()).await;
        }
        let body = match timeout(REQUEST_PATIENCE, steering.body(request.body(), &mut lines)).await {
            Ok(body) => body?,
            Err(_) => return refuse(&mut answers, ErrorKind::Failed, "no payload in time".to_owned()).await,
        };
        let _place = match crowd.admit(&request) {
            Ok(place) => place,
            Err(full) => return refuse(&mut answers, ErrorKind::Failed, full).await,
        };
        steering.answer(request, body, &mut lines, &mut answers).await?;
        wait = crowd.wait();
    }
}

async fn refuse(answers: &mut Answers, kind: ErrorKind, message: String) -> io::Result<()> {
    answers.write(&Reply::Error(ErrorRow { kind, message })).await?;
    answers.flush().await
}
