//! What can go wrong, and when.

use serde::{Deserialize, Serialize};

use crate::keys::Step;
use crate::link::Link;
use crate::outsider::Tactic;
use crate::scenario::{Select, SignedSpan, Span};

/// One line of a scenario's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When, since the start of the run.
    pub at: Span,
    /// For how long. Left out: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
    /// Strikes the chosen nodes one after the other, this far apart, instead of all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// What happens.
    #[serde(rename = "do")]
    pub action: Action,
}

/// What happens to nodes or to the ways between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Nodes stop at once. When the fault is over they are started again.
    Crash {
        /// Which.
        nodes: Select,
        /// What they are when they come back.
        #[serde(default, skip_serializing_if = "Comeback::is_same")]
        back_as: Comeback,
    },
    /// Nodes leave the cluster properly and stop. When the fault is over they are started again.
    Leave {
        /// Which.
        nodes: Select,
        /// What they are when they come back.
        #[serde(default, skip_serializing_if = "Comeback::is_same")]
        back_as: Comeback,
    },
    /// New nodes join through the seeds.
    Join {
        /// How many, or a list of numbers that no node has yet.
        nodes: Select,
    },
    /// Another machine starts a node with the id of one that runs. When the fault is over it stops at once.
    Twin {
        /// The machine: a number that no node has yet. Left out: the next one.
        #[serde(default = "next", skip_serializing_if = "is_next")]
        nodes: Select,
        /// Whose id it takes.
        of: Select,
    },
    /// Nodes do nothing for a while; what comes meanwhile waits in their sockets.
    Pause {
        /// Which.
        nodes: Select,
    },
    /// Nodes need time for every packet.
    Slow {
        /// Which.
        nodes: Select,
        /// Time for each packet.
        delay: Span,
        /// They are slow for this long …
        #[serde(default, skip_serializing_if = "Option::is_none")]
        burst: Option<Span>,
        /// … out of this long. Left out: all the time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every: Option<Span>,
    },
    /// Clocks of nodes go wrong.
    Clock {
        /// Which.
        nodes: Select,
        /// The wall clock is set forward or back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wall: Option<SignedSpan>,
        /// Both clocks leap forward, as after a sleep of the machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leap: Option<Span>,
        /// The monotonic clock runs fast (positive) or slow by this many millionths; the end of the fault corrects it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drift_ppm: Option<i32>,
    },
    /// Each group is cut off from all nodes outside of it.
    Split {
        /// The groups. Shares and counts are drawn from nodes that are in none of the groups before.
        groups: Vec<Select>,
    },
    /// Packets from some nodes do not reach others.
    Cut {
        /// Senders.
        from: Select,
        /// Receivers. Left out: all the others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Select>,
        /// Whether packets in the other direction still pass.
        #[serde(default)]
        one_way: bool,
    },
    /// Nodes are cut off from all others again and again.
    FlipFlop {
        /// Which.
        nodes: Select,
        /// For how long they are connected each time.
        open: Span,
        /// For how long they are cut off each time.
        closed: Span,
        /// Whether only what they receive is cut off.
        #[serde(default)]
        one_way: bool,
    },
    /// The ways from and to nodes are worse than the scenario's link.
    Impair {
        /// Which.
        nodes: Select,
        /// Between them and these. Left out: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<Select>,
        /// What comes on top of the scenario's link.
        link: Link,
    },
    /// Strangers send garbage, cut and changed copies of real packets.
    Noise {
        /// To which nodes.
        nodes: Select,
        /// Packets a second to each of them.
        per_second: u32,
    },
    /// Outsiders without a key record packets, repeat them, and make up their own.
    Outsider {
        /// To which nodes they send.
        nodes: Select,
        /// Packets a second to each of them.
        per_second: u32,
        /// Of which nodes they see what arrives. Left out: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sees: Option<Select>,
        /// What they do, in turn by chance. Left out: everything.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tactics: Vec<Tactic>,
    },
    /// Nodes of a sealed cluster take a step of a change of keys.
    Rotate {
        /// Which.
        nodes: Select,
        /// What they do.
        step: Step,
        /// Which key: 0 is the one that they start with.
        key: u32,
    },
}

fn next() -> Select {
    Select::Count(1)
}

fn is_next(nodes: &Select) -> bool {
    *nodes == next()
}

/// What a node is when it is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comeback {
    /// The same: id and address.
    #[default]
    Same,
    /// A stranger at the old address.
    NewId,
    /// The same id at another address.
    NewAddress,
}

impl Comeback {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_same(&self) -> bool {
        *self == Self::Same
    }
}

impl Action {
    /// The name in scenario files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Leave { .. } => "leave",
            Self::Join { .. } => "join",
            Self::Twin { .. } => "twin",
            Self::Pause { .. } => "pause",
            Self::Slow { .. } => "slow",
            Self::Clock { .. } => "clock",
            Self::Split { .. } => "split",
            Self::Cut { .. } => "cut",
            Self::FlipFlop { .. } => "flip_flop",
            Self::Impair { .. } => "impair",
            Self::Noise { .. } => "noise",
            Self::Outsider { .. } => "outsider",
            Self::Rotate { .. } => "rotate",
        }
    }

    /// Whether it starts nodes on machines that had none.
    pub(crate) fn brings_newcomers(&self) -> bool {
        matches!(self, Self::Join { .. } | Self::Twin { .. })
    }

    /// The choices of nodes in it, with their keys.
    pub(crate) fn selects(&self) -> Vec<(String, &Select)> {
        let nodes = |nodes| vec![("nodes".to_owned(), nodes)];
        match self {
            Self::Crash { nodes: chosen, .. }
            | Self::Leave { nodes: chosen, .. }
            | Self::Join { nodes: chosen }
            | Self::Pause { nodes: chosen }
            | Self::Slow { nodes: chosen, .. }
            | Self::Clock { nodes: chosen, .. }
            | Self::FlipFlop { nodes: chosen, .. }
            | Self::Noise { nodes: chosen, .. }
            | Self::Rotate { nodes: chosen, .. } => nodes(chosen),
            Self::Impair { nodes: chosen, with, .. } => {
                nodes(chosen).into_iter().chain(with.iter().map(|with| ("with".to_owned(), with))).collect()
            }
            Self::Outsider { nodes: chosen, sees, .. } => {
                nodes(chosen).into_iter().chain(sees.iter().map(|sees| ("sees".to_owned(), sees))).collect()
            }
            Self::Twin { nodes: chosen, of } => nodes(chosen).into_iter().chain([("of".to_owned(), of)]).collect(),
            Self::Cut { from, to, .. } => {
                let from = ("from".to_owned(), from);
                [from].into_iter().chain(to.iter().map(|to| ("to".to_owned(), to))).collect()
            }
            Self::Split { groups } => {
                groups.iter().enumerate().map(|(index, group)| (format!("groups[{index}]"), group)).collect()
            }
        }
    }

    /// The choices of nodes in it, to be changed.
    pub(crate) fn selects_mut(&mut self) -> Vec<&mut Select> {
        match self {
            Self::Crash { nodes, .. }
            | Self::Leave { nodes, .. }
            | Self::Join { nodes }
            | Self::Pause { nodes }
            | Self::Slow { nodes, .. }
            | Self::Clock { nodes, .. }
            | Self::FlipFlop { nodes, .. }
            | Self::Noise { nodes, .. }
            | Self::Rotate { nodes, .. } => vec![nodes],
            Self::Impair { nodes, with, .. } => [nodes].into_iter().chain(with).collect(),
            Self::Outsider { nodes, sees, .. } => [nodes].into_iter().chain(sees).collect(),
            Self::Twin { nodes, of } => vec![nodes, of],
            Self::Cut { from, to, .. } => [from].into_iter().chain(to).collect(),
            Self::Split { groups } => groups.iter_mut().collect(),
        }
    }
}
