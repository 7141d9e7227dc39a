//! Events in words, for people and for programs.

use std::time::SystemTime;

use gossip_tokio::protocol::JoinError;
use gossip_tokio::{
    Cause, Cluster, ElectionChange, Event, Member, MemberState, MessageType, NodeAddress, NodeId, StepDown,
};

use crate::control::protocol::{EventKind, EventRow, LeaderChange, LeaderChangeRow, MetaValue, Who};
use crate::output::printable;

/// The metadata key that holds the name of a node.
pub(crate) const NAME_KEY: &str = "name";

/// The name that a member gave itself.
pub(crate) fn name_of(member: &Member) -> Option<String> {
    member.metadata.get(NAME_KEY).map(ToString::to_string)
}

/// A state as people are told it: what the protocol calls leaving has happened for those who hear of it.
pub(crate) fn state_word(state: &str) -> &str {
    if state == MemberState::Leaving.name() { "left" } else { state }
}

/// The event as it is told to clients, with the present as its time.
pub(crate) fn row(cluster: &Cluster, event: &Event) -> EventRow {
    EventRow { time: wall_clock(), what: kind(cluster, event) }
}

/// The present, RFC 3339 in UTC with milliseconds.
pub(crate) fn wall_clock() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

fn kind(cluster: &Cluster, event: &Event) -> EventKind {
    match event {
        Event::Member(change) => EventKind::Member {
            id: change.member.id.to_string(),
            name: name_of(&change.member),
            address: change.member.address.clone(),
            state: change.member.state.to_string(),
            previous: change.previous.map(|state| state.to_string()),
            cause: cause_name(&change.cause).to_owned(),
            by: blamers(&change.cause).iter().map(ToString::to_string).collect(),
            incarnation: change.member.incarnation.to_string(),
        },
        Event::Metadata { member, keys } => EventKind::Metadata {
            id: member.id.to_string(),
            name: name_of(member),
            changed: keys.iter().map(|key| (key.clone(), member.metadata.get(key).map(MetaValue::from))).collect(),
        },
        Event::JoinAccepted { address, by, members } => {
            EventKind::JoinAccepted { address: address.clone(), by: by.to_string(), members: *members }
        }
        Event::JoinFailed { address, error } => {
            let reason = match connection_failure(cluster, address, error) {
                Some(reason) => format!("{error}: {reason}"),
                None => error.to_string(),
            };
            EventKind::JoinFailed { address: address.clone(), reason }
        }
        Event::IdConflict { rival, quiet, .. } => EventKind::IdConflict { rival: rival.clone(), quiet: *quiet },
        Event::IdRegained => EventKind::IdRegained,
        Event::Left { acknowledged } => EventKind::Left { acknowledged: *acknowledged },
        Event::MessagesMissed { kind, count } => {
            EventKind::MessagesMissed { kind: kind.map(MessageType::as_u16), count: *count }
        }
        Event::BroadcastsLost { origin, tag, count } => {
            let tag = tag.as_deref().map(str::to_owned);
            EventKind::BroadcastsLost { origin: origin.to_string(), tag, count: *count }
        }
        Event::Election { name, change } => match leader_change(cluster, name, change) {
            Some(row) => EventKind::Election(row),
            None => EventKind::Other { text: format!("{event:?}") },
        },
        Event::Missed { count } => EventKind::Missed { count: *count },
        other => EventKind::Other { text: format!("{other:?}") },
    }
}

/// Why a node cannot be reached to join through it, where more is known than that.
pub(crate) fn connection_failure(cluster: &Cluster, address: &NodeAddress, error: &JoinError) -> Option<String> {
    let is_meant = matches!(error, JoinError::Unreachable | JoinError::Timeout);
    if is_meant { cluster.connection_failure(address) } else { None }
}

/// The cause in one word.
pub(crate) fn cause_name(cause: &Cause) -> &'static str {
    match cause {
        Cause::Joined => "joined",
        Cause::Restarted => "restarted",
        Cause::Refuted => "refuted",
        Cause::Moved => "moved",
        Cause::ProbeFailed => "probe_failed",
        Cause::Accused { .. } => "accused",
        Cause::SuspicionExpired { .. } => "suspicion_expired",
        Cause::DeclaredDead { .. } => "declared_dead",
        Cause::Left => "left",
        Cause::Forgotten => "forgotten",
        Cause::Reaped => "reaped",
        _ => "other",
    }
}

/// Those who accused the member or declared it dead.
pub(crate) fn blamers(cause: &Cause) -> &[NodeId] {
    match cause {
        Cause::Accused { by } | Cause::DeclaredDead { by } => std::slice::from_ref(by),
        Cause::SuspicionExpired { accusers } => accusers,
        _ => &[],
    }
}

/// What a cause says to people; `by` are those who accused the member or declared it dead.
pub(crate) fn cause_words(cause: &str, by: &[String]) -> String {
    let by = by.join(", ");
    match cause {
        "joined" => "it joined".to_owned(),
        "restarted" => "it started again".to_owned(),
        "refuted" => "it spoke up".to_owned(),
        "moved" => "it changed its address".to_owned(),
        "probe_failed" => "it did not answer a probe".to_owned(),
        "accused" => format!("accused by {by}"),
        "suspicion_expired" => format!("it did not refute in time, accused by {by}"),
        "declared_dead" => format!("declared dead by {by}"),
        "left" => "it left".to_owned(),
        "forgotten" => "an operator had it forgotten".to_owned(),
        "reaped" => "it was gone for too long".to_owned(),
        other => other.to_owned(),
    }
}

/// Who it is, as far as the node knows.
pub(crate) fn who(cluster: &Cluster, id: NodeId) -> Who {
    Who { id: id.to_string(), name: cluster.member(id).as_deref().and_then(name_of) }
}

/// A change of leader; none for what this version has no words for.
pub(crate) fn leader_change(cluster: &Cluster, election: &str, change: &ElectionChange) -> Option<LeaderChangeRow> {
    let (term, change) = match *change {
        ElectionChange::Elected { term } => (term, LeaderChange::Elected),
        ElectionChange::Lost { term } => (term, LeaderChange::Lost),
        ElectionChange::BecameLeader { term } => (term, LeaderChange::BecameLeader),
        ElectionChange::SteppedDown { term, reason } => {
            let reason = match reason {
                StepDown::LeaseEnded => "lease_ended",
                StepDown::Superseded => "superseded",
                StepDown::Leaves => "leaves",
                StepDown::NotEligible => "not_eligible",
                _ => "other",
            };
            (term, LeaderChange::SteppedDown { reason: reason.to_owned() })
        }
        _ => return None,
    };
    let (leader, term) = (who(cluster, term.leader()), term.number().to_string());
    Some(LeaderChangeRow { election: election.to_owned(), leader, term, change })
}

/// A change of leader for people.
pub(crate) fn leader_sentence(row: &LeaderChangeRow) -> String {
    let LeaderChangeRow { leader, term, change, .. } = row;
    let who = called(leader.name.as_deref(), &leader.id);
    match change {
        LeaderChange::Elected => format!("{who} leads, term {term}"),
        LeaderChange::Lost => format!("{who} leads no more, term {term}: it gave its office up, or was not heard of"),
        LeaderChange::BecameLeader => format!("this node leads, term {term}"),
        LeaderChange::SteppedDown { reason } => {
            let reason = match reason.as_str() {
                "lease_ended" => "too few voters answered in time",
                "superseded" => "another one leads in a later term",
                "leaves" => "it leaves",
                "not_eligible" => "its metadata does not fit any more, or it lost its id",
                other => other,
            };
            format!("this node leads no more, term {term}: {reason}")
        }
    }
}

/// The event as a line for people, without its time.
pub(crate) fn sentence(what: &EventKind) -> String {
    let text = match what {
        EventKind::Watching { id, address, live } => format!("watching {id} at {address}, {live} live members"),
        EventKind::Member { id, name, address, state, previous, cause, by, .. } => {
            let before = previous.as_deref().filter(|previous| previous != state);
            let before = before.map(|previous| format!(" (was {})", state_word(previous))).unwrap_or_default();
            let (who, now) = (called(name.as_deref(), id), is_now(state));
            format!("{who} at {address} {now}{before}: {}", cause_words(cause, by))
        }
        EventKind::Metadata { id, name, changed } => {
            let changes: Vec<String> = changed
                .iter()
                .map(|(key, value)| match value {
                    Some(value) => format!("{key}={value}"),
                    None => format!("{key} removed"),
                })
                .collect();
            format!("{} changed its metadata: {}", called(name.as_deref(), id), changes.join(", "))
        }
        EventKind::JoinAccepted { address, by, members } => {
            format!("joined through {address} ({by}), {members} live members")
        }
        EventKind::JoinFailed { address, reason } => format!("joining through {address} failed: {reason}"),
        EventKind::IdConflict { rival, quiet: true } => {
            format!("the node at {rival} has this node's id and started later; this one keeps quiet")
        }
        EventKind::IdConflict { rival, quiet: false } => {
            format!("the node at {rival} has this node's id and started earlier; it is told to keep quiet")
        }
        EventKind::IdRegained => "this node has its id back and takes part again".to_owned(),
        EventKind::Left { acknowledged } => format!("left the cluster, acknowledged by {acknowledged}"),
        EventKind::MessagesMissed { kind: Some(kind), count } => {
            format!("{count} messages of type {kind} were dropped because they were not handled in time")
        }
        EventKind::MessagesMissed { kind: None, count } => {
            format!("{count} messages were dropped because more came than this node can take")
        }
        EventKind::BroadcastsLost { origin, tag: None, count } => {
            format!("{count} broadcasts of {origin} are lost for good")
        }
        EventKind::BroadcastsLost { origin, tag: Some(tag), count } => {
            format!("{count} broadcasts of {origin} to {tag} are lost for good")
        }
        EventKind::Election(row) => format!("election {:?}: {}", row.election, leader_sentence(row)),
        EventKind::Missed { count } => format!("{count} events were lost because they were not read in time"),
        EventKind::Other { text } => text.clone(),
    };
    printable(&text)
}

fn is_now(state: &str) -> String {
    match state_word(state) {
        "left" => "has left".to_owned(),
        word => format!("is {word}"),
    }
}

/// How people are told who it is.
pub(crate) fn called(name: Option<&str>, id: &str) -> String {
    match name {
        Some(name) => format!("{name} ({id})"),
        None => id.to_owned(),
    }
}

/// A key in quotes, of which a long one is told by its beginning and its length.
pub(crate) fn quoted(key: &str) -> String {
    /// The most characters that a line should show of one key.
    const SHOWN: usize = 64;
    match key.char_indices().nth(SHOWN) {
        None => format!("{key:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &key[..end], key.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_told_by_its_beginning() {
        assert_eq!(quoted("a \"b\""), r#""a \"b\"""#);
        assert_eq!(quoted(&"é".repeat(64)), format!("\"{}\"", "é".repeat(64)));
        assert_eq!(quoted(&"é".repeat(65)), format!("\"{}\"… (130 bytes)", "é".repeat(64)));
    }

    #[test]
    fn a_member_event_names_the_member_its_states_and_the_cause() {
        let what = |state: &str, previous: &str, cause: &str| EventKind::Member {
            id: "id-1".to_owned(),
            name: Some("web\u{7}".to_owned()),
            address: "127.0.0.1:80".parse().unwrap(),
            state: state.to_owned(),
            previous: Some(previous.to_owned()),
            cause: cause.to_owned(),
            by: vec!["id-2".to_owned()],
            incarnation: "1.0".to_owned(),
        };
        let who = "web\\u{7} (id-1) at 127.0.0.1:80";
        for (what, expected) in [
            (what("suspect", "alive", "accused"), "is suspect (was alive): accused by id-2"),
            (what("leaving", "alive", "left"), "has left (was alive): it left"),
            (what("alive", "leaving", "restarted"), "is alive (was left): it started again"),
        ] {
            assert_eq!(sentence(&what), format!("{who} {expected}"));
        }
    }
}
