//! A node and the tokio runtime that it needs.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gossip_tokio::{Cluster, CommandError, Config, JoinError, StartError, StopReason};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// How long anything may take that takes a moment on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn outside_of_a_runtime_that_is_what_is_said() {
    let mut start = pin!(Cluster::start(Config::local("x")));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(outcome) = start.as_mut().poll(&mut cx) else { panic!("it has nothing to wait for") };
    assert!(matches!(outcome, Err(StartError::NoRuntime(_))));
}

#[test]
fn a_node_whose_runtime_is_gone_does_not_hang_its_handles() {
    let runtime = Runtime::new().expect("a runtime starts");
    let node = runtime.block_on(Cluster::start(Config::local("gone"))).expect("the node starts");
    drop(runtime);
    assert!(node.is_stopped());
    let calls = async {
        assert_eq!(node.stopped().await, StopReason::Aborted);
        let stopped = CommandError::Stopped(StopReason::Aborted);
        assert_eq!(node.set_metadata("a", 1_i64).await, Err(stopped));
        assert_eq!(node.join(["localhost"]).await, Err(JoinError::Stopped(StopReason::Aborted)));
        assert!(node.events().next().await.is_none());
        node.on_event(|_| panic!("there are no events"));
        node.shutdown().await;
    };
    let other = Runtime::new().expect("a runtime starts");
    other.block_on(async { timeout(PATIENCE, calls).await }).expect("no call hangs");
}
