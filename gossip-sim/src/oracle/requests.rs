//! Every request ends exactly once, and is handled at most once; a reliable message comes once, or its sender is told.

use std::collections::BTreeMap;

use gossip_core::{RequestError, RequestId};
use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::histogram::Histogram;
use crate::oracle::{Finding, Oracle};

/// What the end of a request may be late by, in microseconds: clocks that run slow, and machines that are busy.
const GRACE: u64 = 2_000_000;

/// How long it is remembered what became of a message, in microseconds.
const REMEMBERED: u64 = 600_000_000;

/// How requests ended, or messages to one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// No answer in time.
    pub timeout: u64,
    /// No connection could be made, or it broke.
    pub unreachable: u64,
    /// Nobody there handles the type.
    pub no_handler: u64,
    /// The handler said no.
    pub rejected: u64,
    /// The other side had too much to do.
    pub overloaded: u64,
    /// The asking node left the cluster.
    pub left: u64,
    /// Any other reason.
    pub other: u64,
}

impl Failures {
    /// All of them.
    pub fn total(&self) -> u64 {
        let Self { timeout, unreachable, no_handler, rejected, overloaded, left, other } = self;
        timeout + unreachable + no_handler + rejected + overloaded + left + other
    }

    pub(crate) fn count(&mut self, error: &RequestError) {
        let counter = match error {
            RequestError::Timeout => &mut self.timeout,
            RequestError::Unreachable => &mut self.unreachable,
            RequestError::NoHandler => &mut self.no_handler,
            RequestError::Rejected(_) => &mut self.rejected,
            RequestError::Overloaded => &mut self.overloaded,
            RequestError::Left => &mut self.left,
            _ => &mut self.other,
        };
        *counter += 1;
    }
}

/// A message to one node, or a request to one, of the simulator's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) size: u32,
    pub(crate) is_request: bool,
    pub(crate) is_reliable: bool,
}

#[derive(Debug)]
struct Posted {
    letter: Letter,
    at: u64,
    /// The life in which the receiver got it.
    got_in: Option<u32>,
}

#[derive(Debug)]
struct Open {
    asked: u64,
    due: u64,
    /// The number of the letter, if it is the simulator's own.
    number: Option<u64>,
    /// Size that the answer is to have.
    answer: Option<u32>,
    is_message: bool,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    pub(crate) failed: Failures,
    /// Until an answer came.
    pub(crate) took: Histogram,
    pub(crate) directs: u64,
    pub(crate) directs_delivered: u64,
    pub(crate) undelivered: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Requests {
    open: BTreeMap<u32, BTreeMap<RequestId, Open>>,
    posted: BTreeMap<u64, Posted>,
    pub(crate) counts: Counts,
    pub(crate) findings: Vec<Finding>,
}

/// What is known of a request or of a message to be confirmed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// How long the end may take, in microseconds.
    pub(crate) patience: u64,
    pub(crate) number: Option<u64>,
    pub(crate) answer: Option<u32>,
    pub(crate) is_message: bool,
}

impl Requests {
    /// A message or a request was accepted.
    pub(crate) fn posted(&mut self, facts: &Facts, number: u64, letter: Letter) {
        self.counts.directs += u64::from(!letter.is_request);
        self.posted.insert(number, Posted { letter, at: facts.now, got_in: None });
    }

    /// A request was accepted, or a message that is to be confirmed.
    pub(crate) fn asked(&mut self, facts: &Facts, host: u32, id: RequestId, terms: Terms) {
        let Terms { patience, number, answer, is_message } = terms;
        self.counts.asked += u64::from(!is_message);
        // Clocks may run slow by as much as a fault can make them.
        let due = facts.now + patience * 2 + GRACE;
        let open = Open { asked: facts.now, due, number, answer, is_message };
        if self.open.entry(host).or_default().insert(id, open).is_some() {
            self.findings.push((Oracle::Requests, Some(host), format!("two requests have the name {id}")));
        }
    }

    /// A message or a request came to the application of a node.
    pub(crate) fn came(&mut self, host: u32, life: u32, from: Option<u32>, payload: &[u8]) {
        let number = crate::payload::number_of(payload);
        let posted = number.and_then(|number| self.posted.get_mut(&number));
        let Some((posted, number)) = posted.zip(number) else {
            let message = "delivers a message that nobody sent".to_owned();
            self.findings.push((Oracle::Invented, Some(host), message));
            return;
        };
        let Letter { from: sender, to, size, is_request, is_reliable } = posted.letter;
        if to != host || from != Some(sender) || !crate::payload::is_content(payload, number, size) {
            let message = format!("delivers message {number} of node {sender} to node {to} as one that it is not");
            self.findings.push((Oracle::Invented, Some(host), message));
            return;
        }
        if (is_request || is_reliable) && posted.got_in == Some(life) {
            let message = format!("delivers message {number} of node {sender} a second time");
            self.findings.push((Oracle::Requests, Some(host), message));
        }
        self.counts.directs_delivered += u64::from(!is_request && posted.got_in.is_none());
        posted.got_in = Some(life);
    }

    /// A request ended, or a message was reported as not confirmed; whether it was the simulator's own.
    pub(crate) fn ended(
        &mut self,
        facts: &Facts,
        host: u32,
        id: RequestId,
        result: Result<&[u8], &RequestError>,
    ) -> bool {
        let open = self.open.get_mut(&host).and_then(|open| open.remove(&id));
        let Some(open) = open else {
            let message = format!("request {id} ended twice, or was not made with `AppContext::request`");
            self.findings.push((Oracle::Requests, Some(host), message));
            return false;
        };
        match result {
            Ok(answer) => {
                self.counts.answered += 1;
                self.counts.took.add(facts.now - open.asked);
                if let Some((number, size)) = open.number.zip(open.answer)
                    && !crate::payload::is_content(answer, number, size)
                {
                    let message = format!("request {id} got the answer to another one");
                    self.findings.push((Oracle::Invented, Some(host), message));
                }
            }
            Err(_) if open.is_message => self.counts.undelivered += 1,
            Err(error) => self.counts.failed.count(error),
        }
        open.number.is_some()
    }

    /// A request was cancelled: it has no end.
    pub(crate) fn cancelled(&mut self, host: u32, id: RequestId) {
        if let Some(open) = self.open.get_mut(&host) {
            open.remove(&id);
        }
    }

    /// A node stopped; its requests have no end.
    pub(crate) fn stopped(&mut self, host: u32) {
        self.open.remove(&host);
    }

    /// Whether something has not ended that will.
    pub(crate) fn is_waiting(&self) -> bool {
        self.open.values().any(|open| !open.is_empty())
    }

    /// Finds what should have ended.
    pub(crate) fn check(&mut self, facts: &Facts) {
        for (&host, open) in &mut self.open {
            let person = facts.person(host);
            if person.pauses > 0 || person.slowed > 0 {
                let late = facts.now + GRACE;
                for open in open.values_mut() {
                    open.due = open.due.max(late);
                }
                continue;
            }
            open.retain(|id, open| {
                if facts.now < open.due {
                    return true;
                }
                let posted = open.number.and_then(|number| self.posted.get(&number));
                if open.is_message && posted.is_none_or(|posted| posted.got_in.is_some()) {
                    return false;
                }
                let what = if open.is_message { "message that was to be confirmed" } else { "request" };
                let asked = open.asked as f64 / 1e6;
                let message = format!("the {what} {id} of {asked:.3} s has no end");
                self.findings.push((Oracle::Requests, Some(host), message));
                false
            });
        }
        // Numbers grow with time.
        while let Some(oldest) = self.posted.first_entry() {
            if oldest.get().at + REMEMBERED > facts.now {
                break;
            }
            oldest.remove();
        }
    }
}
