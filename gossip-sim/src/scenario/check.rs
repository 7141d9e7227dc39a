//! What is wrong with a scenario, by the place where it is written.

use std::collections::BTreeSet;

use gossip_core::Tags;

use crate::fault::Action;
use crate::link::Link;
use crate::payload::NUMBERED;
use crate::scenario::{Scenario, Select, Span, chaos};

/// Most nodes of a run, newcomers included.
const MOST_NODES: u32 = 100_000;

/// Longest time that anything may take.
const LONGEST: Span = Span::secs(366 * 86_400);

/// Smallest MTU of IP.
const SMALLEST_MTU: u32 = 68;

/// Most entries of one kind of traffic.
const MOST_ENTRIES: usize = 32;

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
        require(self.duration <= LONGEST, "duration", "at most a year")?;
        require(self.settle.is_none_or(|settle| settle <= LONGEST), "settle", "at most a year")?;
        check_link(&self.link, "link")?;
        if let Err(error) = self.config().validate() {
            return Err(problem(format!("settings.{}", error.field), in_range(&error.reason)));
        }
        if let Some(workload) = &self.workload {
            require(workload.every >= Span::millis(1), "workload.every", "a millisecond or more")?;
            require(workload.keys >= 1, "workload.keys", "at least one key")?;
            require(workload.value_bytes <= 16_384, "workload.value_bytes", "0 to 16384 bytes")?;
        }
        if let Some(election) = &self.election
            && let Err(error) = election.config(self.nodes).validate()
        {
            return Err(problem(format!("election.{}", error.field), in_range(&error.reason)));
        }
        self.check_store()?;
        self.check_locks()?;
        self.check_traffic()?;
        if let Some(chaos) = &self.chaos {
            require(chaos.from < chaos.until, "chaos.until", "a time after `chaos.from`")?;
            require(chaos.faults <= 100_000, "chaos.faults", "at most 100000 faults")?;
            let newcomers = if chaos.may_join() { u64::from(chaos.faults) * chaos::MOST_NEWCOMERS } else { 0 };
            let fits = u64::from(self.nodes) + newcomers <= u64::from(MOST_NODES);
            require(fits, "chaos.faults", "so many that, if each brings three nodes, there are at most 100000")?;
            require(chaos.until <= LONGEST && chaos.longest <= LONGEST, "chaos.until", "at most a year")?;
        }
        if let Some(sabotage) = &self.sabotage {
            self.require_node(sabotage.node, "sabotage.node".to_owned())?;
        }
        (0..self.fault.len()).try_for_each(|index| self.check_fault(index))
    }

    fn check_store(&self) -> Result<(), Problem> {
        let Some(store) = &self.store else { return Ok(()) };
        require(store.every >= Span::millis(1), "store.every", "a millisecond or more")?;
        require((1..=100_000).contains(&store.keys), "store.keys", "1 to 100000 keys")?;
        require(store.value_bytes <= 16_384, "store.value_bytes", "0 to 16384 bytes")?;
        require((Span::millis(1)..=LONGEST).contains(&store.ttl), "store.ttl", "a millisecond to a year")?;
        let every = store.snapshots.is_none_or(|every| (Span::secs(1)..=LONGEST).contains(&every));
        require(every, "store.snapshots", "a second to a year")?;
        match store.config().validate(&self.config()) {
            Ok(()) => Ok(()),
            Err(error) => Err(problem(format!("store.{}", error.field), in_range(&error.reason))),
        }
    }

    fn check_locks(&self) -> Result<(), Problem> {
        let Some(locks) = &self.locks else { return Ok(()) };
        require(locks.every >= Span::millis(1), "locks.every", "a millisecond or more")?;
        require((1..=1_000).contains(&locks.keys), "locks.keys", "1 to 1000 keys")?;
        require(locks.patience <= LONGEST, "locks.patience", "at most a year")?;
        let config = locks.config();
        if let Err(error) = config.validate() {
            return Err(problem(format!("locks.{}", error.field), in_range(&error.reason)));
        }
        let Some(election) = &self.election else { return Err(problem("locks", "a table `election` beside it")) };
        let election = election.config(self.nodes);
        let is_short = locks.longest(election.max_drift_ppm) <= election.bury;
        require(is_short, "locks.max_ttl", "a span that is over by every clock within `bury` of the election")
    }

    fn check_traffic(&self) -> Result<(), Problem> {
        for (tag, select) in &self.tags {
            let path = format!("tags.{tag}");
            require((1..=Tags::LONGEST).contains(&tag.len()), &path, "a tag of 1 to 64 bytes")?;
            let is_known = match select {
                Select::List(list) => list.iter().all(|&node| self.may_be(node)),
                Select::Count(count) => *count <= self.nodes,
                Select::Range(_, end) => *end <= self.nodes,
                Select::All | Select::Share(_) => true,
            };
            require(is_known, path, self.known_nodes())?;
        }
        require(self.tags.len() <= Tags::MOST, "tags", "at most 64 tags")?;
        for entry in self.traffic() {
            let path = entry.path();
            let rhythm = self.rhythm(entry);
            require(rhythm.every > Span::ZERO, format!("{path}.every"), "a span longer than nothing")?;
            self.check_nodes(rhythm.from, format!("{path}.from"))?;
        }
        let most = self.config().max_payload() as u32;
        for (index, broadcasts) in self.broadcast.iter().enumerate() {
            let path = format!("broadcast[{index}]");
            require(broadcasts.bytes <= most, format!("{path}.bytes"), format!("0 to {most} bytes"))?;
            let is_known = broadcasts.tag.as_ref().is_none_or(|tag| self.tags.contains_key(tag));
            require(is_known, format!("{path}.tag"), "one of the tags listed in `tags`")?;
        }
        let sizes = NUMBERED..=most;
        let expected = format!("{NUMBERED} to {most} bytes");
        for (index, directs) in self.direct.iter().enumerate() {
            require(sizes.contains(&directs.bytes), format!("direct[{index}].bytes"), &expected)?;
        }
        for (index, requests) in self.request.iter().enumerate() {
            let path = format!("request[{index}]");
            require(sizes.contains(&requests.bytes), format!("{path}.bytes"), &expected)?;
            require(sizes.contains(&requests.answer_bytes), format!("{path}.answer_bytes"), &expected)?;
            let deadline = (Span::millis(10)..=Span::secs(3_600)).contains(&requests.deadline);
            require(deadline, format!("{path}.deadline"), "10 ms to 1 h")?;
            let shares = requests.late.value() + requests.refused.value() + requests.ignored.value();
            require(shares <= 1.0, format!("{path}.late"), "`late`, `refused` and `ignored` of 1 at most together")?;
        }
        for (kind, count) in [("broadcast", self.broadcast.len()), ("direct", self.direct.len())] {
            require(count <= MOST_ENTRIES, kind, format!("at most {MOST_ENTRIES} of them"))?;
        }
        require(self.request.len() <= MOST_ENTRIES, "request", format!("at most {MOST_ENTRIES} of them"))
    }

    fn check_fault(&self, index: usize) -> Result<(), Problem> {
        let fault = &self.fault[index];
        let base = format!("fault[{index}].do.{}", fault.action.name());
        let is_short = |span: Option<Span>| span.is_none_or(|span| span <= LONGEST);
        require(fault.at <= LONGEST, format!("fault[{index}].at"), "at most a year")?;
        require(is_short(fault.lasts), format!("fault[{index}].lasts"), "at most a year")?;
        require(is_short(fault.every), format!("fault[{index}].every"), "at most a year")?;
        if fault.lasts.is_none() {
            let may_last = matches!(
                fault.action,
                Action::Crash { .. }
                    | Action::Leave { .. }
                    | Action::Join { .. }
                    | Action::Twin { .. }
                    | Action::Clock { .. }
                    | Action::Impair { .. }
                    | Action::Rotate { .. }
            );
            require(may_last, format!("fault[{index}]"), "`lasts`, as this fault has to end")?;
        }
        for (key, select) in fault.action.selects() {
            self.check_select(select, &fault.action, format!("{base}.{key}"))?;
        }
        match &fault.action {
            Action::FlipFlop { nodes, open, closed, .. } => {
                self.check_rest(nodes, format!("{base}.nodes"))?;
                require(open.as_micros() >= 1_000, format!("{base}.open"), "a millisecond or more")?;
                require(closed.as_micros() >= 1_000, format!("{base}.closed"), "a millisecond or more")
            }
            Action::Split { groups } => {
                require(!groups.is_empty(), format!("{base}.groups"), "at least one group")?;
                self.check_groups(groups, &format!("{base}.groups"))
            }
            Action::Cut { from, to: None, .. } => self.check_rest(from, format!("{base}.from")),
            Action::Slow { burst, every, .. } => {
                let is_whole = burst.is_some() || every.is_none();
                require(is_whole, format!("{base}.every"), "`burst` beside it: how long of that they are slow")?;
                let fits = burst.is_none_or(|burst| every.is_some_and(|every| burst <= every));
                require(fits, format!("{base}.burst"), "a span that is not longer than `every`, which belongs to it")
            }
            Action::Clock { drift_ppm, leap, .. } => {
                require(leap.is_none_or(|leap| leap <= LONGEST), format!("{base}.leap"), "at most a year")?;
                let fits = drift_ppm.is_none_or(|ppm| (-500_000..=500_000).contains(&ppm));
                require(fits, format!("{base}.drift_ppm"), "-500000 to 500000")
            }
            Action::Noise { per_second, .. } | Action::Outsider { per_second, .. } => {
                require((1..=100_000).contains(per_second), format!("{base}.per_second"), "1 to 100000 packets")
            }
            Action::Rotate { .. } => require(self.sealed, base, "`sealed = true` in the scenario: it has no keys"),
            Action::Impair { link, .. } => check_link(link, &format!("{base}.link")),
            _ => Ok(()),
        }
    }

    /// A cut has two sides.
    fn check_rest(&self, side: &Select, path: String) -> Result<(), Problem> {
        let is_all = match side {
            Select::All => true,
            Select::Share(share) => share.value() >= 1.0,
            Select::Count(count) => *count >= self.nodes,
            Select::Range(first, end) => *first == 0 && *end >= self.nodes,
            Select::List(list) => (0..self.nodes).all(|node| list.contains(&node)),
        };
        let may_grow = self.chaos.is_some() || self.fault.iter().any(|fault| fault.action.brings_newcomers());
        let expected = "some of the nodes: there has to be another side to be cut off from";
        require(!is_all || may_grow || self.nodes == 1, path, expected)
    }

    fn check_groups(&self, groups: &[Select], path: &str) -> Result<(), Problem> {
        let mut seen = BTreeSet::new();
        for (index, group) in groups.iter().enumerate() {
            self.check_rest(group, format!("{path}[{index}]"))?;
            let nodes: Vec<u32> = match group {
                Select::List(list) => list.clone(),
                Select::Range(first, end) => (*first..*end).collect(),
                Select::All | Select::Share(_) | Select::Count(_) => Vec::new(),
            };
            let is_new = nodes.iter().all(|&node| seen.insert(node));
            require(is_new, format!("{path}[{index}]"), "nodes that are in no other group")?;
        }
        Ok(())
    }

    fn check_select(&self, select: &Select, action: &Action, path: String) -> Result<(), Problem> {
        let is_empty = match select {
            Select::Count(count) => *count == 0,
            Select::List(list) => list.is_empty(),
            Select::Share(share) => share.is_zero(),
            Select::All | Select::Range(..) => false,
        };
        require(!is_empty, &path, "at least one node")?;
        if let Action::Twin { .. } = action {
            let is_one = matches!(select, Select::Count(1)) || matches!(select, Select::List(list) if list.len() == 1);
            require(is_one, &path, "one node: 1, or its number in a list")?;
        }
        let is_join = match action {
            Action::Join { .. } => true,
            Action::Twin { nodes, .. } => std::ptr::eq(select, nodes),
            _ => false,
        };
        match select {
            Select::List(list) if is_join => {
                let fits = list.iter().all(|&node| node >= self.nodes && node < MOST_NODES);
                require(fits, path, format!("numbers from {} on, which no node has yet", self.nodes))
            }
            Select::Count(count) if is_join => {
                require(*count <= MOST_NODES - self.nodes, path, "at most 100000 nodes in all")
            }
            _ if is_join => Err(problem(path, "a count of new nodes, or a list of numbers that no node has yet")),
            _ => self.check_nodes(select, path),
        }
    }

    /// Nodes that there are.
    fn check_nodes(&self, select: &Select, path: String) -> Result<(), Problem> {
        match select {
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

    /// Whether there is a node of this number, or may be once it is known which join.
    fn may_be(&self, node: u32) -> bool {
        let joins = self.fault.iter().filter(|fault| fault.action.brings_newcomers());
        let mut counted = joins.flat_map(|fault| fault.action.selects());
        let is_open = self.chaos.as_ref().is_some_and(chaos::Chaos::may_join)
            || counted.any(|(key, select)| key == "nodes" && matches!(select, Select::Count(_)));
        (is_open && node < MOST_NODES) || self.require_node(node, String::new()).is_ok()
    }

    fn require_node(&self, node: u32, path: String) -> Result<(), Problem> {
        let newcomers = self.fault.iter().filter(|fault| fault.action.brings_newcomers());
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

fn check_link(link: &Link, path: &str) -> Result<(), Problem> {
    if let Some((key, expected)) = link.latency.as_ref().and_then(crate::link::Latency::problem) {
        return Err(problem(format!("{path}.latency.{key}"), expected));
    }
    let is_short = link.latency.as_ref().is_none_or(|latency| latency.worst() <= LONGEST.as_micros());
    require(is_short, format!("{path}.latency"), "at most a year")?;
    require(link.rate != Some(0), format!("{path}.rate"), "1 byte a second or more")?;
    require(link.mtu.is_none_or(|mtu| mtu >= SMALLEST_MTU), format!("{path}.mtu"), "68 bytes or more")
}

/// "1ms to 250ms", from what the core says.
fn in_range(reason: &str) -> String {
    match reason.split_once(" is out of range, ") {
        Some((_, range)) => range.trim_start_matches("expected ").to_owned(),
        None => reason.replace("expected ", ""),
    }
}

fn require(holds: bool, path: impl Into<String>, expected: impl Into<String>) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(problem(path, expected)) }
}

fn problem(path: impl Into<String>, expected: impl Into<String>) -> Problem {
    Problem { path: path.into(), expected: expected.into() }
}
