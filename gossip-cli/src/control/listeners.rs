//! Who listens at this agent for requests, and who of them answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gossip_tokio::{Cluster, Codec, CodecError, Encode, MessageType, NodeId, Payload, Rejected, Request};
use tokio::sync::mpsc;

use crate::exit::Failure;

/// Requests that wait for one listener, and their bytes; beyond that it is told how many it missed.
const QUEUE: usize = 256;
const QUEUE_BYTES: usize = 16 << 20;
/// Types that one listener may name.
const MAX_TYPES: usize = 256;
/// The codec's id of bytes that were written by none.
const RAW: u8 = 0;

/// How a listener answers requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answering {
    /// Not at all.
    Never,
    /// With what they say.
    Echo,
    /// Always the same.
    With(Arc<[u8]>),
}

impl Answering {
    /// # Errors
    ///
    /// Both are wanted.
    pub(crate) fn choose(echo: bool, answer: Option<Vec<u8>>) -> Result<Self, Failure> {
        match (echo, answer) {
            (false, None) => Ok(Self::Never),
            (true, None) => Ok(Self::Echo),
            (false, Some(bytes)) => Ok(Self::With(bytes.into())),
            (true, Some(_)) => Err(Failure::usage("a listener either echoes or has an answer of its own")),
        }
    }
}

/// All listeners that named types. The first one that answers a type answers all its requests.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Mutex<BTreeMap<MessageType, Vec<Arc<Listener>>>>);

#[derive(Debug)]
struct Listener {
    answering: Answering,
    heard: mpsc::Sender<HeardRequest>,
    bytes: AtomicUsize,
    missed: AtomicU64,
}

/// A request as a listener gets it.
#[derive(Clone, Debug)]
pub(crate) struct HeardRequest {
    pub(crate) from: NodeId,
    pub(crate) kind: MessageType,
    pub(crate) payload: Payload,
    /// Whether it was answered for this listener.
    pub(crate) answered: bool,
}

/// A listener's place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    listeners: Arc<Listeners>,
    cluster: Cluster,
    listener: Arc<Listener>,
    requests: mpsc::Receiver<HeardRequest>,
    types: Vec<MessageType>,
}

impl Listeners {
    /// A place for one more. From now on requests of these types are heard.
    ///
    /// # Errors
    ///
    /// The node has stopped, or there are too many types.
    pub(crate) fn open(
        self: &Arc<Self>,
        cluster: &Cluster,
        types: &[MessageType],
        answering: Answering,
    ) -> Result<Place, Failure> {
        if types.len() > MAX_TYPES {
            return Err(Failure::Usage(format!("{} types, at most {MAX_TYPES} are allowed", types.len())));
        }
        let (heard, requests) = mpsc::channel(QUEUE);
        let listener = Arc::new(Listener { answering, heard, bytes: AtomicUsize::new(0), missed: AtomicU64::new(0) });
        let (listeners, cluster) = (Arc::clone(self), cluster.clone());
        let mut place = Place { listeners, cluster, listener, requests, types: Vec::new() };
        let mut by_type = self.lock();
        for &kind in types {
            let listening = by_type.entry(kind).or_default();
            if listening.is_empty() {
                let listeners = Arc::clone(self);
                place
                    .cluster
                    .handle_requests(kind, move |request| std::future::ready(listeners.hear(&request)))
                    .map_err(|error| Failure::failed(format!("cannot listen for requests of type {kind}: {error}")))?;
            }
            // A type may be named twice.
            if !place.types.contains(&kind) {
                listening.push(Arc::clone(&place.listener));
                place.types.push(kind);
            }
        }
        drop(by_type);
        Ok(place)
    }

    /// Tells all listeners of its type, and gives the answer of the first one that has one.
    fn hear(&self, request: &Request) -> Result<Answer, Rejected> {
        let by_type = self.lock();
        let listening = by_type.get(&request.kind).map(Vec::as_slice).unwrap_or_default();
        let mut outcome = None;
        for listener in listening {
            let answers = outcome.is_none() && listener.answering != Answering::Never;
            let heard = HeardRequest {
                from: request.from,
                kind: request.kind,
                payload: request.payload.clone(),
                answered: answers,
            };
            let was_told = listener.tell(heard);
            if answers {
                outcome = Some(if was_told {
                    Answer::of(&listener.answering, &request.payload)
                } else {
                    Err(Rejected::because("the listener that would answer does not keep up"))
                });
            }
        }
        let kind = request.kind;
        outcome.unwrap_or_else(|| {
            let reason = if listening.is_empty() {
                format!("the last listener for requests of type {kind} has just gone")
            } else {
                format!("a listener heard it, but nobody answers requests of type {kind}")
            };
            Err(Rejected::because(reason))
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<MessageType, Vec<Arc<Listener>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Whether there was room for it.
    fn tell(&self, heard: HeardRequest) -> bool {
        let size = heard.payload.wire_len();
        let held = self.bytes.fetch_add(size, Ordering::Relaxed);
        let has_room = held == 0 || held + size <= QUEUE_BYTES;
        if has_room && self.heard.try_send(heard).is_ok() {
            return true;
        }
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        self.missed.fetch_add(1, Ordering::Relaxed);
        false
    }
}

impl Place {
    /// The next request; never an end.
    pub(crate) async fn next(&mut self) -> HeardRequest {
        match self.requests.recv().await {
            Some(heard) => {
                self.listener.bytes.fetch_sub(heard.payload.wire_len(), Ordering::Relaxed);
                heard
            }
            // The listener holds a sender itself, so the channel never closes.
            None => std::future::pending().await,
        }
    }

    /// How many requests were dropped since this was asked the last time.
    pub(crate) fn take_missed(&self) -> u64 {
        self.listener.missed.swap(0, Ordering::Relaxed)
    }

    /// Whether messages of this type are wanted.
    pub(crate) fn wants(&self, kind: MessageType) -> bool {
        self.types.is_empty() || self.types.contains(&kind)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_type = self.listeners.lock();
        for kind in &self.types {
            let Some(listening) = by_type.get_mut(kind) else { continue };
            listening.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
            if listening.is_empty() {
                by_type.remove(kind);
                self.cluster.remove_request_handler(*kind);
            }
        }
    }
}

/// An answer in the codec that the question was in, or in none.
#[derive(Debug)]
struct Answer {
    bytes: Vec<u8>,
    codec: u8,
}

impl Answer {
    fn of(answering: &Answering, question: &Payload) -> Result<Self, Rejected> {
        Ok(match answering {
            Answering::With(bytes) => Self { bytes: bytes.to_vec(), codec: RAW },
            Answering::Echo | Answering::Never => {
                Self { bytes: question.bytes()?.to_vec(), codec: question.codec_id().unwrap_or(RAW) }
            }
        })
    }
}

impl Encode for Answer {
    fn encode(self, _: &dyn Codec, out: &mut Vec<u8>) -> Result<u8, CodecError> {
        out.extend_from_slice(&self.bytes);
        Ok(self.codec)
    }
}
