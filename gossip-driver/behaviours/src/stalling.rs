//! A member that takes connections and reads nothing costs its own queue, and neither others nor the end of a node wait.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use async_channel::{Receiver, unbounded};
use gossip_driver::{Cluster, Config, Raw, Reliability, Runtime, SendError, protocol};

use crate::harness::{aside, converged, heard_by, holds, join, kind, next, seen, spawned, start, stop, within};
use crate::stranger::Stranger;

/// Bytes in each message for the member that does not read.
const SIZE: usize = 1 << 20;
/// More than what may wait for it and what the system takes together, and less than what may wait for the node's task.
const SENT: usize = 48;

/// Settings by which a member that answers nothing counts as alive for the whole test.
fn patient(write_timeout: Duration) -> Config {
    let mut config = crate::harness::quick("stalled").compress_from(None);
    config.write_timeout = write_timeout;
    config.protocol(|protocol| {
        protocol.probe_interval = Duration::from_mins(5);
        protocol.leave_timeout = Duration::from_secs(1);
    })
}

/// What became of messages for a member that reads nothing, as each ends. The listener is the member's.
struct Stalled {
    ends: Receiver<Result<(), SendError>>,
    _listener: TcpListener,
}

/// Lets a node have a member that reads nothing, and too many messages for it.
async fn stalled<R: Runtime>(node: &Cluster<R>, test: u8) -> Stalled {
    let address: SocketAddr = aside(test).parse().expect("it is an address");
    let stranger = Stranger::join_at(node, "stalled", address).await;
    // The system accepts connections for it, and takes as much as its buffers hold.
    let listener = TcpListener::bind(stranger.address()).expect("nobody else is there");
    let id = stranger.id();
    seen(node, "the member is there", |members| members.alive().any(|member| member.id == id)).await;
    let (ended, ends) = unbounded();
    for _ in 0..SENT {
        let (node, ended) = (node.clone(), ended.clone());
        let sending = async move {
            let sent = node.send(id, kind(), Raw(vec![7; SIZE]), Reliability::Reliable).await;
            // The test may be over.
            let _ = ended.try_send(sent);
        };
        drop(spawned::<R, _>(sending));
    }
    Stalled { ends, _listener: listener }
}

pub(crate) async fn a_peer_that_reads_nothing_costs_its_own_queue_and_nothing_else<R: Runtime>() {
    let config = patient(Duration::from_secs(2));
    let limit = config.protocol.max_peer_bytes;
    let nodes = [start::<R>(config).await, start::<R>(patient(Duration::from_secs(2))).await];
    join(&nodes[1], &nodes[0]).await;
    converged(&nodes).await;
    let mut heard = heard_by(&nodes[1]);
    let stalled = stalled(&nodes[0], 20).await;

    let first = within("a refusal", stalled.ends.recv()).await.expect("the senders run");
    assert!(matches!(first, Err(SendError::Refused(protocol::SendError::PeerFull { .. }))), "{first:?}");
    for number in 0..500_u32 {
        let sent = nodes[0].send(nodes[1].id(), kind(), number, Reliability::Reliable);
        within("a send to another", sent).await.expect("it reads");
        assert_eq!(next(&mut heard).await.payload.decode(), Ok(number));
        let queued = nodes[0].stats().driver.bytes_queued;
        assert!(queued <= limit, "{queued} of {limit} bytes wait");
    }
    let mut ends = vec![first];
    while ends.len() < SENT {
        ends.push(within("the end of a message", stalled.ends.recv()).await.expect("the senders run"));
    }
    assert!(ends.iter().all(Result::is_err), "{ends:?}");
    assert!(ends.iter().any(|end| matches!(end, Err(SendError::Unconfirmed(_)))), "{ends:?}");
    holds("nothing waits any more", || nodes[0].stats().driver.bytes_queued == 0).await;
    stop(nodes).await;
}

pub(crate) async fn a_node_stops_without_waiting_for_a_peer_that_reads_nothing<R: Runtime>() {
    let patience = Duration::from_mins(5);
    let node = start::<R>(patient(patience)).await;
    let stalled = stalled(&node, 21).await;
    within("a refusal", stalled.ends.recv()).await.expect("the senders run").expect_err("too much waits");
    holds("messages wait for the peer", || node.stats().driver.bytes_queued > 0).await;

    let begin = Instant::now();
    let left = within("leaving", node.leave()).await.expect("a node can leave");
    assert_eq!(left.acknowledged, 0, "nobody hears it");
    within("a shutdown", node.shutdown()).await;
    assert!(begin.elapsed() < patience / 10, "it took {:?}", begin.elapsed());
    for _ in 1..SENT {
        let end = within("the end of a message", stalled.ends.recv()).await.expect("the senders run");
        end.expect_err("nobody read it");
    }
}
