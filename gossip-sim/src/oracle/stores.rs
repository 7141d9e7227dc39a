//! What a key-value store shows never grows older at a node, no write is lost that somebody has, what was deleted stays
//! so, timestamps grow, and in the end all show the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gossip_core::{StoreChange, StoreEntry, StoreVersion, Timestamp};

use crate::facts::Facts;
use crate::oracle::{Finding, Oracle};

/// How long the stores may take to agree once the members do, in microseconds: what was compared in vain while packets
/// got lost is let rest for a while.
const PATIENCE: u64 = 60_000_000;

/// For how long a node cannot be sure that others have what it wrote, in microseconds: two probes, and another one.
const UNSURE: u64 = 3_000_000;

/// A write that a node said it has made.
#[derive(Debug)]
pub(crate) struct Written {
    /// Nothing deletes.
    pub(crate) value: Option<Bytes>,
    /// It has a time to live.
    pub(crate) ends: bool,
    /// Its writer went away before it could be sure that others have it: it is news when the writer is back, though
    /// others may have deleted it.
    pub(crate) may_return: bool,
}

/// A write of a moment ago.
#[derive(Clone, Debug)]
struct Recent {
    host: u32,
    at: u64,
    key: Arc<str>,
    version: StoreVersion,
}

impl Written {
    /// Whether everybody who has it shows it.
    fn is_shown(&self) -> bool {
        self.value.is_some() && !self.ends
    }
}

/// What a node was seen to have in its present life.
#[derive(Debug, Default)]
struct Life {
    latest: Timestamp,
    keys: BTreeMap<Arc<str>, StoreVersion>,
}

/// What a node shows at the moment.
pub(crate) struct Shown {
    pub(crate) host: u32,
    pub(crate) fingerprint: u64,
    pub(crate) entries: Vec<StoreEntry>,
}

#[derive(Debug, Default)]
pub(crate) struct Stores {
    pub(crate) findings: Vec<Finding>,
    writes: BTreeMap<Arc<str>, BTreeMap<StoreVersion, Written>>,
    lives: BTreeMap<u32, Life>,
    recent: Vec<Recent>,
    /// Those of which a node was not sure when it kept a snapshot.
    kept: BTreeMap<u32, Vec<Recent>>,
    /// The end of faults and writes for which it was checked whether all agree.
    judged: Option<u64>,
}

impl Stores {
    /// A node stopped: what it knew is gone with it.
    pub(crate) fn stopped(&mut self, host: u32) {
        self.lives.remove(&host);
        for write in self.kept.remove(&host).unwrap_or_default() {
            self.let_return(&write);
        }
    }

    /// A node keeps a snapshot.
    pub(crate) fn kept(&mut self, facts: &Facts, host: u32) {
        let unsure = self.unsure(facts, host);
        self.kept.insert(host, unsure);
    }

    /// A node stands still.
    pub(crate) fn paused(&mut self, facts: &Facts, host: u32) {
        for write in self.unsure(facts, host) {
            self.let_return(&write);
        }
    }

    fn unsure(&self, facts: &Facts, host: u32) -> Vec<Recent> {
        let is_unsure = |write: &&Recent| write.host == host && write.at + UNSURE > facts.now;
        self.recent.iter().filter(is_unsure).cloned().collect()
    }

    fn let_return(&mut self, write: &Recent) {
        let found = self.writes.get_mut(&write.key).and_then(|writes| writes.get_mut(&write.version));
        if let Some(found) = found {
            found.may_return = true;
        }
    }

    /// A node said that it has written.
    pub(crate) fn written(&mut self, facts: &Facts, host: u32, key: &str, version: StoreVersion, write: Written) {
        let latest = self.lives.entry(host).or_default().latest;
        if version.stamp <= latest {
            let message = format!("writes at {:?}, and knew {latest:?} before", version.stamp);
            self.findings.push((Oracle::Stamps, Some(host), message));
        }
        let key: Arc<str> = Arc::from(key);
        self.recent.retain(|write| write.at + UNSURE > facts.now);
        self.recent.push(Recent { host, at: facts.now, key: key.clone(), version });
        self.writes.entry(key.clone()).or_default().insert(version, write);
        self.note(host, &key, version);
    }

    /// A node told of a change.
    pub(crate) fn changed(&mut self, host: u32, change: &StoreChange) {
        match change {
            StoreChange::Set { key, version, value, .. } => {
                let written = self.find(key, *version).and_then(|write| write.value.as_ref());
                if written != Some(value) {
                    let message = format!("tells of a write of {key} at {:?} that nobody made so", version.stamp);
                    self.findings.push((Oracle::Invented, Some(host), message));
                }
                self.note(host, key, *version);
            }
            StoreChange::Deleted { key, version, .. } if self.is_shown(key, *version) => {
                // It missed the deletion, or the end of a later write, which the others have forgotten by now.
                let is_deleted = self.later(key, *version).any(|write| !write.is_shown());
                if !is_deleted {
                    let message = format!("drops {key} of {:?}, which nobody deleted", version.stamp);
                    self.findings.push((Oracle::LostWrite, Some(host), message));
                }
                self.lives.entry(host).or_default().keys.remove(key);
            }
            StoreChange::Expired { key, version, .. } if self.is_shown(key, *version) => {
                let message = format!("lets {key} of {:?} end, which has no end", version.stamp);
                self.findings.push((Oracle::LostWrite, Some(host), message));
            }
            StoreChange::Deleted { key, version, .. } | StoreChange::Expired { key, version, .. } => {
                self.note(host, key, *version);
            }
            StoreChange::Missed { count } => {
                let message = format!("the node lost {count} changes of its store, though all are read at once");
                self.findings.push((Oracle::Bounded, Some(host), message));
            }
            _ => {}
        }
    }

    /// Compares what a node shows with what it was seen to have.
    pub(crate) fn look(&mut self, shown: &Shown) {
        let host = shown.host;
        for entry in &shown.entries {
            self.note(host, &entry.key, entry.version);
        }
        let has = |key: &str| shown.entries.binary_search_by(|entry| (*entry.key).cmp(key)).is_ok();
        let Some(life) = self.lives.get(&host) else { return };
        let lost: Vec<(Arc<str>, StoreVersion)> = life
            .keys
            .iter()
            .filter(|&(key, &version)| self.is_shown(key, version) && !has(key))
            .map(|(key, &version)| (key.clone(), version))
            .collect();
        for (key, version) in lost {
            let message = format!("has lost {key} of {:?}", version.stamp);
            self.findings.push((Oracle::LostWrite, Some(host), message));
            // Once is enough.
            self.lives.entry(host).or_default().keys.remove(&key);
        }
    }

    /// Whether the stores may still come to agree: faults and writes ended at `calm`.
    pub(crate) fn is_open(&self, facts: &Facts, calm: u64) -> bool {
        self.judged != Some(calm) && !facts.link_is_harmful && facts.now <= due(facts, calm) + PATIENCE
    }

    /// Whether all show the same, and the newest that any of them has, when it is time.
    pub(crate) fn check(&mut self, facts: &Facts, calm: u64, all: &[Shown]) {
        let is_due = facts.faults_active == 0 && facts.now >= due(facts, calm) && !facts.link_is_harmful;
        if is_due && self.judged != Some(calm) {
            self.judged = Some(calm);
            self.findings.extend(self.difference(all));
        }
    }

    fn difference(&self, all: &[Shown]) -> Option<Finding> {
        let first = all.first()?;
        if let Some(other) = all.iter().find(|other| other.fingerprint != first.fingerprint) {
            let message = format!("its store differs from that of node {}: {}", first.host, compare(first, other));
            return Some((Oracle::Stores, Some(other.host), message));
        }
        let mut newest: BTreeMap<&str, StoreVersion> = BTreeMap::new();
        for (key, &version) in self.lives.values().flat_map(|life| &life.keys) {
            let known = newest.entry(key).or_insert(version);
            *known = version.max(*known);
        }
        for (key, version) in newest {
            let Some(write) = self.find(key, version) else { continue };
            for shown in all {
                let entry = shown.entries.iter().find(|entry| *entry.key == *key);
                let is_right = match entry {
                    Some(entry) => entry.version == version && write.value.as_ref() == Some(&entry.value),
                    None => !write.is_shown(),
                };
                if !is_right {
                    let shows = entry.map(|entry| entry.version.stamp);
                    let oracle = if write.value.is_some() { Oracle::LostWrite } else { Oracle::Deleted };
                    let message = format!("shows {shows:?} in {key}, of which somebody has {:?}", version.stamp);
                    return Some((oracle, Some(shown.host), message));
                }
            }
        }
        None
    }

    /// A node has this version of a key: not an older one than before.
    fn note(&mut self, host: u32, key: &Arc<str>, version: StoreVersion) {
        let known = self.lives.get(&host).and_then(|life| life.keys.get(key)).copied();
        let may_return = self.find(key, version).is_some_and(|write| write.may_return);
        if let Some(known) = known.filter(|&known| known > version && (self.is_shown(key, known) || !may_return)) {
            let oracle = if self.is_shown(key, known) { Oracle::OlderValue } else { Oracle::Deleted };
            let message = format!("shows {key} of {:?}, and had {:?} before", version.stamp, known.stamp);
            self.findings.push((oracle, Some(host), message));
            return;
        }
        let life = self.lives.entry(host).or_default();
        life.latest = life.latest.max(version.stamp);
        life.keys.insert(key.clone(), version);
    }

    fn find(&self, key: &str, version: StoreVersion) -> Option<&Written> {
        self.writes.get(key)?.get(&version)
    }

    fn is_shown(&self, key: &str, version: StoreVersion) -> bool {
        self.find(key, version).is_some_and(Written::is_shown)
    }

    fn later(&self, key: &str, version: StoreVersion) -> impl Iterator<Item = &Written> {
        let later = self.writes.get(key).map(|writes| writes.range(version..).skip(1));
        later.into_iter().flatten().map(|(_, write)| write)
    }
}

/// When the stores have to agree.
fn due(facts: &Facts, calm: u64) -> u64 {
    calm.saturating_add(facts.settle_time()).saturating_add(PATIENCE)
}

/// The first key in which two nodes differ.
fn compare(first: &Shown, other: &Shown) -> String {
    let versions = |shown: &Shown| -> BTreeMap<Arc<str>, Timestamp> {
        shown.entries.iter().map(|entry| (entry.key.clone(), entry.version.stamp)).collect()
    };
    let (ours, theirs) = (versions(first), versions(other));
    let differs = ours.keys().chain(theirs.keys()).find(|&key| ours.get(key) != theirs.get(key));
    differs.map_or_else(
        || "in deletions".to_owned(),
        |key| format!("{key} is of {:?} and {:?}", ours.get(key), theirs.get(key)),
    )
}
