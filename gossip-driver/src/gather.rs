//! Those who wait for the ends of requests: of one, or of many that were asked at once.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use gossip_core::{NodeId, RequestId};
use smallvec::SmallVec;

/// How one request, or one confirmed message, ended.
pub(crate) type Outcome = Result<Bytes, Failure>;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// It was not accepted.
    NotSent(gossip_core::SendError),
    /// It was sent.
    Failed(gossip_core::RequestError),
}

pub(crate) type Outcomes = SmallVec<[(NodeId, Outcome); 1]>;

/// Requests whose ends somebody waits for.
#[derive(Debug)]
pub(crate) struct Gather(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Ended and not yet read.
    outcomes: Outcomes,
    /// Neither ended nor lost.
    open: usize,
    /// Those that were sent, by which they can be cancelled.
    requests: SmallVec<[RequestId; 1]>,
    waker: Option<Waker>,
}

/// The duty to say how one request ended. Dropped without that, it counts as lost: the node has stopped.
#[derive(Debug)]
pub(crate) struct Answered(Option<Arc<Gather>>);

impl Gather {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    /// One more to wait for.
    pub(crate) fn expect(self: &Arc<Self>) -> Answered {
        self.lock().open += 1;
        Answered(Some(Arc::clone(self)))
    }

    /// Moves what has ended to `into`; `None` when nothing more will come.
    pub(crate) fn poll_outcomes(&self, cx: &mut Context<'_>, into: &mut Outcomes) -> Poll<Option<()>> {
        let mut state = self.lock();
        if !state.outcomes.is_empty() {
            mem::swap(&mut state.outcomes, into);
            return Poll::Ready(Some(()));
        }
        if state.open == 0 {
            return Poll::Ready(None);
        }
        if state.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whether something has not ended yet.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().open > 0
    }

    /// What was sent and may not have ended yet.
    pub(crate) fn take_requests(&self) -> SmallVec<[RequestId; 1]> {
        mem::take(&mut self.lock().requests)
    }

    fn close_one(&self, outcome: Option<(NodeId, Outcome)>) {
        let mut state = self.lock();
        state.open -= 1;
        state.outcomes.extend(outcome);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answered {
    /// The request was sent under this id.
    pub(crate) fn sent(&self, request: RequestId) {
        if let Some(gather) = &self.0 {
            gather.lock().requests.push(request);
        }
    }

    /// The request ended.
    pub(crate) fn ended(mut self, by: NodeId, outcome: Outcome) {
        if let Some(gather) = self.0.take() {
            gather.close_one(Some((by, outcome)));
        }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some(gather) = self.0.take() {
            gather.close_one(None);
        }
    }
}
