//! Nodes that join end up with one view of the cluster, and a join tells what came of each address.

use gossip_driver::{Cluster, Event, JoinError, JoinFailureReason, RejectReason, Runtime, protocol};

use crate::harness::{aside, cluster_of, converged, event, join, quick, start, stop, within};

pub(crate) async fn five_nodes_find_each_other_through_one<R: Runtime>() {
    let nodes = cluster_of::<R>("five", 5).await;
    for node in &nodes {
        let members = node.members();
        assert_eq!(members.counts().alive, 5);
        assert_eq!(members.local().map(|local| &local.address), Some(node.address()));
        assert_eq!(members.candidates(10).len(), 4);
        assert!(members.candidates(2).iter().all(|member| member.id != node.id()));
    }
    stop(nodes).await;
}

pub(crate) async fn seeds_are_joined_without_being_asked<R: Runtime>() {
    let first = start::<R>(quick("seeded")).await;
    let mut events = first.events();
    let second = start::<R>(quick("seeded").seed(first.address().to_string())).await;
    event(&mut events, "the second node joins", |event| match event {
        Event::Member(change) if change.member.id == second.id() => Some(()),
        _ => None,
    })
    .await;
    converged(&[first.clone(), second.clone()]).await;
    stop([first, second]).await;
}

pub(crate) async fn sixty_four_nodes_join_through_one_seed<R: Runtime>() {
    let first = start::<R>(quick("many")).await;
    let seed = first.address().to_string();
    let mut nodes = vec![first];
    for _ in 1..64 {
        nodes.push(start::<R>(quick("many").seed(&seed)).await);
    }
    converged(&nodes).await;
    stop(nodes).await;
}

pub(crate) async fn a_join_tells_of_each_address_what_came_of_it<R: Runtime>() {
    let (first, second) = (start::<R>(quick("report")).await, start::<R>(quick("report")).await);
    let good = first.address().to_string();
    let closed = closed_port::<R>().await;
    let given = [good.as_str(), closed.as_str(), "no such host:1", "name.invalid:1"];
    let report = within("the join", second.join(given)).await.expect("one address is good");
    assert_eq!(report.members, 2);
    assert_eq!(report.accepted.len(), 1);
    assert_eq!((report.accepted[0].given.as_str(), report.accepted[0].by), (good.as_str(), first.id()));
    let reason = |given: &str| {
        let failure = report.failed.iter().find(|failure| failure.given == given);
        failure.map(|failure| failure.reason.clone()).expect("each failure is reported")
    };
    let JoinFailureReason::Connection { error, reason: why } = reason(&closed) else { panic!("{report}") };
    assert_eq!(error, protocol::JoinError::Unreachable);
    assert!(why.contains("refused"), "what the system says: {why}");
    let address = closed.parse().expect("it is numeric");
    assert_eq!(second.connection_failure(&address), Some(why));
    assert_eq!(second.connection_failure(first.address()), None);
    assert!(matches!(reason("no such host:1"), JoinFailureReason::Address(_)));
    assert!(matches!(reason("name.invalid:1"), JoinFailureReason::Resolve(_)));
    stop([first, second]).await;
}

pub(crate) async fn a_join_that_nobody_accepts_is_an_error_that_says_why<R: Runtime>() {
    let node = start::<R>(quick("alone")).await;
    let own = node.address().to_string();
    let error = within("the join", node.join([own])).await.expect_err("a node cannot join itself");
    let JoinError::Nobody(report) = error else { panic!("the node runs: {error}") };
    let rejected = protocol::JoinError::Rejected(RejectReason::Myself);
    assert_eq!(report.failed[0].reason, JoinFailureReason::Join(rejected));
    let nobody: [&str; 0] = [];
    assert!(matches!(within("the join", node.join(nobody)).await, Err(JoinError::Nobody(_))));
    stop([node]).await;
}

pub(crate) async fn clusters_of_different_names_do_not_mix<R: Runtime>() {
    let (red, blue) = (start::<R>(quick("red")).await, start::<R>(quick("blue")).await);
    let error = within("the join", blue.join([red.address().to_string()])).await.expect_err("it is another cluster");
    assert!(error.to_string().contains("another cluster"), "{error}");
    assert_eq!((red.members().all().len(), blue.members().all().len()), (1, 1));
    let green = start::<R>(quick("red")).await;
    join(&green, &red).await;
    converged(&[red.clone(), green.clone()]).await;
    assert_eq!(blue.members().all().len(), 1);
    stop([red, blue, green]).await;
}

/// An address where nobody listens.
async fn closed_port<R: Runtime>() -> String {
    let node: Cluster<R> = start::<R>(quick("gone").bind(aside(5))).await;
    let address = node.address().to_string();
    stop([node]).await;
    address
}
