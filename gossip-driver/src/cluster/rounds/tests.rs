//! Gossip callbacks in virtual time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::memory::Memory;
use crate::{Config, StopReason};

const LONG: Duration = Duration::from_mins(10);

fn start(memory: &Memory) -> Cluster<Memory> {
    memory.block_on(LONG, Cluster::start(Config::local("x"))).unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Counts calls while it lives.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_quick_callback_is_called_every_five_seconds_with_a_handle() {
    let memory = Memory::new();
    let node = start(&memory);
    let (calls, id) = (Calls::default(), node.id());
    let called = calls.clone();
    node.on_gossip(move |node| {
        assert_eq!(node.id(), id);
        called.add();
    });
    memory.run_for(Duration::from_millis(4_999));
    assert_eq!(calls.count(), 0);
    memory.run_for(secs(1));
    assert_eq!(calls.count(), 1);
    memory.run_for(secs(55));
    assert_eq!(calls.count(), 12);
}

#[test]
fn the_wait_follows_how_slow_the_calls_are_and_calls_never_overlap() {
    let memory = Memory::new();
    let node = start(&memory);
    let begin = memory.now();
    // How long each call takes, and the wait after it.
    let plan = [(0, 5), (3, 10), (3, 10), (6, 20), (30, 20), (3, 20), (1, 10), (1, 5), (0, 5)];
    let seen: Arc<Mutex<Vec<(Instant, Instant)>>> = Arc::default();
    let (times, clock) = (Arc::clone(&seen), memory.clone());
    let mut takes = plan.into_iter().map(|(takes, _)| takes);
    node.on_gossip_async(move |_| {
        let (times, clock, takes) = (Arc::clone(&times), clock.clone(), takes.next().unwrap_or(0));
        async move {
            let begin = clock.now();
            sleep(&clock, secs(takes)).await;
            times.lock().unwrap().push((begin, clock.now()));
        }
    });
    memory.run_for(secs(plan.iter().map(|(takes, wait)| takes + wait).sum::<u64>() + 5));
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].0 - begin, secs(5));
    let found = seen.windows(2).map(|pair| {
        let ((begin, end), (next, _)) = (pair[0], pair[1]);
        ((end - begin).as_secs(), (next - end).as_secs())
    });
    assert!(found.eq(plan), "{seen:?}");
}

#[test]
fn a_callback_that_panics_is_removed_and_the_others_go_on() {
    let memory = Memory::new();
    let node = start(&memory);
    let calls = Calls::default();
    let called = calls.clone();
    let at_once = node.on_gossip(|_| panic!("this panic is part of the test"));
    let later = node.on_gossip_async(|node| async move {
        node.set_metadata("key", "value").await.unwrap();
        panic!("this panic is part of the test");
    });
    node.on_gossip(move |_| called.add());
    memory.run_for(secs(60));
    assert_eq!((calls.count(), node.stats().driver.count(Counter::CallbackPanics)), (12, 2));
    assert!(!node.remove_callback(at_once) && !node.remove_callback(later), "they were removed");
}

#[test]
fn a_callback_that_is_removed_is_gone_at_once_or_when_its_call_is_finished() {
    let memory = Memory::new();
    let node = start(&memory);
    let tasks = memory.tasks();
    let id = node.on_gossip(|_| {});
    memory.run_for(secs(7));
    assert!(node.remove_callback(id) && !node.remove_callback(id));
    memory.run_for(Duration::ZERO);
    assert_eq!(memory.tasks(), tasks);

    let (calls, clock) = (Calls::default(), memory.clone());
    let called = calls.clone();
    let slow = node.on_gossip_async(move |_| {
        let (called, clock) = (called.clone(), clock.clone());
        async move {
            sleep(&clock, secs(4)).await;
            called.add();
        }
    });
    memory.run_for(secs(6));
    assert!(node.remove_callback(slow));
    memory.run_for(secs(60));
    assert_eq!((calls.count(), memory.tasks()), (1, tasks));
}

#[test]
fn a_callback_does_not_keep_the_node_running() {
    let memory = Memory::new();
    let node = start(&memory);
    node.on_gossip(|_| {});
    memory.run_for(secs(12));
    drop(node);
    memory.run_for(secs(60));
    assert_eq!(memory.tasks(), 0);
}

#[test]
fn a_call_that_never_ends_has_a_second_when_the_node_stops() {
    let memory = Memory::new();
    let node = start(&memory);
    node.on_gossip_async(|_| std::future::pending());
    memory.run_for(secs(6));
    memory.block_on(LONG, node.shutdown());
    memory.run_for(PATIENCE);
    assert_eq!(memory.tasks(), 0);
    assert_eq!(memory.block_on(LONG, node.stopped()), StopReason::Shutdown);
    node.on_gossip(|_| unreachable!("the node has stopped"));
    memory.run_for(secs(60));
    assert_eq!(memory.tasks(), 0);
}

#[test]
fn a_call_may_stop_the_node() {
    let memory = Memory::new();
    let node = start(&memory);
    node.on_gossip_async(|node| async move { node.shutdown().await });
    assert_eq!(memory.block_on(LONG, node.stopped()), StopReason::Shutdown);
    memory.run_for(secs(60));
    assert_eq!(memory.tasks(), 0);
}
