//! Nodes elect a leader, and another one when it leaves or crashes; handles know at every moment who leads.

use std::time::Duration;

use gossip_driver::{
    Cluster, CommandError, Election, ElectionChange, ElectionConfig, ElectionError, ElectionEvent, NodeId, Runtime,
    Term,
};

use crate::harness::{cluster_of, holds, stop, within};

fn settings() -> ElectionConfig {
    ElectionConfig { lease: Duration::from_millis(900), steady: Duration::ZERO, ..ElectionConfig::new(2) }
}

async fn enter<R: Runtime>(node: &Cluster<R>) -> Election<R> {
    within("an entry", node.enter_election("scheduler", settings())).await.expect("the settings are sound")
}

/// The leader that all of these follow, in one term, which is later than those before.
async fn leader_of<R: Runtime>(elections: &[Election<R>], before: &[Term]) -> Term {
    let agreed = || {
        let term = elections[0].leader().filter(|&term| before.iter().all(|&earlier| earlier < term))?;
        elections.iter().all(|election| election.leader() == Some(term)).then_some(term)
    };
    holds("all follow one leader", || agreed().is_some()).await;
    agreed().expect("nobody was disturbed meanwhile")
}

fn place<R: Runtime>(nodes: &[Cluster<R>], id: NodeId) -> usize {
    nodes.iter().position(|node| node.id() == id).expect("one of the nodes")
}

pub(crate) async fn a_leader_is_elected_and_followed_by_another_when_it_leaves_or_crashes<R: Runtime>() {
    let mut nodes = cluster_of::<R>("election", 4).await;
    let mut elections = Vec::new();
    for node in &nodes {
        elections.push(enter(node).await);
    }
    let first = within("a leader", elections[0].led()).await.expect("the node runs");
    let mut terms = vec![leader_of(&elections, &[]).await];
    assert_eq!(terms[0].leader(), first.leader());
    let leaders = elections.iter().filter(|election| election.leads().is_some());
    assert_eq!(leaders.map(Election::leads).collect::<Vec<_>>(), [Some(terms[0])]);
    assert!(elections.iter().all(|election| election.leader_until().is_some()));

    for is_graceful in [true, false] {
        let at = place(&nodes, terms[terms.len() - 1].leader());
        assert!(elections[at].leads_until().is_some());
        // Whoever has a vote can take part in replacing the leader.
        within("votes for all", async {
            while elections[at].status().await.expect("the node runs").settled < nodes.len() {
                async_io::Timer::after(Duration::from_millis(5)).await;
            }
        })
        .await;
        let (leader, office) = (nodes.remove(at), elections.remove(at));
        let mut told = office.events();
        if is_graceful {
            within("the leave", leader.leave()).await.expect("it had not left");
        }
        stop([leader]).await;
        assert_eq!((office.leads(), office.leads_until(), office.leader()), (None, None, None));
        assert_eq!(office.leader_until(), None);
        assert!(office.status().await.is_err());
        let stepped_down = |event| matches!(event, ElectionEvent::Changed(ElectionChange::SteppedDown { .. }));
        assert_eq!(is_graceful, within("the end", told.next()).await.is_some_and(stepped_down));
        terms.push(leader_of(&elections, &terms).await);
    }
    stop(nodes).await;
}

pub(crate) async fn an_election_is_entered_once_with_settings_that_can_work<R: Runtime>() {
    let nodes = cluster_of::<R>("election-entry", 1).await;
    let election = enter(&nodes[0]).await;
    assert_eq!(election.name(), "scheduler");
    let again = nodes[0].enter_election("scheduler", settings()).await;
    assert_eq!(again.err(), Some(CommandError::Refused(ElectionError::Entered)));
    let nameless = nodes[0].enter_election("", settings()).await;
    assert_eq!(nameless.err(), Some(CommandError::Refused(ElectionError::Name { length: 0 })));
    let none = ElectionConfig { floor: 0, ..settings() };
    let refused = nodes[0].enter_election("other", none).await.expect_err("a floor of nothing is none");
    assert!(refused.to_string().contains("floor"), "{refused}");
    // Two votes are needed, and there is one.
    within("the reason", async {
        while !format!("{:?}", election.status().await.expect("the node runs").reason).contains("NoQuorum") {
            async_io::Timer::after(Duration::from_millis(5)).await;
        }
    })
    .await;
    stop(nodes).await;
    assert!(election.led().await.is_none() && election.status().await.is_err());
}
