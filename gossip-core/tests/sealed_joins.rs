//! Joining under a seal, with somebody in between who records and repeats.

mod support;

use gossip_core::{Channel, DropReason, Epoch, Identity, Node, Plaintext};
use support::forge::{self, at, claim, drain};
use support::id;
use support::recorded::{Wire, config, deliver, start};

/// Each request may be repeated to a member, who greets each time: the joiner must not ask as often.
#[test]
fn a_joiner_answers_one_greeting_for_each_request() {
    let mut wire = Wire::cluster(3);
    let now = wire.now;
    let mut joiner = start(9, 9, 2 << 30, config());
    joiner.join(now, 0).unwrap();
    let request = drain(&mut joiner, now).remove(0).1;
    for _ in 0..20 {
        deliver(&mut wire.nodes[0], now, 9, Channel::Stream, request.clone());
    }
    let greetings: Vec<_> = drain(&mut wire.nodes[0], now).into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(greetings.len(), 20);
    for greeting in greetings {
        deliver(&mut joiner, now, 0, Channel::Stream, greeting);
    }
    let asked = drain(&mut joiner, now);
    assert_eq!(asked.len(), 1, "it asks for the table once");
    assert_eq!(joiner.stats().dropped(DropReason::Unexpected), 19);

    deliver(&mut wire.nodes[0], now, 9, Channel::Stream, asked[0].1.clone());
    for (_, bytes) in drain(&mut wire.nodes[0], now) {
        deliver(&mut joiner, now, 0, Channel::Stream, bytes);
    }
    assert_eq!(joiner.live_count(), 4);
}

/// Two members say to a node whose clock went back that there is a later start of it. It goes beyond that after the first word.
#[test]
fn what_is_on_its_way_to_a_node_that_goes_on_in_another_epoch_still_opens() {
    let mut wire = Wire::cluster(3);
    let now = wire.now;
    wire.nodes[1] = start(1, 2, 1 << 20, config());
    wire.nodes[1].join(now, 0).unwrap();
    wire.nodes[1].join(now, 2).unwrap();
    let before = wire.nodes[1].incarnation().epoch;
    wire.settle();
    assert!(wire.nodes[1].incarnation().epoch > before);
    let stats = wire.nodes[1].stats();
    assert_eq!((stats.dropped(DropReason::BadSeal), wire.nodes[1].live_count()), (0, 3));
}

/// Clones that go beyond the same start at the same time must not meet in one epoch: it makes the nonces.
#[test]
fn clones_that_go_beyond_another_start_part() {
    let epochs = [1, 2].map(|seed| {
        let identity = Identity::new(id(1), 1_usize, Epoch::from_u64(1_000));
        let mut accepting = config();
        accepting.plaintext = Plaintext::Accept;
        let mut node = Node::new(identity, accepting, [seed; 32], at(1)).unwrap();
        let later = claim(1, (5_000, 0), 0, 1, 0, 0);
        node.handle_datagram(at(1), 2, &mut forge::packet(2, 1_000, &[later]));
        node.incarnation().epoch
    });
    assert!(epochs.iter().all(|&epoch| epoch > Epoch::from_u64(5_000)));
    assert_ne!(epochs[0], epochs[1]);
}
