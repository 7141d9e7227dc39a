//! What the application wants.

use alloc::vec::Vec;

use crate::context::Phase;
use crate::error::{ForgetError, JoinError, MetadataError, PhaseError};
use crate::event::Event;
use crate::identity::{Address, Incarnation, NodeId};
use crate::membership::{MemberState, Slot};
use crate::metadata::{Metadata, Value};
use crate::node::Node;
use crate::outbox::Pending;
use crate::time::Instant;
use crate::transmit::Channel;

/// Where a member is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgetScope {
    /// In this node's table alone.
    Here,
    /// In every table of the cluster.
    Everywhere,
}

impl<A: Address> Node<A> {
    /// Joins the cluster through the node at `address`.
    ///
    /// The outcome comes as exactly one [`Event::JoinAccepted`] or [`Event::JoinFailed`] with this address.
    ///
    /// # Errors
    ///
    /// [`JoinError::Rejected`] if the address is this node's own, [`JoinError::Busy`] if 256 attempts are under way,
    /// [`JoinError::Phase`] if the node is leaving.
    pub fn join(&mut self, now: Instant, address: A) -> Result<(), JoinError> {
        self.advance(now);
        if self.cx.phase == Phase::Contested {
            return Err(PhaseError::Contested.into());
        }
        self.joining.begin(&mut self.cx, address)
    }

    /// Tells the node at `address` of this one, over a connection, if this node takes part: for drivers that keep
    /// connections open over which this node is reached.
    pub fn introduce(&mut self, now: Instant, address: A) {
        self.advance(now);
        if self.cx.is_active() {
            let subject = self.cx.id();
            self.cx.outbox.push(Pending::Claim { to: address, channel: Channel::Stream, subject });
        }
    }

    /// Replaces the seeds: addresses that are tried for ever, often while this node is alone, and one lost seed at
    /// every [`Config::heal_interval`](crate::Config::heal_interval) otherwise. Own addresses do no harm.
    ///
    /// Each attempt is answered like one of [`join`](Self::join).
    pub fn set_seeds(&mut self, now: Instant, seeds: Vec<A>) {
        self.advance(now);
        self.healing.set_seeds(&mut self.cx, &mut self.joining, seeds);
    }

    /// Leaves the cluster: peers are told, and [`Event::Left`] comes when enough of them acknowledged it or
    /// [`Config::leave_timeout`](crate::Config::leave_timeout) has passed. A node that left cannot come back; start a
    /// new one with the same id.
    ///
    /// # Errors
    ///
    /// [`PhaseError::Leaving`] if it is leaving already.
    pub fn leave(&mut self, now: Instant) -> Result<(), PhaseError> {
        self.advance(now);
        if self.cx.is_active() && !self.locks.is_empty() {
            self.locks.leave(&mut self.cx, &self.elections);
        }
        if self.cx.is_active() && !self.elections.is_empty() {
            self.elections.leave(&mut self.cx);
        }
        self.leave.begin(&mut self.cx)?;
        self.joining.abandon(&mut self.cx);
        self.requests.arm(&mut self.cx);
        self.follow_up();
        Ok(())
    }

    /// Drops a member that is dead or has left before its time, here or in the whole cluster.
    ///
    /// # Errors
    ///
    /// The state is unchanged if the member is unknown, alive, or this node itself.
    pub fn forget(&mut self, now: Instant, id: NodeId, scope: ForgetScope) -> Result<(), ForgetError> {
        self.advance(now);
        let slot = self.cx.table.find(id).ok_or(ForgetError::Unknown)?;
        if slot == Slot::MYSELF {
            return Err(ForgetError::Myself);
        }
        let row = self.cx.table.row(slot);
        match row.member.state {
            MemberState::Alive | MemberState::Suspect => return Err(ForgetError::Alive),
            MemberState::Removed => return Err(ForgetError::Unknown),
            MemberState::Dead | MemberState::Leaving => {}
        }
        match scope {
            ForgetScope::Here if row.hidden => return Err(ForgetError::Unknown),
            ForgetScope::Here => self.cx.forget_here(slot),
            ForgetScope::Everywhere => self.cx.forget_everywhere(slot),
        }
        self.elections.forget(&mut self.cx, id);
        self.follow_up();
        Ok(())
    }

    /// Sets a key of this node's metadata; peers learn only what changed.
    ///
    /// # Errors
    ///
    /// The state is unchanged if the key is not 1 to 255 bytes long, if the whole would exceed
    /// [`Config::max_metadata`](crate::Config::max_metadata), or if the node has left.
    pub fn set_metadata(&mut self, now: Instant, key: &str, value: impl Into<Value>) -> Result<(), MetadataError> {
        let limit = self.cx.config.max_metadata;
        self.change_metadata(now, key, |metadata| metadata.set(key, value.into(), limit)).map(|_| ())
    }

    /// Removes a key of this node's metadata; tells whether it was there.
    ///
    /// # Errors
    ///
    /// [`MetadataError::Left`] if the node has left.
    pub fn remove_metadata(&mut self, now: Instant, key: &str) -> Result<bool, MetadataError> {
        self.change_metadata(now, key, |metadata| Ok(metadata.remove(key)))
    }

    /// Advertises another address from now on.
    ///
    /// Where elections are held, no other node may start at the old address while this one runs: it would be taken for what
    /// became of this one (`docs/COORDINATION.md`).
    ///
    /// # Errors
    ///
    /// The state is unchanged if the node is leaving or lost its id to a rival.
    pub fn set_address(&mut self, now: Instant, address: A) -> Result<(), PhaseError> {
        self.advance(now);
        self.cx.check_active()?;
        if *self.address() != address {
            let now = self.cx.now;
            self.cx.table.change(Slot::MYSELF, now, |row| row.member.address = address);
            let incarnation = self.cx.incarnation();
            let refutations = incarnation.refutations.saturating_add(1);
            self.cx.renew(Incarnation { refutations, ..incarnation });
        }
        Ok(())
    }

    fn change_metadata(
        &mut self,
        now: Instant,
        key: &str,
        change: impl FnOnce(&mut Metadata) -> Result<bool, MetadataError>,
    ) -> Result<bool, MetadataError> {
        self.advance(now);
        if matches!(self.cx.phase, Phase::Leaving | Phase::Left) {
            return Err(MetadataError::Left);
        }
        let mut metadata = self.cx.table.myself().metadata.clone();
        let base = metadata.version();
        if !change(&mut metadata)? {
            return Ok(false);
        }
        let now = self.cx.now;
        self.cx.table.set_metadata(Slot::MYSELF, metadata, now);
        self.cx.tell_metadata(Slot::MYSELF, base);
        let member = self.cx.table.myself().clone();
        self.cx.events.push(Event::Metadata { member, keys: Vec::from([key.into()]) });
        Ok(true)
    }
}
