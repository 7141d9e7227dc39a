//! Two running nodes with one id: both are told, the later start keeps the id, and nobody sees it flap.

use std::time::Duration;

use gossip_driver::{Event, Events, Phase, Runtime};

use crate::harness::{cluster_of, converged, event, quick, seen, start, stop, timeout};

async fn conflict(events: &mut Events) -> bool {
    event(events, "the conflict is told", |event| match event {
        Event::IdConflict { quiet, .. } => Some(quiet),
        _ => None,
    })
    .await
}

pub(crate) async fn the_later_start_keeps_the_id_and_both_are_told<R: Runtime>() {
    let mut nodes = cluster_of::<R>("conflict", 3).await;
    let observer = nodes[0].clone();
    let earlier = nodes.pop().expect("there are three nodes");
    let mut earlier_events = earlier.events();
    let later = start::<R>(quick("conflict").id(earlier.id()).seed(observer.address().to_string())).await;
    let mut later_events = later.events();
    assert!(conflict(&mut earlier_events).await, "the earlier start goes quiet");
    assert!(!conflict(&mut later_events).await, "the later start keeps the id");
    assert_eq!((earlier.phase(), later.phase()), (Phase::Contested, Phase::Active));
    nodes.push(later);
    converged(&nodes).await;
    seen(&observer, "the later start is known", |members| {
        members.member(earlier.id()).is_some_and(|member| member.address == *nodes[2].address())
    })
    .await;

    // Long enough for several rounds of probes in which the id could change hands.
    let mut events = observer.events();
    let flapping = timeout(Duration::from_secs(3), async {
        loop {
            if let Some(Event::Member(change)) = events.next().await {
                return change;
            }
        }
    });
    assert!(flapping.await.is_none(), "no member changes while both run");
    stop(nodes).await;
    stop([earlier]).await;
}
