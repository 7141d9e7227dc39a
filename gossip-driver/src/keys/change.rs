//! Changes of this node's keys: one after the other, and none that is not kept for the next start.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_channel::WeakSender;
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use futures_util::lock::Mutex;
use gossip_core::{Key, KeyId, KeyRing, KeyRingError, NodeId, Plaintext};
use tracing::{info, warn};

use crate::command::Command;
use crate::keys::letter::{self, KeyOrder};
use crate::keys::reservation::{Known, Reservation, Ticket};
use crate::keys::{KeyKeeper, KeyStatus, KeyUse, KeysError, plainly};
use crate::message::{Rejected, Request};
use crate::payload::Raw;
use crate::runtime::{Runtime, within};
use crate::shared::Shared;

/// How long keeping a ring may take.
const KEEPING: Duration = Duration::from_secs(10);

/// What the node's task is asked about keys.
#[derive(Debug)]
pub(crate) enum KeyCommand {
    Look,
    Add(Key),
    Use(KeyId),
    Remove(KeyId),
    Plaintext(Plaintext),
}

/// What the node's task knows of keys.
#[derive(Debug)]
pub(crate) struct KeyState {
    pub(crate) ring: KeyRing,
    pub(crate) plaintext: Plaintext,
    /// For each key of the ring, how many live members speak it.
    pub(crate) speaking: Vec<usize>,
    /// Who is live, this node included.
    pub(crate) live: Vec<NodeId>,
    /// What the dead were last heard with.
    pub(crate) last_words: Vec<(NodeId, Option<KeyId>)>,
}

impl From<KeyState> for KeyStatus {
    fn from(state: KeyState) -> Self {
        let KeyState { ring, plaintext, speaking, .. } = state;
        let keys = ring.keys().zip(speaking).enumerate();
        let keys = keys.map(|(at, (key, speaking))| KeyUse {
            id: key.id(),
            suite: key.suite(),
            is_primary: at == 0,
            speaking,
        });
        Self { keys: keys.collect(), plaintext }
    }
}

/// Changes the keys of a node, for its handles and for other members.
pub(crate) struct KeyChanges<R> {
    runtime: R,
    shared: Arc<Shared>,
    /// Weak, because the node stops when nobody else can tell it anything.
    commands: WeakSender<Command>,
    keeper: Option<Arc<dyn KeyKeeper>>,
    /// Held while a change is made: the one that this node waits for.
    change: Mutex<Reservation>,
    /// How many changes of others' keys were begun here.
    begun: AtomicU32,
}

impl<R> fmt::Debug for KeyChanges<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyChanges").field("kept", &self.keeper.is_some()).finish_non_exhaustive()
    }
}

impl<R: Runtime> KeyChanges<R> {
    pub(crate) fn new(
        runtime: R,
        shared: Arc<Shared>,
        commands: WeakSender<Command>,
        keeper: Option<Arc<dyn KeyKeeper>>,
    ) -> Self {
        Self { runtime, shared, commands, keeper, change: Mutex::default(), begun: AtomicU32::new(0) }
    }

    /// Keys and mode as they are now.
    pub(crate) async fn look(&self) -> Result<KeyState, KeysError> {
        self.tell(KeyCommand::Look).await
    }

    /// Changes what becomes of plaintext.
    pub(crate) async fn set_plaintext(&self, mode: Plaintext) -> Result<(), KeysError> {
        self.tell(KeyCommand::Plaintext(mode)).await.map(drop)
    }

    /// Does what was ordered, if it can be kept; the keys then, and whether anything changed.
    ///
    /// It goes on when nobody waits for it any more: else a ring could be kept for the next start that is not in use now.
    pub(crate) async fn obey(self: &Arc<Self>, order: KeyOrder) -> Result<(KeyState, bool), KeysError> {
        self.obey_for(None, order).await
    }

    async fn obey_for(
        self: &Arc<Self>,
        ticket: Option<Ticket>,
        order: KeyOrder,
    ) -> Result<(KeyState, bool), KeysError> {
        let (done, outcome) = oneshot::channel();
        let changes = Arc::clone(self);
        self.runtime.spawn(async move {
            // Nobody may be waiting any more.
            let _ = done.send(changes.carry_out(ticket, &order).await);
        });
        match outcome.await {
            Ok(outcome) => outcome,
            // The runtime dropped it, and so the node.
            Err(oneshot::Canceled) => Err(KeysError::Stopped(self.shared.stopped().await)),
        }
    }

    /// A number for a change that others are to wait for.
    pub(crate) fn begin(&self) -> u32 {
        self.begun.fetch_add(1, Ordering::Relaxed)
    }

    async fn carry_out(&self, ticket: Option<Ticket>, order: &KeyOrder) -> Result<(KeyState, bool), KeysError> {
        let mut reservation = self.change.lock().await;
        let known = match ticket {
            Some(ticket) => Some(reservation.redeem(self.runtime.now(), ticket).ok_or(KeysError::NotReserved)?),
            None => None,
        };
        let before = self.look().await?;
        let mut ring = before.ring.clone();
        match order {
            KeyOrder::List | KeyOrder::Reserve { .. } | KeyOrder::Release(_) | KeyOrder::Reserved(..) => {}
            KeyOrder::Add(key) => drop(ring.add(key.clone())?),
            KeyOrder::Use(id) => ring.set_primary(*id)?,
            KeyOrder::Remove(id) => ring.remove(*id)?,
        }
        if ring == before.ring {
            return Ok((before, false));
        }
        let known = known.filter(|_| matches!(order, KeyOrder::Remove(_)));
        let newcomer = |live: &[NodeId]| known.as_ref().and_then(|known| known.newcomer(live));
        if let Some(newcomer) = newcomer(&before.live) {
            return Err(KeysError::Newcomer(newcomer));
        }
        self.keep(&ring).await?;
        // That may have taken a while.
        if known.is_some()
            && let Some(newcomer) = newcomer(&self.look().await?.live)
        {
            if let Err(error) = self.keep(&before.ring).await {
                warn!(%error, "what is kept of the keys lacks one that is in use: add it again before this node is started again");
                return Err(error);
            }
            return Err(KeysError::Newcomer(newcomer));
        }
        let command = match order {
            KeyOrder::Add(key) => KeyCommand::Add(key.clone()),
            KeyOrder::Use(id) => KeyCommand::Use(*id),
            KeyOrder::Remove(id) => KeyCommand::Remove(*id),
            _ => KeyCommand::Look,
        };
        let after = self.tell(command).await?;
        match order {
            KeyOrder::Add(key) => info!(key = %key.id(), "a key was added"),
            KeyOrder::Use(id) => info!(key = %id, "this node seals with another key"),
            KeyOrder::Remove(id) => info!(key = %id, "a key was removed"),
            _ => {}
        }
        Ok((after, true))
    }

    /// Answers a member that asks for keys or changes them.
    pub(crate) async fn answer(self: &Arc<Self>, request: Request) -> Result<Raw<Vec<u8>>, Rejected> {
        let from = request.from;
        let order = KeyOrder::parse(request.payload.as_sent());
        request.payload.wipe();
        let (ticket, order) = match order.map_err(Rejected::because)? {
            KeyOrder::Reserve { number, span_ms, among } => {
                let (ticket, span) = (Ticket { by: from, number }, Duration::from_millis(span_ms.into()));
                let mut reservation = self.change.lock().await;
                let known = Known::of(self.look().await?.live);
                // Whoever came in here lately may have nothing but the key that goes, and the asker not know of it.
                if known.fingerprint() != among {
                    let (here, there) = (known.fingerprint().count, among.count);
                    return Err(Rejected::because(format!(
                        "it sees other members than the one that asks ({here} here, {there} there): repeat this when all \
                         see the same"
                    )));
                }
                reservation.take(self.runtime.now(), ticket, span, known).map_err(Rejected::because)?;
                (None, KeyOrder::List)
            }
            KeyOrder::Release(number) => {
                self.change.lock().await.redeem(self.runtime.now(), Ticket { by: from, number });
                (None, KeyOrder::List)
            }
            KeyOrder::Reserved(number, order) => (Some(Ticket { by: from, number }), *order),
            order => (None, order),
        };
        let is_removal = matches!(order, KeyOrder::Remove(_));
        match self.obey_for(ticket, order).await {
            Ok((state, changed)) => {
                if changed {
                    info!(by = %from, "keys were changed on behalf of another member");
                }
                Ok(Raw(letter::answer(&state.ring)))
            }
            // It is so already.
            Err(KeysError::Ring(KeyRingError::Unknown(_))) if is_removal => {
                Ok(Raw(letter::answer(&self.look().await?.ring)))
            }
            Err(error) => {
                warn!(by = %from, %error, "keys were not changed as another member wanted");
                Err(error.into())
            }
        }
    }

    async fn keep(&self, ring: &KeyRing) -> Result<(), KeysError> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        let keeping = AssertUnwindSafe(async { keeper.keep(ring).await }).catch_unwind();
        let kept = match within(&self.runtime, KEEPING, keeping).await {
            Some(Ok(kept)) => kept,
            Some(Err(_)) => Err("the code that stores them panicked".to_owned()),
            None => Err(format!("it took longer than {KEEPING:?}")),
        };
        kept.map_err(KeysError::NotKept)
    }

    async fn tell(&self, command: KeyCommand) -> Result<KeyState, KeysError> {
        let (reply, answer) = oneshot::channel();
        // Gone when the last handle is; then the node stops soon.
        if let Some(commands) = self.commands.upgrade()
            && commands.send(Command::Keys { command, reply }).await.is_ok()
        {
            let stopped = std::pin::pin!(self.shared.stopped());
            if let Either::Left((Ok(answer), _)) = select(answer, stopped).await {
                return answer.map_err(KeysError::Ring);
            }
        }
        Err(KeysError::Stopped(self.shared.stopped().await))
    }
}

/// Says in the log that a node with keys is open to those who have none.
pub(crate) fn warn_of_plaintext(mode: Plaintext) {
    if mode != Plaintext::Refuse {
        warn!(
            "this node {}, which protects against nobody: it is for moving a running cluster to keys or back; \
             go on to refuse when plaintext_received stands still on all members",
            plainly(mode)
        );
    }
}
