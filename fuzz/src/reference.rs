//! What a node must show of others after hearing claims about them, in the plainest words: of two claims the
//! greater `(incarnation, state)` holds; nobody comes to the table by an end; what was forgotten comes back by a
//! new life alone.

use std::collections::BTreeMap;

use gossip_core::MemberState;

use crate::wire::{Claim, Id, Incarnation, State};

/// One member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) incarnation: Incarnation,
    pub(crate) state: State,
    /// Forgotten by this node alone.
    pub(crate) hidden: bool,
}

/// The members that a node heard of.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    pub(crate) rows: BTreeMap<Id, Row>,
}

impl Reference {
    /// Somebody tells news of a member.
    pub(crate) fn hear(&mut self, claim: &Claim) {
        let Some(row) = self.rows.get_mut(&claim.subject) else {
            if claim.state.is_live() {
                let row = Row { incarnation: claim.incarnation, state: claim.state, hidden: false };
                self.rows.insert(claim.subject, row);
            }
            return;
        };
        if claim.incarnation < row.incarnation {
            return;
        }
        if claim.incarnation > row.incarnation {
            row.incarnation = claim.incarnation;
            if !row.state.is_live() && !claim.state.is_live() {
                row.state = claim.state;
                return;
            }
            (row.state, row.hidden) = (State::Alive, false);
        }
        if claim.state <= row.state {
            return;
        }
        // That a live member is to be forgotten is doubted: it may speak for itself.
        let is_doubted = claim.state == State::Removed && row.state.is_live();
        row.state = if is_doubted { State::Suspect } else { claim.state };
    }

    /// The application forgets a member; whether it may.
    pub(crate) fn forget(&mut self, id: Id, everywhere: bool) -> bool {
        let Some(row) = self.rows.get_mut(&id) else { return false };
        if row.state.is_live() || row.state == State::Removed || (row.hidden && !everywhere) {
            return false;
        }
        if everywhere {
            row.state = State::Removed;
        } else {
            row.hidden = true;
        }
        true
    }

    /// A member as it is to be seen.
    pub(crate) fn shown(&self, id: Id) -> Option<(Incarnation, State)> {
        let row = self.rows.get(&id).filter(|row| !row.hidden && row.state != State::Removed)?;
        Some((row.incarnation, row.state))
    }

    /// Time passed: live members may have come under suspicion, and died of it.
    pub(crate) fn observe(&mut self, id: Id, now: State) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        let may_be = now == row.state || (row.state.is_live() && (row.state..=State::Dead).contains(&now));
        assert!(may_be, "{row:?} became {now:?} by itself");
        row.state = now;
    }
}

impl From<MemberState> for State {
    fn from(state: MemberState) -> Self {
        match state {
            MemberState::Alive => Self::Alive,
            MemberState::Suspect => Self::Suspect,
            MemberState::Dead => Self::Dead,
            MemberState::Leaving => Self::Leaving,
            MemberState::Removed => Self::Removed,
        }
    }
}
