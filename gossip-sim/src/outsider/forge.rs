//! Packets as `WIRE.md` describes them, made without the key: with a checksum, or sealed with another key.

use std::hash::Hasher;

use gossip_core::{Channel, NodeId, Suite};
use siphasher::sip::SipHasher24;

use crate::outsider::{FIRST_ADDRESS, Scene, Seen};
use crate::random::Random;
use crate::world::Addr;

/// Kinds of message.
const PING: u8 = 1;
const CLAIM: u8 = 5;
const JOIN: u8 = 8;
const DIGEST: u8 = 11;
const DIRECT: u8 = 16;
const REQUEST: u8 = 17;
const COPY: u8 = 19;

/// States in claims.
const ALIVE: u8 = 0;
const SUSPECT: u8 = 1;
const DEAD: u8 = 2;
const LEAVING: u8 = 3;

/// Flags of sealed packets.
const SEALED: u8 = 1;
const BOUND: u8 = 2;
const STREAM: u8 = 4;

/// By how much an epoch grows in a millisecond.
const MILLISECOND: u64 = 1 << 22;

/// A packet in the name of the scene's speaker; `key` is the id of a key that the cluster uses.
pub(super) fn packet(random: &mut Random, scene: &Scene<'_>, channel: Channel, key: Option<[u8; 2]>) -> Vec<u8> {
    let (speaker, body) = body(random, scene);
    if random.below(2) == 0 {
        return in_plaintext(random, scene, &speaker, &body);
    }
    let own: [u8; 2] = [1 + random.below(255) as u8, random.below(256) as u8];
    let key = key.filter(|_| random.below(4) > 0).unwrap_or(own);
    sealed(random, scene, &speaker, channel, key, body)
}

/// What is said, and by whom.
fn body(random: &mut Random, scene: &Scene<'_>) -> (Seen, Vec<u8>) {
    let Scene { target, speaker, subject, .. } = *scene;
    let later = Seen { epoch: following(subject), ..subject };
    let far = 1 + random.below(1 << 20) as u32;
    match random.below(11) {
        0 => (subject, claim(&subject, far, LEAVING, subject.address, &[])),
        1 => (speaker, claim(&subject, far, DEAD, subject.address, &[speaker.id])),
        2 => (speaker, claim(&subject, 0, SUSPECT, subject.address, &[speaker.id])),
        3 => (later, claim(&later, 0, ALIVE, FIRST_ADDRESS, &[])),
        4 => (speaker, claim(&target, far, DEAD, target.address, &[speaker.id])),
        5 => {
            let stranger = Seen { id: NodeId::from_u128(u128::from(random.next()) << 64), ..later };
            (stranger, [join(scene), claim(&stranger, 0, ALIVE, FIRST_ADDRESS, &[])].concat())
        }
        6 => (later, [join(scene), claim(&later, 0, ALIVE, FIRST_ADDRESS, &[])].concat()),
        7 => (speaker, ping(random, target.id)),
        8 => (speaker, message(DIGEST, &[varint(128), vec![1; 128]].concat())),
        9 => (speaker, [request(random, target.id), direct(target.id)].concat()),
        _ => (speaker, copy(random, &speaker)),
    }
}

fn following(seen: Seen) -> gossip_core::Epoch {
    gossip_core::Epoch::from_u64(seen.epoch.as_u64() + MILLISECOND)
}

fn header(random: &mut Random, scene: &Scene<'_>, speaker: &Seen, flags: u8, key: [u8; 2]) -> Vec<u8> {
    let mut header = vec![1, flags];
    header.extend(&cluster_hash(scene.cluster).to_be_bytes()[4..]);
    header.extend(key);
    header.extend(speaker.id.as_bytes());
    header.extend(speaker.epoch.as_u64().to_be_bytes());
    header.extend((random.next() >> 2).to_be_bytes());
    header
}

fn in_plaintext(random: &mut Random, scene: &Scene<'_>, speaker: &Seen, body: &[u8]) -> Vec<u8> {
    let mut packet = header(random, scene, speaker, 0, [0, 0]);
    packet.extend(body);
    let mut hasher = SipHasher24::new_with_keys(0, cluster_hash(scene.cluster));
    hasher.write(&packet);
    packet.extend(&hasher.finish().to_be_bytes()[4..]);
    packet
}

fn sealed(
    random: &mut Random,
    scene: &Scene<'_>,
    speaker: &Seen,
    channel: Channel,
    key: [u8; 2],
    mut body: Vec<u8>,
) -> Vec<u8> {
    let bound = if random.below(4) == 0 { 0 } else { BOUND };
    let stream = if channel == Channel::Stream { STREAM } else { 0 };
    let mut packet = header(random, scene, speaker, SEALED | bound | stream, key);
    let mut associated = packet.clone();
    if bound != 0 {
        associated.extend(scene.target.id.as_bytes());
        associated.extend(scene.target.epoch.as_u64().to_be_bytes());
    }
    let (mut own, mut nonce) = ([0; 32], [0; 24]);
    random.fill(&mut own);
    random.fill(&mut nonce);
    let tag = Suite::XChaCha20Poly1305.seal(&own, &nonce, &associated, &mut body);
    packet.extend(body);
    packet.extend(tag.expect("key and nonce have the lengths of the suite"));
    packet
}

fn cluster_hash(cluster: &str) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(cluster.as_bytes());
    hasher.finish()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &varint(payload.len() as u64), payload].concat()
}

fn claim(subject: &Seen, refutations: u32, state: u8, address: Addr, accusers: &[NodeId]) -> Vec<u8> {
    let mut payload = subject.id.as_bytes().to_vec();
    payload.extend(subject.epoch.as_u64().to_be_bytes());
    payload.extend(varint(refutations.into()));
    payload.push(state);
    payload.extend(varint(address.into()));
    payload.extend([1, 1]);
    payload.extend([0, 0]);
    payload.extend(varint(accusers.len() as u64 * 16));
    payload.extend(accusers.iter().flat_map(|accuser| *accuser.as_bytes()));
    message(CLAIM, &payload)
}

fn join(scene: &Scene<'_>) -> Vec<u8> {
    let name = scene.cluster.as_bytes();
    message(JOIN, &[&[1, 1][..], &varint(name.len() as u64), name, &[0]].concat())
}

fn tail(id: NodeId) -> [u8; 4] {
    let bytes = id.as_bytes();
    [bytes[12], bytes[13], bytes[14], bytes[15]]
}

fn ping(random: &mut Random, target: NodeId) -> Vec<u8> {
    message(PING, &[&varint(random.below(1 << 20))[..], &tail(target), &[7; 8]].concat())
}

fn direct(target: NodeId) -> Vec<u8> {
    message(DIRECT, &[&tail(target)[..], &varint(300), b"from nobody"].concat())
}

/// One in two asks for the keys.
fn request(random: &mut Random, target: NodeId) -> Vec<u8> {
    let kind = if random.below(2) == 0 { 1 } else { 300 };
    let numbers = [varint(random.below(1 << 30)), varint(kind), varint(2_000), varint(0), varint(0), vec![1]].concat();
    message(REQUEST, &[&target.as_bytes()[..], &numbers].concat())
}

fn copy(random: &mut Random, origin: &Seen) -> Vec<u8> {
    let mut payload = varint(1 + random.below(1_000));
    payload.extend(origin.id.as_bytes());
    payload.extend(origin.epoch.as_u64().to_be_bytes());
    payload.extend(varint(1 + random.below(1_000)));
    payload.extend([0, 1, 0, 0]);
    payload.extend(varint(300));
    payload.extend([0, 0, 0]);
    payload.extend(b"invented");
    message(COPY, &payload)
}
