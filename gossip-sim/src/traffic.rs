//! What the applications send each other: broadcasts, messages to one node, and requests.

use serde::{Deserialize, Serialize};

use crate::scenario::{Select, Share, Span};

/// Broadcasts, at even intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broadcasts {
    /// Time between two of them in the whole cluster.
    pub every: Span,
    /// Size of each in bytes. 0 up to the largest payload.
    pub bytes: u32,
    /// Who sends: each time a random one of these that runs.
    pub from: Select,
    /// Only to nodes with this tag. Left out: to everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Whether each node is to get those of the same sender in order.
    pub ordered: bool,
    /// Whether they go by streams.
    pub reliable: bool,
    /// When they begin, since the start.
    pub after: Span,
    /// When they end, since the start. Left out: with the duration of the scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
}

/// Messages from one random node to another, at even intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Directs {
    /// Time between two of them in the whole cluster.
    pub every: Span,
    /// Size of each in bytes. 8 up to the largest payload.
    pub bytes: u32,
    /// Who sends: each time a random one of these that runs.
    pub from: Select,
    /// Whether they are to be confirmed.
    pub reliable: bool,
    /// When they begin, since the start.
    pub after: Span,
    /// When they end, since the start. Left out: with the duration of the scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
}

/// Requests from one random node to another, at even intervals, and how they are answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requests {
    /// Time between two of them in the whole cluster.
    pub every: Span,
    /// Size of each in bytes. 8 up to the largest payload.
    pub bytes: u32,
    /// Size of the answers in bytes. 8 up to the largest payload.
    pub answer_bytes: u32,
    /// Who asks: each time a random one of these that runs.
    pub from: Select,
    /// How long the answer is waited for. 10 ms to 1 h.
    pub deadline: Span,
    /// Share answered later, all others at once.
    pub late: Share,
    /// How much later.
    pub late_by: Span,
    /// Share refused, for one reason or another.
    pub refused: Share,
    /// Share never answered at all.
    pub ignored: Share,
    /// When they begin, since the start.
    pub after: Span,
    /// When they end, since the start. Left out: with the duration of the scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
}

impl Default for Broadcasts {
    fn default() -> Self {
        Self {
            every: Span::millis(100),
            bytes: 1_024,
            from: Select::All,
            tag: None,
            ordered: false,
            reliable: false,
            after: Span::ZERO,
            until: None,
        }
    }
}

impl Default for Directs {
    fn default() -> Self {
        Self {
            every: Span::millis(100),
            bytes: 100,
            from: Select::All,
            reliable: false,
            after: Span::ZERO,
            until: None,
        }
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            every: Span::millis(100),
            bytes: 100,
            answer_bytes: 100,
            from: Select::All,
            deadline: Span::secs(2),
            late: Share::ZERO,
            late_by: Span::millis(500),
            refused: Share::ZERO,
            ignored: Share::ZERO,
            after: Span::ZERO,
            until: None,
        }
    }
}

/// What all kinds of traffic have in common.
pub(crate) struct Rhythm<'a> {
    pub(crate) every: Span,
    pub(crate) from: &'a Select,
    pub(crate) after: Span,
    pub(crate) until: Option<Span>,
}

/// One entry of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Broadcasts(u8),
    Directs(u8),
    Requests(u8),
}

impl Entry {
    /// Where it is written.
    pub(crate) fn path(self) -> String {
        match self {
            Self::Broadcasts(index) => format!("broadcast[{index}]"),
            Self::Directs(index) => format!("direct[{index}]"),
            Self::Requests(index) => format!("request[{index}]"),
        }
    }
}

impl crate::scenario::Scenario {
    /// All entries of traffic.
    pub(crate) fn traffic(&self) -> Vec<Entry> {
        let broadcasts = (0..self.broadcast.len()).map(|index| Entry::Broadcasts(index as u8));
        let directs = (0..self.direct.len()).map(|index| Entry::Directs(index as u8));
        let requests = (0..self.request.len()).map(|index| Entry::Requests(index as u8));
        broadcasts.chain(directs).chain(requests).collect()
    }

    pub(crate) fn rhythm(&self, entry: Entry) -> Rhythm<'_> {
        match entry {
            Entry::Broadcasts(index) => {
                let Broadcasts { every, from, after, until, .. } = &self.broadcast[usize::from(index)];
                Rhythm { every: *every, from, after: *after, until: *until }
            }
            Entry::Directs(index) => {
                let Directs { every, from, after, until, .. } = &self.direct[usize::from(index)];
                Rhythm { every: *every, from, after: *after, until: *until }
            }
            Entry::Requests(index) => {
                let Requests { every, from, after, until, .. } = &self.request[usize::from(index)];
                Rhythm { every: *every, from, after: *after, until: *until }
            }
        }
    }

    /// When the last of the traffic is sent, in microseconds.
    pub(crate) fn traffic_ends(&self) -> u64 {
        let ends = self.traffic().into_iter().map(|entry| self.rhythm(entry).until.unwrap_or(self.duration));
        ends.max().map_or(0, Span::as_micros)
    }
}
