//! What came for the application, and the bounded set of it not yet read.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;

use bytes::Bytes;

use crate::identity::NodeId;
use crate::message::{MessageId, MessageType, ReplyToken, RequestError, RequestId};
use crate::payload::Length;
use crate::time::Instant;

/// Something for the application from another node, or from itself.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// A message to this node alone.
    Message {
        /// Who sent it.
        from: NodeId,
        /// What it is about.
        kind: MessageType,
        /// Its content.
        payload: Bytes,
    },
    /// A broadcast. The node that sends one does not get it itself.
    Broadcast {
        /// Which one, and whose.
        id: MessageId,
        /// What it is about.
        kind: MessageType,
        /// The tag that it was sent to, if not to everybody.
        tag: Option<Arc<str>>,
        /// Its content.
        payload: Bytes,
        /// How many nodes it went through, this one included.
        hops: u8,
    },
    /// A request; to be answered with [`Node::reply`](crate::Node::reply) or [`Node::refuse`](crate::Node::refuse).
    Request {
        /// What to answer with.
        token: ReplyToken,
        /// Who asks.
        from: NodeId,
        /// What it is about.
        kind: MessageType,
        /// Its content.
        payload: Bytes,
        /// Until when the answer is waited for.
        deadline: Instant,
    },
    /// The end of a request of this node: exactly one for each that was accepted and not cancelled.
    Answer {
        /// The request.
        request: RequestId,
        /// Who was asked.
        by: NodeId,
        /// The answer, or why there is none.
        result: Result<Bytes, RequestError>,
    },
    /// A reliable message of this node was confirmed.
    Delivered {
        /// The message.
        message: RequestId,
        /// Who confirmed it.
        by: NodeId,
    },
    /// A reliable message of this node was not confirmed. It may have arrived nevertheless.
    Undelivered {
        /// The message.
        message: RequestId,
        /// Whom it was for.
        to: NodeId,
        /// Why.
        error: RequestError,
    },
    /// Broadcasts of which later ones came are lost for good. Those that were to come in order follow behind.
    Gap {
        /// Whose.
        origin: NodeId,
        /// The tag that they were sent to, if not to everybody.
        tag: Option<Arc<str>>,
        /// How many at most.
        count: u64,
    },
    /// Messages, broadcasts and word of gaps were dropped at this place because the earlier ones were not polled in time.
    Missed {
        /// How many.
        count: u64,
    },
}

/// With the lengths of payloads in their place: what is in them is not for logs, and may be a key.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |payload: &Bytes| Length(payload.len());
        match self {
            Self::Message { from, kind, payload } => {
                let mut out = f.debug_struct("Message");
                out.field("from", from).field("kind", kind).field("payload", &length(payload)).finish()
            }
            Self::Broadcast { id, kind, tag, payload, hops } => {
                let mut out = f.debug_struct("Broadcast");
                out.field("id", id).field("kind", kind).field("tag", tag).field("payload", &length(payload));
                out.field("hops", hops).finish()
            }
            Self::Request { token, from, kind, payload, deadline } => {
                let mut out = f.debug_struct("Request");
                out.field("token", token).field("from", from).field("kind", kind);
                out.field("payload", &length(payload)).field("deadline", deadline).finish()
            }
            Self::Answer { request, by, result } => {
                let result = result.as_ref().map(length);
                f.debug_struct("Answer").field("request", request).field("by", by).field("result", &result).finish()
            }
            Self::Delivered { message, by } => {
                f.debug_struct("Delivered").field("message", message).field("by", by).finish()
            }
            Self::Undelivered { message, to, error } => {
                f.debug_struct("Undelivered").field("message", message).field("to", to).field("error", error).finish()
            }
            Self::Gap { origin, tag, count } => {
                f.debug_struct("Gap").field("origin", origin).field("tag", tag).field("count", count).finish()
            }
            Self::Missed { count } => f.debug_struct("Missed").field("count", count).finish(),
        }
    }
}

/// What an entry takes besides its payload.
const OVERHEAD: usize = 64;

/// Deliveries not yet polled. What finds them full is refused: it was not promised to anybody yet.
#[derive(Debug)]
pub(crate) struct Deliveries {
    queue: VecDeque<Delivery>,
    bytes: usize,
    max_count: usize,
    max_bytes: usize,
    /// Ends of this node's own requests among them.
    ends: usize,
    missed: u64,
}

impl Deliveries {
    pub(crate) fn new(max_count: usize, max_bytes: usize) -> Self {
        Self { queue: VecDeque::new(), bytes: 0, max_count, max_bytes, ends: 0, missed: 0 }
    }

    /// Whether a payload of this size can be taken.
    pub(crate) fn has_room(&self, size: usize) -> bool {
        self.queue.len() - self.ends < self.max_count && self.has_bytes(size)
    }

    /// Takes a message, a broadcast or a request, or counts it as missed; tells which.
    pub(crate) fn push(&mut self, delivery: Delivery) -> bool {
        if !self.has_room(payload_of(&delivery)) {
            self.miss();
            return false;
        }
        self.append(delivery);
        true
    }

    /// Takes the end of a request; only an answer too large for what is left becomes an error. Their number is
    /// bounded by that of the requests.
    pub(crate) fn push_end(&mut self, delivery: Delivery) {
        let delivery = match delivery {
            Delivery::Answer { request, by, result: Ok(payload) } if !self.has_bytes(payload.len()) => {
                Delivery::Answer { request, by, result: Err(RequestError::Overloaded) }
            }
            other => other,
        };
        self.ends += 1;
        self.append(delivery);
    }

    pub(crate) fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.queue.pop_front()?;
        self.bytes -= payload_of(&delivery) + OVERHEAD;
        if delivery.is_end() {
            self.ends -= 1;
        }
        Some(delivery)
    }

    /// Ends of requests not yet polled.
    pub(crate) fn ends(&self) -> usize {
        self.ends
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn missed_total(&self) -> u64 {
        self.missed
    }

    fn has_bytes(&self, size: usize) -> bool {
        self.bytes + size + OVERHEAD <= self.max_bytes
    }

    /// Notes a loss where it happened: behind what was taken, at the cost of one entry over the limit.
    fn miss(&mut self) {
        self.missed += 1;
        if let Some(Delivery::Missed { count }) = self.queue.back_mut() {
            *count += 1;
        } else if self.queue.len() - self.ends <= self.max_count {
            self.append(Delivery::Missed { count: 1 });
        } else if let Some(count) = self.queue.iter_mut().rev().find_map(Delivery::missed_mut) {
            *count += 1;
        }
    }

    fn append(&mut self, delivery: Delivery) {
        self.bytes += payload_of(&delivery) + OVERHEAD;
        self.queue.push_back(delivery);
    }
}

impl Delivery {
    /// Whether it ends a request, or a reliable message, of this node.
    fn is_end(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::Delivered { .. } | Self::Undelivered { .. })
    }

    fn missed_mut(&mut self) -> Option<&mut u64> {
        if let Self::Missed { count } = self { Some(count) } else { None }
    }
}

fn payload_of(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Message { payload, .. }
        | Delivery::Broadcast { payload, .. }
        | Delivery::Request { payload, .. }
        | Delivery::Answer { result: Ok(payload), .. } => payload.len(),
        Delivery::Answer { result: Err(RequestError::Rejected(reason)), .. } => reason.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(size: usize) -> Delivery {
        let kind = MessageType::user(200).unwrap();
        Delivery::Message { from: NodeId::from_u128(1), kind, payload: Bytes::from(alloc::vec![0; size]) }
    }

    fn end(size: usize) -> Delivery {
        let result = Ok(Bytes::from(alloc::vec![0; size]));
        Delivery::Answer { request: RequestId(1), by: NodeId::from_u128(1), result }
    }

    #[test]
    fn what_is_shown_of_a_delivery_is_not_its_payload() {
        let (payload, kind, id) = (Bytes::from_static(b"secret"), MessageType::KEYS, NodeId::from_u128(1));
        let token = ReplyToken(1);
        for delivery in [
            Delivery::Message { from: id, kind, payload: payload.clone() },
            Delivery::Request { token, from: id, kind, payload: payload.clone(), deadline: Instant::ZERO },
            Delivery::Answer { request: RequestId(1), by: id, result: Ok(payload) },
        ] {
            let shown = alloc::format!("{delivery:?} {delivery:#?}");
            assert!(shown.contains("6 bytes") && !shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn what_finds_the_queue_full_is_counted_where_it_would_have_been() {
        let mut deliveries = Deliveries::new(2, 10_000);
        assert!(deliveries.push(message(1)) && deliveries.push(message(2)));
        assert!(!deliveries.push(message(3)) && !deliveries.push(message(4)));
        assert_eq!(deliveries.pop(), Some(message(1)));
        assert_eq!(deliveries.pop(), Some(message(2)));
        assert!(deliveries.push(message(5)));
        assert_eq!(deliveries.pop(), Some(Delivery::Missed { count: 2 }));
        assert_eq!(deliveries.pop(), Some(message(5)));
        assert_eq!((deliveries.pop(), deliveries.missed_total(), deliveries.bytes), (None, 2, 0));
    }

    #[test]
    fn bytes_are_bounded_too_and_an_answer_too_large_still_ends_its_request() {
        let mut deliveries = Deliveries::new(10, 1_000);
        assert!(deliveries.push(message(800)));
        assert!(!deliveries.push(message(200)));
        deliveries.push_end(end(200));
        deliveries.pop();
        assert_eq!(deliveries.pop(), Some(Delivery::Missed { count: 1 }));
        let overloaded = Err(RequestError::Overloaded);
        assert!(matches!(deliveries.pop(), Some(Delivery::Answer { result, .. }) if result == overloaded));
        assert_eq!((deliveries.ends(), deliveries.bytes), (0, 0));
    }

    #[test]
    fn losses_between_ends_of_requests_do_not_make_the_queue_grow() {
        let mut deliveries = Deliveries::new(1, 100_000);
        deliveries.push(message(0));
        for _ in 0..10 {
            deliveries.push_end(end(0));
            deliveries.push(message(0));
        }
        assert_eq!((deliveries.queue.len(), deliveries.missed_total()), (12, 10));
    }
}
