//! Strangers who connect and send nothing, or nonsense: they are counted, and the cluster does not care.

use std::net::{SocketAddr, UdpSocket};

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use gossip_driver::{Cluster, Counter, DropReason, Runtime};

use crate::harness::{cluster_of, converged, holds, join, quick, start, stop, within};

/// A counter reaches a value, while the node goes on.
async fn counted<R: Runtime>(node: &Cluster<R>, counter: Counter, at_least: u64) {
    holds(&format!("{} reaches {at_least}", counter.name()), || node.stats().driver.count(counter) >= at_least).await;
}

async fn connection<R: Runtime>(address: SocketAddr) -> R::Stream {
    let runtime = R::current().expect("the test runs in the runtime");
    within("a connection", runtime.connect(address)).await.expect("the node listens")
}

/// Sends these bytes over a new connection and waits until the node closes it.
async fn is_closed_after<R: Runtime>(address: SocketAddr, bytes: &[u8]) {
    let mut stream = connection::<R>(address).await;
    stream.write_all(bytes).await.expect("the node takes a few bytes");
    let mut answer = Vec::new();
    // A reset is as good an end as any.
    let _ = within("the node closes the connection", stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "a stranger gets no answer");
}

pub(crate) async fn a_thousand_silent_connections_block_nobody<R: Runtime>() {
    let nodes = cluster_of::<R>("silent", 3).await;
    let target = nodes[0].bind_address().expect("it is bound");
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(connection::<R>(target).await);
    }
    counted(&nodes[0], Counter::UnprovenEvicted, 1_000 - 128).await;
    let gauges = nodes[0].stats().driver;
    assert!(gauges.links_unproven <= 128, "{gauges:?}");

    let late = start::<R>(quick("silent")).await;
    join(&late, &nodes[0]).await;
    let mut all = nodes;
    all.push(late);
    converged(&all).await;
    drop(silent);
    stop(all).await;
}

pub(crate) async fn silent_connections_are_closed_in_time<R: Runtime>() {
    let mut config = quick("timeout");
    config.first_frame_timeout = std::time::Duration::from_millis(300);
    let node = start::<R>(config).await;
    is_closed_after::<R>(node.bind_address().expect("it is bound"), &[]).await;
    is_closed_after::<R>(node.bind_address().expect("it is bound"), &[0, 0]).await;
    counted(&node, Counter::FirstFrameTimeouts, 2).await;
    stop([node]).await;
}

pub(crate) async fn frames_that_cannot_be_are_counted_by_what_is_wrong_with_them<R: Runtime>() {
    let nodes = cluster_of::<R>("frames", 2).await;
    let address = nodes[0].bind_address().expect("it is bound");
    let four_gib = [0xff; 4];
    is_closed_after::<R>(address, &four_gib).await;
    let too_long = u32::try_from((4 << 20) + (1 << 10) + 1).unwrap().to_be_bytes();
    is_closed_after::<R>(address, &too_long).await;
    counted(&nodes[0], Counter::FramesOversized, 2).await;
    is_closed_after::<R>(address, &[0, 0, 0, 1, 7]).await;
    counted(&nodes[0], Counter::FramesUndersized, 1).await;

    let mut cut = connection::<R>(address).await;
    cut.write_all(&[0, 0, 0, 100, 1, 2, 3]).await.expect("the node takes a few bytes");
    drop(cut);
    counted(&nodes[0], Counter::FramesTruncated, 1).await;

    // Other protocols.
    let mut web = connection::<R>(address).await;
    web.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("the node takes a few bytes");
    let mut answer = String::new();
    within("an answer", web.read_to_string(&mut answer)).await.expect("it is whole");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with('\n'), "{answer}");
    drop(web);
    is_closed_after::<R>(address, &[0x16, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await;
    counted(&nodes[0], Counter::LinksRejected, 2).await;

    // A whole frame of a plausible length that is no packet.
    let mut garbage = vec![0, 0, 0, 100];
    garbage.extend_from_slice(&[0xa5; 100]);
    is_closed_after::<R>(address, &garbage).await;
    counted(&nodes[0], Counter::LinksRejected, 3).await;
    converged(&nodes).await;
    stop(nodes).await;
}

pub(crate) async fn random_datagrams_are_dropped_by_reason<R: Runtime>() {
    let nodes = cluster_of::<R>("noise", 2).await;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let mut byte = 1_u8;
    for length in 0..200 {
        let noise: Vec<u8> = (0..length)
            .map(|_| {
                byte = byte.wrapping_mul(109).wrapping_add(89);
                byte
            })
            .collect();
        socket.send_to(&noise, nodes[0].bind_address().expect("it is bound")).expect("loopback takes datagrams");
    }
    holds("the noise is counted", || {
        let stats = nodes[0].stats().protocol;
        stats.dropped(DropReason::Truncated) > 0 && stats.dropped(DropReason::Version) > 0
    })
    .await;
    converged(&nodes).await;
    stop(nodes).await;
}

pub(crate) async fn the_word_that_a_port_is_closed_does_not_harm_the_socket<R: Runtime>() {
    let mut nodes = cluster_of::<R>("icmp", 3).await;
    // Its peers go on probing it, and the system answers that nobody listens there.
    stop(nodes.pop()).await;
    crate::harness::seen(&nodes[0], "the dead is noticed", |members| members.counts().dead == 1).await;
    converged(&nodes).await;
    within("a change", nodes[0].set_metadata("still", "here")).await.expect("the node runs");
    let id = nodes[0].id();
    crate::harness::seen(&nodes[1], "the change arrives", |members| {
        members.member(id).is_some_and(|member| member.metadata.str("still").is_some())
    })
    .await;
    stop(nodes).await;
}
