//! A group of nodes in this process, and the moments at which all of them know something.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gossip_tokio::{Cluster, Config, MemberState, NodeId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout_at;

use crate::Outcome;

/// Longest wait for a cluster to see what it should.
const PATIENCE: Duration = Duration::from_mins(1);

/// What one node noticed of another.
pub(crate) struct Sighting {
    pub(crate) at: Instant,
    pub(crate) by: NodeId,
    pub(crate) of: NodeId,
    pub(crate) state: MemberState,
}

pub(crate) struct Group {
    pub(crate) nodes: Vec<Cluster>,
    pub(crate) sightings: UnboundedReceiver<Sighting>,
}

/// How long after a crash it was noticed.
pub(crate) struct Detection {
    pub(crate) suspected: Duration,
    pub(crate) dead_at_all: Duration,
}

impl Group {
    /// Starts nodes that all join through the first at the same time; how long until everyone sees all.
    pub(crate) async fn join_at_once(count: usize) -> Outcome<(Self, Duration)> {
        let (sender, sightings) = unbounded_channel();
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(start(&sender).await?);
        }
        let mut group = Self { nodes, sightings };
        let seed = group.nodes[0].address().to_string();
        let begin = Instant::now();
        for node in &group.nodes[1..] {
            let (node, seed) = (node.clone(), seed.clone());
            tokio::spawn(async move {
                if let Err(error) = node.join([seed]).await {
                    eprintln!("a node could not join: {error}");
                }
            });
        }
        let everyone = (count - 1) * count;
        let (mut pairs, mut last) = (BTreeSet::new(), begin);
        while pairs.len() < everyone {
            let sighting = group.next_until(begin + PATIENCE).await?;
            let pair = (sighting.by, sighting.of);
            if sighting.state == MemberState::Alive && pair.0 != pair.1 && pairs.insert(pair) {
                last = sighting.at;
            }
        }
        Ok((group, last - begin))
    }

    /// Kills the last node without a leave; when the first of the others suspected it, and when the last knew it dead.
    pub(crate) async fn kill_one(&mut self) -> Outcome<Detection> {
        let victim = self.nodes.pop().ok_or("no node is left")?;
        let id = victim.id();
        while self.sightings.try_recv().is_ok() {}
        let crash = Instant::now();
        victim.shutdown().await;
        let (mut suspected, mut aware, mut last) = (None, BTreeSet::new(), crash);
        while aware.len() < self.nodes.len() {
            let sighting = self.next_until(crash + PATIENCE).await?;
            match sighting.state {
                _ if sighting.of != id => {}
                MemberState::Suspect => suspected = suspected.or(Some(sighting.at)),
                MemberState::Dead if aware.insert(sighting.by) => last = sighting.at,
                _ => {}
            }
        }
        let suspected: Instant = suspected.ok_or("declared dead without a suspicion")?;
        Ok(Detection { suspected: suspected - crash, dead_at_all: last - crash })
    }

    pub(crate) async fn stop(self) {
        for node in &self.nodes {
            node.shutdown().await;
        }
    }

    async fn next_until(&mut self, deadline: Instant) -> Outcome<Sighting> {
        match timeout_at(deadline.into(), self.sightings.recv()).await {
            Ok(Some(sighting)) => Ok(sighting),
            Ok(None) => Err("every node has stopped".into()),
            Err(_) => Err("the cluster did not come to agree in time".into()),
        }
    }
}

async fn start(sightings: &UnboundedSender<Sighting>) -> Outcome<Cluster> {
    let node = Cluster::start(Config::lan("bench").bind("127.0.0.1:0")).await?;
    let (by, sightings) = (node.id(), sightings.clone());
    node.on_member_change(move |change| {
        let sighting = Sighting { at: Instant::now(), by, of: change.member.id, state: change.member.state };
        // Nobody listens any more when the measurement is over.
        sightings.send(sighting).unwrap_or_default();
    });
    Ok(node)
}
