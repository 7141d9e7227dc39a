//! From "a tenth of the nodes" to the numbers of the nodes: after this a timeline means the same whatever is taken
//! out of it, which is what shrinking needs.

use crate::fault::{Action, Fault};
use crate::random::{Purpose, Random};
use crate::scenario::{Scenario, Select, Span};

impl Scenario {
    /// The same with every random choice made as `seed` makes it: no chaos, no shares and counts, no repetitions.
    #[must_use]
    pub fn expanded(&self, seed: u64) -> Self {
        let mut faults = self.fault.clone();
        if let Some(chaos) = &self.chaos {
            faults.extend(chaos.draw(&mut Random::new(seed, Purpose::Faults), self.nodes));
        }
        let mut next_newcomer = self.nodes;
        let mut expanded = Vec::new();
        for (number, mut fault) in faults.into_iter().enumerate() {
            let mut random = Random::keyed(seed, Purpose::Faults, number as u64 + 1);
            resolve(&mut fault.action, &mut random, self.nodes, &mut next_newcomer);
            spread(fault, &mut expanded);
        }
        expanded.sort_by_key(|fault| fault.at);
        let mut scenario = Self { fault: expanded, chaos: None, ..self.clone() };
        if let Some(locks) = &mut scenario.locks {
            locks.draw(seed);
        }
        scenario.choose_senders(seed);
        scenario
    }

    /// Who has which tag, and who sends.
    fn choose_senders(&mut self, seed: u64) {
        let (nodes, machines) = (self.nodes, self.machines());
        let tags = self.tags.values_mut().map(|select| (select, machines));
        let broadcasts = self.broadcast.iter_mut().map(|entry| (&mut entry.from, nodes));
        let directs = self.direct.iter_mut().map(|entry| (&mut entry.from, nodes));
        let requests = self.request.iter_mut().map(|entry| (&mut entry.from, nodes));
        let all = tags.chain(broadcasts).chain(directs).chain(requests);
        for (number, (select, nodes)) in all.enumerate() {
            // All stays all: newcomers are among them.
            if *select != Select::All {
                let mut free: Vec<u32> = (0..nodes).collect();
                Random::keyed(seed, Purpose::Messages, number as u64 + 1).shuffle(&mut free);
                *select = Select::List(chosen(select, &free, &[]));
            }
        }
    }
}

fn resolve(action: &mut Action, random: &mut Random, nodes: u32, next_newcomer: &mut u32) {
    if let Action::Join { nodes: newcomers } | Action::Twin { nodes: newcomers, .. } = action {
        if let Select::Count(count) = *newcomers {
            *newcomers = Select::List((*next_newcomer..*next_newcomer + count).collect());
        }
        if let Select::List(list) = newcomers {
            *next_newcomer = list.iter().map(|&node| node + 1).fold(*next_newcomer, u32::max);
        }
        if let Action::Twin { of, .. } = action {
            let mut free: Vec<u32> = (0..nodes).collect();
            random.shuffle(&mut free);
            *of = Select::List(chosen(of, &free, &[]));
        }
        return;
    }
    let is_split = matches!(action, Action::Split { .. });
    let mut free: Vec<u32> = (0..nodes).collect();
    random.shuffle(&mut free);
    let mut taken: Vec<u32> = Vec::new();
    for select in action.selects_mut() {
        // A second choice of the same action draws from what the first left over.
        let is_whole = matches!(select, Select::All) && !is_split;
        let chosen = chosen(select, &free, if is_whole { &[] } else { &taken });
        taken.extend_from_slice(&chosen);
        *select = Select::List(chosen);
    }
    if let Action::Split { groups } = action {
        groups.retain(|group| *group != Select::List(Vec::new()));
    }
}

/// The nodes of a choice: a share or a count is taken from the first of `free` that are not in `taken`.
fn chosen(select: &Select, free: &[u32], taken: &[u32]) -> Vec<u32> {
    let nodes = free.len() as u32;
    let count = match select {
        Select::Range(first, end) => return (*first..*end).collect(),
        Select::List(list) => return list.clone(),
        Select::All => nodes,
        Select::Share(share) if share.is_zero() => 0,
        Select::Share(share) => {
            // A share like 0.29 is a little less than it says.
            ((f64::from(nodes) * share.value() + 1e-6) as u32).max(1)
        }
        Select::Count(count) => *count,
    };
    let mut chosen: Vec<u32> = free.iter().copied().filter(|node| !taken.contains(node)).collect();
    chosen.truncate(count as usize);
    chosen.sort_unstable();
    chosen
}

/// One fault for each node where a fault strikes one after the other.
fn spread(fault: Fault, out: &mut Vec<Fault>) {
    let Some(every) = fault.every else {
        out.push(fault);
        return;
    };
    let nodes = match fault.action.selects().first() {
        Some((_, Select::List(nodes))) => nodes.clone(),
        _ => Vec::new(),
    };
    for (position, node) in nodes.into_iter().enumerate() {
        let mut one = Fault { every: None, ..fault.clone() };
        one.at = Span::micros(fault.at.as_micros() + every.as_micros() * position as u64);
        if let Some(select) = one.action.selects_mut().into_iter().next() {
            *select = Select::List(vec![node]);
        }
        out.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Comeback;
    use crate::scenario::Share;

    #[test]
    fn every_choice_is_made_and_the_same_seed_makes_the_same() {
        let share = Select::Share(Share::new(0.3).unwrap());
        let crash = Action::Crash { nodes: share, back_as: Comeback::Same };
        let split = Action::Split { groups: vec![Select::Count(3), Select::Count(3)] };
        let fault = |action| Fault { at: Span::secs(1), lasts: None, every: None, action };
        let mut scenario = Scenario::new("x", 10);
        scenario.fault = vec![fault(crash), fault(split), fault(Action::Join { nodes: Select::Count(2) })];
        scenario.fault[0].every = Some(Span::secs(2));
        let expanded = scenario.expanded(1);
        assert_eq!(expanded, scenario.expanded(1));
        assert_ne!(expanded, scenario.expanded(2));
        assert_eq!(expanded, expanded.expanded(9), "nothing is left to be chosen");
        let crashes: Vec<_> = expanded.fault.iter().filter(|fault| fault.action.name() == "crash").collect();
        assert_eq!(crashes.len(), 3);
        assert_eq!(crashes[2].at, Span::secs(5));
        let split = expanded.fault.iter().find(|fault| fault.action.name() == "split").unwrap();
        let groups: Vec<&Select> = split.action.selects().into_iter().map(|(_, select)| select).collect();
        let (Select::List(one), Select::List(other)) = (groups[0], groups[1]) else { panic!("lists") };
        assert!(one.len() == 3 && other.len() == 3 && one.iter().all(|node| !other.contains(node)));
        let join = expanded.fault.iter().find(|fault| fault.action.name() == "join").unwrap();
        assert_eq!(*join.action.selects()[0].1, Select::List(vec![10, 11]));
    }
}
