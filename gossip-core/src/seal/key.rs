//! One secret of a cluster, and what is derived from it.

use alloc::boxed::Box;
use core::fmt;
use core::str::FromStr;

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput, Update};
use chacha20::{R20, hchacha};
use ctutils::CtEq;
use zeroize::Zeroizing;

use crate::identity::{Epoch, NodeId};
use crate::seal::suite::{Suite, TAG};

/// The name of a key: 16 bits derived from it, in the header of every packet that it sealed. Never zero.
///
/// It tells keys apart and nothing else: who knows it learns nothing of the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u16);

impl KeyId {
    pub(crate) const fn from_wire(value: u16) -> Self {
        Self(value)
    }

    /// The id with this value, unless it is zero.
    pub const fn from_u16(value: u16) -> Option<Self> {
        if value == 0 { None } else { Some(Self(value)) }
    }

    /// The value.
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key id: expected four hexadecimal digits that are not all zero")]
pub struct ParseKeyIdError;

impl FromStr for KeyId {
    type Err = ParseKeyIdError;

    fn from_str(text: &str) -> Result<Self, ParseKeyIdError> {
        let is_plain = text.len() == 4 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let value = if is_plain { u16::from_str_radix(text, 16).unwrap_or(0) } else { 0 };
        if value == 0 { Err(ParseKeyIdError) } else { Ok(Self(value)) }
    }
}

/// A key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is too short or too long.
    #[error("a key of {length} bytes: {suite} takes {expected}")]
    Length {
        /// Bytes that were given.
        length: usize,
        /// What it is for.
        suite: Suite,
        /// Bytes that it takes.
        expected: usize,
    },
}

/// A secret that the members of a cluster share.
///
/// Its bytes are wiped when it is dropped, it prints as its id and suite, and keys are compared in constant time. Take the
/// bytes from the operating system's generator, never from a password.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    suite: Suite,
    /// Boxed, so that moving a key leaves no copy behind.
    bytes: Box<Zeroizing<[u8; 32]>>,
}

impl Key {
    /// A key of the default suite.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self::from_parts(Suite::XChaCha20Poly1305, bytes)
    }

    /// A key of this suite.
    ///
    /// # Errors
    ///
    /// [`KeyError::Length`] if the bytes are not as many as the suite takes.
    pub fn with_suite(suite: Suite, bytes: &[u8]) -> Result<Self, KeyError> {
        let (length, expected) = (bytes.len(), suite.key_length());
        if length != expected {
            return Err(KeyError::Length { length, suite, expected });
        }
        Ok(Self::from_parts(suite, bytes))
    }

    fn from_parts(suite: Suite, bytes: &[u8]) -> Self {
        let mut padded = Box::new(Zeroizing::new([0; 32]));
        padded[..bytes.len()].copy_from_slice(bytes);
        let hash = derive(bytes, b"gossip key id", &[suite.name().as_bytes()]);
        let id = hash.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).find(|&id| id != 0);
        Self { id: KeyId(id.unwrap_or(1)), suite, bytes: padded }
    }

    /// Its name.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// What it is for.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The bytes themselves: to be kept where nobody else reads them, and wiped from wherever they are copied to.
    pub fn secret(&self) -> &[u8] {
        &self.bytes[..self.suite.key_length()]
    }

    /// The key of one start of one sender.
    pub(crate) fn subkey(&self, sender: NodeId, epoch: Epoch) -> Subkey {
        let bytes = match self.suite {
            // XChaCha20 makes such a key of the first 16 bytes of its nonce. Here they are the epoch and zeros, and
            // the same is done once before with the sender.
            Suite::XChaCha20Poly1305 => {
                let mut start = [0; 16];
                start[..8].copy_from_slice(&epoch.as_u64().to_be_bytes());
                extend(&extend(&self.bytes, sender.as_bytes()), &start)
            }
            #[cfg(feature = "aes-gcm")]
            suite => {
                let epoch = epoch.as_u64().to_be_bytes();
                derive(self.secret(), b"gossip subkey", &[sender.as_bytes(), &epoch, suite.name().as_bytes()])
            }
        };
        Subkey { key: self.id, suite: self.suite, sender, epoch, bytes }
    }
}

/// The key of one start of one sender: a packet's counter alone makes the nonce.
pub(crate) struct Subkey {
    key: KeyId,
    suite: Suite,
    sender: NodeId,
    epoch: Epoch,
    bytes: Zeroizing<[u8; 32]>,
}

impl Subkey {
    /// Whether it is the one that this key makes for this start.
    pub(crate) fn is_of(&self, key: KeyId, sender: NodeId, epoch: Epoch) -> bool {
        self.key == key && self.sender == sender && self.epoch == epoch
    }

    /// Seals the packet with this counter in place; its tag.
    pub(crate) fn seal(&self, counter: u64, associated: &[u8], content: &mut [u8]) -> [u8; TAG] {
        let sealed = self.suite.seal_within(self.bytes(), &nonce(counter), associated, content);
        sealed.expect("subkey and nonce have the lengths of the suite, and no packet is longer than it can take")
    }

    /// Opens a packet in place, if it is authentic; otherwise it stays as it is.
    pub(crate) fn open(&self, counter: u64, associated: &[u8], content: &mut [u8], tag: &[u8; TAG]) -> bool {
        self.suite.open_within(self.bytes(), &nonce(counter), associated, content, tag).unwrap_or(false)
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.suite.key_length()]
    }
}

impl fmt::Debug for Subkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subkey({}, {}, {:?})", self.key, self.sender, self.epoch)
    }
}

/// `HChaCha20`: a key for each input.
fn extend(key: &[u8; 32], input: &[u8; 16]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(hchacha::<R20>(key.into(), input.into()).into())
}

fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.suite == other.suite && self.bytes.ct_eq(&**other.bytes).to_bool()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {})", self.id, self.suite)
    }
}

/// `BLAKE2b` (RFC 7693) keyed with a secret: a pseudorandom function, kept apart for each purpose by its name.
fn derive(secret: &[u8], purpose: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mac = Blake2bMac::<U32>::new_with_salt_and_personal(Some(secret), &[], purpose);
    let mut mac = mac.expect("keys have at most 64 bytes and purposes at most 16");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize_fixed().into())
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_key_shows_its_id_and_nothing_of_itself() {
        let key = Key::new(&[0xab; 32]);
        assert_eq!(format!("{key:?}"), format!("Key({}, xchacha20-poly1305)", key.id()));
        assert!(!format!("{key:?}").contains("abab"));
    }

    #[test]
    fn equal_keys_have_one_id_and_others_are_unequal() {
        assert_eq!(Key::new(&[1; 32]), Key::new(&[1; 32]));
        assert_eq!(Key::new(&[1; 32]).id(), Key::new(&[1; 32]).id());
        for bit in 0..256 {
            let mut bytes = [1; 32];
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Key::new(&bytes), Key::new(&[1; 32]), "bit {bit}");
        }
    }

    #[test]
    fn ids_are_never_zero_and_read_back() {
        for byte in 0..=255 {
            let id = Key::new(&[byte; 32]).id();
            assert_ne!(id.as_u16(), 0);
            assert_eq!(format!("{id}").parse(), Ok(id));
        }
        for bad in ["", "0000", "+123", "12345", "xyzw"] {
            assert_eq!(bad.parse::<KeyId>(), Err(ParseKeyIdError), "{bad}");
        }
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused() {
        let error = Key::with_suite(Suite::XChaCha20Poly1305, &[0; 16]).unwrap_err();
        assert_eq!(format!("{error}"), "a key of 16 bytes: xchacha20-poly1305 takes 32");
    }

    #[test]
    fn each_part_of_the_number_changes_the_key_stream() {
        let stream = |key: &Key, sender: u128, epoch: u64, counter: u64| {
            let mut content = [0; 64];
            key.subkey(NodeId::from_u128(sender), Epoch::from_u64(epoch)).seal(counter, &[], &mut content);
            content
        };
        for key in keys() {
            let one = stream(&key, 1, 1, 1);
            for (sender, epoch, counter) in [(2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 0, 1 << 32), (1, 1 << 32, 0)] {
                assert_ne!(one, stream(&key, sender, epoch, counter), "{key:?} {sender} {epoch} {counter}");
            }
        }
    }

    /// Subkeys are an economy: what is written is XChaCha20-Poly1305 with the sender's key and a nonce of epoch and counter.
    #[test]
    fn a_packet_is_sealed_as_the_cipher_does_it_with_the_long_nonce() {
        let (sender, epoch, counter) = (NodeId::from_u128(77), 0x0123_4567_89ab_cdef_u64, 0xfedc_ba98_7654_3210_u64);
        let key = Key::new(&[3; 32]);
        let (mut ours, mut theirs) = (*b"some content", *b"some content");
        let tag = key.subkey(sender, Epoch::from_u64(epoch)).seal(counter, b"header", &mut ours);
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&epoch.to_be_bytes());
        nonce[16..].copy_from_slice(&counter.to_be_bytes());
        let of_sender = extend(&key.bytes, sender.as_bytes());
        let expected = key.suite().seal(&*of_sender, &nonce, b"header", &mut theirs).unwrap();
        assert_eq!((ours, tag), (theirs, expected));
    }

    fn keys() -> alloc::vec::Vec<Key> {
        #[cfg_attr(not(feature = "aes-gcm"), expect(unused_mut, reason = "there is but one suite"))]
        let mut keys = alloc::vec![Key::new(&[7; 32])];
        #[cfg(feature = "aes-gcm")]
        for suite in [Suite::Aes128Gcm, Suite::Aes192Gcm, Suite::Aes256Gcm] {
            keys.push(Key::with_suite(suite, &[7; 32][..suite.key_length()]).unwrap());
        }
        keys
    }
}
