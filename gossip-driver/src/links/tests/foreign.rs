//! Peers that speak another protocol.

use super::*;
use crate::framing::{Foreign, FrameError};
use crate::link::LinkError;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

impl Bench {
    /// The end of a connection that brought something else than frames.
    fn end_of_foreign(&mut self) -> (Duration, Foreign) {
        let begun = self.memory.now();
        match self.next() {
            News::Ended { link, end } => {
                let End::Broken { error: LinkError::Frame(FrameError::Foreign(foreign)), .. } = &end else {
                    panic!("it ends otherwise: {end:?}")
                };
                let foreign = *foreign;
                assert!(self.links.ended(self.memory.now(), link, &end).is_empty());
                (self.memory.now() - begun, foreign)
            }
            other => panic!("it is no message: {other:?}"),
        }
    }
}

#[test]
fn a_request_of_http_gets_its_answer_and_the_connection_ends() {
    let mut bench = Bench::new(&config());
    let (mut peer, _) = bench.incoming(1);
    peer.put(REQUEST);
    let answer = String::from_utf8(bench.memory.block_on(LONG, peer.take(4_096))).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains("gossip port"), "{answer}");
    drop(peer);
    assert_eq!(bench.end_of_foreign(), (Duration::ZERO, Foreign::Request));
    assert_eq!((bench.count(Counter::LinksBroken), bench.count(Counter::LinksRejected)), (1, 1));
}

#[test]
fn whoever_does_not_close_after_the_answer_is_waited_for_a_moment_only() {
    let mut bench = Bench::new(&config());
    let (mut silent, _) = bench.incoming(1);
    silent.put(REQUEST);
    let (waited, _) = bench.end_of_foreign();
    assert!(waited <= Duration::from_secs(1), "{waited:?}");
    assert_eq!(bench.links.gauges().links, 0);

    let (mut busy, _) = bench.incoming(2);
    busy.put(REQUEST);
    let mut sent = 0;
    while bench.news.is_empty() {
        bench.memory.run_for(Duration::ZERO);
        sent += busy.put(&[b'x'; 4_096]);
        assert!(sent < 16 << 20, "it is read for ever");
    }
    bench.end_of_foreign();
}

#[test]
fn a_handshake_of_tls_is_told_from_noise() {
    let mut bench = Bench::new(&config());
    let (mut peer, _) = bench.incoming(1);
    peer.put(&[0x16, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]);
    assert_eq!(bench.end_of_foreign(), (Duration::ZERO, Foreign::Tls));
    assert!(bench.memory.block_on(LONG, peer.take(1)).is_empty(), "and gets no answer");
    let (mut noise, _) = bench.incoming(2);
    noise.put(&[0xff; 8]);
    bench.end();
    assert_eq!((bench.count(Counter::LinksRejected), bench.count(Counter::FramesOversized)), (1, 1));
}

#[test]
fn what_is_dialled_and_speaks_another_protocol_is_said_to() {
    for (answer, foreign) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "HTTP server"), (&[0x15, 3, 3, 0, 2, 2, 10], "TLS")]
    {
        let mut bench = Bench::new(&config());
        let (mut door, to) = listen(&bench.memory);
        bench.send(to, &message(1)).unwrap();
        let mut peer = accepted(&bench.memory, &mut door);
        peer.put(answer);
        let News::Ended { link, end } = bench.next() else { panic!("it is no message") };
        let (address, reason) = bench.links.failure(link, &end).expect("it is of no use");
        assert_eq!(address, to.into());
        assert!(reason.contains(foreign), "{reason}");
        assert_eq!(bench.links.ended(bench.memory.now(), link, &end).as_slice(), [to.into()]);
    }
}
