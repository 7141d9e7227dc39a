//! A sealed ping is opened and answered without allocating, once the memory is there.

mod support;

use bytes::BytesMut;
use gossip_core::{Channel, Config, Key, KeyRing};
use support::forge::{at, drain};
use support::id;

#[test]
fn a_sealed_ping_is_answered_without_allocating() {
    let mut config = Config::local("test");
    config.keys = Some(KeyRing::new(Key::new(&[1; 32])));
    let [mut node, mut peer] = [1, 2].map(|number| support::forge::node(number, config.clone()));
    let mut now = at(1);
    node.join(now, 2).expect("joining can begin");
    let mut buffer = BytesMut::with_capacity(1 << 16);
    let (mut pings, mut allocations) = (0, 0);
    while pings < 300 {
        for (transmit, mut bytes) in drain(&mut node, now) {
            match transmit.channel {
                Channel::Datagram => peer.handle_datagram(now, 1, &mut bytes),
                Channel::Stream => peer.handle_message(now, 1, &mut bytes),
            }
        }
        for (transmit, mut bytes) in drain(&mut peer, now) {
            if transmit.channel == Channel::Stream {
                node.handle_message(now, 2, &mut bytes);
                continue;
            }
            buffer.clear();
            let mut is_answered = false;
            let cost = allocation_counter::measure(|| {
                node.handle_datagram(now, 2, &mut bytes);
                is_answered = node.poll_transmit(now, &mut buffer).is_some();
            });
            if is_answered {
                peer.handle_datagram(now, 1, &mut buffer);
                pings += 1;
                // The first ones carry news, and make room for it.
                allocations += if pings > 100 { cost.count_total } else { 0 };
            }
        }
        let is_quiet = node.poll_timeout().into_iter().chain(peer.poll_timeout()).all(|due| due > now);
        if is_quiet {
            now = node.poll_timeout().into_iter().chain(peer.poll_timeout()).min().expect("members have work to do");
        }
        node.handle_timeout(now);
        peer.handle_timeout(now);
        assert!(now < at(3_600), "{pings} pings in an hour");
    }
    assert_eq!(allocations, 0);
    assert_eq!((node.live_count(), peer.live_count()), (2, 2));
    assert!(node.member(id(2)).is_some());
}
