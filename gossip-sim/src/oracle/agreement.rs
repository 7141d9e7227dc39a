//! After the last fault all live nodes agree, with each other and with the truth: on the members, their states, their
//! incarnations and their metadata.

use gossip_core::{Member, MemberState, Node, NodeId};

use crate::facts::{Facts, Status, Subject};
use crate::oracle::Oracle;
use crate::world::Addr;

#[derive(Debug, Default)]
pub(crate) struct Agreement {
    /// The last disturbance that was looked at.
    disturbed: Option<u64>,
    /// When the nodes agreed first after it.
    agreed: Option<u64>,
    reported: bool,
}

impl Agreement {
    /// Whether it is worth looking: there is no agreement yet since the last disturbance, or it is cheap enough.
    pub(crate) fn is_due(&self, facts: &Facts) -> bool {
        facts.faults_active == 0 && !(self.reported && self.disturbed == facts.disturbed)
    }

    /// How long after the last disturbance the nodes agreed, in microseconds.
    pub(crate) fn took(&self, facts: &Facts) -> Option<u64> {
        let agreed = self.agreed.filter(|_| self.disturbed == facts.disturbed)?;
        Some(agreed.saturating_sub(facts.disturbed.unwrap_or(agreed)))
    }

    /// Takes note of what a look at the tables showed; `worked` is when metadata was last changed.
    pub(crate) fn looked(
        &mut self,
        facts: &Facts,
        difference: Option<String>,
        worked: u64,
    ) -> Option<(Oracle, String)> {
        if self.disturbed != facts.disturbed {
            *self = Self { disturbed: facts.disturbed, agreed: None, reported: false };
        }
        if worked > facts.now {
            return None;
        }
        let Some(difference) = difference else {
            self.agreed.get_or_insert(facts.now);
            return None;
        };
        let patience = facts.settle_time();
        let calm_since = facts.disturbed.unwrap_or(0).max(worked);
        if facts.now - calm_since < patience || self.reported {
            return None;
        }
        // Old tombstones are dropped, not quite at the same moment everywhere.
        let is_long = u128::from(facts.now) > facts.config.retention.as_micros() * 3 / 4;
        match self.agreed {
            None => {
                self.reported = true;
                let seconds = (facts.now - calm_since) / 1_000_000;
                Some((Oracle::Agreement, format!("no agreement {seconds} s after the last change: {difference}")))
            }
            Some(agreed) if !facts.link_is_harmful && !is_long && agreed >= calm_since => {
                self.reported = true;
                Some((Oracle::Stability, format!("nodes that agreed came apart: {difference}")))
            }
            Some(_) => None,
        }
    }
}

/// The first difference between the tables of two live nodes, or between them and the truth.
pub(crate) fn difference<'a>(
    facts: &Facts,
    hosts: impl Iterator<Item = Option<&'a Node<Addr>>>,
    thorough: bool,
) -> Option<String> {
    let is_counted = |host: usize| {
        let person = &facts.people[host];
        person.runs() && person.departure.is_none()
    };
    let live: Vec<(usize, &Node<Addr>)> = hosts
        .enumerate()
        .filter(|&(host, _)| is_counted(host))
        .filter_map(|(host, node)| Some((host, node?)))
        .collect();
    let &(first_host, first) = live.first()?;
    if !is_connected(facts) {
        return None;
    }
    for &(host, node) in &live[1..] {
        if node.fingerprint() != first.fingerprint() || (thorough && live.len() <= 300) {
            if let Some(difference) = between(first_host, first, host, node) {
                return Some(difference);
            }
            if node.fingerprint() != first.fingerprint() {
                return Some(format!("nodes {first_host} and {host} have the same rows but not the same fingerprint"));
            }
        }
    }
    from_truth(facts, first_host, first, &live)
}

/// Whether agreement can be asked for: a seed runs, through which those who know nobody find the rest.
fn is_connected(facts: &Facts) -> bool {
    facts.people.iter().take(facts.seeds as usize).any(crate::facts::Person::runs)
}

fn between(one_host: usize, one: &Node<Addr>, other_host: usize, other: &Node<Addr>) -> Option<String> {
    let rows = |node: &Node<Addr>| {
        let mut rows: Vec<Member<Addr>> = node.members().cloned().collect();
        rows.sort_by_key(|member| member.id);
        rows
    };
    let (ones, others) = (rows(one), rows(other));
    let mut rest = others.as_slice();
    for mine in &ones {
        let theirs = rest.first().filter(|theirs| theirs.id <= mine.id);
        match theirs {
            Some(theirs) if theirs.id == mine.id => {
                rest = &rest[1..];
                if !is_same(mine, theirs) {
                    let (mine, theirs) = (describe(mine), describe(theirs));
                    return Some(format!("node {one_host} knows {mine}; node {other_host} knows {theirs}"));
                }
            }
            Some(theirs) => return Some(missing(other_host, theirs, one_host)),
            None => return Some(missing(one_host, mine, other_host)),
        }
    }
    rest.first().map(|theirs| missing(other_host, theirs, one_host))
}

fn missing(host: usize, member: &Member<Addr>, other: usize) -> String {
    format!("node {host} knows {}, of which node {other} knows nothing", describe(member))
}

/// A suspicion is transient: it does not make two tables differ.
fn is_same(one: &Member<Addr>, other: &Member<Addr>) -> bool {
    let settled = |state| if state == MemberState::Suspect { MemberState::Alive } else { state };
    one.incarnation == other.incarnation
        && one.address == other.address
        && settled(one.state) == settled(other.state)
        && (!one.state.is_live() || (one.metadata == other.metadata && one.tags == other.tags))
}

fn describe(member: &Member<Addr>) -> String {
    let who = name(member.id);
    let (state, at, version) = (member.state, member.incarnation, member.metadata.version());
    format!("{who} as {state} at {at}, address {}, metadata {version}", member.address)
}

fn name(id: NodeId) -> String {
    Subject::of(id).map_or_else(|| id.to_string(), |subject| subject.to_string())
}

/// What one node knows, against what is.
fn from_truth(facts: &Facts, host: usize, node: &Node<Addr>, live: &[(usize, &Node<Addr>)]) -> Option<String> {
    for &(subject_host, subject) in live {
        let Some(known) = node.member(subject.id()) else {
            return Some(format!("node {host} knows nothing of node {subject_host}, which runs"));
        };
        let myself = subject.member(subject.id())?;
        if !is_same(known, myself) {
            let (known, is) = (describe(known), describe(myself));
            return Some(format!("node {host} knows {known}; node {subject_host} itself says {is}"));
        }
    }
    let gone = node.members().filter(|member| member.state.is_live()).find(|member| {
        let status = Subject::of(member.id).and_then(|subject| facts.holder(subject)).map(|person| person.status);
        status != Some(Status::Running)
    });
    gone.map(|member| format!("node {host} knows {}, which does not run", describe(member)))
}
