//! What a cluster costs while nothing happens.

use std::time::{Duration, Instant};

use gossip_tokio::{Cluster, MemberState};
use serde_json::{Value, json};

use crate::Outcome;
use crate::measure::Group;

/// Bytes of the IPv4 and UDP headers of a datagram.
const HEADERS: u64 = 28;

/// Time for the news of joining to be over.
const SETTLING: Duration = Duration::from_secs(5);

pub(crate) struct Idle {
    nodes: usize,
    span: Duration,
    datagrams: u64,
    bytes: u64,
    processor: Duration,
    suspicions: usize,
}

/// Counts traffic, processor time and false suspicions of a quiet cluster.
pub(crate) async fn watch(group: &mut Group, span: Duration) -> Outcome<Idle> {
    tokio::time::sleep(SETTLING).await;
    while group.sightings.try_recv().is_ok() {}
    let (before, processor, begin) = (sent(&group.nodes), processor_time()?, Instant::now());
    tokio::time::sleep(span).await;
    let after = sent(&group.nodes);
    let mut suspicions = 0;
    while let Ok(sighting) = group.sightings.try_recv() {
        suspicions += usize::from(sighting.state == MemberState::Suspect);
    }
    Ok(Idle {
        nodes: group.nodes.len(),
        span: begin.elapsed(),
        datagrams: after.0 - before.0,
        bytes: after.1 - before.1,
        processor: processor_time()?.saturating_sub(processor),
        suspicions,
    })
}

impl Idle {
    pub(crate) fn as_json(&self) -> Value {
        let node_seconds = self.nodes as f64 * self.span.as_secs_f64();
        json!({
            "seconds": self.span.as_secs(),
            "datagrams_per_node_s": self.datagrams as f64 / node_seconds,
            "ip_bytes_per_node_s": (self.bytes + self.datagrams * HEADERS) as f64 / node_seconds,
            "cpu_s_per_node_min": self.processor.as_secs_f64() / node_seconds * 60.0,
            "false_suspicions": self.suspicions,
        })
    }
}

fn sent(nodes: &[Cluster]) -> (u64, u64) {
    let stats = nodes.iter().map(|node| node.stats().protocol);
    stats
        .fold((0, 0), |(datagrams, bytes), stats| (datagrams + stats.datagrams_sent, bytes + stats.datagram_bytes_sent))
}

/// Processor time of this process so far, from `/proc` (Linux).
fn processor_time() -> Outcome<Duration> {
    /// Clock ticks a second in `/proc`, the same on all Linux systems of today.
    const TICKS: u64 = 100;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("unexpected form of /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 1_000 / TICKS))
}
