//! Connections between machines: dialed, in order, and broken by what breaks them.

use std::collections::{BTreeMap, VecDeque};

use crate::packet::PacketId;
use crate::world::Addr;

/// Addresses from here on stand for the far end of an accepted connection: like the port of a client, such an address
/// can be answered while the connection lasts, and cannot be dialed.
pub(crate) const FIRST_ACCEPTED: Addr = 0x8000_0000;

/// Longest time for a connection to be made, and for a frame to be accepted by the far end, in microseconds.
pub(crate) const PATIENCE: u64 = 2_000_000;

/// Bytes of a segment without content.
pub(crate) const HANDSHAKE: usize = 12;

/// First wait before a lost segment is sent again; it doubles.
pub(crate) const RESEND: u64 = 200_000;

/// Wait before the next attempt to connect.
pub(crate) const REDIAL: u64 = 1_000_000;

/// Time after which an unused connection is closed.
pub(crate) const IDLE: u64 = 60_000_000;

/// Frames that wait at one end of a connection; one more breaks it.
pub(crate) const FRAMES: usize = 4_096;

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) host: u32,
    /// Which life of the host; a later one knows nothing of the connection.
    pub(crate) life: u32,
    /// What the node at this end knows the other end by.
    pub(crate) key: Addr,
    pub(crate) waiting: VecDeque<PacketId>,
    pub(crate) failing_since: Option<u64>,
    pub(crate) failures: u32,
    pub(crate) is_scheduled: bool,
    /// When the last frame from this end arrives.
    pub(crate) last_arrival: u64,
}

impl End {
    pub(crate) fn new(host: u32, life: u32, key: Addr) -> Self {
        Self {
            host,
            life,
            key,
            waiting: VecDeque::new(),
            failing_since: None,
            failures: 0,
            is_scheduled: false,
            last_arrival: 0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) dialer: End,
    /// The other end, once the connection is made.
    pub(crate) acceptor: Option<End>,
    pub(crate) began: u64,
    pub(crate) used: u64,
}

impl Connection {
    /// One end: that of the dialer or that of the acceptor.
    pub(crate) fn end_mut(&mut self, of_dialer: bool) -> Option<&mut End> {
        if of_dialer { Some(&mut self.dialer) } else { self.acceptor.as_mut() }
    }

    pub(crate) fn ends(&self) -> impl Iterator<Item = &End> {
        [&self.dialer].into_iter().chain(&self.acceptor)
    }
}

/// All connections, by a number that is never used again.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) by_id: BTreeMap<u32, Connection>,
    /// By the machine that dialed, and the address.
    dialed: BTreeMap<(u32, Addr), u32>,
    last: u32,
}

impl Connections {
    /// The connection that `host` means by `address`, and whether it dialed it.
    pub(crate) fn find(&self, host: u32, life: u32, address: Addr) -> Option<(u32, bool)> {
        if let Some(id) = address.checked_sub(FIRST_ACCEPTED) {
            let acceptor = self.by_id.get(&id)?.acceptor.as_ref()?;
            return (acceptor.host == host && acceptor.life == life).then_some((id, false));
        }
        self.dialed.get(&(host, address)).map(|&id| (id, true))
    }

    pub(crate) fn dial(&mut self, now: u64, host: u32, life: u32, address: Addr) -> u32 {
        self.last += 1;
        let dialer = End::new(host, life, address);
        self.by_id.insert(self.last, Connection { dialer, acceptor: None, began: now, used: now });
        self.dialed.insert((host, address), self.last);
        self.last
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Connection> {
        let connection = self.by_id.remove(&id)?;
        self.dialed.remove(&(connection.dialer.host, connection.dialer.key));
        Some(connection)
    }

    /// The connections of a machine.
    pub(crate) fn of(&self, host: u32) -> Vec<u32> {
        let is_at = |connection: &Connection| connection.ends().any(|end| end.host == host);
        self.by_id.iter().filter(|(_, connection)| is_at(connection)).map(|(&id, _)| id).collect()
    }
}
