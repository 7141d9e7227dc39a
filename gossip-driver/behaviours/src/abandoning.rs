//! Whoever gives up waiting for a call, at whatever moment, harms neither the node nor other calls.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use gossip_driver::{
    Audience, BroadcastOptions, ForgetScope, NodeId, Phase, Reliability, Request, Runtime, StopReason,
};

use crate::harness::{PATIENCE, cluster_of, converged, heard_by, holds, kind, next, pause, seen, stop, within};

/// How often calls are polled at most before they are given up.
const POLLS: usize = 6;

/// Polls a call so often, with turns for others in between, and drops it.
async fn abandoned(polls: usize, call: impl Future) {
    let mut call = pin!(call);
    for _ in 0..polls {
        if (&mut call).now_or_never().is_some() {
            return;
        }
        pause().await;
    }
}

pub(crate) async fn calls_that_are_given_up_half_way_harm_nobody<R: Runtime>() {
    let nodes = cluster_of::<R>("abandon", 2).await;
    let node = &nodes[0];
    let (to, address) = (nodes[1].id(), nodes[1].address().to_string());
    let mut heard = heard_by(&nodes[1]);
    nodes[1].handle_requests(kind(), |_: Request| std::future::ready(Ok(7_u8))).expect("it has no handler yet");
    let nobody = NodeId::from_u128(1);
    for polls in 0..POLLS {
        for handle in [node.clone(), node.patient()] {
            abandoned(polls, handle.join([address.clone(), "127.0.0.1:1".to_owned()])).await;
            abandoned(polls, handle.set_seeds([address.clone()])).await;
            abandoned(polls, handle.set_metadata("given up", "half-way")).await;
            abandoned(polls, handle.remove_metadata("given up")).await;
            abandoned(polls, handle.forget(nobody, ForgetScope::Here)).await;
            abandoned(polls, handle.send(to, kind(), 1_u8, Reliability::Reliable)).await;
            abandoned(polls, handle.send(to, kind(), 1_u8, Reliability::BestEffort)).await;
            abandoned(polls, handle.send_to(&[to, nobody], kind(), 1_u8, Reliability::Reliable)).await;
            abandoned(polls, handle.broadcast(kind(), 1_u8, BroadcastOptions::new())).await;
            abandoned(polls, handle.request(to, kind(), 1_u8, PATIENCE)).await;
            abandoned(polls, async {
                if let Ok(mut answers) = handle.scatter(Audience::All, kind(), 1_u8, PATIENCE).await {
                    answers.next().await;
                }
            })
            .await;
            abandoned(polls, handle.keys()).await;
            abandoned(polls, handle.keys_everywhere(Duration::from_secs(5))).await;
            abandoned(polls, handle.events().next()).await;
            abandoned(polls, handle.stopped()).await;
        }
    }
    converged(&nodes).await;
    let answer = within("a request", node.request(to, kind(), 2_u8, PATIENCE)).await.expect("it is answered");
    assert_eq!(answer.decode::<u8>(), Ok(7));
    within("a send", node.send(to, kind(), 2_u8, Reliability::Reliable)).await.expect("it arrives");
    while next(&mut heard).await.payload.decode() != Ok(2_u8) {}
    within("a change", node.set_metadata("after", "all")).await.expect("the node runs");
    let id = node.id();
    seen(&nodes[1], "a change arrives", |members| {
        members.member(id).is_some_and(|member| member.metadata.str("after").is_some())
    })
    .await;
    holds("nothing waits any more", || node.stats().driver.bytes_queued == 0).await;
    stop(nodes).await;
}

pub(crate) async fn a_leave_or_a_shutdown_that_is_not_waited_for_comes_to_its_end<R: Runtime>() {
    for polls in 1..POLLS {
        let nodes = cluster_of::<R>("unwaited", 3).await;
        let ids = [nodes[0].id(), nodes[1].id()];
        abandoned(polls, nodes[0].leave()).await;
        abandoned(polls, nodes[1].shutdown()).await;
        let reason = within("the end", nodes[1].stopped()).await;
        assert_eq!(reason, StopReason::Shutdown);
        holds("it has left", || nodes[0].phase() == Phase::Left || nodes[0].is_stopped()).await;
        seen(&nodes[2], "both are gone", |members| ids.iter().all(|id| members.alive().all(|other| other.id != *id)))
            .await;
        stop(nodes).await;
    }
}
