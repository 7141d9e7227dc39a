//! What a node writes to the log about its cluster.

use std::collections::HashSet;
use std::fmt::Display;

use gossip_core::{Cause, DropReason, JoinError, MemberState, Stats};
use tracing::{debug, error, info, warn};

use crate::{Event, MemberChange, NodeAddress};

/// Addresses that are remembered as failing. Those beyond are logged each time.
const FAILING_REMEMBERED: usize = 1_024;

/// Writes to the log, and knows what is in it already.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Addresses at which joining failed the last time. Seeds are tried for ever, but it is news only once.
    failing: HashSet<NodeAddress>,
}

impl Report {
    /// Logs an event: news of members for those who follow the cluster, what an operator must act on as warning or
    /// error. `reason` is more than the protocol knows of a failed join.
    pub(crate) fn log(&mut self, event: &Event, reason: Option<&str>) {
        match event {
            Event::Member(change) => log_change(change),
            Event::Metadata { member, keys } => debug!(member = %member.id, ?keys, "metadata changed"),
            Event::JoinAccepted { address, by, members } => {
                self.failing.remove(address);
                info!(%address, %by, members, "joined");
            }
            Event::JoinFailed { address, error } => self.log_failure(address, error, reason),
            Event::IdConflict { rival, quiet, .. } => {
                error!(%rival, quiet, "another running node has the id of this one; give each node an id of its own");
            }
            Event::IdRegained => info!("the other node with this id is gone; taking part again"),
            Event::Left { acknowledged } => info!(acknowledged, "left the cluster"),
            Event::MessagesMissed { kind: Some(kind), count } => {
                warn!(%kind, count, "messages were dropped: their handler is slow");
            }
            Event::MessagesMissed { kind: None, count } => {
                warn!(count, "messages were dropped: more came than this node can take");
            }
            Event::BroadcastsLost { origin, tag, count } => {
                warn!(%origin, tag = tag.as_deref(), count, "broadcasts are lost for good");
            }
            Event::Missed { count } => warn!(count, "events were lost before they could be handed out"),
            _ => debug!(?event, "event"),
        }
    }

    fn log_failure(&mut self, address: &NodeAddress, error: &JoinError, reason: Option<&str>) {
        let is_news = !self.failing.contains(address);
        if is_news && self.failing.len() < FAILING_REMEMBERED {
            self.failing.insert(address.clone());
        }
        match error {
            JoinError::Rejected(reason) if is_news => {
                warn!(%address, %reason, "not let in; check that both nodes are meant for the same cluster");
            }
            _ if is_news => info!(%address, %error, reason, "could not join"),
            _ => debug!(%address, %error, reason, "still could not join"),
        }
    }
}

/// Logs what the node dropped of a packet.
pub(crate) fn log_drops(from: &dyn Display, before: &Stats, after: &Stats) {
    for &reason in DropReason::ALL {
        if after.dropped(reason) > before.dropped(reason) {
            debug!(%from, reason = reason.name(), "dropped a packet or a part of it");
        }
    }
}

fn log_change(change: &MemberChange) {
    let member = &change.member;
    let (id, address) = (member.id, &member.address);
    match (&change.cause, member.state) {
        (Cause::Accused { by }, state) => info!(member = %id, %address, %state, %by, "member accused"),
        (Cause::DeclaredDead { by }, state) => info!(member = %id, %address, %state, %by, "member declared dead"),
        (Cause::SuspicionExpired { accusers }, state) => {
            info!(member = %id, %address, %state, accusers = accusers.len(), "member dead: nobody refuted");
        }
        (Cause::Reaped, MemberState::Removed) => debug!(member = %id, %address, "member no longer remembered"),
        (cause, state) => info!(member = %id, %address, %state, ?cause, "member changed"),
    }
}
