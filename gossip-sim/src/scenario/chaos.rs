//! Faults drawn at random.

use serde::{Deserialize, Serialize};

use crate::fault::{Action, Comeback, Fault};
use crate::link::{Burst, Latency, Link};
use crate::random::{Odds, Random};
use crate::scenario::{Select, Share, SignedSpan, Span};

/// A number of faults at random times, of random kinds, at random nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chaos {
    /// How many.
    pub faults: u32,
    /// The first is not before this.
    pub from: Span,
    /// The last begins before this.
    pub until: Span,
    /// The longest of them; all end.
    pub longest: Span,
    /// Share of crashes from which nodes do not come back.
    pub for_ever: Share,
    /// Kinds to draw from. Left out: all but [`Twin`](Kind::Twin) and [`Outsider`](Kind::Outsider).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Kind>,
}

impl Default for Chaos {
    fn default() -> Self {
        Self {
            faults: 20,
            from: Span::secs(5),
            until: Span::secs(120),
            longest: Span::secs(40),
            for_ever: Share::new(0.25).unwrap_or_default(),
            kinds: Vec::new(),
        }
    }
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the variant of the same name in `Action`")]
pub enum Kind {
    Crash,
    Leave,
    Join,
    Twin,
    Pause,
    Slow,
    Clock,
    Split,
    Cut,
    FlipFlop,
    Impair,
    Noise,
    Outsider,
}

const ALL: [Kind; 11] = [
    Kind::Crash,
    Kind::Leave,
    Kind::Join,
    Kind::Pause,
    Kind::Slow,
    Kind::Clock,
    Kind::Split,
    Kind::Cut,
    Kind::FlipFlop,
    Kind::Impair,
    Kind::Noise,
];

/// Most nodes that one fault brings.
pub(super) const MOST_NEWCOMERS: u64 = 3;

impl Chaos {
    /// Whether nodes may be brought that were not there.
    pub(super) fn may_join(&self) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|kind| matches!(kind, Kind::Join | Kind::Twin))
    }

    /// Draws the faults for a cluster of `nodes`.
    pub(super) fn draw(&self, random: &mut Random, nodes: u32) -> Vec<Fault> {
        let kinds = if self.kinds.is_empty() { &ALL[..] } else { &self.kinds };
        let mut next_newcomer = nodes;
        let mut draw = Draw { random, nodes, next_newcomer: &mut next_newcomer };
        let mut faults: Vec<Fault> = (0..self.faults).map(|_| draw.fault(self, kinds)).collect();
        faults.sort_by_key(|fault| fault.at);
        faults
    }
}

struct Draw<'a> {
    random: &'a mut Random,
    nodes: u32,
    next_newcomer: &'a mut u32,
}

impl Draw<'_> {
    fn fault(&mut self, chaos: &Chaos, kinds: &[Kind]) -> Fault {
        let at = self.random.between(chaos.from.as_micros(), chaos.until.as_micros());
        let longest = chaos.longest.as_micros().max(200_000);
        // Short faults are as interesting as long ones: the length is drawn by its order of magnitude.
        let order = self.random.below(8) as u32;
        let lasts = self.random.between(100_000, (longest >> order).max(200_000));
        let kind = kinds[self.random.below(kinds.len() as u64) as usize];
        let action = self.action(kind);
        let for_ever = matches!(kind, Kind::Join)
            || (matches!(kind, Kind::Crash) && self.random.hits(Odds::of(chaos.for_ever.value())));
        Fault { at: Span::micros(at), lasts: (!for_ever).then_some(Span::micros(lasts)), every: None, action }
    }

    fn action(&mut self, kind: Kind) -> Action {
        match kind {
            Kind::Crash => Action::Crash { nodes: self.some(3), back_as: self.comeback() },
            Kind::Leave => Action::Leave { nodes: self.some(2), back_as: self.comeback() },
            Kind::Join => {
                let first = *self.next_newcomer;
                *self.next_newcomer += 1 + self.random.below(MOST_NEWCOMERS) as u32;
                Action::Join { nodes: Select::List((first..*self.next_newcomer).collect()) }
            }
            Kind::Twin => {
                let number = *self.next_newcomer;
                *self.next_newcomer += 1;
                Action::Twin { nodes: Select::List(vec![number]), of: Select::Count(1) }
            }
            Kind::Pause => Action::Pause { nodes: self.some(3) },
            Kind::Slow => Action::Slow {
                nodes: self.some(3),
                delay: Span::micros(self.random.between(1_000, 400_000)),
                burst: Some(Span::millis(self.random.between(100, 4_000))),
                every: Some(Span::millis(self.random.between(4_000, 8_000))),
            },
            Kind::Clock => Action::Clock {
                nodes: self.some(3),
                wall: Some(SignedSpan::micros(self.random.below(600_000_000) as i64 - 300_000_000)),
                leap: (self.random.below(2) == 0).then(|| Span::micros(self.random.below(30_000_000))),
                drift_ppm: Some(self.random.below(100_000) as i32 - 50_000),
            },
            Kind::Split => {
                Action::Split { groups: (0..self.random.between(1, 2)).map(|_| self.part(self.nodes / 2)).collect() }
            }
            Kind::Cut => Action::Cut {
                from: self.part(self.nodes / 2),
                to: (self.random.below(2) == 0).then(|| self.some(self.nodes / 2)),
                one_way: self.random.below(2) == 0,
            },
            Kind::FlipFlop => Action::FlipFlop {
                nodes: self.part(2),
                open: Span::millis(self.random.between(200, 20_000)),
                closed: Span::millis(self.random.between(200, 20_000)),
                one_way: self.random.below(2) == 0,
            },
            Kind::Impair => Action::Impair { nodes: self.some(self.nodes / 2), with: None, link: self.link() },
            Kind::Outsider => Action::Outsider {
                nodes: self.some(3),
                per_second: self.random.between(1, 200) as u32,
                sees: None,
                tactics: Vec::new(),
            },
            Kind::Noise => Action::Noise { nodes: self.some(3), per_second: self.random.between(1, 60) as u32 },
        }
    }

    fn link(&mut self) -> Link {
        let mut share = |of: u64, most: u64| {
            let percent = if self.random.below(of) == 0 { self.random.below(most) } else { 0 };
            Share::new(percent as f64 / 100.0).unwrap_or_default()
        };
        let (enter, leave, loss) = (share(3, 10), share(1, 50), share(1, 100));
        let mut link = Link {
            loss: share(2, 90),
            burst: (!enter.is_zero()).then_some(Burst { enter, leave, loss }),
            duplicate: share(2, 50),
            reorder: share(2, 50),
            reorder_by: Some(Span::millis(300)),
            corrupt: share(3, 30),
            truncate: share(3, 30),
            replay: share(3, 30),
            ..Link::default()
        };
        // Slow and narrow ways are rare, as nearly nothing can be asked of a node behind one.
        match self.random.below(12) {
            0 => link.rate = Some(self.random.between(2_000, 200_000)),
            1 => link.mtu = Some(self.random.between(400, 1_500) as u32),
            2 => {
                let least = Span::millis(self.random.between(1, 50));
                let most = Span::micros(least.as_micros() * self.random.between(1, 5));
                link.latency = Some(Latency::Uniform { least, most });
            }
            _ => {}
        }
        link
    }

    /// One to `most` nodes, and not all.
    fn part(&mut self, most: u32) -> Select {
        self.some(most.min(self.nodes.saturating_sub(1)))
    }

    /// One to `most` nodes.
    fn some(&mut self, most: u32) -> Select {
        Select::Count(self.random.between(1, u64::from(most.clamp(1, self.nodes))) as u32)
    }

    fn comeback(&mut self) -> Comeback {
        match self.random.below(4) {
            0 => Comeback::NewId,
            1 => Comeback::NewAddress,
            _ => Comeback::Same,
        }
    }
}
