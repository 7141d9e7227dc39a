//! Faults begin and end.

use crate::facts::Status;
use crate::fault::{Action, Comeback};
use crate::host::Slowness;
use crate::link::Path;
use crate::partition::NodeSet;
use crate::queue::Class;
use crate::scenario::{Select, Span};
use crate::trace;
use crate::world::send::{Impairment, WORLD};
use crate::world::{What, World};

/// The nodes of a choice that has been made.
fn nodes_of(select: &Select) -> Vec<u32> {
    match select {
        Select::List(nodes) => nodes.clone(),
        // Expansion leaves nothing but lists.
        _ => Vec::new(),
    }
}

impl World {
    pub(super) fn begin(&mut self, fault: u32) {
        let entry = self.scenario.fault[fault as usize].clone();
        self.note_fault(fault, true, entry.action.name());
        match entry.action {
            Action::Crash { nodes, .. } => {
                for host in nodes_of(&nodes) {
                    self.stop(host, Status::Crashed);
                }
            }
            Action::Leave { nodes, .. } => self.leave_all(&nodes_of(&nodes)),
            Action::Join { nodes } => {
                for host in nodes_of(&nodes) {
                    if self.facts.person(host).status == Status::Absent {
                        self.start_and_join(host);
                    }
                }
            }
            Action::Pause { nodes } => {
                for host in nodes_of(&nodes) {
                    let person = &mut self.facts.people[host as usize];
                    person.pauses += 1;
                    person.was_held_up = true;
                }
            }
            Action::Slow { nodes, delay, burst, every } => {
                let pattern = burst.zip(every).map(|(burst, every)| (burst.as_micros(), every.as_micros()));
                let slowness = Slowness { fault, delay: delay.as_micros(), pattern, since: self.facts.now };
                for host in nodes_of(&nodes) {
                    self.hosts[host as usize].slow.push(slowness);
                    let person = &mut self.facts.people[host as usize];
                    person.slowed += 1;
                    person.was_held_up = true;
                }
            }
            Action::Clock { nodes, wall, leap, drift_ppm } => {
                for host in nodes_of(&nodes) {
                    self.spoil_clock(host, wall.map_or(0, crate::scenario::SignedSpan::as_micros), leap, drift_ppm);
                }
            }
            Action::Noise { .. } => self.queue.push(self.facts.now, Class::Fault, What::Noise { fault }),
            Action::Split { .. } | Action::Cut { .. } | Action::FlipFlop { .. } | Action::Impair { .. } => {
                self.spoil_links(fault, &entry.action);
            }
        }
        if let Some(lasts) = entry.lasts {
            self.facts.faults_active += 1;
            self.queue.push(self.facts.now + lasts.as_micros(), Class::Fault, What::End { fault });
        }
    }

    fn spoil_links(&mut self, fault: u32, action: &Action) {
        let nodes = self.len();
        let without = |set: &NodeSet| -> NodeSet { (0..nodes).filter(|&node| !set.contains(node)).collect() };
        match action {
            Action::Split { groups } => {
                for group in groups {
                    let group: NodeSet = nodes_of(group).into_iter().collect();
                    let rest = without(&group);
                    self.facts.cuts.close(fault, group, rest, true);
                }
            }
            Action::Cut { from, to, one_way } => {
                let from: NodeSet = nodes_of(from).into_iter().collect();
                let to = to.as_ref().map_or_else(|| without(&from), |to| nodes_of(to).into_iter().collect());
                self.facts.cuts.close(fault, from, to, !one_way);
            }
            Action::FlipFlop { .. } => {
                self.queue.push(self.facts.now, Class::Fault, What::Flip { fault, closes: true });
            }
            Action::Impair { nodes, with, link } => {
                let impairment = Impairment {
                    nodes: nodes_of(nodes).into_iter().collect(),
                    with: with.as_ref().map(|with| nodes_of(with).into_iter().collect()),
                    path: Path::new(link),
                };
                self.impairments.insert(fault, impairment);
                if self.scenario.fault[fault as usize].lasts.is_none() {
                    self.facts.link_is_harmful = true;
                }
            }
            _ => {}
        }
    }

    pub(super) fn end(&mut self, fault: u32) {
        let entry = self.scenario.fault[fault as usize].clone();
        self.note_fault(fault, false, entry.action.name());
        self.facts.faults_active -= 1;
        match entry.action {
            Action::Crash { nodes, back_as } => self.start_again(&nodes_of(&nodes), back_as),
            Action::Leave { nodes, back_as } => {
                let nodes = nodes_of(&nodes);
                let leaving = |host: &&u32| self.facts.person(**host).departure.is_some();
                let nodes: Vec<u32> = nodes.iter().filter(leaving).copied().collect();
                for &host in &nodes {
                    self.stop(host, Status::Left);
                }
                self.start_again(&nodes, back_as);
            }
            Action::Pause { nodes } => {
                for host in nodes_of(&nodes) {
                    let person = &mut self.facts.people[host as usize];
                    person.pauses -= 1;
                    if person.pauses == 0 {
                        self.resume(host);
                    }
                }
            }
            Action::Slow { nodes, .. } => {
                for host in nodes_of(&nodes) {
                    self.hosts[host as usize].slow.retain(|slow| slow.fault != fault);
                    self.facts.people[host as usize].slowed -= 1;
                }
            }
            Action::Clock { nodes, .. } => {
                for host in nodes_of(&nodes) {
                    self.spoil_clock(host, 0, None, Some(0));
                }
            }
            Action::Split { .. } | Action::Cut { .. } | Action::FlipFlop { .. } => self.facts.cuts.open(fault),
            Action::Impair { .. } => {
                self.impairments.remove(&fault);
            }
            Action::Join { .. } | Action::Noise { .. } => {}
        }
    }

    fn start_again(&mut self, nodes: &[u32], back_as: Comeback) {
        for &host in nodes {
            if matches!(self.facts.person(host).status, Status::Crashed | Status::Left) {
                self.come_back(host, back_as);
            }
        }
    }

    fn leave_all(&mut self, nodes: &[u32]) {
        for &host in nodes {
            if self.facts.person(host).runs() && self.facts.person(host).departure.is_none() {
                self.plant_before_leaving(host);
                self.begin_departure(host);
            }
        }
    }

    fn spoil_clock(&mut self, host: u32, wall_us: i64, leap: Option<Span>, drift_ppm: Option<i32>) {
        let now = self.facts.now;
        let state = &mut self.hosts[host as usize];
        state.clock.shift_wall(wall_us);
        if let Some(leap) = leap {
            state.clock.leap(now, leap.as_micros());
            state.clock.shift_wall(i64::try_from(leap.as_micros()).unwrap_or(0));
        }
        if let Some(ppm) = drift_ppm {
            state.clock.drift(now, ppm);
        }
        self.facts.people[host as usize].was_held_up |= leap.is_some();
        // After a leap the deadline may lie in the past; nobody is late but the clock.
        state.armed = u64::MAX;
        self.arm(host);
        let state = &mut self.hosts[host as usize];
        state.deadline = state.deadline.max(now);
    }

    /// A flip-flop closes or opens.
    pub(super) fn flip(&mut self, fault: u32, closes: bool) {
        let entry = &self.scenario.fault[fault as usize];
        let Action::FlipFlop { nodes, open, closed, one_way } = &entry.action else { return };
        let end = entry.at.as_micros() + entry.lasts.map_or(0, Span::as_micros);
        if self.facts.now >= end {
            return;
        }
        let (wait, one_way) = (if closes { *closed } else { *open }, *one_way);
        if closes {
            let flipping: NodeSet = nodes_of(nodes).into_iter().collect();
            let rest: NodeSet = (0..self.len()).filter(|&node| !flipping.contains(node)).collect();
            self.facts.cuts.close(fault, rest, flipping, !one_way);
        } else {
            self.facts.cuts.open(fault);
        }
        let next = What::Flip { fault, closes: !closes };
        self.queue.push(self.facts.now + wait.as_micros(), Class::Fault, next);
    }

    pub(super) fn make_noise(&mut self, fault: u32) {
        let entry = &self.scenario.fault[fault as usize];
        let Action::Noise { nodes, per_second } = &entry.action else { return };
        let end = entry.at.as_micros() + entry.lasts.map_or(0, Span::as_micros);
        if self.facts.now >= end {
            return;
        }
        let wait = 1_000_000 / u64::from(*per_second);
        for host in nodes_of(nodes) {
            self.send_garbage(host);
        }
        self.queue.push(self.facts.now + wait.max(1), Class::Fault, What::Noise { fault });
    }

    fn note_fault(&mut self, fault: u32, begins: bool, name: &'static str) {
        self.facts.disturbed = Some(self.facts.now);
        self.trace.note(self.facts.now, WORLD, trace::FAULT, u64::from(fault) << 1 | u64::from(begins));
        if self.trace.is_told() {
            let verb = if begins { "begins" } else { "ends" };
            self.trace.tell(self.facts.now, format_args!("fault {fault} ({name}) {verb}"));
        }
    }
}
