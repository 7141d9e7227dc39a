//! A node that stops answering is suspected and then declared dead, and the events say why.

use gossip_driver::{Cause, Cluster, Event, MemberState, Runtime};

use crate::harness::{cluster_of, event, seen, stop};

pub(crate) async fn a_crash_is_seen_as_suspicion_and_then_death_by_all<R: Runtime>() {
    let mut nodes = cluster_of::<R>("crash", 4).await;
    let mut streams: Vec<_> = nodes[..3].iter().map(Cluster::events).collect();
    let victim = nodes.pop().expect("there are four nodes");
    let id = victim.id();
    stop([victim]).await;
    for events in &mut streams {
        let mut states = Vec::new();
        let cause = event(events, "the death of the node", |event| match event {
            // What was told of its join may still be on its way.
            Event::Member(change) if change.member.id == id && change.cause != Cause::Joined => {
                states.push((change.member.state, change.cause.clone()));
                (change.member.state == MemberState::Dead).then_some(change.cause)
            }
            _ => None,
        })
        .await;
        assert!(matches!(cause, Cause::SuspicionExpired { .. } | Cause::DeclaredDead { .. }), "{cause:?}");
        let (first, why) = states.first().expect("there was at least one change");
        assert_eq!(*first, MemberState::Suspect, "{states:?}");
        assert!(matches!(why, Cause::ProbeFailed | Cause::Accused { .. }), "{why:?}");
    }
    for node in &nodes {
        seen(node, "the dead is remembered", |members| members.counts().dead == 1).await;
        assert_eq!(node.members().counts().alive, 3);
        let dead = node.member(id).expect("the dead are remembered");
        assert!(dead.since <= node.now());
    }
    stop(nodes).await;
}
