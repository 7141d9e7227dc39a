//! What came of asking all members for their keys, or of telling them to change these.

use std::fmt;

use gossip_core::{KeyId, NodeId};

use crate::RequestError;

/// What came of a question to all live members, this node included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyReport {
    /// Those that are live: all that were asked, and those that came meanwhile. Ordered by id.
    pub members: Vec<MemberKeys>,
    /// Those that were not asked, because they are dead; some may come back.
    pub away: Vec<NodeId>,
}

/// The keys of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberKeys {
    /// Who it is.
    pub id: NodeId,
    /// The keys that it has now, its primary first, or why that is not known.
    pub keys: Result<Vec<KeyId>, NoKeys>,
}

/// Why a member did not do what it was told, or did not say what keys it has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoKeys {
    /// There was no answer, or it was a no.
    Request(RequestError),
    /// It came, or came back, when the others had been asked already.
    NotAsked,
    /// The answer cannot be read.
    Unreadable,
}

impl std::error::Error for NoKeys {}

impl KeyReport {
    /// Whether all live members were asked, and have answered and done what was wanted.
    pub fn is_complete(&self) -> bool {
        self.members.iter().all(|member| member.keys.is_ok())
    }

    /// Those that did not answer, said no, or were not asked.
    pub fn failed(&self) -> impl Iterator<Item = (NodeId, &NoKeys)> {
        self.members.iter().filter_map(|member| Some((member.id, member.keys.as_ref().err()?)))
    }
}

/// A change that would shut members out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stranding {
    /// Who, and why.
    pub members: Vec<(NodeId, Stranded)>,
}

/// Why a member would be shut out, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stranded {
    /// It does not have this key, with which it would have to open.
    Lacks(KeyId),
    /// It still seals with this key.
    Speaks(KeyId),
    /// It did not say what keys it has.
    Unknown(NoKeys),
    /// It is dead, is still remembered, and was not heard with a key that stays.
    Away,
}

impl fmt::Display for Stranded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacks(key) => write!(f, "does not have key {key}"),
            Self::Speaks(key) => write!(f, "still seals with key {key}"),
            Self::Unknown(reason) => write!(f, "did not say what keys it has: {reason}"),
            Self::Away => f.write_str("is away and may come back with nothing but the old key"),
        }
    }
}

impl Stranding {
    /// The error that `members` make, if there are any.
    pub(crate) fn of(members: Vec<(NodeId, Stranded)>) -> Option<Box<Self>> {
        (!members.is_empty()).then(|| Box::new(Self { members }))
    }
}

impl std::error::Error for Stranding {}

impl fmt::Display for Stranding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Members that are named; there may be thousands.
        const NAMED: usize = 8;
        let count = self.members.len();
        let nodes = if count == 1 { "one node" } else { "nodes" };
        write!(f, "it would shut out ")?;
        if count > 1 {
            write!(f, "{count} ")?;
        }
        write!(f, "{nodes}, so nothing was changed: ")?;
        let mut separator = "";
        for (id, why) in self.members.iter().take(NAMED) {
            write!(f, "{separator}{id} {why}")?;
            separator = "; ";
        }
        if count > NAMED { write!(f, "; and {} more", count - NAMED) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_would_be_shut_out_are_named_with_the_reason() {
        let id = NodeId::from_u128;
        let key: KeyId = "ab12".parse().unwrap();
        let members = vec![(id(1), Stranded::Lacks(key)), (id(2), Stranded::Away)];
        let text = Stranding::of(members).unwrap().to_string();
        assert_eq!(
            text,
            "it would shut out 2 nodes, so nothing was changed: 00000000-0000-0000-0000-000000000001 does not have key \
             ab12; 00000000-0000-0000-0000-000000000002 is away and may come back with nothing but the old key"
        );
        let many = (0..1_000).map(|number| (id(number), Stranded::Speaks(key))).collect();
        assert!(Stranding::of(many).unwrap().to_string().ends_with("; and 992 more"));
        assert_eq!(Stranding::of(vec![]), None);
    }
}
