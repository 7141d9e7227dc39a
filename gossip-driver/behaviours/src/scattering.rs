//! A question to many: answers come one by one, and those who cannot answer are named.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_driver::{Audience, Cluster, NodeId, Payload, Request, RequestError, Runtime, SendError, protocol};

use crate::harness::{PATIENCE, cluster_of, converged, join, kind, quick, seen, start, stop, within};

type Ends = BTreeMap<NodeId, Result<Payload, RequestError>>;

fn answers_with_its_id<R: Runtime>(node: &Cluster<R>) {
    let id = node.id();
    node.handle_requests(kind(), move |_: Request| std::future::ready(Ok(id.to_string()))).expect("it has none yet");
}

async fn ends_of<R: Runtime>(node: &Cluster<R>, audience: Audience<'_>, timeout: Duration) -> (usize, Ends) {
    let mut answers = within("a question", node.scatter(audience, kind(), &(), timeout)).await.expect("it is sent");
    let mut ends = Ends::new();
    while let Some((by, end)) = within("an answer", answers.next()).await {
        assert!(ends.insert(by, end).is_none(), "one end for each");
    }
    (answers.asked(), ends)
}

fn assert_answered<R: Runtime>(ends: &Ends, by: &Cluster<R>) {
    let answer = ends[&by.id()].as_ref().expect("it answers").decode::<String>();
    assert_eq!(answer, Ok(by.id().to_string()));
}

pub(crate) async fn all_a_tag_and_a_list_are_asked_and_the_dead_are_named<R: Runtime>() {
    let mut nodes = Vec::new();
    for tag in ["asker", "red", "red", "blue", "red"] {
        let node = start::<R>(quick("scatter").tag(tag)).await;
        if let Some(first) = nodes.first() {
            join(&node, first).await;
        }
        answers_with_its_id(&node);
        nodes.push(node);
    }
    converged(&nodes).await;
    seen(&nodes[0], "the tags are known", |members| members.tagged("red").count() == 3).await;
    let victim = nodes.pop().expect("five");
    within("a shutdown", victim.shutdown()).await;

    // While its death is not known it is asked as well, and cannot be reached.
    let is_news = nodes[0].member(victim.id()).is_some_and(|member| member.state.is_live());
    let (asked, ends) = ends_of(&nodes[0], Audience::Tag("red"), PATIENCE).await;
    assert_answered(&ends, &nodes[1]);
    assert_answered(&ends, &nodes[2]);
    if is_news && asked == 3 {
        assert!(ends[&victim.id()].is_err(), "{ends:?}");
    }
    assert_eq!(ends.len(), asked);

    seen(&nodes[0], "the death is known", |members| members.counts().dead == 1).await;
    let (asked, ends) = ends_of(&nodes[0], Audience::All, PATIENCE).await;
    assert_eq!((asked, ends.len()), (3, 3));
    nodes[1..].iter().for_each(|node| assert_answered(&ends, node));

    let list = [nodes[0].id(), nodes[3].id(), victim.id()];
    let (asked, ends) = ends_of(&nodes[0], Audience::Nodes(&list), PATIENCE).await;
    assert_eq!((asked, ends.len()), (3, 3));
    assert_answered(&ends, &nodes[0]);
    assert_answered(&ends, &nodes[3]);
    let not_live = RequestError::NotSent(SendError::Refused(protocol::SendError::NotLive));
    assert_eq!(ends[&victim.id()].as_ref().unwrap_err(), &not_live);
    stop(nodes).await;
}

pub(crate) async fn nobody_has_the_tag_and_nobody_is_there<R: Runtime>() {
    let node = start::<R>(quick("nobody").tag("lonely")).await;
    let outcome = node.scatter(Audience::Tag("lonely"), kind(), &(), PATIENCE).await;
    assert_eq!(outcome.err(), Some(SendError::Refused(protocol::SendError::NoSuchTag)), "only this node has it");
    let (asked, ends) = ends_of(&node, Audience::All, PATIENCE).await;
    assert_eq!((asked, ends.len()), (0, 0));
    stop([node]).await;
}

pub(crate) async fn answers_come_as_they_are_given_and_the_deadline_ends_the_rest<R: Runtime>() {
    let nodes = cluster_of::<R>("deadline", 3).await;
    answers_with_its_id(&nodes[1]);
    let never = |_: Request| async {
        std::future::pending::<()>().await;
        Ok(())
    };
    nodes[2].handle_requests(kind(), never).expect("it has none yet");
    let timeout = Duration::from_millis(500);
    let mut answers = nodes[0].scatter(Audience::All, kind(), &(), timeout).await.expect("it is sent");
    let (first, end) = within("the first answer", answers.next()).await.expect("one answers");
    assert_eq!((first, end.is_ok()), (nodes[1].id(), true));
    let (second, end) = within("the deadline", answers.next()).await.expect("the other one ends too");
    assert_eq!(second, nodes[2].id());
    assert_eq!(end.unwrap_err(), RequestError::Failed(protocol::RequestError::Timeout));
    assert!(answers.next().await.is_none());
    stop(nodes).await;
}
