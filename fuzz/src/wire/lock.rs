//! What locks take.

use arbitrary::Arbitrary;

use super::ballot::{Term, Voter};
use super::field::record;
use super::{Field, Id, Many};

record! { Token { term: Term, count: u64, } }
record! { Owner { life: Voter, op: u64, } }
record! { Holding { holder: Id, token: Token, left: u64, } }
record! {
    /// What is remembered of a lock.
    LockRecord { key: String, edition: Token, left: u64, hold: Hold, }
}
record! {
    /// One message about locks.
    Lock { mark: [u8; 8], say: Say, }
}

/// States the cases of a choice and the fields of each once, in order, for both directions.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($number:literal $case:ident { $($field:ident: $kind:ty,)* },)* }) => {
        $(#[$doc])*
        #[derive(Arbitrary, Clone, Debug, PartialEq)]
        pub(crate) enum $name { $($case { $($field: $kind,)* },)* }

        impl Field for $name {
            fn read(from: &mut &[u8]) -> Option<Self> {
                Some(match u32::read(from)? {
                    $($number => Self::$case { $($field: Field::read(from)?,)* },)*
                    _ => return None,
                })
            }

            fn write(&self, to: &mut Vec<u8>) {
                match self {
                    $(Self::$case { $($field,)* } => {
                        to.push($number);
                        $($field.write(to);)*
                    })*
                }
            }
        }
    };
}

choice! {
    /// How a lock stands.
    Hold {
        0 Held { owner: Owner, token: Token, },
        1 Free { by: Owner, },
    }
}
choice! {
    /// What is asked of the leader.
    Wish {
        0 Acquire { ttl: u64, },
        1 Try { ttl: u64, },
        2 Extend { token: Token, ttl: u64, },
        3 Release { token: Token, },
        4 Query {},
        5 Withdraw { of: u64, },
    }
}
choice! {
    /// Why not yet.
    Delay {
        0 NoLeader {},
        1 Unanswered {},
        2 Recovering {},
        3 Replicas {},
        4 Held {},
    }
}
choice! {
    /// What the leader answers.
    Answer {
        0 Granted { token: Token, },
        1 Extended {},
        2 Released {},
        3 NotHeld {},
        4 Busy {},
        5 Full {},
        6 Crowded {},
        7 Standing { holder: Option<Holding>, waiting: u32, },
        8 Withdrawn {},
        9 Wait { delay: Delay, },
    }
}
choice! {
    /// What is said.
    Say {
        0 Ask { term: Term, op: u64, floor: u64, stamp: u64, wish: Wish, key: String, },
        1 Answer { op: u64, stamp: u64, answer: Answer, },
        2 Store { term: Term, records: Records, },
        3 Stored { term: Term, counts: Vec<u8>, },
        4 Fetch { term: Term, after: String, },
        5 Known { term: Term, after: String, more: bool, records: Records, },
    }
}

/// Records, with their length before them.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub(crate) struct Records(Many<LockRecord>);

impl Field for Records {
    fn read(from: &mut &[u8]) -> Option<Self> {
        let bytes: Vec<u8> = Field::read(from)?;
        Some(Self(Field::read(&mut bytes.as_slice())?))
    }

    fn write(&self, to: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        self.0.write(&mut bytes);
        bytes.write(to);
    }
}

impl Lock {
    pub(super) fn is_valid(&self) -> bool {
        if let Say::Stored { counts, .. } = &self.say { counts.len().is_multiple_of(8) } else { true }
    }
}
