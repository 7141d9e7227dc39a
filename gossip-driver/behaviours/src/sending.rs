//! Messages reach whom they are for, whole and once; what cannot be sent is an error at once.

use async_channel::TryRecvError;
use futures_util::future::join_all;
use gossip_driver::{BroadcastOptions, Cluster, Counter, Raw, Reliability, Runtime, SendError, StopReason, protocol};

use crate::harness::{cluster_of, converged, heard_by, holds, join, kind, next, quick, seen, start, stop, within};

fn refused(error: protocol::SendError) -> SendError {
    SendError::Refused(error)
}

async fn send<R: Runtime>(
    node: &Cluster<R>,
    to: &Cluster<R>,
    body: &[u8],
    reliability: Reliability,
) -> Result<(), SendError> {
    within("a send", node.send(to.id(), kind(), Raw(body), reliability)).await
}

/// The longest content that fits a message.
fn longest() -> usize {
    quick("any").protocol.max_payload() - 1
}

pub(crate) async fn every_size_arrives_whole_with_its_sender<R: Runtime>() {
    let nodes = cluster_of::<R>("sizes", 2).await;
    let mut heard = heard_by(&nodes[1]);
    for reliability in [Reliability::BestEffort, Reliability::Reliable] {
        for size in [0, 1, 100, 1_200, 1_400, 70_000, 1 << 20, longest()] {
            let body: Vec<u8> = (0..size).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
            send(&nodes[0], &nodes[1], &body, reliability).await.expect("it is within the limits");
            let message = next(&mut heard).await;
            assert_eq!((message.from, message.kind), (nodes[0].id(), kind()));
            assert!(message.broadcast.is_none());
            let content = message.payload.bytes().expect("it is whole");
            assert!(content == body, "{size} bytes, {reliability:?}");
        }
    }
    stop(nodes).await;
}

pub(crate) async fn one_byte_over_the_limit_is_refused_by_all_ways<R: Runtime>() {
    let nodes = cluster_of::<R>("limit", 2).await;
    let size = longest() + 1;
    let body = vec![0; size];
    let error = protocol::SendError::TooLarge { size, limit: size - 1 };
    for reliability in [Reliability::BestEffort, Reliability::Reliable] {
        assert_eq!(send(&nodes[0], &nodes[1], &body, reliability).await, Err(refused(error)));
    }
    let outcome = nodes[0].broadcast(kind(), Raw(&body), BroadcastOptions::new()).await;
    assert_eq!(outcome, Err(refused(error)));
    let list = nodes[0].send_to(&[nodes[1].id()], kind(), Raw(&body), Reliability::BestEffort).await;
    assert_eq!(list, [(nodes[1].id(), Err(refused(error)))]);
    stop(nodes).await;
}

pub(crate) async fn an_unknown_a_dead_and_a_departed_receiver_are_errors<R: Runtime>() {
    let mut nodes = cluster_of::<R>("targets", 4).await;
    let stranger = start::<R>(quick("elsewhere")).await;
    let (dead, departed) = (nodes.pop().expect("four"), nodes.pop().expect("three"));
    within("a leave", departed.leave()).await.expect("it takes part");
    within("a shutdown", dead.shutdown()).await;
    seen(&nodes[0], "one is dead and one has left", |members| {
        members.counts().dead == 1 && members.counts().leaving == 1
    })
    .await;
    for reliability in [Reliability::BestEffort, Reliability::Reliable] {
        let outcome = send(&nodes[0], &stranger, b"x", reliability).await;
        assert_eq!(outcome, Err(refused(protocol::SendError::UnknownMember)));
        for gone in [&dead, &departed] {
            let outcome = send(&nodes[0], gone, b"x", reliability).await;
            assert_eq!(outcome, Err(refused(protocol::SendError::NotLive)));
        }
    }
    let ids = [stranger.id(), nodes[1].id(), dead.id()];
    let outcomes = within("a list", nodes[0].send_to(&ids, kind(), &1, Reliability::Reliable)).await;
    let expected = [
        (ids[0], Err(refused(protocol::SendError::UnknownMember))),
        (ids[1], Ok(())),
        (ids[2], Err(refused(protocol::SendError::NotLive))),
    ];
    assert_eq!(outcomes, expected);
    nodes.extend([departed, stranger]);
    stop(nodes).await;
}

pub(crate) async fn a_message_to_oneself_arrives<R: Runtime>() {
    let node = start::<R>(quick("self")).await;
    let mut heard = heard_by(&node);
    for reliability in [Reliability::BestEffort, Reliability::Reliable] {
        send(&node, &node, b"note", reliability).await.expect("a node knows itself");
        assert_eq!(next(&mut heard).await.payload.bytes().expect("it is whole"), &b"note"[..]);
    }
    stop([node]).await;
}

pub(crate) async fn a_broadcast_reaches_all_others_once_and_not_its_origin<R: Runtime>() {
    let nodes = cluster_of::<R>("broadcast", 5).await;
    let mut heard: Vec<_> = nodes.iter().map(heard_by).collect();
    for (size, reliable) in [(100, false), (100, true), (50_000, false)] {
        let options = BroadcastOptions { reliable, ..BroadcastOptions::new() };
        let sent = within("a broadcast", nodes[0].broadcast(kind(), Raw(vec![7; size]), options)).await;
        let id = sent.expect("it is within the limits");
        for heard in &mut heard[1..] {
            let message = next(heard).await;
            assert_eq!((message.from, message.payload.bytes().expect("it is whole").len()), (nodes[0].id(), size));
            let broadcast = message.broadcast.expect("it is a broadcast");
            assert_eq!((broadcast.id, broadcast.tag), (id, None));
            assert!(broadcast.hops >= 1);
        }
    }
    for heard in &mut heard {
        assert_eq!(heard.try_recv().unwrap_err(), TryRecvError::Empty, "nobody got more");
    }
    stop(nodes).await;
}

pub(crate) async fn a_tagged_broadcast_reaches_those_with_the_tag_alone<R: Runtime>() {
    let mut nodes = Vec::new();
    for tag in ["plain", "blue", "blue"] {
        let node = start::<R>(quick("tags").tag(tag)).await;
        if let Some(first) = nodes.first() {
            join(&node, first).await;
        }
        nodes.push(node);
    }
    converged(&nodes).await;
    // Tags come with the metadata, a moment after the member.
    for node in &nodes {
        seen(node, "the tags are known", |members| members.tagged("blue").count() == 2).await;
    }
    let mut heard: Vec<_> = nodes.iter().map(heard_by).collect();
    let options = BroadcastOptions::new().tag("blue");
    within("a broadcast", nodes[0].broadcast(kind(), &"to the blue", options)).await.expect("two have it");
    within("a broadcast", nodes[0].broadcast(kind(), &"to all", BroadcastOptions::new())).await.expect("it is sent");
    for heard in &mut heard[1..] {
        let mut texts = Vec::new();
        for _ in 0..2 {
            let message = next(heard).await;
            let tag = message.broadcast.expect("it is a broadcast").tag;
            texts.push((message.payload.decode::<String>().expect("it is text"), tag.as_deref().map(str::to_owned)));
        }
        texts.sort_unstable();
        assert_eq!(texts, [("to all".to_owned(), None), ("to the blue".to_owned(), Some("blue".to_owned()))]);
    }
    let outcome = nodes[0].broadcast(kind(), &1, BroadcastOptions::new().tag("green")).await;
    assert_eq!(outcome, Err(refused(protocol::SendError::NoSuchTag)));
    stop(nodes).await;
}

pub(crate) async fn more_than_a_peer_may_hold_is_refused_and_what_was_accepted_arrives<R: Runtime>() {
    const SIZE: usize = 2 << 20;
    let nodes = cluster_of::<R>("full", 2).await;
    let mut heard = heard_by(&nodes[1]);
    let body = vec![0x5a; SIZE];
    let id = nodes[1].id();
    let patient = nodes[0].patient();
    let sends = (0..32).map(|_| patient.send(id, kind(), Raw(&body), Reliability::Reliable));
    let outcomes = within("the sends", join_all(sends)).await;
    let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let is_full = |outcome: &&Result<(), SendError>| {
        matches!(outcome, Err(SendError::Refused(protocol::SendError::PeerFull { .. })))
    };
    assert_eq!(accepted + outcomes.iter().filter(is_full).count(), 32, "{outcomes:?}");
    assert!(accepted >= 4, "{accepted}");
    for _ in 0..accepted {
        assert_eq!(next(&mut heard).await.payload.bytes().expect("it is whole").len(), SIZE);
    }
    assert_eq!(nodes[0].stats().driver.count(Counter::LinksBroken), 0);
    stop(nodes).await;
}

pub(crate) async fn messages_that_nobody_handles_are_counted<R: Runtime>() {
    let nodes = cluster_of::<R>("unhandled", 2).await;
    send(&nodes[0], &nodes[1], b"hello?", Reliability::Reliable).await.expect("it is confirmed by the node");
    holds("it is counted", || nodes[1].stats().driver.count(Counter::MessagesUnhandled) == 1).await;
    stop(nodes).await;
}

pub(crate) async fn a_node_that_stopped_or_left_sends_nothing<R: Runtime>() {
    let nodes = cluster_of::<R>("stopped", 3).await;
    within("a leave", nodes[1].leave()).await.expect("it takes part");
    let left = refused(protocol::SendError::Phase(protocol::PhaseError::Leaving));
    assert_eq!(send(&nodes[1], &nodes[2], b"x", Reliability::Reliable).await, Err(left.clone()));
    assert_eq!(nodes[1].broadcast(kind(), &1, BroadcastOptions::new()).await, Err(left));
    within("a shutdown", nodes[0].shutdown()).await;
    for reliability in [Reliability::BestEffort, Reliability::Reliable] {
        let outcome = send(&nodes[0], &nodes[2], b"x", reliability).await;
        assert_eq!(outcome, Err(SendError::Stopped(StopReason::Shutdown)));
    }
    let outcome = nodes[0].broadcast(kind(), &1, BroadcastOptions::new()).await;
    assert_eq!(outcome, Err(SendError::Stopped(StopReason::Shutdown)));
    stop(nodes).await;
}

pub(crate) async fn what_was_accepted_and_finds_the_queues_full_is_counted<R: Runtime>() {
    const SENT: usize = 2_000;
    let small = || {
        let mut config = quick("full").protocol(|protocol| {
            protocol.max_message = 64 << 10;
            protocol.chunk = 16 << 10;
            protocol.max_metadata = 8 << 10;
            protocol.max_peer_bytes = 64 << 10;
            protocol.max_queued_bytes = 64 << 10;
        });
        config.command_queue = SENT;
        config
    };
    let nodes = [start::<R>(small()).await, start::<R>(small()).await];
    join(&nodes[1], &nodes[0]).await;
    converged(&nodes).await;
    let mut heard = heard_by(&nodes[1]);
    let patient = nodes[0].patient();
    let send = |_| patient.send(nodes[1].id(), kind(), Raw([1; 1_000]), Reliability::BestEffort);
    let outcomes = within("the sends", join_all((0..SENT).map(send))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    let unsent = || nodes[0].stats().driver.count(Counter::MessagesUnsent);
    holds("what is refused is counted", || unsent() > 0).await;
    next(&mut heard).await;
    assert!(unsent() < SENT as u64, "what fits is sent");
    stop(nodes).await;
}
