//! Connections: an answer finds its own however late it comes, and whoever finds none free waits for one.

use async_channel::unbounded;
use async_io::Timer;
use std::sync::Arc;
use std::time::Duration;

use async_lock::Semaphore;
use futures_util::future::join_all;
use gossip_driver::{Audience, Cluster, Config, Counter, Reliability, Request, Runtime, SendError, protocol};

use crate::harness::{PATIENCE, converged, heard_by, holds, join, kind, next, quick, start, stop, within};

/// A node with room for a few connections, and others that know it.
async fn hub_of<R: Runtime>(name: &str, others: usize) -> Vec<Cluster<R>> {
    let mut few = quick(name);
    (few.max_connections, few.max_unproven) = (4, 4);
    let mut nodes = vec![start::<R>(few).await];
    // A seed is tried again when the hub has just no connection free.
    let hub = nodes[0].address().to_string();
    for _ in 0..others {
        nodes.push(start::<R>(quick(name).seed(&hub)).await);
    }
    converged(&nodes).await;
    nodes
}

/// Lets a node answer one request for each permit; each that it begins adds one to `begun`.
fn answers_when_let<R: Runtime>(node: &Cluster<R>, begun: &Arc<Semaphore>, gate: &Arc<Semaphore>) {
    let (begun, gate) = (Arc::clone(begun), Arc::clone(gate));
    let handler = move |_: Request| {
        begun.add_permits(1);
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.forget();
            Ok(1_u8)
        }
    };
    node.handle_requests(kind(), handler).expect("it has no handler yet");
}

pub(crate) async fn more_members_than_connections_can_be_asked_at_once<R: Runtime>() {
    let nodes = hub_of::<R>("crowded", 23).await;
    let (begun, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    for node in &nodes[1..] {
        answers_when_let(node, &begun, &gate);
    }
    let mut answers = nodes[0].scatter(Audience::All, kind(), &1, PATIENCE).await.expect("it is sent");
    for _ in 0..4 {
        within("as many are asked as there are connections", begun.acquire()).await.forget();
    }
    gate.add_permits(23);
    let mut answered = 0;
    while let Some((by, end)) = within("an answer", answers.next()).await {
        end.unwrap_or_else(|error| panic!("{by} answers: {error}"));
        answered += 1;
    }
    assert_eq!(answered, 23);
    stop(nodes).await;
}

pub(crate) async fn an_open_request_keeps_its_connection_while_others_are_written_to<R: Runtime>() {
    let nodes = hub_of::<R>("kept", 8).await;
    let (begun, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    answers_when_let(&nodes[1], &begun, &gate);
    let mut heard: Vec<_> = nodes[2..].iter().map(heard_by).collect();
    let asks = nodes[0].request(nodes[1].id(), kind(), &1, PATIENCE);
    let writes = async {
        within("the request is handled", begun.acquire()).await.forget();
        let sends = nodes[2..].iter().map(|node| nodes[0].send(node.id(), kind(), &1, Reliability::Reliable));
        for outcome in within("messages to all others", join_all(sends)).await {
            outcome.expect("it is confirmed");
        }
        for heard in &mut heard {
            next(heard).await;
        }
        gate.add_permits(1);
    };
    let (answer, ()) = futures_util::join!(asks, writes);
    answer.expect("it is answered");
    stop(nodes).await;
}

pub(crate) async fn whoever_answers_over_a_connection_that_is_gone_is_told<R: Runtime>() {
    let [one, two] = [start::<R>(quick("gone")).await, start::<R>(quick("gone")).await];
    join(&one, &two).await;
    converged(&[one.clone(), two.clone()]).await;
    let (sender, replies) = unbounded();
    let defer = move |request: Request| {
        let (reply, later) = request.defer();
        sender.try_send(reply).expect("the test goes on");
        std::future::ready(Ok(later))
    };
    two.handle_requests(kind(), defer).expect("it has no handler yet");
    let asks = one.request(two.id(), kind(), &1, PATIENCE);
    let ends = async {
        let reply = within("the request", replies.recv()).await.expect("the handler is there");
        within("a shutdown", one.shutdown()).await;
        holds("the connection is gone", || two.stats().driver.links == 0).await;
        let outcome = within("the end of an answer", reply.answer(1_u8)).await;
        assert_eq!(outcome, Err(SendError::Refused(protocol::SendError::RequestOver)));
    };
    let (answer, ()) = futures_util::join!(asks, ends);
    answer.expect_err("the node that asked has stopped");
    assert_eq!(two.stats().driver.count(Counter::AnswersLate), 1);
    stop([two]).await;
}

pub(crate) async fn an_answer_may_come_when_the_connection_was_long_idle<R: Runtime>() {
    let config = || -> Config {
        let mut config = quick("late");
        config.first_frame_timeout = Duration::from_millis(100);
        config.idle_timeout = Duration::from_millis(200);
        config
    };
    let nodes = [start::<R>(config()).await, start::<R>(config()).await];
    join(&nodes[0], &nodes[1]).await;
    converged(&nodes).await;
    let (begun, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    answers_when_let(&nodes[1], &begun, &gate);
    let asks = nodes[0].request(nodes[1].id(), kind(), &1, PATIENCE);
    let waits = async {
        within("the request is handled", begun.acquire()).await.forget();
        // Longer than either side keeps a connection that is idle.
        Timer::after(config().idle_timeout * 5).await;
        gate.add_permits(1);
    };
    let (answer, ()) = futures_util::join!(asks, waits);
    answer.expect("it is answered");
    assert_eq!(nodes[1].stats().driver.count(Counter::RepliesToClosed), 0);
    holds("the connection is closed when nothing is awaited", || {
        nodes.iter().all(|node| node.stats().driver.links == 0)
    })
    .await;
    stop(nodes).await;
}
