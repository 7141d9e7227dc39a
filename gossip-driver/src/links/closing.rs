//! When connections end: those that are idle, that are too many, that are of no use any more.

use std::time::Instant;

use crate::link::LinkId;
use crate::links::{Direction, Link, Links, State};
use crate::runtime::Runtime;
use crate::stats::Counter;

impl<R: Runtime> Links<R> {
    /// When [`sweep`](Self::sweep) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let oldest = self.unproven.first().and_then(|id| self.table.get(id));
        let first_frame = oldest.map(|link| link.opened + self.settings.first_frame_timeout);
        [first_frame, self.next_sweep, self.crowd.check_at, self.keep_deadline()].into_iter().flatten().min()
    }

    /// Closes what was silent for too long.
    pub(crate) fn sweep(&mut self, now: Instant) {
        while let Some(&id) = self.unproven.first() {
            let opened = self.table.get(&id).map(|link| link.opened);
            if opened.is_some_and(|opened| now < opened + self.settings.first_frame_timeout) {
                break;
            }
            self.counters.count(Counter::FirstFrameTimeouts);
            self.kill(id);
            self.unproven.remove(&id);
        }
        if self.next_sweep.is_none_or(|at| now < at) {
            return;
        }
        let due: Vec<LinkId> =
            self.table.iter().filter(|(_, link)| self.idle_at(link) <= now).map(|(&id, _)| id).collect();
        for id in due {
            let is_needed =
                self.table.get(&id).is_some_and(|link| self.is_needed(now, link) || self.is_kept(now, link));
            match self.table.get_mut(&id) {
                // Waiting for an answer is a use of it.
                Some(link) if is_needed && matches!(link.wires, State::Open { .. }) => link.used = now,
                Some(Link { wires: State::Open { .. }, .. }) => {
                    self.counters.count(Counter::IdleClosed);
                    self.close(now, id);
                }
                _ => self.kill(id),
            }
        }
        let live = self.table.values().filter(|link| !matches!(link.wires, State::Killed));
        self.next_sweep = live.map(|link| self.idle_at(link)).min();
    }

    /// Whoever opened a connection closes it first, so that few are closed while the other side begins to use them.
    fn idle_at(&self, link: &Link) -> Instant {
        let patience = match link.direction {
            Direction::Outgoing => self.settings.idle_timeout,
            Direction::Incoming => self.settings.idle_timeout * 2,
        };
        link.used + patience
    }

    /// Closes the link that was not used for the longest time, if one has nothing to send and no answer to wait for.
    pub(super) fn close_least_used(&mut self, now: Instant, direction: Direction) -> bool {
        let open = self.table.iter().filter(|(_, link)| {
            let is_idle = link.queued.bytes() == 0 && !self.is_needed(now, link);
            link.direction == direction && matches!(link.wires, State::Open { .. }) && is_idle
        });
        let Some((&id, link)) = open.min_by_key(|(_, link)| (self.is_kept(now, link), link.used)) else { return false };
        let used = link.used;
        self.counters.count(Counter::IdleClosed);
        self.close(used, id);
        true
    }

    /// Lets a link finish what is queued and then close.
    pub(super) fn close(&mut self, now: Instant, id: LinkId) {
        self.detach(id);
        if let Some(link) = self.table.get_mut(&id) {
            link.used = now;
            if let State::Open { kill, .. } = std::mem::replace(&mut link.wires, State::Killed) {
                link.wires = State::Closing { _kill: kill };
            }
        }
    }

    /// Ends a link at once.
    pub(super) fn kill(&mut self, id: LinkId) {
        self.detach(id);
        if let Some(link) = self.table.get_mut(&id) {
            link.wires = State::Killed;
        }
    }

    /// Takes an open link out of the routes and the limits; its task is still at work.
    pub(super) fn detach(&mut self, id: LinkId) {
        self.unproven.remove(&id);
        let Some(link) = self.table.get(&id).filter(|link| matches!(link.wires, State::Open { .. })) else { return };
        for address in link.addresses() {
            if self.routes.get(&address) == Some(&id) {
                self.routes.remove(&address);
            }
        }
        match link.direction {
            Direction::Outgoing => self.outgoing -= 1,
            Direction::Incoming => self.incoming -= 1,
        }
    }
}
