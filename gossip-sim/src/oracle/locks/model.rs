//! Whether what nodes were told of one lock can be explained by a lock at which one thing happens after another.
//!
//! The search is that of Wing and Gong (1993) with the memory of Lowe (2017): of the statements that may come next, each is
//! tried, and no situation is looked at twice. A grant may end without a word of anybody once nobody has to count on it. Whoever asked
//! for the lock and was not told what became of it may have it in between, at any time, as may whoever is told of it later.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Display};
use std::hash::Hash;

/// Situations that are looked at before the search gives up.
const MOST: usize = 300_000;

/// Statements that may be told apart from the first that was not placed yet.
const WINDOW: usize = u128::BITS as usize;

/// For how long a grant has to hold, in microseconds of true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Trust {
    /// Until when the holder counts on it, by its own clock.
    pub(crate) until: u64,
    /// When as many lives had ended since as it takes to forget it.
    pub(crate) lost: u64,
}

/// What a node was told at the end of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said<T> {
    /// The lock is its. From `ends` on the holder does not count on it any more: it gave it up, or its life was over.
    Granted { token: T, trust: Trust, ends: u64 },
    /// It is for longer.
    Extended { token: T, trust: Trust },
    /// The lock is not the node's any more.
    Released { token: T },
    /// It was not when it should have been extended or released.
    NotHeld { token: T },
    /// Another one has it, or will.
    Busy,
    /// Which node has it, and under which token.
    Status { holder: Option<(u32, T)> },
}

/// An operation that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement<T> {
    pub(crate) node: u32,
    pub(crate) invoked: u64,
    pub(crate) completed: u64,
    pub(crate) said: Said<T>,
}

/// A node asked for the lock, and what became of that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) node: u32,
    pub(crate) invoked: u64,
}

/// All that was said of one lock.
#[derive(Clone, Debug)]
pub(crate) struct Testimony<T> {
    pub(crate) statements: Vec<Statement<T>>,
    pub(crate) doubts: Vec<Doubt>,
    /// When there were new leaders, in order. What they gather may be an old grant that others than its holder took for longer.
    pub(crate) recoveries: Vec<u64>,
    /// Tokens of later grants have to be greater.
    pub(crate) tokens_grow: bool,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is an order in which a lock would have said all of it.
    Explained,
    /// There is none.
    Contradiction(String),
    /// It would take too long to tell.
    Open,
}

impl<T> Said<T> {
    fn is_grant(&self) -> bool {
        matches!(self, Self::Granted { .. })
    }
}

impl<T: Display> Display for Said<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted { token, trust, .. } => write!(f, "got it as {token} until {}", seconds(trust.until)),
            Self::Extended { token, trust } => write!(f, "has {token} until {}", seconds(trust.until)),
            Self::Released { token } => write!(f, "released {token}"),
            Self::NotHeld { token } => write!(f, "does not hold {token}"),
            Self::Busy => f.write_str("found it busy"),
            Self::Status { holder: None } => f.write_str("hears that it is free"),
            Self::Status { holder: Some((node, token)) } => write!(f, "hears that node {node} has it as {token}"),
        }
    }
}

impl<T: Display> Display for Statement<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (seconds(self.invoked), seconds(self.completed));
        write!(f, "node {} {} ({from} to {until})", self.node, self.said)
    }
}

fn seconds(micros: u64) -> String {
    if micros == u64::MAX { "the end".to_owned() } else { format!("{:.6} s", micros as f64 / 1e6) }
}

/// The lock of the model. Nobody has it, or somebody of whom nobody knows, unless there is a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Lock<T> {
    holding: Option<Holding<T>>,
    /// The greatest token so far.
    latest: Option<T>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Holding<T> {
    token: T,
    trust: Trust,
    ends: u64,
}

impl<T> Holding<T> {
    /// From when on it may end by itself.
    fn may_end(&self) -> u64 {
        self.trust.until.min(self.trust.lost).min(self.ends)
    }
}

/// Which statements have their place: all before the first, and some after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Placed {
    first: usize,
    after: u128,
}

impl Placed {
    fn contains(self, index: usize) -> bool {
        index < self.first || index - self.first < WINDOW && self.after >> (index - self.first) & 1 == 1
    }

    /// With this one; `None` if it is too far from the first.
    fn with(mut self, index: usize) -> Option<Self> {
        let distance = index.checked_sub(self.first).filter(|&distance| distance < WINDOW)?;
        self.after |= 1 << distance;
        let run = self.after.trailing_ones();
        self.after = self.after.checked_shr(run).unwrap_or(0);
        self.first += run as usize;
        Some(self)
    }

    fn count(self) -> usize {
        self.first + self.after.count_ones() as usize
    }
}

/// What may come next.
struct Choice {
    /// In the order in which they ended.
    open: Vec<usize>,
    /// When the first of them ended: nothing that comes next is later.
    bound: u64,
}

struct Search<'a, T> {
    testimony: &'a Testimony<T>,
    /// When each token was asked for.
    tokens: BTreeMap<T, u64>,
}

impl<T: Copy + Ord + Hash + Display> Testimony<T> {
    /// Looks for an order that explains it all; if there is none, for the first statement with which there is none any more.
    pub(crate) fn judge(&self) -> Verdict {
        let whole = self.clone().search();
        let Verdict::Contradiction(_) = whole else { return whole };
        let mut ends: Vec<u64> = self.statements.iter().map(|statement| statement.completed).collect();
        ends.sort_unstable();
        let first = ends.partition_point(|&end| matches!(self.until(end).search(), Verdict::Explained));
        ends.get(first).map_or(whole, |&end| self.until(end).search())
    }

    /// What was known at a moment.
    fn until(&self, end: u64) -> Self {
        let (statements, later): (Vec<Statement<T>>, Vec<Statement<T>>) =
            self.statements.iter().copied().partition(|statement| statement.completed <= end);
        let waiting = later.iter().filter(|statement| statement.said.is_grant());
        let waiting = waiting.map(|statement| Doubt { node: statement.node, invoked: statement.invoked });
        let doubts = self.doubts.iter().copied().chain(waiting).collect();
        Self { statements, doubts, recoveries: self.recoveries.clone(), tokens_grow: self.tokens_grow }
    }

    fn search(mut self) -> Verdict {
        self.statements.sort_by_key(|statement| (statement.invoked, statement.completed));
        let granted = self.statements.iter().filter_map(|statement| match statement.said {
            Said::Granted { token, .. } => Some((token, statement.invoked)),
            _ => None,
        });
        let search = Search { tokens: granted.collect(), testimony: &self };
        search.run()
    }
}

impl<T: Copy + Ord + Hash + Display> Search<'_, T> {
    fn run(&self) -> Verdict {
        let start = (Placed { first: 0, after: 0 }, Lock { holding: None, latest: None });
        let mut seen = HashSet::from([start]);
        let mut stack = vec![start];
        let (mut deepest, mut is_cut) = (start, false);
        while let Some((placed, lock)) = stack.pop() {
            if placed.count() == self.testimony.statements.len() {
                return Verdict::Explained;
            }
            if placed.count() > deepest.0.count() {
                deepest = (placed, lock);
            }
            let choice = self.choice(placed);
            // The one that ended first is tried first.
            for &index in choice.open.iter().rev() {
                let Some(lock) = self.apply(lock, index, &choice) else { continue };
                let Some(placed) = placed.with(index) else {
                    is_cut = true;
                    continue;
                };
                if seen.insert((placed, lock)) {
                    stack.push((placed, lock));
                }
            }
            if seen.len() > MOST {
                return Verdict::Open;
            }
        }
        if is_cut { Verdict::Open } else { Verdict::Contradiction(self.contradiction(deepest.0, deepest.1)) }
    }

    fn choice(&self, placed: Placed) -> Choice {
        let statements = &self.testimony.statements;
        let (mut open, mut bound) = (Vec::new(), u64::MAX);
        for (index, statement) in statements.iter().enumerate().skip(placed.first) {
            if statement.invoked > bound {
                break;
            }
            if !placed.contains(index) {
                bound = bound.min(statement.completed);
                open.push(index);
            }
        }
        open.retain(|&index| statements[index].invoked <= bound);
        open.sort_by_key(|&index| statements[index].completed);
        Choice { open, bound }
    }

    /// The lock after it has said this; `None` if it would not have.
    fn apply(&self, lock: Lock<T>, index: usize, choice: &Choice) -> Option<Lock<T>> {
        let statement = &self.testimony.statements[index];
        let loose = Lock { holding: None, ..lock };
        let may_be_loose = lock.holding.is_none_or(|holding| holding.may_end() <= choice.bound);
        let held = |token: T| lock.holding.filter(|holding| holding.token == token);
        match statement.said {
            Said::Granted { token, trust, ends } => {
                let is_later = !self.testimony.tokens_grow || lock.latest.is_none_or(|latest| latest < token);
                let holding = Some(Holding { token, trust, ends });
                (may_be_loose && is_later).then(|| Lock { holding, latest: lock.latest.max(Some(token)) })
            }
            Said::Extended { token, trust } => {
                let Holding { ends, trust: before, .. } = held(token)?;
                let trust = Trust { until: trust.until.max(before.until), lost: trust.lost };
                Some(Lock { holding: Some(Holding { token, trust, ends }), ..lock })
            }
            Said::Released { token } => Some(if held(token).is_some() { loose } else { lock }),
            Said::NotHeld { token } if held(token).is_none() => Some(lock),
            Said::NotHeld { .. } | Said::Status { holder: None } => may_be_loose.then_some(loose),
            Said::Busy if lock.holding.is_some() => Some(lock),
            Said::Busy => self.may_be_taken(None, index, choice).then_some(loose),
            Said::Status { holder: Some((node, token)) } => {
                if held(token).is_some() {
                    return Some(lock);
                }
                let may_be = match self.tokens.get(&token) {
                    Some(&since) => self.recovers(since, choice.bound),
                    None => self.may_be_taken(Some(node), index, choice),
                };
                (may_be_loose && may_be).then_some(loose)
            }
        }
    }

    /// Whether somebody else, or this node, may have the lock without having been told.
    fn may_be_taken(&self, by: Option<u32>, without: usize, choice: &Choice) -> bool {
        let is_right = |node: u32| by.is_none_or(|by| by == node);
        let waits = |&index: &usize| {
            let statement = &self.testimony.statements[index];
            index != without && statement.said.is_grant() && is_right(statement.node)
        };
        let is_doubtful = |doubt: &Doubt| doubt.invoked <= choice.bound && is_right(doubt.node);
        let first = self.tokens.values().min();
        let is_gathered = || first.is_some_and(|&since| self.recovers(since, choice.bound));
        choice.open.iter().any(waits) || self.testimony.doubts.iter().any(is_doubtful) || by.is_none() && is_gathered()
    }

    /// Whether there was a new leader between two moments.
    fn recovers(&self, since: u64, until: u64) -> bool {
        self.testimony.recoveries.iter().any(|at| (since..=until).contains(at))
    }

    fn contradiction(&self, placed: Placed, lock: Lock<T>) -> String {
        let statements = &self.testimony.statements;
        let state = lock.holding.map_or_else(
            || "nobody has it for sure".to_owned(),
            |holding| format!("{} has to hold until {}", holding.token, seconds(holding.may_end())),
        );
        let open: Vec<String> =
            self.choice(placed).open.into_iter().map(|index| statements[index].to_string()).collect();
        format!("no order explains it: after {} of {} statements {state}, and ", placed.count(), statements.len())
            + &open.join("; ")
    }
}

#[cfg(test)]
mod tests;
