//! The same world without its outsiders, which runs beside it: whatever nodes do there they have to do here.

use gossip_core::{Backlog, Incarnation, Node, Phase};

use crate::fault::Action;
use crate::history::{Deed, History};
use crate::oracle::Oracle;
use crate::scenario::Span;
use crate::world::{Addr, What, World};

/// What a node has come to.
#[derive(Debug, PartialEq, Eq)]
struct Outlook {
    fingerprint: u64,
    live: usize,
    rows: usize,
    incarnation: Incarnation,
    phase: Phase,
    health: u32,
    backlog: Backlog,
}

impl World {
    /// Sets up the world to compare with, where there are outsiders.
    pub(super) fn set_up_mirror(&mut self) {
        if self.is_mirror || !self.has_outsiders() {
            return;
        }
        let Ok(mut mirror) = Self::with_apps(&self.scenario, self.seed, self.factory.clone()) else { return };
        mirror.is_mirror = true;
        mirror.trace.history.keep();
        self.trace.history.keep();
        mirror.populate();
        self.mirror = Some(Box::new(mirror));
    }

    /// Whether there are outsiders at some time.
    pub(crate) fn has_outsiders(&self) -> bool {
        self.scenario.fault.iter().any(|fault| matches!(fault.action, Action::Outsider { .. }))
    }

    /// Lets the mirror catch up with a look around of this world, and compares.
    pub(super) fn compare_with_mirror(&mut self) {
        let Some(mut mirror) = self.mirror.take() else { return };
        let now = self.facts.now;
        while mirror.step(now) {
            if mirror.facts.now == now && matches!(mirror.current, Some(What::Watch)) {
                break;
            }
        }
        if self.is_like(&mut mirror) {
            self.mirror = Some(mirror);
        } else {
            self.stop_comparing();
        }
    }

    /// From now on it cannot be told what would happen without outsiders.
    pub(super) fn stop_comparing(&mut self) {
        self.mirror = None;
        self.trace.history = History::default();
    }

    /// The same when nothing more happens at this moment.
    pub(crate) fn compare_at_the_end(&mut self) {
        let Some(mut mirror) = self.mirror.take() else { return };
        while mirror.step(self.facts.now) {}
        self.is_like(&mut mirror);
    }

    /// Whether nodes did the same in both worlds; the first difference is a failure, what follows from it is not.
    fn is_like(&mut self, mirror: &mut Self) -> bool {
        if let Some((here, there)) = self.trace.history.difference(&mut mirror.trace.history) {
            let first = [here, there].into_iter().flatten().min_by_key(|deed| deed.at);
            let (at, node) = first.map_or((self.facts.now, None), |deed| (deed.at, Some(deed.node)));
            let told = |deed: Option<Deed>| deed.map_or_else(|| "nothing more".to_owned(), |deed| deed.to_string());
            self.trace.tell(self.facts.now, format_args!("here {}; without outsiders {}", told(here), told(there)));
            self.report_difference(node, Span::micros(at));
            return false;
        }
        let differs =
            |host: &usize| outlook(self.hosts[*host].node.as_ref()) != outlook(mirror.hosts[*host].node.as_ref());
        let Some(host) = (0..self.hosts.len()).find(differs) else { return true };
        self.report_difference(Some(host as u32), Span::micros(self.facts.now));
        false
    }

    fn report_difference(&mut self, node: Option<u32>, at: Span) {
        let message = format!("what happens from {at} on would not happen without outsiders");
        self.oracles.report(&self.facts, Oracle::Harmless, node, message);
    }
}

fn outlook(node: Option<&Node<Addr>>) -> Option<Outlook> {
    let node = node?;
    Some(Outlook {
        fingerprint: node.fingerprint(),
        live: node.live_count(),
        rows: node.row_count(),
        incarnation: node.incarnation(),
        phase: node.phase(),
        health: node.health_score(),
        backlog: node.backlog(),
    })
}
