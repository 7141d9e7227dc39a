//! The envelope of a sealed packet.

use crate::identity::{Epoch, NodeId};
use crate::seal::{Addressee, KeyId, Life, Subkey, TAG};
use crate::stats::DropReason;
use crate::transmit::Channel;
use crate::wire::VERSION;
use crate::wire::envelope::{Envelope, HEADER, Opened, array, route_hash};

/// Flags: the packet is sealed.
const SEALED: u8 = 1;
/// It is for one start of one receiver.
const BOUND: u8 = 2;
/// It travels by stream.
const STREAM: u8 = 4;
/// It is sealed with another key than the sender prefers, for the receiver's sake.
const ACCOMMODATING: u8 = 8;

/// Header, then the receiver's id and epoch.
const ASSOCIATED: usize = HEADER + 16 + 8;

/// What is known of a sealed packet from its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    pub(crate) envelope: Envelope,
    pub(crate) key: KeyId,
    pub(crate) is_bound: bool,
    pub(crate) is_accommodating: bool,
}

/// Whether a packet of this version says that it is sealed.
pub(crate) fn is_sealed(packet: &[u8]) -> bool {
    matches!(packet, [VERSION, flags, ..] if flags & SEALED != 0)
}

impl KeyId {
    /// The key that a packet claims to be sealed with. Anybody can claim anything: this is for reports.
    pub fn claimed_by(packet: &[u8]) -> Option<Self> {
        let key = if is_sealed(packet) { packet.get(6..8) } else { None };
        key.map(|key| Self::from_wire(u16::from_be_bytes(array(key))))
    }
}

impl Sealed {
    /// Reads the header of a packet that says that it is sealed.
    pub(crate) fn parse(cluster: u64, channel: Channel, packet: &[u8]) -> Result<Self, DropReason> {
        if packet.len() < HEADER + TAG {
            return Err(DropReason::Truncated);
        }
        let flags = packet[1];
        if flags & !(SEALED | BOUND | STREAM | ACCOMMODATING) != 0 {
            return Err(DropReason::Flags);
        }
        if packet[2..6] != route_hash(cluster) {
            return Err(DropReason::Cluster);
        }
        if (flags & STREAM != 0) != (channel == Channel::Stream) {
            return Err(DropReason::Channel);
        }
        let envelope = Envelope {
            sender: NodeId::from_bytes(array(&packet[8..24])),
            epoch: Epoch::from_u64(u64::from_be_bytes(array(&packet[24..32]))),
            counter: u64::from_be_bytes(array(&packet[32..40])),
        };
        Ok(Self {
            envelope,
            key: KeyId::from_wire(u16::from_be_bytes(array(&packet[6..8]))),
            is_bound: flags & BOUND != 0,
            is_accommodating: flags & ACCOMMODATING != 0,
        })
    }

    /// Writes the header and seals the rest of `packet`, which has room for the header; the tag to put behind it.
    pub(crate) fn seal(
        &self,
        cluster: u64,
        channel: Channel,
        subkey: &Subkey,
        receiver: Option<Life>,
        packet: &mut [u8],
    ) -> [u8; TAG] {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let (header, body) = packet.split_at_mut(HEADER);
        header.copy_from_slice(&self.envelope.header(cluster));
        header[1] = SEALED
            | flag(receiver.is_some(), BOUND)
            | flag(channel == Channel::Stream, STREAM)
            | flag(self.is_accommodating, ACCOMMODATING);
        header[6..8].copy_from_slice(&self.key.as_u16().to_be_bytes());
        let (associated, length) = associated(header, receiver);
        subkey.seal(self.envelope.counter, &associated[..length], body)
    }

    /// Opens the packet in place, if it is authentic and for this receiver; otherwise it stays as it is.
    pub(crate) fn open(&self, subkey: &Subkey, receiver: Option<Life>, packet: &mut [u8]) -> bool {
        let (header, rest) = packet.split_at_mut(HEADER);
        let (body, tag) = rest.split_at_mut(rest.len() - TAG);
        let (associated, length) = associated(header, receiver);
        subkey.open(self.envelope.counter, &associated[..length], body, &array(tag))
    }

    /// The parts of a packet that is open.
    pub(crate) fn into_opened(self, packet: &[u8]) -> Opened<'_> {
        let body = &packet[HEADER..packet.len() - TAG];
        Opened { envelope: self.envelope, body, sealed: Some(self) }
    }

    /// Whom an answer to it is for: it is sealed with the key that this packet came with.
    pub(crate) fn asker(&self) -> Addressee {
        let Envelope { sender: id, epoch, .. } = self.envelope;
        Addressee { life: Life { id, epoch }, key: (!self.is_accommodating).then_some(self.key) }
    }
}

/// What is authenticated beside the body, and how long it is.
fn associated(header: &[u8], receiver: Option<Life>) -> ([u8; ASSOCIATED], usize) {
    let mut associated = [0; ASSOCIATED];
    associated[..HEADER].copy_from_slice(header);
    let Some(Life { id, epoch }) = receiver else { return (associated, HEADER) };
    associated[HEADER..HEADER + 16].copy_from_slice(id.as_bytes());
    associated[HEADER + 16..].copy_from_slice(&epoch.as_u64().to_be_bytes());
    (associated, ASSOCIATED)
}
