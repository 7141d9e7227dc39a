//! Fencing tokens.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::election::Term;

/// Which grant of a lock: of two, the later one is greater. Whoever is protected by the lock should refuse what comes
/// with a smaller token than the greatest seen.
///
/// It is written as 80 hexadecimal digits, whose order is the order of tokens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Token {
    pub(crate) term: Term,
    pub(crate) count: u64,
}

impl Token {
    /// Bytes of [`to_bytes`](Self::to_bytes).
    pub const LENGTH: usize = 40;

    /// The term of the leader that granted it.
    pub const fn term(self) -> Term {
        self.term
    }

    /// Its number within the term.
    pub const fn count(self) -> u64 {
        self.count
    }

    /// As bytes, whose order is the order of tokens.
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.term.number.to_be_bytes());
        bytes[8..24].copy_from_slice(self.term.candidate.id.as_bytes());
        bytes[24..32].copy_from_slice(&self.term.candidate.epoch.as_u64().to_be_bytes());
        bytes[32..].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::election::Voter;
    use crate::identity::{Epoch, NodeId};

    #[test]
    fn text_and_bytes_are_ordered_as_tokens_are() {
        let token = |number, id, epoch, count| {
            let candidate = Voter { id: NodeId::from_u128(id), epoch: Epoch::from_u64(epoch) };
            Token { term: Term { number, candidate }, count }
        };
        let ordered = [
            token(1, 9, 9, 9),
            token(2, 1, 1, 300),
            token(2, 1, 2, 0),
            token(2, 2, 0, 0),
            token(256, 0, 0, 0),
            token(256, 0, 0, 256),
        ];
        assert!(ordered.is_sorted());
        assert!(ordered.map(Token::to_bytes).is_sorted());
        assert!(ordered.map(|token| token.to_string()).is_sorted());
        assert_eq!(ordered[0].to_string().len(), 2 * Token::LENGTH);
    }
}
