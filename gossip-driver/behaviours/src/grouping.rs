//! Groups follow who fits their criteria; gossip callbacks are called again and again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gossip_driver::{
    Audience, Cluster, Criteria, Events, Group, GroupEvent, Member, MessageType, NodeId, Received, Reliability,
    Request, Runtime,
};

use crate::harness::{PATIENCE, cluster_of, converged, holds, join, quick, spawned, start, stop, within};

async fn set<R: Runtime>(node: &Cluster<R>, key: &str, value: &str) {
    within("a change", node.set_metadata(key, value)).await.expect("the value is fine");
}

async fn next(events: &mut Events<GroupEvent>) -> GroupEvent {
    within("a change of the group", events.next()).await.expect("the node runs")
}

pub(crate) async fn a_group_follows_metadata_a_crash_and_a_restart<R: Runtime>() {
    let mut nodes = cluster_of::<R>("group", 3).await;
    let databases: Group<R, &str> =
        nodes[0].group_with(Criteria::parse(["role=db", "zone=*"]).expect("sound criteria"));
    let mut events = databases.events();
    let peer = nodes[2].id();
    set(&nodes[2], "zone", "a").await;
    set(&nodes[2], "role", "db").await;
    assert!(matches!(next(&mut events).await, GroupEvent::Added(member) if member.id == peer));
    assert!(databases.contains(peer) && databases.set_data(peer, "mine").is_ok());
    set(&nodes[2], "zone", "b").await;
    assert!(matches!(next(&mut events).await, GroupEvent::Updated(member) if member.metadata.str("zone") == Some("b")));
    assert_eq!(databases.data(peer).as_deref(), Some(&"mine"));

    let crashed = nodes.pop().expect("there are three");
    stop([crashed]).await;
    assert!(matches!(next(&mut events).await, GroupEvent::Removed(member) if member.id == peer));
    assert!(databases.is_empty() && databases.data(peer).is_none());

    let again = start::<R>(quick("group").id(peer).metadata("role", "db").metadata("zone", "c")).await;
    join(&again, &nodes[1]).await;
    nodes.push(again);
    converged(&nodes).await;
    assert!(matches!(next(&mut events).await, GroupEvent::Added(member) if member.id == peer));
    set(&nodes[2], "role", "web").await;
    assert!(matches!(next(&mut events).await, GroupEvent::Removed(member) if member.id == peer));
    stop(nodes).await;
    assert!(within("the end", events.next()).await.is_none());
}

pub(crate) async fn a_group_is_sent_to_and_asked<R: Runtime>() {
    let nodes = cluster_of::<R>("group-mail", 4).await;
    let kind = MessageType::user(300).expect("a type of applications");
    for node in &nodes {
        let id = node.id();
        node.handle_requests(kind, move |_: Request| async move { Ok(id.to_string()) }).expect("the first one");
    }
    let databases = nodes[0].group(Criteria::all().equals("role", "db"));
    let mut heard = [nodes[1].messages(), nodes[3].messages()];
    for member in [0, 1, 3] {
        set(&nodes[member], "role", "db").await;
    }
    holds("three are in", || databases.len() == 3).await;
    let mut expected = vec![nodes[1].id(), nodes[3].id()];
    expected.sort_unstable();
    assert_eq!(databases.others(), expected);

    let sent = nodes[0].send_to_group(&databases, kind, "hello", Reliability::Reliable).await;
    assert!(sent.iter().all(|(_, sent)| sent.is_ok()) && sent.len() == 2, "{sent:?}");
    for messages in &mut heard {
        let Some(Received::Message(message)) = within("the message", messages.next()).await else {
            panic!("no message")
        };
        assert_eq!(message.payload.decode::<String>().as_deref(), Ok("hello"));
    }

    let mut answers =
        nodes[0].scatter(Audience::Nodes(&databases.others()), kind, (), PATIENCE).await.expect("the question is sent");
    let mut answered = Vec::new();
    while let Some((by, answer)) = within("an answer", answers.next()).await {
        assert_eq!(answer.expect("an answer").decode::<String>(), Ok(by.to_string()));
        answered.push(by);
    }
    answered.sort_unstable();
    assert_eq!(answered, expected);
    stop(nodes).await;
}

/// A group with what its first picture and the events since make of it.
struct Watched<R: Runtime> {
    group: Group<R>,
    known: BTreeMap<NodeId, Member>,
    events: Events<GroupEvent>,
}

impl<R: Runtime> Watched<R> {
    fn new(cluster: &Cluster<R>) -> Self {
        let group = cluster.group(Criteria::all().equals("role", "db"));
        let (members, events) = group.watch();
        let known = members.iter().map(|member| (member.id, member.clone())).collect();
        Self { group, known, events }
    }

    /// Whether the picture and the events since make up what the group is now.
    fn is_complete(&mut self) -> bool {
        while let Some(event) = self.events.try_next() {
            match event {
                GroupEvent::Added(member) => {
                    assert!(self.known.insert(member.id, member).is_none(), "it was not in");
                }
                GroupEvent::Removed(member) => assert!(self.known.remove(&member.id).is_some(), "it was in"),
                GroupEvent::Updated(member) => assert!(self.known.insert(member.id, member).is_some(), "it was in"),
                other => panic!("{other:?}"),
            }
        }
        self.group
            .members()
            .iter()
            .map(|member| &member.metadata)
            .eq(self.known.values().map(|member| &member.metadata))
    }
}

pub(crate) async fn no_change_is_lost_between_a_group_and_its_events_however_much_happens<R: Runtime>() {
    let nodes = cluster_of::<R>("churn", 2).await;
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = nodes
        .iter()
        .map(|node| {
            let (node, done) = (node.clone(), Arc::clone(&done));
            spawned::<R, _>(async move {
                let mut round = 0_i64;
                while !done.load(Ordering::SeqCst) {
                    node.set_metadata("role", ["db", "web"][usize::from(round % 3 == 0)]).await.expect("it runs");
                    node.set_metadata("round", round).await.expect("it runs");
                    round += 1;
                }
            })
        })
        .collect();
    let mut pulse = nodes[0].events();
    let mut watched = Vec::new();
    for _ in 0..50 {
        watched.extend((0..4).map(|_| Watched::new(&nodes[0])));
        within("something happens", pulse.next()).await.expect("it runs");
    }
    done.store(true, Ordering::SeqCst);
    for writer in writers {
        within("the end of a writer", writer).await.expect("it does not panic");
    }
    for node in &nodes {
        set(node, "role", "db").await;
        set(node, "end", "yes").await;
    }
    let end = |members: &[Member]| members.iter().filter(|member| member.metadata.str("end").is_some()).count() == 2;
    holds("the last changes arrive", || watched.iter().all(|one| end(&one.group.members()))).await;
    for one in &mut watched {
        assert!(one.is_complete(), "{:?} is not {:?}", one.known, one.group);
    }
    stop(nodes).await;
}

pub(crate) async fn a_gossip_callback_is_called_with_a_handle_until_it_is_removed<R: Runtime>() {
    let node = start::<R>(quick("gossip").on_gossip_interval(Duration::from_millis(10))).await;
    let (told, heard) = mpsc::channel();
    let id = node.on_gossip_async(move |node| {
        let told = told.clone();
        async move {
            node.set_metadata("seen", true).await.expect("it runs");
            told.send(node.id()).expect("somebody listens");
        }
    });
    for _ in 0..3 {
        assert_eq!(heard.recv_timeout(PATIENCE), Ok(node.id()));
    }
    assert!(node.remove_callback(id) && !node.remove_callback(id));
    let is_gone = || matches!(heard.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    holds("it is dropped", is_gone).await;
    stop([node]).await;
}
