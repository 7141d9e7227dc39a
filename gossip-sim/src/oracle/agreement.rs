//! After the last fault all live nodes agree, with each other and with the truth: on the members, their states, their
//! incarnations and their metadata.

use std::collections::BTreeMap;

use gossip_core::{Member, MemberState, Node, NodeId, Phase};

use crate::facts::{Facts, Status, Subject};
use crate::oracle::{Oracle, twins};
use crate::world::Addr;

/// Time after the bound in which the failure is found, in microseconds.
const SLACK: u64 = 2_000_000;

/// What a look at all tables shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// They agree, and nobody is suspected.
    Same,
    /// They do not.
    Differs(String),
    /// Agreement cannot be asked for: no seed runs, and some nodes never heard of the rest.
    NotAsked,
}

/// What became of the agreement after the last disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It came so long after the last disturbance, in microseconds, and lasted.
    Agreed(u64),
    /// It did not come in time, or did not last.
    Apart,
    /// The run ended before it could be told, or it could not be asked for.
    NotJudged,
}

impl Verdict {
    /// As it stands in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Agreed(_) => "agreed",
            Self::Apart => "apart",
            Self::NotJudged => "not judged",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Agreement {
    /// The end of the last disturbance or change that was looked at.
    calm_since: u64,
    /// The present agreement: when it began.
    since: Option<u64>,
    /// The last look that showed one, if links harm packets all the time.
    last: u64,
    /// How long it took to come to an agreement that lasted.
    took: Option<u64>,
    reported: bool,
    /// Some nodes cannot find the rest.
    pub(crate) is_scattered: bool,
}

impl Agreement {
    /// Whether it is worth looking.
    pub(crate) fn is_due(&self, facts: &Facts, worked: u64) -> bool {
        facts.faults_active == 0 && !(self.reported && self.calm_since == calm_since(facts, worked))
    }

    /// Whether a look now might show the beginning of an agreement.
    pub(crate) fn is_awaited(&self, facts: &Facts, worked: u64) -> bool {
        let is_new = self.calm_since != calm_since(facts, worked);
        worked <= facts.now && self.is_due(facts, worked) && (is_new || self.since.is_none())
    }

    pub(crate) fn verdict(&self, facts: &Facts, worked: u64) -> Verdict {
        match self.took.filter(|_| facts.faults_active == 0 && self.calm_since == calm_since(facts, worked)) {
            _ if self.reported => Verdict::Apart,
            Some(took) => Verdict::Agreed(took),
            None => Verdict::NotJudged,
        }
    }

    /// Whether the nodes may still come to an agreement that lasts, and have not; `worked` is when metadata was last
    /// changed.
    pub(crate) fn is_open(&self, facts: &Facts, worked: u64) -> bool {
        let calm_since = calm_since(facts, worked);
        if facts.faults_active > 0 || self.calm_since != calm_since {
            return facts.now < calm_since + facts.settle_time() + SLACK;
        }
        let waits_since = if facts.link_is_harmful { calm_since.max(self.last) } else { calm_since };
        let may_come = self.since.is_some() || facts.now < waits_since + facts.settle_time() + SLACK;
        self.took.is_none() && !self.reported && may_come
    }

    /// Takes note of what a look at the tables showed; `worked` is when metadata was last changed.
    pub(crate) fn looked(&mut self, facts: &Facts, look: Look, worked: u64) -> Option<(Oracle, String)> {
        let calm_since = calm_since(facts, worked);
        if self.calm_since != calm_since {
            *self = Self { calm_since, ..Self::default() };
        }
        if worked > facts.now {
            return None;
        }
        self.is_scattered = look == Look::NotAsked;
        match look {
            Look::Same => {
                self.note_agreement(facts);
                None
            }
            Look::Differs(difference) => self.note_difference(facts, &difference),
            Look::NotAsked => {
                self.since = None;
                None
            }
        }
    }

    /// An agreement counts once it has lasted until whatever is wrong would have shown. Where links harm packets all
    /// the time it need not last, but be there at some moment after that.
    fn note_agreement(&mut self, facts: &Facts) {
        let since = *self.since.get_or_insert(facts.now);
        self.last = facts.now;
        // Suspicions do not count there, so they must have had the time to become deaths.
        let shown =
            if facts.link_is_harmful { self.calm_since + facts.suspicion_time() } else { since } + facts.notice_time();
        if facts.now >= shown {
            self.took.get_or_insert(since - self.calm_since);
        }
    }

    fn note_difference(&mut self, facts: &Facts, difference: &str) -> Option<(Oracle, String)> {
        // Old tombstones are dropped, not quite at the same moment everywhere.
        let is_long = u128::from(facts.now) > facts.config.retention.as_micros() * 3 / 4;
        if self.took.is_some() && is_long && !facts.link_is_harmful {
            return None;
        }
        let waits_since = if facts.link_is_harmful { self.calm_since.max(self.last) } else { self.calm_since };
        let waited = facts.now - waits_since;
        let had_agreed = self.took.is_some() && !facts.link_is_harmful;
        self.since = None;
        if self.reported || (waited < facts.settle_time() && !had_agreed) {
            return None;
        }
        self.reported = true;
        if had_agreed {
            return Some((Oracle::Stability, format!("nodes that agreed came apart: {difference}")));
        }
        let seconds = waited / 1_000_000;
        Some((Oracle::Agreement, format!("no agreement {seconds} s after the last change: {difference}")))
    }
}

/// Since when nothing disturbed or changed anything.
fn calm_since(facts: &Facts, worked: u64) -> u64 {
    facts.disturbed.unwrap_or(0).max(worked)
}

/// Looks at the tables of all live nodes, and compares them with each other and with the truth.
pub(crate) fn look<'a>(
    facts: &Facts,
    hosts: impl Iterator<Item = Option<&'a Node<Addr>>>,
    suspicions: u64,
    thorough: bool,
) -> Look {
    let is_counted = |host: usize| {
        let person = &facts.people[host];
        person.runs() && person.departure.is_none()
    };
    let live: Vec<(usize, &Node<Addr>)> = hosts
        .enumerate()
        .filter(|&(host, _)| is_counted(host))
        .filter_map(|(host, node)| Some((host, node?)))
        .collect();
    if let Some(difference) = twins::difference(facts, &live) {
        return Look::Differs(difference);
    }
    let live: Vec<_> = live.into_iter().filter(|(_, node)| node.phase() != Phase::Contested).collect();
    if !is_connected(facts, &live) {
        return Look::NotAsked;
    }
    if let Some(difference) = difference(facts, &live, thorough) {
        return Look::Differs(difference);
    }
    // Where packets get lost all the time, somebody may always be suspected for a moment.
    if suspicions > 0 && !facts.link_is_harmful {
        return Look::Differs(format!("all know the same, but members are suspected, {suspicions} times"));
    }
    Look::Same
}

/// The first difference between the tables of two live nodes, or between them and the truth.
fn difference(facts: &Facts, live: &[(usize, &Node<Addr>)], thorough: bool) -> Option<String> {
    let &(first_host, first) = live.first()?;
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
    from_truth(facts, first_host, first, live)
}

/// Whether all can find each other: a seed runs, through which those who know nobody find the rest, or each knows one
/// of the others, alive or dead, at its right address, and so on to all of them.
fn is_connected(facts: &Facts, live: &[(usize, &Node<Addr>)]) -> bool {
    if facts.people.iter().take(facts.seeds as usize).any(crate::facts::Person::runs) {
        return true;
    }
    let places: BTreeMap<(Addr, NodeId), usize> =
        live.iter().enumerate().map(|(place, (_, node))| ((*node.address(), node.id()), place)).collect();
    let mut groups: Vec<usize> = (0..live.len()).collect();
    let mut left = live.len();
    for (place, (_, node)) in live.iter().enumerate() {
        // Nobody looks for those that left.
        let is_looked_for = |member: &&Member<Addr>| member.state.is_live() || member.state == MemberState::Dead;
        for member in node.members().filter(is_looked_for) {
            if left <= 1 {
                return true;
            }
            let Some(&other) = places.get(&(member.address, member.id)) else { continue };
            let (one, other) = (root(&mut groups, place), root(&mut groups, other));
            if one != other {
                groups[one] = other;
                left -= 1;
            }
        }
    }
    left <= 1
}

/// The one that stands for the group of `place`.
fn root(groups: &mut [usize], mut place: usize) -> usize {
    while groups[place] != place {
        groups[place] = groups[groups[place]];
        place = groups[place];
    }
    place
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
    node.members().find_map(|member| {
        let subject = Subject::of(member.id)?;
        let holder = facts.holder(subject);
        let runs = holder.is_some_and(|person| person.status == Status::Running && person.departure.is_none());
        if member.state.is_live() && !runs && !facts.is_doubled(subject.host) {
            return Some(format!("node {host} knows {}, which does not run", describe(member)));
        }
        // A later death, of a life that began after the departure, is its own.
        let departure = facts.departure(subject).filter(|departure| departure.acknowledged.is_some());
        let is_wronged = departure.is_some_and(|departure| !departure.is_excused);
        let is_its_life = holder.is_none_or(|person| person.epoch == member.incarnation.epoch);
        let is_wrong =
            member.state == MemberState::Dead && is_wronged && is_its_life && !facts.is_doubled(subject.host);
        is_wrong.then(|| format!("node {host} knows {}, which left properly", describe(member)))
    })
}
