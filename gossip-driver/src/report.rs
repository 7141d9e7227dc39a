//! What a node writes to the log about its cluster.

use gossip_core::{Cause, JoinError, MemberState};
use tracing::{debug, error, info, warn};

use crate::{Event, MemberChange};

/// Logs an event: news of members for those who follow the cluster, what an operator must act on as warning or error.
pub(crate) fn log(event: &Event) {
    match event {
        Event::Member(change) => log_change(change),
        Event::Metadata { member, keys } => debug!(member = %member.id, ?keys, "metadata changed"),
        Event::JoinAccepted { address, by, members } => info!(%address, %by, members, "joined"),
        Event::JoinFailed { address, error: JoinError::Rejected(reason) } => {
            warn!(%address, %reason, "not let in; check that both nodes are meant for the same cluster");
        }
        Event::JoinFailed { address, error } => info!(%address, %error, "could not join"),
        Event::IdConflict { rival, quiet, .. } => {
            error!(%rival, quiet, "another running node has the id of this one; give each node an id of its own");
        }
        Event::IdRegained => info!("the other node with this id is gone; taking part again"),
        Event::Left { acknowledged } => info!(acknowledged, "left the cluster"),
        Event::Missed { count } => warn!(count, "events were lost before they could be handed out"),
        _ => debug!(?event, "event"),
    }
}

fn log_change(change: &MemberChange) {
    let member = &change.member;
    let (id, address) = (member.id, member.address);
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
