//! A runtime in memory, for tests: time passes only when nobody has anything to do, and the network does what a test
//! tells it to.

// By its path, because the fuzz targets take this file in by its path too.
#[path = "memory/stream.rs"]
mod stream;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::runtime::{Datagrams, Listener, Runtime, SocketBuffers, Timer};

pub(crate) use stream::Stream;

/// A runtime, its clock and its network.
#[derive(Clone)]
pub(crate) struct Memory {
    world: Arc<Mutex<World>>,
}

struct World {
    now: Instant,
    tasks: Vec<Task>,
    /// What each timer that is waited for is set to, and who waits.
    timers: BTreeMap<u64, (Instant, Waker)>,
    last_timer: u64,
    sockets: HashMap<SocketAddr, Mailbag>,
    listeners: HashMap<SocketAddr, Doorway>,
    /// Where connecting never ends.
    black_holes: Vec<SocketAddr>,
    last_port: u16,
    /// Whose tasks are spawned now: a number for each process, as a test assigns them.
    process: u32,
    frozen: Option<u32>,
    /// How often any task was polled.
    polls: u64,
}

struct Task {
    process: u32,
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
    woken: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Datagrams of one socket.
#[derive(Default)]
struct Mailbag {
    arrived: VecDeque<Result<(Vec<u8>, SocketAddr), ErrorKind>>,
    reader: Option<Waker>,
    /// Sends do not get through for now.
    full: bool,
    writer: Option<Waker>,
}

/// Connections not accepted yet.
#[derive(Default)]
struct Doorway {
    waiting: VecDeque<(Stream, SocketAddr)>,
    acceptor: Option<Waker>,
}

thread_local! {
    static CURRENT: std::cell::RefCell<Option<Memory>> = const { std::cell::RefCell::new(None) };
}

impl Memory {
    /// A world of its own, which is also what [`Runtime::current`] means on this thread from now on.
    pub(crate) fn new() -> Self {
        let world = World {
            now: Instant::now(),
            tasks: Vec::new(),
            timers: BTreeMap::new(),
            last_timer: 0,
            sockets: HashMap::new(),
            listeners: HashMap::new(),
            black_holes: Vec::new(),
            last_port: 20_000,
            process: 0,
            frozen: None,
            polls: 0,
        };
        let memory = Self { world: Arc::new(Mutex::new(world)) };
        CURRENT.with(|current| *current.borrow_mut() = Some(memory.clone()));
        memory
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs everything until `work` is done; time passes when nobody has anything to do, at most `limit` of it.
    pub(crate) fn block_on<T>(&self, limit: Duration, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let deadline = self.now() + limit;
        loop {
            if woken.0.swap(false, Ordering::SeqCst)
                && let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return output;
            }
            let ran = self.run_woken();
            if !ran && !woken.0.load(Ordering::SeqCst) {
                assert!(self.pass_time(deadline), "did not happen within {limit:?}");
            }
        }
    }

    /// Lets `span` pass, and everybody do what is due in it.
    pub(crate) fn run_for(&self, span: Duration) {
        let deadline = self.now() + span;
        while self.run_woken() || self.pass_time(deadline) {}
        self.world().now = deadline;
    }

    /// What is spawned from now on belongs to this process.
    pub(crate) fn enter_process(&self, process: u32) {
        self.world().process = process;
    }

    /// Stops a process in its tracks while time passes for the others, or lets all run.
    pub(crate) fn freeze(&self, process: Option<u32>) {
        self.world().frozen = process;
    }

    /// Lets each that has something to do take one turn, or else time pass to the next timer.
    pub(crate) fn step(&self) {
        if !self.run_woken() {
            let forever = self.now() + Duration::from_hours(1);
            self.pass_time(forever);
        }
    }

    /// Polls each task that was woken, once; whether there was one.
    fn run_woken(&self) -> bool {
        let tasks = std::mem::take(&mut self.world().tasks);
        let frozen = self.world().frozen;
        let (ready, mut rest): (Vec<Task>, Vec<Task>) = tasks
            .into_iter()
            .partition(|task| frozen != Some(task.process) && task.woken.0.swap(false, Ordering::SeqCst));
        let ran = !ready.is_empty();
        for mut task in ready {
            let mut world = self.world();
            world.polls += 1;
            world.process = task.process;
            drop(world);
            let waker = Waker::from(Arc::clone(&task.woken));
            if task.work.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                rest.push(task);
            }
        }
        self.world().tasks.append(&mut rest);
        ran
    }

    /// Moves the clock to the next timer; false if there is none until `deadline`.
    fn pass_time(&self, deadline: Instant) -> bool {
        let mut world = self.world();
        let Some(next) = world.timers.values().map(|(at, _)| *at).min().filter(|&at| at <= deadline) else {
            return false;
        };
        world.now = world.now.max(next);
        let (due, later): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut world.timers).into_iter().partition(|(_, (at, _))| *at <= next);
        world.timers = later;
        for (_, waker) in due.into_values() {
            waker.wake();
        }
        true
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.world().tasks.len()
    }

    /// How often any task was polled so far.
    pub(crate) fn polls(&self) -> u64 {
        self.world().polls
    }

    /// Connecting to this address never ends.
    pub(crate) fn swallow(&self, address: SocketAddr) {
        self.world().black_holes.push(address);
    }

    /// Lets the sends of a socket through, or not.
    pub(crate) fn set_full(&self, socket: SocketAddr, full: bool) {
        let mut world = self.world();
        let bag = world.sockets.get_mut(&socket).expect("the socket is bound");
        bag.full = full;
        bag.writer.take().into_iter().for_each(Waker::wake);
    }

    /// Makes the next receive of a socket fail.
    pub(crate) fn fail_receive(&self, socket: SocketAddr, kind: ErrorKind) {
        let mut world = self.world();
        let bag = world.sockets.get_mut(&socket).expect("the socket is bound");
        bag.arrived.push_back(Err(kind));
        bag.reader.take().into_iter().for_each(Waker::wake);
    }

    fn free_port(&self, mut address: SocketAddr) -> SocketAddr {
        if address.port() == 0 {
            let mut world = self.world();
            world.last_port += 1;
            address.set_port(world.last_port);
        }
        address
    }
}

impl Runtime for Memory {
    type Datagrams = Socket;
    type Listener = Door;
    type Stream = Stream;
    type Timer = Alarm;

    fn current() -> Result<Self, String> {
        CURRENT.with(|current| current.borrow().clone()).ok_or_else(|| "no world was made on this thread".to_owned())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        let mut world = self.world();
        let process = world.process;
        world.tasks.push(Task { process, work: Box::pin(task), woken });
    }

    fn now(&self) -> Instant {
        self.world().now
    }

    fn timer(&self, deadline: Instant) -> Alarm {
        let mut world = self.world();
        world.last_timer += 1;
        Alarm { memory: self.clone(), id: world.last_timer, deadline }
    }

    fn bind_datagrams(&self, address: SocketAddr, _buffers: SocketBuffers) -> io::Result<Socket> {
        let address = self.free_port(address);
        let mut world = self.world();
        if world.sockets.contains_key(&address) {
            return Err(ErrorKind::AddrInUse.into());
        }
        world.sockets.insert(address, Mailbag::default());
        Ok(Socket { memory: self.clone(), address })
    }

    fn bind_listener(&self, address: SocketAddr) -> io::Result<Door> {
        let address = self.free_port(address);
        let mut world = self.world();
        if world.listeners.contains_key(&address) {
            return Err(ErrorKind::AddrInUse.into());
        }
        world.listeners.insert(address, Doorway::default());
        Ok(Door { memory: self.clone(), address })
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let swallowed = self.world().black_holes.contains(&address);
        if swallowed {
            std::future::pending::<()>().await;
        }
        let from = self.free_port(SocketAddr::new(address.ip(), 0));
        let mut world = self.world();
        let Some(door) = world.listeners.get_mut(&address) else {
            return Err(ErrorKind::ConnectionRefused.into());
        };
        let (ours, theirs) = Stream::pair();
        door.waiting.push_back((theirs, from));
        door.acceptor.take().into_iter().for_each(Waker::wake);
        Ok(ours)
    }

    async fn lookup(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        Err(ErrorKind::NotFound.into())
    }
}

pub(crate) struct Alarm {
    memory: Memory,
    id: u64,
    deadline: Instant,
}

impl Timer for Alarm {
    fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.memory.world().timers.remove(&self.id);
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut world = self.memory.world();
        if self.deadline <= world.now {
            return Poll::Ready(());
        }
        world.timers.insert(self.id, (self.deadline, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.memory.world().timers.remove(&self.id);
    }
}

pub(crate) struct Socket {
    memory: Memory,
    address: SocketAddr,
}

impl Datagrams for Socket {
    fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut world = self.memory.world();
        let bag = world.sockets.get_mut(&self.address).expect("the socket is bound");
        match bag.arrived.pop_front() {
            Some(Ok((bytes, from))) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Poll::Ready(Ok((bytes.len(), from)))
            }
            Some(Err(kind)) => Poll::Ready(Err(kind.into())),
            None => {
                bag.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<()>> {
        let mut world = self.memory.world();
        let bag = world.sockets.get_mut(&self.address).expect("the socket is bound");
        if bag.full {
            bag.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(target) = world.sockets.get_mut(&to) {
            target.arrived.push_back(Ok((bytes.to_vec(), self.address)));
            target.reader.take().into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Ok(()))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.memory.world().sockets.remove(&self.address);
    }
}

pub(crate) struct Door {
    memory: Memory,
    address: SocketAddr,
}

impl Listener for Door {
    type Stream = Stream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        let mut world = self.memory.world();
        let door = world.listeners.get_mut(&self.address).expect("the listener is bound");
        if let Some(accepted) = door.waiting.pop_front() {
            return Poll::Ready(Ok(accepted));
        }
        door.acceptor = Some(cx.waker().clone());
        Poll::Pending
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let doorway = self.memory.world().listeners.remove(&self.address);
        drop(doorway);
    }
}
