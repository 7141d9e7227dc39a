//! Who is in trouble: nodes that messages may fail to reach, or to leave, through no fault of the protocol.

use crate::facts::Facts;
use crate::partition::NodeSet;

/// Share of the running nodes that may be out of reach, or of packets that may get lost, before all is excused: one in
/// so many.
const TOLERATED: usize = 4;

/// What a node believes of the cluster, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlook {
    pub(crate) host: u32,
    /// Live members that it knows, itself included.
    pub(crate) live: usize,
    /// Whether anybody believes it dead.
    pub(crate) is_dead_for_some: bool,
    /// Share of its packets that get lost.
    pub(crate) loss: f64,
}

/// The nodes in trouble, and those that were lately.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// By host: until when it is taken for troubled.
    until: Vec<u64>,
    now: NodeSet,
}

impl Trouble {
    pub(crate) fn nodes(&self) -> &NodeSet {
        &self.now
    }

    /// A node was in trouble for a moment.
    pub(crate) fn strike(&mut self, facts: &Facts, host: u32) {
        let until = facts.now + recovery(facts);
        *self.until_mut(host) = until;
        self.now.insert(host);
    }

    /// Takes a look at all nodes that run.
    pub(crate) fn look(&mut self, facts: &Facts, outlooks: &[Outlook]) {
        let running = facts.running as usize;
        let until = facts.now + recovery(facts);
        let mut count = 0;
        let mut now = NodeSet::default();
        for outlook in outlooks {
            let host = outlook.host;
            if is_troubled(facts, outlook, running) {
                *self.until_mut(host) = until;
            }
            if *self.until_mut(host) > facts.now {
                now.insert(host);
                count += 1;
            }
        }
        if count * TOLERATED > running {
            now = (0..facts.people.len() as u32).collect();
        }
        self.now = now;
    }

    fn until_mut(&mut self, host: u32) -> &mut u64 {
        let index = host as usize;
        if self.until.len() <= index {
            self.until.resize(index + 1, 0);
        }
        &mut self.until[index]
    }
}

fn is_troubled(facts: &Facts, outlook: &Outlook, running: usize) -> bool {
    let person = facts.person(outlook.host);
    let is_new = person.started > 0 && facts.now < person.started + recovery(facts);
    let has_wrong_view = outlook.live.abs_diff(running) * TOLERATED > running;
    let is_cut_off = facts.cuts.separated_from(outlook.host) * TOLERATED > running;
    let is_lossy = outlook.loss * TOLERATED as f64 > 1.0;
    let is_busy = !person.is_prompt() || person.departure.is_some();
    is_busy || is_new || is_lossy || outlook.is_dead_for_some || is_cut_off || has_wrong_view
}

/// How long it takes after the end of a trouble until all is as before, in microseconds.
fn recovery(facts: &Facts) -> u64 {
    facts.config.repair_time.as_micros() as u64 + 2 * facts.config.probe_interval.as_micros() as u64
}
