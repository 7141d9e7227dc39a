//! A node that was stopped leaves nothing behind, and whatever stops it, nobody waits for ever.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gossip_tokio::{
    Cluster, CommandError, Counter, JoinError, Message, PhaseError, Reliability, SendError, StopReason, protocol,
};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::harness::{aside, cluster_of, converged, holds, join, kind, quick, start, stop, within};

/// Waits until the runtime has as few tasks as that.
async fn tasks_end(expected: usize) {
    let metrics = Handle::current().metrics();
    holds(&format!("no more than {expected} tasks are left"), || metrics.num_alive_tasks() <= expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_starts_leave_no_task_and_free_the_port_each_time() {
    let before = Handle::current().metrics().num_alive_tasks();
    let peer = start(quick("fifty")).await;
    let with_peer = Handle::current().metrics().num_alive_tasks();
    let first = start(quick("fifty").bind(aside(2))).await;
    let address = first.address().to_string();
    stop([first]).await;
    for _ in 0..50 {
        let node = start(quick("fifty").bind(&address)).await;
        within("a join", node.join([peer.address().to_string()])).await.expect("the peer accepts");
        node.on_event(|_| {});
        within("a shutdown", node.shutdown()).await;
        assert!(node.is_stopped());
    }
    // The peer closes its ends of the connections when it sees them closed.
    tasks_end(with_peer).await;
    stop([peer]).await;
    tasks_end(before).await;
}

#[tokio::test]
async fn a_stopped_node_answers_every_call_with_the_reason() {
    let node = start(quick("stopped")).await;
    let clone = node.clone();
    stop([node]).await;
    assert!(clone.is_stopped());
    let stopped = CommandError::Stopped(StopReason::Shutdown);
    assert_eq!(within("a change", clone.set_metadata("a", 1_i64)).await, Err(stopped));
    let joined = within("a join", clone.join(["127.0.0.1:1"])).await;
    assert_eq!(joined, Err(JoinError::Stopped(StopReason::Shutdown)));
    assert_eq!(within("leaving", clone.leave()).await, Err(CommandError::Stopped(StopReason::Shutdown)));
    let seeds = within("the seeds", clone.set_seeds(["127.0.0.1:1"])).await;
    assert_eq!(seeds, Err(CommandError::Stopped(StopReason::Shutdown)));
    assert_eq!(clone.members().counts().alive, 1, "the last table can still be read");
    within("a second shutdown", clone.shutdown()).await;
}

#[tokio::test]
async fn shutting_down_wakes_those_who_wait() {
    let nodes = cluster_of("wake", 2).await;
    // It takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = silent.local_addr().expect("it is bound").to_string();
    let node = nodes[0].clone();
    let join = tokio::spawn(async move { node.join([address]).await });
    within("the connection", silent.accept()).await.expect("the node connects");
    let mut events = nodes[0].events();
    within("a shutdown", nodes[0].shutdown()).await;
    let joined = within("the join", join).await.expect("it does not panic");
    assert!(joined.is_err(), "{joined:?}");
    within("the events end", async { while events.next().await.is_some() {} }).await;
    stop(nodes).await;
}

#[tokio::test]
async fn a_panic_in_a_function_of_the_application_stops_the_node_and_says_so() {
    let mut config = quick("panic");
    config.protocol.accept_application = Arc::new(|_| panic!("this panic is part of the test"));
    let node = start(config).await;
    let mut events = node.events();
    let other = start(quick("panic")).await;
    let waiting = node.clone();
    let join = tokio::spawn(async move { waiting.stopped().await });
    let refused = within("a join", other.join([node.address().to_string()])).await;
    assert!(refused.is_err(), "{refused:?}");
    let reason = within("the node stops", join).await.expect("waiting does not panic");
    assert_eq!(reason, StopReason::Panicked { message: "this panic is part of the test".to_owned() });
    within("the events end", async { while events.next().await.is_some() {} }).await;
    assert_eq!(within("a change", node.set_metadata("a", 1_i64)).await, Err(CommandError::Stopped(reason)));
    stop([node, other]).await;
}

#[test]
fn a_node_whose_runtime_is_gone_does_not_hang_its_handles() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let node: Cluster = runtime.block_on(start(quick("gone")));
    drop(runtime);
    assert!(node.is_stopped());
    let other = tokio::runtime::Runtime::new().expect("a runtime starts");
    other.block_on(async {
        assert_eq!(within("the reason", node.stopped()).await, StopReason::Aborted);
        let refused = within("a change", node.set_metadata("a", 1_i64)).await;
        assert_eq!(refused, Err(CommandError::Stopped(StopReason::Aborted)));
        let refused = within("a join", node.join(["localhost"])).await;
        assert_eq!(refused, Err(JoinError::Stopped(StopReason::Aborted)));
        assert!(within("an event", node.events().next()).await.is_none());
        node.on_event(|_| panic!("there are no events"));
        within("a shutdown", node.shutdown()).await;
    });
}

/// Stops a node whose handler has one call under way and many that wait; none of them begins any more.
async fn waiting_calls_do_not_begin(is_removed: bool) {
    const SENT: usize = 60;
    let sender = start(quick("waiting")).await;
    let slow = start(quick("waiting").max_handlers(1)).await;
    join(&slow, &sender).await;
    converged(&[sender.clone(), slow.clone()]).await;
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(1)));
    let (count, closed) = (Arc::clone(&begun), Arc::clone(&gate));
    let handler = move |_: Message| {
        count.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&closed);
        async move { gate.acquire().await.expect("it is not closed").forget() }
    };
    slow.handle_messages(kind(), handler).expect("it has no handler yet");
    for number in 0..SENT {
        let sent = within("a send", sender.send(slow.id(), kind(), number, Reliability::Reliable)).await;
        sent.expect("the node is well");
    }
    holds("the second call begins", || begun.load(Ordering::SeqCst) == 2).await;
    if is_removed {
        assert!(slow.remove_message_handler(kind()));
    }
    within("a shutdown", slow.shutdown()).await;
    gate.add_permits(SENT);
    holds("the handler is dropped", || Arc::strong_count(&begun) == 1).await;
    assert_eq!(begun.load(Ordering::SeqCst), 2, "calls began after the node had stopped");
    stop([sender]).await;
}

#[tokio::test]
async fn no_call_of_a_handler_begins_after_the_node_has_stopped() {
    waiting_calls_do_not_begin(false).await;
}

#[tokio::test]
async fn no_call_of_a_removed_handler_begins_after_the_node_has_stopped() {
    waiting_calls_do_not_begin(true).await;
}

#[tokio::test]
async fn calls_that_never_end_are_dropped_with_the_node_whatever_their_drop_does() {
    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("this panic is part of the test");
        }
    }

    let nodes = cluster_of("endless", 2).await;
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let handler = move |_: Message| {
        count.fetch_add(1, Ordering::SeqCst);
        let held = (Arc::clone(&count), Panics);
        async move {
            pending::<()>().await;
            drop(held);
        }
    };
    nodes[1].handle_messages(kind(), handler).expect("it has no handler yet");
    for number in 0..3 {
        let sent = nodes[0].send(nodes[1].id(), kind(), number, Reliability::Reliable);
        within("a send", sent).await.expect("the node is well");
    }
    holds("all calls begin", || begun.load(Ordering::SeqCst) == 3).await;
    let stopped = nodes[1].clone();
    stop(nodes).await;
    holds("all calls and the handler are dropped", || Arc::strong_count(&begun) == 1).await;
    assert_eq!(stopped.stats().driver.count(Counter::HandlerPanics), 3);
}

#[tokio::test]
async fn a_node_that_has_left_or_stopped_says_so_of_best_effort_messages_too() {
    let nodes = cluster_of("gone", 2).await;
    let (leaver, to) = (nodes[0].clone(), nodes[1].id());
    within("leaving", leaver.leave()).await.expect("a node can leave");
    for reliability in [Reliability::BestEffort, Reliability::Reliable] {
        let error = within("a send", leaver.send(to, kind(), 1, reliability)).await.unwrap_err();
        let left = protocol::SendError::Phase(PhaseError::Leaving);
        assert_eq!(error, SendError::Refused(left), "{reliability:?}");
    }
    stop(nodes).await;
    for reliability in [Reliability::BestEffort, Reliability::Reliable] {
        let error = within("a send", leaver.send(to, kind(), 1, reliability)).await.unwrap_err();
        assert_eq!(error, SendError::Stopped(StopReason::Shutdown), "{reliability:?}");
    }
    assert_eq!(leaver.stats().driver.count(Counter::MessagesUnsent), 0);
}
