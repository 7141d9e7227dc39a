//! What the driver counts, beside what the protocol counts.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $label:literal,)*) => {
        /// Something that the driver counts.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[non_exhaustive]
        pub enum Counter { $($(#[$doc])* $variant,)* }

        impl Counter {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name used in metrics and reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

counters! {
    /// Datagrams that the operating system refused to send.
    DatagramSendErrors = "datagram_send_errors",
    /// Datagrams that had to wait because the socket was full.
    DatagramsHeld = "datagrams_held",
    /// Errors on receiving datagrams, such as word that a peer's port is closed.
    DatagramReceiveErrors = "datagram_receive_errors",
    /// Incoming connections.
    ConnectionsAccepted = "connections_accepted",
    /// Incoming connections closed at once because there were too many.
    ConnectionsRefused = "connections_refused",
    /// Incoming connections that could not be accepted, for example for want of file handles.
    AcceptErrors = "accept_errors",
    /// Incoming connections closed to make room before they had shown a valid message.
    UnprovenEvicted = "unproven_evicted",
    /// Incoming connections that showed no valid message in time.
    FirstFrameTimeouts = "first_frame_timeouts",
    /// Incoming connections that could not be made ready for messages.
    HandshakeFailures = "handshake_failures",
    /// Connections opened to peers.
    Dials = "dials",
    /// Connections that could not be opened.
    DialFailures = "dial_failures",
    /// Connections not opened because too many were in use for too long.
    DialsRefused = "dials_refused",
    /// Messages for connections that their peer had opened and closed again.
    RepliesToClosed = "replies_to_closed",
    /// Connections closed because nothing was sent or received for long.
    IdleClosed = "idle_closed",
    /// Connections that broke.
    LinksBroken = "links_broken",
    /// Connections closed because nothing came over them and their peer was suspected.
    LinksSilent = "links_silent",
    /// Connections closed because the peer did not take more bytes in time.
    WriteTimeouts = "write_timeouts",
    /// Connections closed because a message did not go on arriving in time.
    ReadTimeouts = "read_timeouts",
    /// Connections closed because too much was waiting for the peer.
    LinkQueueOverflows = "link_queue_overflows",
    /// Messages not queued because too much was waiting for all peers together.
    TotalQueueOverflows = "total_queue_overflows",
    /// Connections closed because too much of unfinished messages was held.
    ReceiveQueueOverflows = "receive_queue_overflows",
    /// Datagrams that were to travel over a connection and were dropped: it had little room, or there was none.
    LinkDatagramsDropped = "link_datagrams_dropped",
    /// Packets passed on between two nodes that only dial.
    Relayed = "relayed",
    /// Packets for another node that were not passed on: it is no such member, there is no connection to it or it has
    /// little room, or the sender is no such member itself.
    RelaysRefused = "relays_refused",
    /// Stream messages received, and datagrams that came over a connection.
    FramesReceived = "frames_received",
    /// Connections closed because a message was announced as longer than allowed.
    FramesOversized = "frames_oversized",
    /// Connections closed because a message was announced as shorter than any can be.
    FramesUndersized = "frames_undersized",
    /// Connections that ended in the middle of a message.
    FramesTruncated = "frames_truncated",
    /// Connections closed because the protocol could make nothing of what came, or it was another one.
    LinksRejected = "links_rejected",
    /// Names of seeds that could not be resolved.
    ResolveFailures = "resolve_failures",
    /// Events dropped because a subscriber or a callback was slow.
    EventsMissed = "events_missed",
    /// Callbacks removed because they panicked.
    CallbackPanics = "callback_panics",
    /// Best-effort messages that were accepted and could not be sent: their receiver was gone meanwhile, too much was
    /// on its way, or the node stopped.
    MessagesUnsent = "messages_unsent",
    /// Messages that came and that nobody here handles.
    MessagesUnhandled = "messages_unhandled",
    /// Messages dropped because their handler was slow.
    MessagesMissed = "messages_missed",
    /// Messages that a reader of all messages did not get because it was slow.
    ReadersMissed = "readers_missed",
    /// Requests of others refused because nobody here handles their type.
    RequestsUnhandled = "requests_unhandled",
    /// Requests of others refused because their handler was slow.
    RequestsOverloaded = "requests_overloaded",
    /// Answers that nobody waited for any more.
    AnswersLate = "answers_late",
    /// Answers that could not be written or were too large; their requests were rejected.
    AnswersUnsendable = "answers_unsendable",
    /// Answers refused because too much was waiting for the asker.
    AnswersCrowded = "answers_crowded",
    /// Calls of handlers that panicked.
    HandlerPanics = "handler_panics",
    /// Ordered broadcasts of others that are lost for good.
    BroadcastsLost = "broadcasts_lost",
}

/// The counters while they count.
#[derive(Debug)]
pub(crate) struct Counters([AtomicU64; Counter::ALL.len()]);

impl Counters {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(crate) fn add(&self, counter: Counter, count: u64) {
        self.0[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// The counts as they are now, beside these gauges.
    pub(crate) fn read(&self, gauges: Gauges) -> DriverStats {
        let Gauges { links, links_unproven, bytes_queued } = gauges;
        let counts = std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed));
        DriverStats { links, links_unproven, bytes_queued, counts }
    }
}

/// How much the driver holds now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) links: usize,
    pub(crate) links_unproven: usize,
    pub(crate) bytes_queued: usize,
}

/// What the driver counted since the start of the node, and how much it holds now.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverStats {
    /// Connections open now, both ways, dialing and closing ones included.
    pub links: usize,
    /// Those of them that have not shown a valid message yet.
    pub links_unproven: usize,
    /// Bytes waiting now to be written to peers.
    pub bytes_queued: usize,
    counts: [u64; Counter::ALL.len()],
}

impl Default for DriverStats {
    fn default() -> Self {
        let Gauges { links, links_unproven, bytes_queued } = Gauges::default();
        Self { links, links_unproven, bytes_queued, counts: [0; Counter::ALL.len()] }
    }
}

impl DriverStats {
    /// How often this happened since the start of the node.
    pub fn count(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }
}

impl fmt::Debug for DriverStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("DriverStats");
        out.field("links", &self.links);
        out.field("links_unproven", &self.links_unproven);
        out.field("bytes_queued", &self.bytes_queued);
        for counter in Counter::ALL.iter().filter(|&&counter| self.count(counter) > 0) {
            out.field(counter.name(), &self.count(*counter));
        }
        out.finish_non_exhaustive()
    }
}

/// Counters of a node: what the protocol did, and what its sockets and queues did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Packets, messages and drops by reason, as the protocol counts them.
    pub protocol: gossip_core::Stats,
    /// Connections, queues, sockets and subscribers.
    pub driver: DriverStats,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_its_own_place_and_name() {
        let counters = Counters::new();
        for (at, &counter) in Counter::ALL.iter().enumerate() {
            counters.add(counter, at as u64 + 1);
        }
        let stats = counters.read(Gauges::default());
        let mut names: Vec<&str> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        for (at, &counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(stats.count(counter), at as u64 + 1);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::ALL.len());
    }
}
