//! A node that leaves is told from one that fails.

use std::time::Duration;

use gossip_driver::{Cause, Cluster, CommandError, Event, Events, MemberState, NodeId, Phase, PhaseError, Runtime};

use crate::harness::{aside, cluster_of, converged, event, join, quick, start, stop, within};

/// Waits until this node hears that the other one left, and that it never accused it.
async fn hears_leaving(events: &mut Events, id: NodeId) {
    let cause = event(events, "the node leaves", |event| match event {
        Event::Member(change) if change.member.id == id => {
            assert_eq!(change.member.state, MemberState::Leaving, "{change:?}");
            Some(change.cause)
        }
        _ => None,
    })
    .await;
    assert_eq!(cause, Cause::Left);
}

pub(crate) async fn leaving_is_heard_by_all_and_acknowledged<R: Runtime>() {
    let mut nodes = cluster_of::<R>("leave", 3).await;
    let mut streams: Vec<_> = nodes[..2].iter().map(Cluster::events).collect();
    let leaver = nodes.pop().expect("there are three nodes");
    let report = within("leaving", leaver.leave()).await.expect("a node can leave");
    assert!(report.acknowledged > 0);
    assert_eq!(leaver.phase(), Phase::Left);
    assert!(!leaver.is_stopped(), "it goes on running");
    for events in &mut streams {
        hears_leaving(events, leaver.id()).await;
    }
    let again = within("leaving", leaver.leave()).await;
    assert_eq!(again, Err(CommandError::Refused(PhaseError::Leaving)));
    stop([leaver]).await;
    stop(nodes).await;
}

pub(crate) async fn two_calls_to_leave_get_one_answer_each<R: Runtime>() {
    let config = || quick("leave twice").protocol(|protocol| protocol.leave_timeout = Duration::from_millis(500));
    let nodes = [start::<R>(config()).await, start::<R>(config()).await];
    join(&nodes[1], &nodes[0]).await;
    converged(&nodes).await;
    // Nobody is left to acknowledge, so that the second call comes before the first has ended.
    within("a shutdown", nodes[1].shutdown()).await;
    let both = async { futures_util::join!(nodes[0].leave(), nodes[0].leave()) };
    let (first, second) = within("leaving", both).await;
    assert_eq!(first, second);
    assert!(first.is_ok());
    stop(nodes).await;
}

pub(crate) async fn a_node_that_is_alone_leaves_at_once<R: Runtime>() {
    let node = start::<R>(quick("alone")).await;
    let report = within("leaving", node.leave()).await.expect("a node can leave");
    assert_eq!(report.acknowledged, 0);
    stop([node]).await;
}

pub(crate) async fn dropping_the_last_handle_leaves_and_frees_the_port<R: Runtime>() {
    let nodes = cluster_of::<R>("drop", 1).await;
    let mut events = nodes[0].events();
    let leaver = start::<R>(quick("drop").bind(aside(4))).await;
    join(&leaver, &nodes[0]).await;
    converged(&[nodes[0].clone(), leaver.clone()]).await;
    let (id, address) = (leaver.id(), leaver.bind_address().expect("it is bound"));
    let mut last_words = leaver.events();
    let other_handle = leaver.clone();
    drop(leaver);
    assert!(!other_handle.is_stopped(), "a clone keeps the node running");
    drop(other_handle);
    event(&mut events, "the node leaves", |event| match event {
        Event::Member(change) if change.member.id == id && change.cause == Cause::Left => Some(()),
        _ => None,
    })
    .await;
    let all_read = async { while last_words.next().await.is_some() {} };
    within("the event stream ends when the node stops", all_read).await;
    let next = start::<R>(quick("drop").bind(address.to_string())).await;
    stop([next]).await;
    stop(nodes).await;
}

pub(crate) async fn a_node_without_handles_and_members_stops<R: Runtime>() {
    let node = start::<R>(quick("nobody").bind(aside(6))).await;
    let (address, mut events) = (node.address().to_string(), node.events());
    drop(node);
    within("the event stream ends", async { while events.next().await.is_some() {} }).await;
    stop([start::<R>(quick("nobody").bind(address)).await]).await;
}
