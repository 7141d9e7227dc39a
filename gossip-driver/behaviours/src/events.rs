//! Events reach streams and callbacks; slow and panicking ones harm nobody.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use gossip_driver::{Cluster, Counter, Event, Runtime};

use crate::harness::{PATIENCE, cluster_of, event, holds, quick, start, stop, within};

async fn change<R: Runtime>(node: &Cluster<R>, value: i64) {
    within("a change", node.set_metadata("value", value)).await.expect("the value is fine");
}

pub(crate) async fn callbacks_are_called_until_they_are_removed<R: Runtime>() {
    let node = start::<R>(quick("callbacks")).await;
    let (told, heard) = mpsc::channel();
    let id = node.on_metadata_change(move |member, keys| {
        let value = member.metadata.int("value").expect("the value is set");
        told.send((value, keys.to_vec())).expect("somebody listens");
    });
    change(&node, 1).await;
    let first = heard.recv_timeout(PATIENCE).expect("the callback is called");
    assert_eq!(first, (1, vec!["value".to_owned()]));
    assert!(node.remove_callback(id));
    assert!(!node.remove_callback(id), "it is gone");
    change(&node, 2).await;
    within("a shutdown", node.shutdown()).await;
    assert!(heard.recv().is_err(), "it is dropped without having been called again");
}

pub(crate) async fn a_callback_that_panics_is_removed_and_the_others_go_on<R: Runtime>() {
    let node = start::<R>(quick("panic")).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let bad = node.on_event(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        panic!("this panic is part of the test");
    });
    let (told, heard) = mpsc::channel();
    node.on_event(move |_| told.send(()).expect("somebody listens"));
    for value in 1..=3 {
        change(&node, value).await;
        heard.recv_timeout(PATIENCE).expect("the other callback is called");
    }
    within("a shutdown", node.shutdown()).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(node.stats().driver.count(Counter::CallbackPanics), 1);
    assert!(!node.remove_callback(bad), "it was removed");
}

pub(crate) async fn a_slow_reader_is_told_how_much_it_missed<R: Runtime>() {
    let node = start::<R>(quick("slow").event_queue(4)).await;
    let mut events = node.events();
    for value in 0..10 {
        change(&node, value).await;
    }
    // A change is told after its call has returned.
    holds("all changes are told", || node.stats().driver.count(Counter::EventsMissed) == 6).await;
    let first = within("an event", events.next()).await;
    assert!(matches!(first, Some(Event::Missed { count: 6 })), "{first:?}");
    for expected in 6..10 {
        let value = event(&mut events, "the newest events are kept", |event| match event {
            Event::Metadata { member, .. } => member.metadata.int("value"),
            _ => None,
        });
        assert_eq!(value.await, expected);
    }
    assert!(events.try_next().is_none());
    stop([node]).await;
}

pub(crate) async fn a_callback_that_blocks_does_not_delay_the_node<R: Runtime>() {
    let nodes = cluster_of::<R>("blocked", 2).await;
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    nodes[0].on_event(move |_| {
        let _ = released.lock().expect("nobody panics").recv();
    });
    for value in 0..20 {
        change(&nodes[0], value).await;
    }
    drop(release);
    stop(nodes).await;
}

pub(crate) async fn the_stream_ends_after_the_last_event_when_the_node_stops<R: Runtime>() {
    let node = start::<R>(quick("end")).await;
    let mut events = node.events();
    change(&node, 1).await;
    within("a shutdown", node.shutdown()).await;
    assert!(matches!(within("the last event", events.next()).await, Some(Event::Metadata { .. })));
    assert!(within("the end", events.next()).await.is_none());
    assert!(within("the end", node.events().next()).await.is_none(), "a later subscription has ended as well");
}
