//! What surrounds every packet: who sent it, to which cluster, and whether it arrived whole.

use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::identity::{Epoch, NodeId};
use crate::stats::DropReason;
use crate::wire::{Sealed, VERSION};

/// Bytes before the body.
pub(crate) const HEADER: usize = 40;

/// Bytes after the body: a checksum. In sealed packets it is the tag.
pub(crate) const TRAILER: usize = 4;

const FLAGS: u8 = 0;
const NO_KEY: u16 = 0;

/// The fields of the envelope that the protocol acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) sender: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) counter: u64,
}

/// A packet that arrived whole and belongs here.
pub(crate) struct Opened<'a> {
    pub(crate) envelope: Envelope,
    pub(crate) body: &'a [u8],
    /// How it was sealed, if it was.
    pub(crate) sealed: Option<Sealed>,
}

impl NodeId {
    /// The sender that a packet names. Anybody can name anybody: it is to be believed of a packet that was acted on.
    pub fn named_by(packet: &[u8]) -> Option<Self> {
        packet.get(8..24).map(|id| Self::from_bytes(array(id)))
    }
}

/// The 64-bit hash of a cluster's name: half of it is in each packet, the whole is in each checksum.
pub(crate) fn cluster_hash(name: &str) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(name.as_bytes());
    hasher.finish()
}

impl Envelope {
    /// The bytes to put before the body.
    pub(crate) fn header(&self, cluster: u64) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[0] = VERSION;
        header[1] = FLAGS;
        header[2..6].copy_from_slice(&route_hash(cluster));
        header[6..8].copy_from_slice(&NO_KEY.to_be_bytes());
        header[8..24].copy_from_slice(self.sender.as_bytes());
        header[24..32].copy_from_slice(&self.epoch.as_u64().to_be_bytes());
        header[32..40].copy_from_slice(&self.counter.to_be_bytes());
        header
    }
}

/// The bytes to put after the body.
pub(crate) fn seal(cluster: u64, packet: &[u8]) -> [u8; TRAILER] {
    checksum(cluster, packet)
}

/// Checks a packet and takes it apart.
pub(crate) fn open(cluster: u64, packet: &[u8]) -> Result<Opened<'_>, DropReason> {
    if packet.len() < HEADER + TRAILER {
        return Err(DropReason::Truncated);
    }
    if packet[0] != VERSION {
        return Err(DropReason::Version);
    }
    if packet[1] != FLAGS {
        return Err(DropReason::Flags);
    }
    if packet[2..6] != route_hash(cluster) {
        return Err(DropReason::Cluster);
    }
    let (content, trailer) = packet.split_at(packet.len() - TRAILER);
    if trailer != checksum(cluster, content) || packet[6..8] != NO_KEY.to_be_bytes() {
        return Err(DropReason::Malformed);
    }
    let envelope = Envelope {
        sender: NodeId::from_bytes(array(&packet[8..24])),
        epoch: Epoch::from_u64(u64::from_be_bytes(array(&packet[24..32]))),
        counter: u64::from_be_bytes(array(&packet[32..40])),
    };
    Ok(Opened { envelope, body: &content[HEADER..], sealed: None })
}

pub(super) fn route_hash(cluster: u64) -> [u8; 4] {
    array(&cluster.to_be_bytes()[4..])
}

fn checksum(cluster: u64, bytes: &[u8]) -> [u8; TRAILER] {
    let mut hasher = SipHasher24::new_with_keys(0, cluster);
    hasher.write(bytes);
    array(&hasher.finish().to_be_bytes()[4..])
}

pub(super) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn packet(body: &[u8]) -> Vec<u8> {
        let cluster = cluster_hash("test");
        let envelope = Envelope { sender: NodeId::from_u128(5), epoch: Epoch::from_u64(6), counter: 7 };
        let mut packet = envelope.header(cluster).to_vec();
        packet.extend_from_slice(body);
        packet.extend_from_slice(&seal(cluster, &packet));
        packet
    }

    #[test]
    fn a_packet_opens_to_what_was_put_in() {
        let packet = packet(b"body");
        let opened = open(cluster_hash("test"), &packet).ok().unwrap();
        assert_eq!(opened.envelope, Envelope { sender: NodeId::from_u128(5), epoch: Epoch::from_u64(6), counter: 7 });
        assert_eq!(opened.body, b"body");
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let whole = packet(b"some body that is long enough");
        for position in 0..whole.len() * 8 {
            let mut spoiled = whole.clone();
            spoiled[position / 8] ^= 1 << (position % 8);
            assert!(open(cluster_hash("test"), &spoiled).is_err(), "bit {position}");
        }
        for length in 0..whole.len() {
            assert!(open(cluster_hash("test"), &whole[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn another_cluster_is_told_from_damage() {
        let reason = open(cluster_hash("other"), &packet(b"x")).err();
        assert_eq!(reason, Some(DropReason::Cluster));
    }
}
