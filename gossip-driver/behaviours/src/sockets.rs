//! What the sockets and timers of an adapter promise to the driver, which no cluster shows clearly.

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::AsyncWrite as _;
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use gossip_driver::{Datagrams as _, Listener as _, Runtime, SocketBuffers, Timer as _};

use crate::harness::{PATIENCE, aside, within};

const BUFFERS: SocketBuffers = SocketBuffers { receive: 1 << 20, send: 1 << 20 };

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn runtime<R: Runtime>() -> R {
    R::current().expect("the test runs in the runtime")
}

/// Both ends of a connection.
async fn connected<R: Runtime>() -> (R::Stream, R::Stream) {
    let mut listener = runtime::<R>().bind_listener(local()).expect("a port is free");
    let address = listener.local_address().expect("it is bound");
    let dialed = within("a connection", runtime::<R>().connect(address)).await.expect("somebody listens");
    let accepted = within("a connection", poll_fn(|cx| listener.poll_accept(cx))).await;
    (dialed, accepted.expect("it is there").0)
}

pub(crate) async fn what_lies_in_the_socket_is_read_to_its_end_in_one_go<R: Runtime>() {
    const MANY: usize = 300;
    let mut socket = runtime::<R>().bind_datagrams(local(), BUFFERS).expect("a port is free");
    let to = socket.local_address().expect("it is bound");
    let sender = UdpSocket::bind(local()).expect("a port is free");
    let mut buffer = [0; 16];
    // The first one shows that the socket is ready.
    sender.send_to(b"x", to).expect("loopback takes datagrams");
    within("a datagram", poll_fn(|cx| socket.poll_receive(cx, &mut buffer))).await.expect("it arrives");
    for _ in 0..MANY {
        sender.send_to(b"x", to).expect("loopback takes datagrams");
    }
    let read = poll_fn(|cx| {
        let mut read = 0;
        while socket.poll_receive(cx, &mut buffer).is_ready() {
            read += 1;
        }
        if read == 0 { Poll::Pending } else { Poll::Ready(read) }
    });
    assert_eq!(within("the others", read).await, MANY);
}

pub(crate) async fn datagrams_that_leave_together_arrive_as_they_are<R: Runtime>() {
    let mut receiver = runtime::<R>().bind_datagrams(local(), BUFFERS).expect("a port is free");
    let mut sender = runtime::<R>().bind_datagrams(local(), BUFFERS).expect("a port is free");
    let to = receiver.local_address().expect("it is bound");
    let from = sender.local_address().expect("it is bound");
    let sent: Vec<Vec<u8>> = (0..50_u8).map(|number| vec![number; if number == 49 { 700 } else { 1_000 }]).collect();
    let mut rest = &sent.concat()[..];
    while !rest.is_empty() {
        let gone = within("room", poll_fn(|cx| sender.poll_send_batch(cx, rest, 1_000, to))).await;
        rest = &rest[gone.expect("loopback takes datagrams")..];
    }
    let (mut arrived, mut buffer) = (Vec::new(), vec![0; 65_535]);
    while arrived.len() < sent.len() {
        let batch = within("datagrams", poll_fn(|cx| receiver.poll_receive_batch(cx, &mut buffer))).await;
        let batch = batch.expect("they arrive");
        assert_eq!(batch.from, from);
        arrived.extend(buffer[..batch.length].chunks(batch.segment).map(<[u8]>::to_vec));
    }
    assert!(arrived == sent);
}

pub(crate) async fn a_batch_for_a_receiver_that_cannot_be_changes_nothing_for_others<R: Runtime>() {
    let mut sender = runtime::<R>().bind_datagrams(local(), BUFFERS).expect("a port is free");
    let before = sender.max_batch();
    for _ in 0..100 {
        let sent = within("room", poll_fn(|cx| sender.poll_send_batch(cx, &[7; 3_000], 1_000, local()))).await;
        sent.expect_err("nobody has port 0");
    }
    assert_eq!(sender.max_batch(), before);
}

pub(crate) async fn answers_come_from_the_address_that_was_asked<R: Runtime>() {
    // Only there is all of 127.0.0.0/8 this host, and only there the system tells which address was asked.
    if !cfg!(target_os = "linux") {
        return;
    }
    let asker = UdpSocket::bind(local()).expect("a port is free");
    asker.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
    for all in ["0.0.0.0:0", "[::]:0"] {
        let all: SocketAddr = all.parse().expect("it is an address");
        let Ok(mut socket) = runtime::<R>().bind_datagrams(all, BUFFERS) else {
            assert!(all.is_ipv6(), "every host has IPv4");
            continue;
        };
        let port = socket.local_address().expect("it is bound").port();
        let mut buffer = [0; 64];
        // The system itself would always answer from 127.0.0.1.
        for asked in [2, 3, 1, 2].map(|host| SocketAddr::from(([127, 0, 0, host], port))) {
            asker.send_to(b"asked", asked).expect("loopback takes datagrams");
            let received = within("a datagram", poll_fn(|cx| socket.poll_receive(cx, &mut buffer))).await;
            let (_, from) = received.expect("it arrives");
            within("room", poll_fn(|cx| socket.poll_send(cx, b"one", from))).await.expect("loopback takes datagrams");
            let mut rest = &b"two more"[..];
            while !rest.is_empty() {
                let sent = within("room", poll_fn(|cx| socket.poll_send_batch(cx, rest, 4, from))).await;
                rest = &rest[sent.expect("loopback takes datagrams")..];
            }
            for answer in [&b"one"[..], b"two ", b"more"] {
                let (length, from) = asker.recv_from(&mut buffer).expect("an answer comes");
                assert_eq!((&buffer[..length], from), (answer, asked));
            }
        }
    }
}

pub(crate) async fn several_frames_are_written_at_once<R: Runtime>() {
    let (mut stream, _peer) = connected::<R>().await;
    let slices = [IoSlice::new(b"one"), IoSlice::new(b"two")];
    let written = within("room", poll_fn(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &slices))).await;
    assert_eq!(written.expect("it is connected"), 6);
}

pub(crate) async fn closing_ends_one_direction_and_leaves_the_other<R: Runtime>() {
    let (mut one, mut other) = connected::<R>().await;
    one.write_all(b"last words").await.expect("it is connected");
    one.close().await.expect("it is connected");
    let mut heard = Vec::new();
    within("the end", other.read_to_end(&mut heard)).await.expect("it is an orderly end");
    assert_eq!(heard, b"last words");
    other.write_all(b"farewell").await.expect("this direction is open");
    drop(other);
    heard.clear();
    within("the end", one.read_to_end(&mut heard)).await.expect("it is an orderly end");
    assert_eq!(heard, b"farewell");
}

pub(crate) async fn a_connection_to_nobody_is_refused<R: Runtime>() {
    let address: SocketAddr = aside(7).parse().expect("it is an address");
    let listener = runtime::<R>().bind_listener(address).expect("a port is free");
    let nobody = listener.local_address().expect("it is bound");
    drop(listener);
    let Err(error) = within("the refusal", runtime::<R>().connect(nobody)).await else { panic!("nobody listens") };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

pub(crate) async fn a_timer_that_has_fired_stays_so_until_it_is_set_again<R: Runtime>() {
    let begin = runtime::<R>().now();
    let mut timer = runtime::<R>().timer(begin + Duration::from_millis(20));
    within("the timer", poll_fn(|cx| timer.poll_fired(cx))).await;
    assert!(runtime::<R>().now() >= begin + Duration::from_millis(20));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(timer.poll_fired(&mut cx).is_ready() && timer.poll_fired(&mut cx).is_ready());
    timer.reset(begin + PATIENCE);
    assert!(timer.poll_fired(&mut cx).is_pending());
    // Sooner than what somebody waits for already.
    let mut waited = false;
    let fired = poll_fn(|cx| {
        let fired = timer.poll_fired(cx);
        if !std::mem::replace(&mut waited, true) {
            timer.reset(runtime::<R>().now() + Duration::from_millis(20));
            return timer.poll_fired(cx);
        }
        fired
    });
    within("the timer", fired).await;
    assert!(runtime::<R>().now() < begin + PATIENCE);
    let mut passed = runtime::<R>().timer(begin);
    assert!(poll_fn(|cx| Poll::Ready(passed.poll_fired(cx).is_ready())).await, "the deadline has passed");
}

pub(crate) async fn names_are_looked_up_by_the_system<R: Runtime>() {
    let found = within("a lookup", runtime::<R>().lookup("localhost", 7)).await.expect("every system knows it");
    assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7), "{found:?}");
    assert!(!found.is_empty());
    within("a lookup", runtime::<R>().lookup("name.invalid", 7)).await.expect_err("no system knows it");
}
