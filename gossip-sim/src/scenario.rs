//! A scenario: nodes, links, and the timeline of what goes wrong. It can be built in code or read from a file, and
//! every one can be written to a file.

mod chaos;
mod check;
mod expand;
mod file;
mod quantity;

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_core::Config;
use serde::{Deserialize, Serialize};

pub use chaos::{Chaos, Kind};
pub use check::Problem;
pub use file::ScenarioError;
pub use quantity::{Expected, Select, Share, SignedSpan, Span};

use crate::election::Election;
use crate::fault::{Action, Fault};
use crate::keys;
use crate::link::{Latency, Link};
use crate::lock::Locks;
use crate::partition::NodeSet;
use crate::sabotage::Sabotage;
use crate::store::Store;
use crate::traffic::{Broadcasts, Directs, Requests};
use crate::workload::Workload;

/// Everything about a run but its seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// The name it goes by.
    pub name: String,
    /// What it shows, in one line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Nodes at the start. 1 to 100,000.
    pub nodes: u32,
    /// The settings that all nodes start from.
    pub preset: Preset,
    /// How long the run lasts at least; it goes on until the nodes agree after the last fault, or should have.
    pub duration: Span,
    /// How many of the first nodes are seeds to all.
    pub seeds: u32,
    /// How the nodes at the start come together.
    pub start: Start,
    /// Whether all packets are sealed, with keys that follow from the seed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sealed: bool,
    /// The ways between nodes.
    pub link: Link,
    /// Settings that differ from the preset.
    pub settings: Settings,
    /// What the applications do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// Broadcasts that the applications send.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broadcast: Vec<Broadcasts>,
    /// Messages that they send to single nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub direct: Vec<Directs>,
    /// Requests that they send.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request: Vec<Requests>,
    /// Tags, and which nodes have them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Select>,
    /// An election that the nodes hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election: Option<Election>,
    /// A key-value store that they share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<Store>,
    /// Locks that they share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locks: Option<Locks>,
    /// Faults drawn at random from the seed, besides those listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chaos: Option<Chaos>,
    /// How long the nodes may take to agree after the last fault. Left out: what follows from the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<Span>,
    /// A bug planted on purpose, to see that an oracle finds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
    /// How to see again what was seen: written by `shrink`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// The timeline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fault: Vec<Fault>,
}

/// A run that was worth keeping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// The seed.
    pub seed: u64,
    /// The rule that was broken first.
    pub oracle: crate::oracle::Oracle,
    /// The fingerprint of the run up to its first failure.
    pub trace_hash: String,
    /// It was found with an application, without which it is another run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_app: bool,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "unnamed".to_owned(),
            about: String::new(),
            nodes: 32,
            preset: Preset::Lan,
            duration: Span::secs(60),
            seeds: 3,
            start: Start::Joined,
            sealed: false,
            link: Link::default(),
            settings: Settings::default(),
            workload: None,
            broadcast: Vec::new(),
            direct: Vec::new(),
            request: Vec::new(),
            tags: BTreeMap::new(),
            election: None,
            store: None,
            locks: None,
            chaos: None,
            settle: None,
            sabotage: None,
            replay: None,
            fault: Vec::new(),
        }
    }
}

/// Where nodes run: the presets of the library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// One data centre.
    #[default]
    Lan,
    /// Several continents.
    Wan,
    /// One machine.
    Local,
}

/// How the nodes at the start come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Start {
    /// They have known each other for long.
    #[default]
    Joined,
    /// All start at once and join through the first.
    Storm,
    /// One after the other, this far apart, through the seeds.
    Every(Span),
}

/// Settings of [`gossip_core::Config`] that differ from the preset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is the field of the same name in `gossip_core::Config`")]
pub struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_interval: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_timeout: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indirect_probes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspicion_min: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspicion_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gossip_interval: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gossip_fanout: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heal_interval: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_datagram: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_transmits: Option<usize>,
}

impl Scenario {
    /// A quiet cluster of so many nodes on a LAN, for a minute.
    pub fn new(name: impl Into<String>, nodes: u32) -> Self {
        Self { name: name.into(), nodes, ..Self::default() }
    }

    /// The settings of the nodes. Those of sealed ones have a key that is in no run.
    pub fn config(&self) -> Config {
        const CLUSTER: &str = "simulated";
        fn span(target: &mut Duration, setting: Option<Span>) {
            *target = setting.map_or(*target, Span::duration);
        }
        let mut config = match self.preset {
            Preset::Lan => Config::lan(CLUSTER),
            Preset::Wan => Config::wan(CLUSTER),
            Preset::Local => Config::local(CLUSTER),
        };
        let settings = &self.settings;
        span(&mut config.probe_interval, settings.probe_interval);
        span(&mut config.probe_timeout, settings.probe_timeout);
        span(&mut config.gossip_interval, settings.gossip_interval);
        span(&mut config.heal_interval, settings.heal_interval);
        span(&mut config.retention, settings.retention);
        config.indirect_probes = settings.indirect_probes.unwrap_or(config.indirect_probes);
        config.suspicion_min = settings.suspicion_min.unwrap_or(config.suspicion_min);
        config.suspicion_max = settings.suspicion_max.unwrap_or(config.suspicion_max);
        config.gossip_fanout = settings.gossip_fanout.unwrap_or(config.gossip_fanout);
        config.retransmit = settings.retransmit.unwrap_or(config.retransmit);
        config.max_datagram = settings.max_datagram.unwrap_or(config.max_datagram);
        config.keys = self.sealed.then(|| keys::ring(0));
        config.max_transmits = settings.max_transmits.unwrap_or(config.max_transmits);
        config
    }

    /// The link between nodes, with the latency that suits the preset where none is given.
    pub(crate) fn base_link(&self) -> Link {
        let latency = self.link.latency.clone().unwrap_or(match self.preset {
            Preset::Lan => Latency::Uniform { least: Span::micros(200), most: Span::micros(500) },
            Preset::Wan => Latency::LogNormal { median: Span::millis(40), sigma: 0.3 },
            Preset::Local => Latency::Constant(Span::micros(50)),
        });
        Link { latency: Some(latency), ..self.link.clone() }
    }

    /// Machines that the scenario speaks of: those at the start, and newcomers.
    pub(crate) fn machines(&self) -> u32 {
        let joins = self.fault.iter().filter_map(|fault| match &fault.action {
            Action::Join { nodes: Select::List(list) } | Action::Twin { nodes: Select::List(list), .. } => {
                list.iter().max()
            }
            _ => None,
        });
        joins.map(|&last| last + 1).fold(self.nodes, u32::max)
    }

    /// Who has which tag, once all choices are made.
    pub(crate) fn tagged_nodes(&self) -> BTreeMap<String, NodeSet> {
        let nodes = |select: &Select| match select {
            Select::List(nodes) => nodes.iter().copied().collect(),
            _ => (0..self.machines()).collect(),
        };
        self.tags.iter().map(|(tag, select)| (tag.clone(), nodes(select))).collect()
    }

    /// The whole as the text of a scenario file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every scenario can be written: its parts are text, numbers and lists")
    }
}
