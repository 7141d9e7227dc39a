//! Who handles what comes from other applications, and the tasks in which handlers run.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::{ArcSwap, Guard};
use gossip_core::MessageType;
use tracing::error;

use crate::Config;
use crate::calls::{Called, serve};
use crate::inbox::{Abandon, Inbox};
use crate::message::{Answer, HandlerError, HandlerSort, Message, Packer, Rejected, Request};
use crate::messages::Received;
use crate::outbound::{Submission, Verdict};
use crate::payload::Format;
use crate::stats::{Counter, Counters};

/// All handlers and readers of a node.
#[derive(Debug)]
pub(crate) struct Handlers {
    table: ArcSwap<Table>,
    /// Held while the table is replaced: what waits for handlers that were removed.
    change: Mutex<Vec<Weak<dyn Abandon>>>,
    limits: Limits,
    pub(crate) format: Arc<Format>,
    counters: Arc<Counters>,
}

/// How much may wait for each handler, and how many of its calls run at once.
#[derive(Clone, Copy, Debug)]
struct Limits {
    queue: usize,
    bytes: usize,
    running: usize,
}

/// Whom what comes is handed to. Replaced as a whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) messages: HashMap<MessageType, Arc<Inbox<Message>>>,
    pub(crate) requests: HashMap<MessageType, Arc<Inbox<Request>>>,
    pub(crate) readers: Vec<Arc<Inbox<Received>>>,
    closed: bool,
}

impl Handlers {
    pub(crate) fn new(config: &Config, counters: Arc<Counters>) -> Self {
        let format = Arc::new(Format::of(config));
        let limits = Limits {
            queue: config.message_queue,
            bytes: config.protocol.max_delivery_bytes,
            running: config.max_handlers,
        };
        Self { table: ArcSwap::default(), change: Mutex::default(), limits, format, counters }
    }

    pub(crate) fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Registers a handler of messages: the task to be run for it. `patience` ends when calls may no longer go on.
    pub(crate) fn add_messages<F, Fut, P>(
        &self,
        kind: MessageType,
        mut handler: F,
        patience: P,
    ) -> Result<impl Future<Output = ()> + Send + 'static + use<F, Fut, P>, HandlerError>
    where
        F: FnMut(Message) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
        P: Future<Output = ()> + Send + 'static,
    {
        let inbox = Arc::new(Inbox::new(self.limits.queue, self.limits.bytes));
        self.replace(|table| match table.messages.insert(kind, Arc::clone(&inbox)) {
            None => Ok(()),
            Some(_) => Err(HandlerError::Taken { kind, sort: HandlerSort::Messages }),
        })?;
        let called = self.called(kind, HandlerSort::Messages);
        let call = {
            let called = Arc::clone(&called);
            move |message| {
                let called = Arc::clone(&called);
                let begun = called.guard(|| handler(message));
                async move { called.finish(begun, |()| ()).await.unwrap_or_default() }
            }
        };
        Ok(serve(inbox, self.limits.running, called, call, patience))
    }

    /// Registers a handler of requests: the task to be run for it. `patience` ends when calls may no longer go on.
    pub(crate) fn add_requests<F, Fut, A, P>(
        &self,
        kind: MessageType,
        mut handler: F,
        patience: P,
    ) -> Result<impl Future<Output = ()> + Send + 'static + use<F, Fut, A, P>, HandlerError>
    where
        F: FnMut(Request) -> Fut + Send + 'static,
        Fut: Future<Output = Result<A, Rejected>> + Send + 'static,
        A: Answer + Send + 'static,
        P: Future<Output = ()> + Send + 'static,
    {
        let inbox = Arc::new(Inbox::new(self.limits.queue, self.limits.bytes));
        self.replace(|table| match table.requests.insert(kind, Arc::clone(&inbox)) {
            None => Ok(()),
            Some(_) => Err(HandlerError::Taken { kind, sort: HandlerSort::Requests }),
        })?;
        let called = self.called(kind, HandlerSort::Requests);
        let call = {
            let called = Arc::clone(&called);
            move |request: Request| {
                let (asked, called) = (request.asked(), Arc::clone(&called));
                let begun = called.guard(|| handler(request));
                async move {
                    // The answer is written by code of the application too.
                    let said = called.finish(begun, |outcome| match outcome {
                        Ok(answer) => verdict_of(answer, &asked.format, &called),
                        Err(rejected) => Some(Verdict::rejected(rejected.into_reason())),
                    });
                    let panicked = || Some(Verdict::rejected("the handler panicked"));
                    if let Some(verdict) = said.await.unwrap_or_else(panicked) {
                        let end = Submission::Decide { token: asked.token, verdict, done: None };
                        // If the node has stopped, nobody waits for it.
                        let _ = asked.outbound.submit_with_room(end).await;
                    }
                }
            }
        };
        Ok(serve(inbox, self.limits.running, called, call, patience))
    }

    fn called(&self, kind: MessageType, sort: HandlerSort) -> Arc<Called> {
        Arc::new(Called { kind, sort, counters: Arc::clone(&self.counters) })
    }

    /// Adds a reader of all messages; it has ended already if the node has stopped.
    pub(crate) fn add_reader(&self) -> Arc<Inbox<Received>> {
        let inbox = Arc::new(Inbox::new(self.limits.queue, self.limits.bytes));
        let added = self.replace(|table| {
            table.readers.retain(|reader| !reader.is_closed());
            table.readers.push(Arc::clone(&inbox));
            Ok(())
        });
        if added.is_err() {
            inbox.close();
        }
        inbox
    }

    /// Removes a handler of messages; whether there was one.
    pub(crate) fn remove_messages(&self, kind: MessageType) -> bool {
        self.remove(|table| table.messages.remove(&kind)).is_some_and(|inbox| self.retire(&inbox))
    }

    /// Removes a handler of requests; whether there was one.
    pub(crate) fn remove_requests(&self, kind: MessageType) -> bool {
        self.remove(|table| table.requests.remove(&kind)).is_some_and(|inbox| self.retire(&inbox))
    }

    /// Ends what waits for a handler that was removed: all of it is still handled, unless the node stops.
    fn retire<T: Send + fmt::Debug + 'static>(&self, inbox: &Arc<Inbox<T>>) -> bool {
        inbox.close();
        let mut removed = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        if self.table().closed {
            inbox.abandon();
        }
        removed.retain(|inbox| inbox.strong_count() > 0);
        let inbox: Weak<Inbox<T>> = Arc::downgrade(inbox);
        removed.push(inbox);
        true
    }

    /// Removes the readers that are gone.
    pub(crate) fn prune_readers(&self) {
        self.remove(|table| {
            table.readers.retain(|reader| !reader.is_closed());
            None::<()>
        });
    }

    /// Ends all handlers and readers, and those to come.
    pub(crate) fn close(&self) {
        let mut removed = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        removed.drain(..).filter_map(|inbox| inbox.upgrade()).for_each(|inbox| inbox.abandon());
        let table = self.table.swap(Arc::new(Table { closed: true, ..Table::default() }));
        table.messages.values().for_each(|inbox| inbox.abandon());
        table.requests.values().for_each(|inbox| inbox.abandon());
        table.readers.iter().for_each(|inbox| inbox.close());
    }

    fn replace(&self, change: impl FnOnce(&mut Table) -> Result<(), HandlerError>) -> Result<(), HandlerError> {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.table.load());
        if table.closed {
            return Err(HandlerError::Stopped);
        }
        change(&mut table)?;
        self.table.store(Arc::new(table));
        Ok(())
    }

    fn remove<T>(&self, change: impl FnOnce(&mut Table) -> Option<T>) -> Option<T> {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.table.load());
        let removed = change(&mut table);
        self.table.store(Arc::new(table));
        removed
    }
}

/// What a handler of requests said, as the node is to be told.
fn verdict_of(answer: impl Answer, format: &Format, called: &Called) -> Option<Verdict> {
    match answer.into_payload(&Packer(format))? {
        Ok(payload) => Some(Verdict::Answer(payload)),
        Err(error) => {
            called.counters.count(Counter::AnswersUnsendable);
            error!(kind = %called.kind, %error, "a handler's answer cannot be sent; the request is rejected");
            Some(Verdict::rejected(format!("the answer cannot be sent: {error}")))
        }
    }
}
