//! A node that hears claims and metadata, gets commands and time; what it shows is what the reference says.

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use gossip_core::{Channel, Event, ForgetScope, MemberState, MetadataError, NodeId, Value as Stored};

use crate::command::key;
use crate::host::{Host, node_id, small};
use crate::reference::Reference;
use crate::wire::{Claim, Delta, Entry, Epoch, Id, Incarnation, Many, Message, Packet, Place, State, Value};

/// Most steps of an input.
const STEPS: usize = 64;

/// Who tells everything: nobody of whom anything is told.
const TELLER: Id = Id(99);

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Tell {
        subject: u8,
        epoch: u8,
        refutations: u8,
        state: State,
    },
    /// A member changes its metadata, of which nobody hears yet.
    Change {
        subject: u8,
        epoch: u8,
        key: u8,
        value: Option<u8>,
    },
    /// The changes after a version up to another are told.
    TellChanges {
        subject: u8,
        epoch: u8,
        base: u8,
        version: u8,
    },
    Forget {
        subject: u8,
        everywhere: bool,
    },
    Set {
        key: u8,
        value: u8,
        size: u8,
    },
    Remove {
        key: u8,
    },
    Wait {
        ms: u16,
    },
    Due,
}

/// The history of a member's metadata: for each version the keys, with the version that they are from.
type History = Vec<BTreeMap<String, (u64, Option<u8>)>>;

struct Model {
    host: Host,
    reference: Reference,
    histories: BTreeMap<(Id, u64), History>,
    own: BTreeMap<String, Vec<u8>>,
    /// The table as the events tell it.
    told: BTreeMap<NodeId, MemberState>,
}

fn subject(number: u8) -> Id {
    Id(u128::from(number % 5) + 1)
}

fn epoch(number: u8) -> u64 {
    Epoch::FIRST + u64::from(number % 3)
}

fn incarnation(shown: gossip_core::Incarnation) -> Incarnation {
    Incarnation { epoch: Epoch(shown.epoch.as_u64()), refutations: shown.refutations }
}

/// Lets the steps of the input happen to both.
pub fn node_model(data: &[u8]) {
    let mut config = small();
    config.max_events = 10_000;
    let mut model = Model {
        host: Host::start(1, config),
        reference: Reference::default(),
        histories: BTreeMap::new(),
        own: BTreeMap::new(),
        told: BTreeMap::new(),
    };
    let mut u = Unstructured::new(data);
    for _ in 0..STEPS {
        if u.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut u) else { break };
        model.perform(step);
        model.host.check();
        model.compare();
    }
}

impl Model {
    fn perform(&mut self, step: Step) {
        match step {
            Step::Tell { subject: number, epoch: start, refutations, state } => {
                let id = subject(number);
                let place = Place::of(u8::try_from(id.0).expect("small"));
                self.tell(&Claim::of(id, epoch(start), u32::from(refutations % 4), state, place));
            }
            Step::Change { subject: number, epoch: start, key: name, value } => {
                let history = self.histories.entry((subject(number), epoch(start))).or_default();
                let mut next = history.last().cloned().unwrap_or_default();
                next.insert(key(name), (history.len() as u64 + 1, value));
                history.push(next);
            }
            Step::TellChanges { subject: number, epoch: start, base, version } => {
                self.tell_changes(subject(number), epoch(start), base.into(), version.into());
            }
            Step::Forget { subject: number, everywhere } => {
                let id = subject(number);
                let scope = if everywhere { ForgetScope::Everywhere } else { ForgetScope::Here };
                let done = self.host.act(|node, now| node.forget(now, node_id(id), scope));
                assert_eq!(done.is_ok(), self.reference.forget(id, everywhere), "{done:?}");
            }
            Step::Set { key: name, value, size } => self.set(&key(name), vec![value; size.into()]),
            Step::Remove { key: name } => {
                let removed = self.host.act(|node, now| node.remove_metadata(now, &key(name)));
                assert_eq!(removed, Ok(self.own.remove(&key(name)).is_some()));
            }
            Step::Wait { ms } => self.wait(|host| host.wait(Duration::from_millis((ms % 10_000).into()))),
            Step::Due => self.wait(Host::wait_until_due),
        }
        self.follow_events();
        self.host.drain();
        self.follow_events();
    }

    fn say(&mut self, message: Message) {
        let packet = Packet::of(TELLER, Epoch::FIRST, vec![message]).to_bytes();
        self.host.receive(&Place::of(99).0, Channel::Datagram, &packet);
    }

    fn tell(&mut self, claim: &Claim) {
        let mine = incarnation(self.host.node.incarnation());
        self.say(Message::Claim(claim.clone()));
        if claim.subject != Id(1) {
            self.reference.hear(claim);
            return;
        }
        let (theirs, after) = (claim.incarnation, incarnation(self.host.node.incarnation()));
        // A node speaks up above whatever is said of it, except what it says itself.
        let is_beside_the_point = theirs < mine || (theirs == mine && claim.state == State::Alive);
        assert!(if is_beside_the_point { after == mine } else { after > theirs }, "{mine:?} {claim:?} {after:?}");
    }

    fn tell_changes(&mut self, id: Id, start: u64, base: u64, version: u64) {
        let Some(history) = self.histories.get(&(id, start)) else { return };
        let version = version % (history.len() as u64 + 1);
        let base = base % (version + 1);
        let Some(keys) = version.checked_sub(1).map(|last| &history[usize::try_from(last).expect("short")]) else {
            return;
        };
        let entries = keys
            .iter()
            .filter(|(_, (since, value))| *since > base && (base > 0 || value.is_some()))
            .map(|(key, (since, value))| Entry {
                key: key.clone(),
                version: *since,
                value: value.map(|value| Value::Integer(value.into())),
            })
            .collect();
        let tags = (base == 0).then(|| vec!["red".to_owned()]);
        let delta = Delta { subject: id, epoch: Epoch(start), base, version, tags, entries: Many(entries) };
        let before = self.known_version(id, start);
        self.say(Message::Metadata(delta));
        if id != Id(1)
            && let Some(before) = before
        {
            let follows = base == 0 || base <= before;
            let expected = if follows { before.max(version) } else { before };
            assert_eq!(self.known_version(id, start), Some(expected), "{before} after {base} to {version}");
        }
    }

    /// The version known of a member that is shown and in this start.
    fn known_version(&self, id: Id, start: u64) -> Option<u64> {
        let member = self.host.node.member(node_id(id))?;
        (member.incarnation.epoch.as_u64() == start).then(|| member.metadata.version())
    }

    fn set(&mut self, key: &str, value: Vec<u8>) {
        let outcome = self.host.act(|node, now| node.set_metadata(now, key, value.clone()));
        match outcome {
            Ok(()) => {
                self.own.insert(key.to_owned(), value);
            }
            Err(MetadataError::TooLarge { size, limit }) => assert!(size > limit && value.len() < size),
            Err(error) => panic!("{error}"),
        }
    }

    fn wait(&mut self, wait: impl FnOnce(&mut Host)) {
        wait(&mut self.host);
        for number in 1..5 {
            let id = subject(number);
            if let Some(member) = self.host.node.member(node_id(id)) {
                self.reference.observe(id, member.state.into());
            }
        }
    }

    /// Events tell every change of the table, and from what.
    fn follow_events(&mut self) {
        for event in self.host.events.drain(..) {
            let Event::Member(change) = event else { continue };
            assert_eq!(self.told.get(&change.member.id).copied(), change.previous, "{change:?}");
            if change.member.state == MemberState::Removed {
                self.told.remove(&change.member.id);
            } else {
                self.told.insert(change.member.id, change.member.state);
            }
        }
    }

    fn compare(&self) {
        let node = &self.host.node;
        for number in 1..5 {
            let id = subject(number);
            let seen = node.member(node_id(id));
            let claim = seen.map(|seen| (incarnation(seen.incarnation), seen.state.into()));
            assert_eq!(claim, self.reference.shown(id), "{id:?}");
            assert_eq!(seen.map(|seen| seen.state), self.told.get(&node_id(id)).copied(), "as told by the events");
            let Some(seen) = seen else { continue };
            let version = seen.metadata.version();
            let history = self.histories.get(&(id, seen.incarnation.epoch.as_u64()));
            let keys = version.checked_sub(1).and_then(|last| history?.get(usize::try_from(last).ok()?));
            let keys = keys.into_iter().flatten().filter_map(|(key, (_, value))| Some((key.as_str(), (*value)?)));
            let expected: Vec<_> = keys.map(|(key, value)| (key, Stored::Int(value.into()))).collect();
            assert!(seen.metadata.iter().eq(expected.iter().map(|(key, value)| (*key, value))), "{id:?} at {version}");
        }
        let mine = node.member(node.id()).expect("a node knows itself");
        let own: Vec<_> = self.own.iter().map(|(key, value)| (key.as_str(), Stored::Bytes(value.clone()))).collect();
        assert!(mine.metadata.iter().eq(own.iter().map(|(key, value)| (*key, value))), "who writes last is right");
    }
}
