//! An operator has a dead member forgotten, here or everywhere.

use gossip_driver::{Cause, CommandError, Event, ForgetScope, MemberState, NodeId, Runtime, protocol};

use crate::harness::{cluster_of, event, seen, stop, within};

pub(crate) async fn a_dead_member_is_forgotten_by_all<R: Runtime>() {
    let mut nodes = cluster_of::<R>("forget", 3).await;
    let id = nodes[2].id();
    let living = within("a refusal", nodes[0].forget(id, ForgetScope::Everywhere)).await;
    assert_eq!(living, Err(CommandError::Refused(protocol::ForgetError::Alive)));
    stop(nodes.pop()).await;
    for node in &nodes {
        seen(node, "the death is known", |members| members.counts().dead == 1).await;
    }
    let mut events = nodes[1].events();
    within("a command", nodes[0].forget(id, ForgetScope::Everywhere)).await.expect("it is dead");
    assert_eq!(nodes[0].member(id), None, "it is gone when the call returns");
    event(&mut events, "the member is forgotten", |event| match event {
        Event::Member(change) if change.member.id == id && change.member.state == MemberState::Removed => {
            assert_eq!(change.cause, Cause::Forgotten);
            Some(())
        }
        _ => None,
    })
    .await;
    assert_eq!(nodes[1].member(id), None);
    let stranger = within("a refusal", nodes[0].forget(NodeId::from_u128(1), ForgetScope::Here)).await;
    assert_eq!(stranger, Err(CommandError::Refused(protocol::ForgetError::Unknown)));
    stop(nodes).await;
}
