//! Warnings of packets that keys keep out, in words for whoever has to find out why a node is alone.

use std::fmt::Display;
use std::time::{Duration, Instant};

use gossip_core::{DropReason, KeyId, KeyRing, Stats};
use tracing::warn;

/// Each sort of trouble is told of once in this time: anybody can cause it, as often as he likes.
const REST: Duration = Duration::from_mins(1);

/// Something about keys that an operator can mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// This node has keys, the other one has none.
    Plain,
    /// This node has no keys, the other one has.
    Sealed,
    /// Both have keys, and not the same.
    Unknown,
    /// The key is right and the rest is not.
    Bad,
}

impl Trouble {
    const COUNT: usize = 4;

    /// What the node counted while it took a packet.
    fn of(is_sealed: bool, claimed: Option<KeyId>, before: &Stats, after: &Stats) -> Option<Self> {
        let grew = |reason| after.dropped(reason) > before.dropped(reason);
        if grew(DropReason::Plaintext) {
            Some(Self::Plain)
        } else if grew(DropReason::UnknownKey) {
            Some(Self::Unknown)
        } else if grew(DropReason::BadSeal) {
            Some(Self::Bad)
        } else if !is_sealed && claimed.is_some() && grew(DropReason::Flags) {
            Some(Self::Sealed)
        } else {
            None
        }
    }
}

/// What was told when, and what was not since.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    told: [Option<Told>; Trouble::COUNT],
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at: Instant,
    /// Packets since.
    more: u64,
}

impl Troubles {
    /// Tells what became of a packet that came over a connection, if that is about keys.
    pub(crate) fn look_at(
        &mut self,
        now: Instant,
        (from, claimed): (&dyn Display, Option<KeyId>),
        keys: Option<&KeyRing>,
        (before, after): (&Stats, &Stats),
    ) {
        let Some(trouble) = Trouble::of(keys.is_some(), claimed, before, after) else { return };
        let Some(more) = self.due(now, trouble) else { return };
        let theirs = claimed.map(|key| key.to_string()).unwrap_or_default();
        let ours: Vec<String> = keys.iter().flat_map(|ring| ring.ids()).map(|key| key.to_string()).collect();
        let ours = ours.join(", ");
        match trouble {
            Trouble::Plain => warn!(
                %from, more,
                "a node without keys was kept out: this cluster is sealed; give that node the cluster's key file"
            ),
            Trouble::Sealed => warn!(
                %from, more, key = theirs,
                "a sealed packet came and this node has no keys: it cannot talk to that cluster; \
                 start this node with the cluster's key file"
            ),
            Trouble::Unknown => warn!(
                %from, more, key = theirs, ours,
                "a node was kept out: it seals with a key that this one does not have; \
                 give both the same keys, or let an up-to-date member install the new key once more"
            ),
            Trouble::Bad => warn!(
                %from, more, key = theirs,
                "a packet was refused that names the right key and was not made with it for this start of this node: \
                 damage, or somebody who plays back or makes up packets"
            ),
        }
    }

    /// How many packets were not told of since the last time, if it is time to tell again.
    fn due(&mut self, now: Instant, trouble: Trouble) -> Option<u64> {
        let told = &mut self.told[trouble as usize];
        match told {
            Some(Told { at, more }) if now.saturating_duration_since(*at) < REST => {
                *more += 1;
                None
            }
            _ => Some(told.replace(Told { at: now, more: 0 }).map_or(0, |told| told.more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sort_is_told_once_a_minute_with_the_number_of_those_between() {
        let mut troubles = Troubles::default();
        let begin = Instant::now();
        assert_eq!(troubles.due(begin, Trouble::Plain), Some(0));
        assert_eq!(troubles.due(begin, Trouble::Unknown), Some(0), "another sort");
        for second in 1..60 {
            assert_eq!(troubles.due(begin + Duration::from_secs(second), Trouble::Plain), None);
        }
        assert_eq!(troubles.due(begin + REST, Trouble::Plain), Some(59));
        assert_eq!(troubles.due(begin + 2 * REST, Trouble::Plain), Some(0));
    }
}
