//! A world that is driven by hand: faults when one likes, and a hand on each node.

use gossip_core::{Instant, Node};

use crate::fault::{Action, Fault};
use crate::queue::Class;
use crate::scenario::{Problem, Select, Span};
use crate::world::{Addr, What, World};

impl World {
    /// Begins a fault now. `lasts` may only be left out where the fault may last for ever; nodes are listed.
    ///
    /// # Errors
    ///
    /// What is wrong with the fault: nodes that there are not, a missing end, or a choice that is left to chance.
    pub fn strike(&mut self, action: Action, lasts: Option<Span>) -> Result<(), Problem> {
        for (key, select) in action.selects() {
            if !matches!(select, Select::List(_)) {
                let expected = "a list of numbers, like [0, 4]".to_owned();
                return Err(Problem { path: format!("{}.{key}", action.name()), expected });
            }
        }
        let fault = Fault { at: self.now(), lasts, every: None, action };
        self.scenario.fault.push(fault);
        let newest = self.scenario.fault.len() - 1;
        let is_known = |node: &u32| (*node as usize) < self.hosts.len();
        let selects = self.scenario.fault[newest].action.selects();
        let mut nodes = selects.iter().filter_map(|(_, select)| match select {
            Select::List(nodes) => Some(nodes),
            _ => None,
        });
        let unknown =
            || Problem { path: "nodes".to_owned(), expected: "numbers of machines that there are".to_owned() };
        let checked =
            if nodes.all(|nodes| nodes.iter().all(is_known)) { self.scenario.check() } else { Err(unknown()) };
        if checked.is_err() {
            self.scenario.fault.pop();
            return checked;
        }
        self.stop_comparing();
        self.echoes = super::Echoes::new(&self.scenario);
        self.queue.push(self.facts.now, Class::Fault, What::Begin { fault: newest as u32 });
        Ok(())
    }

    /// Does something with the node on a machine, as its application would: the node is told the time of its own clock,
    /// and what follows from it happens. `None` if no node runs there, or the machine stands still.
    pub fn with_node<R>(&mut self, host: u32, act: impl FnOnce(&mut Node<Addr>, Instant) -> R) -> Option<R> {
        if self.facts.people.get(host as usize)?.pauses > 0 {
            return None;
        }
        self.stop_comparing();
        let state = self.hosts.get_mut(host as usize)?;
        let local = state.clock.read(self.facts.now);
        let result = act(state.node.as_mut()?, local);
        self.settle(host);
        Some(result)
    }
}
