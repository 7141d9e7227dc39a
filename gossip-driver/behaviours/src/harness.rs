//! Starting nodes, and waiting for what is to happen with a deadline that is generous on a busy machine.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_channel::{Receiver, unbounded};
use async_io::Timer;
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use gossip_driver::{Cluster, Config, Event, Events, Message, MessageType, Runtime, Snapshot};

/// How long anything may take that takes a second or two on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The output of `work`, which must come within [`PATIENCE`].
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap_or_else(|| panic!("did not happen in time: {what}"))
}

/// The output of `work`, or nothing if it takes longer than that by a clock that no runtime has a hand in.
pub(crate) async fn timeout<T>(span: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), Timer::after(span)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Lets `work` run in the background. Its output is lost if it panics.
pub(crate) fn spawned<R: Runtime, T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> oneshot::Receiver<T> {
    let (told, output) = oneshot::channel();
    let work = async {
        // The test may not want it any more.
        let _ = told.send(work.await);
    };
    R::current().expect("the test runs in the runtime").spawn(work);
    output
}

/// Gives way to others once.
pub(crate) async fn pause() {
    let mut has_paused = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A bind address for a test whose ports must not be taken by the connections of other tests: the outgoing ones of this
/// machine come from 127.0.0.1. Elsewhere than on Linux there is only that one.
pub(crate) fn aside(test: u8) -> String {
    if cfg!(target_os = "linux") { format!("127.77.0.{test}:0") } else { "127.0.0.1:0".to_owned() }
}

/// Settings that notice a crash within a second or two.
pub(crate) fn quick(cluster: &str) -> Config {
    Config::local(cluster).protocol(|protocol| {
        protocol.probe_interval = Duration::from_millis(300);
        protocol.probe_timeout = Duration::from_millis(120);
        protocol.suspicion_max = 3;
        protocol.gossip_interval = Duration::from_millis(40);
        protocol.heal_interval = Duration::from_secs(1);
    })
}

pub(crate) async fn start<R: Runtime>(config: Config) -> Cluster<R> {
    within("the start of a node", Cluster::<R>::start(config)).await.expect("the node starts")
}

/// As many nodes, all joined through the first one, each of which sees all.
pub(crate) async fn cluster_of<R: Runtime>(name: &str, count: usize) -> Vec<Cluster<R>> {
    joined((0..count).map(|_| quick(name))).await
}

/// The same with a configuration for each.
pub(crate) async fn joined<R: Runtime>(configs: impl IntoIterator<Item = Config>) -> Vec<Cluster<R>> {
    let mut nodes: Vec<Cluster<R>> = Vec::new();
    for config in configs {
        let node = start(config).await;
        if let Some(first) = nodes.first() {
            join(&node, first).await;
        }
        nodes.push(node);
    }
    converged(&nodes).await;
    nodes
}

pub(crate) async fn join<R: Runtime>(node: &Cluster<R>, other: &Cluster<R>) {
    let joined = within("a join", node.join([other.address().to_string()])).await;
    joined.unwrap_or_else(|error| panic!("the join succeeds: {error}"));
}

/// Waits until each of these nodes sees all of them alive, and nobody else.
pub(crate) async fn converged<R: Runtime>(nodes: &[Cluster<R>]) {
    for node in nodes {
        let what = format!("{} sees all {} nodes", node.id(), nodes.len());
        seen(node, &what, |members| {
            members.counts().live() == nodes.len()
                && nodes.iter().all(|node| members.alive().any(|member| member.id == node.id()))
        })
        .await;
    }
}

/// Waits until a node's member table satisfies the condition.
pub(crate) async fn seen<R: Runtime>(node: &Cluster<R>, what: &str, condition: impl Fn(&Snapshot) -> bool) {
    let mut events = node.events();
    let satisfied = async {
        while !condition(&node.members()) {
            events.next().await.expect("the node runs");
        }
    };
    let outcome = timeout(PATIENCE, satisfied).await;
    let (members, stats) = (node.members(), node.stats());
    assert!(outcome.is_some(), "did not happen in time: {what}; the table is {:#?}, {stats:#?}", members.all());
}

/// Waits for the first event of which `pick` makes something.
pub(crate) async fn event<T>(events: &mut Events, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    within(what, async {
        loop {
            let event = events.next().await.expect("the node runs");
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    })
    .await
}

/// Waits until something holds that no event tells of.
pub(crate) async fn holds(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            Timer::after(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Shuts all of them down.
pub(crate) async fn stop<R: Runtime>(nodes: impl IntoIterator<Item = Cluster<R>>) {
    for node in nodes {
        within("a shutdown", node.shutdown()).await;
    }
}

/// The type that tests send messages and requests of.
pub(crate) fn kind() -> MessageType {
    MessageType::user(200).expect("a type of applications")
}

/// Lets a node hand the messages of [`kind`] to the test.
pub(crate) fn heard_by<R: Runtime>(node: &Cluster<R>) -> Receiver<Message> {
    let (told, heard) = unbounded();
    let handler = move |message| {
        // The test may have seen enough.
        let _ = told.try_send(message);
        std::future::ready(())
    };
    node.handle_messages(kind(), handler).expect("it has no handler yet");
    heard
}

/// The next message, which must come.
pub(crate) async fn next(heard: &mut Receiver<Message>) -> Message {
    within("a message", heard.recv()).await.expect("the handler is there")
}
