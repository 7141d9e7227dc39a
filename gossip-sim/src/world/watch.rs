//! What is looked at every second: whether the nodes agree, and what nobody tells.

use gossip_core::{Event, Phase};

use crate::facts::Status;
use crate::fault::Action;
use crate::oracle::agreement;
use crate::queue::Class;
use crate::sabotage::Bug;
use crate::world::{Addr, What, World};

/// Time between two looks, in microseconds.
pub(super) const INTERVAL: u64 = 1_000_000;

/// Time between two looks while an agreement is awaited, in microseconds.
const CLOSE_INTERVAL: u64 = 100_000;

impl World {
    pub(super) fn watch(&mut self) {
        self.queue.push(self.facts.now + INTERVAL, Class::Watch, What::Watch);
        if self.oracles.agreement.is_awaited(&self.facts, self.last_change()) {
            self.queue.push(self.facts.now + CLOSE_INTERVAL, Class::Watch, What::Look);
        }
        self.plant();
        self.look_for_trouble();
        self.check_led();
        self.look_at_stores();
        self.look_at_locks();
        self.oracles.check(&self.facts);
        if (self.facts.now / INTERVAL).is_multiple_of(10) {
            self.check_counters();
        }
        self.check_agreement(false);
        let nodes = self.hosts.iter().filter_map(|host| host.node.as_ref());
        self.metrics.sample(&self.facts, nodes);
        self.compare_with_mirror();
    }

    /// Whether the nodes agree now, and if they should but do not, a failure.
    pub(crate) fn check_agreement(&mut self, thorough: bool) {
        let worked = self.last_change();
        if !self.oracles.agreement.is_due(&self.facts, worked) && !thorough {
            return;
        }
        // A node that has lost its id to another one does not look after its suspicions.
        let is_quiet = |host: &u32| self.node(*host).is_some_and(|node| node.phase() == Phase::Contested);
        let suspicions = self.metrics.suspicions(&self.facts.doubled.iter().filter(is_quiet).collect());
        let hosts = self.hosts.iter().map(|host| host.node.as_ref());
        let look = agreement::look(&self.facts, hosts, suspicions, thorough);
        if let Some((oracle, message)) = self.oracles.agreement.looked(&self.facts, look, worked) {
            self.oracles.report(&self.facts, oracle, None, message);
        }
    }

    /// Looks more often while an agreement is awaited, so that its beginning is known.
    pub(super) fn look_closely(&mut self) {
        if self.oracles.agreement.is_awaited(&self.facts, self.last_change()) {
            self.check_agreement(false);
        }
        let next = self.facts.now + CLOSE_INTERVAL;
        if !next.is_multiple_of(INTERVAL) {
            self.queue.push(next, Class::Watch, What::Look);
        }
    }

    /// When metadata was changed last; never, as long as it is being changed.
    pub(crate) fn last_change(&self) -> u64 {
        let ends = self.workload_ends();
        if ends > self.facts.now { u64::MAX } else { ends }
    }

    /// Whether faults make the ways from and to a machine so long that probes may end before answers come.
    fn is_far(&self, host: u32) -> bool {
        let struck = self.impairments.iter().filter(|(_, impairment)| impairment.strikes(host));
        let delays = struck.map(|(&fault, _)| match &self.scenario.fault[fault as usize].action {
            Action::Impair { link, .. } => link.worst_delay(),
            _ => 0,
        });
        2 * (delays.sum::<u64>() + self.facts.worst_latency) > self.facts.config.probe_timeout.as_micros() as u64
    }

    /// Takes note of who has a hard time.
    pub(super) fn look_for_hardship(&mut self) {
        for host in 0..self.len() {
            // Whoever found its id taken, as by its own past after its clock went back, says nothing for a while.
            let is_quiet = self.node(host).is_some_and(|node| node.phase() == Phase::Contested);
            let is_hard = is_quiet || self.facts.fares_badly(host, self.loss_of(host)) || self.is_far(host);
            self.facts.hardship.note(self.facts.now, host, is_hard);
        }
    }

    /// When the last fault of the scenario is over, as far as is known from the timeline.
    pub(crate) fn faults_end(&self) -> u64 {
        let end = |fault: &crate::fault::Fault| {
            fault.at.as_micros() + fault.lasts.map_or(0, crate::scenario::Span::as_micros)
        };
        self.scenario.fault.iter().map(end).max().unwrap_or(0)
    }

    /// When the workload changes something for the last time.
    pub(crate) fn workload_ends(&self) -> u64 {
        let Some(workload) = &self.scenario.workload else { return 0 };
        let faults = self.faults_end();
        let natural = if faults == 0 { self.scenario.duration.as_micros() } else { faults };
        workload.until.map_or(natural, crate::scenario::Span::as_micros)
    }

    pub(super) fn do_work(&mut self) {
        let Some(workload) = self.scenario.workload.clone() else { return };
        let now = self.facts.now;
        if now >= self.workload_ends() {
            return;
        }
        self.queue.push(now + workload.every.as_micros(), Class::Watch, What::Work);
        let host = self.work.below(self.hosts.len() as u64) as usize;
        let key = format!("key{}", self.work.below(u64::from(workload.keys)));
        let removes = self.work.below(8) == 0;
        let number = self.work.next();
        let person = &self.facts.people[host];
        if !person.runs() || person.pauses > 0 {
            return;
        }
        let state = &mut self.hosts[host];
        let local = state.clock.read(now);
        let Some(node) = &mut state.node else { return };
        let mut value = number.to_le_bytes().repeat(workload.value_bytes as usize / 8 + 1);
        value.truncate(workload.value_bytes as usize);
        let result = if removes {
            node.remove_metadata(local, &key).map(|_| ())
        } else {
            node.set_metadata(local, &key, value.as_slice())
        };
        debug_assert!(result.is_ok() || node.phase() != Phase::Active, "the workload stays within the limits");
        self.settle(host as u32);
    }

    /// Counters that only grow when something is wrong.
    fn check_counters(&mut self) {
        for (host, state) in self.hosts.iter().enumerate() {
            let Some(node) = &state.node else { continue };
            let stats = node.stats();
            self.oracles.counters(&self.facts, host as u32, &stats, node.row_count());
        }
    }

    /// Brings the planted bug about once its time has come.
    pub(super) fn plant(&mut self) {
        let Some(sabotage) = self.scenario.sabotage.clone() else { return };
        if self.facts.now < sabotage.after.as_micros() {
            return;
        }
        let host = sabotage.node;
        let runs = self.facts.person(host).runs();
        let someone_died = || self.facts.people.iter().any(|person| person.status == Status::Crashed);
        match sabotage.bug {
            Bug::KeepsItselfDead => self.sabotaged |= runs && self.metrics.was_declared_dead(host),
            Bug::LeavesSilently => {}
            Bug::ForgetsTheDead if !self.sabotaged => {
                let knows = |node: &gossip_core::Node<Addr>| {
                    node.members().any(|member| member.state == gossip_core::MemberState::Dead)
                };
                if runs && someone_died() && self.node(host).is_some_and(knows) {
                    self.sabotaged = true;
                    self.swap_for_forgetful(host);
                }
            }
            Bug::Stalls if runs => {
                // Nine seconds of every ten, without anybody being told.
                let stands = !(self.facts.now / INTERVAL).is_multiple_of(10);
                self.stand_still(host, stands);
            }
            Bug::NeverSettles if runs => {
                let state = &mut self.hosts[host as usize];
                let local = state.clock.read(self.facts.now);
                if let Some(node) = &mut state.node {
                    let changed = node.set_metadata(local, "restless", self.facts.now as i64);
                    debug_assert!(changed.is_ok() || node.phase() != Phase::Active, "a number fits: {changed:?}");
                    self.settle(host);
                }
            }
            Bug::Panics => {
                assert!(!runs || self.metrics.suspicions_of(host) == 0, "the planted bug: node {host} was suspected");
            }
            _ => self.sabotaged = true,
        }
    }

    fn stand_still(&mut self, host: u32, stands: bool) {
        let was = std::mem::replace(&mut self.sabotaged, stands);
        let pauses = &mut self.facts.people[host as usize].pauses;
        if stands && !was {
            *pauses += 1;
        } else if was && !stands {
            *pauses -= 1;
            self.resume(host);
        }
    }

    /// The bug that strikes at the moment of leaving.
    pub(super) fn plant_before_leaving(&mut self, host: u32) {
        if self.scenario.sabotage.as_ref().is_some_and(|it| it.bug == Bug::LeavesSilently && it.node == host) {
            self.sabotaged = true;
        }
    }

    /// What a planted bug makes of an event.
    pub(super) fn spoil(&mut self, host: u32, event: Event<Addr>) -> Event<Addr> {
        let Some(sabotage) = self.scenario.sabotage.as_ref().filter(|it| it.node == host && self.sabotaged) else {
            return event;
        };
        match (sabotage.bug, event) {
            (Bug::ReportsBackwards, Event::Member(mut change)) => {
                let incarnation = &mut change.member.incarnation;
                incarnation.refutations = u32::MAX - incarnation.refutations;
                Event::Member(change)
            }
            (Bug::SwallowsAnswers, Event::JoinAccepted { .. } | Event::JoinFailed { .. }) => Event::Missed { count: 0 },
            (_, event) => event,
        }
    }
}
