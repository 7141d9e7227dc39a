//! Settings of a node, the presets, and what makes a setting invalid.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use crate::message::LONGEST_PATIENCE;
use crate::seal::{KeyRing, Plaintext, TAG};
use crate::wire;

/// The kind of a message and its length, at the most.
const LENGTH: usize = 6;

/// Decides whether a node that states this application version may join; see [`Config::accept_application`].
pub type AcceptApplication = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Settings of a node. Start from a preset and change what differs; [`Node::new`](crate::Node::new) validates the whole.
///
/// All members of a cluster should run the same timing: a node that probes faster than its peers expect does no harm,
/// but one that suspects faster takes decisions for all.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Name of the cluster; nodes of other clusters are refused. 1 to 255 bytes.
    pub cluster: String,

    /// Version of the application, told to peers on joining. At most 255 bytes.
    pub application: String,
    /// Whether a joining node with the application version handed in is let in. The default lets everybody in.
    pub accept_application: AcceptApplication,

    /// The keys that packets are sealed with. `None` sends plaintext, which keeps nobody out.
    ///
    /// All members need the same keys; [`Node::add_key`](crate::Node::add_key) and its siblings change them while the node runs.
    pub keys: Option<KeyRing>,
    /// What becomes of packets that are not sealed, where there are keys.
    pub plaintext: Plaintext,

    /// Time between two probes of a node (SWIM's protocol period). 10 ms to 1 h.
    ///
    /// Shorter finds failures sooner; traffic and the danger of accusing a slow peer grow in proportion.
    pub probe_interval: Duration,
    /// Longest wait for the answer to a direct ping before others are asked; the wait shrinks to what round trips need.
    /// 1 ms up to half of `probe_interval`.
    ///
    /// Too short wastes indirect pings; too long leaves them no time before the period ends.
    pub probe_timeout: Duration,
    /// How many members are asked to ping a silent one (SWIM's k). 0 to 16; zero trusts the direct path alone.
    pub indirect_probes: usize,
    /// Whether a silent member is also pinged over a stream, so that blocked UDP is not taken for a death.
    pub stream_probe: bool,

    /// Shortest suspicion in units of `probe_interval · max(1, log10 N)` (Lifeguard's α). 1 to 100.
    ///
    /// Smaller declares death sooner; below about 3 a node that pauses for seconds is lost.
    pub suspicion_min: u32,
    /// Longest suspicion as a multiple of the shortest (Lifeguard's β): how long a single accuser must wait. 1 to 100.
    pub suspicion_max: u32,
    /// Independent accusers besides the first that bring a suspicion down to its shortest. 0 to 8.
    pub suspicion_accusers: usize,
    /// Upper bound of the local health score; period and timeout are multiplied by up to this much (Lifeguard's S).
    /// 1 to 32; one switches local health off.
    pub awareness_max: u32,

    /// Time between two rounds of gossip while there is news. 5 ms to 1 min.
    pub gossip_interval: Duration,
    /// Members told in each round. 1 to 16.
    pub gossip_fanout: usize,
    /// Each piece of news is sent this many times `ceil(log10(N + 1))` by each node (SWIM's λ). 1 to 32.
    ///
    /// Smaller leaves more to anti-entropy; larger repeats what everybody knows.
    pub retransmit: u32,

    /// Time between two attempts to reach a lost peer: one random dead member, and one seed that is not a live member.
    /// 50 ms to 24 h. This bounds how long a healed partition stays apart.
    pub heal_interval: Duration,
    /// Time allowed for one attempt to join through one address. 10 ms to 10 min.
    pub join_timeout: Duration,
    /// Longest time that leaving waits for peers to acknowledge the news. 10 ms to 10 min.
    pub leave_timeout: Duration,
    /// How long dead and departed members are remembered, so that old news cannot bring them back. 1 s to 30 days.
    ///
    /// A partition that lasts longer than this does not heal through the dead, only through the seeds.
    pub retention: Duration,

    /// Largest datagram in bytes, without IP and UDP headers. 508 to 65,507.
    ///
    /// A datagram that outgrows the path's MTU is fragmented and lost more often; 1,400 fits Ethernet with tunnels.
    ///
    /// Without keys a node drops longer ones than this and 2 KiB, because each byte that anybody sends can cost it twenty. So
    /// nodes without keys that send longer ones must all have the same limit.
    pub max_datagram: usize,
    /// Largest stream message in bytes, with all that surrounds its payload: less than 1 KiB, which the presets leave above
    /// payloads of 4 MiB. 64 KiB to 64 MiB.
    pub max_message: usize,
    /// Target size of one stream message when many member rows are sent. 1 KiB up to a quarter of `max_message`.
    pub chunk: usize,

    /// Most members remembered, dead ones included. 2 to 10 million; further ones are dropped and counted.
    pub max_members: usize,
    /// Most bytes of metadata of one node: keys, values and 16 bytes for each entry. 0 up to a quarter of `max_message`.
    pub max_metadata: usize,
    /// Events kept for a slow reader; beyond it the oldest are dropped and counted. 1 to 1 million.
    pub max_events: usize,
    /// Packets waiting to be polled; beyond it new ones are dropped and counted. 16 to 1 million.
    pub max_transmits: usize,

    /// Messages, broadcasts and requests kept for a slow reader; beyond it new ones are refused, counted, and the loss
    /// reported. 1 to 1 million.
    pub max_deliveries: usize,
    /// Bytes of them. At least `max_message`, up to 4 GiB.
    pub max_delivery_bytes: usize,
    /// Own requests and reliable messages whose end was not read yet, and as many requests of others not yet answered;
    /// beyond it own ones are an error, and others' are told that this node is overloaded. One asker gets at most three
    /// quarters of the places, those who are no members an eighth. 1 to 1 million.
    pub max_requests: usize,
    /// Bytes for one member that wait to be polled or to be confirmed; beyond it sending is an error. At least
    /// `max_message`, up to 4 GiB.
    pub max_peer_bytes: usize,
    /// The same for all members together. At least `max_peer_bytes`, up to 4 GiB.
    pub max_queued_bytes: usize,
    /// How long the confirmation of a reliable message is waited for. 10 ms to 1 h.
    pub confirm_timeout: Duration,

    /// Origins whose broadcasts are kept track of, each counted once for every tag that it uses; when all were used within
    /// `repair_time`, those of further ones are dropped and counted. 16 to 1 million; about 250 bytes each.
    pub max_origins: usize,
    /// How long broadcasts are kept for members that missed them. 100 ms to 10 min.
    ///
    /// Too short, and what loss or a pause kept from a member stays lost to it; longer takes memory in proportion.
    pub repair_time: Duration,
    /// Bytes kept for that; the oldest give way. At least `max_message`, up to 4 GiB.
    pub repair_bytes: usize,
    /// How long an ordered broadcast waits for those before it. 10 ms up to `repair_time`.
    pub order_timeout: Duration,
    /// Ordered broadcasts that wait at the same time; one more, or more bytes than `repair_bytes`, and what they wait for is
    /// given up. 1 to 1 million.
    pub max_held: usize,
}

impl Config {
    /// For one data centre: round trips of a few milliseconds, little loss.
    pub fn lan(cluster: impl Into<String>) -> Self {
        Self {
            cluster: cluster.into(),
            application: String::new(),
            accept_application: Arc::new(|_| true),
            keys: None,
            plaintext: Plaintext::Refuse,
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_probes: 3,
            stream_probe: true,
            suspicion_min: 4,
            suspicion_max: 6,
            suspicion_accusers: 2,
            awareness_max: 8,
            gossip_interval: Duration::from_millis(200),
            gossip_fanout: 3,
            retransmit: 4,
            heal_interval: Duration::from_secs(10),
            join_timeout: Duration::from_secs(5),
            leave_timeout: Duration::from_secs(5),
            retention: Duration::from_hours(1),
            max_datagram: 1_400,
            max_message: (4 << 20) + (1 << 10),
            chunk: 64 << 10,
            max_members: 100_000,
            max_metadata: 64 << 10,
            max_events: 4_096,
            max_transmits: 16_384,
            max_deliveries: 16_384,
            max_delivery_bytes: 64 << 20,
            max_requests: 16_384,
            max_peer_bytes: 16 << 20,
            max_queued_bytes: 64 << 20,
            confirm_timeout: Duration::from_secs(10),
            max_origins: 65_536,
            repair_time: Duration::from_secs(5),
            repair_bytes: 32 << 20,
            order_timeout: Duration::from_secs(3),
            max_held: 4_096,
        }
    }

    /// For members on several continents: round trips of hundreds of milliseconds, some loss.
    pub fn wan(cluster: impl Into<String>) -> Self {
        Self {
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_millis(2_500),
            suspicion_min: 6,
            gossip_interval: Duration::from_millis(500),
            gossip_fanout: 4,
            heal_interval: Duration::from_secs(30),
            join_timeout: Duration::from_secs(20),
            leave_timeout: Duration::from_secs(15),
            max_datagram: 1_200,
            ..Self::lan(cluster)
        }
    }

    /// For one machine: loopback, as in tests and demonstrations.
    pub fn local(cluster: impl Into<String>) -> Self {
        Self {
            probe_timeout: Duration::from_millis(200),
            suspicion_min: 3,
            gossip_interval: Duration::from_millis(100),
            heal_interval: Duration::from_secs(5),
            ..Self::lan(cluster)
        }
    }

    /// Checks every setting and how they fit together.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range, by name.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ms = Duration::from_millis;
        let hour = Duration::from_hours(1);
        within("cluster", &self.cluster.len(), 1..=255)?;
        within("application", &self.application.len(), 0..=255)?;
        within("probe_interval", &self.probe_interval, ms(10)..=hour)?;
        within("probe_timeout", &self.probe_timeout, ms(1)..=self.probe_interval / 2)?;
        within("indirect_probes", &self.indirect_probes, 0..=16)?;
        within("suspicion_min", &self.suspicion_min, 1..=100)?;
        within("suspicion_max", &self.suspicion_max, 1..=100)?;
        within("suspicion_accusers", &self.suspicion_accusers, 0..=wire::MAX_ACCUSERS - 1)?;
        within("awareness_max", &self.awareness_max, 1..=32)?;
        within("gossip_interval", &self.gossip_interval, ms(5)..=ms(60_000))?;
        within("gossip_fanout", &self.gossip_fanout, 1..=16)?;
        within("retransmit", &self.retransmit, 1..=32)?;
        within("heal_interval", &self.heal_interval, ms(50)..=hour * 24)?;
        within("join_timeout", &self.join_timeout, ms(10)..=ms(600_000))?;
        within("leave_timeout", &self.leave_timeout, ms(10)..=ms(600_000))?;
        within("retention", &self.retention, ms(1_000)..=hour * 24 * 30)?;
        within("max_datagram", &self.max_datagram, 508..=65_507)?;
        within("max_message", &self.max_message, 64 << 10..=64 << 20)?;
        within("chunk", &self.chunk, 1 << 10..=self.max_message / 4)?;
        within("max_members", &self.max_members, 2..=10_000_000)?;
        within("max_metadata", &self.max_metadata, 0..=self.max_message / 4)?;
        within("max_events", &self.max_events, 1..=1_000_000)?;
        within("max_transmits", &self.max_transmits, 16..=1_000_000)?;
        self.validate_messages()
    }

    fn validate_messages(&self) -> Result<(), ConfigError> {
        const LARGEST: usize = u32::MAX as usize;
        within("max_deliveries", &self.max_deliveries, 1..=1_000_000)?;
        within("max_delivery_bytes", &self.max_delivery_bytes, self.max_message..=LARGEST)?;
        within("max_requests", &self.max_requests, 1..=1_000_000)?;
        within("max_peer_bytes", &self.max_peer_bytes, self.max_message..=LARGEST)?;
        within("max_queued_bytes", &self.max_queued_bytes, self.max_peer_bytes..=LARGEST)?;
        within("confirm_timeout", &self.confirm_timeout, Duration::from_millis(10)..=LONGEST_PATIENCE)?;
        within("max_origins", &self.max_origins, 16..=1_000_000)?;
        within("repair_time", &self.repair_time, Duration::from_millis(100)..=Duration::from_mins(10))?;
        within("repair_bytes", &self.repair_bytes, self.max_message..=LARGEST)?;
        within("order_timeout", &self.order_timeout, Duration::from_millis(10)..=self.repair_time)?;
        within("max_held", &self.max_held, 1..=1_000_000)
    }

    /// The longest payload of a message in bytes: `max_message` less what surrounds it.
    pub fn max_payload(&self) -> usize {
        self.max_message.saturating_sub(wire::HEADER + self.trailer() + wire::LONGEST_HEADER + LENGTH)
    }

    /// Bytes behind the body of a packet, at the most.
    pub(crate) fn trailer(&self) -> usize {
        if self.keys.is_some() { TAG } else { wire::TRAILER }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("cluster", &self.cluster)
            .field("application", &self.application)
            .field("keys", &self.keys)
            .field("plaintext", &self.plaintext)
            .field("probe_interval", &self.probe_interval)
            .field("probe_timeout", &self.probe_timeout)
            .field("suspicion_min", &self.suspicion_min)
            .field("suspicion_max", &self.suspicion_max)
            .field("gossip_interval", &self.gossip_interval)
            .field("heal_interval", &self.heal_interval)
            .field("retention", &self.retention)
            .field("max_datagram", &self.max_datagram)
            .field("max_message", &self.max_message)
            .field("max_members", &self.max_members)
            .finish_non_exhaustive()
    }
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ConfigError {
    /// Name of the setting, as it is written in [`Config`].
    pub field: &'static str,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

/// Checks that a setting is within its range, both ends included; for adapters, which have settings of their own.
///
/// # Errors
///
/// What it is, and what it may be.
pub fn within<T: PartialOrd + fmt::Debug>(
    field: &'static str,
    value: &T,
    range: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(value) {
        return Ok(());
    }
    let reason = format!("{value:?} is out of range, expected {:?} to {:?}", range.start(), range.end());
    Err(ConfigError { field, reason })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn presets_are_valid() {
        for config in [Config::lan("x"), Config::wan("x"), Config::local("x")] {
            assert_eq!(config.validate(), Ok(()));
        }
    }

    #[test]
    fn payloads_of_four_mebibytes_fit_the_presets() {
        let ring = KeyRing::new(crate::Key::new(&[1; 32]));
        for config in [Config::lan("x"), Config::wan("x"), Config { keys: Some(ring), ..Config::lan("x") }] {
            // One more byte, with which adapters say in what form the payload is.
            assert!(config.max_payload() > 4 << 20, "{}", config.max_payload());
        }
    }

    #[test]
    fn an_error_names_the_field_and_the_range() {
        type Spoil = fn(&mut Config);
        let cases: [(&str, Spoil); 33] = [
            ("cluster", |c| c.cluster.clear()),
            ("application", |c| c.application = "v".repeat(256)),
            ("probe_interval", |c| c.probe_interval = Duration::ZERO),
            ("probe_timeout", |c| c.probe_timeout = c.probe_interval),
            ("indirect_probes", |c| c.indirect_probes = 17),
            ("suspicion_min", |c| c.suspicion_min = 0),
            ("suspicion_max", |c| c.suspicion_max = 0),
            ("suspicion_accusers", |c| c.suspicion_accusers = 9),
            ("awareness_max", |c| c.awareness_max = 0),
            ("gossip_interval", |c| c.gossip_interval = Duration::MAX),
            ("gossip_fanout", |c| c.gossip_fanout = 0),
            ("retransmit", |c| c.retransmit = 0),
            ("heal_interval", |c| c.heal_interval = Duration::ZERO),
            ("join_timeout", |c| c.join_timeout = Duration::ZERO),
            ("leave_timeout", |c| c.leave_timeout = Duration::ZERO),
            ("retention", |c| c.retention = Duration::ZERO),
            ("max_datagram", |c| c.max_datagram = 100),
            ("chunk", |c| c.chunk = c.max_message + 1),
            ("max_members", |c| c.max_members = 1),
            ("max_metadata", |c| c.max_metadata = c.max_message),
            ("max_events", |c| c.max_events = 0),
            ("max_transmits", |c| c.max_transmits = 0),
            ("max_deliveries", |c| c.max_deliveries = 0),
            ("max_delivery_bytes", |c| c.max_delivery_bytes = c.max_message - 1),
            ("max_requests", |c| c.max_requests = 0),
            ("max_peer_bytes", |c| c.max_peer_bytes = 0),
            ("max_queued_bytes", |c| c.max_queued_bytes = c.max_peer_bytes - 1),
            ("confirm_timeout", |c| c.confirm_timeout = Duration::ZERO),
            ("max_origins", |c| c.max_origins = 0),
            ("repair_time", |c| c.repair_time = Duration::ZERO),
            ("repair_bytes", |c| c.repair_bytes = 0),
            ("order_timeout", |c| c.order_timeout = c.repair_time * 2),
            ("max_held", |c| c.max_held = 0),
        ];
        for (field, spoil) in cases {
            let mut config = Config::lan("x");
            spoil(&mut config);
            let error = config.validate().unwrap_err();
            assert_eq!(error.field, field);
            assert!(error.to_string().contains("expected"), "{error}");
        }
    }
}
