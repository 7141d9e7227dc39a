//! What the agent does for those who change keys.

use std::time::Duration;

use gossip_tokio::{Key, KeyId, KeyReport, KeysError, MemberKeys, Plaintext, Stranded};
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::{Steering, Trouble, item};
use crate::control::protocol::{KeyAction, KeyMemberRow, KeyOutcome, KeyRow, KeySummary};
use crate::control::server::Answers;
use crate::exit::Failure;
use crate::key_file;

/// How many members that would be shut out are named.
const NAMED: usize = 8;

/// A change of keys, complete.
pub(super) enum Change {
    List,
    Install(Key),
    Use(KeyId),
    Remove(KeyId),
}

impl Change {
    /// What is asked for, with the key that came as text.
    pub(super) fn of(action: KeyAction, id: Option<&str>, body: Vec<u8>) -> Result<Self, Failure> {
        let body = Zeroizing::new(body);
        let id = || {
            let id = id.ok_or_else(|| Failure::usage("the id of the key is missing"))?;
            id.parse().map_err(Failure::usage)
        };
        match action {
            KeyAction::List => Ok(Self::List),
            KeyAction::Use => id().map(Self::Use),
            KeyAction::Remove => id().map(Self::Remove),
            KeyAction::Install => {
                let text = str::from_utf8(&body).map_err(|_| Failure::usage("what was sent as a key is no text"))?;
                let ring = key_file::parse(text).map_err(|problem| Failure::usage(format!("the key{problem}")))?;
                Ok(Self::Install(ring.primary().clone()))
            }
        }
    }

    fn key(&self) -> Option<KeyId> {
        match self {
            Self::List => None,
            Self::Install(key) => Some(key.id()),
            Self::Use(id) | Self::Remove(id) => Some(*id),
        }
    }
}

impl Steering {
    /// Changes keys here or everywhere; `timeout` is for each time that members are asked.
    pub(super) async fn change_keys(
        &self,
        change: Change,
        (here, force): (bool, bool),
        timeout: Duration,
        answers: &mut Answers,
    ) -> Result<Json, Trouble> {
        let outcome = if here {
            self.change_own(&change).await.map(|()| None)
        } else {
            self.change_all(&change, force, timeout).await.map(Some)
        };
        let report = outcome.map_err(|error| self.blame_keys(&error))?;
        let mut summary = self.key_summary(change.key()).await?;
        if let Some(report) = report {
            for member in &report.members {
                let row = self.key_row(member);
                summary.members += 1;
                *if row.outcome == KeyOutcome::Done { &mut summary.done } else { &mut summary.failed } += 1;
                item(answers, &row).await?;
            }
            for &id in &report.away {
                summary.away += 1;
                let row = KeyMemberRow { who: self.who(id), outcome: KeyOutcome::Away, keys: None, error: None };
                item(answers, &row).await?;
            }
        }
        serde_json::to_value(summary).map_err(|error| Failure::failed(error).into())
    }

    async fn change_own(&self, change: &Change) -> Result<(), KeysError> {
        match change {
            Change::List => Ok(()),
            Change::Install(key) => self.cluster.add_key(key.clone()).await.map(drop),
            Change::Use(id) => self.cluster.use_key(*id).await,
            Change::Remove(id) => self.cluster.remove_key(*id).await,
        }
    }

    async fn change_all(&self, change: &Change, force: bool, timeout: Duration) -> Result<KeyReport, KeysError> {
        match change {
            Change::List => self.cluster.keys_everywhere(timeout).await,
            Change::Install(key) => self.cluster.add_key_everywhere(key.clone(), timeout).await,
            Change::Use(id) => self.cluster.use_key_everywhere(*id, force, timeout).await,
            Change::Remove(id) => self.cluster.remove_key_everywhere(*id, force, timeout).await,
        }
    }

    async fn key_summary(&self, key: Option<KeyId>) -> Result<KeySummary, Failure> {
        let status = self.cluster.keys().await.map_err(|error| self.blame_keys(&error))?;
        let keys = status.keys.iter().map(|key| KeyRow {
            id: key.id.to_string(),
            suite: key.suite.to_string(),
            primary: key.is_primary,
            speaking: key.speaking,
        });
        Ok(KeySummary {
            keys: keys.collect(),
            plaintext: plaintext_name(status.plaintext).to_owned(),
            key: key.map(|id| id.to_string()),
            members: 0,
            done: 0,
            failed: 0,
            away: 0,
        })
    }

    fn key_row(&self, member: &MemberKeys) -> KeyMemberRow {
        let who = self.who(member.id);
        match &member.keys {
            Ok(keys) => {
                let keys = keys.iter().map(ToString::to_string).collect();
                KeyMemberRow { who, outcome: KeyOutcome::Done, keys: Some(keys), error: None }
            }
            Err(reason) => {
                KeyMemberRow { who, outcome: KeyOutcome::Failed, keys: None, error: Some(reason.to_string()) }
            }
        }
    }

    fn blame_keys(&self, error: &KeysError) -> Failure {
        use gossip_tokio::protocol::KeyRingError;
        match error {
            KeysError::Ring(KeyRingError::NotSealed) => {
                Failure::failed("the agent runs without keys; start it with --key-file")
            }
            KeysError::Ring(error @ KeyRingError::Unknown(_)) => {
                Failure::usage(format!("{error} of the agent's node; 'gossip keys list' shows those that there are"))
            }
            KeysError::Stranding(stranding) => {
                let who = |(id, why): &(_, _)| format!("{} {why}", self.called(*id));
                let named: Vec<String> = stranding.members.iter().take(NAMED).map(who).collect();
                let count = stranding.members.len();
                let more = if count > NAMED { format!("; and {} more", count - NAMED) } else { String::new() };
                let why = if stranding.members.iter().any(|(_, why)| must_be_waited_for(why)) {
                    format!("{count} of the cluster's nodes cannot take part now")
                } else {
                    format!(
                        "it would shut out {count} of the cluster's nodes (--force does it nevertheless; 'gossip forget' \
                         for those that are gone for good)"
                    )
                };
                Failure::Failed(format!("nothing was changed, because {why}: {}{more}", named.join("; ")))
            }
            error => Failure::failed(error),
        }
    }
}

/// Whether force is no way out: the member is busy with another change, which it would cross, just came, or says no.
fn must_be_waited_for(why: &Stranded) -> bool {
    use gossip_tokio::{NoKeys, RequestError, protocol::RequestError as Reason};
    matches!(why, Stranded::Unknown(NoKeys::NotAsked | NoKeys::Request(RequestError::Failed(Reason::Rejected(_)))))
}

/// The word for a mode on the command line and in files.
pub(crate) fn plaintext_name(mode: Plaintext) -> &'static str {
    match mode {
        Plaintext::Refuse => "refuse",
        Plaintext::Accept => "accept",
        Plaintext::Send => "send",
    }
}

#[cfg(test)]
mod tests {
    use gossip_tokio::{NoKeys, RequestError, protocol};

    use super::*;

    #[test]
    fn force_is_offered_for_those_who_would_be_shut_out_and_not_while_another_change_is_under_way() {
        let id = "ab12".parse().unwrap();
        let unknown = |reason| Stranded::Unknown(NoKeys::Request(RequestError::Failed(reason)));
        for out in [Stranded::Lacks(id), Stranded::Speaks(id), Stranded::Away, unknown(protocol::RequestError::Timeout)]
        {
            assert!(!must_be_waited_for(&out), "{out}");
        }
        let busy = unknown(protocol::RequestError::Rejected("another change of keys is under way".into()));
        for waits in [busy, Stranded::Unknown(NoKeys::NotAsked)] {
            assert!(must_be_waited_for(&waits), "{waits}");
        }
    }
}
