//! Faults begin and end.

use crate::facts::Status;
use crate::fault::{Action, Comeback};
use crate::hardship::ROUGH;
use crate::host::{Coming, Slowness};
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
                    self.hold_down(host);
                    self.stop(host, Status::Crashed);
                }
            }
            Action::Leave { nodes, .. } => {
                for host in nodes_of(&nodes) {
                    self.hold_down(host);
                    self.leave(host);
                }
            }
            Action::Twin { nodes, of } => {
                if let (Some(&host), Some(&of)) = (nodes_of(&nodes).first(), nodes_of(&of).first()) {
                    self.start_twin(host, of);
                }
            }
            Action::Join { nodes } => {
                for host in nodes_of(&nodes) {
                    if self.facts.person(host).status == Status::Absent {
                        self.start_unless_paused(host, Coming::New);
                    }
                }
            }
            Action::Pause { nodes } => {
                for host in nodes_of(&nodes) {
                    let person = &mut self.facts.people[host as usize];
                    person.pauses += 1;
                    person.was_held_up = true;
                    self.oracles.stores.paused(&self.facts, host);
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
                    let state = &mut self.hosts[host as usize];
                    state.drifts.extend(drift_ppm.map(|ppm| (fault, ppm)));
                    self.spoil_clock(host, wall.map_or(0, crate::scenario::SignedSpan::as_micros), leap);
                }
            }
            Action::Rotate { nodes, step, key } => {
                for host in nodes_of(&nodes) {
                    self.rotate(host, step, key);
                }
            }
            Action::Outsider { sees, .. } => self.let_outsiders_in(fault, sees.as_ref()),
            Action::Noise { .. } => self.queue.push(self.facts.now, Class::Fault, What::Noise { fault }),
            Action::Split { .. } | Action::Cut { .. } | Action::FlipFlop { .. } | Action::Impair { .. } => {
                self.spoil_links(fault, &entry.action);
            }
        }
        if let Some(lasts) = entry.lasts {
            self.facts.faults_active += 1;
            self.queue.push(self.facts.now + lasts.as_micros(), Class::Fault, What::End { fault });
        }
        self.look_for_trouble();
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
                    self.facts.link_is_harmful |= link.is_harmful();
                    self.facts.link_is_rough |= link.worst_loss() > ROUGH;
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
                for &host in &nodes {
                    if self.facts.person(host).departure.is_some() {
                        self.stop(host, Status::Left);
                    }
                }
                self.start_again(&nodes, back_as);
            }
            Action::Twin { nodes, .. } => {
                for host in nodes_of(&nodes) {
                    self.stop(host, Status::Crashed);
                }
            }
            Action::Pause { nodes } => {
                for host in nodes_of(&nodes) {
                    let person = &mut self.facts.people[host as usize];
                    person.pauses -= 1;
                    if person.pauses == 0 {
                        self.go_on(host);
                    }
                }
            }
            Action::Slow { nodes, .. } => {
                for host in nodes_of(&nodes) {
                    let state = &mut self.hosts[host as usize];
                    state.slow.retain(|slow| slow.fault != fault);
                    let busy_until = if state.is_reading { state.busy_until } else { 0 };
                    let person = &mut self.facts.people[host as usize];
                    person.slowed -= 1;
                    person.held_up_until = self.facts.now.max(busy_until);
                }
            }
            Action::Clock { nodes, .. } => {
                for host in nodes_of(&nodes) {
                    self.hosts[host as usize].drifts.retain(|&(of, _)| of != fault);
                    self.spoil_clock(host, 0, None);
                }
            }
            Action::Split { .. } | Action::Cut { .. } | Action::FlipFlop { .. } => {
                self.facts.cuts.open(self.facts.now, fault);
            }
            Action::Impair { .. } => {
                self.impairments.remove(&fault);
            }
            Action::Outsider { .. } => self.outsiders.end(fault),
            Action::Join { .. } | Action::Noise { .. } | Action::Rotate { .. } => {}
        }
        self.look_for_trouble();
    }

    /// A fault keeps the node of a machine from running, until it ends; so may others.
    fn hold_down(&mut self, host: u32) {
        self.facts.people[host as usize].downs += 1;
        self.hosts[host as usize].postponed.start = None;
    }

    fn start_again(&mut self, nodes: &[u32], back_as: Comeback) {
        for &host in nodes {
            let person = &mut self.facts.people[host as usize];
            person.downs -= 1;
            if person.downs == 0 && matches!(person.status, Status::Crashed | Status::Left) {
                self.start_unless_paused(host, Coming::Back(back_as));
            }
        }
    }

    /// Starts a node, or starts it again; on a machine that stands still this has to wait.
    fn start_unless_paused(&mut self, host: u32, coming: Coming) {
        if self.facts.person(host).pauses > 0 {
            self.hosts[host as usize].postponed.start = Some(coming);
            return;
        }
        match coming {
            Coming::New => self.start_and_join(host),
            Coming::Back(back_as) => self.come_back(host, back_as),
        }
    }

    /// The node of a machine leaves, as soon as the machine does not stand still.
    fn leave(&mut self, host: u32) {
        let person = self.facts.person(host);
        if !person.runs() || person.departure.is_some() {
            return;
        }
        if person.pauses > 0 {
            self.hosts[host as usize].postponed.leave = true;
            return;
        }
        self.plant_before_leaving(host);
        self.begin_departure(host);
    }

    /// A machine goes on after a pause, and does what was asked of it meanwhile.
    fn go_on(&mut self, host: u32) {
        let held_up_until = &mut self.facts.people[host as usize].held_up_until;
        *held_up_until = self.facts.now.max(*held_up_until);
        self.resume(host);
        let postponed = std::mem::take(&mut self.hosts[host as usize].postponed);
        if let Some(coming) = postponed.start {
            self.start_unless_paused(host, coming);
        }
        if postponed.leave {
            self.leave(host);
        }
    }

    fn spoil_clock(&mut self, host: u32, wall_us: i64, leap: Option<Span>) {
        self.oracles.leaders.clocks_were_wrong |= wall_us != 0 || leap.is_some();
        let now = self.facts.now;
        let state = &mut self.hosts[host as usize];
        state.clock.shift_wall(wall_us);
        if let Some(leap) = leap {
            state.clock.leap(now, leap.as_micros());
            state.clock.shift_wall(i64::try_from(leap.as_micros()).unwrap_or(0));
        }
        // The last fault that makes a clock drift decides.
        state.clock.drift(now, state.drifts.last().map_or(0, |&(_, ppm)| ppm));
        if leap.is_some() {
            let person = &mut self.facts.people[host as usize];
            // It may be at work still on what came while it was slow.
            (person.was_held_up, person.held_up_until) = (true, now.max(person.held_up_until));
        }
        // After a leap the deadline may lie in the past; nobody is late but the clock.
        state.armed = u64::MAX;
        self.oracles.locks.clock_changed(now, host, &state.clock);
        self.arm(host);
        let state = &mut self.hosts[host as usize];
        state.deadline = state.deadline.max(now);
        self.arm_app(host);
        if leap.is_some() {
            self.note_leap(host);
        }
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
            self.facts.cuts.open(self.facts.now, fault);
        }
        self.look_for_trouble();
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
