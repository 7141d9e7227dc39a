//! What finds no room before the node's task is refused at once, or waits if its sender wants to.

use async_channel::unbounded;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use gossip_driver::{
    Audience, Backlog, BroadcastOptions, Cluster, Counter, Raw, Reliability, Request, RequestError, Runtime, SendError,
    protocol,
};

use crate::harness::{PATIENCE, cluster_of, converged, heard_by, join, kind, next, quick, start, stop, within};
use crate::tally::{Hold, Tallied, hold};

/// How much may wait for the task of the node that sends.
const ROOM: usize = 4;

const BUSY: SendError = SendError::Busy(Backlog::Messages { limit: ROOM });

/// A node that takes little at once, and one that knows it.
async fn two<R: Runtime>(name: &str) -> [Cluster<R>; 2] {
    let nodes = [start::<R>(quick(name).command_queue(ROOM)).await, start::<R>(quick(name)).await];
    join(&nodes[1], &nodes[0]).await;
    converged(&nodes).await;
    nodes
}

/// Fills what may wait for the first node's task, which gets no turn before what this returns is dropped.
fn fill<R: Runtime>(nodes: &[Cluster<R>; 2]) -> Hold {
    let held = hold();
    let send = |number| nodes[0].send(nodes[1].id(), kind(), number, Reliability::BestEffort).now_or_never();
    // What was handed in before may wait still.
    let refused = (0..=ROOM).map(send).find(|sent| *sent != Some(Ok(())));
    assert_eq!(refused, Some(Some(Err(BUSY))));
    held
}

/// What is handed in while there is no room waits, and its end comes when there is room again.
fn when_full<'a, R: Runtime, T>(nodes: &[Cluster<R>; 2], mut call: BoxFuture<'a, T>) -> BoxFuture<'a, T> {
    let _held = fill(nodes);
    assert!((&mut call).now_or_never().is_none(), "it waits");
    call
}

pub(crate) async fn whatever_is_sent_while_too_much_waits_is_refused_at_once<R: Runtime>() {
    let nodes = two::<Tallied<R>>("busy").await;
    let mut heard = heard_by(&nodes[1]);
    let (node, to) = (&nodes[0], nodes[1].id());
    let held = fill(&nodes);
    for reliability in [Reliability::BestEffort, Reliability::Reliable] {
        assert_eq!(node.send(to, kind(), 9_usize, reliability).now_or_never(), Some(Err(BUSY)));
        let list = node.send_to(&[to, node.id()], kind(), 9_usize, reliability).now_or_never();
        assert_eq!(list, Some(vec![(to, Err(BUSY)), (node.id(), Err(BUSY))]));
    }
    assert_eq!(node.broadcast(kind(), 9_usize, BroadcastOptions::new()).now_or_never(), Some(Err(BUSY)));
    let asked = node.request(to, kind(), 9_usize, PATIENCE).now_or_never();
    assert_eq!(asked.expect("at once").unwrap_err(), RequestError::NotSent(BUSY));
    let asked = node.scatter(Audience::All, kind(), 9_usize, PATIENCE).now_or_never();
    assert_eq!(asked.expect("at once").unwrap_err(), BUSY);
    drop(held);

    for number in 0..ROOM {
        assert_eq!(next(&mut heard).await.payload.decode(), Ok(number), "what was accepted arrives, and nothing else");
    }
    within("a send", node.send(to, kind(), 5_usize, Reliability::Reliable)).await.expect("there is room again");
    assert_eq!(next(&mut heard).await.payload.decode(), Ok(5_usize));
    stop(nodes).await;
}

pub(crate) async fn a_patient_handle_waits_for_room_with_all_that_it_sends<R: Runtime>() {
    const SENT: usize = 300;
    let nodes = two::<Tallied<R>>("patient").await;
    let mut heard = heard_by(&nodes[1]);
    nodes[1].handle_requests(kind(), |_: Request| std::future::ready(Ok(7_u8))).expect("it has no handler yet");
    let (patient, to) = (nodes[0].patient().downgrade().upgrade().expect("it runs"), nodes[1].id());
    let sends = (0..SENT).map(|number| patient.send(to, kind(), number, Reliability::Reliable));
    let requests = (0..SENT).map(|_| patient.request(to, kind(), (), PATIENCE));
    let (sent, answers) = within("all ends", async { futures_util::join!(join_all(sends), join_all(requests)) }).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let mut numbers = Vec::new();
    for _ in 0..SENT {
        numbers.push(next(&mut heard).await.payload.decode::<usize>().expect("a number was sent"));
    }
    // Of calls that wait at the same time any may be the first to find room.
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..SENT), "each arrives once");
    let given_up = when_full(&nodes, patient.broadcast(kind(), (), BroadcastOptions::new()).boxed()).now_or_never();
    assert!(given_up.is_none_or(|sent| sent.is_ok()), "whoever gives up waiting harms nobody");
    let broadcast = when_full(&nodes, patient.broadcast(kind(), (), BroadcastOptions::new()).boxed());
    within("a broadcast", broadcast).await.expect("it is sent");
    let three = [to; 3];
    let list = when_full(&nodes, patient.send_to(&three, kind(), (), Reliability::Reliable).boxed());
    assert_eq!(within("a list", list).await, [(to, Ok(())), (to, Ok(())), (to, Ok(()))]);
    let question = when_full(&nodes, patient.scatter(Audience::All, kind(), (), PATIENCE).boxed());
    let mut answers = within("a question", question).await.expect("it is sent");
    let (by, end) = within("an answer", answers.next()).await.expect("one is asked");
    assert_eq!((by, end.expect("it answers").decode::<u8>()), (to, Ok(7)));
    stop(nodes).await;
}

pub(crate) async fn a_list_of_any_length_takes_one_place<R: Runtime>() {
    const LENGTH: usize = 1_000;
    let nodes = cluster_of::<R>("list", 2).await;
    let mut heard = heard_by(&nodes[1]);
    nodes[1].handle_requests(kind(), |_: Request| std::future::ready(Ok(()))).expect("it has no handler yet");
    let to = vec![nodes[1].id(); LENGTH];
    for reliability in [Reliability::BestEffort, Reliability::Reliable] {
        let ends = within("a list", nodes[0].send_to(&to, kind(), (), reliability)).await;
        assert!(ends.len() == LENGTH && ends.iter().all(|(_, end)| end.is_ok()), "{ends:?}");
    }
    for _ in 0..2 * LENGTH {
        next(&mut heard).await;
    }
    let question = nodes[0].scatter(Audience::Nodes(&to), kind(), (), PATIENCE);
    let mut answers = within("a question", question).await.expect("it is sent");
    let mut count = 0;
    while let Some((_, end)) = within("an answer", answers.next()).await {
        end.expect("it answers");
        count += 1;
    }
    assert_eq!(count, LENGTH);
    stop(nodes).await;
}

pub(crate) async fn an_answer_that_finds_no_room_tells_both_sides_unless_it_waits<R: Runtime>() {
    let nodes = two::<Tallied<R>>("answers").await;
    let (sender, replies) = unbounded();
    let defer = move |request: Request| {
        let (reply, later) = request.defer();
        sender.try_send(reply).expect("the test goes on");
        std::future::ready(Ok(later))
    };
    nodes[0].handle_requests(kind(), defer).expect("it has no handler yet");
    let ask = || nodes[1].request(nodes[0].id(), kind(), (), PATIENCE);
    let answering = async {
        let [one, other, third] =
            [replies.recv().await, replies.recv().await, replies.recv().await].map(|reply| reply.expect("it arrived"));
        let held = fill(&nodes);
        assert_eq!(one.answer(1_u8).now_or_never(), Some(Err(BUSY)));
        drop(held);
        third.reject(std::fmt::Error).await.expect("a rejection needs no room");
        when_full(&nodes, other.patient().answer(2_u8).boxed()).await.expect("somebody waits");
    };
    let asking = async { futures_util::join!(ask(), ask(), ask()) };
    let ((one, other, third), ()) = within("all ends", async { futures_util::join!(asking, answering) }).await;
    assert_eq!(one.unwrap_err(), RequestError::Failed(protocol::RequestError::Overloaded));
    assert_eq!(other.expect("it is answered").decode::<u8>(), Ok(2));
    let reason = std::fmt::Error.to_string();
    assert_eq!(third.unwrap_err(), RequestError::Failed(protocol::RequestError::Rejected(reason)));
    assert_eq!(nodes[0].stats().driver.count(Counter::AnswersCrowded), 1);
    stop(nodes).await;
}

pub(crate) async fn bytes_that_wait_are_bounded_too<R: Runtime>() {
    let plain = || quick("bytes").compress_from(None);
    let nodes = [start::<Tallied<R>>(plain()).await, start(plain()).await];
    join(&nodes[1], &nodes[0]).await;
    converged(&nodes).await;
    let limit = quick("any").protocol.max_queued_bytes;
    let body = vec![0; 4_000_000];
    let count = limit / body.len();
    let mut sends: Vec<_> = (0..=count)
        .map(|_| Box::pin(nodes[0].send(nodes[1].id(), kind(), Raw(&body), Reliability::Reliable)))
        .collect();
    let last = sends.pop().expect("there is one more than fits");
    let held = hold();
    assert!(sends.iter_mut().all(|send| send.now_or_never().is_none()));
    let is_full = SendError::Busy(Backlog::Bytes { limit });
    assert_eq!(last.now_or_never(), Some(Err(is_full)));
    drop((held, sends));
    stop(nodes).await;
}
