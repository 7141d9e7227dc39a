//! A node that was stopped leaves nothing behind, and whatever stops it, nobody waits for ever.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_lock::Semaphore;
use gossip_driver::{
    CommandError, Counter, JoinError, Listener as _, Message, PhaseError, Reliability, Runtime, SendError, StopReason,
    protocol,
};

use crate::harness::{cluster_of, converged, holds, join, kind, quick, spawned, start, stop, within};

pub(crate) async fn a_stopped_node_answers_every_call_with_the_reason<R: Runtime>() {
    let node = start::<R>(quick("stopped")).await;
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

pub(crate) async fn shutting_down_wakes_those_who_wait<R: Runtime>() {
    let nodes = cluster_of::<R>("wake", 2).await;
    // It takes connections and never answers.
    let runtime = R::current().expect("the test runs in the runtime");
    let mut silent = runtime.bind_listener(([127, 0, 0, 1], 0).into()).expect("a port is free");
    let address = silent.local_address().expect("it is bound").to_string();
    let node = nodes[0].clone();
    let join = spawned::<R, _>(async move { node.join([address]).await });
    let _silent = within("the connection", poll_fn(|cx| silent.poll_accept(cx))).await.expect("the node connects");
    let mut events = nodes[0].events();
    within("a shutdown", nodes[0].shutdown()).await;
    let joined = within("the join", join).await.expect("it does not panic");
    assert!(joined.is_err(), "{joined:?}");
    within("the events end", async { while events.next().await.is_some() {} }).await;
    stop(nodes).await;
}

pub(crate) async fn a_panic_in_a_function_of_the_application_stops_the_node_and_says_so<R: Runtime>() {
    let mut config = quick("panic");
    config.protocol.accept_application = Arc::new(|_| panic!("this panic is part of the test"));
    let node = start::<R>(config).await;
    let mut events = node.events();
    let other = start::<R>(quick("panic")).await;
    let waiting = node.clone();
    let join = spawned::<R, _>(async move { waiting.stopped().await });
    let refused = within("a join", other.join([node.address().to_string()])).await;
    assert!(refused.is_err(), "{refused:?}");
    let reason = within("the node stops", join).await.expect("waiting does not panic");
    assert_eq!(reason, StopReason::Panicked { message: "this panic is part of the test".to_owned() });
    within("the events end", async { while events.next().await.is_some() {} }).await;
    assert_eq!(within("a change", node.set_metadata("a", 1_i64)).await, Err(CommandError::Stopped(reason)));
    stop([node, other]).await;
}

/// Stops a node whose handler has one call under way and many that wait; none of them begins any more.
async fn waiting_calls_do_not_begin<R: Runtime>(is_removed: bool) {
    const SENT: usize = 60;
    let sender = start::<R>(quick("waiting")).await;
    let slow = start::<R>(quick("waiting").max_handlers(1)).await;
    join(&slow, &sender).await;
    converged(&[sender.clone(), slow.clone()]).await;
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(1)));
    let (count, closed) = (Arc::clone(&begun), Arc::clone(&gate));
    let handler = move |_: Message| {
        count.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&closed);
        async move { gate.acquire().await.forget() }
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

pub(crate) async fn no_call_of_a_handler_begins_after_the_node_has_stopped<R: Runtime>() {
    waiting_calls_do_not_begin::<R>(false).await;
}

pub(crate) async fn no_call_of_a_removed_handler_begins_after_the_node_has_stopped<R: Runtime>() {
    waiting_calls_do_not_begin::<R>(true).await;
}

pub(crate) async fn calls_that_never_end_are_dropped_with_the_node_whatever_their_drop_does<R: Runtime>() {
    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("this panic is part of the test");
        }
    }

    let nodes = cluster_of::<R>("endless", 2).await;
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

pub(crate) async fn a_node_that_has_left_or_stopped_says_so_of_best_effort_messages_too<R: Runtime>() {
    let nodes = cluster_of::<R>("gone", 2).await;
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
