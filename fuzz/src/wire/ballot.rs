//! What an election takes.

use arbitrary::Arbitrary;

use super::field::record;
use super::{Epoch, Field, Id};

record! { Voter { id: Id, epoch: Epoch, } }
record! { Term { number: u64, candidate: Voter, } }
record! { Electorate { made_in: Term, count: u32, } }
record! {
    /// One message of an election.
    Ballot { mark: [u8; 8], act: Act, term: Term, stamp: u64, version: Electorate, voters: Vec<u8>, }
}

/// What the sender wants, or answers.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub(crate) enum Act {
    Canvass,
    Ask,
    Beat,
    Would,
    Grant,
    Heard,
    Refuse,
    Release { heir: Option<Id>, farewell: bool },
}

impl Ballot {
    pub(super) fn is_valid(&self) -> bool {
        self.voters.len().is_multiple_of(24) && self.voters.len() <= 32 * 24
    }
}

impl Field for Act {
    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(match u32::read(from)? {
            0 => Self::Canvass,
            1 => Self::Ask,
            2 => Self::Beat,
            3 => Self::Would,
            4 => Self::Grant,
            5 => Self::Heard,
            6 => Self::Refuse,
            7 => Self::Release { heir: Field::read(from)?, farewell: Field::read(from)? },
            _ => return None,
        })
    }

    fn write(&self, to: &mut Vec<u8>) {
        to.push(match self {
            Self::Canvass => 0,
            Self::Ask => 1,
            Self::Beat => 2,
            Self::Would => 3,
            Self::Grant => 4,
            Self::Heard => 5,
            Self::Refuse => 6,
            Self::Release { .. } => 7,
        });
        if let Self::Release { heir, farewell } = self {
            heir.write(to);
            farewell.write(to);
        }
    }
}
