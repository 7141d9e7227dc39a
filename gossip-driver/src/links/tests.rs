//! Connections in virtual time, over a network in memory.

mod foreign;
mod strangers;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;

use async_channel::Receiver;

use super::*;
use crate::framing::{Kind, PREFIX, SHORTEST, prefix};
use crate::memory::{Door, Memory, Stream};
use crate::resolve::Lookup;
use crate::runtime::Listener;
use crate::transport::Layers;

const LONG: Duration = Duration::from_mins(10);

/// The connections of one node, and what they report.
struct Bench {
    memory: Memory,
    links: Links<Memory>,
    news: Receiver<News>,
    counters: Arc<Counters>,
}

fn config() -> Config {
    let mut config = Config::local("x");
    config.protocol.max_message = 100_000;
    config.link_queue_bytes = 200_000;
    config.total_queue_bytes = 500_000;
    config.receive_queue_bytes = 200_000;
    config
}

/// What opens connections in that network.
pub(super) fn transport(memory: &Memory, config: &Config) -> Transport<Memory> {
    let lookup = Lookup::new(memory.clone(), config);
    let layers = Layers::new(
        config,
        #[cfg(feature = "websocket")]
        None,
    );
    Transport::new(lookup, layers, Arc::new(|_: &NodeAddress| None), config)
}

impl Bench {
    fn new(config: &Config) -> Self {
        let memory = Memory::new();
        let counters = Arc::new(Counters::new());
        let (sender, news) = async_channel::bounded(2);
        let (tasks, _) = async_channel::bounded(1);
        let links = Links::new(transport(&memory, config), config, Arc::clone(&counters), sender, tasks);
        Self { memory, links, news, counters }
    }

    fn count(&self, counter: Counter) -> u64 {
        self.counters.read(Gauges::default()).count(counter)
    }

    /// Queues a message for an address where, as far as is known, nobody listens.
    fn send(&mut self, to: impl Into<NodeAddress>, message: &[u8]) -> Result<(), Unreachable> {
        self.links.send(self.memory.now(), &to.into(), framed(message))
    }

    /// The next report, while virtual time passes.
    fn next(&self) -> News {
        self.memory.block_on(LONG, self.news.recv()).expect("the links hold the other end")
    }

    /// The end of a connection, after nothing but messages and closing: what `ended` makes of it.
    fn end(&mut self) -> Option<NodeAddress> {
        loop {
            match self.next() {
                News::Message { .. } | News::Drained => {}
                News::PeerClosed { link } => self.links.peer_closed(self.memory.now(), link),
                News::Ended { link, end } => return self.links.ended(self.memory.now(), link, &end).pop(),
            }
        }
    }

    /// A connection from a peer: the peer's end.
    fn incoming(&mut self, port: u16) -> (Stream, NodeAddress) {
        let (ours, theirs) = Stream::pair();
        self.links.accept(self.memory.now(), (Carrier::Socket(ours), Gate::Tcp), Some(address(port)));
        (theirs, NodeAddress::Accepted(self.links.last_id))
    }

    /// Sweeps at the next deadline.
    fn sweep_when_due(&mut self) {
        let deadline = self.links.deadline().expect("something is due some time");
        self.memory.run_for(deadline.saturating_duration_since(self.memory.now()));
        self.links.sweep(self.memory.now());
    }

    fn is_open(&self, stream: &Stream) -> bool {
        self.memory.run_for(Duration::ZERO);
        !stream.is_closed_by_peer()
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn message(seed: u8) -> Vec<u8> {
    vec![seed; SHORTEST]
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = prefix(Kind::Message, message.len()).unwrap().to_vec();
    frame.extend_from_slice(message);
    frame.into()
}

fn listen(memory: &Memory) -> (Door, SocketAddr) {
    let door = memory.bind_listener(address(0)).unwrap();
    let address = door.local_address().unwrap();
    (door, address)
}

/// The connection that was opened to this listener.
fn accepted(memory: &Memory, door: &mut Door) -> Stream {
    memory.block_on(LONG, poll_fn(|cx| door.poll_accept(cx))).unwrap().0
}

fn nobody_else(memory: &Memory, door: &mut Door) -> bool {
    memory.run_for(Duration::ZERO);
    memory.block_on(LONG, poll_fn(|cx| Poll::Ready(door.poll_accept(cx).is_pending())))
}

#[test]
fn one_connection_carries_all_messages_to_an_address_in_order() {
    let mut bench = Bench::new(&config());
    let (mut door, to) = listen(&bench.memory);
    for seed in 0..40 {
        bench.send(to, &message(seed)).unwrap();
    }
    let mut peer = accepted(&bench.memory, &mut door);
    let sent: Vec<u8> = (0..40).flat_map(|seed| framed(&message(seed))).collect();
    assert_eq!(bench.memory.block_on(LONG, peer.take(sent.len())), sent);
    assert!(nobody_else(&bench.memory, &mut door));
    assert_eq!(bench.count(Counter::Dials), 1);
    assert_eq!(bench.links.gauges().bytes_queued, 0);
}

#[test]
fn answers_come_and_go_over_the_same_connection() {
    let mut bench = Bench::new(&config());
    let (mut door, to) = listen(&bench.memory);
    bench.send(to, &message(1)).unwrap();
    let mut peer = accepted(&bench.memory, &mut door);
    peer.put(&framed(&message(2)));
    let News::Message { link, frame, .. } = bench.next() else { panic!("a message was sent") };
    assert_eq!(frame.bytes, message(2));
    assert_eq!(bench.links.received(bench.memory.now(), link).map(|peer| peer.address), Some(to.into()));

    let (mut peer, from) = bench.incoming(40_001);
    bench.send(from, &message(3)).unwrap();
    assert_eq!(bench.memory.block_on(LONG, peer.take(SHORTEST + 4)), framed(&message(3)));
    assert_eq!(bench.count(Counter::Dials), 1, "an incoming connection is answered, not dialed");
}

#[test]
fn an_address_that_refuses_or_swallows_is_unreachable() {
    let mut bench = Bench::new(&config());
    bench.send(address(9), &message(1)).unwrap();
    assert_eq!(bench.end(), Some(address(9).into()));

    bench.memory.swallow(address(10));
    let before = bench.memory.now();
    bench.send(address(10), &message(1)).unwrap();
    assert_eq!(bench.end(), Some(address(10).into()));
    assert_eq!(bench.memory.now() - before, config().dial_timeout);
    assert_eq!(bench.count(Counter::DialFailures), 2);
    assert_eq!((bench.links.gauges().links, bench.links.gauges().bytes_queued), (0, 0));
}

#[test]
fn a_peer_that_does_not_read_costs_its_own_queue_only() {
    let mut bench = Bench::new(&config());
    let (mut door, slow) = listen(&bench.memory);
    let (mut other_door, good) = listen(&bench.memory);
    let large = vec![7; 60_000];
    let mut sent = 0;
    while bench.send(slow, &large).is_ok() {
        sent += large.len();
        bench.memory.run_for(Duration::ZERO);
    }
    assert!((200_000 - large.len()..=200_000 + Stream::ROOM).contains(&sent), "{sent}");
    assert_eq!(bench.count(Counter::LinkQueueOverflows), 1);
    assert_eq!(bench.end(), None, "it was reported when the queue overflowed");
    assert_eq!(bench.links.gauges().bytes_queued, 0);
    drop(accepted(&bench.memory, &mut door));

    bench.send(good, &message(1)).unwrap();
    let mut peer = accepted(&bench.memory, &mut other_door);
    assert_eq!(bench.memory.block_on(LONG, peer.take(SHORTEST + 4)), framed(&message(1)));
}

#[test]
fn all_queues_together_are_bounded_and_nobody_is_cut_off_for_it() {
    let mut bench = Bench::new(&config());
    let large = vec![7; 90_000];
    let peers: Vec<SocketAddr> = (1..=6).map(address).collect();
    for &peer in &peers {
        bench.memory.swallow(peer);
    }
    let outcomes: Vec<bool> = peers.iter().map(|&peer| bench.send(peer, &large).is_ok()).collect();
    assert_eq!(outcomes, [true, true, true, true, true, false]);
    assert_eq!(bench.count(Counter::TotalQueueOverflows), 1);
    assert_eq!(bench.links.gauges().links, 6, "what was refused is the message, not the connection");
}

#[test]
fn a_peer_that_takes_nothing_in_time_is_unreachable() {
    let mut bench = Bench::new(&config());
    let (mut door, to) = listen(&bench.memory);
    bench.send(to, &vec![7; 2 * Stream::ROOM - 50_000]).unwrap();
    let _peer = accepted(&bench.memory, &mut door);
    let before = bench.memory.now();
    assert_eq!(bench.end(), Some(to.into()));
    assert_eq!(bench.memory.now() - before, config().write_timeout);
    assert_eq!(bench.count(Counter::WriteTimeouts), 1);
}

#[test]
fn a_peer_that_takes_bytes_slowly_is_not_cut_off() {
    let mut bench = Bench::new(&config());
    let (mut door, to) = listen(&bench.memory);
    let frame = framed(&vec![7; 90_000]);
    bench.links.send(bench.memory.now(), &to.into(), frame.clone()).unwrap();
    let mut peer = accepted(&bench.memory, &mut door);
    let mut taken = Vec::new();
    while taken.len() < frame.len() {
        taken.extend(bench.memory.block_on(LONG, peer.take(9_000.min(frame.len() - taken.len()))));
        bench.memory.run_for(config().write_timeout / 2);
    }
    assert_eq!(taken, frame);
    assert_eq!(bench.count(Counter::WriteTimeouts), 0);
}

#[test]
fn a_broken_connection_is_reported_if_something_was_just_sent() {
    let mut bench = Bench::new(&config());
    let (mut door, to) = listen(&bench.memory);
    bench.send(to, &message(1)).unwrap();
    let peer = accepted(&bench.memory, &mut door);
    bench.memory.run_for(Duration::ZERO);
    peer.reset();
    assert_eq!(bench.end(), Some(to.into()), "written is not arrived");

    bench.send(to, &message(1)).unwrap();
    let peer = accepted(&bench.memory, &mut door);
    bench.memory.run_for(Duration::from_secs(30));
    peer.reset();
    assert_eq!(bench.end(), None, "that was long ago");
}

#[test]
fn an_idle_connection_is_closed_in_order_and_dialed_again_when_needed() {
    let mut bench = Bench::new(&config());
    let (mut door, to) = listen(&bench.memory);
    bench.send(to, &message(1)).unwrap();
    let mut peer = accepted(&bench.memory, &mut door);
    bench.memory.run_for(config().idle_timeout / 2);
    bench.send(to, &message(2)).unwrap();
    bench.sweep_when_due();
    assert_eq!(bench.count(Counter::IdleClosed), 0, "it was used in between");
    bench.sweep_when_due();
    assert_eq!(bench.count(Counter::IdleClosed), 1);
    let all = bench.memory.block_on(LONG, peer.take(1_000));
    assert_eq!(all.len(), 2 * (SHORTEST + 4), "everything arrives before the end");
    drop(peer);
    assert_eq!(bench.end(), None);
    assert_eq!(bench.links.deadline(), None, "nothing is left to watch");

    bench.send(to, &message(3)).unwrap();
    accepted(&bench.memory, &mut door);
    assert_eq!(bench.count(Counter::Dials), 2);
}

#[test]
fn when_the_peer_closes_what_is_queued_is_still_written() {
    let mut bench = Bench::new(&config());
    let (mut peer, from) = bench.incoming(40_001);
    bench.send(from, &vec![7; 90_000]).unwrap();
    bench.memory.run_for(Duration::ZERO);
    peer.close();
    let News::PeerClosed { link } = bench.next() else { panic!("the peer has closed") };
    bench.links.peer_closed(bench.memory.now(), link);
    assert_eq!(bench.memory.block_on(LONG, peer.take(100_000)).len(), 90_004);
    assert_eq!(bench.end(), None);
}

#[test]
fn nobody_is_dialed_at_the_other_end_of_a_connection_that_is_gone() {
    let mut bench = Bench::new(&config());
    let (theirs, from) = bench.incoming(40_001);
    drop(theirs);
    assert_eq!(bench.end(), None);
    assert_eq!(bench.send(from, &message(1)), Err(Unreachable));
    assert_eq!((bench.count(Counter::RepliesToClosed), bench.count(Counter::Dials)), (1, 0));
}

#[test]
fn a_silent_connection_to_somebody_suspected_is_opened_anew() {
    let mut bench = Bench::new(&config());
    let (mut door, to) = listen(&bench.memory);
    bench.send(to, &message(1)).unwrap();
    let mut peer = accepted(&bench.memory, &mut door);
    let span = Duration::from_millis(100);
    bench.memory.run_for(span);
    peer.put(&framed(&message(2)));
    let News::Message { link, .. } = bench.next() else { panic!("a message was sent") };
    bench.links.received(bench.memory.now(), link);
    bench.links.renew(bench.memory.now(), &to.into(), span);
    assert!(bench.is_open(&peer), "something came over it just now");
    bench.memory.run_for(span);
    bench.links.renew(bench.memory.now(), &to.into(), span);
    assert!(!bench.is_open(&peer));
    bench.send(to, &message(3)).unwrap();
    accepted(&bench.memory, &mut door);
    assert_eq!((bench.count(Counter::LinksSilent), bench.count(Counter::Dials)), (1, 2));
}

#[test]
fn datagrams_for_a_peer_that_does_not_read_are_dropped_and_harm_nobody() {
    let mut bench = Bench::new(&config());
    let (mut door, to) = listen(&bench.memory);
    let datagram = |bench: &mut Bench, to: &NodeAddress| {
        let mut frame = prefix(Kind::Datagram, 1_000).unwrap().to_vec();
        frame.resize(PREFIX + 1_000, 7);
        bench.links.send_datagram(bench.memory.now(), to, frame.into());
    };
    for _ in 0..1_000 {
        datagram(&mut bench, &to.into());
    }
    let peer = accepted(&bench.memory, &mut door);
    let dropped = bench.count(Counter::LinkDatagramsDropped);
    assert!((800..900).contains(&dropped), "what waits for one peer is bounded: {dropped}");
    assert!(bench.is_open(&peer), "too many datagrams are no reason to close");
    bench.send(to, &message(1)).expect("a message has more room than datagrams have");
    let (mut other, other_to) = listen(&bench.memory);
    datagram(&mut bench, &other_to.into());
    let mut other = accepted(&bench.memory, &mut other);
    assert_eq!(bench.memory.block_on(LONG, other.take(PREFIX + 1_000)).len(), PREFIX + 1_000);
    datagram(&mut bench, &NodeAddress::Accepted(1 << 40));
    assert_eq!((bench.count(Counter::Dials), bench.count(Counter::LinkDatagramsDropped)), (2, dropped + 1));
}

#[test]
fn the_oldest_connection_that_has_proved_nothing_gives_way() {
    let mut settings = config();
    settings.max_unproven = 2;
    let mut bench = Bench::new(&settings);
    let (mut proven, _) = bench.incoming(40_001);
    proven.put(&framed(&message(1)));
    let News::Message { link, .. } = bench.next() else { panic!("a message was sent") };
    bench.links.judge(link, Verdict::Valid);

    let (mut foreign, _) = bench.incoming(40_002);
    foreign.put(&framed(&message(1)));
    let News::Message { link, .. } = bench.next() else { panic!("a message was sent") };
    bench.links.judge(link, Verdict::Foreign);
    let (second, _) = bench.incoming(40_003);
    let (third, _) = bench.incoming(40_004);
    assert_eq!(bench.count(Counter::UnprovenEvicted), 1);
    assert!(bench.is_open(&proven), "it has shown a valid message");
    assert!(!bench.is_open(&foreign), "it is the oldest that has not");
    assert!(bench.is_open(&second) && bench.is_open(&third));
}

#[test]
fn a_connection_that_shows_nothing_valid_in_time_is_closed() {
    let mut bench = Bench::new(&config());
    let (silent, _) = bench.incoming(40_001);
    bench.memory.run_for(Duration::from_secs(1));
    let (mut cut, _) = bench.incoming(40_002);
    cut.put(&[0, 0, 0]);
    bench.sweep_when_due();
    assert!(!bench.is_open(&silent) && bench.is_open(&cut));
    bench.sweep_when_due();
    assert!(!bench.is_open(&cut));
    assert_eq!(bench.count(Counter::FirstFrameTimeouts), 2);
    for _ in 0..2 {
        assert_eq!(bench.end(), None);
    }
    assert_eq!((bench.links.gauges().links, bench.links.gauges().links_unproven), (0, 0));
}

#[test]
fn a_proven_connection_that_stops_within_a_message_is_closed() {
    let mut bench = Bench::new(&config());
    let (mut peer, _) = bench.incoming(40_001);
    peer.put(&framed(&message(1)));
    let News::Message { link, .. } = bench.next() else { panic!("a message was sent") };
    bench.links.judge(link, Verdict::Valid);
    peer.put(&framed(&message(2))[..20]);
    assert_eq!(bench.end(), None);
    assert_eq!(bench.count(Counter::ReadTimeouts), 1);
}

#[test]
fn a_message_that_arrives_a_byte_now_and_then_is_given_up() {
    let mut bench = Bench::new(&config());
    let (mut peer, _) = bench.incoming(40_001);
    peer.put(&framed(&message(1)));
    let News::Message { link, .. } = bench.next() else { panic!("a message was sent") };
    bench.links.judge(link, Verdict::Valid);
    peer.put(&framed(&vec![7; 50_000])[..4]);
    let before = bench.memory.now();
    while bench.is_open(&peer) {
        peer.put(&[7]);
        bench.memory.run_for(config().first_frame_timeout / 2);
        assert!(bench.memory.now() - before < config().first_frame_timeout * 20, "it is held for ever");
    }
    assert_eq!(bench.end(), None);
    assert_eq!(bench.count(Counter::ReadTimeouts), 1);
}

#[test]
fn garbage_closes_the_connection_it_came_over() {
    let mut bench = Bench::new(&config());
    let (mut peer, from) = bench.incoming(40_001);
    peer.put(&framed(&message(1)));
    let News::Message { link, .. } = bench.next() else { panic!("a message was sent") };
    bench.links.judge(link, Verdict::Garbage);
    assert!(!bench.is_open(&peer));
    assert_eq!(bench.count(Counter::LinksRejected), 1);
    assert_eq!(bench.send(from, &message(1)), Err(Unreachable));
    assert!(bench.links.received(bench.memory.now(), link).is_none(), "what it sent besides is not heard");
}

#[test]
fn too_many_connections_replace_the_least_used_of_their_direction() {
    let mut settings = config();
    (settings.max_connections, settings.max_unproven) = (4, 4);
    let mut bench = Bench::new(&settings);
    let mut peers = Vec::new();
    for port in 0..4 {
        let (mut peer, _) = bench.incoming(40_000 + port);
        peer.put(&framed(&message(1)));
        let News::Message { link, .. } = bench.next() else { panic!("a message was sent") };
        bench.links.judge(link, Verdict::Valid);
        peers.push(peer);
        bench.memory.run_for(Duration::from_secs(1));
    }
    let (fifth, _) = bench.incoming(40_004);
    assert!(bench.is_open(&fifth) && !bench.is_open(&peers[0]));
    let (sixth, _) = bench.incoming(40_005);
    assert!(
        bench.is_open(&sixth) && !bench.is_open(&fifth),
        "a stranger gives way before those who have proved themselves"
    );
    assert!(peers[1..].iter().all(|peer| bench.is_open(peer)));
    assert_eq!(bench.count(Counter::ConnectionsRefused), 0);

    let mut doors: Vec<(Door, SocketAddr)> = (0..5).map(|_| listen(&bench.memory)).collect();
    let mut streams = Vec::new();
    for (door, to) in &mut doors {
        bench.send(*to, &message(1)).unwrap();
        streams.push(accepted(&bench.memory, door));
        bench.memory.run_for(Duration::from_secs(1));
    }
    assert!(!bench.is_open(&streams[0]) && streams[1..].iter().all(|stream| bench.is_open(stream)));
}

#[test]
fn a_reader_waits_while_nobody_takes_its_messages() {
    let mut bench = Bench::new(&config());
    let (mut peer, _) = bench.incoming(40_001);
    let frame = framed(&vec![7; 30_000]);
    let mut sent = 0;
    for _ in 0..100 {
        sent += peer.put(&frame[sent % frame.len()..]);
        bench.memory.run_for(Duration::ZERO);
    }
    assert!(
        sent < 5 * frame.len() + Stream::ROOM,
        "two wait in the queue, one with the reader, the rest with the system: {sent}"
    );
    for _ in 0..sent / frame.len() {
        assert!(matches!(bench.next(), News::Message { frame, .. } if frame.bytes.len() == 30_000));
    }
    assert!(bench.is_open(&peer));
}

#[test]
fn memory_for_large_messages_is_bounded_over_all_connections() {
    let mut settings = config();
    settings.receive_queue_bytes = 100_004;
    let mut bench = Bench::new(&settings);
    let mut peers: Vec<Stream> = (0..6).map(|port| bench.incoming(41_000 + port).0).collect();
    let almost = &framed(&vec![7; 100_000])[..90_000];
    for peer in &mut peers {
        let mut sent = 0;
        while sent < almost.len() {
            let more = peer.put(&almost[sent..]);
            bench.memory.run_for(Duration::ZERO);
            sent += more;
            if more == 0 {
                break;
            }
        }
    }
    assert!(!bench.news.is_empty(), "some had to go");
    bench.end();
    assert!(bench.count(Counter::ReceiveQueueOverflows) >= 1);
    assert!(peers.iter().filter(|peer| !peer.is_closed_by_peer()).count() >= 2, "those with room stay");
}

#[test]
fn dropping_the_links_ends_every_connection() {
    let mut bench = Bench::new(&config());
    let (_door, to) = listen(&bench.memory);
    bench.send(to, &message(1)).unwrap();
    bench.memory.swallow(address(9));
    bench.send(address(9), &message(1)).unwrap();
    let _peer = bench.incoming(40_001);
    bench.memory.run_for(Duration::ZERO);
    assert_eq!(bench.memory.tasks(), 3);
    drop(bench.links);
    drop(bench.news);
    bench.memory.run_for(Duration::ZERO);
    assert_eq!(bench.memory.tasks(), 0);
}

#[test]
fn a_frame_without_a_free_connection_waits_for_one_and_is_given_up_in_time() {
    let mut settings = config();
    (settings.max_connections, settings.max_unproven) = (4, 4);
    let mut bench = Bench::new(&settings);
    let mut doors: Vec<(Door, SocketAddr)> = (0..6).map(|_| listen(&bench.memory)).collect();
    let to: Vec<SocketAddr> = doors.iter().map(|&(_, to)| to).collect();
    let mut streams = Vec::new();
    for (door, to) in &mut doors[..4] {
        bench.links.expect_answer(&(*to).into());
        bench.send(*to, &message(1)).unwrap();
        streams.push(accepted(&bench.memory, door));
    }
    bench.send(to[4], &message(2)).unwrap();
    bench.send(to[4], &message(3)).unwrap();
    bench.links.relieve(bench.memory.now());
    assert!(streams.iter().all(|stream| bench.is_open(stream)), "answers are awaited from all of them");
    assert_eq!(bench.count(Counter::Dials), 4);

    bench.links.expect_no_answer(&to[2].into());
    bench.links.relieve(bench.memory.now());
    assert!(!bench.is_open(&streams[2]));
    let mut peer = accepted(&bench.memory, &mut doors[4].0);
    let both = [framed(&message(2)), framed(&message(3))].concat();
    assert_eq!(bench.memory.block_on(LONG, peer.take(both.len())), both);

    bench.links.expect_answer(&to[4].into());
    bench.send(to[5], &message(4)).unwrap();
    bench.memory.run_for(settings.write_timeout);
    assert_eq!(bench.links.give_up(bench.memory.now()), [to[5].into()]);
    assert_eq!(bench.count(Counter::DialsRefused), 1);
    assert_eq!(bench.links.gauges().bytes_queued, 0);
}

#[test]
fn a_link_that_drains_while_others_wait_says_so() {
    let mut settings = config();
    (settings.max_connections, settings.max_unproven) = (4, 4);
    let mut bench = Bench::new(&settings);
    let mut doors: Vec<(Door, SocketAddr)> = (0..5).map(|_| listen(&bench.memory)).collect();
    for (_, to) in &doors {
        bench.send(*to, &message(1)).unwrap();
    }
    bench.links.relieve(bench.memory.now());
    assert_eq!(bench.count(Counter::Dials), 4, "all have something to write");
    assert!(matches!(bench.next(), News::Drained));
    bench.links.relieve(bench.memory.now());
    accepted(&bench.memory, &mut doors[4].0);
}

#[test]
fn the_end_of_a_connection_is_reported_however_late_if_an_answer_was_to_come() {
    let mut bench = Bench::new(&config());
    let (mut door, to) = listen(&bench.memory);
    bench.links.expect_answer(&to.into());
    bench.send(to, &message(1)).unwrap();
    let peer = accepted(&bench.memory, &mut door);
    for _ in 0..3 {
        bench.sweep_when_due();
    }
    assert!(bench.is_open(&peer), "it is in use");
    drop(peer);
    assert_eq!(bench.end(), Some(to.into()));
}
