//! Keys while the node runs, and what is done with sealed packets before anything is believed.

use crate::context::Phase;
use crate::identity::{Address, NodeId};
use crate::node::Node;
use crate::outbox::Pending;
use crate::seal::{Key, KeyId, KeyRing, KeyRingError, Plaintext};
use crate::stats::{DropReason, MessageKind};
use crate::transmit::Channel;
use crate::wire::{Messages, Sealed};

impl<A: Address> Node<A> {
    /// Adds a key that packets are opened with. Whether it was not there before.
    ///
    /// # Errors
    ///
    /// The ring is unchanged if another key has the same id, if the ring is full, or if the node runs without keys.
    pub fn add_key(&mut self, key: Key) -> Result<bool, KeyRingError> {
        self.ring()?.add(key)
    }

    /// Seals with this key from now on; the others still open. Add it to all members first.
    ///
    /// # Errors
    ///
    /// The ring is unchanged if the key is not in it, or if the node runs without keys.
    pub fn use_key(&mut self, id: KeyId) -> Result<(), KeyRingError> {
        self.ring()?.set_primary(id)
    }

    /// Drops a key. What is sealed with it is refused from now on: a member that has no other is shut out, so look at
    /// [`members_speaking`](Self::members_speaking) first, and wait as long as a member may be away.
    ///
    /// # Errors
    ///
    /// The ring is unchanged if the key is the primary or not in it, or if the node runs without keys.
    pub fn remove_key(&mut self, id: KeyId) -> Result<(), KeyRingError> {
        self.ring()?.remove(id)?;
        if let Some(seal) = &mut self.cx.seal {
            // Another key may have the same id one day.
            seal.forget_subkeys();
        }
        Ok(())
    }

    /// The ids of the keys, that of the primary first; none if the node runs without keys.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> {
        self.cx.config.keys.iter().flat_map(KeyRing::ids)
    }

    /// How many live members were last heard sealing with this key as their primary, this node not included.
    pub fn members_speaking(&self, key: KeyId) -> usize {
        self.cx.members_speaking(key)
    }

    /// The key that a node was last heard sealing with by its own choice, if it is known; also of a node that is gone.
    pub fn speaks(&self, node: NodeId) -> Option<KeyId> {
        self.cx.speaks(node)
    }

    /// Changes what becomes of packets that are not sealed, to move a running cluster to keys step by step.
    ///
    /// # Errors
    ///
    /// [`KeyRingError::NotSealed`] if the node runs without keys: then everything is plaintext.
    pub fn set_plaintext(&mut self, plaintext: Plaintext) -> Result<(), KeyRingError> {
        self.ring()?;
        self.cx.config.plaintext = plaintext;
        Ok(())
    }

    fn ring(&mut self) -> Result<&mut KeyRing, KeyRingError> {
        self.cx.config.keys.as_mut().ok_or(KeyRingError::NotSealed)
    }

    /// Whether a packet that opened is for this node, in this start, and new.
    pub(super) fn admits_sealed(&mut self, from: &A, channel: Channel, sealed: &Sealed, body: &[u8]) -> bool {
        if !sealed.is_bound {
            return self.cx.trusts_strangers() || self.greet(from, channel, sealed, body);
        }
        match self.cx.admit(sealed, channel, from) {
            Ok(()) if body.is_empty() && channel == Channel::Stream => {
                self.joining.handle_greeting(&mut self.cx, from, sealed.asker());
                false
            }
            Ok(()) => true,
            // A node whose clock went back is told so, over a connection: there an echo of its past does no harm.
            Err(DropReason::StaleEpoch) if channel == Channel::Stream && self.cx.phase != Phase::Left => {
                self.receive_sealed_stale(from, sealed, body);
                false
            }
            Err(reason) => {
                self.cx.drop(reason);
                false
            }
        }
    }

    /// Tells who asks to be let in for whom to seal the request; it says nothing else to whom it does not know.
    fn greet(&mut self, from: &A, channel: Channel, sealed: &Sealed, body: &[u8]) -> bool {
        self.cx.drop(DropReason::Unbound);
        let asks = body.first() == Some(&MessageKind::Join.code());
        if asks && channel == Channel::Stream && self.cx.phase != Phase::Left {
            self.cx.outbox.push_for(sealed.asker(), Pending::Greeting { to: from.clone() });
        }
        false
    }

    fn receive_sealed_stale(&mut self, from: &A, sealed: &Sealed, body: &[u8]) {
        let messages = Messages::new(body);
        if messages.are_valid() {
            self.cx.outbox.answer(Some((from.clone(), sealed.asker())));
            self.receive_stale(&self.origin(from.clone(), (Channel::Stream, true), sealed.envelope), messages);
            self.cx.outbox.answer(None);
        } else {
            self.cx.drop(DropReason::Malformed);
        }
    }
}
