//! Two live nodes with one id: one of them, and only one, keeps it.

use gossip_core::{Node, Phase};

use crate::facts::Facts;
use crate::world::Addr;

/// What is wrong with one of the pairs: both take part, or none does.
pub(super) fn difference(facts: &Facts, live: &[(usize, &Node<Addr>)]) -> Option<String> {
    let is_alone = |host: usize| !facts.is_doubled(host as u32);
    if let Some((host, _)) = live.iter().find(|(host, node)| is_alone(*host) && node.phase() == Phase::Contested) {
        return Some(format!("node {host} is quiet though nobody else has its id"));
    }
    if facts.doubled.is_empty() {
        return None;
    }
    let takes_part = |host: u32| {
        let node = live.iter().find(|(at, _)| *at == host as usize);
        node.map(|(_, node)| node.phase() == Phase::Active)
    };
    let pairs = facts.people.iter().enumerate().filter_map(|(host, person)| Some((host as u32, person.twin_of?)));
    for (twin, original) in pairs {
        let same_id = facts.person(original).renamed == facts.person(twin).renamed;
        match (takes_part(twin), takes_part(original)) {
            (Some(true), Some(true)) if same_id => {
                return Some(format!("nodes {original} and {twin} have one id, and both take part"));
            }
            (Some(false), Some(false)) => {
                return Some(format!("nodes {original} and {twin} have one id, and neither takes part"));
            }
            (Some(false), _) | (_, Some(false)) if !same_id => {
                return Some(format!("nodes {original} and {twin} have different ids, but one of them is quiet"));
            }
            (Some(false), None) => return Some(format!("node {twin} is quiet though its rival is gone")),
            (None, Some(false)) => return Some(format!("node {original} is quiet though its rival is gone")),
            _ => {}
        }
    }
    None
}
