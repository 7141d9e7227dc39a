//! Sealed packets: authenticated, encrypted, meant for one start of one receiver, and taken once.
//!
//! A packet opens only for the receiver that it was written for, in the start that it was written for; that start is part
//! of what is authenticated, and of no byte on the wire. So a packet recorded on its way to one node is worth nothing to
//! another one, nor to the same one after a restart, and windows need to remember one life only. The exception
//! is a request to join, whose sender cannot know whom it will reach: it is answered by a greeting, an empty packet that
//! tells the asker whom to ask, and is only acted on when it comes again for this very node. `docs/SECURITY.md` says why.

mod fan_out;
mod key;
mod replay;
mod ring;
mod suite;

use alloc::boxed::Box;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::context::Context;
use crate::identity::{Address, Epoch, Incarnation, NodeId};
use crate::membership::{KeyedHash, Slot};
use crate::rng::Rng;
use crate::stats::DropReason;
use crate::transmit::Channel;
use crate::wire::{self, Opened, Sealed};

pub(crate) use fan_out::FanOut;
pub(crate) use key::Subkey;
pub use key::{Key, KeyError, KeyId, ParseKeyIdError};
use replay::Replay;
pub use ring::{KeyRing, KeyRingError};
pub(crate) use suite::TAG;
pub use suite::{Suite, SuiteError};

/// What becomes of packets that are not sealed, in a node that has a key ring.
///
/// Anything but [`Refuse`](Self::Refuse) is for moving a running cluster from plaintext to keys or back, one step after the
/// other on all nodes; it protects against nobody. While it is in effect, [`Stats::plaintext_received`](crate::Stats::plaintext_received) tells
/// whether it is still needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum Plaintext {
    /// They are dropped and counted; nothing is answered.
    #[default]
    Refuse,
    /// They are taken; this node seals what it sends.
    Accept,
    /// They are taken, and this node sends plaintext as well; sealed packets are taken too.
    Send,
}

/// One start of one node: whom a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) id: NodeId,
    pub(crate) epoch: Epoch,
}

/// Whom a packet is sealed for, and with which key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addressee {
    pub(crate) life: Life,
    /// The key that it can open, if that is not the primary.
    pub(crate) key: Option<KeyId>,
}

/// How the addressee of a packet is found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Addressing {
    /// By its address.
    ByAddress,
    /// It is this one: the packet is an answer.
    Known(Addressee),
    /// It is this member, in the start that it is in by then, whoever else is said to be at its address.
    Member(NodeId),
    /// It is not known who is there.
    Nobody,
}

/// What a node with a key ring remembers of others, beside their rows.
#[derive(Debug)]
pub(crate) struct Sealer<A> {
    replay: Replay,
    /// Earlier epochs of this very start of the node.
    outgrown: SmallVec<[Epoch; 2]>,
    /// Who is at an address: members where they say they are, others where they were last heard.
    addresses: HashMap<A, NodeId, KeyedHash>,
    pub(crate) fan_out: FanOut<A>,
    /// What this node seals with, as long as epoch and key stay.
    own: Option<Box<Subkey>>,
}

impl<A: Address> Sealer<A> {
    pub(crate) fn new(max_members: usize, rng: &mut Rng) -> Self {
        let mut hash = || KeyedHash::new((rng.next_u64(), rng.next_u64()));
        Self {
            replay: Replay::new(max_members, hash()),
            outgrown: SmallVec::new(),
            addresses: HashMap::with_hasher(hash()),
            fan_out: FanOut::default(),
            own: None,
        }
    }

    /// Wipes what was derived from keys.
    pub(crate) fn forget_subkeys(&mut self) {
        self.own = None;
        self.replay.forget_subkeys();
    }
}

impl<A: Address> Context<A> {
    /// Checks a packet and takes it apart; what is sealed is opened in place.
    pub(crate) fn open<'a>(&mut self, channel: Channel, packet: &'a mut [u8]) -> Result<Opened<'a>, DropReason> {
        let Some(ring) = &self.config.keys else { return wire::open(self.cluster, packet) };
        if !wire::is_sealed(packet) {
            let opened = wire::open(self.cluster, packet)?;
            if self.config.plaintext == Plaintext::Refuse {
                return Err(DropReason::Plaintext);
            }
            self.stats.plaintext_received += 1;
            return Ok(opened);
        }
        let sealed = Sealed::parse(self.cluster, channel, packet)?;
        let key = ring.find(sealed.key).ok_or(DropReason::UnknownKey)?;
        let wire::Envelope { sender, epoch, .. } = sealed.envelope;
        let known = self.seal.as_ref().and_then(|seal| seal.replay.subkey(sender));
        let derived;
        let subkey = if let Some(known) = known.filter(|known| known.is_of(key.id(), sender, epoch)) {
            known
        } else {
            derived = key.subkey(sender, epoch);
            &derived
        };
        let mut is_open = false;
        if sealed.is_bound {
            let (id, epoch) = (self.id(), self.incarnation().epoch);
            let outgrown = self.seal.iter().flat_map(|seal| seal.outgrown.iter().rev().copied());
            for epoch in core::iter::once(epoch).chain(outgrown) {
                is_open = is_open || sealed.open(subkey, Some(Life { id, epoch }), packet);
            }
        } else {
            is_open = sealed.open(subkey, None, packet);
        }
        if is_open { Ok(sealed.into_opened(packet)) } else { Err(DropReason::BadSeal) }
    }

    /// Takes note of a packet for this node that opened, unless it came before.
    pub(crate) fn admit(&mut self, sealed: &Sealed, channel: Channel, from: &A) -> Result<(), DropReason> {
        let Some(seal) = &mut self.seal else { return Ok(()) };
        let table = &self.table;
        let is_member = |id, epoch: Option<Epoch>| {
            let member = table.find(id).map(|slot| table.member(slot));
            member.is_some_and(|member| epoch.is_none_or(|epoch| epoch == member.incarnation.epoch))
        };
        let wire::Envelope { sender, epoch, counter } = sealed.envelope;
        let speaks = (sealed.key, !sealed.is_accommodating);
        seal.replay.admit((sender, epoch, counter), channel, speaks, is_member)?;
        if !seal.replay.subkey(sender).is_some_and(|known| known.is_of(sealed.key, sender, epoch))
            && let Some(key) = self.config.keys.as_ref().and_then(|ring| ring.find(sealed.key))
        {
            seal.replay.keep_subkey(sender, key.subkey(sender, epoch));
        }
        match self.seal.as_ref().and_then(|seal| seal.addresses.get(from)) {
            Some(&known) if known == sender => {}
            // A packet that comes from a member's address need not come from there, unless it is the sender's as well.
            Some(&known) if self.is_at(known, from) && !self.is_at(sender, from) => {}
            _ => self.note_address(from, sender),
        }
        Ok(())
    }

    /// Takes note of where a member says that it is, unless one that started later is there.
    ///
    /// Who starts again without its id leaves a row behind that is told of as alive, and then as suspect, for a while.
    pub(crate) fn note_member(&mut self, slot: Slot) {
        let Some(seal) = &self.seal else { return };
        let member = self.table.member(slot);
        let (id, address, epoch) = (member.id, member.address.clone(), member.incarnation.epoch);
        let known = seal.addresses.get(&address).filter(|&&known| known != id && self.is_at(known, &address));
        let known = known.and_then(|&known| self.table.find(known)).map(|slot| self.table.member(slot));
        if known.is_none_or(|known| !known.state.is_live() || known.incarnation.epoch <= epoch) {
            self.note_address(&address, id);
        }
    }

    /// Whether this is where a member says that it is.
    fn is_at(&self, id: NodeId, address: &A) -> bool {
        self.table.find(id).is_some_and(|slot| self.table.member(slot).address == *address)
    }

    /// Takes note of who is at an address.
    fn note_address(&mut self, address: &A, id: NodeId) {
        let Some(seal) = &mut self.seal else { return };
        if let Some(known) = seal.addresses.get_mut(address) {
            *known = id;
            return;
        }
        if seal.addresses.len() >= 1_024 + 2 * self.config.max_members {
            let table = &self.table;
            let is_there =
                |id: &NodeId, address: &A| table.find(*id).is_some_and(|slot| table.member(slot).address == *address);
            seal.addresses.retain(|address, id| is_there(id, address));
        }
        seal.addresses.insert(address.clone(), id);
    }

    /// This node goes on in another epoch; what is on its way to it in this one still counts.
    pub(crate) fn outgrow(&mut self, epoch: Epoch) {
        /// Each costs an attempt to open, for every packet that does not open.
        const MOST: usize = 2;
        let Some(seal) = &mut self.seal else { return };
        if seal.outgrown.len() == MOST {
            seal.outgrown.remove(0);
        }
        seal.outgrown.push(epoch);
    }

    /// The incarnation with which this node goes beyond another start of its id.
    ///
    /// Clones may do so at the same time. Under a seal they must not meet in one epoch, because it makes the nonces.
    pub(crate) fn supersede(&mut self, theirs: Incarnation) -> Incarnation {
        if self.seal.is_none() {
            return theirs.superseded();
        }
        let epoch = theirs.epoch.following(self.rng.next_u32());
        if epoch.is_plausible() { Incarnation { epoch, refutations: 0 } } else { theirs.refuted() }
    }

    /// Whether a packet that is for whom it may concern is taken as it is.
    pub(crate) fn trusts_strangers(&self) -> bool {
        self.config.plaintext != Plaintext::Refuse
    }

    /// Whether an attacker without the key must not be answered.
    pub(crate) fn is_guarded(&self) -> bool {
        self.seal.is_some() && !self.trusts_strangers()
    }

    /// Whether an answer to `whom` at this address, who may be near a place in the table, may say more than was asked for.
    ///
    /// A datagram can be sent by anybody, from an address that somebody else suffers at; a sealed one if it did not arrive.
    pub(crate) fn may_be_told(&self, whom: NodeId, near: Option<Slot>, address: &A) -> bool {
        if self.is_guarded() {
            let known = self.seal.as_ref().and_then(|seal| seal.addresses.get(address));
            return known.is_some_and(|&id| self.is_at(id, address));
        }
        self.table.find_at(near, whom).is_some_and(|slot| self.table.member(slot).address == *address)
    }

    /// Whom a packet to this address is for, as far as that is known.
    pub(crate) fn addressee(&self, to: &A) -> Option<Addressee> {
        match self.outbox.addressing() {
            Addressing::Known(addressee) => Some(addressee),
            Addressing::Nobody => None,
            Addressing::Member(id) => self.present(id),
            Addressing::ByAddress => self.present(*self.seal.as_ref()?.addresses.get(to)?),
        }
    }

    /// Another node in the latest start that it is known to be in, and the key that it prefers.
    fn present(&self, id: NodeId) -> Option<Addressee> {
        let seal = self.seal.as_ref().filter(|_| id != self.id())?;
        let told = self.table.find(id).map(|slot| self.table.member(slot).incarnation.epoch);
        let epoch = told.max(seal.replay.epoch(id))?;
        Some(Addressee { life: Life { id, epoch }, key: seal.replay.speaks(id) })
    }

    /// The key that a node sealed with last by its own choice, as far as it was heard.
    pub(crate) fn speaks(&self, node: NodeId) -> Option<KeyId> {
        self.seal.as_ref()?.replay.speaks(node)
    }

    /// How many live members seal with a key by their own choice, as far as they were heard.
    pub(crate) fn members_speaking(&self, key: KeyId) -> usize {
        let Some(seal) = &self.seal else { return 0 };
        let ids = self.view.live().iter().map(|&slot| self.table.member(slot).id);
        ids.filter(|&id| seal.replay.speaks(id) == Some(key)).count()
    }
}
