//! A virtual machine: a clock, a socket, and the node that runs on it.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use gossip_core::{Channel, Instant, KeyRing, Node};

use crate::app::App;
use crate::clock::Clock;
use crate::fault::Comeback;
use crate::packet::PacketId;
use crate::world::Addr;

/// Datagrams that wait in the socket of a machine that does not read them; further ones are lost.
pub(crate) const SOCKET_QUEUE: usize = 2_048;

/// Something that waits to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) packet: PacketId,
    pub(crate) channel: Channel,
    /// Where it came from, as the node is told.
    pub(crate) from: Addr,
}

/// How slow a machine is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slowness {
    /// The fault that makes it so.
    pub(crate) fault: u32,
    pub(crate) delay: u64,
    /// Slow for the first part of each whole.
    pub(crate) pattern: Option<(u64, u64)>,
    pub(crate) since: u64,
}

impl Slowness {
    fn delay_at(&self, now: u64) -> u64 {
        match self.pattern {
            Some((burst, every)) if (now - self.since) % every.max(1) >= burst => 0,
            _ => self.delay,
        }
    }
}

/// How a node starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Coming {
    /// For the first time.
    New,
    /// Again, as this.
    Back(Comeback),
}

/// What a machine that stands still does when it goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Postponed {
    pub(crate) start: Option<Coming>,
    pub(crate) leave: bool,
}

pub(crate) struct Host {
    pub(crate) node: Option<Node<Addr>>,
    pub(crate) app: Option<Box<dyn App>>,
    pub(crate) clock: Clock,
    /// The earliest moment for which a timer entry is in the queue.
    pub(crate) armed: u64,
    /// The node's deadline in world time.
    pub(crate) deadline: u64,
    /// What came while the machine was slow or paused.
    pub(crate) inbox: VecDeque<Waiting>,
    /// A slow machine is busy with the first packet of its inbox …
    pub(crate) is_reading: bool,
    /// … until then.
    pub(crate) busy_until: u64,
    pub(crate) slow: Vec<Slowness>,
    /// How often a node was started here.
    pub(crate) life: u32,
    /// Deadlines in a row that were due at once.
    pub(crate) spins: u32,
    /// When the application wants to be called, by the machine's clock …
    pub(crate) app_due: Option<Instant>,
    /// … and in world time.
    pub(crate) app_timer: u64,
    /// Faults that make the clock drift, and by how much.
    pub(crate) drifts: Vec<(u32, i32)>,
    pub(crate) postponed: Postponed,
    /// The keys that the last node had here.
    pub(crate) keys: Option<KeyRing>,
    /// What the machine has kept of its node's store.
    pub(crate) snapshot: Option<Bytes>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            node: None,
            app: None,
            clock: Clock::new(),
            armed: u64::MAX,
            deadline: u64::MAX,
            inbox: VecDeque::new(),
            is_reading: false,
            busy_until: 0,
            slow: Vec::new(),
            life: 0,
            spins: 0,
            app_due: None,
            app_timer: u64::MAX,
            drifts: Vec::new(),
            postponed: Postponed::default(),
            keys: None,
            snapshot: None,
        }
    }

    /// How long this machine needs for a packet now.
    pub(crate) fn delay(&self, now: u64) -> u64 {
        self.slow.iter().map(|slow| slow.delay_at(now)).max().unwrap_or(0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("runs", &self.node.is_some()).field("life", &self.life).finish_non_exhaustive()
    }
}
