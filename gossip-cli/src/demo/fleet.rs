//! The nodes of the demonstration: starting, killing, counting.

use std::ops::{AddAssign, Sub};
use std::time::Instant;

use gossip_tokio::{Cluster, Config, KeyRing, NodeAddress, NodeId, StartError, Stats, Suite};
use tokio::sync::mpsc;

use super::board::{Sighting, Views};
use super::transport::Transport;
use crate::describe::NAME_KEY;

/// Sightings that wait to be looked at; tellers wait beyond it.
const SIGHTINGS: usize = 16_384;

/// All nodes, and what they told.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<DemoNode>,
    pub(crate) transport: Transport,
    cluster_name: String,
    keys: Option<KeyRing>,
    teller: mpsc::Sender<Sighting>,
    sightings: mpsc::Receiver<Sighting>,
}

/// One node, through all its lives.
#[derive(Debug)]
pub(crate) struct DemoNode {
    pub(crate) name: String,
    pub(crate) id: Option<NodeId>,
    pub(crate) address: Option<NodeAddress>,
    /// What runs now.
    pub(crate) cluster: Option<Cluster>,
    pub(crate) views: Views,
    life: u32,
    /// Traffic of the lives that are over.
    past: Traffic,
    /// Bytes that each of its datagrams costs beside its own.
    overhead: u64,
}

/// What a node sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) datagrams: u64,
    /// With IP and UDP headers, where all go over UDP.
    pub(crate) datagram_bytes: u64,
    pub(crate) received_datagrams: u64,
    pub(crate) stream_messages: u64,
    pub(crate) stream_bytes: u64,
}

impl Traffic {
    /// What a node counted, with so many bytes more for each datagram.
    fn of(stats: &Stats, overhead: u64) -> Self {
        let protocol = &stats.protocol;
        Self {
            datagrams: protocol.datagrams_sent,
            datagram_bytes: protocol.datagram_bytes_sent + protocol.datagrams_sent * overhead,
            received_datagrams: protocol.datagrams_received,
            stream_messages: protocol.stream_messages_sent,
            stream_bytes: protocol.stream_bytes_sent,
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.datagrams += other.datagrams;
        self.datagram_bytes += other.datagram_bytes;
        self.received_datagrams += other.received_datagrams;
        self.stream_messages += other.stream_messages;
        self.stream_bytes += other.stream_bytes;
    }
}

impl Sub for Traffic {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            datagrams: self.datagrams - earlier.datagrams,
            datagram_bytes: self.datagram_bytes - earlier.datagram_bytes,
            received_datagrams: self.received_datagrams - earlier.received_datagrams,
            stream_messages: self.stream_messages - earlier.stream_messages,
            stream_bytes: self.stream_bytes - earlier.stream_bytes,
        }
    }
}

impl DemoNode {
    pub(crate) fn is_running(&self) -> bool {
        self.cluster.is_some()
    }

    /// Everything since its first start.
    pub(crate) fn traffic(&self) -> Traffic {
        let mut traffic = self.past;
        if let Some(cluster) = &self.cluster {
            traffic += Traffic::of(&cluster.stats(), self.overhead);
        }
        traffic
    }
}

impl Fleet {
    /// Nodes that do not run yet; with `keys` they will seal what they send.
    pub(crate) fn new(count: usize, transport: Transport, keys: Option<KeyRing>) -> Self {
        let nodes = (1..=count).map(|number| DemoNode {
            name: format!("node-{number}"),
            id: None,
            address: None,
            cluster: None,
            views: Views::default(),
            life: 0,
            past: Traffic::default(),
            overhead: transport.overhead(),
        });
        let (teller, sightings) = mpsc::channel(SIGHTINGS);
        let cluster_name = format!("demo-{}", std::process::id());
        Self { nodes: nodes.collect(), transport, cluster_name, keys, teller, sightings }
    }

    /// The cipher, if packets are sealed.
    pub(crate) fn suite(&self) -> Option<Suite> {
        self.keys.as_ref().map(|ring| ring.primary().suite())
    }

    /// Starts a node, or starts it again with the id and the address that it had.
    pub(crate) async fn start(&mut self, at: usize) -> Result<(), StartError> {
        let seeds: Vec<String> = self
            .running()
            .filter_map(|other| self.nodes[other].address.as_ref())
            .filter(|address| address.can_be_dialled())
            .take(3)
            .map(ToString::to_string)
            .collect();
        let node = &mut self.nodes[at];
        let mut config = Config::local(&self.cluster_name).metadata(NAME_KEY, node.name.as_str()).seeds(seeds);
        config.id = node.id;
        config.protocol.keys.clone_from(&self.keys);
        let by = |address| self.transport.applied(config.clone(), at, address);
        let cluster = match Cluster::start(by(node.address.as_ref())).await {
            // Somebody took the port in the meantime; the id is what matters.
            Err(StartError::AddressInUse { .. }) if node.address.is_some() => Cluster::start(by(None)).await?,
            outcome => outcome?,
        };
        node.life += 1;
        node.id = Some(cluster.id());
        node.address = Some(cluster.address().clone());
        tell(&cluster, at, node.life, self.teller.clone());
        node.views.reset(&cluster, Instant::now());
        node.cluster = Some(cluster);
        Ok(())
    }

    /// Stops a node at once, without a word to the others.
    pub(crate) async fn stop(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if let Some(cluster) = node.cluster.take() {
            node.past += Traffic::of(&cluster.stats(), node.overhead);
            cluster.shutdown().await;
        }
    }

    /// Stops everything.
    pub(crate) async fn stop_all(&mut self) {
        for at in 0..self.nodes.len() {
            self.stop(at).await;
        }
    }

    /// The name of the node with this id.
    pub(crate) fn name_of(&self, id: NodeId) -> String {
        let found = self.nodes.iter().find(|node| node.id == Some(id));
        found.map_or_else(|| id.to_string(), |node| node.name.clone())
    }

    /// The places of the nodes that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.is_running()).map(|(at, _)| at)
    }

    /// Waits for the next thing that a running node tells, and takes it over.
    pub(crate) async fn next_sighting(&mut self) -> Sighting {
        loop {
            let Some(sighting) = self.sightings.recv().await else {
                // The fleet holds a teller itself, so the channel never closes.
                std::future::pending().await
            };
            let node = &mut self.nodes[sighting.node];
            let Some(cluster) = &node.cluster else { continue };
            if sighting.life != node.life {
                continue;
            }
            if matches!(sighting.event, gossip_tokio::Event::Missed { .. }) {
                node.views.reset(cluster, sighting.at);
            } else {
                node.views.apply(&sighting.event, sighting.at);
            }
            return sighting;
        }
    }
}

/// Passes on what a node tells, with the time, until it stops.
fn tell(cluster: &Cluster, node: usize, life: u32, teller: mpsc::Sender<Sighting>) {
    let mut events = cluster.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let sighting = Sighting { node, life, at: Instant::now(), event };
            if teller.send(sighting).await.is_err() {
                return;
            }
        }
    });
}
