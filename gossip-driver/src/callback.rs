//! Functions of the application that are called for events, each in a task of its own.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use tracing::{error, warn};

use crate::runtime::{Runtime, within};
use crate::shared::Shared;
use crate::stats::Counter;
use crate::{CallbackId, Event};

/// How long stopping waits for callbacks to finish what waits for them.
const PATIENCE: Duration = Duration::from_secs(1);

/// The tasks of all callbacks, so that stopping can wait for them.
#[derive(Debug)]
pub(crate) struct Callbacks {
    tasks: Mutex<Option<Sender<Infallible>>>,
    ended: Receiver<Infallible>,
}

impl Callbacks {
    pub(crate) fn new() -> Self {
        let (tasks, ended) = async_channel::bounded(1);
        Self { tasks: Mutex::new(Some(tasks)), ended }
    }

    /// Calls `call` for each event from now on.
    pub(crate) fn spawn<R: Runtime>(
        &self,
        runtime: &R,
        shared: &Arc<Shared>,
        mut call: impl FnMut(&Event) + Send + 'static,
    ) -> CallbackId {
        let (id, mut events) = shared.subscribers.add();
        let Some(task) = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            return id;
        };
        let shared = Arc::clone(shared);
        runtime.spawn(async move {
            while let Some(event) = events.next().await {
                if events.is_removed() {
                    break;
                }
                if let Event::Missed { count } = event {
                    warn!(count, "a callback is slow: events were dropped; make it return sooner");
                }
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(&event))) {
                    shared.counters.count(Counter::CallbackPanics);
                    shared.subscribers.remove(id);
                    error!(panic = text_of(&*panic), "a callback panicked and was removed");
                    break;
                }
            }
            drop(task);
        });
        id
    }

    /// Waits a little for the callbacks to end, after their subscriptions were closed.
    pub(crate) async fn finish<R: Runtime>(&self, runtime: &R) {
        drop(self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take());
        if within(runtime, PATIENCE, self.ended.recv()).await.is_none() {
            warn!("a callback is still running after {PATIENCE:?}; the node is shut down without waiting for it");
        }
    }
}

/// What a panic said.
pub(crate) fn text_of(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return text;
    }
    panic.downcast_ref::<String>().map_or("(no text)", String::as_str)
}
