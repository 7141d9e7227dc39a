//! Elections: who leads, as the world sees it.

use gossip_core::{ElectionChange, ElectionConfig, Event, Term};

use crate::election::NAME;
use crate::oracle::leaders::Leaders;
use crate::sabotage::Bug;
use crate::world::{Addr, World};

impl World {
    /// A node that has started takes part.
    pub(super) fn enter_election(&mut self, host: u32) {
        let Some(election) = &self.scenario.election else { return };
        let settings = election.config(self.scenario.nodes);
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        if let Some(node) = &mut state.node {
            node.enter_election(local, NAME, settings).expect("the scenario was checked, and the node is new");
        }
    }

    /// The machines whose nodes act as leader at this moment, each by its own clock.
    pub fn leaders(&self) -> Vec<(u32, Term)> {
        let leads = |host: u32| {
            let state = &self.hosts[host as usize];
            let node = state.node.as_ref()?;
            let own = self.oracles.leaders.own(host).filter(|_| self.has_bug(host, Bug::KeepsLeading));
            if let Some(term) = own {
                return Some((host, term));
            }
            Some((host, node.leads(state.clock.read(self.facts.now), NAME)?))
        };
        (0..self.len()).filter_map(leads).collect()
    }

    /// Nobody else may act as leader when one does.
    pub(super) fn check_leaders(&mut self, host: u32) {
        if self.scenario.election.is_none() {
            return;
        }
        let state = &self.hosts[host as usize];
        let is_one = state.node.as_ref().is_some_and(|node| node.leads_until(NAME).is_some());
        if is_one || self.sabotaged {
            let leaders = self.leaders();
            self.oracles.leaders.act(&leaders);
        }
    }

    /// Whether it is still to be seen that there is a leader.
    pub(crate) fn awaits_leader(&self) -> bool {
        let Some(election) = &self.scenario.election else { return false };
        Leaders::is_open(&self.facts, patience(&election.config(self.scenario.nodes)))
    }

    /// Whether all that run follow one leader, when it is time.
    pub(super) fn check_led(&mut self) {
        let Some(election) = &self.scenario.election else { return };
        let settings = election.config(self.scenario.nodes);
        let mut terms = Vec::new();
        let mut told = Vec::new();
        for (host, state) in self.hosts.iter().enumerate() {
            let Some(node) = &state.node else { continue };
            let status = node.election(state.clock.read(self.facts.now), NAME);
            terms
                .push(status.and_then(|status| status.leader).filter(|_| !self.has_bug(host as u32, Bug::HidesLeader)));
            told.extend(status.map(|status| (host, status)));
        }
        let is_led = terms.first().is_none_or(|first| first.is_some() && terms.iter().all(|term| term == first));
        // An electorate that lost its majority, to machines that are down or cannot be told from new ones, waits for an operator.
        let all_run = self.facts.people.iter().all(|person| person.runs() || person.twin_of.is_some());
        let is_enough = all_run && terms.len() >= settings.floor && !self.facts.has_strangers();
        self.oracles.leaders.check(&self.facts, is_led || !is_enough, patience(&settings), || format!("{told:?}"));
    }

    /// What a planted bug makes of word of an election.
    pub(super) fn spoil_election(&self, host: u32, event: Event<Addr>) -> Event<Addr> {
        match event {
            Event::Election { name, change: ElectionChange::BecameLeader { term } }
                if self.has_bug(host, Bug::RepeatsTerms) =>
            {
                let term = self.oracles.leaders.latest().unwrap_or(term);
                Event::Election { name, change: ElectionChange::BecameLeader { term } }
            }
            event => event,
        }
    }
}

/// How long an election may take once all agree on who is there, in microseconds.
pub(super) fn patience(settings: &ElectionConfig) -> u64 {
    (settings.lease * 6 + settings.steady * 2).as_micros() as u64
}
