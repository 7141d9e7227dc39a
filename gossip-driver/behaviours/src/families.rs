//! IPv6, and both families on one socket.

use gossip_driver::{Cluster, JoinFailureReason, Runtime};

use crate::harness::{converged, join, quick, start, stop, within};

/// Whether this machine has IPv6 at all.
fn has_ipv6() -> bool {
    std::net::UdpSocket::bind("[::1]:0").is_ok()
}

pub(crate) async fn nodes_meet_over_ipv6_and_tell_what_they_cannot_reach<R: Runtime>() {
    if !has_ipv6() {
        return;
    }
    let six = [start::<R>(quick("six").bind("[::1]:0")).await, start::<R>(quick("six").bind("[::1]:0")).await];
    join(&six[1], &six[0]).await;
    converged(&six).await;
    let four = start::<R>(quick("six")).await;
    let error = within("the join", four.join([six[0].address().to_string()])).await.expect_err("it is bound to IPv4");
    let gossip_driver::JoinError::Nobody(report) = error else { panic!("the node runs: {error}") };
    assert_eq!(report.failed[0].reason, JoinFailureReason::Family { bound: four.bind_address().expect("it is bound") });
    stop(six).await;
    stop([four]).await;
}

pub(crate) async fn a_socket_for_all_interfaces_of_ipv6_serves_ipv4_as_well<R: Runtime>() {
    if !has_ipv6() {
        return;
    }
    let both: Cluster<R> = start::<R>(quick("both").bind("[::]:0").advertise("127.0.0.1")).await;
    let four = start::<R>(quick("both")).await;
    join(&four, &both).await;
    converged(&[both.clone(), four.clone()]).await;
    within("a change", both.set_metadata("blob", vec![7_u8; 60_000])).await.expect("the value is fine");
    crate::harness::seen(&four, "a value arrives by stream", |members| {
        members.member(both.id()).is_some_and(|member| member.metadata.bytes("blob").is_some())
    })
    .await;
    assert_eq!(both.stats().protocol.probes_failed + four.stats().protocol.probes_failed, 0);
    stop([both, four]).await;
}
