//! The keys that a node holds: one that it seals with, and those that it opens with.

use alloc::vec::Vec;

use crate::seal::key::{Key, KeyId};

/// The keys of a node: it seals with the primary and opens with any of them, chosen by the id in the packet.
///
/// To change the key of a running cluster, [`add`](Self::add) the new one everywhere, then [`set_primary`](Self::set_primary)
/// everywhere, and in the end [`remove`](Self::remove) the old one. `docs/SECURITY.md` has the whole procedure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    /// The primary first.
    keys: Vec<Key>,
}

/// A change of a key ring that is refused; the ring is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// No key of the ring has this id.
    #[error("no key {0} in the ring")]
    Unknown(KeyId),
    /// Another key of the ring has the same id; packets could not be told apart. Generate another one.
    #[error("another key of the ring has the id {0}: generate a new one")]
    Collision(KeyId),
    /// The primary cannot be removed; make another one the primary first.
    #[error("key {0} is the primary: use another one first")]
    Primary(KeyId),
    /// The ring is full; remove a key that is not in use any more.
    #[error("the ring holds {limit} keys already: remove one first", limit = KeyRing::MOST)]
    Full,
    /// The node was started without keys.
    #[error("the node runs without keys: start it with a key ring")]
    NotSealed,
}

impl KeyRing {
    /// Most keys in a ring.
    pub const MOST: usize = 16;

    /// A ring of one key.
    pub fn new(primary: Key) -> Self {
        Self { keys: Vec::from([primary]) }
    }

    /// Adds a key to open with. Whether it was not there before.
    ///
    /// # Errors
    ///
    /// [`KeyRingError::Collision`], [`KeyRingError::Full`].
    pub fn add(&mut self, key: Key) -> Result<bool, KeyRingError> {
        if let Some(known) = self.find(key.id()) {
            return if *known == key { Ok(false) } else { Err(KeyRingError::Collision(key.id())) };
        }
        if self.keys.len() >= Self::MOST {
            return Err(KeyRingError::Full);
        }
        self.keys.push(key);
        Ok(true)
    }

    /// Seals with this key from now on.
    ///
    /// # Errors
    ///
    /// [`KeyRingError::Unknown`].
    pub fn set_primary(&mut self, id: KeyId) -> Result<(), KeyRingError> {
        let index = self.keys.iter().position(|key| key.id() == id).ok_or(KeyRingError::Unknown(id))?;
        self.keys[..=index].rotate_right(1);
        Ok(())
    }

    /// Drops a key; what it sealed is not opened any more.
    ///
    /// # Errors
    ///
    /// [`KeyRingError::Unknown`], [`KeyRingError::Primary`].
    pub fn remove(&mut self, id: KeyId) -> Result<(), KeyRingError> {
        match self.keys.iter().position(|key| key.id() == id) {
            None => Err(KeyRingError::Unknown(id)),
            Some(0) => Err(KeyRingError::Primary(id)),
            Some(index) => {
                self.keys.remove(index);
                Ok(())
            }
        }
    }

    /// The key that is sealed with.
    pub fn primary(&self) -> &Key {
        self.keys.first().expect("a ring is never empty")
    }

    /// All keys, the primary first.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// The ids of all keys, that of the primary first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(Key::id)
    }

    /// The key with this id.
    pub fn find(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(&[byte; 32])
    }

    #[test]
    fn the_primary_comes_first_and_cannot_be_removed() {
        let mut ring = KeyRing::new(key(1));
        assert_eq!(ring.add(key(2)), Ok(true));
        assert_eq!(ring.add(key(2)), Ok(false));
        assert_eq!(ring.remove(key(1).id()), Err(KeyRingError::Primary(key(1).id())));
        ring.set_primary(key(2).id()).unwrap();
        assert_eq!(ring.ids().collect::<Vec<_>>(), [key(2).id(), key(1).id()]);
        ring.remove(key(1).id()).unwrap();
        assert_eq!(ring.set_primary(key(1).id()), Err(KeyRingError::Unknown(key(1).id())));
        assert_eq!(ring.primary(), &key(2));
    }

    #[test]
    fn a_second_key_with_the_same_id_is_refused() {
        let mut ring = KeyRing::new(key(0));
        let twin = (1_u32..).map(|number| {
            let mut bytes = [9; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            Key::new(&bytes)
        });
        let twin = twin.take(2_000_000).find(|twin| twin.id() == key(0).id()).expect("one in 65,536 has the same id");
        assert_eq!(ring.add(twin), Err(KeyRingError::Collision(key(0).id())));
    }

    #[test]
    fn a_ring_is_bounded() {
        let mut ring = KeyRing::new(key(0));
        let added = (1..=255).filter(|&byte| ring.add(key(byte)) == Ok(true)).count();
        assert_eq!(added, KeyRing::MOST - 1);
    }
}
