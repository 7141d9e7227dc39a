//! Frames that wait for a connection while as many are open as may be.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

use bytes::Bytes;
use tracing::debug;

use super::{Direction, Links, State, Unreachable};
use crate::NodeAddress;
use crate::queue::{Level, Overflow, Queued};
use crate::runtime::Runtime;
use crate::stats::Counter;

/// Addresses that may wait; the bytes for them count as those of connections do.
const LONGEST: usize = 16_384;

/// Those who wait, the first one first.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    order: VecDeque<NodeAddress>,
    frames: HashMap<NodeAddress, Held>,
    /// When it is looked again whether somebody has waited for too long.
    pub(super) check_at: Option<Instant>,
}

/// What waits for one connection.
#[derive(Debug)]
struct Held {
    since: Instant,
    frames: Vec<Queued>,
    queued: Level,
}

impl Crowd {
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn queued(&self, to: &NodeAddress) -> Option<&Level> {
        self.frames.get(to).map(|held| &held.queued)
    }

    fn pop(&mut self) -> Option<(NodeAddress, Held)> {
        let first = self.order.pop_front()?;
        self.frames.remove_entry(&first)
    }
}

impl<R: Runtime> Links<R> {
    /// Keeps a frame until there is room for a connection to `to`.
    pub(super) fn hold(&mut self, now: Instant, to: &NodeAddress, frame: Bytes) -> Result<(), Unreachable> {
        let is_new = !self.crowd.frames.contains_key(to);
        if is_new && self.crowd.order.len() >= LONGEST {
            self.refuse_dial(to);
            return Err(Unreachable);
        }
        let queued = self.crowd.queued(to).cloned().unwrap_or_default();
        let limits = (self.settings.link_queue, self.settings.total_queue);
        let frame = Queued::new(frame, (&queued, limits.0), (&self.queued, limits.1)).map_err(|overflow| {
            self.counters.count(match overflow {
                Overflow::Link => Counter::LinkQueueOverflows,
                Overflow::Total => Counter::TotalQueueOverflows,
            });
            debug!(address = %to, ?overflow, "dropped a message: too much waits for a connection");
            Unreachable
        })?;
        if self.crowd.is_empty() {
            self.crowd.check_at = Some(now + self.settings.link.write_timeout);
        }
        if is_new {
            self.crowd.order.push_back(to.clone());
        }
        let held =
            self.crowd.frames.entry(to.clone()).or_insert_with(|| Held { since: now, frames: Vec::new(), queued });
        held.frames.push(frame);
        self.is_crowded.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Opens connections for those who wait, as far as there is room now.
    pub(crate) fn relieve(&mut self, now: Instant) {
        if self.crowd.is_empty() {
            return;
        }
        // Either a link whose queue becomes empty sees that it is crowded, or this sees that it is empty.
        fence(Ordering::SeqCst);
        while !self.crowd.is_empty() && self.make_room(now, Direction::Outgoing) {
            let Some((to, held)) = self.crowd.pop() else { break };
            let id = match self.routes.get(&to) {
                Some(&id) => id,
                None => self.dial(now, &to, held.queued),
            };
            let Some(link) = self.table.get_mut(&id) else { continue };
            (link.used, link.sent) = (now, Some(now));
            if let State::Open { queue, .. } = &link.wires {
                for frame in held.frames {
                    // A task that has ended in between is reported by its end.
                    let _ = queue.try_send(frame);
                }
            }
        }
        if self.crowd.is_empty() {
            self.crowd.check_at = None;
            self.is_crowded.store(false, Ordering::Relaxed);
        }
    }

    /// Gives up what has waited for too long: addresses that could not be reached. Requests wait until they end.
    pub(crate) fn give_up(&mut self, now: Instant) -> Vec<NodeAddress> {
        if self.crowd.check_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let patience = self.settings.link.write_timeout;
        let is_over = |to: &NodeAddress, held: &mut Held| held.since + patience <= now && !self.awaited.contains(to);
        let over: Vec<NodeAddress> = self.crowd.frames.extract_if(is_over).map(|(to, _)| to).collect();
        self.crowd.order.retain(|to| self.crowd.frames.contains_key(to));
        self.crowd.check_at = (!self.crowd.is_empty()).then_some(now + patience);
        self.is_crowded.store(!self.crowd.is_empty(), Ordering::Relaxed);
        for to in &over {
            self.refuse_dial(to);
        }
        over
    }

    /// Whether one more connection may be opened, for which an idle one may have to give way.
    pub(super) fn make_room(&mut self, now: Instant, direction: Direction) -> bool {
        let open = match direction {
            Direction::Incoming => self.incoming,
            Direction::Outgoing => self.outgoing,
        };
        open < self.settings.max_connections || self.close_least_used(now, direction)
    }

    fn refuse_dial(&self, to: &NodeAddress) {
        self.counters.count(Counter::DialsRefused);
        let limit = self.settings.max_connections;
        debug!(address = %to, limit, "not connected: too many connections are in use");
    }
}
