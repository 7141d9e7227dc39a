//! What a node costs the process that it runs in: nothing when it is gone, and little while nothing happens. These count
//! for the whole process, so no other test may run beside them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use async_io::Timer;
use gossip_driver::{Cluster, Runtime};

use crate::harness::{aside, cluster_of, converged, holds, join, quick, start, stop, timeout, within};
use crate::name_server::NameServer;
use crate::naming::{address_of, stranger};
use crate::tally::{Tallied, polls, tasks};

/// Open descriptors of this process; always the same where there is no way to count them.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// How often threads of this process went to sleep so far, those that have ended included; 0 where nothing counts it.
#[cfg(unix)]
fn sleeps() -> usize {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
    usize::try_from(usage.voluntary_context_switches()).expect("a count is not negative")
}

#[cfg(not(unix))]
fn sleeps() -> usize {
    0
}

pub(crate) async fn two_hundred_starts_leave_no_task_and_no_descriptor<R: Runtime>() {
    let peer = start::<Tallied<R>>(quick("leaks")).await;
    let mut bind = aside(2);
    let mut before = (0, 0);
    for round in 0..=200 {
        let node = start::<Tallied<R>>(quick("leaks").bind(&bind)).await;
        // From the second on at the same address, which must be free again.
        bind = node.address().to_string();
        join(&node, &peer).await;
        node.on_event(|_| {});
        within("a shutdown", node.shutdown()).await;
        assert!(node.is_stopped());
        drop(node);
        if round == 0 {
            holds("the peer has closed its ends too", || peer.stats().driver.links == 0).await;
            before = (tasks(), descriptors());
        }
    }
    let what = format!("no more than {before:?} tasks and descriptors are left");
    holds(&what, || tasks() <= before.0 && descriptors() <= before.1).await;
    stop([peer]).await;
    holds("no task is left", || tasks() == 0).await;
}

pub(crate) async fn look_ups_leave_no_task_and_no_descriptor<R: Runtime>() {
    let server = NameServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    // More than a datagram holds, so that connections are made too; and none of them leads anywhere.
    let targets: Vec<String> = (0..100).map(|host| format!("host-{host}.example.test")).collect();
    let services: Vec<_> = targets.iter().map(|target| (1, 1, 0, target.as_str())).collect();
    server.services("_many._tcp.example.test", 3_600, &services);
    let asking = start::<Tallied<R>>(quick("look-ups").dns_servers([server.address()])).await;
    let waiting = start::<Tallied<R>>(quick("look-ups").dns_servers([stranger(|_| None)])).await;
    let all = tasks();
    let mut open = 0;
    for round in 0..=20 {
        let looked_up = within("a look-up", asking.join(["srv+_many._tcp.example.test"])).await;
        assert!(looked_up.is_err_and(|error| error.to_string().contains("port 0")));
        let given_up = timeout(Duration::from_millis(20), waiting.join(["many.example.test"])).await;
        assert!(given_up.is_none(), "nobody answers so soon: {given_up:?}");
        holds("the tasks of the look-ups have ended", || tasks() <= all).await;
        if round == 0 {
            open = descriptors();
        }
    }
    holds(&format!("no more than {open} descriptors are left"), || descriptors() <= open).await;
    stop([asking, waiting]).await;
    holds("no task is left", || tasks() == 0).await;
}

pub(crate) async fn an_idle_node_is_woken_only_for_what_it_has_to_do<R: Runtime>() {
    let alone = cluster_of::<Tallied<R>>("alone", 1).await;
    only_what_must_be(&alone).await;
    stop(alone).await;
    let nodes = cluster_of::<Tallied<R>>("idle", 3).await;
    only_what_must_be(&nodes).await;
    stop(nodes).await;
    // What a name stands for is not looked up before its time is over.
    let server = NameServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    server.addresses("named.example.test", 3_600, &[Ipv4Addr::LOCALHOST.into()]);
    let seed = start::<Tallied<R>>(quick("named")).await;
    let name = format!("named.example.test:{}", address_of(&seed).port());
    let named = start::<Tallied<R>>(quick("named").dns_servers([server.address()]).seed(name)).await;
    let nodes = [seed, named];
    converged(&nodes).await;
    only_what_must_be(&nodes).await;
    stop(nodes).await;
}

/// Waits for a time in which nothing wakes these nodes but datagrams and their probes and heals. When they have just
/// met they have more to do.
async fn only_what_must_be<R: Runtime>(nodes: &[Cluster<R>]) {
    const SPAN: Duration = Duration::from_secs(2);
    const ATTEMPTS: usize = 10;
    let received = || nodes.iter().map(|node| node.stats().protocol.datagrams_received).sum::<u64>();
    let protocol = quick("any").protocol;
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let (begin, before) = (Instant::now(), (polls(), sleeps(), received()));
        Timer::after(SPAN).await;
        let polled = polls() - before.0;
        let (slept, arrived) = (sleeps() - before.1, received() - before.2);
        // Each may begin a little before the time that is looked at, and end a little after.
        let times = |interval: Duration| begin.elapsed().as_millis() / interval.as_millis() + 1;
        let ticks = nodes.len() as u128 * (times(protocol.probe_interval) + times(protocol.heal_interval));
        let most = usize::try_from(u128::from(arrived) + ticks).expect("a few");
        // Runtimes wake more than one thread for one event; none may do so without an event.
        if polled <= most && slept <= 20 * most + 100 {
            return;
        }
        seen.push(format!("{polled} polls of at most {most}, {slept} sleeps of threads"));
    }
    panic!("{} nodes are never quiet: {seen:#?}", nodes.len());
}
