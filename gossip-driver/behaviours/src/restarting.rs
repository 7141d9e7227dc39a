//! A node that starts again with its id takes its old place, at once and wherever it is.

use gossip_driver::{Cause, Event, MemberState, Runtime};

use crate::harness::{aside, cluster_of, converged, event, join, quick, seen, start, stop};

async fn restart<R: Runtime>(same_address: bool) {
    let name = if same_address { "same" } else { "elsewhere" };
    let mut nodes = cluster_of::<R>(name, 2).await;
    let mut events = nodes[0].events();
    let old = start::<R>(quick(name).bind(aside(3))).await;
    join(&old, &nodes[0]).await;
    converged(&[nodes[0].clone(), nodes[1].clone(), old.clone()]).await;
    let (id, address) = (old.id(), old.bind_address().expect("it is bound"));
    let before = nodes[0].member(id).expect("it is a member").incarnation;
    stop([old]).await;
    let bind = if same_address { address.to_string() } else { "127.0.0.1:0".to_owned() };
    let new = start::<R>(quick(name).id(id).bind(bind)).await;
    assert_eq!(new.bind_address().expect("it is bound") == address, same_address);
    join(&new, &nodes[1]).await;
    event(&mut events, "the restart is told", |event| match event {
        Event::Member(change) if change.member.id == id && change.cause == Cause::Restarted => {
            assert_eq!(change.member.state, MemberState::Alive);
            assert!(change.member.incarnation > before);
            Some(())
        }
        _ => None,
    })
    .await;
    nodes.push(new);
    converged(&nodes).await;
    for node in &nodes {
        seen(node, "the new address is known", |members| {
            members.member(id).is_some_and(|member| member.address == *nodes[2].address())
        })
        .await;
        assert_eq!(node.members().all().len(), 3, "no second row for the same node");
    }
    stop(nodes).await;
}

pub(crate) async fn at_the_same_address<R: Runtime>() {
    restart::<R>(true).await;
}

pub(crate) async fn at_another_address<R: Runtime>() {
    restart::<R>(false).await;
}
