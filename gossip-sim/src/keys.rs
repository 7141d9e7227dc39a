//! The keys of sealed clusters. They follow from the seed, as everything else does.

use gossip_core::{Key, KeyRing};
use serde::{Deserialize, Serialize};

use crate::random::{Purpose, Random};

/// The key that a sealed cluster starts with.
const FIRST: u32 = 0;

/// A step of a change of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The node can open what the key seals.
    Install,
    /// The node seals with it.
    Use,
    /// The node does not open any more what it seals.
    Remove,
}

/// The key with this number.
pub(crate) fn key(seed: u64, number: u32) -> Key {
    let mut bytes = [0; 32];
    Random::keyed(seed, Purpose::Keys, u64::from(number)).fill(&mut bytes);
    Key::new(&bytes)
}

/// What all nodes of a sealed cluster start with.
pub(crate) fn ring(seed: u64) -> KeyRing {
    KeyRing::new(key(seed, FIRST))
}
