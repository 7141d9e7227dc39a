//! Requests end exactly once: with an answer, or with a word why there is none.

use async_channel::{Receiver, unbounded};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_lock::Semaphore;
use futures_util::future::{Either, join_all, select};
use gossip_driver::{
    Cluster, Counter, DropReason, Payload, Raw, Rejected, Reliability, Reply, Request, RequestError, Runtime,
    SendError, StopReason, protocol,
};

use crate::harness::{PATIENCE, cluster_of, converged, holds, join, kind, quick, spawned, start, stop, within};

/// A time that passes in a test.
const SHORT: Duration = Duration::from_millis(200);

async fn ask<R: Runtime>(node: &Cluster<R>, of: &Cluster<R>, timeout: Duration) -> Result<Payload, RequestError> {
    within("the end of a request", node.request(of.id(), kind(), &20_u32, timeout)).await
}

fn failed(error: protocol::RequestError) -> RequestError {
    RequestError::Failed(error)
}

/// Lets a node answer each request with the double of its number.
fn doubles<R: Runtime>(node: &Cluster<R>) {
    let double = |request: Request| async move { Ok(request.payload.decode::<u32>()? * 2) };
    node.handle_requests(kind(), double).expect("it has no handler yet");
}

/// Lets a node hand the right to answer to the test.
fn replies_of<R: Runtime>(node: &Cluster<R>) -> Receiver<Reply> {
    let (sender, replies) = unbounded();
    let defer = move |request: Request| {
        let (reply, later) = request.defer();
        sender.try_send(reply).expect("the test goes on");
        std::future::ready(Ok(later))
    };
    node.handle_requests(kind(), defer).expect("it has no handler yet");
    replies
}

pub(crate) async fn a_request_is_answered_by_another_node_and_by_this_one<R: Runtime>() {
    let nodes = cluster_of::<R>("answered", 2).await;
    doubles(&nodes[1]);
    for node in &nodes {
        let answer = ask(node, &nodes[1], PATIENCE).await.expect("it is answered");
        assert_eq!(answer.decode::<u32>(), Ok(40));
    }
    stop(nodes).await;
}

pub(crate) async fn a_type_that_nobody_handles_and_a_rejection_come_back_with_their_reason<R: Runtime>() {
    let nodes = cluster_of::<R>("refusals", 2).await;
    assert_eq!(ask(&nodes[0], &nodes[1], PATIENCE).await.unwrap_err(), failed(protocol::RequestError::NoHandler));
    assert_eq!(nodes[1].stats().driver.count(Counter::RequestsUnhandled), 1);
    let reject = |request: Request| async move {
        // Not what was sent, so that the error becomes the reason.
        request.payload.decode::<(String, String)>()?;
        Ok(())
    };
    nodes[1].handle_requests(kind(), reject).expect("it has no handler yet");
    let error = ask(&nodes[0], &nodes[1], PATIENCE).await.unwrap_err();
    let RequestError::Failed(protocol::RequestError::Rejected(reason)) = error else { panic!("{error}") };
    assert!(reason.starts_with("postcard cannot read the payload"), "{reason}");
    assert!(nodes[1].remove_request_handler(kind()));
    let closed = |_: Request| std::future::ready(Err::<(), _>(Rejected::because("we are closed")));
    nodes[1].handle_requests(kind(), closed).expect("the other one was removed");
    let error = ask(&nodes[0], &nodes[1], PATIENCE).await.unwrap_err();
    assert_eq!(error, failed(protocol::RequestError::Rejected("we are closed".to_owned())));
    stop(nodes).await;
}

pub(crate) async fn a_request_without_an_answer_ends_in_time_and_a_late_answer_is_an_error<R: Runtime>() {
    let nodes = cluster_of::<R>("late", 2).await;
    let replies = replies_of(&nodes[1]);
    assert_eq!(ask(&nodes[0], &nodes[1], SHORT).await.unwrap_err(), failed(protocol::RequestError::Timeout));
    let reply = within("the request", replies.recv()).await.expect("it arrived");
    // The other side's clock says whether it is too late; it may be a moment behind, and then the answer travels.
    match reply.answer(&1).await {
        Ok(()) => {
            holds("the answer is dropped", || nodes[0].stats().protocol.dropped(DropReason::LateAnswer) == 1).await;
        }
        Err(error) => {
            assert_eq!(error, SendError::Refused(protocol::SendError::RequestOver));
            assert_eq!(nodes[1].stats().driver.count(Counter::AnswersLate), 1);
        }
    }
    let over = protocol::SendError::Deadline;
    let error = ask(&nodes[0], &nodes[1], Duration::from_hours(2)).await.unwrap_err();
    assert_eq!(error, RequestError::NotSent(SendError::Refused(over)));
    stop(nodes).await;
}

pub(crate) async fn a_dropped_request_is_cancelled_and_its_answer_counted_and_dropped<R: Runtime>() {
    let nodes = cluster_of::<R>("cancel", 2).await;
    let replies = replies_of(&nodes[1]);
    let reply = {
        let request = nodes[0].request(nodes[1].id(), kind(), &1, PATIENCE);
        match select(pin!(request), pin!(replies.recv())).await {
            Either::Left((end, _)) => panic!("nobody answered: {end:?}"),
            Either::Right((reply, _)) => reply.expect("it arrived"),
        }
    };
    // What is handed in now comes after the cancellation.
    doubles(&nodes[0]);
    ask(&nodes[0], &nodes[0], PATIENCE).await.expect("it is answered");
    reply.answer(&2).await.expect("the other node cannot know");
    holds("the answer is dropped", || nodes[0].stats().protocol.dropped(DropReason::LateAnswer) == 1).await;
    stop(nodes).await;
}

pub(crate) async fn an_answer_may_come_from_elsewhere_and_a_dropped_reply_rejects<R: Runtime>() {
    let nodes = cluster_of::<R>("deferred", 2).await;
    let replies = replies_of(&nodes[1]);
    let (first, second, ()) =
        futures_util::join!(ask(&nodes[0], &nodes[1], PATIENCE), ask(&nodes[0], &nodes[1], PATIENCE), async {
            let (one, other) = (replies.recv().await.expect("it arrived"), replies.recv().await.expect("it arrived"));
            drop(other);
            one.answer(&"at last").await.expect("somebody waits");
        });
    let (answer, rejection) = if first.is_ok() { (first, second) } else { (second, first) };
    assert_eq!(answer.expect("it is answered").decode::<String>().as_deref(), Ok("at last"));
    let reason = "the request was dropped without an answer".to_owned();
    assert_eq!(rejection.unwrap_err(), failed(protocol::RequestError::Rejected(reason)));
    stop(nodes).await;
}

pub(crate) async fn an_answer_that_is_given_up_while_it_waits_rejects<R: Runtime>() {
    let mut config = quick("given up");
    config.command_queue = 1;
    let (asker, answerer) = (start::<R>(quick("given up")).await, start::<R>(config).await);
    join(&answerer, &asker).await;
    converged(&[asker.clone(), answerer.clone()]).await;
    let weak = answerer.downgrade();
    let give_up = move |request: Request| {
        let (reply, later) = request.defer();
        let weak = weak.clone();
        async move {
            let node = weak.upgrade().expect("the test holds it");
            let mut first = pin!(node.send(request.from, kind(), Raw([1; 10_000]), Reliability::BestEffort));
            let mut answer = Box::pin(reply.patient().answer(1_u8));
            poll_fn(|cx| {
                // The message takes the only place, so the answer has none.
                assert!(first.as_mut().poll(cx).is_pending() && answer.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(answer);
            Ok(later)
        }
    };
    answerer.handle_requests(kind(), give_up).expect("it has no handler yet");
    let error = ask(&asker, &answerer, PATIENCE).await.unwrap_err();
    let reason = "the request was dropped without an answer".to_owned();
    assert_eq!(error, failed(protocol::RequestError::Rejected(reason)));
    stop([asker, answerer]).await;
}

pub(crate) async fn a_peer_that_is_killed_is_unreachable_for_those_who_wait<R: Runtime>() {
    let mut nodes = cluster_of::<R>("killed", 2).await;
    let replies = replies_of(&nodes[1]);
    let victim = nodes.pop().expect("two");
    let id = victim.id();
    let asked = nodes[0].clone();
    let waiting = spawned::<R, _>(async move { asked.request(id, kind(), &1, PATIENCE).await });
    let reply = within("the request", replies.recv()).await.expect("it arrived");
    within("a shutdown", victim.shutdown()).await;
    drop(reply);
    let error = within("the end", waiting).await.expect("no panic").unwrap_err();
    assert_eq!(error, failed(protocol::RequestError::Unreachable));
    // It is not known to be dead yet, and nobody listens.
    if nodes[0].member(id).is_some_and(|member| member.state.is_live()) {
        let error = within("the end", nodes[0].request(id, kind(), &1, PATIENCE)).await.unwrap_err();
        let not_live = RequestError::NotSent(SendError::Refused(protocol::SendError::NotLive));
        assert!(error == failed(protocol::RequestError::Unreachable) || error == not_live, "{error}");
    }
    stop(nodes).await;
}

pub(crate) async fn a_node_that_stops_ends_its_own_requests<R: Runtime>() {
    let nodes = cluster_of::<R>("ends", 2).await;
    let replies = replies_of(&nodes[1]);
    let asker = nodes[0].clone();
    let to = nodes[1].id();
    let waiting = spawned::<R, _>(async move { asker.request(to, kind(), &1, PATIENCE).await });
    let _reply = within("the request", replies.recv()).await.expect("it arrived");
    within("a shutdown", nodes[0].shutdown()).await;
    let error = within("the end", waiting).await.expect("no panic").unwrap_err();
    assert_eq!(error, RequestError::NotSent(SendError::Stopped(StopReason::Shutdown)));
    stop(nodes).await;
}

pub(crate) async fn requests_beyond_what_a_handler_takes_are_refused_as_overloaded<R: Runtime>() {
    const MANY: u64 = 8;
    let busy = start::<R>(quick("busy").max_handlers(1).message_queue(1)).await;
    let asker = start::<R>(quick("busy")).await;
    join(&asker, &busy).await;
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (closed, begins) = (Arc::clone(&gate), Arc::clone(&begun));
    let slow = move |_: Request| {
        let (gate, begun) = (Arc::clone(&closed), Arc::clone(&begins));
        async move {
            begun.add_permits(1);
            gate.acquire().await.forget();
            Ok(())
        }
    };
    busy.handle_requests(kind(), slow).expect("it has no handler yet");
    let spawn = || {
        let (asker, to) = (asker.clone(), busy.id());
        spawned::<R, _>(async move { asker.request(to, kind(), &1, PATIENCE).await })
    };
    let mut open = vec![spawn()];
    within("the first call", begun.acquire()).await.forget();
    open.extend((1..MANY).map(|_| spawn()));
    // One is under way, one waits, and one may be on the way between.
    let refused = || busy.stats().driver.count(Counter::RequestsOverloaded);
    holds("all others are refused", || refused() >= MANY - 3).await;
    gate.add_permits(open.len());
    let (mut answered, mut overloaded) = (0, 0);
    for end in open {
        match within("the end", end).await.expect("no panic") {
            Ok(_) => answered += 1,
            Err(error) => {
                assert_eq!(error, failed(protocol::RequestError::Overloaded));
                overloaded += 1;
            }
        }
    }
    assert!(answered >= 2, "one runs and one waits");
    assert_eq!((overloaded, answered + overloaded), (refused(), MANY));
    stop([asker, busy]).await;
}

pub(crate) async fn a_thousand_requests_share_one_connection<R: Runtime>() {
    const MANY: usize = 1_000;
    let nodes = cluster_of::<R>("many", 2).await;
    let (sender, replies) = unbounded();
    let defer = move |request: Request| {
        let (reply, later) = request.defer();
        let number = request.payload.decode::<usize>().expect("a number was sent");
        sender.try_send((number, reply)).expect("the test goes on");
        std::future::ready(Ok(later))
    };
    nodes[1].handle_requests(kind(), defer).expect("it has no handler yet");
    let dials = nodes[0].stats().driver.count(Counter::Dials) + nodes[1].stats().driver.count(Counter::Dials);
    let to = nodes[1].id();
    let patient = nodes[0].patient();
    let requests = (0..MANY).map(|number| patient.request(to, kind(), number, PATIENCE));
    let answering = async {
        let mut open = Vec::new();
        while open.len() < MANY {
            open.push(replies.recv().await.expect("all arrive"));
        }
        // All of them are in flight now. The last is answered first.
        for (number, reply) in open.into_iter().rev() {
            reply.answer(number * 2).await.expect("somebody waits");
        }
    };
    let (answers, ()) = within("all answers", async { futures_util::join!(join_all(requests), answering) }).await;
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.expect("it is answered").decode(), Ok(number * 2));
    }
    let after = nodes[0].stats().driver.count(Counter::Dials) + nodes[1].stats().driver.count(Counter::Dials);
    assert!(after - dials <= 1, "{} connections were made", after - dials);
    stop(nodes).await;
}

pub(crate) async fn four_mebibytes_are_asked_and_answered<R: Runtime>() {
    let nodes = cluster_of::<R>("large", 2).await;
    nodes[1]
        .handle_requests(kind(), |request: Request| async move {
            let mut body = request.payload.bytes()?.to_vec();
            body.reverse();
            Ok(Raw(body))
        })
        .expect("it has no handler yet");
    let size = quick("any").protocol.max_payload() - 1;
    let body: Vec<u8> = (0..size).map(|at| (at % 251).to_le_bytes()[0]).collect();
    let answer = within("the answer", nodes[0].request(nodes[1].id(), kind(), Raw(&body), PATIENCE)).await;
    let answer = answer.expect("it is answered").bytes().expect("it is whole");
    assert!(answer.iter().rev().eq(&body));
    let over = nodes[0].request(nodes[1].id(), kind(), Raw(vec![0; size + 1]), PATIENCE).await.unwrap_err();
    let error = protocol::SendError::TooLarge { size: size + 1, limit: size };
    assert_eq!(over, RequestError::NotSent(SendError::Refused(error)));
    stop(nodes).await;
}

pub(crate) async fn an_answer_that_cannot_be_sent_rejects_the_request<R: Runtime>() {
    let nodes = cluster_of::<R>("unsendable", 2).await;
    let size = quick("any").protocol.max_payload();
    let large = move |_: Request| std::future::ready(Ok(Raw(vec![0; size])));
    nodes[1].handle_requests(kind(), large).expect("it has no handler yet");
    let error = ask(&nodes[0], &nodes[1], PATIENCE).await.unwrap_err();
    let RequestError::Failed(protocol::RequestError::Rejected(reason)) = error else { panic!("{error}") };
    assert!(reason.contains("the limit is"), "{reason}");
    assert_eq!(nodes[1].stats().driver.count(Counter::AnswersUnsendable), 1);
    stop(nodes).await;
}
