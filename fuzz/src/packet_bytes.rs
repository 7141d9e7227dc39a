//! Any bytes as a packet, as they are or with what a forger can put right: the envelope holds.

use gossip_core::{Channel, DropReason};

use crate::decoder::Decoder;
use crate::wire::{AROUND, Packet, correct, route};

/// What the node takes from anybody in a datagram.
const LONGEST_DATAGRAM: usize = 65_507;

/// Longest answer to somebody of another cluster or version who asks to be let in: a rejection.
const REJECTION: usize = 128;

/// Receives the bytes in both channels.
pub fn packet_bytes(data: &[u8]) {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let mut packet = bytes.to_vec();
    match mode % 3 {
        0 => {}
        1 => correct(&mut packet),
        _ => {
            if let Some(head) = packet.first_chunk_mut::<8>() {
                *head = [1, mode & 16, 0, 0, 0, 0, 0, 0];
            }
            correct(&mut packet);
        }
    }
    Decoder::with(|decoder| {
        for channel in [Channel::Datagram, Channel::Stream] {
            let reason = decoder.receive(channel, &packet);
            assert_eq!(reason, expected(channel, &packet), "{channel:?}");
            let sent = decoder.sent();
            let most = usize::from(channel == Channel::Stream && may_ask(reason));
            assert!(sent.len() <= most, "{reason:?} is answered by {sent:?}");
            assert!(sent.iter().all(|answer| answer.len() <= REJECTION), "{sent:?}");
        }
    });
}

/// Why a node without keys that has left drops these bytes, in the order of the document.
fn expected(channel: Channel, packet: &[u8]) -> DropReason {
    let is_long = channel == Channel::Datagram && packet.len() > LONGEST_DATAGRAM;
    match packet {
        _ if is_long && (packet[0] != 1 || packet[1] & 1 == 0) => DropReason::Oversized,
        _ if packet.len() < AROUND => DropReason::Truncated,
        [version, ..] if *version != 1 => DropReason::Version,
        [_, flags, ..] if *flags != 0 => DropReason::Flags,
        _ if packet[2..6] != route() => DropReason::Cluster,
        _ if Packet::from_bytes(packet).is_none() => DropReason::Malformed,
        _ => DropReason::Quiet,
    }
}

/// Whether who sent it may have meant to join, and is told where it is.
fn may_ask(reason: DropReason) -> bool {
    matches!(reason, DropReason::Version | DropReason::Cluster)
}
