//! Machines change their keys, and keep them when their nodes stop.

use gossip_core::{KeyRing, KeyRingError};

use crate::keys::{self, Step};
use crate::world::World;

impl World {
    /// The keys that a node starts with: those that its machine had last, or those of the cluster.
    pub(super) fn ring_of(&self, host: u32) -> Option<KeyRing> {
        self.hosts[host as usize].keys.as_ref().or(self.facts.config.keys.as_ref()).cloned()
    }

    /// A machine keeps the keys of its node, as in a key file.
    pub(super) fn keep_ring(&mut self, host: u32) {
        let state = &mut self.hosts[host as usize];
        state.keys = state.node.as_ref().and_then(|node| node.config().keys.clone());
    }

    /// A node takes a step of a change of keys, unless its machine does nothing at the moment. Newcomers start as if
    /// they had taken it.
    pub(super) fn rotate(&mut self, host: u32, step: Step, number: u32) {
        let key = keys::key(self.seed, number);
        if let Some(ring) = &mut self.facts.config.keys {
            // The first node that takes the step has changed it already.
            _ = change(ring, step, &key);
        }
        if self.facts.person(host).pauses > 0 {
            return;
        }
        let Some(node) = &mut self.hosts[host as usize].node else { return };
        let result = match step {
            Step::Install => node.add_key(key).map(|_| ()),
            Step::Use => node.use_key(key.id()),
            Step::Remove => node.remove_key(key.id()),
        };
        if self.trace.is_told() {
            let outcome = result.map_or_else(|error| error.to_string(), |()| "done".to_owned());
            self.trace.tell(self.facts.now, format_args!("node {host}: {step:?} key {number}: {outcome}"));
        }
        self.settle(host);
    }
}

fn change(ring: &mut KeyRing, step: Step, key: &gossip_core::Key) -> Result<(), KeyRingError> {
    match step {
        Step::Install => ring.add(key.clone()).map(|_| ()),
        Step::Use => ring.set_primary(key.id()),
        Step::Remove => ring.remove(key.id()),
    }
}
