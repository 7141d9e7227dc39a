//! Handlers: one for each type and sort, bounded, and harmless to the node whatever they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_lock::Semaphore;
use gossip_driver::{
    Counter, Event, HandlerError, HandlerSort, Message, MessageType, Raw, Received, Reliability, Request, RequestError,
    Runtime, protocol,
};
use serde::{Serialize, Serializer};

use crate::harness::{
    PATIENCE, cluster_of, event, heard_by, holds, join, kind, next, pause, quick, start, stop, within,
};

pub(crate) async fn a_second_handler_of_a_type_is_an_error_until_the_first_is_removed<R: Runtime>() {
    let node = start::<R>(quick("second")).await;
    let ignore = |_: Message| std::future::ready(());
    let answer = |_: Request| std::future::ready(Ok(()));
    node.handle_messages(kind(), ignore).expect("it is the first");
    node.handle_requests(kind(), answer).expect("requests are another sort");
    let taken = |sort| Err(HandlerError::Taken { kind: kind(), sort });
    assert_eq!(node.handle_messages(kind(), ignore), taken(HandlerSort::Messages));
    assert_eq!(node.handle_requests(kind(), answer), taken(HandlerSort::Requests));
    let another = MessageType::user(201).expect("a type of applications");
    node.handle_messages(another, ignore).expect("it is another type");
    assert!(node.remove_message_handler(kind()) && !node.remove_message_handler(kind()));
    assert!(node.remove_request_handler(kind()) && !node.remove_request_handler(kind()));
    node.handle_messages(kind(), ignore).expect("the first was removed");
    within("a shutdown", node.shutdown()).await;
    assert_eq!(node.handle_requests(kind(), answer), Err(HandlerError::Stopped));
    assert_eq!(node.handle_messages(kind(), ignore), Err(HandlerError::Stopped));
}

pub(crate) async fn a_panic_is_counted_and_the_handler_goes_on<R: Runtime>() {
    let nodes = cluster_of::<R>("panics", 2).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let panics = move |message: Message| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            pause().await;
            panic!("this panic is part of the test: {:?}", message.from);
        }
    };
    nodes[1].handle_messages(kind(), panics).expect("it has no handler yet");
    let panics = |request: Request| -> std::future::Ready<Result<u32, _>> {
        let number: u32 = request.payload.decode().expect("a number was sent");
        assert!(number != 1, "this panic is part of the test");
        std::future::ready(Ok(number))
    };
    nodes[1].handle_requests(kind(), panics).expect("it has no handler yet");
    let to = nodes[1].id();
    for _ in 0..2 {
        within("a send", nodes[0].send(to, kind(), &1, Reliability::Reliable)).await.expect("the node is well");
    }
    holds("both are called", || calls.load(Ordering::SeqCst) == 2).await;
    let error = within("the end", nodes[0].request(to, kind(), &1_u32, PATIENCE)).await.unwrap_err();
    let reason = "the handler panicked".to_owned();
    assert_eq!(error, RequestError::Failed(protocol::RequestError::Rejected(reason)));
    let answer = within("the end", nodes[0].request(to, kind(), &2_u32, PATIENCE)).await.expect("it goes on");
    assert_eq!(answer.decode::<u32>(), Ok(2));
    holds("the panics are counted", || nodes[1].stats().driver.count(Counter::HandlerPanics) == 3).await;
    stop(nodes).await;
}

/// An answer that cannot be written, if it says so, or not even be dropped.
enum Answer {
    Good,
    PanicsWhenWritten,
    PanicsWhenDropped,
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!matches!(self, Self::PanicsWhenWritten), "this panic is part of the test");
        serializer.serialize_u32(1)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        assert!(!matches!(self, Self::PanicsWhenDropped), "this panic is part of the test");
    }
}

pub(crate) async fn a_panic_in_writing_an_answer_rejects_that_request_alone<R: Runtime>() {
    let nodes = cluster_of::<R>("unwritable", 2).await;
    let answer = |request: Request| async move {
        Ok(match request.payload.decode::<u32>()? {
            0 => Answer::Good,
            1 => Answer::PanicsWhenWritten,
            _ => Answer::PanicsWhenDropped,
        })
    };
    nodes[1].handle_requests(kind(), answer).expect("it has no handler yet");
    let ask = |number: u32| within("the end", nodes[0].request(nodes[1].id(), kind(), number, PATIENCE));
    for (count, number) in [(1, 1), (2, 2), (3, 1)] {
        let reason = "the handler panicked".to_owned();
        let error = ask(number).await.unwrap_err();
        assert_eq!(error, RequestError::Failed(protocol::RequestError::Rejected(reason)));
        assert_eq!(nodes[1].stats().driver.count(Counter::HandlerPanics), count);
        assert_eq!(ask(0).await.expect("the handler lives on").decode(), Ok(1_u32));
    }
    stop(nodes).await;
}

pub(crate) async fn messages_beyond_what_a_slow_handler_takes_are_counted_and_told<R: Runtime>() {
    const SENT: u64 = 10;
    let slow = start::<R>(quick("slow").max_handlers(1).message_queue(2)).await;
    let sender = start::<R>(quick("slow")).await;
    join(&sender, &slow).await;
    let mut events = slow.events();
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (closed, begins) = (Arc::clone(&gate), Arc::clone(&begun));
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let wait = move |_: Message| {
        let (gate, begun, count) = (Arc::clone(&closed), Arc::clone(&begins), Arc::clone(&count));
        async move {
            begun.add_permits(1);
            gate.acquire().await.forget();
            count.fetch_add(1, Ordering::SeqCst);
        }
    };
    slow.handle_messages(kind(), wait).expect("it has no handler yet");
    let send = || sender.send(slow.id(), kind(), &1, Reliability::Reliable);
    within("a send", send()).await.expect("the node is well");
    within("the first call", begun.acquire()).await.forget();
    for _ in 1..SENT {
        within("a send", send()).await.expect("the node is well");
    }
    let missed = || slow.stats().driver.count(Counter::MessagesMissed);
    // One is under way; up to two wait in the queue.
    holds("the losses are counted", || missed() >= SENT - 3).await;
    let mut told = 0;
    while told < missed() {
        told += event(&mut events, "the losses are told", |event| match event {
            Event::MessagesMissed { kind: Some(about), count } if about == kind() => Some(count),
            _ => None,
        })
        .await;
    }
    gate.add_permits(100);
    holds("the others are handled", || handled.load(Ordering::SeqCst) as u64 + missed() == SENT).await;
    stop([sender, slow]).await;
}

pub(crate) async fn bytes_count_until_the_call_that_handles_them_ends<R: Runtime>() {
    const SIZE: usize = 20 << 10;
    const FIT: usize = 3;
    let config = || {
        quick("bytes").compress_from(None).protocol(|protocol| {
            protocol.max_message = 64 << 10;
            protocol.chunk = 16 << 10;
            protocol.max_metadata = 8 << 10;
            protocol.max_delivery_bytes = 64 << 10;
        })
    };
    let (sender, slow) = (start::<R>(config()).await, start::<R>(config()).await);
    join(&sender, &slow).await;
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (closed, count) = (Arc::clone(&gate), Arc::clone(&begun));
    let wait = move |_: Message| {
        count.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&closed);
        async move { gate.acquire().await.forget() }
    };
    slow.handle_messages(kind(), wait).expect("it has no handler yet");
    let body = vec![7; SIZE];
    let send = async || {
        let sent = sender.send(slow.id(), kind(), Raw(&body), Reliability::Reliable);
        within("a send", sent).await.expect("the node is well");
    };
    let missed = || slow.stats().driver.count(Counter::MessagesMissed);
    for _ in 0..FIT {
        send().await;
    }
    holds("all that fit are under way", || begun.load(Ordering::SeqCst) == FIT).await;
    send().await;
    holds("what does not fit beside them is dropped", || missed() == 1).await;
    gate.add_permits(FIT);
    holds("the calls end", || gate.try_acquire().is_none()).await;
    gate.add_permits(1);
    // That the calls have ended may be known a little later.
    for attempt in 0.. {
        assert!(attempt < 1_000, "what has ended takes no room");
        send().await;
        if begun.load(Ordering::SeqCst) > FIT {
            break;
        }
    }
    stop([sender, slow]).await;
}

pub(crate) async fn a_slow_reader_is_told_how_much_it_missed_and_where<R: Runtime>() {
    let slow = start::<R>(quick("reader").message_queue(4)).await;
    let sender = start::<R>(quick("reader")).await;
    join(&sender, &slow).await;
    let mut reader = slow.messages();
    let send = async |number: u32| {
        let sent = within("a send", sender.send(slow.id(), kind(), number, Reliability::Reliable)).await;
        sent.expect("the node is well");
    };
    for number in 0..10 {
        send(number).await;
    }
    holds("the loss is counted", || slow.stats().driver.count(Counter::ReadersMissed) == 6).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        match within("what waits", reader.next()).await {
            Some(Received::Message(message)) => seen.push(message.payload.decode().expect("a number was sent")),
            Some(Received::Missed { count }) => seen.push(100 + u32::try_from(count).expect("few")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 106]);
    send(11).await;
    let after = within("a message", reader.next()).await;
    assert!(matches!(after, Some(Received::Message(_))), "{after:?}");
    within("a shutdown", slow.shutdown()).await;
    assert!(within("the end", reader.next()).await.is_none());
    stop([sender]).await;
}

pub(crate) async fn messages_are_handled_in_the_order_in_which_they_were_sent<R: Runtime>() {
    let nodes = cluster_of::<R>("order", 2).await;
    let mut heard = heard_by(&nodes[1]);
    for number in 0..2_000_u32 {
        let sent = nodes[0].send(nodes[1].id(), kind(), number, Reliability::BestEffort).await;
        sent.expect("the node is well");
        // Loopback loses datagrams only when the receiver's buffer is full.
        if number % 100 == 99 {
            for expected in number - 99..=number {
                assert_eq!(next(&mut heard).await.payload.decode(), Ok(expected));
            }
        }
    }
    stop(nodes).await;
}

pub(crate) async fn a_handler_may_send_by_a_handle_that_does_not_keep_the_node_running<R: Runtime>() {
    let nodes = cluster_of::<R>("weak", 2).await;
    let mut heard = heard_by(&nodes[0]);
    let weak = nodes[1].downgrade();
    let forward = move |message: Message| {
        let weak = weak.clone();
        async move {
            let Some(node) = weak.upgrade() else { return };
            let number: u32 = message.payload.decode().expect("a number was sent");
            node.send(message.from, kind(), number + 1, Reliability::Reliable).await.expect("the node is well");
        }
    };
    nodes[1].handle_messages(kind(), forward).expect("it has no handler yet");
    within("a send", nodes[0].send(nodes[1].id(), kind(), &1_u32, Reliability::Reliable)).await.expect("it is well");
    assert_eq!(next(&mut heard).await.payload.decode::<u32>(), Ok(2));
    let [first, second] = <[_; 2]>::try_from(nodes).expect("two");
    let weak = second.downgrade();
    drop(second);
    holds("the last handle is gone", || weak.upgrade().is_none()).await;
    crate::harness::seen(&first, "the node leaves", |members| members.counts().leaving == 1).await;
    stop([first]).await;
}
