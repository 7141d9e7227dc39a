//! A runtime that counts what a node does in it: tasks that live, and how often they were polled. A test can hold them
//! still.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::task::{Context, Poll};
use std::time::Instant;

use gossip_driver::{Runtime, SocketBuffers};

static TASKS: AtomicUsize = AtomicUsize::new(0);
static POLLS: AtomicUsize = AtomicUsize::new(0);

/// Tasks of nodes in [`Tallied`] runtimes that have not ended.
pub(crate) fn tasks() -> usize {
    TASKS.load(Ordering::SeqCst)
}

/// How often tasks of nodes in [`Tallied`] runtimes were polled so far.
pub(crate) fn polls() -> usize {
    POLLS.load(Ordering::SeqCst)
}

/// What tasks of nodes in [`Tallied`] runtimes are polled under.
static TURN: RwLock<()> = RwLock::new(());

/// Keeps tasks of nodes in [`Tallied`] runtimes from being polled. It must be dropped before the test waits.
pub(crate) type Hold = RwLockWriteGuard<'static, ()>;

/// Holds all tasks still that nodes have in [`Tallied`] runtimes, once none is being polled.
pub(crate) fn hold() -> Hold {
    TURN.write().unwrap_or_else(PoisonError::into_inner)
}

/// Another runtime, and a count for the whole process.
#[derive(Clone)]
pub(crate) struct Tallied<R>(R);

impl<R: Runtime> Runtime for Tallied<R> {
    type Datagrams = R::Datagrams;
    type Listener = R::Listener;
    type Stream = R::Stream;
    type Timer = R::Timer;

    fn current() -> Result<Self, String> {
        R::current().map(Self)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        TASKS.fetch_add(1, Ordering::SeqCst);
        self.0.spawn(Task(Box::pin(task)));
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn timer(&self, deadline: Instant) -> R::Timer {
        self.0.timer(deadline)
    }

    fn bind_datagrams(&self, address: SocketAddr, buffers: SocketBuffers) -> io::Result<R::Datagrams> {
        self.0.bind_datagrams(address, buffers)
    }

    fn bind_listener(&self, address: SocketAddr) -> io::Result<R::Listener> {
        self.0.bind_listener(address)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<R::Stream> {
        self.0.connect(address).await
    }

    async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.0.lookup(host, port).await
    }
}

struct Task(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let _turn = TURN.read().unwrap_or_else(PoisonError::into_inner);
        POLLS.fetch_add(1, Ordering::SeqCst);
        self.0.as_mut().poll(cx)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        TASKS.fetch_sub(1, Ordering::SeqCst);
    }
}
