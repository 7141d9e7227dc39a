//! Requests of peers that ask too much, or that do not read: bounded, and at nobody else's cost.

mod support;

use bytes::Bytes;
use gossip_core::{Config, Delivery, Node, Refusal, Reliability, SendError};
use support::forge::{at, deliveries, drain, known, packet, request};
use support::id;
use support::messages::kind;

/// Member `who` asks; how many requests are delivered.
fn ask(node: &mut Node<usize>, who: u128, number: u64) -> Vec<Delivery> {
    let address = usize::try_from(who).expect("small");
    node.handle_message(at(2), address, &mut packet(who, 1_000, &[request(number, 3_600_000)]));
    deliveries(node)
}

fn small(config: &mut Config) {
    config.max_message = 64 << 10;
    config.max_metadata = 0;
    config.chunk = 1 << 10;
    config.max_peer_bytes = 64 << 10;
    config.max_queued_bytes = 64 << 10;
}

#[test]
fn refusals_are_bounded() {
    let mut node = known(4, small);
    let reason = "x".repeat(1_024);
    for number in 0..2_000 {
        for delivery in ask(&mut node, 2, number) {
            let Delivery::Request { token, .. } = delivery else { panic!("{delivery:?}") };
            assert_eq!(node.refuse(at(2), token, Refusal::Rejected(&reason)), Ok(()));
        }
    }
    let queued: usize = drain(&mut node, at(2)).iter().map(|(_, bytes)| bytes.len()).sum();
    assert!((30 << 10..70 << 10).contains(&queued), "{queued} bytes");
}

#[test]
fn answers_to_an_asker_that_does_not_read_leave_room_for_others() {
    let mut node = known(4, |config| {
        config.max_peer_bytes = 5 << 20;
        config.max_queued_bytes = 16 << 20;
    });
    let mut full = 0;
    for number in 0..64 {
        for delivery in ask(&mut node, 2, number) {
            let Delivery::Request { token, .. } = delivery else { panic!("{delivery:?}") };
            let replied = node.reply(at(2), token, Bytes::from(vec![1; 1 << 20]));
            full += usize::from(replied == Err(SendError::PeerFull { limit: 5 << 20 }));
        }
    }
    assert_eq!(full, 60);
    let payload = Bytes::from(vec![1; 1 << 20]);
    assert_eq!(node.send(at(2), id(3), kind(), payload, Reliability::BestEffort), Ok(None));
}

#[test]
fn one_asker_leaves_places_for_others_and_strangers_have_few() {
    let mut node = known(4, |config| config.max_requests = 100);
    let accepted = |node: &mut Node<usize>, who| (0..1_000).map(|number| ask(node, who, number).len()).sum::<usize>();
    assert_eq!([77, 78].map(|stranger| accepted(&mut node, stranger)), [12, 0]);
    assert_eq!(accepted(&mut node, 2), 66);
    assert!(accepted(&mut node, 3) >= 15);
    assert!(accepted(&mut node, 4) >= 3);
}

#[test]
fn cancelling_does_not_lift_the_bound_of_the_queue() {
    let mut node = known(4, |_| {});
    let payload = Bytes::from(vec![1; 1 << 20]);
    for _ in 0..500 {
        let message = node.send(at(2), id(2), kind(), payload.clone(), Reliability::Reliable).expect("there is room");
        assert!(node.cancel(at(2), message.expect("it is reliable")));
    }
    let asked = node.request(at(2), id(2), kind(), payload, at(9)).expect("there is room");
    assert!(node.cancel(at(2), asked));
    assert_eq!(drain(&mut node, at(2)).len(), 0, "what was cancelled is not sent");
    // What has no payload takes a place all the same.
    let empty = |node: &mut Node<usize>| {
        let message = node.send(at(2), id(2), kind(), Bytes::new(), Reliability::Reliable)?;
        node.cancel(at(2), message.expect("it is reliable"));
        Ok(())
    };
    let refused = (0..200_000).find_map(|_| empty(&mut node).err());
    assert!(matches!(refused, Some(SendError::PeerFull { .. })), "{refused:?}");
    drain(&mut node, at(2));
    assert_eq!(empty(&mut node), Ok(()), "there is room again");
}

#[test]
fn messages_that_expire_in_the_queue_give_their_room_back_and_are_not_sent() {
    let mut node = known(4, |_| {});
    let payload = Bytes::from(vec![1; 1 << 20]);
    let fill = |node: &mut Node<usize>, now| {
        (0..100).take_while(|_| node.send(now, id(2), kind(), payload.clone(), Reliability::Reliable).is_ok()).count()
    };
    assert_eq!(fill(&mut node, at(2)), 15);
    node.handle_timeout(at(60));
    assert_eq!(deliveries(&mut node).len(), 15, "each is reported");
    assert_eq!(fill(&mut node, at(60)), 15);
    let direct = drain(&mut node, at(60)).into_iter().filter(|(_, bytes)| bytes.len() > 1 << 20).count();
    assert_eq!(direct, 15, "the later ones");
}
