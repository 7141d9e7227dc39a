//! The bytes of requests for keys, and of their answers (`docs/WIRE.md`).

use bytes::Bytes;
use gossip_core::{Key, KeyId, KeyRing, Suite};
use zeroize::Zeroizing;

use crate::keys::reservation::Fingerprint;

/// How a payload begins that no codec wrote.
const RAW: u8 = 0;

const LIST: u8 = 1;
const ADD: u8 = 2;
const USE: u8 = 3;
const REMOVE: u8 = 4;
const RESERVE: u8 = 5;
const RELEASE: u8 = 6;
const RESERVED: u8 = 7;

/// What a member is told to do. Each is answered with the ids of the keys that it has then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyOrder {
    /// Nothing.
    List,
    /// Add a key.
    Add(Key),
    /// Seal with a key.
    Use(KeyId),
    /// Drop a key.
    Remove(KeyId),
    /// Hold still for the change of this number, for so many milliseconds, if these are the members.
    Reserve { number: u32, span_ms: u32, among: Fingerprint },
    /// The change of this number does not come.
    Release(u32),
    /// Do the rest if this is the change that was waited for.
    Reserved(u32, Box<Self>),
}

impl KeyOrder {
    /// The payload of a request; wiped when it is dropped.
    pub(crate) fn to_payload(&self) -> Bytes {
        /// Holds the longest, so that nothing is moved and left behind.
        const ROOM: usize = 128;
        let mut bytes = Zeroizing::new(Vec::with_capacity(ROOM));
        bytes.push(RAW);
        self.write(&mut bytes);
        debug_assert!(bytes.capacity() == ROOM, "it was not moved");
        Bytes::from_owner(bytes)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::List => bytes.push(LIST),
            Self::Add(key) => {
                let suite = key.suite().name().as_bytes();
                bytes.extend([ADD, u8::try_from(suite.len()).expect("names of suites are short")]);
                bytes.extend(suite);
                bytes.extend(key.secret());
            }
            Self::Use(id) => bytes.extend([&[USE][..], &id.as_u16().to_be_bytes()].concat()),
            Self::Remove(id) => bytes.extend([&[REMOVE][..], &id.as_u16().to_be_bytes()].concat()),
            Self::Reserve { number, span_ms, among: Fingerprint { count, ids } } => {
                bytes.push(RESERVE);
                for part in [number, span_ms, count] {
                    bytes.extend(part.to_be_bytes());
                }
                bytes.extend(ids.to_be_bytes());
            }
            Self::Release(number) => bytes.extend([&[RELEASE][..], &number.to_be_bytes()].concat()),
            Self::Reserved(number, order) => {
                bytes.extend([&[RESERVED][..], &number.to_be_bytes()].concat());
                order.write(bytes);
            }
        }
    }

    /// Reads the payload of a request. The error says what is wrong, and nothing of a key.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        let unreadable = || "the request cannot be read: it is of another version of this library".to_owned();
        let [RAW, order, rest @ ..] = payload else { return Err(unreadable()) };
        let order = *order;
        let number = rest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let after = rest.get(4..).unwrap_or_default();
        match (order, number, after) {
            (RESERVED, Some(number), [USE | REMOVE, ..]) => {
                let order = Self::parse(&[&[RAW], after].concat())?;
                return Ok(Self::Reserved(number, Box::new(order)));
            }
            (RESERVE, Some(number), rest) if let Some((span_ms, rest)) = rest.split_first_chunk() => {
                let (count, ids) = rest.split_first_chunk().ok_or_else(unreadable)?;
                let ids = ids.try_into().map_err(|_| unreadable())?;
                let among = Fingerprint { count: u32::from_be_bytes(*count), ids: u128::from_be_bytes(ids) };
                return Ok(Self::Reserve { number, span_ms: u32::from_be_bytes(*span_ms), among });
            }
            (RELEASE, Some(number), []) => return Ok(Self::Release(number)),
            _ => {}
        }
        match order {
            LIST if rest.is_empty() => Ok(Self::List),
            ADD => {
                let (&length, rest) = rest.split_first().ok_or_else(unreadable)?;
                let (name, secret) = rest.split_at_checked(length.into()).ok_or_else(unreadable)?;
                let name = str::from_utf8(name).map_err(|_| unreadable())?;
                let known = || format!("this node does not have the cipher {name:?}: it was built without it");
                let suite = Suite::named(name).ok_or_else(known)?;
                Key::with_suite(suite, secret).map(Self::Add).map_err(|error| error.to_string())
            }
            USE => key_id(rest).map(Self::Use).ok_or_else(unreadable),
            REMOVE => key_id(rest).map(Self::Remove).ok_or_else(unreadable),
            _ => Err(unreadable()),
        }
    }
}

/// The content of an answer.
pub(crate) fn answer(ring: &KeyRing) -> Vec<u8> {
    ring.ids().flat_map(|id| id.as_u16().to_be_bytes()).collect()
}

/// Reads the content of an answer: ids, that of the primary first.
pub(crate) fn parse_answer(content: &[u8]) -> Option<Vec<KeyId>> {
    let (ids, rest) = content.as_chunks::<2>();
    let is_plausible = rest.is_empty() && (1..=KeyRing::MOST).contains(&ids.len());
    is_plausible.then(|| ids.iter().map(|id| key_id(id)).collect())?
}

fn key_id(bytes: &[u8]) -> Option<KeyId> {
    let [high, low] = *bytes else { return None };
    KeyId::from_u16(u16::from_be_bytes([high, low]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn orders_are_read_as_they_are_written() {
        let key = Key::new(&[7; 32]);
        let orders = [
            KeyOrder::List,
            KeyOrder::Add(key.clone()),
            KeyOrder::Use(key.id()),
            KeyOrder::Remove(key.id()),
            KeyOrder::Reserve { number: 1 << 30, span_ms: 5_000, among: Fingerprint { count: 3, ids: 1 << 100 } },
            KeyOrder::Release(7),
            KeyOrder::Reserved(7, Box::new(KeyOrder::Use(key.id()))),
            KeyOrder::Reserved(8, Box::new(KeyOrder::Remove(key.id()))),
        ];
        for order in orders {
            let payload = order.to_payload();
            assert_eq!(KeyOrder::parse(&payload), Ok(order.clone()));
            for cut in 0..payload.len() {
                assert!(KeyOrder::parse(&payload[..cut]).is_err(), "{order:?} cut to {cut}");
            }
        }
        assert!(KeyOrder::parse(&[RAW, LIST, 0]).is_err());
        assert!(KeyOrder::parse(&[RAW, USE, 0, 0]).is_err(), "no key has the id 0");
        let unknown = [&[RAW, ADD, 4][..], b"rot1", &[1; 32]].concat();
        assert!(KeyOrder::parse(&unknown).unwrap_err().contains("rot1"));
    }

    #[test]
    fn an_answer_names_all_keys() {
        let mut ring = KeyRing::new(Key::new(&[1; 32]));
        ring.add(Key::new(&[2; 32])).unwrap();
        assert_eq!(parse_answer(&answer(&ring)), Some(ring.ids().collect()));
        for bad in [&[][..], &[1], &[0, 0], &[1; 2 * KeyRing::MOST + 2]] {
            assert_eq!(parse_answer(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_fail(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (KeyOrder::parse(&bytes), parse_answer(&bytes));
        }
    }
}
