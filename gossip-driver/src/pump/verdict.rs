//! What a stream message was worth, by what the node counted while it took it.

use gossip_core::{DropReason, MessageKind, Stats};

use crate::links::Verdict;

/// Of those who send these it is not known that they have a key, or that they are members: anybody can repeat what he recorded.
const UNPROVEN: [DropReason; 7] = [
    DropReason::Cluster,
    DropReason::Plaintext,
    DropReason::UnknownKey,
    DropReason::BadSeal,
    DropReason::Replayed,
    DropReason::Unbound,
    DropReason::StaleEpoch,
];

/// Whether a key may have come in this packet; those that share a packet with other requests are short.
pub(super) fn may_hold_key(packet: &[u8], before: &Stats, after: &Stats) -> bool {
    const LONGEST: usize = 64 << 10;
    packet.len() <= LONGEST && after.received(MessageKind::Request) > before.received(MessageKind::Request)
}

/// What the node made of a message, by what it counted as dropped.
pub(super) fn verdict(before: &Stats, after: &Stats) -> Verdict {
    let grew = |reason: &DropReason| after.dropped(*reason) > before.dropped(*reason);
    let garbage =
        [DropReason::Truncated, DropReason::Oversized, DropReason::Version, DropReason::Flags, DropReason::Malformed];
    if garbage.iter().any(grew) {
        Verdict::Garbage
    } else if UNPROVEN.iter().any(grew) {
        Verdict::Foreign
    } else {
        Verdict::Valid
    }
}
