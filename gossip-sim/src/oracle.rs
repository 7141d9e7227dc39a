//! The oracles: what must hold in every world, checked as it happens and at the end.

pub(crate) mod accuracy;
pub(crate) mod agreement;
pub(crate) mod answers;
pub(crate) mod bounded;
pub(crate) mod broadcasts;
pub(crate) mod claims;
pub(crate) mod harmless;
pub(crate) mod leaders;
pub(crate) mod leavers;
pub(crate) mod locks;
pub(crate) mod requests;
pub(crate) mod resurrection;
pub(crate) mod self_dead;
pub(crate) mod stores;
pub(crate) mod timers;
pub(crate) mod twins;

use std::collections::BTreeSet;
use std::fmt;

use gossip_core::{ElectionChange, Event, Stats};
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::scenario::Span;
use crate::world::Addr;

/// Failures kept; a run that has as many is ended.
const ENOUGH: usize = 20;

/// Which rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oracle {
    /// A member that was dead or had left came back without a higher incarnation.
    Resurrection,
    /// What a node believes of a member became older.
    Claims,
    /// A node that runs and can be reached stayed dead for others.
    SelfDead,
    /// A queue, a table or a packet exceeded its limit.
    Bounded,
    /// A deadline was missed, or came again and again without end.
    Timers,
    /// The live nodes did not come to agree in time on members, states, incarnations and metadata.
    Agreement,
    /// Nodes that had come to agree came apart again though nothing happened.
    Stability,
    /// A node that left properly was believed dead.
    Leavers,
    /// A node was suspected though nothing was wrong.
    Accuracy,
    /// An attempt to join was not answered.
    Answers,
    /// A broadcast did not reach a node that was live throughout, or came twice.
    Delivered,
    /// A message came that nobody sent, or with another content.
    Invented,
    /// A broadcast to a tag came to a node that does not have it.
    Tagged,
    /// A broadcast that was to come in order came after a later one.
    Ordered,
    /// A request did not end exactly once, or a reliable message was lost without a word.
    Requests,
    /// What an outsider did had an effect.
    Harmless,
    /// Two nodes became leader in one term, or a later leader's term is smaller.
    OneLeader,
    /// Two nodes acted as leader at one moment.
    Leases,
    /// The nodes did not come to follow one leader in time.
    Led,
    /// The nodes did not come to have the same in their stores in time.
    Stores,
    /// A node showed an older value of a key after a newer one.
    OlderValue,
    /// A write was lost though somebody had it.
    LostWrite,
    /// A value came back that was deleted, or had ended.
    Deleted,
    /// The timestamp of a write is not later than all that its writer knew.
    Stamps,
    /// Two nodes held one lock at one moment.
    Exclusion,
    /// A later grant of a lock has a smaller token, or the same.
    Tokens,
    /// A grant was lost that a node could count on.
    LostGrant,
    /// What nodes were told of a lock cannot be explained.
    LockHistory,
    /// An operation on a lock did not end, or whoever waited for a lock did not get it in the end.
    Served,
    /// The user's own application or check.
    Application,
    /// A node panicked.
    Panic,
}

impl Oracle {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resurrection => "resurrection",
            Self::Claims => "claims",
            Self::SelfDead => "self-dead",
            Self::Bounded => "bounded",
            Self::Timers => "timers",
            Self::Agreement => "agreement",
            Self::Stability => "stability",
            Self::Leavers => "leavers",
            Self::Accuracy => "accuracy",
            Self::Answers => "answers",
            Self::Delivered => "delivered",
            Self::Invented => "invented",
            Self::Tagged => "tagged",
            Self::Ordered => "ordered",
            Self::Requests => "requests",
            Self::Harmless => "harmless",
            Self::OneLeader => "one-leader",
            Self::Leases => "leases",
            Self::Led => "led",
            Self::Stores => "stores",
            Self::OlderValue => "older-value",
            Self::LostWrite => "lost-write",
            Self::Deleted => "deleted",
            Self::Stamps => "stamps",
            Self::Exclusion => "exclusion",
            Self::Tokens => "tokens",
            Self::LostGrant => "lost-grant",
            Self::LockHistory => "lock-history",
            Self::Served => "served",
            Self::Application => "application",
            Self::Panic => "panic",
        }
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which.
    pub oracle: Oracle,
    /// When, in virtual time.
    pub at: Span,
    /// At which virtual machine, if at one.
    pub node: Option<u32>,
    /// What was seen.
    pub message: String,
}

/// In which way a rule was broken: two failures of one kind have the same reason, as far as can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    oracle: Oracle,
    /// The words of the message, in alphabetical order: who is named first says nothing.
    words: BTreeSet<String>,
}

impl Failure {
    pub(crate) fn kind(&self) -> Kind {
        let is_word = |word: &&str| word.len() > 1 && word.chars().all(char::is_alphabetic);
        let words = self.message.split(|c: char| !c.is_alphanumeric()).filter(is_word).map(str::to_owned).collect();
        Kind { oracle: self.oracle, words }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] at {}", self.oracle, self.at)?;
        if let Some(node) = self.node {
            write!(f, ", node {node}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Whether so few nodes take part that all can be remembered that each says of each.
fn is_small(facts: &Facts) -> bool {
    const SMALL: usize = 300;
    facts.people.len() <= SMALL
}

/// A broken rule as an oracle finds it; the world adds the time.
pub(crate) type Finding = (Oracle, Option<u32>, String);

#[derive(Debug)]
pub(crate) struct Oracles {
    enough: usize,
    failures: Vec<Failure>,
    findings: Vec<Finding>,
    memory: claims::Memory,
    pub(crate) self_dead: self_dead::SelfDead,
    pub(crate) bounded: bounded::Bounded,
    pub(crate) timers: timers::Timers,
    pub(crate) agreement: agreement::Agreement,
    pub(crate) answers: answers::Answers,
    pub(crate) broadcasts: broadcasts::Broadcasts,
    pub(crate) requests: requests::Requests,
    pub(crate) harmless: harmless::Harmless,
    pub(crate) leaders: leaders::Leaders,
    pub(crate) stores: stores::Stores,
    pub(crate) locks: locks::Locks,
}

impl Oracles {
    pub(crate) fn new() -> Self {
        Self {
            enough: ENOUGH,
            failures: Vec::new(),
            findings: Vec::new(),
            memory: claims::Memory::default(),
            self_dead: self_dead::SelfDead::default(),
            bounded: bounded::Bounded::default(),
            timers: timers::Timers::default(),
            agreement: agreement::Agreement::default(),
            answers: answers::Answers::default(),
            broadcasts: broadcasts::Broadcasts::default(),
            requests: requests::Requests::default(),
            harmless: harmless::Harmless::default(),
            leaders: leaders::Leaders::default(),
            stores: stores::Stores::default(),
            locks: locks::Locks::default(),
        }
    }

    pub(crate) fn failures(&self) -> &[Failure] {
        &self.failures
    }

    pub(crate) fn is_full(&self) -> bool {
        self.failures.len() >= self.enough
    }

    /// One failure is enough.
    pub(crate) fn stop_at_first(&mut self) {
        self.enough = 1;
    }

    pub(crate) fn report(&mut self, facts: &Facts, oracle: Oracle, node: Option<u32>, message: String) {
        if !self.is_full() {
            self.failures.push(Failure { oracle, at: Span::micros(facts.now), node, message });
        }
    }

    /// A node started.
    pub(crate) fn started(&mut self, host: u32) {
        self.forget(host);
        self.broadcasts.started(host);
    }

    /// A node stopped.
    pub(crate) fn stopped(&mut self, host: u32) {
        self.forget(host);
        self.broadcasts.stopped(host);
        self.requests.stopped(host);
        self.leaders.stopped(host);
        self.stores.stopped(host);
        self.locks.stopped(host);
    }

    fn forget(&mut self, host: u32) {
        self.memory.forget(host);
        self.self_dead.forget(host);
        self.answers.forget(host);
    }

    /// A node of a cluster that starts joined knows something.
    pub(crate) fn knows(&mut self, facts: &Facts, host: u32, event: &Event<Addr>) {
        if let Event::Member(change) = event {
            self.memory.note(host, change, is_small(facts));
        }
    }

    /// A node reported something.
    pub(crate) fn event(&mut self, facts: &mut Facts, host: u32, event: &Event<Addr>) {
        match event {
            Event::Member(change) => {
                if let Some(last) = self.memory.last(host, change) {
                    let finding = resurrection::check(last, change).or_else(|| claims::check(last, change));
                    self.findings.extend(finding.map(|(oracle, message)| (oracle, Some(host), message)));
                }
                self.memory.note(host, change, is_small(facts));
                self.self_dead.note(facts, host, change);
                self.findings.extend(accuracy::check(facts, host, change));
                self.findings.extend(leavers::check(facts, host, change));
                self.locks.believed(facts, change);
            }
            Event::JoinAccepted { address, .. } | Event::JoinFailed { address, .. } => {
                self.answers.answered(host, *address);
            }
            // From here until it has its id back it says nothing.
            Event::IdConflict { quiet: true, .. } | Event::IdRegained => facts.hardship.strike(facts.now, host),
            Event::Election { change, .. } => {
                if let ElectionChange::BecameLeader { .. } = change {
                    self.locks.led(facts.now);
                }
                self.leaders.event(facts, host, event);
            }
            _ => {}
        }
    }

    /// Takes over what the oracles found.
    pub(crate) fn drain(&mut self, facts: &Facts) {
        let parts = [
            &mut self.findings,
            &mut self.bounded.findings,
            &mut self.timers.findings,
            &mut self.broadcasts.findings,
            &mut self.requests.findings,
            &mut self.harmless.findings,
            &mut self.leaders.findings,
            &mut self.stores.findings,
            &mut self.locks.findings,
        ];
        if parts.iter().all(|part| part.is_empty()) {
            return;
        }
        let findings: Vec<Finding> = parts.into_iter().flat_map(std::mem::take).collect();
        for (oracle, node, message) in findings {
            self.report(facts, oracle, node, message);
        }
    }

    /// What is looked at every second.
    pub(crate) fn check(&mut self, facts: &Facts) {
        if !self.agreement.is_scattered {
            self.self_dead.check(facts, &mut self.findings);
        }
        self.answers.check(facts, &mut self.findings);
        self.broadcasts.check(facts);
        self.requests.check(facts);
        self.drain(facts);
    }

    /// Counters that only grow when something is wrong.
    pub(crate) fn counters(&mut self, facts: &Facts, host: u32, stats: &Stats, rows: usize) {
        self.bounded.counters(facts, host, stats, rows);
        self.timers.counters(facts, host, stats);
        self.drain(facts);
    }
}
