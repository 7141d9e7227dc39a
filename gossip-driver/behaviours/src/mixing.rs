//! Nodes with sockets, nodes on the web, and nodes that only dial are one cluster, as quick as one of a single kind.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use gossip_driver::{BroadcastOptions, Cluster, Config, Event, MemberState, Runtime, protocol};

use crate::harness::{converged, heard_by, kind, next, quick, start, stop, within};
use crate::weaving::{Authority, sockets, web};

/// Nodes of each kind: with sockets, over secure WebSocket alone, without a listener.
const KINDS: [usize; 3] = [3, 3, 2];
/// All of them together.
const ALL: usize = 8;

/// What a crash took to be noticed.
#[derive(Debug)]
struct Noticed {
    /// Until the first suspected it.
    suspected: Duration,
    /// From then on until the last knew of the death.
    buried: Duration,
}

pub(crate) async fn nodes_of_each_kind_are_one_cluster_and_a_crash_of_each_is_noticed_in_time<R: Runtime>() {
    let authority = Authority::new("ours");
    let config = |at| match at {
        0..3 => sockets(authority.valid()),
        3..6 => web(authority.valid()),
        _ => sockets(authority.valid()).dial_only(true),
    };
    let (mut mixed, taken) = cluster::<R>((0..ALL).map(config)).await;
    assert!(taken < Duration::from_secs(3), "the cluster took {taken:?} to see itself");
    one_of_each_kind_reaches_all(&mixed).await;

    // The same crashes at the same time, where all have sockets: this machine is as busy for both.
    let (mut plain, _) = cluster::<R>((0..ALL).map(|_| quick("plain"))).await;
    let settings = quick("plain").protocol;
    for kind in (0..KINDS.len()).rev() {
        let last = KINDS[..=kind].iter().sum::<usize>() - 1;
        let longest = longest(&settings, mixed.len());
        let (beside, with_sockets) = join(crash(&mut mixed, last), crash(&mut plain, last)).await;
        assert_within("all have sockets", &with_sockets, &longest, Duration::ZERO);
        assert_within(&format!("kind {kind}"), &beside, &longest, settings.probe_interval);
        converged(&mixed).await;
    }
    stop(mixed).await;
    stop(plain).await;
}

/// Nodes that all join through the first at once, and how long it takes until each sees all.
async fn cluster<R: Runtime>(configs: impl Iterator<Item = Config>) -> (Vec<Cluster<R>>, Duration) {
    let mut nodes = Vec::new();
    for config in configs {
        nodes.push(start::<R>(config).await);
    }
    let begun = Instant::now();
    let seed = nodes[0].address().to_string();
    let joining = join_all(nodes[1..].iter().map(|node| node.join([seed.clone()])));
    for joined in within("all joins", joining).await {
        joined.expect("it is let in");
    }
    converged(&nodes).await;
    (nodes, begun.elapsed())
}

async fn one_of_each_kind_reaches_all<R: Runtime>(nodes: &[Cluster<R>]) {
    let mut heard: Vec<_> = nodes.iter().map(heard_by).collect();
    for origin in [&nodes[0], &nodes[3], &nodes[6]] {
        let word = origin.id().to_string();
        let sent = origin.broadcast(kind(), &word, BroadcastOptions::new());
        within("a broadcast", sent).await.expect("it is sent");
        for (node, heard) in nodes.iter().zip(&mut heard).filter(|(node, _)| node.id() != origin.id()) {
            let message = next(heard).await;
            assert_eq!(message.from, origin.id(), "at {}", node.address());
            assert_eq!(message.payload.decode::<String>().as_ref(), Ok(&word), "at {}", node.address());
        }
    }
}

/// Ends a node without a word to the others, and waits until all of them know of its death.
async fn crash<R: Runtime>(nodes: &mut Vec<Cluster<R>>, at: usize) -> Noticed {
    let victim = nodes.remove(at);
    let id = victim.id();
    let watched: Vec<_> = nodes.iter().map(|node| (node, node.events(), Instant::now())).collect();
    stop([victim]).await;
    let noticing = join_all(watched.into_iter().map(async |(node, mut events, begun)| {
        let mut suspected = None;
        loop {
            let Event::Member(change) = events.next().await.expect("the node runs") else { continue };
            let state = change.member.state;
            assert!(change.member.id == id || state == MemberState::Alive, "{} wrongs another: {change:?}", node.id());
            match state {
                MemberState::Suspect => suspected = suspected.or(Some(begun.elapsed())),
                MemberState::Dead => return (suspected, begun.elapsed()),
                _ => {}
            }
        }
    }));
    let times = within("the death is known", noticing).await;
    let suspected = times.iter().filter_map(|time| time.0).min().expect("nobody is buried whom nobody suspects");
    let dead = times.iter().map(|time| time.1).max().expect("there are others");
    Noticed { suspected, buried: dead.saturating_sub(suspected) }
}

/// The longest that the protocol itself takes in a cluster of this size, however unlucky the order of probes is and
/// though nobody confirms the suspicion, plus a period for the word to go round.
fn longest(settings: &protocol::Config, size: usize) -> Noticed {
    let period = settings.probe_interval;
    let others = u32::try_from(size - 1).expect("it is small");
    // First in one round, last in the next, and a period until that probe has failed.
    let suspected = period * (2 * others - 1) + period;
    // Up to ten nodes, the length of a suspicion does not depend on their number.
    let buried = period * settings.suspicion_min * settings.suspicion_max + period;
    Noticed { suspected, buried }
}

fn assert_within(what: &str, noticed: &Noticed, longest: &Noticed, grace: Duration) {
    assert!(
        noticed.suspected <= longest.suspected + grace && noticed.buried <= longest.buried + grace,
        "{what}: {noticed:?}, but at most {longest:?} and {grace:?}"
    );
}
