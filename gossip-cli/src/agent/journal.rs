//! What the agent writes to its log of what happens in the cluster.

use std::collections::HashSet;

use gossip_tokio::protocol::JoinError;
use gossip_tokio::{Cluster, Event, Events, MemberChange, MemberState, MessageType, NodeAddress};
use tracing::{debug, error, info, warn};

use crate::describe::{
    NAME_KEY, blamers, cause_name, connection_failure, leader_change, leader_sentence, name_of, state_word,
};
use crate::output::printable;

/// Addresses remembered as being silent, so that each is complained of once.
const MAX_SILENT: usize = 1_024;

/// Writes until the node stops; `seeds` are the addresses that were configured as such, `is_sealed` whether it has keys.
pub(crate) async fn keep(cluster: Cluster, mut events: Events, seeds: Vec<NodeAddress>, is_sealed: bool) {
    let mut journal = Journal { cluster, seeds, is_sealed, silent: HashSet::new() };
    while let Some(event) = events.next().await {
        journal.write(&event);
    }
}

#[derive(Debug)]
struct Journal {
    cluster: Cluster,
    /// Addresses that are retried for ever. Those behind names are not among them.
    seeds: Vec<NodeAddress>,
    /// Whether the node has keys.
    is_sealed: bool,
    silent: HashSet<NodeAddress>,
}

impl Journal {
    fn write(&mut self, event: &Event) {
        match event {
            Event::Member(change) => member(change),
            Event::Metadata { member, keys } => {
                // News of a member comes before its metadata, so this is where its name is first known.
                if keys.iter().any(|key| key == NAME_KEY) {
                    info!(id = %member.id, name = name_of(member), address = %member.address, "name");
                }
                debug!(id = %member.id, name = name_of(member), ?keys, "metadata changed");
            }
            Event::JoinAccepted { address, by, members } => {
                self.silent.remove(address);
                info!(%address, %by, members, "joined");
            }
            Event::JoinFailed { address, error } => self.join_failed(address, error),
            Event::IdConflict { rival, quiet: true, .. } => error!(
                %rival,
                "another node has this node's id and started later; this one keeps quiet: give one of them another --id"
            ),
            Event::IdConflict { rival, quiet: false, .. } => {
                warn!(%rival, "another node has this node's id and is told to be quiet: give one another --id");
            }
            Event::IdRegained => info!("this node has its id back and takes part again"),
            Event::Left { acknowledged } => debug!(acknowledged, "the leave is complete"),
            Event::MessagesMissed { kind, count } => {
                let kind = kind.map(MessageType::as_u16);
                warn!(kind, count, "messages were dropped because more came than are taken in time");
            }
            Event::BroadcastsLost { origin, tag, count } => {
                warn!(%origin, tag = tag.as_deref(), count, "broadcasts are lost for good");
            }
            Event::Election { name, change } => {
                if let Some(row) = leader_change(&self.cluster, name, change) {
                    info!(election = &**name, "{}", printable(&leader_sentence(&row)));
                }
            }
            Event::Missed { count } => warn!(count, "events were lost because the log could not keep up"),
            other => debug!(?other, "event"),
        }
    }

    /// A node that keeps another one out by its keys does not answer it.
    fn hint(&self, error: &JoinError) -> &'static str {
        match error {
            JoinError::Timeout | JoinError::Unreachable if self.is_sealed => {
                "; if a node runs there, compare its keys with those of this one: what is not sealed with a key of its own it does not answer"
            }
            JoinError::Timeout | JoinError::Unreachable => {
                "; if a node runs there, it may have keys and this one has none (--key-file): then it does not answer"
            }
            _ => "",
        }
    }

    /// Seeds are retried for ever; one line for each address is enough until it has answered.
    fn join_failed(&mut self, address: &NodeAddress, error: &JoinError) {
        if self.silent.len() >= MAX_SILENT {
            self.silent.clear();
        }
        let reason = connection_failure(&self.cluster, address, error);
        let reason = reason.as_deref();
        if self.silent.insert(address.clone()) {
            let plan = if self.seeds.contains(address) { "; it is a seed and is retried for ever" } else { "" };
            // What a connection ended by explains it.
            let hint = if reason.is_some() { "" } else { self.hint(error) };
            warn!(%address, %error, reason, "cannot join through this address{hint}{plan}");
        } else {
            debug!(%address, %error, reason, "still cannot join through this address");
        }
    }
}

fn member(change: &MemberChange) {
    let member = &change.member;
    let (id, address, state) = (member.id, &member.address, state_word(member.state.name()));
    let name = name_of(member);
    let previous = change.previous.map(MemberState::name).map(state_word);
    let cause = cause_name(&change.cause);
    match blamers(&change.cause) {
        [] => info!(%id, name, %address, %state, previous, cause, "member"),
        by => info!(%id, name, %address, %state, previous, cause, ?by, "member"),
    }
}
