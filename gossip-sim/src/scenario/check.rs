//! What is wrong with a scenario, by the place where it is written.

use crate::fault::Action;
use crate::scenario::{Scenario, Select, Span};

/// Most nodes of a run, newcomers included.
const MOST_NODES: u32 = 100_000;

/// Something in a scenario that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: expected {expected}")]
pub struct Problem {
    /// Where: keys and positions, like `fault[2].do.crash.nodes`.
    pub path: String,
    /// What was expected.
    pub expected: String,
}

impl Scenario {
    /// Checks what the types cannot.
    ///
    /// # Errors
    ///
    /// The first problem, with its place.
    pub fn check(&self) -> Result<(), Problem> {
        require((1..=MOST_NODES).contains(&self.nodes), "nodes", "1 to 100000 nodes")?;
        require(self.seeds >= 1, "seeds", "at least one seed")?;
        require(self.duration > Span::ZERO, "duration", "a span longer than nothing")?;
        if let Some((key, expected)) = self.link.latency.as_ref().and_then(crate::link::Latency::problem) {
            return Err(problem(format!("link.latency.{key}"), expected));
        }
        if let Err(error) = self.config().validate() {
            return Err(problem(format!("settings.{}", error.field), error.reason.replace("expected ", "")));
        }
        if let Some(workload) = &self.workload {
            require(workload.every > Span::ZERO, "workload.every", "a span longer than nothing")?;
            require(workload.keys >= 1, "workload.keys", "at least one key")?;
            require(workload.value_bytes <= 16_384, "workload.value_bytes", "0 to 16384 bytes")?;
        }
        if let Some(chaos) = &self.chaos {
            require(chaos.from < chaos.until, "chaos.until", "a time after `chaos.from`")?;
            require(chaos.faults <= 100_000, "chaos.faults", "at most 100000 faults")?;
        }
        if let Some(sabotage) = &self.sabotage {
            self.require_node(sabotage.node, "sabotage.node".to_owned())?;
        }
        (0..self.fault.len()).try_for_each(|index| self.check_fault(index))
    }

    fn check_fault(&self, index: usize) -> Result<(), Problem> {
        let fault = &self.fault[index];
        let base = format!("fault[{index}].do.{}", fault.action.name());
        if fault.lasts.is_none() {
            let needs_end = matches!(
                fault.action,
                Action::Pause { .. } | Action::FlipFlop { .. } | Action::Noise { .. } | Action::Slow { .. }
            );
            require(!needs_end, format!("fault[{index}]"), "`lasts`, as this fault has to end")?;
        }
        for (key, select) in fault.action.selects() {
            self.check_select(select, &fault.action, format!("{base}.{key}"))?;
        }
        match &fault.action {
            Action::FlipFlop { open, closed, .. } => {
                require(open.as_micros() >= 1_000, format!("{base}.open"), "a millisecond or more")?;
                require(closed.as_micros() >= 1_000, format!("{base}.closed"), "a millisecond or more")
            }
            Action::Split { groups } => require(!groups.is_empty(), format!("{base}.groups"), "at least one group"),
            Action::Slow { burst, every, .. } => {
                let fits = burst.is_none_or(|burst| every.is_some_and(|every| burst <= every));
                require(fits, format!("{base}.burst"), "a span that is not longer than `every`, which belongs to it")
            }
            Action::Clock { drift_ppm, .. } => {
                let fits = drift_ppm.is_none_or(|ppm| (-500_000..=500_000).contains(&ppm));
                require(fits, format!("{base}.drift_ppm"), "-500000 to 500000")
            }
            Action::Noise { per_second, .. } => {
                require((1..=100_000).contains(per_second), format!("{base}.per_second"), "1 to 100000 packets")
            }
            Action::Impair { link, .. } => match link.latency.as_ref().and_then(crate::link::Latency::problem) {
                Some((key, expected)) => Err(problem(format!("{base}.link.latency.{key}"), expected)),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn check_select(&self, select: &Select, action: &Action, path: String) -> Result<(), Problem> {
        let is_join = matches!(action, Action::Join { .. });
        match select {
            Select::List(list) if is_join => {
                let fits = list.iter().all(|&node| node >= self.nodes && node < MOST_NODES);
                require(fits, path, format!("numbers from {} on, which no node has yet", self.nodes))
            }
            Select::Count(count) if is_join => {
                require(*count <= MOST_NODES - self.nodes, path, "at most 100000 nodes in all")
            }
            _ if is_join => Err(problem(path, "a count of new nodes, or a list of numbers that no node has yet")),
            Select::All | Select::Share(_) => Ok(()),
            Select::Count(count) => {
                require(*count <= self.nodes, path, format!("at most the {} nodes that there are", self.nodes))
            }
            Select::Range(_, end) => require(*end <= self.nodes, path, self.known_nodes()),
            Select::List(list) => {
                for (position, &node) in list.iter().enumerate() {
                    self.require_node(node, format!("{path}[{position}]"))?;
                }
                Ok(())
            }
        }
    }

    fn require_node(&self, node: u32, path: String) -> Result<(), Problem> {
        let newcomers = self.fault.iter().filter(|fault| matches!(fault.action, Action::Join { .. }));
        let mut listed = newcomers.flat_map(|fault| fault.action.selects()).filter_map(|(_, select)| match select {
            Select::List(list) => Some(list),
            _ => None,
        });
        let is_known = node < self.nodes || listed.any(|list| list.contains(&node));
        require(is_known, path, self.known_nodes())
    }

    fn known_nodes(&self) -> String {
        format!("numbers of nodes: 0 to {}", self.nodes - 1)
    }
}

fn require(holds: bool, path: impl Into<String>, expected: impl Into<String>) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(problem(path, expected)) }
}

fn problem(path: impl Into<String>, expected: impl Into<String>) -> Problem {
    Problem { path: path.into(), expected: expected.into() }
}
