//! Clusters with keys: who is kept out, and how the keys of all are changed over real sockets.

use std::future::poll_fn;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_io::Timer;
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use gossip_driver::{
    BroadcastOptions, Cluster, Config, Counter, DropReason, Event, Key, KeyId, KeyRing, KeysError, Listener as _,
    MemberState, Plaintext, Runtime, Stranded,
};

use crate::harness::{
    PATIENCE, converged, event, heard_by, holds, join, kind, next, quick, spawned, start, stop, within,
};

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32])
}

fn sealed(cluster: &str) -> Config {
    quick(cluster).keys(KeyRing::new(key(1)), Plaintext::Refuse)
}

async fn sealed_cluster<R: Runtime>(name: &str, count: usize, config: impl Fn() -> Config) -> Vec<Cluster<R>> {
    let mut nodes = vec![start::<R>(config()).await];
    while nodes.len() < count {
        let node = start::<R>(config()).await;
        join(&node, &nodes[0]).await;
        nodes.push(node);
    }
    converged(&nodes).await;
    assert!(nodes.iter().all(|node| node.members().counts().alive == count), "{name}");
    nodes
}

async fn ids<R: Runtime>(node: &Cluster<R>) -> Vec<KeyId> {
    within("a look at keys", node.keys()).await.expect("it has keys").keys.iter().map(|key| key.id).collect()
}

pub(crate) async fn sealed_nodes_talk_and_those_without_the_key_are_kept_out<R: Runtime>() {
    let nodes = sealed_cluster::<R>("keyed", 2, || sealed("keyed")).await;
    let mut heard = heard_by(&nodes[1]);
    nodes[0].broadcast(kind(), "sealed", BroadcastOptions::new()).await.expect("it is sent");
    assert_eq!(next(&mut heard).await.payload.decode::<String>().as_deref(), Ok("sealed"));

    let plain = start::<R>(quick("keyed").seed(nodes[0].address().to_string())).await;
    let other =
        start::<R>(quick("keyed").keys(KeyRing::new(key(9)), Plaintext::Refuse).seed(nodes[0].address().to_string()))
            .await;
    for reason in [DropReason::Plaintext, DropReason::UnknownKey] {
        holds(reason.name(), || nodes[0].stats().protocol.dropped(reason) > 0).await;
    }
    for stranger in [&plain, &other] {
        assert!(within("a join", stranger.join([nodes[1].address().to_string()])).await.is_err());
        assert_eq!(stranger.members().all().len(), 1);
    }
    assert!(nodes.iter().all(|node| node.members().all().len() == 2));
    stop(nodes.into_iter().chain([plain, other])).await;
}

pub(crate) async fn what_is_not_sealed_gets_no_answer_and_its_connection_ends_in_time<R: Runtime>() {
    let mut config = sealed("unsealed");
    config.first_frame_timeout = Duration::from_millis(500);
    let node = start::<R>(config).await;
    // What a node without keys says when it wants to be let in, over both channels.
    let plain = start::<R>(quick("unsealed")).await;
    let runtime = R::current().expect("the test runs in the runtime");
    let mut listener = runtime.bind_listener(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_address().expect("it is bound").to_string();
    let asker = plain.clone();
    let asking = spawned::<R, _>(async move { asker.join([address]).await.map(drop) });
    let (mut caught, _) = within("a connection", poll_fn(|cx| listener.poll_accept(cx))).await.expect("it connects");
    let mut prefix = [0; 4];
    within("a length", caught.read_exact(&mut prefix)).await.expect("a frame comes");
    let mut message = vec![0; u32::from_be_bytes(prefix) as usize];
    within("a message", caught.read_exact(&mut message)).await.expect("a frame comes");
    stop([plain]).await;
    within("the end of a join", asking).await.expect("no panic").expect_err("it has stopped");

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.send_to(&message, node.bind_address().expect("it is bound")).expect("it is sent");
    let mut stream =
        within("a connection", runtime.connect(node.bind_address().expect("it is bound"))).await.expect("it listens");
    for _ in 0..10 {
        stream.write_all(&[&prefix[..], &message].concat()).await.expect("the node takes a few bytes");
    }
    holds("all are counted", || node.stats().protocol.dropped(DropReason::Plaintext) == 11).await;
    assert_eq!(node.stats().driver.links_unproven, 1, "it is not taken for a member's");
    let mut answer = Vec::new();
    let _ = within("the end of the connection", stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "a stranger gets no answer");
    assert_eq!(node.stats().driver.count(Counter::FirstFrameTimeouts), 1);
    let stats = node.stats().protocol;
    assert_eq!((stats.datagrams_sent, stats.stream_messages_sent), (0, 0));
    stop([node]).await;
}

/// One that takes a while for what comes to it, and is not the only one to do so.
pub(crate) async fn twenty_nodes_change_their_key_while_they_broadcast<R: Runtime>() {
    const COUNT: usize = 20;
    let config = || Config::local("twenty").keys(KeyRing::new(key(1)), Plaintext::Refuse);
    let nodes = sealed_cluster::<R>("twenty", COUNT, config).await;
    let (old, new) = (key(1).id(), key(2).id());
    let suspicions: Vec<_> = nodes.iter().map(|node| node.stats().protocol.refutations).collect();
    let heard: Vec<Arc<AtomicUsize>> = nodes.iter().map(|_| Arc::default()).collect();
    for (node, heard) in nodes.iter().zip(&heard) {
        let heard = Arc::clone(heard);
        let count = move |_| {
            heard.fetch_add(1, Ordering::Relaxed);
            std::future::ready(())
        };
        node.handle_messages(kind(), count).expect("it has no handler yet");
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let speakers = nodes.clone();
    let broadcasting = spawned::<R, _>({
        let is_over = Arc::clone(&is_over);
        async move {
            let mut sent = vec![0; COUNT];
            for turn in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let who = turn % COUNT;
                speakers[who].broadcast(kind(), turn, BroadcastOptions::new()).await.expect("it is sent");
                sent[who] += 1;
                Timer::after(Duration::from_millis(20)).await;
            }
            sent
        }
    });

    let lacking = within("a question", nodes[3].use_key_everywhere(new, false, PATIENCE)).await;
    assert!(lacking.is_err(), "nobody has it: {lacking:?}");
    let report = within("an installation", nodes[3].add_key_everywhere(key(2), PATIENCE)).await.expect("it is tried");
    assert!(report.is_complete() && report.members.len() == COUNT, "{report:?}");
    let report = within("a change", nodes[7].use_key_everywhere(new, false, PATIENCE)).await.expect("all have it");
    assert!(report.is_complete(), "{report:?}");
    let report =
        within("a removal", nodes[11].remove_key_everywhere(old, false, PATIENCE)).await.expect("none needs it");
    assert!(report.is_complete(), "{report:?}");
    is_over.store(true, Ordering::Relaxed);
    let sent = within("the end of broadcasts", broadcasting).await.expect("no panic");

    let total: usize = sent.iter().sum();
    for (at, heard) in heard.iter().enumerate() {
        let expected = total - sent[at];
        let what = format!("{at} hears all {expected} of the others");
        holds(&what, || heard.load(Ordering::Relaxed) == expected).await;
    }
    for (node, before) in nodes.iter().zip(suspicions) {
        assert_eq!(ids(node).await, [new]);
        assert_eq!(node.stats().protocol.refutations, before, "nobody was suspected");
        assert_eq!(node.members().counts().alive, COUNT);
    }
    stop(nodes).await;
}

pub(crate) async fn a_dead_member_is_told_of_and_hinders_the_removal_of_the_key_that_it_knows<R: Runtime>() {
    let mut nodes = sealed_cluster::<R>("away", 3, || sealed("away")).await;
    let (old, new) = (key(1).id(), key(2).id());
    let mut events = nodes[0].events();
    let away = nodes.pop().expect("three");
    let id = away.id();
    within("a shutdown", away.shutdown()).await;
    event(&mut events, "its death", |event| match event {
        Event::Member(change) if change.member.state == MemberState::Dead => Some(()),
        _ => None,
    })
    .await;
    let report = within("an installation", nodes[0].add_key_everywhere(key(2), PATIENCE)).await.expect("it is tried");
    assert_eq!((report.is_complete(), report.away), (true, vec![id]));
    within("a change", nodes[0].use_key_everywhere(new, false, PATIENCE)).await.expect("all that live have it");
    let hindered = within("a removal", nodes[0].remove_key_everywhere(old, false, PATIENCE)).await;
    match hindered {
        Err(KeysError::Stranding(stranding)) => assert_eq!(stranding.members, [(id, Stranded::Away)]),
        other => panic!("it may come back: {other:?}"),
    }
    let back = start::<R>(sealed("away").id(id)).await;
    join(&back, &nodes[1]).await;
    nodes.push(back);
    converged(&nodes).await;
    let forced = within("a removal", nodes[0].remove_key_everywhere(old, true, PATIENCE)).await.expect("it is forced");
    assert!(forced.member(id).expect("it is live").keys.is_err(), "it has no other: {forced:?}");
    stop(nodes).await;
}
