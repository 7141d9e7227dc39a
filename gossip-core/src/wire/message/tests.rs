use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::identity::Epoch;
use crate::membership::MemberState;
use crate::wire::member::Accusers;

fn claim() -> Claim<'static, u32> {
    Claim {
        subject: NodeId::from_u128(9),
        incarnation: Incarnation { epoch: Epoch::from_u64(3), refutations: 1 },
        state: MemberState::Suspect,
        address: 77,
        speaks: Versions::SUPPORTED,
        metadata: 5,
        age: 0,
        accusers: Accusers(&[1; 32]),
    }
}

fn kinds(body: &[u8]) -> Option<Vec<Option<MessageKind>>> {
    let messages = Messages::<u32>::new(body);
    messages.are_valid().then(|| messages.flatten().map(|message| message.kind()).collect())
}

#[test]
fn messages_come_back_in_the_order_in_which_they_were_written() {
    let mut buffer = BytesMut::new();
    let mut writer = Writer::new(&mut buffer, 1_000);
    assert!(writer.put(MessageKind::Nack, &Nack { sequence: 7 }));
    assert!(writer.put(MessageKind::Claim, &claim()));
    assert_eq!(kinds(&buffer), Some(vec![Some(MessageKind::Nack), Some(MessageKind::Claim)]));
    let Some(Some(Message::Claim(read))) = Messages::<u32>::new(&buffer).nth(1) else { panic!("a claim") };
    assert_eq!(read, claim());
    assert_eq!(read.accusers.iter().count(), 2);
}

#[test]
fn what_does_not_fit_leaves_no_trace() {
    for room in 0..70 {
        let mut buffer = BytesMut::from(&b"before"[..]);
        let fitted = Writer::new(&mut buffer, room).put(MessageKind::Claim, &claim());
        assert_eq!(fitted, buffer.len() > 6, "room {room}");
        assert!(buffer.len() <= 6 + room);
    }
}

#[test]
fn long_messages_get_a_longer_length_field() {
    for size in [0, 1, 127, 128, 129, 16_383, 16_384, 100_000] {
        let application = "x".repeat(size);
        let reject = Reject { code: 1, speaks: Versions::SUPPORTED, application: &application };
        let mut buffer = BytesMut::new();
        assert!(Writer::new(&mut buffer, 200_000).put(MessageKind::Reject, &reject));
        let Some(Some(Message::Reject(read))) = Messages::<u32>::new(&buffer).next() else { panic!("{size}") };
        assert_eq!(read, reject);
    }
}

#[test]
fn kinds_and_fields_from_the_future_are_skipped() {
    let mut buffer = BytesMut::from(&[200, 3, 1, 2, 3][..]);
    assert!(Writer::new(&mut buffer, 100).put_with(MessageKind::Nack, |parts| {
        parts.part(&Nack { sequence: 1 }) && parts.part(&"a field of the next version")
    }));
    assert_eq!(kinds(&buffer), Some(vec![None, Some(MessageKind::Nack)]));
}

#[test]
fn a_half_bad_body_is_no_body() {
    let mut buffer = BytesMut::new();
    let mut writer = Writer::new(&mut buffer, 1_000);
    assert!(writer.put(MessageKind::Nack, &Nack { sequence: 7 }) && writer.put(MessageKind::Claim, &claim()));
    for length in 3..buffer.len() {
        let is_whole_message = length == 3;
        assert_eq!(kinds(&buffer[..length]).is_some(), is_whole_message, "length {length}");
    }
    let mut odd_accusers = claim();
    odd_accusers.accusers = Accusers(&[1; 17]);
    let mut buffer = BytesMut::new();
    assert!(Writer::new(&mut buffer, 1_000).put(MessageKind::Claim, &odd_accusers));
    assert_eq!(kinds(&buffer), None);
}

#[test]
fn every_kind_has_its_own_number() {
    for &kind in MessageKind::ALL {
        assert_eq!(MessageKind::from_code(kind.code()), Some(kind));
    }
}
