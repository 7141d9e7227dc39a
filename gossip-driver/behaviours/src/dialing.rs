//! Nodes that nobody can connect to: they are members like others, and reach each other by way of others.

use std::time::{Duration, Instant};

use futures_util::AsyncWriteExt;
use gossip_driver::{
    BroadcastOptions, Cluster, Config, Counter, DropReason, Event, Key, KeyRing, MemberState, NodeAddress, NodeId,
    Plaintext, Raw, Reliability, Request, Runtime, StartError,
};

use crate::harness::{converged, event, heard_by, holds, join, kind, next, quick, seen, start, stop, within};

/// Three nodes that listen, one of them without datagrams, and two that only dial, last.
async fn three_and_two<R: Runtime>(config: impl Fn() -> Config) -> Vec<Cluster<R>> {
    let mut nodes = vec![start::<R>(config()).await];
    for change in [
        |it: Config| it,
        |it: Config| it.stream_only(true),
        |it: Config| it.dial_only(true),
        |it: Config| it.dial_only(true),
    ] {
        let node = start::<R>(change(config())).await;
        join(&node, &nodes[0]).await;
        nodes.push(node);
    }
    nodes
}

/// Waits until all reach each other by connections of those that only dial.
async fn connected<R: Runtime>(nodes: &[Cluster<R>]) {
    converged(nodes).await;
    for node in &nodes[3..] {
        holds("it is connected to all that listen", || node.stats().driver.links >= 3).await;
    }
}

fn sealed() -> Config {
    quick("sealed dialing").keys(KeyRing::new(Key::new(&[7; 32])), Plaintext::Refuse)
}

fn doubles<R: Runtime>(node: &Cluster<R>) {
    let double = |request: Request| async move { Ok(request.payload.decode::<u32>()? * 2) };
    node.handle_requests(kind(), double).expect("it has no handler yet");
}

pub(crate) async fn those_who_only_dial_are_members_like_others<R: Runtime>() {
    members_like_others::<R>(|| quick("dialing")).await;
}

pub(crate) async fn those_who_only_dial_are_members_under_a_seal_too<R: Runtime>() {
    members_like_others::<R>(sealed).await;
}

async fn members_like_others<R: Runtime>(config: impl Fn() -> Config) {
    let begun = Instant::now();
    let nodes = three_and_two::<R>(config).await;
    converged(&nodes).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
    connected(&nodes).await;
    for node in &nodes[3..] {
        assert_eq!((node.address(), node.bind_address()), (&NodeAddress::DialOnly(node.id()), None));
    }

    let mut heard: Vec<_> = nodes.iter().map(heard_by).collect();
    for (at, origin) in nodes.iter().enumerate() {
        for size in [100, 100_000] {
            let options = BroadcastOptions { reliable: true, ..BroadcastOptions::new() };
            within("a broadcast", origin.broadcast(kind(), Raw(vec![7; size]), options)).await.expect("it is sent");
            for (_, heard) in heard.iter_mut().enumerate().filter(|(other, _)| *other != at) {
                let message = next(heard).await;
                assert_eq!((message.from, message.payload.bytes().expect("it is whole").len()), (origin.id(), size));
            }
        }
    }

    for (one, other) in [(3, 4), (4, 3), (0, 3), (3, 0), (2, 4), (4, 2)] {
        for (size, reliability) in [(10, Reliability::BestEffort), (50_000, Reliability::Reliable)] {
            let sent = nodes[one].send(nodes[other].id(), kind(), Raw(vec![7; size]), reliability);
            within("a message", sent).await.expect("it is sent");
            let message = next(&mut heard[other]).await;
            assert_eq!((message.from, message.payload.bytes().expect("it is whole").len()), (nodes[one].id(), size));
        }
    }
    doubles(&nodes[4]);
    doubles(&nodes[0]);
    for (one, other) in [(3, 4), (0, 4), (3, 0)] {
        let asked = nodes[one].request(nodes[other].id(), kind(), &21_u32, Duration::from_secs(10));
        let answer = within("an answer", asked).await.expect("it is answered");
        assert_eq!(answer.decode::<u32>(), Ok(42));
    }
    let passed: u64 = nodes[..3].iter().map(|node| node.stats().driver.count(Counter::Relayed)).sum();
    assert!(passed > 0, "the two talk by way of others");
    stop(nodes).await;
}

pub(crate) async fn nobody_is_suspected_while_all_are_well<R: Runtime>() {
    let nodes = three_and_two::<R>(|| quick("calm")).await;
    connected(&nodes).await;
    let probes: Vec<u64> = nodes.iter().map(|node| node.stats().protocol.probes_failed).collect();
    let mut events = nodes[0].events();
    // Several periods, in which each probes each.
    let begun = nodes.iter().map(Cluster::now).collect::<Vec<_>>();
    holds("several periods pass", || {
        nodes.iter().zip(&begun).all(|(node, begun)| node.now().saturating_since(*begun) > Duration::from_secs(4))
    })
    .await;
    let failed: Vec<u64> = nodes.iter().map(|node| node.stats().protocol.probes_failed).collect();
    while let Some(event) = events.try_next() {
        let Event::Member(change) = event else { continue };
        assert_eq!(change.member.state, MemberState::Alive, "{change:?}; {probes:?} {failed:?}");
    }
    assert_eq!(probes, failed);
    stop(nodes).await;
}

/// How long it takes until all of `nodes` know of a death.
async fn death_of<R: Runtime>(nodes: &[Cluster<R>], victim: Cluster<R>) -> Duration {
    let id = victim.id();
    stop([victim]).await;
    let begun = Instant::now();
    for node in nodes {
        let is_dead = |state: MemberState| state == MemberState::Dead;
        seen(node, "the death", |members| members.member(id).is_some_and(|member| is_dead(member.state))).await;
    }
    begun.elapsed()
}

pub(crate) async fn a_crash_of_one_who_only_dials_is_noticed<R: Runtime>() {
    let mut nodes = three_and_two::<R>(|| quick("dialer crash")).await;
    connected(&nodes).await;
    let victim = nodes.pop().expect("there are five");
    death_of(&nodes, victim).await;
    assert_eq!(nodes[0].members().counts().live(), 4, "nobody else is suspected of it");
    // And one of those by whose way the other was reached.
    let victim = nodes.remove(1);
    death_of(&nodes, victim).await;
    assert_eq!(nodes[0].members().counts().live(), 3, "nobody else is suspected of it");
    stop(nodes).await;
}

pub(crate) async fn another_way_is_found_when_the_one_between_two_who_only_dial_is_gone<R: Runtime>() {
    let mut nodes = three_and_two::<R>(|| quick("detour")).await;
    connected(&nodes).await;
    doubles(&nodes[4]);
    let (asker, target) = (nodes[3].clone(), nodes[4].id());
    let ask = || asker.request(target, kind(), &21_u32, Duration::from_secs(10));
    within("an answer", ask()).await.expect("it is answered");
    let relay = (0..3).max_by_key(|&at| nodes[at].stats().driver.count(Counter::Relayed)).expect("there are three");
    stop([nodes.remove(relay)]).await;
    within("an answer by another way", async { while ask().await.is_err() {} }).await;
    drop(asker);
    stop(nodes).await;
}

pub(crate) async fn what_cannot_be_meant_is_refused<R: Runtime>() {
    for config in [quick("x").advertise("10.0.0.1:1"), quick("x")] {
        let is_plain = config.advertise.is_none();
        match Cluster::<R>::start(config.dial_only(true)).await {
            Ok(node) => {
                assert!(is_plain);
                let outcome =
                    within("the join", node.join([NodeAddress::DialOnly(NodeId::from_u128(1)).to_string()])).await;
                outcome.expect_err("nobody can connect there");
                stop([node]).await;
            }
            Err(StartError::Config(error)) => assert!(!is_plain && error.field == "dial_only", "{error}"),
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) async fn one_that_left_and_came_back_is_reached_again<R: Runtime>() {
    let mut nodes = three_and_two::<R>(|| quick("back")).await;
    connected(&nodes).await;
    let old = nodes.pop().expect("there are five");
    let id = old.id();
    stop([old]).await;
    let mut events = nodes[3].events();
    let new = start::<R>(quick("back").dial_only(true).id(id)).await;
    join(&new, &nodes[0]).await;
    event(&mut events, "the new start is known", |event| match event {
        Event::Member(change) if change.member.id == id && change.member.state == MemberState::Alive => Some(()),
        _ => None,
    })
    .await;
    nodes.push(new);
    connected(&nodes).await;
    let mut heard = heard_by(&nodes[4]);
    within("messages by way of others", async {
        for node in &nodes[..4] {
            // What it was sent on its old connections may be lost.
            while node.send(id, kind(), Raw(vec![7; 10]), Reliability::Reliable).await.is_err() {}
            while next(&mut heard).await.from != node.id() {}
        }
    })
    .await;
    stop(nodes).await;
}

pub(crate) async fn nobody_else_gets_anything_passed_on<R: Runtime>() {
    let nodes = three_and_two::<R>(|| quick("not for all")).await;
    connected(&nodes).await;
    let refused = || nodes[0].stats().driver.count(Counter::RelaysRefused);
    let before = refused();
    let runtime = R::current().expect("the test runs in the runtime");
    let place = nodes[0].bind_address().expect("it listens");
    let mut stranger = within("a connection", runtime.connect(place)).await.expect("it listens");
    let packet = [7; 50];
    for kind in [2_u32, 3] {
        let length = u32::try_from(17 + packet.len()).expect("it is short");
        let mut frame = (kind << 30 | length).to_be_bytes().to_vec();
        frame.push(1);
        frame.extend(nodes[4].id().as_bytes());
        frame.extend(packet);
        stranger.write_all(&frame).await.expect("the node reads");
    }
    holds("both are refused", || refused() == before + 2).await;
    let ways = |node: &Cluster<R>| node.stats().driver.count(Counter::Relayed);
    assert!(nodes[3..].iter().all(|node| ways(node) == 0), "those who only dial pass nothing on");
    assert_eq!(nodes[4].stats().protocol.dropped(DropReason::Version), 0, "nothing of it came through");
    stop(nodes).await;
}
