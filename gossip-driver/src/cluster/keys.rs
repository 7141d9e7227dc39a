//! Keys at the handle: those of this node, and those of all.

use std::collections::BTreeMap;
use std::time::Duration;

use gossip_core::{Key, KeyId, KeyRingError, MessageType, NodeId, Plaintext};

use crate::keys::change::KeyState;
use crate::keys::letter::{self, KeyOrder};
use crate::keys::reservation::Known;
use crate::keys::{KeyReport, KeyStatus, KeysError, MemberKeys, NoKeys, Stranded, Stranding};
use crate::message::RequestError;
use crate::messages::Answers;
use crate::{Cluster, Runtime, SendError};

impl<R: Runtime> Cluster<R> {
    /// The keys of this node, and what it does with plaintext.
    ///
    /// # Errors
    ///
    /// [`KeyRingError::NotSealed`](gossip_core::KeyRingError) if the node runs without keys, and when it has stopped.
    pub async fn keys(&self) -> Result<KeyStatus, KeysError> {
        Ok(self.handle.keys.look().await?.into())
    }

    /// Adds a key that this node opens packets with; whether it was not there before.
    /// [`add_key_everywhere`](Self::add_key_everywhere) does so on all members.
    ///
    /// # Errors
    ///
    /// Nothing has changed if another key has the same id, the ring is full, the changed ring cannot be kept, or the node runs
    /// without keys or has stopped.
    pub async fn add_key(&self, key: Key) -> Result<bool, KeysError> {
        Ok(self.handle.keys.obey(KeyOrder::Add(key)).await?.1)
    }

    /// Lets this node seal with a key that it has. Members that lack it do not understand this node any more: see
    /// [`use_key_everywhere`](Self::use_key_everywhere).
    ///
    /// # Errors
    ///
    /// Nothing has changed if the key is not there, the changed ring cannot be kept, or the node runs without keys or has stopped.
    pub async fn use_key(&self, id: KeyId) -> Result<(), KeysError> {
        self.handle.keys.obey(KeyOrder::Use(id)).await.map(drop)
    }

    /// Drops a key of this node. What is sealed with it is refused from now on: see
    /// [`remove_key_everywhere`](Self::remove_key_everywhere).
    ///
    /// # Errors
    ///
    /// Nothing has changed if the key is the primary or not there, the changed ring cannot be kept, or the node runs without keys
    /// or has stopped.
    pub async fn remove_key(&self, id: KeyId) -> Result<(), KeysError> {
        self.handle.keys.obey(KeyOrder::Remove(id)).await.map(drop)
    }

    /// Changes what this node does with packets that are not sealed, to move a running cluster to keys or back. Anything but
    /// [`Plaintext::Refuse`] protects against nobody, and is logged as a warning. Changes of keys that are under way to other
    /// members are cancelled then.
    ///
    /// # Errors
    ///
    /// [`KeyRingError::NotSealed`](gossip_core::KeyRingError) if the node runs without keys, and when it has stopped.
    pub async fn set_plaintext(&self, mode: Plaintext) -> Result<(), KeysError> {
        self.handle.keys.set_plaintext(mode).await
    }

    /// Asks all live members for the ids of their keys, each for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Nobody was asked: the node runs without keys, does not refuse plaintext, or has stopped.
    pub async fn keys_everywhere(&self, timeout: Duration) -> Result<KeyReport, KeysError> {
        self.guarded().await?;
        self.order(&KeyOrder::List, timeout).await
    }

    /// Adds a key on all live members, this node included. It can be repeated until everybody has it.
    ///
    /// The key travels sealed with the keys that the members use now. Who has stolen one of these, and records what is sent, gets the
    /// new one too: after a theft bring the new key to each member by another way.
    ///
    /// # Errors
    ///
    /// Nobody was told: this node cannot add it, runs without keys, does not refuse plaintext, or has stopped. What others
    /// answer is in the report.
    pub async fn add_key_everywhere(&self, key: Key, timeout: Duration) -> Result<KeyReport, KeysError> {
        self.guarded().await?;
        // What does not work here need not be tried elsewhere.
        self.handle.keys.obey(KeyOrder::Add(key.clone())).await?;
        self.order(&KeyOrder::Add(key), timeout).await
    }

    /// Lets all live members seal with a key, if all of them have it, or if `force` is set. They are asked first, so it takes up to
    /// twice `timeout`.
    ///
    /// Dead members do not hinder it: one that comes back seals with its old key and is understood as long as the others have that.
    ///
    /// # Errors
    ///
    /// Nobody was told: [`KeysError::Stranding`] names those that lack the key, did not answer, or came meanwhile;
    /// otherwise as in [`keys_everywhere`](Self::keys_everywhere).
    pub async fn use_key_everywhere(&self, id: KeyId, force: bool, timeout: Duration) -> Result<KeyReport, KeysError> {
        let state = self.guarded().await?;
        state.ring.find(id).ok_or(KeyRingError::Unknown(id))?;
        if force {
            return self.order(&KeyOrder::Use(id), timeout).await;
        }
        self.order_unless_stranding(KeyOrder::Use(id), timeout, |members, _| {
            let stranded = members.into_iter().filter_map(|member| match member.keys {
                Ok(keys) => (!keys.contains(&id)).then_some((member.id, Stranded::Lacks(id))),
                Err(reason) => Some((member.id, Stranded::Unknown(reason))),
            });
            stranded.collect()
        })
        .await
    }

    /// Drops a key on all live members, if that shuts nobody out, or if `force` is set. They are asked first, so it takes up to twice
    /// `timeout`.
    ///
    /// It would shut out a live member that seals with the key or lacks this node's primary, and a dead one that is still remembered,
    /// unless its last packets were sealed with a key that stays: within that time (`Config::retention`) it may come back. Members that are
    /// gone for good can be [forgotten](Self::forget) first.
    ///
    /// Who comes in while the others are asked hinders it too. A member through which somebody comes in after it was
    /// asked, and before it is told, keeps the key and says so in the report: the newcomer can be reached from there, so
    /// repeat the steps there.
    ///
    /// # Errors
    ///
    /// Nobody was told: [`KeysError::Stranding`] names those who would be shut out; the key is this node's primary; otherwise as in
    /// [`keys_everywhere`](Self::keys_everywhere).
    pub async fn remove_key_everywhere(
        &self,
        id: KeyId,
        force: bool,
        timeout: Duration,
    ) -> Result<KeyReport, KeysError> {
        if self.guarded().await?.ring.primary().id() == id {
            return Err(KeyRingError::Primary(id).into());
        }
        if force {
            return self.order(&KeyOrder::Remove(id), timeout).await;
        }
        self.order_unless_stranding(KeyOrder::Remove(id), timeout, |members, state| {
            let primary = state.ring.primary().id();
            let live = members.into_iter().filter_map(|member| {
                let why = match member.keys {
                    Ok(keys) if keys.first() == Some(&id) => Stranded::Speaks(id),
                    Ok(keys) if !keys.contains(&primary) => Stranded::Lacks(primary),
                    Ok(_) => return None,
                    Err(reason) => Stranded::Unknown(reason),
                };
                Some((member.id, why))
            });
            let stays = |key: KeyId| key != id && state.ring.find(key).is_some();
            let away = state.last_words.iter().filter(|(_, last)| !last.is_some_and(stays));
            live.chain(away.map(|&(id, _)| (id, Stranded::Away))).collect()
        })
        .await
    }

    /// Tells all live members to make a change, unless `stranded` finds somebody in what they have: their keys, and the state of
    /// this node. No other change happens in between.
    async fn order_unless_stranding(
        &self,
        order: KeyOrder,
        timeout: Duration,
        stranded: impl FnOnce(Vec<MemberKeys>, &KeyState) -> Vec<(NodeId, Stranded)>,
    ) -> Result<KeyReport, KeysError> {
        let number = self.handle.keys.begin();
        // For the answers, the change itself, and what lies between.
        let span_ms = u32::try_from(timeout.saturating_mul(3).as_millis()).unwrap_or(u32::MAX);
        let among = Known::of(self.members().live().map(|member| member.id)).fingerprint();
        let (report, state) = self.order_and_look(&KeyOrder::Reserve { number, span_ms, among }, timeout).await?;
        match Stranding::of(stranded(report.members, &state)) {
            None => self.order(&KeyOrder::Reserved(number, Box::new(order)), timeout).await,
            Some(stranding) => {
                self.order(&KeyOrder::Release(number), timeout).await?;
                Err(KeysError::Stranding(stranding))
            }
        }
    }

    /// Keys are nobody's business while packets may be plain.
    async fn guarded(&self) -> Result<KeyState, KeysError> {
        let state = self.handle.keys.look().await?;
        if state.plaintext == Plaintext::Refuse { Ok(state) } else { Err(KeysError::Plaintext(state.plaintext)) }
    }

    /// Tells all live members, this node included.
    async fn order(&self, order: &KeyOrder, timeout: Duration) -> Result<KeyReport, KeysError> {
        self.order_and_look(order, timeout).await.map(|(report, _)| report)
    }

    /// Tells all live members, this node included; and what this node knows when they have answered. Nobody is
    /// overlooked who came, went or came back meanwhile: whoever is live then is in the report, and the dead are those
    /// of then.
    async fn order_and_look(&self, order: &KeyOrder, timeout: Duration) -> Result<(KeyReport, KeyState), KeysError> {
        let nodes: Vec<NodeId> = self.members().live().map(|member| member.id).collect();
        let answers = self.scatter_payload(&nodes, MessageType::KEYS, order.to_payload(), timeout).await;
        let answers = answers.map_err(|error| match error {
            SendError::Stopped(reason) => KeysError::Stopped(reason),
            error => KeysError::Unsent(error),
        })?;
        let mut outcomes = outcomes_of(answers).await;
        let state = self.handle.keys.look().await?;
        for &id in &nodes {
            let unsaid = || Err(NoKeys::Request(RequestError::Failed(gossip_core::RequestError::Unreachable)));
            outcomes.entry(id).or_insert_with(unsaid);
        }
        let dead = state.last_words.iter().map(|&(id, _)| id);
        let away = dead.filter(|id| !outcomes.contains_key(id)).collect();
        for &id in &state.live {
            outcomes.entry(id).or_insert(Err(NoKeys::NotAsked));
        }
        let members = outcomes.into_iter().map(|(id, keys)| MemberKeys { id, keys }).collect();
        Ok((KeyReport { members, away }, state))
    }
}

async fn outcomes_of(mut answers: Answers) -> BTreeMap<NodeId, Result<Vec<KeyId>, NoKeys>> {
    let mut outcomes = BTreeMap::new();
    while let Some((id, outcome)) = answers.next().await {
        let keys = match outcome {
            Ok(payload) => {
                let content = payload.bytes().ok();
                content.and_then(|content| letter::parse_answer(&content)).ok_or(NoKeys::Unreadable)
            }
            Err(error) => Err(NoKeys::Request(error)),
        };
        outcomes.insert(id, keys);
    }
    outcomes
}

#[cfg(test)]
mod tests;
