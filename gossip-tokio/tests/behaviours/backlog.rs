//! What finds no room before the node's task is refused at once, or waits if its sender wants to.

use futures_util::FutureExt;
use futures_util::future::join_all;
use gossip_tokio::{
    Audience, Backlog, BroadcastOptions, Cluster, Counter, Raw, Reliability, Request, RequestError, SendError, protocol,
};
use tokio::sync::mpsc;

use crate::harness::{PATIENCE, cluster_of, converged, heard_by, join, kind, next, quick, start, stop, within};

/// How much may wait for the task of the node that sends.
const ROOM: usize = 4;

const BUSY: SendError = SendError::Busy(Backlog::Messages { limit: ROOM });

/// A node that takes little at once, and one that knows it.
async fn two(name: &str) -> [Cluster; 2] {
    let nodes = [start(quick(name).command_queue(ROOM)).await, start(quick(name)).await];
    join(&nodes[1], &nodes[0]).await;
    converged(&nodes).await;
    nodes
}

/// Fills what may wait for the first node's task, which gets no turn before the test waits for something.
fn fill(nodes: &[Cluster; 2]) {
    for number in 0..ROOM {
        let sent = nodes[0].send(nodes[1].id(), kind(), number, Reliability::BestEffort).now_or_never();
        assert_eq!(sent, Some(Ok(())));
    }
}

#[tokio::test]
async fn whatever_is_sent_while_too_much_waits_is_refused_at_once() {
    let nodes = two("busy").await;
    let mut heard = heard_by(&nodes[1]);
    let (node, to) = (&nodes[0], nodes[1].id());
    fill(&nodes);
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

    for number in 0..ROOM {
        assert_eq!(next(&mut heard).await.payload.decode(), Ok(number), "what was accepted arrives, and nothing else");
    }
    within("a send", node.send(to, kind(), 5_usize, Reliability::Reliable)).await.expect("there is room again");
    assert_eq!(next(&mut heard).await.payload.decode(), Ok(5_usize));
    stop(nodes).await;
}

#[tokio::test]
async fn a_patient_handle_waits_for_room_with_all_that_it_sends() {
    const SENT: usize = 300;
    let nodes = two("patient").await;
    let mut heard = heard_by(&nodes[1]);
    nodes[1].handle_requests(kind(), |_: Request| std::future::ready(Ok(7_u8))).expect("it has no handler yet");
    let (patient, to) = (nodes[0].patient().downgrade().upgrade().expect("it runs"), nodes[1].id());
    let sends = (0..SENT).map(|number| patient.send(to, kind(), number, Reliability::Reliable));
    let requests = (0..SENT).map(|_| patient.request(to, kind(), (), PATIENCE));
    let (sent, answers) = within("all ends", async { tokio::join!(join_all(sends), join_all(requests)) }).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    for number in 0..SENT {
        assert_eq!(next(&mut heard).await.payload.decode(), Ok(number), "in the order in which they were handed in");
    }
    fill(&nodes);
    assert!(patient.broadcast(kind(), (), BroadcastOptions::new()).now_or_never().is_none(), "it waits");
    within("a broadcast", patient.broadcast(kind(), (), BroadcastOptions::new())).await.expect("it is sent");
    fill(&nodes);
    let ends = within("a list", patient.send_to(&[to; 3], kind(), (), Reliability::Reliable)).await;
    assert_eq!(ends, [(to, Ok(())), (to, Ok(())), (to, Ok(()))]);
    fill(&nodes);
    let mut answers =
        within("a question", patient.scatter(Audience::All, kind(), (), PATIENCE)).await.expect("it is sent");
    let (by, end) = within("an answer", answers.next()).await.expect("one is asked");
    assert_eq!((by, end.expect("it answers").decode::<u8>()), (to, Ok(7)));
    stop(nodes).await;
}

#[tokio::test]
async fn a_list_of_any_length_takes_one_place() {
    const LENGTH: usize = 1_000;
    let nodes = cluster_of("list", 2).await;
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

#[tokio::test]
async fn an_answer_that_finds_no_room_tells_both_sides_unless_it_waits() {
    let nodes = two("answers").await;
    let (sender, mut replies) = mpsc::unbounded_channel();
    let defer = move |request: Request| {
        let (reply, later) = request.defer();
        sender.send(reply).expect("the test goes on");
        std::future::ready(Ok(later))
    };
    nodes[0].handle_requests(kind(), defer).expect("it has no handler yet");
    let ask = || nodes[1].request(nodes[0].id(), kind(), (), PATIENCE);
    let answering = async {
        let [one, other, third] =
            [replies.recv().await, replies.recv().await, replies.recv().await].map(|reply| reply.expect("it arrived"));
        fill(&nodes);
        assert_eq!(one.answer(1_u8).now_or_never(), Some(Err(BUSY)));
        third.reject(std::fmt::Error).await.expect("a rejection needs no room");
        fill(&nodes);
        other.patient().answer(2_u8).await.expect("somebody waits");
    };
    let asking = async { tokio::join!(ask(), ask(), ask()) };
    let ((one, other, third), ()) = within("all ends", async { tokio::join!(asking, answering) }).await;
    assert_eq!(one.unwrap_err(), RequestError::Failed(protocol::RequestError::Overloaded));
    assert_eq!(other.expect("it is answered").decode::<u8>(), Ok(2));
    let reason = std::fmt::Error.to_string();
    assert_eq!(third.unwrap_err(), RequestError::Failed(protocol::RequestError::Rejected(reason)));
    assert_eq!(nodes[0].stats().driver.count(Counter::AnswersCrowded), 1);
    stop(nodes).await;
}

#[tokio::test]
async fn bytes_that_wait_are_bounded_too() {
    let plain = || quick("bytes").compress_from(None);
    let nodes = [start(plain()).await, start(plain()).await];
    join(&nodes[1], &nodes[0]).await;
    converged(&nodes).await;
    let limit = quick("any").protocol.max_queued_bytes;
    let body = vec![0; 4_000_000];
    let count = limit / body.len();
    let mut sends: Vec<_> = (0..=count)
        .map(|_| Box::pin(nodes[0].send(nodes[1].id(), kind(), Raw(&body), Reliability::Reliable)))
        .collect();
    let last = sends.pop().expect("there is one more than fits");
    assert!(sends.iter_mut().all(|send| send.now_or_never().is_none()));
    let is_full = SendError::Busy(Backlog::Bytes { limit });
    assert_eq!(last.now_or_never(), Some(Err(is_full)));
    drop(sends);
    stop(nodes).await;
}
