//! Nodes without datagrams, among themselves and with others, over TCP and over streams of the application's.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_io::Timer;
use futures_io::{AsyncRead, AsyncWrite};
use gossip_driver::{
    Accepting, Acceptor, BroadcastOptions, ByteStream, Cluster, Config, Counter, Dialer, Dialing, Listener,
    MemberState, NodeAddress, Raw, Reliability, Runtime, StartError,
};

use crate::harness::{heard_by, holds, joined, kind, next, quick, seen, start, stop, within};

/// Waits until each of the nodes has heard a broadcast of each other one.
pub(crate) async fn all_hear_all<R: Runtime>(nodes: &[Cluster<R>]) {
    let mut heard: Vec<_> = nodes.iter().map(heard_by).collect();
    for (at, origin) in nodes.iter().enumerate() {
        let options = BroadcastOptions { reliable: true, ..BroadcastOptions::new() };
        within("a broadcast", origin.broadcast(kind(), Raw(vec![7; 100]), options)).await.expect("it is sent");
        for (_, heard) in heard.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            assert_eq!(next(heard).await.from, origin.id());
        }
    }
}

/// Waits until all of the nodes know of this one's death.
async fn death_is_known<R: Runtime>(nodes: &[Cluster<R>], id: gossip_driver::NodeId) {
    for node in nodes {
        let is_dead = |state: MemberState| state == MemberState::Dead;
        seen(node, "the death", |members| members.member(id).is_some_and(|member| is_dead(member.state))).await;
    }
}

pub(crate) async fn nodes_without_datagrams_find_each_other_and_notice_a_crash<R: Runtime>() {
    let mut nodes = joined::<R>((0..5).map(|_| quick("streams").stream_only(true))).await;
    for node in &nodes {
        let bound = node.bind_address().expect("it listens");
        assert_eq!(*node.address(), NodeAddress::Stream(bound));
        UdpSocket::bind(bound).expect("the node has no UDP socket there");
    }
    all_hear_all(&nodes).await;
    let victim = nodes.pop().expect("there are five");
    let id = victim.id();
    stop([victim]).await;
    death_is_known(&nodes, id).await;
    assert_eq!(nodes[0].members().counts().live(), 4, "nobody else is suspected of it");
    stop(nodes).await;
}

pub(crate) async fn nodes_with_and_without_datagrams_are_one_cluster<R: Runtime>() {
    let mut nodes = joined::<R>((0..6).map(|at| quick("mixed").stream_only(at % 2 == 1))).await;
    all_hear_all(&nodes).await;
    // One of each kind.
    for _ in 0..2 {
        let victim = nodes.pop().expect("there are six");
        let id = victim.id();
        stop([victim]).await;
        death_is_known(&nodes, id).await;
    }
    assert_eq!(nodes[0].members().counts().live(), 4, "nobody else is suspected of it");
    stop(nodes).await;
}

pub(crate) async fn sealed_nodes_need_no_datagrams<R: Runtime>() {
    let sealed = || {
        let ring = gossip_driver::KeyRing::new(gossip_driver::Key::new(&[7; 32]));
        quick("sealed streams").keys(ring, gossip_driver::Plaintext::Refuse)
    };
    let mut nodes = joined::<R>((0..4).map(|at| sealed().stream_only(at > 0))).await;
    all_hear_all(&nodes).await;
    let victim = nodes.pop().expect("there are four");
    let id = victim.id();
    stop([victim]).await;
    death_is_known(&nodes, id).await;
    stop(nodes).await;
}

/// A network of the test's own: addresses that exist nowhere else, and nodes whose streams can be cut.
#[derive(Clone, Default)]
struct Overlay(Arc<Mutex<Vec<Site>>>);

#[derive(Clone)]
struct Site {
    /// Where the network says it is.
    place: SocketAddr,
    /// Where it really is.
    behind: SocketAddr,
    /// No byte comes or goes any more.
    is_frozen: Arc<AtomicBool>,
}

impl Overlay {
    /// The settings of a node at the next place of the network.
    fn node<R: Runtime>(&self, cluster: &str) -> Config {
        let runtime = R::current().expect("the test runs in the runtime");
        let listener = runtime.bind_listener(([127, 0, 0, 1], 0).into()).expect("a port is free");
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = u8::try_from(sites.len()).expect("they are few");
        let place = SocketAddr::from(([10, 99, 0, number], 1));
        let behind = listener.local_address().expect("it is bound");
        let is_frozen = Arc::<AtomicBool>::default();
        sites.push(Site { place, behind, is_frozen: Arc::clone(&is_frozen) });
        let acceptor: Gate<R> = Gate { listener: Mutex::new(listener), is_frozen: Arc::clone(&is_frozen) };
        let dialer: Guide<R> = Guide { runtime, overlay: self.clone(), is_frozen };
        let config = quick(cluster).bind("203.0.113.7:1").advertise(format!("tcp://{place}"));
        config.acceptor(acceptor).dialer(dialer)
    }

    fn freeze(&self, at: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[at].is_frozen.store(true, Ordering::SeqCst);
    }
}

struct Gate<R: Runtime> {
    listener: Mutex<R::Listener>,
    is_frozen: Arc<AtomicBool>,
}

impl<R: Runtime> Acceptor for Gate<R> {
    fn accept(&self) -> Accepting<'_> {
        Box::pin(async {
            let accepted =
                std::future::poll_fn(|cx| self.listener.lock().unwrap_or_else(PoisonError::into_inner).poll_accept(cx));
            let stream: ByteStream =
                Box::new(Cut { stream: accepted.await?.0, is_frozen: Arc::clone(&self.is_frozen) });
            Ok(stream)
        })
    }
}

struct Guide<R> {
    runtime: R,
    overlay: Overlay,
    is_frozen: Arc<AtomicBool>,
}

impl<R: Runtime> Dialer for Guide<R> {
    fn dial<'a>(&'a self, to: &'a NodeAddress) -> Dialing<'a> {
        Box::pin(async move {
            let sites = self.overlay.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let site = sites.iter().find(|site| to.socket_address() == Some(site.place));
            let behind = site.ok_or(io::ErrorKind::HostUnreachable)?.behind;
            let stream = self.runtime.connect(behind).await?;
            let stream: ByteStream = Box::new(Cut { stream, is_frozen: Arc::clone(&self.is_frozen) });
            Ok(stream)
        })
    }
}

/// A stream over which nothing goes any more once it is frozen, and nobody is told.
struct Cut<S> {
    stream: S,
    is_frozen: Arc<AtomicBool>,
}

impl<S: Unpin> Cut<S> {
    fn thawed(&mut self) -> Option<Pin<&mut S>> {
        (!self.is_frozen.load(Ordering::SeqCst)).then(|| Pin::new(&mut self.stream))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cut<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        self.thawed().map_or(Poll::Pending, |stream| stream.poll_read(cx, bytes))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cut<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.thawed().map_or(Poll::Pending, |stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.thawed().map_or(Poll::Pending, |stream| stream.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.thawed().map_or(Poll::Pending, |stream| stream.poll_close(cx))
    }
}

pub(crate) async fn a_node_whose_streams_stand_still_is_found_and_holds_nobody_up<R: Runtime>() {
    let overlay = Overlay::default();
    let nodes = joined::<R>((0..4).map(|_| overlay.node::<R>("overlay"))).await;
    assert!(nodes.iter().all(|node| node.bind_address().is_none()), "nothing is bound but what the test bound");
    all_hear_all(&nodes).await;
    let frozen = nodes[3].id();
    overlay.freeze(3);
    // The others go on talking to each other and to the one that does not read, while it is being found out.
    let mut heard = heard_by_again(&nodes[1]);
    let mut slowest = Duration::ZERO;
    within("the death", async {
        while nodes[0].member(frozen).is_none_or(|member| member.state != MemberState::Dead) {
            let _ = nodes[0].send(frozen, kind(), Raw(vec![7; 100_000]), Reliability::BestEffort).await;
            let sent = Instant::now();
            nodes[0]
                .send(nodes[1].id(), kind(), Raw(vec![7; 1_000]), Reliability::Reliable)
                .await
                .expect("it has room");
            next(&mut heard).await;
            slowest = slowest.max(sent.elapsed());
            Timer::after(Duration::from_millis(20)).await;
        }
    })
    .await;
    death_is_known(&nodes[..3], frozen).await;
    assert!(slowest < Duration::from_secs(2), "the others were held up: {slowest:?}");
    assert_eq!(nodes[0].members().counts().live(), 3, "nobody else is suspected of it");
    stop(nodes).await;
}

/// As [`heard_by`], for a node that has the handler already.
fn heard_by_again<R: Runtime>(node: &Cluster<R>) -> async_channel::Receiver<gossip_driver::Message> {
    assert!(node.remove_message_handler(kind()));
    heard_by(node)
}

pub(crate) async fn a_dialer_and_an_acceptor_that_fail_harm_nobody_else<R: Runtime>() {
    let error = Cluster::<R>::start(quick("nowhere").acceptor(Broken)).await.expect_err("nobody could reach it");
    assert!(matches!(error, StartError::NotAdvertised), "{error}");

    let broken = start::<R>(quick("broken").acceptor(Broken).dialer(Broken).advertise("10.99.0.9:1")).await;
    holds("connections are accepted in vain", || broken.stats().driver.count(Counter::AcceptErrors) >= 2).await;
    let outcome = within("the join", broken.join(["10.99.0.1:1"])).await;
    outcome.expect_err("the dialer panics");
    assert!(!broken.is_stopped());
    stop([broken]).await;
}

struct Broken;

impl Acceptor for Broken {
    fn accept(&self) -> Accepting<'_> {
        Box::pin(async { Err(io::ErrorKind::Other.into()) })
    }
}

impl Dialer for Broken {
    fn dial<'a>(&'a self, _to: &'a NodeAddress) -> Dialing<'a> {
        panic!("the dialer panics");
    }
}
