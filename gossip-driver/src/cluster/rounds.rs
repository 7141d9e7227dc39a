//! Gossip callbacks at the handle.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use async_channel::{Receiver, Sender};
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tracing::{error, warn};

use crate::callback::{PATIENCE, text_of};
use crate::cluster::Handle;
use crate::round::Pace;
use crate::runtime::{sleep, within};
use crate::stats::Counter;
use crate::{CallbackId, Cluster, Runtime, WeakCluster};

impl<R: Runtime> Cluster<R> {
    /// Calls a function again and again, for what an application wants to tell others or to look after from time to time.
    ///
    /// It is called first after [`Config::on_gossip_interval`](crate::Config#structfield.on_gossip_interval) (5 s), and
    /// then each time that long after the last call returned; so two calls never overlap. A call that takes more than
    /// half the wait before it doubles the wait, up to
    /// [`Config::on_gossip_max_interval`](crate::Config#structfield.on_gossip_max_interval) (20 s); one that takes less
    /// than an eighth halves it again.
    ///
    /// It is handed this node's handle and must not own one, which would keep the node running. It runs in a task of its
    /// own and must not block for long; what has to wait belongs in [`on_gossip_async`](Self::on_gossip_async). One that
    /// panics is logged, counted and removed. It ends when it is [removed](Self::remove_callback) or the node stops.
    pub fn on_gossip(&self, mut call: impl FnMut(&Self) + Send + 'static) -> CallbackId {
        self.on_gossip_async(move |cluster| {
            call(&cluster);
            ready(())
        })
    }

    /// Calls an async function again and again, as [`on_gossip`](Self::on_gossip) does: the time until its future is
    /// ready is the time that the call takes.
    ///
    /// A call under way is finished if the callback is removed. If the node stops, it has a second.
    pub fn on_gossip_async<F>(&self, call: impl FnMut(Self) -> F + Send + 'static) -> CallbackId
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Handle { runtime, shared, callbacks, pace, .. } = &*self.handle;
        let (id, removed) = shared.rounds.add();
        if let Some(task) = callbacks.task() {
            let rounds = RoundsOf { runtime: runtime.clone(), node: self.downgrade(), pace: *pace, id };
            runtime.spawn(rounds.run(call, removed, task));
        }
        id
    }
}

/// One callback, with what its task needs. It does not keep the node running between calls.
struct RoundsOf<R: Runtime> {
    runtime: R,
    node: WeakCluster<R>,
    pace: Pace,
    id: CallbackId,
}

impl<R: Runtime> RoundsOf<R> {
    /// Calls until the callback is removed or the node stops. `_task` is held for as long.
    async fn run<F>(
        mut self,
        mut call: impl FnMut(Cluster<R>) -> F + Send + 'static,
        removed: Receiver<Infallible>,
        _task: Sender<Infallible>,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        while within(&self.runtime, self.pace.interval(), removed.recv()).await.is_none() {
            let Some(node) = self.node.upgrade() else { return };
            let shared = Arc::clone(&node.handle.shared);
            let begin = self.runtime.now();
            let work = AssertUnwindSafe(async { call(node).await }).catch_unwind();
            let patience = async {
                shared.stopped().await;
                sleep(&self.runtime, PATIENCE).await;
            };
            match select(pin!(work), pin!(patience)).await {
                Either::Left((Ok(()), _)) => self.pace.took(self.runtime.now().saturating_duration_since(begin)),
                Either::Left((Err(panic), _)) => {
                    shared.counters.count(Counter::CallbackPanics);
                    shared.rounds.remove(self.id);
                    error!(panic = text_of(&*panic), "a gossip callback panicked and was removed");
                    return;
                }
                Either::Right(((), _)) => {
                    warn!("a gossip callback was still running {PATIENCE:?} after the node stopped; it was ended");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
