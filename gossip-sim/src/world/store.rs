//! Key-value stores: what is written to them, and what they show.

use bytes::Bytes;
use gossip_core::{Node, Phase, StoreChange, StoreConfig, StoreError, StoreVersion};

use crate::oracle::stores::{Shown, Written};
use crate::queue::Class;
use crate::random::{Odds, Purpose, Random};
use crate::sabotage::Bug;
use crate::scenario::Span;
use crate::store::{NAME, Store};
use crate::world::watch::INTERVAL;
use crate::world::{Addr, What, World};

/// A store besides, for writes that a planted bug leads astray.
const ELSEWHERE: &str = "elsewhere";

/// What is needed to write, and what a planted bug has done so far.
#[derive(Debug)]
pub(super) struct Writes {
    random: Random,
    /// A change that is told after the next one.
    held: Option<StoreChange>,
    /// The version that a write got.
    repeated: Option<StoreVersion>,
}

impl Writes {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed, Purpose::Stores), held: None, repeated: None }
    }
}

/// A write that was drawn.
struct Drawn {
    key: String,
    value: Option<Bytes>,
    ttl: Option<Span>,
}

impl World {
    /// A node that has started opens the store, and loads what its machine has kept.
    pub(super) fn open_store(&mut self, host: u32) {
        let Some(store) = &self.scenario.store else { return };
        let mut config = store.config();
        let is_bug = |bug| self.scenario.sabotage.as_ref().is_some_and(|it| it.bug == bug && it.node == host);
        if is_bug(Bug::KeepsDeletionsLonger) {
            config = StoreConfig { keep: config.keep * 2, ..config };
        }
        let is_led_astray = is_bug(Bug::WritesElsewhere);
        let loads = store.snapshots.is_some();
        let state = &mut self.hosts[host as usize];
        let (local, unix) = (state.clock.read(self.facts.now), state.clock.wall_micros(self.facts.now));
        let Some(node) = &mut state.node else { return };
        node.set_wall_clock(local, unix);
        node.open_store(local, NAME, config.clone()).expect("the scenario was checked, and the node is new");
        if is_led_astray {
            node.open_store(local, ELSEWHERE, config).expect("the same with another name");
        }
        let Some(mut opened) = node.store_mut(local, NAME) else { return };
        opened.watch("");
        if let Some(snapshot) = state.snapshot.as_ref().filter(|_| loads) {
            opened.load(snapshot).expect("a snapshot of this store is whole");
        }
    }

    pub(super) fn begin_writes(&mut self) {
        if let Some(store) = &self.scenario.store {
            self.queue.push(store.every.as_micros(), Class::Watch, What::Write);
        }
    }

    /// When the last write is made.
    pub(crate) fn writes_end(&self) -> u64 {
        let Some(store) = &self.scenario.store else { return 0 };
        let faults = self.faults_end();
        let natural = if faults == 0 { self.scenario.duration.as_micros() } else { faults };
        store.until.map_or(natural, Span::as_micros)
    }

    /// Writes something at some node.
    pub(super) fn write_next(&mut self) {
        let Some(store) = self.scenario.store.clone() else { return };
        if self.facts.now >= self.writes_end() {
            return;
        }
        self.queue.push(self.facts.now + store.every.as_micros(), Class::Watch, What::Write);
        let host = self.writes.random.below(self.hosts.len() as u64) as u32;
        let drawn = self.draw_write(&store);
        let person = self.facts.person(host);
        if !person.runs() || person.pauses > 0 {
            return;
        }
        let name = if self.has_bug(host, Bug::WritesElsewhere) { ELSEWHERE } else { NAME };
        let repeats = self.has_bug(host, Bug::RepeatsStamps);
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        let Some(mut opened) = state.node.as_mut().and_then(|node| node.store_mut(local, name)) else { return };
        let Drawn { key, value, ttl } = drawn;
        let result = match &value {
            Some(value) => opened.set(&key, value.clone(), ttl.map(Span::duration)).map(Some),
            None => opened.delete(&key),
        };
        self.tell_write(host, &key, &result);
        if let Ok(Some(version)) = result {
            let version = if repeats { *self.writes.repeated.get_or_insert(version) } else { version };
            let write = Written { value, ends: ttl.is_some(), may_return: false };
            self.oracles.stores.written(&self.facts, host, &key, version, write);
        }
        self.settle(host);
    }

    fn draw_write(&mut self, store: &Store) -> Drawn {
        let random = &mut self.writes.random;
        let key = format!("key{}", random.below(store.keys.into()));
        let deletes = random.hits(Odds::of(store.deletes.value()));
        let ends = random.hits(Odds::of(store.ends.value()));
        let ttl = Span::micros(random.between(1_000, store.ttl.as_micros()));
        let mut value = random.next().to_le_bytes().repeat(store.value_bytes as usize / 8 + 1);
        value.truncate(store.value_bytes as usize);
        Drawn { key, value: (!deletes).then(|| value.into()), ttl: (ends && !deletes).then_some(ttl) }
    }

    fn tell_write(&mut self, host: u32, key: &str, result: &Result<Option<StoreVersion>, StoreError>) {
        if self.trace.is_told() {
            let outcome = match result {
                Ok(Some(version)) => format!("at {:?}", version.stamp),
                Ok(None) => "nothing to delete".to_owned(),
                Err(error) => error.to_string(),
            };
            self.trace.tell(self.facts.now, format_args!("node {host} writes {key}: {outcome}"));
        }
    }

    /// Hears what changed in the store of a node.
    pub(super) fn read_store_changes(&mut self, host: u32) {
        if self.scenario.store.is_none() {
            return;
        }
        while let Some(change) = self.hosts[host as usize].node.as_mut().and_then(Node::poll_store_change) {
            if self.trace.is_told() {
                self.trace.tell(self.facts.now, format_args!("node {host}: {change:?}"));
            }
            if !self.has_bug(host, Bug::ShufflesChanges) {
                self.oracles.stores.changed(host, &change);
                continue;
            }
            if let Some(held) = self.writes.held.replace(change.clone()) {
                self.oracles.stores.changed(host, &change);
                self.oracles.stores.changed(host, &held);
                self.writes.held = None;
            }
        }
    }

    /// Tells each node what its wall clock shows, as drivers do, and looks at what it shows itself.
    pub(super) fn look_at_stores(&mut self) {
        let Some(snapshots) = self.scenario.store.as_ref().map(|store| store.snapshots) else { return };
        let keeps = snapshots.is_some_and(|every| (self.facts.now / INTERVAL).is_multiple_of(seconds(every)));
        for host in 0..self.len() {
            let person = self.facts.person(host);
            if !person.runs() || person.pauses > 0 {
                continue;
            }
            self.tell_wall_clock(host);
            self.settle(host);
            let Some(shown) = self.shown(host) else { continue };
            self.oracles.stores.look(&shown);
            if keeps {
                self.keep_snapshot(host);
            }
        }
        self.check_stores();
    }

    fn tell_wall_clock(&mut self, host: u32) {
        let loads_old = self.has_bug(host, Bug::LoadsOldSnapshots);
        let state = &mut self.hosts[host as usize];
        let (local, unix) = (state.clock.read(self.facts.now), state.clock.wall_micros(self.facts.now));
        let Some(node) = &mut state.node else { return };
        node.set_wall_clock(local, unix);
        if let (true, Some(snapshot), Some(mut store)) = (loads_old, &state.snapshot, node.store_mut(local, NAME)) {
            store.load(snapshot).expect("a snapshot of this store is whole");
        } else if loads_old {
            self.keep_snapshot(host);
        }
    }

    fn keep_snapshot(&mut self, host: u32) {
        let state = &mut self.hosts[host as usize];
        let local = state.clock.read(self.facts.now);
        let store = state.node.as_ref().and_then(|node| node.store(local, NAME));
        state.snapshot = store.map(|store| store.snapshot());
        self.oracles.stores.kept(&self.facts, host);
    }

    /// What a node shows.
    fn shown(&self, host: u32) -> Option<Shown> {
        let state = &self.hosts[host as usize];
        let store = state.node.as_ref()?.store(state.clock.read(self.facts.now), NAME)?;
        Some(Shown { host, fingerprint: store.fingerprint(), entries: store.scan("").collect() })
    }

    fn check_stores(&mut self) {
        if self.oracles.agreement.is_scattered {
            return;
        }
        let stays = |host: &u32| {
            let is_active = |node: &Node<Addr>| node.phase() == Phase::Active;
            self.facts.person(*host).departure.is_none() && self.node(*host).is_some_and(is_active)
        };
        let all: Vec<Shown> = (0..self.len()).filter(stays).filter_map(|host| self.shown(host)).collect();
        let calm = self.stores_calm();
        self.oracles.stores.check(&self.facts, calm, &all);
    }

    /// When faults and writes ended.
    fn stores_calm(&self) -> u64 {
        self.writes_end().max(self.facts.disturbed.unwrap_or(0))
    }

    /// Whether the stores may still come to agree.
    pub(crate) fn awaits_stores(&self) -> bool {
        self.scenario.store.is_some()
            && !self.oracles.agreement.is_scattered
            && self.oracles.stores.is_open(&self.facts, self.stores_calm())
    }
}

fn seconds(span: Span) -> u64 {
    (span.as_micros() / INTERVAL).max(1)
}
