//! The calls of one handler: begun in order, some under way at the same time, and none harms the others by a panic.

use std::any::Any;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use gossip_core::MessageType;
use tracing::{error, warn};

use crate::callback::{PATIENCE, text_of};
use crate::inbox::Inbox;
use crate::message::HandlerSort;
use crate::stats::{Counter, Counters};

/// Messages that a handler's task takes at once, and begins before others get their turn.
const BATCH: usize = 64;

/// Which handler it is, and where its panics are counted.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) kind: MessageType,
    pub(crate) sort: HandlerSort,
    pub(crate) counters: Arc<Counters>,
}

impl Called {
    /// What code of the application gives; `None` if it panics.
    pub(crate) fn guard<T>(&self, code: impl FnOnce() -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(code)).map_err(|panic| self.note(panic)).ok()
    }

    /// What `convert` makes of the outcome of a call that began well; `None` if anything of it panics, the drop of its
    /// future included.
    pub(crate) async fn finish<Fut: Future, T>(
        &self,
        begun: Option<Fut>,
        convert: impl FnOnce(Fut::Output) -> T,
    ) -> Option<T> {
        let begun = begun?;
        let all = async move { convert(begun.await) };
        AssertUnwindSafe(all).catch_unwind().await.map_err(|panic| self.note(panic)).ok()
    }

    fn note(&self, panic: Box<dyn Any + Send>) {
        self.counters.count(Counter::HandlerPanics);
        error!(kind = %self.kind, sort = %self.sort, panic = text_of(&*panic), "a handler panicked");
        // What a panic carries is the application's too.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
    }
}

/// A call under way. Its drop before it is done may panic, which harms nobody.
struct Call<T, Fut> {
    /// `None` once it is done.
    work: Option<Pin<Box<Fut>>>,
    called: Arc<Called>,
    /// Where what it handles takes so much room until it is done.
    inbox: Arc<Inbox<T>>,
    bytes: usize,
}

impl<T, Fut: Future<Output = ()>> Future for Call<T, Fut> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.work else { return Poll::Ready(()) };
        if work.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.work = None;
        Poll::Ready(())
    }
}

impl<T, Fut> Drop for Call<T, Fut> {
    fn drop(&mut self) {
        self.inbox.release(self.bytes);
        if let Some(work) = self.work.take() {
            self.called.guard(|| drop(work));
        }
    }
}

type Running<T, Fut> = FuturesUnordered<Call<T, Fut>>;

/// Calls `call` for each entry, in order, with up to `limit` calls under way, until the inbox is closed. Calls that are
/// under way then are finished, or dropped when `patience`, which begins then, comes to its end.
pub(crate) async fn serve<T, Fut>(
    inbox: Arc<Inbox<T>>,
    limit: usize,
    called: Arc<Called>,
    mut call: impl FnMut(T) -> Fut + Send + 'static,
    patience: impl Future<Output = ()> + Send + 'static,
) where
    T: Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut waiting = VecDeque::new();
    let mut running = Running::new();
    poll_fn(|cx| {
        while let Poll::Ready(Some(())) = running.poll_next_unpin(cx) {}
        for _ in 0..BATCH {
            if inbox.is_abandoned() {
                return Poll::Ready(());
            }
            if running.len() >= limit {
                return inbox.poll_abandoned(cx);
            }
            if waiting.is_empty() {
                match inbox.poll_take(cx, &mut waiting, BATCH) {
                    Poll::Ready(Some(())) => {}
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if let Some((entry, bytes)) = waiting.pop_front() {
                let work = Box::pin(call(entry));
                begin(work, bytes, &mut running, (&called, &inbox), cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    drop(waiting);
    finish(running, &called, patience).await;
}

/// Polls a call once: most are done then, and take no place among those that run.
fn begin<T, Fut: Future<Output = ()>>(
    mut work: Pin<Box<Fut>>,
    bytes: usize,
    running: &mut Running<T, Fut>,
    (called, inbox): (&Arc<Called>, &Arc<Inbox<T>>),
    cx: &mut Context<'_>,
) {
    if work.as_mut().poll(cx).is_pending() {
        running.push(Call { work: Some(work), called: Arc::clone(called), inbox: Arc::clone(inbox), bytes });
    } else {
        inbox.release(bytes);
    }
}

/// Waits for the calls that are under way, as long as patience lasts.
async fn finish<T, Fut: Future<Output = ()>>(
    mut running: Running<T, Fut>,
    called: &Called,
    patience: impl Future<Output = ()>,
) {
    let all_done = async { while running.next().await.is_some() {} };
    let is_over = matches!(select(pin!(all_done), pin!(patience)).await, Either::Right(_));
    if is_over {
        let (count, kind, sort) = (running.len(), called.kind, called.sort);
        warn!(%kind, %sort, count, "calls were still running {PATIENCE:?} after the node stopped; they were ended");
    }
}
