//! Functions of the application, each in a task of its own, and those that are called for events.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use tracing::{error, warn};

use crate::CallbackId;
use crate::runtime::{Runtime, within};
use crate::subscribe::{Notice, Subscribers};

/// How long stopping waits for callbacks to finish what waits for them.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

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
    pub(crate) fn spawn<R: Runtime, T: Notice>(
        &self,
        runtime: &R,
        subscribers: &Arc<Subscribers<T>>,
        mut call: impl FnMut(&T) + Send + 'static,
    ) -> CallbackId {
        let (id, mut events) = subscribers.add();
        let Some(task) = self.task() else { return id };
        let subscribers = Arc::clone(subscribers);
        runtime.spawn(async move {
            while let Some(event) = events.next().await {
                if events.is_removed() {
                    break;
                }
                if let Some(count) = event.missed_count() {
                    warn!(count, "a callback is slow: events were dropped; make it return sooner");
                }
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(&event))) {
                    subscribers.remove_panicked(id);
                    error!(panic = text_of(&*panic), "a callback panicked and was removed");
                    break;
                }
            }
            drop(task);
        });
        id
    }

    /// Held by a task of a callback for as long as it runs; `None` if the node stops.
    pub(crate) fn task(&self) -> Option<Sender<Infallible>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs the task of a handler, which ends by itself when the node has stopped.
    pub(crate) fn run<R: Runtime>(&self, runtime: &R, work: impl Future<Output = ()> + Send + 'static) {
        let task = self.task();
        runtime.spawn(async move {
            work.await;
            drop(task);
        });
    }

    /// Waits a little for the callbacks to end, after their subscriptions were closed.
    pub(crate) async fn finish<R: Runtime>(&self, runtime: &R) {
        drop(self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take());
        if within(runtime, PATIENCE, self.ended.recv()).await.is_none() {
            warn!(
                "a callback or a handler is still running after {PATIENCE:?}; the node is shut down without waiting for it"
            );
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
