//! Streams: connections are dialed, carry frames in order, and break.

use gossip_core::Channel;

use crate::host::Waiting;
use crate::packet::PacketId;
use crate::queue::Class;
use crate::stream::{End, FIRST_ACCEPTED, FRAMES, HANDSHAKE, IDLE, PATIENCE, REDIAL, RESEND};
use crate::world::{Addr, NOBODY, What, World};

impl World {
    /// Sends a frame over the connection that the sender means by `to`, or dials one; the caller keeps its hold.
    pub(super) fn send_frame(&mut self, host: u32, to: Addr, packet: PacketId) {
        let (now, life) = (self.facts.now, self.hosts[host as usize].life);
        let (id, by_dialer) = match self.connections.find(host, life, to) {
            Some(found) => found,
            None if to >= FIRST_ACCEPTED => {
                self.report_unreachable(host, life, to, 0);
                return;
            }
            None => {
                let id = self.connections.dial(now, host, life, to);
                self.queue.push(now, Class::Arrival, What::Dial { connection: id });
                (id, true)
            }
        };
        let Some(connection) = self.connections.by_id.get_mut(&id) else { return };
        connection.used = now;
        let is_open = connection.acceptor.is_some();
        let Some(end) = connection.end_mut(by_dialer) else { return };
        self.pool.share(packet);
        end.waiting.push_back(packet);
        let is_full = end.waiting.len() > FRAMES;
        let is_to_push = is_open && !end.is_scheduled;
        end.is_scheduled |= is_to_push;
        if is_full {
            self.break_connection(id);
        } else if is_to_push {
            self.queue.push(now, Class::Arrival, What::Push { connection: id, by_dialer });
        }
    }

    pub(super) fn dial(&mut self, id: u32) {
        let Some(connection) = self.connections.by_id.get(&id) else { return };
        let (from, address, began) = (connection.dialer.host, connection.dialer.key, connection.began);
        let now = self.facts.now;
        let target = self.host_at(address);
        let way = if target == NOBODY { None } else { self.send_segment(from, target, HANDSHAKE) };
        let back = if target == NOBODY { None } else { self.send_segment(target, from, HANDSHAKE) };
        let (Some(there), Some(back)) = (way, back) else {
            if now - began >= PATIENCE {
                self.break_connection(id);
            } else {
                self.queue.push(now + REDIAL, Class::Arrival, What::Dial { connection: id });
            }
            return;
        };
        // Refused where no node runs: the dialer learns it after a round trip as well.
        self.queue.push(now + there + back, Class::Arrival, What::Connected { connection: id });
    }

    pub(super) fn connected(&mut self, id: u32) {
        let Some(connection) = self.connections.by_id.get_mut(&id) else { return };
        let address = connection.dialer.key;
        let target = self.host_at(address);
        if target == NOBODY || !self.facts.person(target).runs() {
            self.break_connection(id);
            return;
        }
        let life = self.hosts[target as usize].life;
        let Some(connection) = self.connections.by_id.get_mut(&id) else { return };
        connection.acceptor = Some(End::new(target, life, FIRST_ACCEPTED + id));
        connection.dialer.is_scheduled = true;
        self.queue.push(self.facts.now, Class::Arrival, What::Push { connection: id, by_dialer: true });
        self.queue.push(self.facts.now + IDLE, Class::Watch, What::Idle { connection: id });
    }

    /// Sends what waits at one end, until it is done or a segment is lost.
    pub(super) fn push(&mut self, id: u32, by_dialer: bool) {
        let now = self.facts.now;
        loop {
            let Some(connection) = self.connections.by_id.get_mut(&id) else { return };
            let Some(to) = connection.end_mut(!by_dialer).map(|end| end.host) else { return };
            let Some(end) = connection.end_mut(by_dialer) else { return };
            let (from, last) = (end.host, end.last_arrival);
            let Some(&packet) = end.waiting.front() else {
                end.is_scheduled = false;
                return;
            };
            let size = self.pool.packet(packet).bytes.len();
            let delay = self.send_segment(from, to, size);
            let Some(connection) = self.connections.by_id.get_mut(&id) else { return };
            let Some(end) = connection.end_mut(by_dialer) else { return };
            let Some(delay) = delay else {
                let since = *end.failing_since.get_or_insert(now);
                let wait = RESEND << end.failures.min(2);
                end.failures += 1;
                if now - since >= PATIENCE {
                    self.break_connection(id);
                } else {
                    self.queue.push(now + wait, Class::Arrival, What::Push { connection: id, by_dialer });
                }
                return;
            };
            end.waiting.pop_front();
            (end.failing_since, end.failures) = (None, 0);
            end.last_arrival = last.max(now + delay);
            let at = end.last_arrival;
            self.queue.push(at, Class::Arrival, What::Frame { connection: id, by_dialer, packet });
        }
    }

    pub(super) fn frame(&mut self, id: u32, by_dialer: bool, packet: PacketId) {
        let now = self.facts.now;
        let receiver = self.connections.by_id.get_mut(&id).and_then(|connection| {
            connection.used = now;
            connection.end_mut(!by_dialer).map(|end| (end.host, end.life, end.key))
        });
        match receiver {
            Some((host, life, from)) if self.hosts[host as usize].life == life => {
                self.receive(host, Waiting { packet, channel: Channel::Stream, from });
            }
            _ => self.pool.release(packet),
        }
    }

    pub(super) fn idle(&mut self, id: u32) {
        let Some(connection) = self.connections.by_id.get(&id) else { return };
        let is_waiting = connection.ends().any(|end| !end.waiting.is_empty());
        if connection.used + IDLE <= self.facts.now && !is_waiting {
            self.connections.remove(id);
        } else {
            let at = (connection.used + IDLE).max(self.facts.now + 1_000_000);
            self.queue.push(at, Class::Watch, What::Idle { connection: id });
        }
    }

    /// Closes a connection; whoever still has something to send is told that the other is unreachable.
    pub(super) fn break_connection(&mut self, id: u32) {
        let Some(connection) = self.connections.remove(id) else { return };
        for end in [Some(connection.dialer), connection.acceptor].into_iter().flatten() {
            if !end.waiting.is_empty() {
                self.report_unreachable(end.host, end.life, end.key, 0);
            }
            end.waiting.into_iter().for_each(|packet| self.pool.release(packet));
        }
    }

    /// A machine stops: its connections are gone, and the other ends notice when they have something to send.
    pub(super) fn drop_connections(&mut self, host: u32) {
        for id in self.connections.of(host) {
            self.break_connection(id);
        }
    }

    fn report_unreachable(&mut self, host: u32, life: u32, address: Addr, after: u64) {
        let what = What::Unreachable { host, life, address };
        self.queue.push(self.facts.now + after, Class::Arrival, what);
    }

    pub(super) fn unreachable(&mut self, host: u32, life: u32, address: Addr) {
        let person = self.facts.person(host);
        let state = &mut self.hosts[host as usize];
        if state.life != life || !person.runs() {
            return;
        }
        if person.pauses > 0 {
            self.queue.push(self.facts.now + RESEND, Class::Arrival, What::Unreachable { host, life, address });
            return;
        }
        let local = state.clock.read(self.facts.now);
        if let Some(node) = &mut state.node {
            node.handle_unreachable(local, &address);
            self.settle(host);
        }
    }
}
