//! Counters: what was sent and received by kind, and what was dropped and why.

use core::fmt;

macro_rules! counted {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name used in metrics and reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

counted! {
    /// Kinds of message inside packets.
    MessageKind {
        /// A probe.
        Ping = "ping",
        /// The answer to a probe.
        Ack = "ack",
        /// A request to probe somebody else.
        PingRequest = "ping_request",
        /// Word that a requested probe was not answered.
        Nack = "nack",
        /// What is known of one member.
        Claim = "claim",
        /// Changed metadata of one member.
        Metadata = "metadata",
        /// A request for metadata that the sender lacks.
        MetadataRequest = "metadata_request",
        /// A request to be let in.
        Join = "join",
        /// The answer that lets in; the member table follows.
        Accept = "accept",
        /// The answer that does not.
        Reject = "reject",
        /// Fingerprints of a member table.
        Digest = "digest",
        /// Where two member tables differ.
        Difference = "difference",
        /// Word to a node that a later start has its id.
        Conflict = "conflict",
        /// A message to one node.
        Direct = "direct",
        /// A request, or a message that is to be confirmed.
        Request = "request",
        /// The end of a request, as the node puts it that was asked.
        Reply = "reply",
        /// A copy of a broadcast.
        Copy = "copy",
        /// Acknowledged copies.
        CopyAck = "copy_ack",
        /// Which broadcasts came lately.
        Recent = "recent",
        /// A request for broadcasts that the sender missed.
        Pull = "pull",
        /// Which broadcasts were before the receiver's time.
        Baseline = "baseline",
        /// Which broadcasts came lately, with a request for those that the sender lacks.
        Compare = "compare",
        /// What an election takes: votes, and word of who leads.
        Ballot = "ballot",
        /// What locks take: questions to the leader, answers, and records that are kept by others.
        Lock = "lock",
        /// The fingerprint of a store.
        StoreRoot = "store_root",
        /// A step of a comparison of two stores.
        StoreSync = "store_sync",
    }
}

impl MessageKind {
    /// Whether it wants an answer.
    pub(crate) const fn is_request(self) -> bool {
        matches!(
            self,
            Self::Ping
                | Self::PingRequest
                | Self::MetadataRequest
                | Self::Join
                | Self::Digest
                | Self::Difference
                | Self::Pull
                | Self::Compare
                | Self::StoreSync
        )
    }

    /// Whether it is only taken from a connection: its answer is large, or it speaks for an address.
    pub(crate) const fn is_for_streams(self) -> bool {
        matches!(
            self,
            Self::MetadataRequest
                | Self::Join
                | Self::Accept
                | Self::Reject
                | Self::Digest
                | Self::Difference
                | Self::Conflict
                | Self::Request
                | Self::Reply
                | Self::Baseline
                | Self::StoreSync
        )
    }
}

counted! {
    /// Why input was dropped, or a part of it not acted on.
    DropReason {
        /// Shorter than an envelope.
        Truncated = "truncated",
        /// Longer than the limit.
        Oversized = "oversized",
        /// A protocol version that this node does not speak.
        Version = "version",
        /// A sealed packet, or a flag that this node does not know.
        Flags = "flags",
        /// Another cluster's.
        Cluster = "cluster",
        /// Bytes that do not decode.
        Malformed = "malformed",
        /// A message of a kind that this node does not know; the rest of the packet counts.
        UnknownKind = "unknown_kind",
        /// From this very node.
        Myself = "myself",
        /// From an earlier start of a member that has started again since.
        StaleEpoch = "stale_epoch",
        /// Over a datagram, where only a connection tells who asks.
        Channel = "channel",
        /// A second request in one packet.
        Repeated = "repeated",
        /// Meant for another node: the id in it is not this node's.
        WrongTarget = "wrong_target",
        /// An answer that nobody waits for.
        Unexpected = "unexpected",
        /// About a member that this node does not know.
        UnknownMember = "unknown_member",
        /// A claim about one start that contradicts itself: two addresses.
        Contradiction = "contradiction",
        /// The member table is full.
        MembersFull = "members_full",
        /// A table of bounded size inside the node is full, or one asker has drawn too much of the member table lately.
        Busy = "busy",
        /// Metadata over the limit.
        MetadataTooLarge = "metadata_too_large",
        /// Received while this node is quiet because of an id conflict, or after it left.
        Quiet = "quiet",
        /// A packet to be sent that found the queue full.
        TransmitsFull = "transmits_full",
        /// A message, a broadcast or a request that came before.
        Duplicate = "duplicate",
        /// The answer to a request that has ended.
        LateAnswer = "late_answer",
        /// A message of a type that is the protocol's own.
        ReservedType = "reserved_type",
        /// A broadcast so old that it is not known whether it came before.
        TooOld = "too_old",
        /// A broadcast so far ahead of others that are still missing that it is not remembered; it is sent again.
        TooFar = "too_far",
        /// A broadcast to a tag that this node does not have, or asked for by a node that does not have it.
        NotTagged = "not_tagged",
        /// A broadcast of one more origin than this node keeps track of.
        OriginsFull = "origins_full",
        /// A copy of a broadcast that found too much on its way.
        CopiesFull = "copies_full",
        /// A message that found the application's deliveries full.
        DeliveriesFull = "deliveries_full",
        /// Not sealed, and this node has a key ring.
        Plaintext = "plaintext",
        /// Sealed with a key that is not in the ring.
        UnknownKey = "unknown_key",
        /// The seal does not fit: changed, made without the key, or for another node or another start of this one.
        BadSeal = "bad_seal",
        /// A sealed packet that came before, or is so old that it is not known whether it did.
        Replayed = "replayed",
        /// Sealed for whom it may concern, which only a request to join may be.
        Unbound = "unbound",
        /// A row of a store whose key or value is over the limit.
        StoreEntryTooLarge = "store_entry_too_large",
        /// A row that found its store full.
        StoreFull = "store_full",
        /// A row written, ended, or ending too far ahead of this node's wall clock.
        StoreClockAhead = "store_clock_ahead",
    }
}

/// Counters since the start of the node. They only grow.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams sent, one for each address.
    pub datagrams_sent: u64,
    /// Bytes in them, without IP and UDP headers.
    pub datagram_bytes_sent: u64,
    /// Datagrams received, whatever became of them.
    pub datagrams_received: u64,
    /// Bytes in them.
    pub datagram_bytes_received: u64,
    /// Stream messages sent.
    pub stream_messages_sent: u64,
    /// Bytes in them.
    pub stream_bytes_sent: u64,
    /// Stream messages received, whatever became of them.
    pub stream_messages_received: u64,
    /// Bytes in them.
    pub stream_bytes_received: u64,
    /// Packets taken that were not sealed, though this node has a key ring; see [`Plaintext`](crate::Plaintext).
    pub plaintext_received: u64,
    /// Probes of this node that went unanswered.
    pub probes_failed: u64,
    /// Suspicions or deaths of itself that this node refuted.
    pub refutations: u64,
    /// Exchanges of table fingerprints that this node began.
    pub exchanges: u64,
    /// Comparisons of stores that this node began.
    pub store_exchanges: u64,
    /// Events dropped unread.
    pub events_missed: u64,
    /// Messages and broadcasts dropped because earlier ones were not polled.
    pub deliveries_missed: u64,
    /// Copies of broadcasts sent again because they were not acknowledged.
    pub copies_repeated: u64,
    /// Offers of copies, to those who did not acknowledge several of them.
    pub copies_offered: u64,
    /// Arcs of a broadcast handed to another member because the first one did not answer.
    pub arcs_handed_over: u64,
    /// Broadcasts that this node missed at first and asked for.
    pub broadcasts_pulled: u64,
    /// Broadcasts that were missed and given up; [`Delivery::Gap`](crate::Delivery::Gap) tells of each.
    pub broadcasts_given_up: u64,
    /// Bytes sent to keep broadcasts reliable: acknowledgements, requests and offers, with the packets that carry them, and what is
    /// told of late, whose packets are mostly sent anyhow. Once for each address.
    pub broadcast_control_bytes_sent: u64,
    /// Bytes of payload in copies of broadcasts sent, once for each address.
    pub copy_payload_bytes_sent: u64,
    /// Bytes of the headers of these copies, once for each address.
    pub copy_header_bytes_sent: u64,
    /// Bytes of application payload sent, once for each address.
    pub payload_bytes_sent: u64,
    /// Calls whose time lay before that of an earlier call; it was taken for the earlier one's.
    pub clock_regressions: u64,
    /// Calls that came so late that this node must have been paused.
    pub stalls: u64,
    sent: [u64; MessageKind::ALL.len()],
    received: [u64; MessageKind::ALL.len()],
    dropped: Dropped,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Dropped([u64; DropReason::ALL.len()]);

impl Default for Dropped {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

/// What waits inside a node to be polled; each is bounded by a setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// Packets, at most [`Config::max_transmits`](crate::Config::max_transmits).
    pub transmits: usize,
    /// Events, at most [`Config::max_events`](crate::Config::max_events).
    pub events: usize,
    /// Deliveries. Those that end a request are bounded with the requests, all others by
    /// [`Config::max_deliveries`](crate::Config::max_deliveries).
    pub deliveries: usize,
}

impl Stats {
    /// Messages of this kind sent, one for each address.
    pub fn sent(&self, kind: MessageKind) -> u64 {
        self.sent[kind as usize]
    }

    /// Messages of this kind received in packets that decoded.
    pub fn received(&self, kind: MessageKind) -> u64 {
        self.received[kind as usize]
    }

    /// Input dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.0[reason as usize]
    }

    /// Input dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.0.iter().sum()
    }

    pub(crate) fn count_sent(&mut self, kind: MessageKind, times: usize) {
        self.sent[kind as usize] += times as u64;
    }

    pub(crate) fn count_received(&mut self, kind: MessageKind) {
        self.received[kind as usize] += 1;
    }

    pub(crate) fn count_dropped(&mut self, reason: DropReason) {
        self.add_dropped(reason, 1);
    }

    pub(crate) fn add_dropped(&mut self, reason: DropReason, times: u64) {
        self.dropped.0[reason as usize] += times;
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Stats");
        out.field("datagrams_sent", &self.datagrams_sent);
        out.field("datagrams_received", &self.datagrams_received);
        out.field("stream_messages_sent", &self.stream_messages_sent);
        out.field("stream_messages_received", &self.stream_messages_received);
        for reason in DropReason::ALL.iter().filter(|&&reason| self.dropped(reason) > 0) {
            out.field(reason.name(), &self.dropped(*reason));
        }
        out.finish_non_exhaustive()
    }
}
